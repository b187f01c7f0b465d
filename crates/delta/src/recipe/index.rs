//! The index of a recipe.

use super::{MAX_PAYLOAD, WHAT};
use crate::varint::{Cursor, put};
use crate::{Error, MAX_BLOCKS, Result};
use std::ops::Range;

const MAGIC: &[u8; 4] = b"LZRC";
const VERSION: u8 = 1;
/// Groups at most; [`super::MAX_INDEX`] has room for fewer than this.
const MAX_GROUPS: u64 = 1 << 15;

/// What a recipe is for and what it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The size of the old image in blocks.
    pub old_blocks: u64,
    /// The size of the new image in blocks.
    pub new_blocks: u64,
    /// The verity root hash of the old image.
    pub old_root: [u8; 32],
    /// The verity root hash of the new image.
    pub new_root: [u8; 32],
    /// The groups in the order of the blocks that they make.
    pub groups: Vec<Group>,
}

/// A stretch of the new image and how it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The first block of the new image that it makes.
    pub first: u64,
    /// How many blocks it makes.
    pub blocks: u64,
    /// Where its payload begins, in bytes after the index.
    pub offset: u64,
    /// The sizes of control, differences and literals in bytes, compressed.
    pub sizes: [u64; 3],
    /// The first 16 bytes of the SHA-256 of the payload.
    pub payload: [u8; 16],
    /// The first 16 bytes of the SHA-256 of the blocks that it makes.
    pub output: [u8; 16],
}

impl Group {
    /// Where its payload lies, in bytes after the index.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.sizes.iter().sum::<u64>()
    }
}

impl Index {
    /// Reads an index. It must be the whole of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, WHAT);
        if cursor.take(4)? != MAGIC {
            return Err(cursor.error("it does not begin like one"));
        }
        let version = cursor.take(1)?[0];
        if version != VERSION {
            return Err(cursor.error(format!("its format is {version}, and {VERSION} is known")));
        }
        let old_blocks = cursor.number(MAX_BLOCKS)?;
        let new_blocks = cursor.number(MAX_BLOCKS)?;
        let (old_root, new_root) = (cursor.array()?, cursor.array()?);
        let count = cursor.number(MAX_GROUPS)?;
        let (mut groups, mut first, mut offset) = (Vec::new(), 0, 0);
        for _ in 0..count {
            let blocks = cursor.number(new_blocks - first)?;
            if blocks == 0 {
                return Err(cursor.error("a group makes nothing"));
            }
            let mut sizes = [0; 3];
            for size in &mut sizes {
                *size = cursor.number(MAX_PAYLOAD)?;
            }
            let size = sizes.iter().sum::<u64>();
            if size > MAX_PAYLOAD {
                return Err(cursor.error(format!("a group of {size} bytes is above the limit {MAX_PAYLOAD}")));
            }
            let (payload, output) = (cursor.array()?, cursor.array()?);
            groups.push(Group { first, blocks, offset, sizes, payload, output });
            first += blocks;
            offset += size;
        }
        if first != new_blocks {
            return Err(cursor.error(format!("it makes {first} of {new_blocks} blocks")));
        }
        if !cursor.is_empty() {
            return Err(cursor.error("something follows its index"));
        }
        Ok(Self { old_blocks, new_blocks, old_root, new_root, groups })
    }

    /// The bytes of the index.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put(&mut out, self.old_blocks);
        put(&mut out, self.new_blocks);
        out.extend_from_slice(&self.old_root);
        out.extend_from_slice(&self.new_root);
        put(&mut out, self.groups.len() as u64);
        for group in &self.groups {
            put(&mut out, group.blocks);
            for size in group.sizes {
                put(&mut out, size);
            }
            out.extend_from_slice(&group.payload);
            out.extend_from_slice(&group.output);
        }
        out
    }

    /// The size of all payloads in bytes.
    pub fn payload_size(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.range().end)
    }

    /// Refuses a recipe that is for other images than these.
    pub fn check(
        &self,
        old_root: &[u8; 32],
        old_blocks: u64,
        new_root: &[u8; 32],
        new_blocks: u64,
    ) -> Result<()> {
        if self.old_root != *old_root || self.old_blocks > old_blocks {
            return Err(Error::Base(format!(
                "it is for an image of {} blocks with another root hash or size ({old_blocks} blocks)",
                self.old_blocks
            )));
        }
        if self.new_root != *new_root || self.new_blocks != new_blocks {
            return Err(Error::Base("it leads to another image than the manifest's".into()));
        }
        Ok(())
    }
}
