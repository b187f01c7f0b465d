//! Writing an image into a slot, and reading it back.

use super::{Engine, Release, Source};
use crate::{Disk, Error, Result};
use lazuli_layout::Slot;
use lazuli_layout::gpt::Partition;
use lazuli_verity::{BLOCK, Digest, ReadBlocks, Salt, Superblock, Tree};
use std::io::{self, Read};

/// Bytes that are compared and written at a time.
const CHUNK: usize = 1 << 20;

/// What was done to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Blocks that were written.
    pub written: u64,
    /// Blocks that were right already.
    pub skipped: u64,
}

/// A slot that is being written. Blocks may come in any order; those that are on the disk already are not written
/// again, so that a stage that was interrupted goes on where it was.
pub struct Stage<'s> {
    disk: &'s mut dyn Disk,
    start: u64,
    len: u64,
    salt: Salt,
    /// The partition of the running slot, to copy from.
    running: Partition,
    progress: Progress,
}

impl Stage<'_> {
    /// Bytes of the image.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the image has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was done so far.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Writes at an offset within the image; offset and length are multiples of 4096.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.len);
        if end.is_none() || !offset.is_multiple_of(BLOCK as u64) || !bytes.len().is_multiple_of(BLOCK) {
            let detail =
                format!("{} bytes at {offset} are not whole blocks of its {}", bytes.len(), self.len);
            return Err(Error::Source { what: "the image".to_owned(), detail });
        }
        let mut there = vec![0; bytes.len().min(CHUNK)];
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let at = self.start + offset + (index * CHUNK) as u64;
            let there = &mut there[..chunk.len()];
            self.disk.read_at(at, there)?;
            self.write_differing(at, chunk, there)?;
        }
        Ok(())
    }

    /// Writes runs of blocks that differ.
    fn write_differing(&mut self, at: u64, new: &[u8], old: &[u8]) -> Result<()> {
        let mut run: Option<usize> = None;
        let blocks = new.len() / BLOCK;
        for block in 0..=blocks {
            let range = block * BLOCK..(block + 1) * BLOCK;
            let differs = block < blocks && new[range.clone()] != old[range];
            match (differs, run) {
                (true, None) => run = Some(block),
                (false, Some(first)) => {
                    let bytes = &new[first * BLOCK..block * BLOCK];
                    self.disk.write_at(at + (first * BLOCK) as u64, bytes)?;
                    self.progress.written += (block - first) as u64;
                    run = None;
                }
                _ => {}
            }
            self.progress.skipped += u64::from(block < blocks && !differs);
        }
        Ok(())
    }

    /// Writes a whole image that comes in order.
    pub fn write_all(&mut self, source: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        let failed = |e: io::Error| Error::Source { what: "the image".to_owned(), detail: e.to_string() };
        while offset < self.len {
            let len = CHUNK.min((self.len - offset) as usize);
            source.read_exact(&mut buffer[..len]).map_err(failed)?;
            self.write_at(offset, &buffer[..len])?;
            offset += len as u64;
        }
        if source.read(&mut [0]).map_err(failed)? != 0 {
            let detail = format!("it is longer than {} bytes", self.len);
            return Err(Error::Source { what: "the image".to_owned(), detail });
        }
        Ok(())
    }

    /// Reads what is in the slot now, at an offset within the image.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(offset, buffer.len(), self.len)?;
        self.disk.read_at(self.start + offset, buffer)
    }

    /// Reads from the data partition of the running slot: what recipes copy from.
    pub fn read_running(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        within(offset, buffer.len(), self.running.len)?;
        self.disk.read_at(self.running.start + offset, buffer)
    }

    /// Which blocks are right already, by the first 8 bytes of their leaf digests, in order. A chance hit is found
    /// when the root hash is compared.
    pub fn present(&self, leaves: &[[u8; 8]]) -> Result<Vec<bool>> {
        let blocks = leaves.len().min((self.len / BLOCK as u64) as usize);
        if blocks == 0 {
            return Ok(Vec::new());
        }
        let source = Part { disk: &*self.disk, start: self.start };
        let tree =
            Tree::build(&source, blocks as u64, &self.salt).map_err(|e| read_failed(&*self.disk, &e))?;
        Ok(tree.leaves().zip(leaves).map(|(leaf, short)| leaf.as_bytes()[..8] == *short).collect())
    }
}

/// A part of a disk whose blocks are hashed.
struct Part<'d> {
    disk: &'d dyn Disk,
    start: u64,
}

impl ReadBlocks for Part<'_> {
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(self.start + offset, buffer).map_err(io::Error::other)
    }
}

fn within(offset: u64, len: usize, whole: u64) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= whole => Ok(()),
        _ => Err(Error::Source {
            what: "the image".to_owned(),
            detail: format!("{len} bytes at {offset} are not within {whole}"),
        }),
    }
}

fn read_failed(disk: &dyn Disk, error: &io::Error) -> Error {
    Error::Source { what: disk.name(), detail: error.to_string() }
}

impl Engine<'_> {
    /// Has the source write the data, and flushes.
    pub(super) fn write(&mut self, slot: Slot, release: &Release, source: &mut dyn Source) -> Result<()> {
        self.idle(slot)?;
        self.partitions.check(slot, release)?;
        let [data, _] = self.partitions.slot(slot);
        let mut stage = Stage {
            start: data.start,
            len: release.blocks * BLOCK as u64,
            salt: release.salt.clone(),
            running: self.partitions.slot(slot.other())[0].clone(),
            disk: &mut *self.disk,
            progress: Progress::default(),
        };
        source.data(&mut stage)?;
        let progress = stage.progress;
        tracing::info!(%slot, progress.written, progress.skipped, "data blocks");
        self.disk.flush()
    }

    /// Reads the data back from the medium, makes the hash tree anew and compares the root hash; then sees to it that
    /// the hash partition holds that tree.
    pub(super) fn verify(&mut self, slot: Slot, release: &Release) -> Result<()> {
        self.idle(slot)?;
        self.partitions.check(slot, release)?;
        let [data, hash] = self.partitions.slot(slot).clone();
        self.disk.forget_cache(data.start, release.blocks * BLOCK as u64)?;
        let part = Part { disk: &*self.disk, start: data.start };
        let tree =
            Tree::build(&part, release.blocks, &release.salt).map_err(|e| read_failed(&*self.disk, &e))?;
        let wanted = Digest::from_bytes(*release.image.id.as_bytes());
        if tree.root() != wanted {
            return Err(Error::ReadBack {
                what: format!("slot {slot}"),
                detail: format!("root hash {} instead of {wanted}", tree.root()),
            });
        }
        let mut bytes = Superblock::new(release.blocks, release.salt.clone()).to_block().to_vec();
        bytes.extend_from_slice(tree.bytes());
        if self.reads(hash.start, &bytes)? {
            return Ok(());
        }
        self.disk.write_at(hash.start, &bytes)?;
        self.disk.flush()?;
        if self.reads(hash.start, &bytes)? {
            return Ok(());
        }
        Err(Error::ReadBack {
            what: format!("the hash tree of slot {slot}"),
            detail: "its bytes differ".to_owned(),
        })
    }

    /// Whether the medium holds these bytes.
    fn reads(&mut self, at: u64, bytes: &[u8]) -> Result<bool> {
        self.disk.forget_cache(at, bytes.len() as u64)?;
        let mut there = vec![0; bytes.len().min(CHUNK)];
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let there = &mut there[..chunk.len()];
            self.disk.read_at(at + (index * CHUNK) as u64, there)?;
            if there != chunk {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
