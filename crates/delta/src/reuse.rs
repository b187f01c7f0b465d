//! Reusing blocks: what a host on an unknown image does, and one with no image at all.
//!
//! The publisher lists the first [`LEAF`] bytes of the dm-verity digest of each block of the new image. The host
//! has the digests of its own blocks already, in the hash tree of its running slot, which the kernel verifies;
//! because the salt is the product's and not the release's, equal blocks have equal digests. So it knows without
//! reading a block which it has. Only frames of the full image ([`frames`](crate::frames)) with blocks that are
//! missing are fetched.
//!
//! Two blocks with equal short digests by accident or malice end in another root hash, which is refused; then
//! the host takes the full image ([`Plan::full`]).
//!
//! # The list
//!
//! [`LEAF`] bytes for each block in order, and nothing else.

use crate::frames::Index;
use crate::io::Writer;
use crate::recipe::Parts;
use crate::{BLOCK, Error, Held, ReadAt, Report, Result, WriteAt};
use lazuli_verity::{Salt, hash_block};
use rayon::prelude::*;
use std::collections::HashMap;
use std::io::Read as _;

/// How many bytes of a digest are listed.
pub const LEAF: usize = 8;

const WHAT: &str = "the list of leaf hashes";

/// Blocks that are read and hashed at a time: 1 MiB.
const BATCH: usize = 256;

/// The list of an image.
pub fn list(leaves: &[[u8; 32]]) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| leaf[..LEAF].to_vec()).collect()
}

/// The first bytes of a digest.
pub fn short(leaf: &[u8; 32]) -> [u8; LEAF] {
    let mut short = [0; LEAF];
    short.copy_from_slice(&leaf[..LEAF]);
    short
}

/// Where a block comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The slot that is written has it in its place.
    There,
    Zero,
    /// This block of the running slot.
    Old(u64),
    /// The full image.
    Fetched,
}

/// Where the blocks of a new image come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    places: Vec<Place>,
}

impl Plan {
    /// Everything is fetched.
    pub fn full(blocks: u64) -> Self {
        Self { places: vec![Place::Fetched; blocks as usize] }
    }

    /// Compares the list of the new image with what there is. `zero` is the digest of a block of zeros, `old` has
    /// the digests of the running slot in order, `slot` those of the slot that is written, as far as they are
    /// known.
    pub fn new(
        list: &[u8],
        blocks: u64,
        zero: [u8; LEAF],
        old: impl IntoIterator<Item = [u8; LEAF]>,
        slot: impl IntoIterator<Item = [u8; LEAF]>,
    ) -> Result<Self> {
        let (wanted, rest) = list.as_chunks::<LEAF>();
        if wanted.len() as u64 != blocks || !rest.is_empty() {
            return Err(Error::format(WHAT, format!("{} bytes do not list {blocks} blocks", list.len())));
        }
        let mut known: HashMap<[u8; LEAF], u64> = HashMap::new();
        for (block, leaf) in old.into_iter().enumerate() {
            known.entry(leaf).or_insert(block as u64);
        }
        let mut slot = slot.into_iter();
        let places = wanted
            .iter()
            .map(|leaf| {
                if slot.next() == Some(*leaf) {
                    Place::There
                } else if *leaf == zero {
                    Place::Zero
                } else {
                    known.get(leaf).map_or(Place::Fetched, |block| Place::Old(*block))
                }
            })
            .collect();
        Ok(Self { places })
    }

    /// Looks which blocks the slot that is written holds in their places already, by hashing it: after a reboot,
    /// or of an older image. `list` is the list of the new image.
    pub fn keep(&mut self, list: &[u8], salt: &Salt, slot: &dyn ReadAt) -> Result<()> {
        let (wanted, _) = list.as_chunks::<LEAF>();
        if wanted.len() != self.places.len() {
            return Err(Error::format(
                WHAT,
                format!("it lists {} of {} blocks", wanted.len(), self.places.len()),
            ));
        }
        self.places.par_chunks_mut(BATCH).zip(wanted.par_chunks(BATCH)).enumerate().try_for_each(
            |(batch, (places, wanted))| {
                let at = (batch * BATCH * BLOCK) as u64;
                let mut buffer = vec![0; places.len() * BLOCK];
                slot.read_at(at, &mut buffer)
                    .map_err(Error::io(format!("read the idle slot at byte {at}")))?;
                for ((place, leaf), block) in places.iter_mut().zip(wanted).zip(buffer.chunks(BLOCK)) {
                    if short(hash_block(salt, block).as_bytes()) == *leaf {
                        *place = Place::There;
                    }
                }
                Ok(())
            },
        )
    }

    /// How many blocks are fetched.
    pub fn missing(&self) -> u64 {
        self.places.iter().filter(|place| **place == Place::Fetched).count() as u64
    }

    fn places(&self, index: &Index, frame: usize) -> &[Place] {
        let blocks = index.blocks_of(frame);
        self.places.get(blocks.start as usize..blocks.end as usize).unwrap_or_default()
    }

    fn needs(&self, index: &Index, frame: usize) -> bool {
        self.places(index, frame).contains(&Place::Fetched)
    }

    /// How many bytes of the full image are fetched.
    pub fn bytes(&self, index: &Index) -> u64 {
        let size = |frame| index.range(frame).end - index.range(frame).start;
        (0..index.len()).filter(|frame| self.needs(index, *frame)).map(size).sum()
    }

    /// Makes the new image in `slot`. `parts` is the image file. Nothing is flushed, and nothing is proved: see
    /// the crate.
    pub fn run(
        &self,
        index: &Index,
        parts: &mut dyn Parts,
        old: &dyn ReadAt,
        slot: &dyn WriteAt,
        held: Held,
    ) -> Result<Report> {
        if self.places.len() as u64 != index.blocks {
            let reason = format!("it lists {} blocks, the image has {}", self.places.len(), index.blocks);
            return Err(Error::format(WHAT, reason));
        }
        let mut writer = Writer::new(slot, held, 0);
        let mut skipped = 0;
        let numbers: Vec<usize> = (0..index.len()).collect();
        let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
        // Frames that follow each other are asked for at once.
        for run in numbers.chunk_by(|a, b| self.needs(index, *a) == self.needs(index, *b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            if !self.needs(index, *first) {
                skipped += run.len() as u64;
                for frame in run {
                    self.make(index, *frame, &[], old, &mut writer)?;
                }
                continue;
            }
            let range = index.range(*first).start..index.range(*last).end;
            let mut stream = parts.open(range).map_err(Error::io("fetch the full image"))?;
            for frame in run {
                let range = index.range(*frame);
                packed.clear();
                (&mut stream)
                    .take(range.end - range.start)
                    .read_to_end(&mut packed)
                    .map_err(Error::io("fetch the full image"))?;
                index.unpack(*frame, &packed, &mut unpacked)?;
                self.make(index, *frame, &unpacked, old, &mut writer)?;
            }
        }
        let mut report = writer.finish()?;
        report.skipped_parts = skipped;
        Ok(report)
    }

    /// Writes the blocks of one frame.
    fn make<W: WriteAt + ?Sized>(
        &self,
        index: &Index,
        frame: usize,
        unpacked: &[u8],
        old: &dyn ReadAt,
        writer: &mut Writer<'_, W>,
    ) -> Result<()> {
        let first = index.blocks_of(frame).start;
        for (offset, place) in self.places(index, frame).iter().enumerate() {
            if *place == Place::There {
                writer.kept(1);
                continue;
            }
            writer.seek(first + offset as u64)?;
            let mut done = 0;
            writer.put(BLOCK as u64, |room| {
                match place {
                    Place::Old(block) => {
                        let at = block * BLOCK as u64 + done;
                        old.read_at(at, room)
                            .map_err(Error::io(format!("read the running slot at byte {at}")))?;
                    }
                    Place::Fetched => {
                        let at = offset * BLOCK + done as usize;
                        room.copy_from_slice(&unpacked[at..at + room.len()]);
                    }
                    Place::Zero | Place::There => room.fill(0),
                }
                done += room.len() as u64;
                Ok(())
            })?;
        }
        Ok(())
    }
}
