//! What power cuts leave behind, found and put in order.

use super::{BAD_CLUSTER, CLUSTER_MASK, Entry, PER_SECTOR, SECTOR_LEN, Volume};
use crate::{Error, Result};
use lazuli_layout::SECTOR;
use std::collections::BTreeMap;

/// What was put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Sectors of the second FAT that were not those of the first.
    pub mirrored: usize,
    /// Clusters that no name led to.
    pub freed: usize,
    /// Second names of files in the middle of a rename.
    pub unnamed: usize,
}

impl Volume<'_> {
    /// Puts in order what a power cut left: of two names for one chain the temporary or the counted one goes, chains
    /// that no name leads to are freed, and the second FAT says what the first one says. What a cut cannot have
    /// left, such as files that share a part of their chains, is an error and nothing is changed.
    pub fn sweep(&mut self) -> Result<Sweep> {
        let mut sweep = Sweep::default();
        let mut owner: BTreeMap<u32, (u32, String)> = BTreeMap::new();
        let mut superfluous: Vec<(u32, Entry)> = Vec::new();
        let mut directories = vec![(self.geometry.root, String::new())];
        let mut firsts: BTreeMap<u32, (u32, Entry)> = BTreeMap::new();
        while let Some((cluster, path)) = directories.pop() {
            self.claim(cluster, &path, &mut owner)?;
            for entry in self.directory(cluster)?.entries {
                let path = format!("{path}/{}", entry.name);
                if entry.directory {
                    directories.push((entry.cluster, path));
                    continue;
                }
                if entry.cluster == 0 {
                    continue;
                }
                if let Some((other_directory, other)) = firsts.get(&entry.cluster) {
                    // Only a rename within one directory leaves two names of one file.
                    if *other_directory != cluster || other.size != entry.size {
                        return Err(Error::fat(format!("`{path}` and `{}` share clusters", other.name)));
                    }
                    let (keep, goes) = if rank(&other.name) >= rank(&entry.name) {
                        (other.clone(), entry)
                    } else {
                        (entry, other.clone())
                    };
                    firsts.insert(keep.cluster, (cluster, keep));
                    superfluous.push((cluster, goes));
                    continue;
                }
                self.claim(entry.cluster, &path, &mut owner)?;
                firsts.insert(entry.cluster, (cluster, entry));
            }
        }
        for (directory, entry) in superfluous {
            self.remove_entries(directory, &entry.place)?;
            sweep.unnamed += 1;
        }
        let lost: Vec<u32> = (2..self.geometry.end)
            .filter(|c| !matches!(self.value(*c), 0 | BAD_CLUSTER) && !owner.contains_key(c))
            .collect();
        sweep.freed = lost.len();
        self.release(&lost);
        sweep.mirrored = self.mirror()?;
        if !self.dirty.is_empty() {
            self.write_fat()?;
            self.flush()?;
        }
        Ok(sweep)
    }

    fn claim(&self, first: u32, path: &str, owner: &mut BTreeMap<u32, (u32, String)>) -> Result<()> {
        for cluster in self.chain(first)? {
            if self.value(cluster) == 0 {
                return Err(Error::fat(format!("`{path}` leads to a free cluster")));
            }
            if let Some((_, other)) = owner.insert(cluster, (first, path.to_owned())) {
                return Err(Error::fat(format!("`{path}` and `{other}` share clusters")));
            }
        }
        Ok(())
    }

    /// Marks what differs between the FATs as to be written.
    fn mirror(&mut self) -> Result<usize> {
        let g = self.geometry;
        let mut differing = 0;
        for copy in 1..g.fats {
            let mut bytes = vec![0; g.fat_sectors as usize * SECTOR_LEN];
            self.disk.read_at(self.start + (g.reserved + copy * g.fat_sectors) * SECTOR, &mut bytes)?;
            for (index, sector) in bytes.chunks_exact(SECTOR_LEN).enumerate() {
                let first = &self.fat[index * PER_SECTOR..(index + 1) * PER_SECTOR];
                let same = sector
                    .chunks_exact(4)
                    .zip(first)
                    .all(|(b, entry)| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) == *entry);
                if !same && !self.dirty.contains(&index) {
                    self.dirty.insert(index);
                    differing += 1;
                }
            }
        }
        Ok(differing)
    }
}

/// Which of two names of a file is the one to keep: a name that nothing starts is worth least, and one without a
/// counter most, because a counter is taken off only when the image proved itself.
fn rank(name: &str) -> u8 {
    let program = name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("efi"));
    match (program, name.contains('+')) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    }
}

const _: () = assert!(BAD_CLUSTER < CLUSTER_MASK);
