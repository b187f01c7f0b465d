//! Writing a payload: zstd frames, and the members of the archive in them.

use super::{BATCH, FRAME};
use lazuli_store::{Digest, Hasher};
use rayon::prelude::*;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Compresses what is written to it into zstd frames, several at once.
pub(crate) struct FrameWriter<W: Write> {
    out: W,
    level: i32,
    buffer: Vec<u8>,
    ready: Vec<Vec<u8>>,
    plain: Hasher,
    size: u64,
}

impl<W: Write> FrameWriter<W> {
    pub(crate) fn new(out: W, level: i32) -> Self {
        Self { out, level, buffer: Vec::new(), ready: Vec::new(), plain: Hasher::new(), size: 0 }
    }

    fn flush_batch(&mut self) -> io::Result<()> {
        let frames: Vec<Vec<u8>> = std::mem::take(&mut self.ready)
            .par_iter()
            .map(|frame| zstd::bulk::compress(frame, self.level))
            .collect::<io::Result<_>>()?;
        frames.iter().try_for_each(|frame| self.out.write_all(frame))
    }

    /// Ends the stream. Returns the writer, the digest and the size of what was written to this one.
    pub(crate) fn finish(mut self) -> io::Result<(W, Digest, u64)> {
        let last = std::mem::take(&mut self.buffer);
        if !last.is_empty() {
            self.ready.push(last);
        }
        self.flush_batch()?;
        self.out.flush()?;
        Ok((self.out, self.plain.finish(), self.size))
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(FRAME - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        self.plain.update(&bytes[..n]);
        self.size += n as u64;
        if self.buffer.len() == FRAME {
            self.ready.push(std::mem::take(&mut self.buffer));
            if self.ready.len() == BATCH {
                self.flush_batch()?;
            }
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One member's header fields that matter to RPM.
pub(crate) struct Member<'a> {
    pub(crate) path: &'a str,
    pub(crate) inode: u32,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) mtime: u32,
    pub(crate) size: u32,
    pub(crate) rdev: (u32, u32),
}

/// Writes a member's header and name; its content follows, padded by [`pad`].
pub(crate) fn write_member(out: &mut impl Write, member: &Member<'_>) -> io::Result<()> {
    let name = if member.path == TRAILER { TRAILER.to_owned() } else { format!("./{}", member.path) };
    let mut header = String::from("070701");
    let fields = [
        member.inode,
        member.mode,
        0, // owners are names in the header
        0,
        member.links,
        member.mtime,
        member.size,
        0,
        0,
        member.rdev.0,
        member.rdev.1,
        name.len() as u32 + 1,
        0,
    ];
    for field in fields {
        // Writing to a string has no way to fail.
        let _ = write!(header, "{field:08x}");
    }
    header.push_str(&name);
    header.push('\0');
    out.write_all(header.as_bytes())?;
    pad(out, header.len() as u64)
}

/// Writes the header of a member in the stripped form: the number of the file in the package's header.
pub(crate) fn write_stripped(out: &mut impl Write, file: u32) -> io::Result<()> {
    write!(out, "07070X{file:08x}")?;
    pad(out, 14)
}

/// Pads to a multiple of 4 after `written` bytes.
pub(crate) fn pad(out: &mut impl Write, written: u64) -> io::Result<()> {
    let zeros = [0; 3];
    out.write_all(&zeros[..(written.next_multiple_of(4) - written) as usize])
}

/// The name of the last member.
pub(crate) const TRAILER: &str = "TRAILER!!!";
