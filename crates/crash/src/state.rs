//! A disk that a cut may have left, with sums that follow each sector that changes.
//!
//! - for each slot and each known image: how many of the image's sectors are not there;
//! - a hash of the partition tables and one of the ESP: the exclusive or of a hash of each (sector, content).
//!
//! What would happen depends on nothing else ([`State::key`]).

use crate::SECTOR;
use crate::image::Machine;
use crate::random::mix;

/// Sectors at both ends of a disk that hold its tables.
const TABLE: u64 = 34;

/// A disk.
#[derive(Debug, Clone)]
pub struct State<'m> {
    pub(crate) machine: &'m Machine,
    sectors: Vec<u32>,
    /// Sectors missing, by slot and image.
    missing: [Vec<u32>; 2],
    tables: u64,
    esp: u64,
}

/// All that a decision depends on.
pub(crate) type Key = (u64, u64, u64);

impl<'m> State<'m> {
    /// The disk before the update.
    pub fn new(machine: &'m Machine) -> Self {
        let sectors = machine.base.clone();
        let missing = [0, 1].map(|slot| {
            let count = |image: &crate::Known| {
                image
                    .parts
                    .iter()
                    .zip(&machine.places.slots[slot])
                    .map(|(wanted, place)| {
                        let there = &sectors[place.start as usize..place.end as usize];
                        if wanted.len() > there.len() {
                            return u32::MAX / 2;
                        }
                        wanted.iter().zip(there).filter(|(a, b)| a != b).count() as u32
                    })
                    .sum()
            };
            machine.known.iter().map(count).collect()
        });
        let state = Self { machine, sectors, missing, tables: 0, esp: 0 };
        let hash = |range: std::ops::Range<u64>| {
            range.fold(0, |sum, sector| sum ^ hash_of(sector, state.sectors[sector as usize]))
        };
        let count = state.sectors();
        let tables = hash(0..TABLE.min(count)) ^ hash(count.saturating_sub(TABLE)..count);
        let esp = hash(machine.places.esp.clone());
        Self { tables, esp, ..state }
    }

    /// Sectors of the disk.
    pub fn sectors(&self) -> u64 {
        self.sectors.len() as u64
    }

    /// The bytes of a sector; zeros beyond the disk, and of sectors in slots.
    pub fn bytes(&self, sector: u64) -> &'m [u8; SECTOR] {
        self.machine.contents.bytes(self.content(sector))
    }

    /// The number of the content of a sector.
    pub(crate) fn content(&self, sector: u64) -> u32 {
        usize::try_from(sector).ok().and_then(|sector| self.sectors.get(sector)).copied().unwrap_or(0)
    }

    /// Whether all of an image is in a slot, data and hash tree.
    pub(crate) fn is_complete(&self, slot: usize, image: usize) -> bool {
        self.missing[slot][image] == 0
    }

    /// Changes a sector and returns what was there.
    pub(crate) fn set(&mut self, sector: u64, content: u32) -> u32 {
        let old = std::mem::replace(&mut self.sectors[sector as usize], content);
        if old == content {
            return old;
        }
        let places = &self.machine.places;
        if places.esp.contains(&sector) {
            self.esp ^= hash_of(sector, old) ^ hash_of(sector, content);
            return old;
        }
        for (missing, places) in self.missing.iter_mut().zip(&places.slots) {
            for (part, place) in places.iter().enumerate() {
                if place.contains(&sector) {
                    let index = (sector - place.start) as usize;
                    for (missing, image) in missing.iter_mut().zip(&self.machine.known) {
                        if let Some(wanted) = image.parts[part].get(index) {
                            *missing += u32::from(*wanted == old);
                            *missing -= u32::from(*wanted == content);
                        }
                    }
                    return old;
                }
            }
        }
        if sector < TABLE || sector >= self.sectors.len() as u64 - TABLE {
            self.tables ^= hash_of(sector, old) ^ hash_of(sector, content);
        }
        old
    }

    pub(crate) fn key(&self) -> Key {
        let complete =
            self.missing.iter().flatten().fold(0, |bits, missing| bits << 1 | u64::from(*missing == 0));
        (self.tables, self.esp, complete)
    }
}

fn hash_of(sector: u64, content: u32) -> u64 {
    mix(mix(sector).wrapping_add(u64::from(content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, Sizes};
    use crate::image::Step;
    use crate::{Random, Rules};

    /// Sums that follow single sectors are those that are made from the whole disk.
    #[test]
    fn sums_follow_every_sector() {
        let fixture = Fixture::new(4, Sizes { blocks: 20, uki: 5000, ..Sizes::default() });
        let mut machine = fixture.machine(Rules::default());
        let steps = machine.steps(&fixture.updated().log);
        let mut random = Random::new(1);
        let mut state = State::new(&machine);
        let mut undo = Vec::new();
        for step in &steps {
            let Step::Write { sector, content } = step else { continue };
            if random.below(3) > 0 {
                undo.push((*sector, state.set(*sector, *content)));
            }
        }
        let mut other = machine.clone();
        other.base.clone_from(&state.sectors);
        let fresh = State::new(&other);
        assert_eq!((state.key(), &state.missing), (fresh.key(), &fresh.missing));
        for (sector, old) in undo.into_iter().rev() {
            state.set(sector, old);
        }
        let fresh = State::new(&machine);
        assert_eq!((state.key(), &state.missing), (fresh.key(), &fresh.missing));
    }
}
