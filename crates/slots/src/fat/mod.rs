//! FAT32, changed so that a power cut at any write leaves every file whole (Microsoft's FAT32 File System
//! Specification 1.03).
//!
//! The kernel's driver writes in an order of its own, and what it promises for a rename is little. The partition
//! is therefore changed here, while it is not mounted, and every write is ours:
//!
//! ```text
//! create    data and chain (both FATs) │ read back │ the entries of the name, one sector
//! rename    the entries, one sector: the new name in the place of the old one
//!           or, without room there: the new entries, one sector │ the old entries away, one sector
//! replace   data and chain of the new content │ read back │ cluster and size in the entry, one sector │ the old chain free
//! remove    the entries away, one sector │ the chain free
//! grow      a directory: a cluster of zeros │ its link in the chain
//! ```
//!
//! `│` is a flush. So a chain is on the disk before an entry names it, and is named by nothing when it is freed: an
//! entry never leads to clusters that hold something else. What a cut can leave is a chain without an entry, or two
//! entries of one chain in the middle of a rename; [`Volume::sweep`] finds both.
//!
//! The entries of a name lie in one sector, because a sector is what a disk writes whole. Firmware that renames a
//! file may lay them across two; then the old name goes first with its short entry, whose absence alone makes
//! the long ones void.
//!
//! All numbers are little-endian.

mod dir;
mod edit;
mod sweep;

pub use dir::Entry;
pub use edit::Content;
pub use sweep::Sweep;

use crate::{Disk, Error, Result};
use lazuli_layout::SECTOR;
use std::collections::BTreeSet;

/// The bits of a FAT entry that are a cluster number.
const CLUSTER_MASK: u32 = 0x0fff_ffff;
/// From here on an entry ends a chain.
const END_OF_CHAIN: u32 = 0x0fff_fff8;
/// A cluster that cannot be used.
const BAD_CLUSTER: u32 = 0x0fff_fff7;
const SECTOR_LEN: usize = SECTOR as usize;
/// Entries of a FAT in one sector.
const PER_SECTOR: usize = SECTOR_LEN / 4;

/// A FAT32 file system on a part of a disk, with its first FAT in memory (4 bytes for each cluster).
pub struct Volume<'d> {
    disk: &'d mut dyn Disk,
    /// First byte on the disk.
    start: u64,
    geometry: Geometry,
    fat: Vec<u32>,
    /// Sectors of the FAT that were changed and not written.
    dirty: BTreeSet<usize>,
    /// Where the search for a free cluster goes on.
    next: u32,
    /// The time that new entries get, in seconds since 1970.
    time: i64,
}

/// Where things are, in sectors from the start of the partition.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    cluster_len: usize,
    reserved: u64,
    fats: u64,
    fat_sectors: u64,
    /// One more than the highest cluster number.
    end: u32,
    root: u32,
    info: u64,
}

impl Geometry {
    fn parse(sector: &[u8], size: u64) -> Result<Self> {
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let fail = |reason: &str| Err(Error::fat(reason));
        if sector[510..] != [0x55, 0xaa] || u16_at(11) != SECTOR as u32 {
            return fail("it has no boot sector of a FAT with sectors of 512 bytes");
        }
        let per_cluster = u32::from(sector[13]);
        let (reserved, fats, fat_sectors) = (u16_at(14), u32::from(sector[16]), u32_at(36));
        if u16_at(17) != 0 || u16_at(22) != 0 || !per_cluster.is_power_of_two() {
            return fail("it is not FAT32");
        }
        if !(1..=2).contains(&fats) || u16_at(40) & 0x80 != 0 {
            return fail("its FATs are not mirrored");
        }
        let sectors = u64::from(u32_at(32));
        let data = u64::from(reserved) + u64::from(fats) * u64::from(fat_sectors);
        if sectors * SECTOR > size || data >= sectors || reserved == 0 {
            return fail("it does not fit into its partition");
        }
        let clusters = (sectors - data) / u64::from(per_cluster);
        let end = u32::try_from(clusters + 2).unwrap_or(u32::MAX);
        let root = u32_at(44);
        if end > BAD_CLUSTER || u64::from(end) > u64::from(fat_sectors) * PER_SECTOR as u64 {
            return fail("its FAT is too small for its clusters");
        }
        if !(2..end).contains(&root) {
            return fail("its root directory lies outside of it");
        }
        Ok(Self {
            cluster_len: per_cluster as usize * SECTOR_LEN,
            reserved: u64::from(reserved),
            fats: u64::from(fats),
            fat_sectors: u64::from(fat_sectors),
            end,
            root,
            info: u64::from(u16_at(48)),
        })
    }
}

impl<'d> Volume<'d> {
    /// Opens the file system at `start` of a disk, in `size` bytes. Nothing is written.
    pub fn open(disk: &'d mut dyn Disk, start: u64, size: u64, time: i64) -> Result<Self> {
        let mut sector = [0; SECTOR_LEN];
        disk.read_at(start, &mut sector)?;
        let geometry = Geometry::parse(&sector, size)?;
        let mut bytes = vec![0; geometry.fat_sectors as usize * SECTOR_LEN];
        disk.read_at(start + geometry.reserved * SECTOR, &mut bytes)?;
        let fat = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Self { disk, start, geometry, fat, dirty: BTreeSet::new(), next: 2, time })
    }

    /// The bytes of a cluster.
    pub fn cluster_len(&self) -> u64 {
        self.geometry.cluster_len as u64
    }

    /// Bytes free.
    pub fn free(&self) -> u64 {
        let free = (2..self.geometry.end).filter(|c| self.value(*c) == 0).count();
        free as u64 * self.cluster_len()
    }

    fn value(&self, cluster: u32) -> u32 {
        self.fat[cluster as usize] & CLUSTER_MASK
    }

    fn set(&mut self, cluster: u32, value: u32) {
        let entry = &mut self.fat[cluster as usize];
        // The top four bits belong to nobody and stay.
        *entry = *entry & !CLUSTER_MASK | value & CLUSTER_MASK;
        self.dirty.insert(cluster as usize / PER_SECTOR);
    }

    /// First byte of a cluster on the disk.
    fn offset(&self, cluster: u32) -> u64 {
        let g = &self.geometry;
        self.start
            + (g.reserved + g.fats * g.fat_sectors) * SECTOR
            + u64::from(cluster - 2) * g.cluster_len as u64
    }

    /// The clusters of a chain.
    fn chain(&self, first: u32) -> Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut cluster = first;
        while cluster < END_OF_CHAIN {
            if !(2..self.geometry.end).contains(&cluster) || chain.len() > self.geometry.end as usize {
                return Err(Error::fat(format!("the chain of cluster {first} leads nowhere")));
            }
            chain.push(cluster);
            cluster = self.value(cluster);
        }
        Ok(chain)
    }

    /// Takes `count` free clusters and links them, in memory. The last ends the chain.
    fn allocate(&mut self, count: usize) -> Result<Vec<u32>> {
        let (next, end) = (self.next, self.geometry.end);
        let taken: Vec<u32> =
            (next..end).chain(2..next.min(end)).filter(|c| self.value(*c) == 0).take(count).collect();
        if taken.len() < count {
            return Err(Error::EspFull {
                needed: count as u64 * self.cluster_len(),
                free: taken.len() as u64 * self.cluster_len(),
            });
        }
        for (index, cluster) in taken.iter().enumerate() {
            self.set(*cluster, taken.get(index + 1).copied().unwrap_or(CLUSTER_MASK));
        }
        self.next = taken.last().map_or(next, |last| last + 1);
        Ok(taken)
    }

    /// Frees a chain, in memory.
    fn release(&mut self, chain: &[u32]) {
        for cluster in chain {
            self.set(*cluster, 0);
        }
        self.next = self.next.min(chain.iter().copied().min().unwrap_or(self.next));
    }

    /// Writes the changed sectors of the FAT, in all copies, and the number of free clusters. Does not flush.
    fn write_fat(&mut self) -> Result<()> {
        let g = self.geometry;
        // Runs of sectors that follow each other go in one write.
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for sector in std::mem::take(&mut self.dirty) {
            match runs.last_mut() {
                Some(run) if run.end == sector => run.end += 1,
                _ => runs.push(sector..sector + 1),
            }
        }
        for copy in 0..g.fats {
            for run in &runs {
                let entries = &self.fat[run.start * PER_SECTOR..run.end * PER_SECTOR];
                let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
                let sector = g.reserved + copy * g.fat_sectors + run.start as u64;
                self.disk.write_at(self.start + sector * SECTOR, &bytes)?;
            }
        }
        if !runs.is_empty() {
            self.write_info()?;
        }
        Ok(())
    }

    /// Writes the hint where free clusters are and how many. Nobody may rely on it, but checkers compare it.
    fn write_info(&mut self) -> Result<()> {
        if !(1..self.geometry.reserved).contains(&self.geometry.info) {
            return Ok(());
        }
        let at = self.start + self.geometry.info * SECTOR;
        let mut sector = [0; SECTOR_LEN];
        self.disk.read_at(at, &mut sector)?;
        if sector[..4] != *b"RRaA" || sector[484..488] != *b"rrAa" {
            return Ok(());
        }
        let free = (self.free() / self.cluster_len()) as u32;
        sector[488..492].copy_from_slice(&free.to_le_bytes());
        sector[492..496].copy_from_slice(&self.next.to_le_bytes());
        self.disk.write_at(at, &sector)
    }

    fn flush(&mut self) -> Result<()> {
        self.disk.flush()
    }
}
