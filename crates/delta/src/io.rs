//! Where blocks are read and written.

use crate::{BLOCK, Error, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Something that can be read at any place: the running slot, a file, bytes.
pub trait ReadAt: Sync {
    /// Fills `buffer` from byte `offset` on; an end before it is full is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Something that can be read and written at any place: the idle slot.
///
/// Nothing here flushes. Whoever follows a recipe must flush the slot, read it back from the device and compare
/// its verity root before the first write that makes anybody use it.
pub trait WriteAt: ReadAt {
    /// Writes all of `bytes` from byte `offset` on.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl WriteAt for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let bytes = self.get(start..end).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buffer)
    }
}

/// What is known of the content of the slot that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing of it is of use: it is written without being read.
    Nothing,
    /// An older image or an unfinished new one: blocks that are right already are found by reading them, and
    /// are not written again.
    Something,
}

/// What writing an image took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Blocks that were written.
    pub written: u64,
    /// Blocks that were right already.
    pub kept: u64,
    /// Parts (groups of a recipe, frames of the full image) that were not fetched, because what they
    /// describe was there already.
    pub skipped_parts: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.kept += other.kept;
        self.skipped_parts += other.skipped_parts;
    }
}

/// Bytes gathered before they are written at once.
const BUFFER: usize = 1 << 20;

/// Writes consecutive blocks, and leaves those alone that are right already.
pub(crate) struct Writer<'a, W: WriteAt + ?Sized> {
    slot: &'a W,
    held: Held,
    /// Where the buffer will be written.
    offset: u64,
    buffer: Vec<u8>,
    present: Vec<u8>,
    report: Report,
}

impl<'a, W: WriteAt + ?Sized> Writer<'a, W> {
    pub(crate) fn new(slot: &'a W, held: Held, block: u64) -> Self {
        let present = if held == Held::Something { vec![0; BUFFER] } else { Vec::new() };
        Self {
            slot,
            held,
            offset: block * BLOCK as u64,
            buffer: Vec::with_capacity(BUFFER),
            present,
            report: Report::default(),
        }
    }

    /// Calls `fill` with room for the next bytes until `length` bytes were written.
    pub(crate) fn put(
        &mut self,
        mut length: u64,
        mut fill: impl FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        while length > 0 {
            let start = self.buffer.len();
            let count = length.min((BUFFER - start) as u64) as usize;
            self.buffer.resize(start + count, 0);
            fill(&mut self.buffer[start..])?;
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
            length -= count as u64;
        }
        Ok(())
    }

    /// Goes on at another block. What was put before must be whole blocks.
    pub(crate) fn seek(&mut self, block: u64) -> Result<()> {
        if block * BLOCK as u64 != self.offset + self.buffer.len() as u64 {
            self.flush()?;
            self.offset = block * BLOCK as u64;
        }
        Ok(())
    }

    /// Counts blocks that somebody else found to be right.
    pub(crate) fn kept(&mut self, blocks: u64) {
        self.report.kept += blocks;
    }

    pub(crate) fn finish(mut self) -> Result<Report> {
        self.flush()?;
        Ok(self.report)
    }

    fn flush(&mut self) -> Result<()> {
        let length = self.buffer.len();
        let error = |op: &str, offset: u64| Error::io(format!("{op} the idle slot at byte {offset}"));
        if self.held == Held::Nothing {
            self.slot.write_at(self.offset, &self.buffer).map_err(error("write", self.offset))?;
            self.report.written += (length / BLOCK) as u64;
        } else {
            let present = &mut self.present[..length];
            self.slot.read_at(self.offset, present).map_err(error("read", self.offset))?;
            let mut at = 0;
            while at < length {
                let differs = |from: usize| {
                    let end = (from + BLOCK).min(length);
                    self.buffer[from..end] != present[from..end]
                };
                let wrong = differs(at);
                let start = at;
                while at < length && differs(at) == wrong {
                    at += BLOCK;
                }
                let end = at.min(length);
                let blocks = ((end - start) / BLOCK) as u64;
                if wrong {
                    let offset = self.offset + start as u64;
                    self.slot.write_at(offset, &self.buffer[start..end]).map_err(error("write", offset))?;
                    self.report.written += blocks;
                } else {
                    self.report.kept += blocks;
                }
            }
        }
        self.offset += length as u64;
        self.buffer.clear();
        Ok(())
    }
}
