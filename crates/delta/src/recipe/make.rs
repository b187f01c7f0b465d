//! Making a recipe.

use super::control::{self, Operation};
use super::index::{Group, Index};
use super::plan::plan;
use super::{MAX_CONTROL, MAX_PAYLOAD, WINDOW_LOG};
use crate::erofs::{self, File};
use crate::{BLOCK, Error, MAX_BLOCKS, Result, short_digest};
use lazuli_verity::{Salt, Tree, hash_block};
use rayon::prelude::*;

/// The level of compression: the publisher compresses once, and every host reads.
const LEVEL: i32 = 22;
/// When a group is full: literals and differences that are not zero, in bytes. Small enough that an interrupted
/// update of a large change loses little, large enough that most recipes are one group.
const GROUP_BYTES: u64 = 16 << 20;
/// When a group is full all the same: blocks that it makes. What an interrupted host hashes again at once.
const GROUP_BLOCKS: u64 = 1 << 18;

/// An image as the publisher sees it.
pub struct Image<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) files: Vec<File>,
    pub(super) leaves: Vec<[u8; 32]>,
    pub(super) zero: [u8; 32],
    root: [u8; 32],
}

impl std::fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("blocks", &self.leaves.len()).finish_non_exhaustive()
    }
}

impl<'a> Image<'a> {
    /// Looks at an image: makes its verity tree with the product's salt and finds its files. An image that is
    /// no erofs is described by its blocks alone.
    pub fn new(bytes: &'a [u8], salt: &Salt) -> Result<Self> {
        let blocks = (bytes.len() / BLOCK) as u64;
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK) {
            return Err(Error::Image(format!(
                "an image of {} bytes is not whole blocks of {BLOCK}",
                bytes.len()
            )));
        }
        if blocks > MAX_BLOCKS {
            return Err(Error::Image(format!("an image of {} bytes is above the limit", bytes.len())));
        }
        let tree = Tree::build(bytes, blocks, salt).map_err(Error::io("hash the image"))?;
        let leaves = tree.leaves().map(|leaf| *leaf.as_bytes()).collect();
        let files = erofs::files(bytes).unwrap_or_default();
        let zero = *hash_block(salt, &[0; BLOCK]).as_bytes();
        Ok(Self { bytes, files, leaves, zero, root: *tree.root().as_bytes() })
    }

    /// The root hash of its verity tree.
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// The size in blocks.
    pub fn blocks(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The dm-verity digests of its blocks.
    pub fn leaves(&self) -> &[[u8; 32]] {
        &self.leaves
    }

    /// How many files were found.
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

/// A finished recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The bytes of the index.
    pub index: Vec<u8>,
    /// The payloads of all groups.
    pub payload: Vec<u8>,
}

/// Describes `new` by `old`. Groups are made in parallel; the bytes are the same each time.
pub fn build(old: &Image<'_>, new: &Image<'_>) -> Result<Recipe> {
    let operations = plan(old, new);
    let mut groups: Vec<(u64, Vec<Operation>)> = Vec::new();
    // Where the next block is made, and what the current group has so far.
    let (mut at, mut blocks, mut weight) = (0, 0, 0);
    for operation in operations {
        if groups.is_empty() || weight >= GROUP_BYTES || blocks >= GROUP_BLOCKS {
            groups.push((at, Vec::new()));
            (blocks, weight) = (0, 0);
        }
        weight += weigh(&operation, old, new, at);
        blocks += operation.blocks();
        at += operation.blocks();
        if let Some((_, operations)) = groups.last_mut() {
            operations.push(operation);
        }
    }
    let packed: Vec<(Group, Vec<u8>)> = groups
        .into_par_iter()
        .map(|(first, operations)| pack(old, new, first, &operations))
        .collect::<Result<_>>()?;
    let (mut index, mut payload) = (
        Index {
            old_blocks: old.blocks(),
            new_blocks: new.blocks(),
            old_root: old.root,
            new_root: new.root,
            groups: Vec::new(),
        },
        Vec::new(),
    );
    for (mut group, bytes) in packed {
        group.offset = payload.len() as u64;
        payload.extend_from_slice(&bytes);
        index.groups.push(group);
    }
    let index = index.to_bytes();
    Index::parse(&index)?;
    Ok(Recipe { index, payload })
}

/// The bytes of an operation that the compressor will have to spell out.
fn weigh(operation: &Operation, old: &Image<'_>, new: &Image<'_>, first: u64) -> u64 {
    match operation {
        Operation::Copy { .. } | Operation::Zero { .. } => 0,
        Operation::Data { blocks } => blocks * BLOCK as u64,
        Operation::Patch { steps, .. } => {
            let (mut at, mut weight) = (first as usize * BLOCK, 0);
            for step in steps {
                let add = step.add as usize;
                let source = &old.bytes[step.source as usize..][..add];
                weight += source.iter().zip(&new.bytes[at..]).filter(|(a, b)| a != b).count() as u64;
                at += add + step.literal as usize;
                weight += step.literal;
            }
            weight
        }
    }
}

fn pack(old: &Image<'_>, new: &Image<'_>, first: u64, operations: &[Operation]) -> Result<(Group, Vec<u8>)> {
    let (mut differences, mut literals) = (Vec::new(), Vec::new());
    let start = first as usize * BLOCK;
    let mut at = start;
    for operation in operations {
        let length = operation.blocks() as usize * BLOCK;
        match operation {
            Operation::Copy { .. } | Operation::Zero { .. } => {}
            Operation::Data { .. } => literals.extend_from_slice(&new.bytes[at..at + length]),
            Operation::Patch { steps, .. } => {
                let mut at = at;
                for step in steps {
                    let (add, literal) = (step.add as usize, step.literal as usize);
                    let source = &old.bytes[step.source as usize..][..add];
                    differences
                        .extend(new.bytes[at..at + add].iter().zip(source).map(|(n, o)| n.wrapping_sub(*o)));
                    literals.extend_from_slice(&new.bytes[at + add..at + add + literal]);
                    at += add + literal;
                }
            }
        }
        at += length;
    }
    let control = control::encode(operations);
    if control.len() > MAX_CONTROL {
        return Err(Error::Image("the images differ in too many places for a recipe".into()));
    }
    let streams = [compressed(&control)?, compressed(&differences)?, compressed(&literals)?];
    let sizes = [streams[0].len() as u64, streams[1].len() as u64, streams[2].len() as u64];
    let payload = streams.concat();
    if payload.len() as u64 > MAX_PAYLOAD {
        return Err(Error::Image("the images have too little in common for a recipe".into()));
    }
    let group = Group {
        first,
        blocks: ((at - start) / BLOCK) as u64,
        offset: 0,
        sizes,
        payload: short_digest([payload.as_slice()]),
        output: short_digest([&new.bytes[start..at]]),
    };
    Ok((group, payload))
}

/// One zstd frame, or nothing of nothing.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    use zstd::zstd_safe::CParameter;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let run = || {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        // The index has digests of its own.
        compressor.set_parameter(CParameter::ChecksumFlag(false))?;
        compressor.compress(bytes)
    };
    run().map_err(Error::io("compress the recipe"))
}
