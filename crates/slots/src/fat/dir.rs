//! Directories: reading, finding, and where the entries of a name go.

use super::{SECTOR_LEN, Volume};
use crate::{Error, Result};
use lazuli_layout::fat::{ATTRIBUTE_DIRECTORY, ATTRIBUTE_LONG_NAME, ATTRIBUTE_VOLUME, ENTRY, FREE, LongName};
use std::ops::Range;

/// Entries in a sector.
const PER_SECTOR: usize = SECTOR_LEN / ENTRY;

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: the long one if it has one.
    pub name: String,
    /// Its short name as it is on the disk.
    pub short: [u8; 11],
    /// First cluster; 0 for an empty file.
    pub cluster: u32,
    /// Length in bytes; 0 for a directory.
    pub size: u32,
    /// Whether it is a directory.
    pub directory: bool,
    /// Its entries in the directory, long ones first.
    pub(super) place: Range<usize>,
}

/// A directory in memory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// First cluster.
    pub cluster: u32,
    /// Where each sector is on the disk.
    pub sectors: Vec<u64>,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub entries: Vec<Entry>,
}

/// Where the entries of a name go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The entries.
    pub range: Range<usize>,
    /// Entries from the end of the directory on to before `range`, which must be marked free so that the directory
    /// does not end before `range`.
    pub fill: Range<usize>,
}

impl Directory {
    /// The number of entries that there is room for.
    fn capacity(&self) -> usize {
        self.bytes.len() / ENTRY
    }

    /// The entry that ends the directory, or the capacity.
    pub fn end(&self) -> usize {
        self.bytes.chunks_exact(ENTRY).position(|entry| entry[0] == 0).unwrap_or(self.capacity())
    }

    /// Finds a name; FAT knows no upper and lower case.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// A place for `count` entries in one sector. `None`: the directory must grow.
    pub fn place(&self, count: usize) -> Option<Place> {
        (0..self.capacity().div_ceil(PER_SECTOR)).find_map(|sector| self.place_in(sector, count, 0..0))
    }

    /// The same in one sector. The entries `own` count as free.
    fn place_in(&self, sector: usize, count: usize, own: Range<usize>) -> Option<Place> {
        let end = self.end();
        let free = |index: usize| index >= end || own.contains(&index) || self.bytes[index * ENTRY] == FREE;
        let last = (sector + 1) * PER_SECTOR;
        (sector * PER_SECTOR..(last + 1).saturating_sub(count))
            .find(|start| (*start..start + count).all(free))
            .map(|start| Place { range: start..start + count, fill: end.min(start)..start })
    }

    /// A place for `count` entries in the sector that the entries `own` are in, all of them, so that one write puts
    /// the new in the place of the old.
    pub fn place_over(&self, count: usize, own: &Range<usize>) -> Option<Place> {
        let sector = own.start / PER_SECTOR;
        if (own.end - 1) / PER_SECTOR != sector {
            return None;
        }
        self.place_in(sector, count, own.clone()).filter(|place| place.fill.is_empty())
    }

    /// The bytes of the sectors that a change of entries touches, as (offset on the disk, bytes).
    pub fn sectors_of(&self, entries: Range<usize>) -> Vec<(u64, &[u8])> {
        if entries.is_empty() {
            return Vec::new();
        }
        (entries.start / PER_SECTOR..=(entries.end - 1) / PER_SECTOR)
            .map(|sector| (self.sectors[sector], &self.bytes[sector * SECTOR_LEN..(sector + 1) * SECTOR_LEN]))
            .collect()
    }
}

impl Volume<'_> {
    /// Reads the directory that begins at a cluster.
    pub(super) fn directory(&self, cluster: u32) -> Result<Directory> {
        let cluster = if cluster == 0 { self.geometry.root } else { cluster };
        let len = self.geometry.cluster_len;
        let chain = self.chain(cluster)?;
        let mut bytes = vec![0; chain.len() * len];
        let mut sectors = Vec::new();
        for (cluster, bytes) in chain.iter().zip(bytes.chunks_exact_mut(len)) {
            let offset = self.offset(*cluster);
            self.disk.read_at(offset, bytes)?;
            sectors.extend((0..len / SECTOR_LEN).map(|n| offset + (n * SECTOR_LEN) as u64));
        }
        let mut directory = Directory { cluster, sectors, bytes, entries: Vec::new() };
        directory.entries = parse(&directory.bytes);
        Ok(directory)
    }

    /// Walks to a directory: the path from the root, with `/`. The root is the empty path.
    pub(super) fn walk(&self, path: &str) -> Result<Option<Directory>> {
        let mut directory = self.directory(0)?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let cluster = match directory.find(part) {
                Some(entry) if entry.directory => entry.cluster,
                Some(_) => return Err(Error::file(path, format!("`{part}` is not a directory"))),
                None => return Ok(None),
            };
            directory = self.directory(cluster)?;
        }
        Ok(Some(directory))
    }

    /// What is in a directory; nothing if it is not there.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>> {
        Ok(self.walk(path)?.map(|directory| directory.entries).unwrap_or_default())
    }

    /// Finds a file.
    pub fn find(&self, path: &str) -> Result<Option<Entry>> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(self.walk(directory)?.and_then(|d| d.find(name).cloned()))
    }

    /// Reads a file in pieces of at most one cluster.
    pub fn read_file(&self, entry: &Entry, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = entry.size as usize;
        let chain = if entry.cluster == 0 { Vec::new() } else { self.chain(entry.cluster)? };
        let mut buffer = vec![0; self.geometry.cluster_len];
        for cluster in chain {
            let len = left.min(buffer.len());
            self.disk.read_at(self.offset(cluster), &mut buffer)?;
            take(&buffer[..len])?;
            left -= len;
        }
        if left > 0 {
            return Err(Error::file(&entry.name, "its chain is shorter than its size"));
        }
        Ok(())
    }
}

/// The files and directories in the bytes of a directory, without `.`, `..` and the volume label.
fn parse(bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut long = LongName::default();
    for (index, entry) in bytes.chunks_exact(ENTRY).enumerate() {
        if entry[0] == 0 {
            break;
        }
        let attributes = entry[11];
        if entry[0] == FREE || attributes == ATTRIBUTE_LONG_NAME {
            if entry[0] == FREE {
                long = LongName::default();
            } else {
                long.piece(entry);
            }
            continue;
        }
        let mut short = [0; 11];
        short.copy_from_slice(&entry[..11]);
        let (name, pieces) = long.finish(&short);
        if attributes & ATTRIBUTE_VOLUME != 0 || short[0] == b'.' {
            continue;
        }
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        entries.push(Entry {
            name,
            short,
            cluster: u16_at(20) << 16 | u16_at(26),
            size: u16_at(28) | u16_at(30) << 16,
            directory: attributes & ATTRIBUTE_DIRECTORY != 0,
            place: index - pieces..index + 1,
        });
    }
    entries
}
