//! Which operations make the new image of the old one.

use super::control::{Operation, Step};
use super::make::Image;
use crate::BLOCK;
use crate::matcher;
use crate::pair::Pairs;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Old bytes that one search may have: its suffix array takes four times as much memory.
const MAX_REFERENCE: u64 = 256 << 20;

/// Where a block of the new image is in the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    At(u64),
    Zero,
    Nowhere,
}

/// The operations in the order of the blocks that they make.
pub(super) fn plan(old: &Image<'_>, new: &Image<'_>) -> Vec<Operation> {
    let found = find_blocks(old, new);
    let pairs = Pairs::new(&old.files);
    let old_gaps = gaps(old);
    let mut regions: Vec<(Range<u64>, Reference)> = Vec::new();
    let mut done = 0;
    for file in &new.files {
        if file.start < done {
            continue; // Two files share blocks.
        }
        if file.start > done {
            regions.push((done..file.start, Reference::Gaps));
        }
        let reference = pairs.find(file).map(|old| old.start..old.start + old.blocks);
        done = file.start + file.blocks;
        regions.push((file.start..done, reference.map_or(Reference::Nothing, Reference::File)));
    }
    if done < new.blocks() {
        regions.push((done..new.blocks(), Reference::Gaps));
    }
    // Every gap is described by all old gaps, so their suffixes are sorted once, if at all.
    let gap_bytes: Vec<u8> = old_gaps.iter().flat_map(|range| &old.bytes[bytes(range)]).copied().collect();
    let gap_index = OnceLock::new();
    let parts: Vec<Vec<Operation>> = regions
        .into_par_iter()
        .map(|(region, reference)| {
            let found = &found[region.start as usize..region.end as usize];
            if !found.contains(&Found::Nowhere) {
                return blocks(found);
            }
            match reference {
                Reference::File(range) if size(&range) <= MAX_REFERENCE => {
                    let index = matcher::Index::new(&old.bytes[bytes(&range)]);
                    vec![patch(&index, new, &region, &[range])]
                }
                Reference::Gaps if (1..=MAX_REFERENCE).contains(&(gap_bytes.len() as u64)) => {
                    let index = gap_index.get_or_init(|| matcher::Index::new(&gap_bytes));
                    vec![patch(index, new, &region, &old_gaps)]
                }
                _ => blocks(found),
            }
        })
        .collect();
    joined(parts.into_iter().flatten())
}

/// What a region of the new image is described by.
enum Reference {
    Nothing,
    /// These blocks of the old image.
    File(Range<u64>),
    /// All that lies between the old files.
    Gaps,
}

/// The bytes of some blocks.
fn bytes(range: &Range<u64>) -> Range<usize> {
    range.start as usize * BLOCK..range.end as usize * BLOCK
}

/// The size of some blocks in bytes.
fn size(range: &Range<u64>) -> u64 {
    (range.end - range.start) * BLOCK as u64
}

/// What lies between the files: the superblock, inodes, directories.
fn gaps(image: &Image<'_>) -> Vec<Range<u64>> {
    let (mut gaps, mut done) = (Vec::new(), 0);
    for file in &image.files {
        if file.start > done {
            gaps.push(done..file.start);
        }
        done = done.max(file.start + file.blocks);
    }
    if done < image.blocks() {
        gaps.push(done..image.blocks());
    }
    gaps
}

/// Each block of the new image in the old one; where it is more than once, where it follows the one before.
fn find_blocks(old: &Image<'_>, new: &Image<'_>) -> Vec<Found> {
    let mut places: HashMap<&[u8; 32], u64> = HashMap::with_capacity(old.leaves.len());
    for (block, leaf) in old.leaves.iter().enumerate() {
        places.entry(leaf).or_insert(block as u64);
    }
    let mut next = 0_u64;
    let mut found = Vec::with_capacity(new.leaves.len());
    for leaf in &new.leaves {
        found.push(if *leaf == new.zero {
            Found::Zero
        } else if old.leaves.get(next as usize) == Some(leaf) {
            next += 1;
            Found::At(next - 1)
        } else if let Some(place) = places.get(leaf) {
            next = place + 1;
            Found::At(*place)
        } else {
            Found::Nowhere
        });
    }
    found
}

/// Blocks as they were found, the others as data.
fn blocks(found: &[Found]) -> Vec<Operation> {
    found
        .iter()
        .map(|found| match found {
            Found::At(source) => Operation::Copy { source: *source, blocks: 1 },
            Found::Zero => Operation::Zero { blocks: 1 },
            Found::Nowhere => Operation::Data { blocks: 1 },
        })
        .collect()
}

/// A region of the new image described by the joined extents of the old one whose suffixes are in `index`.
fn patch(
    index: &matcher::Index<'_>,
    new: &Image<'_>,
    region: &Range<u64>,
    reference: &[Range<u64>],
) -> Operation {
    let steps = index.describe(&new.bytes[bytes(region)]);
    let steps = steps.iter().flat_map(|step| placed(step, reference)).collect();
    Operation::Patch { blocks: region.end - region.start, steps }
}

/// A step whose source is a place in the joined extents, as steps with places in the image: one for each extent
/// that it touches.
fn placed(step: &matcher::Step, reference: &[Range<u64>]) -> Vec<Step> {
    let (mut source, mut left) = (step.source as u64, step.add as u64);
    let mut steps: Vec<Step> = Vec::new();
    for range in reference {
        let length = size(range);
        if source < length {
            let add = left.min(length - source);
            steps.push(Step { source: range.start * BLOCK as u64 + source, add, literal: 0 });
            left -= add;
            source = 0;
            if left == 0 {
                break;
            }
        } else {
            source -= length;
        }
    }
    match steps.last_mut() {
        Some(last) => last.literal = step.literal as u64,
        None => steps.push(Step { source: 0, add: 0, literal: step.literal as u64 }),
    }
    steps
}

/// The same with what belongs together in one operation.
fn joined(operations: impl Iterator<Item = Operation>) -> Vec<Operation> {
    let mut out: Vec<Operation> = Vec::new();
    for operation in operations {
        match (out.last_mut(), &operation) {
            (Some(Operation::Copy { source, blocks }), Operation::Copy { source: next, blocks: more })
                if *source + *blocks == *next =>
            {
                *blocks += more;
            }
            (Some(Operation::Zero { blocks }), Operation::Zero { blocks: more })
            | (Some(Operation::Data { blocks }), Operation::Data { blocks: more }) => *blocks += more,
            _ => out.push(operation),
        }
    }
    out
}
