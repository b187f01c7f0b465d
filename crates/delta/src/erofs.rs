//! Where the files of an erofs image lie: a reader of superblock, inodes and directories, and of nothing else.
//!
//! It serves the publisher to find the old file for a changed one, and nothing depends on it being complete: a
//! file whose place cannot be told (compressed, chunked) is left out and is handled by blocks like all the rest.
//!
//! Format (Linux, `fs/erofs/erofs_fs.h`), all numbers little-endian:
//!
//! ```text
//! superblock, at byte 1024:   0 u32 magic E0F5E1E2 | 12 u8 log2 of the block size | 14 u16 root nid
//!                             40 u32 block of the inodes | 80 u32 incompatible features
//! inode, at (inodes + nid*32) 0 u16 format: bit 0 extended, bits 1-3 layout | 2 u16 size of xattrs
//!   compact, 32 bytes:        4 u16 mode |  8 u32 size | 16 u32 first block
//!   extended, 64 bytes:       4 u16 mode |  8 u64 size | 16 u32 first block
//! xattrs after the inode:     0 bytes if the count is 0, else 12 + 4 * (count - 1)
//! directory block:            entries of 12 bytes: u64 nid | u16 offset of the name | u8 type | u8 reserved,
//!                             as many as the first name's offset has room for, then the names
//! ```
//!
//! Layouts that are read: 0, whole blocks; 2, whole blocks and the rest right after the inode and its xattrs.

use crate::{BLOCK, Error, Result};
use std::collections::HashSet;

/// The magic number of erofs.
const MAGIC: u32 = 0xE0F5_E1E2;
/// Incompatible features that move what is read here: 48-bit addresses.
const INCOMPAT_48BIT: u32 = 0x80;
/// Files that are read at most, hard links counted each time.
const MAX_FILES: usize = 4 << 20;
/// Directories below each other.
const MAX_DEPTH: usize = 128;
/// The longest path in bytes.
const MAX_PATH: usize = 4096;

/// One regular file whose data lies in whole, consecutive blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path without a leading slash. It need not be UTF-8.
    pub path: Vec<u8>,
    /// The first block.
    pub start: u64,
    /// How many blocks there are. What an inline tail holds is not counted.
    pub blocks: u64,
}

/// The regular files of an image that have blocks of their own, by first block. Of hard links one is kept.
pub fn files(image: &[u8]) -> Result<Vec<File>> {
    let reader = Reader::new(image)?;
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    let mut queue = vec![(reader.root, Vec::new(), 0_usize)];
    while let Some((nid, path, depth)) = queue.pop() {
        if !seen.insert(nid) {
            continue;
        }
        if depth > MAX_DEPTH {
            return Err(Error::Erofs(format!("more than {MAX_DEPTH} directories below each other")));
        }
        let directory = reader.inode(nid)?;
        for block in reader.blocks_of(&directory)? {
            for (child, name) in entries(block)? {
                if name == b"." || name == b".." {
                    continue;
                }
                let inode = reader.inode(child)?;
                let mut full = path.clone();
                if !full.is_empty() {
                    full.push(b'/');
                }
                full.extend_from_slice(name);
                if full.len() > MAX_PATH || files.len() + queue.len() > MAX_FILES {
                    return Err(Error::Erofs("too many files, or too long paths".into()));
                }
                match inode.mode & 0o170_000 {
                    0o040_000 => queue.push((child, full, depth + 1)),
                    0o100_000 => {
                        if let Some((start, blocks)) = reader.extent(&inode)
                            && blocks > 0
                            && seen.insert(child)
                        {
                            files.push(File { path: full, start, blocks });
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    files.sort_by(|a, b| (a.start, a.blocks, &a.path).cmp(&(b.start, b.blocks, &b.path)));
    Ok(files)
}

/// What is needed of an inode.
struct Inode {
    layout: u16,
    mode: u16,
    size: u64,
    start: u64,
    /// Where an inline tail would begin.
    tail: usize,
}

struct Reader<'a> {
    image: &'a [u8],
    root: u64,
    inodes: u64,
}

impl<'a> Reader<'a> {
    fn new(image: &'a [u8]) -> Result<Self> {
        let reader = Self { image, root: 0, inodes: 0 };
        if reader.u32(1024)? != MAGIC {
            return Err(Error::Erofs("there is no superblock of erofs".into()));
        }
        let bits = reader.bytes(1024 + 12, 1)?[0];
        if 1_usize.checked_shl(u32::from(bits)) != Some(BLOCK) {
            return Err(Error::Erofs(format!("its blocks are not of {BLOCK} bytes")));
        }
        if reader.u32(1024 + 80)? & INCOMPAT_48BIT != 0 {
            return Err(Error::Erofs("48-bit block addresses are not supported".into()));
        }
        let root = u64::from(reader.u16(1024 + 14)?);
        let inodes = u64::from(reader.u32(1024 + 40)?) * BLOCK as u64;
        Ok(Self { image, root, inodes })
    }

    fn bytes(&self, at: usize, count: usize) -> Result<&'a [u8]> {
        at.checked_add(count)
            .and_then(|end| self.image.get(at..end))
            .ok_or_else(|| Error::Erofs(format!("something lies at byte {at}, beyond the end of the image")))
    }

    fn u16(&self, at: usize) -> Result<u16> {
        let bytes = self.bytes(at, 2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes(at, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn inode(&self, nid: u64) -> Result<Inode> {
        let at = nid
            .checked_mul(32)
            .and_then(|offset| offset.checked_add(self.inodes))
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| *at < self.image.len())
            .ok_or_else(|| Error::Erofs(format!("inode {nid} lies beyond the end of the image")))?;
        let format = self.u16(at)?;
        let xattrs = match usize::from(self.u16(at + 2)?) {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        let (size, length) = if format & 1 == 0 {
            (u64::from(self.u32(at + 8)?), 32)
        } else {
            (u64::from(self.u32(at + 8)?) | u64::from(self.u32(at + 12)?) << 32, 64)
        };
        Ok(Inode {
            layout: (format >> 1) & 7,
            mode: self.u16(at + 4)?,
            size,
            start: u64::from(self.u32(at + 16)?),
            tail: at + length + xattrs,
        })
    }

    /// The whole blocks of a file: the first, and how many.
    fn extent(&self, inode: &Inode) -> Option<(u64, u64)> {
        let blocks = match inode.layout {
            0 => inode.size.div_ceil(BLOCK as u64),
            2 => inode.size / BLOCK as u64,
            _ => return None,
        };
        if blocks == 0 {
            // The address says nothing then; mkfs.erofs writes all ones.
            return Some((0, 0));
        }
        let end = inode.start.checked_add(blocks)?;
        (end <= (self.image.len() / BLOCK) as u64).then_some((inode.start, blocks))
    }

    /// The content of a directory, block by block.
    fn blocks_of(&self, inode: &Inode) -> Result<Vec<&'a [u8]>> {
        let (start, blocks) = self
            .extent(inode)
            .ok_or_else(|| Error::Erofs("a directory is compressed or lies beyond the end".into()))?;
        let mut all = Vec::new();
        let mut left = inode.size;
        for block in start..start + blocks {
            let count = left.min(BLOCK as u64) as usize;
            all.push(self.bytes(block as usize * BLOCK, count)?);
            left -= count as u64;
        }
        if left > 0 {
            all.push(self.bytes(inode.tail, left as usize)?);
        }
        Ok(all)
    }
}

/// The entries of one block of a directory: inode number and name.
fn entries(block: &[u8]) -> Result<Vec<(u64, &[u8])>> {
    let bad = || Error::Erofs("the entries of a directory contradict each other".into());
    let offset = |index: usize| -> Result<usize> {
        let at = index * 12 + 8;
        let bytes = block.get(at..at + 2).ok_or_else(bad)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let first = offset(0)?;
    if first < 12 || !first.is_multiple_of(12) || first > block.len() {
        return Err(bad());
    }
    let count = first / 12;
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let mut nid = [0; 8];
        nid.copy_from_slice(block.get(index * 12..index * 12 + 8).ok_or_else(bad)?);
        let end = if index + 1 < count { offset(index + 1)? } else { block.len() };
        let name = block.get(offset(index)?..end).ok_or_else(bad)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or(name);
        all.push((u64::from_le_bytes(nid), name));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with one file, `f`, of 5000 bytes at block 2, and its root directory at block 1.
    pub(crate) fn small() -> Vec<u8> {
        let mut image = vec![0; 4 * BLOCK];
        image[1024..1028].copy_from_slice(&MAGIC.to_le_bytes());
        image[1024 + 12] = 12;
        image[1024 + 14..1024 + 16].copy_from_slice(&40_u16.to_le_bytes());
        let mut inode = |nid: usize, mode: u16, size: u32, start: u32| {
            let at = nid * 32;
            image[at + 4..at + 6].copy_from_slice(&mode.to_le_bytes());
            image[at + 8..at + 12].copy_from_slice(&size.to_le_bytes());
            image[at + 16..at + 20].copy_from_slice(&start.to_le_bytes());
        };
        inode(40, 0o040_755, 40, 1);
        inode(41, 0o100_644, 5000, 2);
        for (index, (nid, name)) in [(40_u64, "."), (40, ".."), (41, "f")].iter().enumerate() {
            let at = BLOCK + index * 12;
            image[at..at + 8].copy_from_slice(&nid.to_le_bytes());
            let offset = 36 + [0, 1, 3][index];
            image[at + 8..at + 10].copy_from_slice(&(offset as u16).to_le_bytes());
            image[BLOCK + offset..BLOCK + offset + name.len()].copy_from_slice(name.as_bytes());
        }
        image
    }

    #[test]
    fn a_file_is_found_at_its_blocks() {
        let files = files(&small()).unwrap();
        assert_eq!(files, [File { path: b"f".to_vec(), start: 2, blocks: 2 }]);
    }

    #[test]
    fn a_directory_may_lie_behind_its_inode() {
        let mut image = small();
        // The same directory inline: no block, an address of all ones, the entries after the inode.
        let entries = image[BLOCK..BLOCK + 40].to_vec();
        image[45 * 32 + 32..45 * 32 + 72].copy_from_slice(&entries);
        image.copy_within(40 * 32..41 * 32, 45 * 32);
        image[45 * 32..45 * 32 + 2].copy_from_slice(&4_u16.to_le_bytes());
        image[45 * 32 + 16..45 * 32 + 20].fill(0xff);
        image[1024 + 14..1024 + 16].copy_from_slice(&45_u16.to_le_bytes());
        assert_eq!(files(&image).unwrap(), [File { path: b"f".to_vec(), start: 2, blocks: 2 }]);
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_no_panic() {
        let image = small();
        for end in (0..image.len()).step_by(7) {
            let _ = super::files(&image[..end]);
        }
        assert!(super::files(&image[..BLOCK]).is_err());
        assert!(super::files(&[0; 8192]).is_err());
    }
}
