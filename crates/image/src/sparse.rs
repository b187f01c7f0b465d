//! Files with holes, on disk and in memory.
//!
//! A disk image is mostly nothing. Everything here reads and writes only what is there: data extents
//! come from `SEEK_DATA`/`SEEK_HOLE`, and blocks of zeros inside them stay holes too.

use crate::Result;
use lazuli_fs::Context as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Zeros are looked for in units of this many bytes; the block size of common file systems.
const BLOCK: usize = 4096;
/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// The parts of `file` that may hold something other than zeros, in order. A file system that knows
/// no holes gives the whole file.
pub fn data_extents(file: &File, path: &Path) -> Result<Vec<Range<u64>>> {
    let len = file.metadata().at("stat", path)?.len();
    let mut extents = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(errno).at("look for holes in", path).map_err(Into::into),
        };
        let end = match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start)) {
            Ok(end) => end,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => len,
            Err(errno) => return Err(errno).at("look for holes in", path).map_err(Into::into),
        };
        extents.push(start..end);
        at = end;
    }
    Ok(extents)
}

/// Copies the content of `from` into `to` at `offset`, leaving holes where there are zeros. The place in
/// `to` must read as zeros before. Returns the number of bytes written.
pub fn copy(from: &File, from_path: &Path, to: &File, to_path: &Path, offset: u64) -> Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut written = 0;
    for extent in data_extents(from, from_path)? {
        let mut at = extent.start;
        while at < extent.end {
            let len = usize::try_from(extent.end - at).unwrap_or(CHUNK).min(CHUNK);
            from.read_exact_at(&mut buffer[..len], at).at("read", from_path)?;
            for run in runs(&buffer[..len]) {
                to.write_all_at(&buffer[run.clone()], offset + at + run.start as u64).at("write", to_path)?;
                written += run.len() as u64;
            }
            at += len as u64;
        }
    }
    Ok(written)
}

/// Copies a whole file, holes and all, to a path that does not exist yet.
pub fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let input = lazuli_fs::open(from)?;
    let output = lazuli_fs::create_new(to, 0o644)?;
    output.set_len(input.metadata().at("stat", from)?.len()).at("resize", to)?;
    copy(&input, from, &output, to, 0).map(drop)
}

/// The runs of blocks that are not all zero.
fn runs(buffer: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, block) in buffer.chunks(BLOCK).enumerate() {
        if is_zero(block) {
            continue;
        }
        let start = index * BLOCK;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end += block.len(),
            _ => runs.push(start..start + block.len()),
        }
    }
    runs
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen at a time: the compiler makes vector instructions of this.
    let (head, body) = bytes.split_at(bytes.len() % 16);
    head.iter().all(|b| *b == 0) && body.chunks_exact(16).all(|c| c.iter().fold(0, |a, b| a | b) == 0)
}

/// A sparse disk in memory: blocks that were never written read as zeros and cost nothing.
#[derive(Debug, Default)]
pub struct SparseBuffer {
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
    size: u64,
    position: u64,
}

impl SparseBuffer {
    /// A disk of `size` bytes, all zero.
    pub fn new(size: u64) -> Self {
        Self { blocks: BTreeMap::new(), size, position: 0 }
    }

    /// Writes everything that is not zero into `to` at `offset`, which must read as zeros before.
    pub fn write_to(&self, to: &File, path: &Path, offset: u64) -> Result<()> {
        for (index, block) in &self.blocks {
            if !is_zero(&block[..]) {
                let at = index * BLOCK as u64;
                let len = usize::try_from(self.size - at).unwrap_or(BLOCK).min(BLOCK);
                to.write_all_at(&block[..len], offset + at).at("write", path)?;
            }
        }
        Ok(())
    }

    /// The block at the position, and the place and length in it that `wanted` bytes may use.
    fn window(&self, wanted: usize) -> (u64, Range<usize>) {
        let start = usize::try_from(self.position % BLOCK as u64).unwrap_or(0);
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let len = wanted.min(BLOCK - start).min(left);
        (self.position / BLOCK as u64, start..start + len)
    }
}

impl Read for SparseBuffer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (index, range) = self.window(buf.len());
        let len = range.len();
        match self.blocks.get(&index) {
            Some(block) => buf[..len].copy_from_slice(&block[range]),
            None => buf[..len].fill(0),
        }
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for SparseBuffer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (index, range) = self.window(buf.len());
        let len = range.len();
        if len == 0 && !buf.is_empty() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        // Zeros over nothing are nothing.
        if self.blocks.contains_key(&index) || !is_zero(&buf[..len]) {
            let block = self.blocks.entry(index).or_insert_with(|| Box::new([0; BLOCK]));
            block[range].copy_from_slice(&buf[..len]);
        }
        self.position += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SparseBuffer {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn holes_stay_holes_and_data_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let from = lazuli_fs::create_new(&a, 0o600).unwrap();
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"data", 40 << 20).unwrap();
        // Zeros that were written are no data either.
        from.write_all_at(&vec![0; 1 << 20], 10 << 20).unwrap();
        let to = lazuli_fs::create_new(&b, 0o600).unwrap();
        to.set_len(65 << 20).unwrap();
        assert_eq!(copy(&from, &a, &to, &b, 1 << 20).unwrap(), BLOCK as u64);
        let mut found = [0; 4];
        to.read_exact_at(&mut found, 41 << 20).unwrap();
        assert_eq!(&found, b"data");
        assert!(to.metadata().unwrap().blocks() * 512 <= 1 << 20);
    }

    proptest! {
        #[test]
        fn a_sparse_buffer_holds_what_a_plain_one_holds(
            writes in prop::collection::vec((0_usize..20_000, prop::collection::vec(any::<u8>(), 0..9000)), 0..12),
        ) {
            let size = 30_000;
            let (mut plain, mut sparse) = (vec![0; size], SparseBuffer::new(size as u64));
            for (at, bytes) in &writes {
                plain[*at..at + bytes.len()].copy_from_slice(bytes);
                sparse.seek(SeekFrom::Start(*at as u64)).unwrap();
                sparse.write_all(bytes).unwrap();
            }
            sparse.rewind().unwrap();
            let mut read = Vec::new();
            sparse.read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, plain);
        }
    }
}
