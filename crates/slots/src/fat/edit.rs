//! Changes, each in the order that the top of [`super`] has.

use super::dir::{Directory, Place};
use super::{Entry, PER_SECTOR, SECTOR_LEN, Volume};
use crate::hex;
use crate::{Error, Result};
use lazuli_layout::SECTOR;
use lazuli_layout::fat::{ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ENTRY, FREE, Names, Stamp, short_entry};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;

/// Content for a file.
pub struct Content<'r> {
    /// The bytes. More than `len` are an error, as are fewer.
    pub bytes: &'r mut dyn Read,
    /// How many.
    pub len: u64,
    /// Their SHA-256. What was written is read back from the disk and compared before any name leads to it.
    pub sha256: [u8; 32],
}

impl Volume<'_> {
    /// Makes a directory with all those above it, where they are missing.
    pub fn make_directory(&mut self, path: &str) -> Result<()> {
        let mut above = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let parent = self.walk(&above)?.ok_or_else(|| Error::file(&above, "it is gone"))?;
            if parent.find(part).is_none() {
                self.make_one_directory(&parent, part)?;
            }
            above = format!("{above}/{part}");
        }
        // An existing file in the way is found here.
        self.walk(path).map(drop)
    }

    fn make_one_directory(&mut self, parent: &Directory, name: &str) -> Result<()> {
        let stamp = Stamp::new(self.time);
        let cluster = self.allocate(1)?[0];
        let mut bytes = vec![0; self.geometry.cluster_len];
        // The root is not named by its cluster here.
        let above = if parent.cluster == self.geometry.root { 0 } else { parent.cluster };
        for (place, (name, cluster)) in
            bytes.chunks_exact_mut(ENTRY).zip([(b".          ", cluster), (b"..         ", above)])
        {
            place.copy_from_slice(&short_entry(name, ATTRIBUTE_DIRECTORY, stamp, cluster, 0));
        }
        self.disk.write_at(self.offset(cluster), &bytes)?;
        self.write_fat()?;
        self.flush()?;
        let (short, mut set) = names_of(parent).add(name).map_err(|e| Error::file(name, e.to_string()))?;
        set.extend_from_slice(&short_entry(&short, ATTRIBUTE_DIRECTORY, stamp, cluster, 0));
        self.add_entries(parent.cluster, &set)
    }

    /// Writes a new file. It must not be there; its directory must.
    ///
    /// Data and chain reach the disk before the name does: whoever finds the name finds all of the file.
    pub fn create(&mut self, path: &str, source: Content<'_>) -> Result<()> {
        let (directory, name) = self.directory_of(path)?;
        if directory.find(&name).is_some() {
            return Err(Error::file(path, "it is there already"));
        }
        let len = u32::try_from(source.len).map_err(|_| Error::file(path, "it is larger than 4 GiB"))?;
        // Refused before anything is written.
        let (short, mut set) =
            names_of(&directory).add(&name).map_err(|e| Error::file(path, e.to_string()))?;
        let cluster = self.write_content(path, source)?;
        let stamp = Stamp::new(self.time);
        set.extend_from_slice(&short_entry(&short, ATTRIBUTE_ARCHIVE, stamp, cluster, len));
        self.add_entries(directory.cluster, &set)
    }

    /// Gives a file new content under its name. Readers find the old or the new one, whole.
    pub fn replace(&mut self, path: &str, source: Content<'_>) -> Result<()> {
        let (mut directory, name) = self.directory_of(path)?;
        let Some(entry) = directory.find(&name).filter(|entry| !entry.directory).cloned() else {
            return Err(Error::file(path, "it is not there"));
        };
        let len = u32::try_from(source.len).map_err(|_| Error::file(path, "it is larger than 4 GiB"))?;
        let old = if entry.cluster == 0 { Vec::new() } else { self.chain(entry.cluster)? };
        let cluster = self.write_content(path, source)?;
        let last = entry.place.end - 1;
        let new = short_entry(&entry.short, ATTRIBUTE_ARCHIVE, Stamp::new(self.time), cluster, len);
        directory.bytes[last * ENTRY..(last + 1) * ENTRY].copy_from_slice(&new);
        self.write_entries(&directory, last..last + 1)?;
        self.release(&old);
        self.write_fat()?;
        self.flush()
    }

    /// Renames a file within its directory.
    ///
    /// One write of one sector if the new name fits where the old one is; else the new name appears first, and for a
    /// moment the file has both.
    pub fn rename(&mut self, path: &str, to: &str) -> Result<()> {
        let (mut directory, name) = self.directory_of(path)?;
        let Some(entry) = directory.find(&name).cloned() else {
            return Err(Error::file(path, "it is not there"));
        };
        if directory.find(to).is_some() {
            return Err(Error::file(path, format!("it cannot become `{to}`, which is there already")));
        }
        self.clear_tail(&mut directory)?;
        // In place, the old short name is free again.
        let (short, mut set) =
            names_without(&directory, &entry, None).add(to).map_err(|e| Error::file(path, e.to_string()))?;
        // All but the name stays as it is.
        let last = (entry.place.end - 1) * ENTRY;
        set.extend_from_slice(&short);
        set.extend_from_slice(&directory.bytes[last + 11..last + ENTRY]);
        let count = set.len() / ENTRY;
        if let Some(place) = directory.place_over(count, &entry.place) {
            mark_free(&mut directory, entry.place.clone());
            put(&mut directory, &place, &set);
            return self.write_entries(&directory, place.range);
        }
        // The short name of the old entries is still there, so the new one must differ from it.
        let (short, mut set) = names_without(&directory, &entry, Some(entry.short))
            .add(to)
            .map_err(|e| Error::file(path, e.to_string()))?;
        set.extend_from_slice(&short);
        set.extend_from_slice(&directory.bytes[last + 11..last + ENTRY]);
        self.add_entries(directory.cluster, &set)?;
        self.remove_entries(directory.cluster, &entry.place)
    }

    /// Removes a file: its name first, then its chain is free.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        let (directory, name) = self.directory_of(path)?;
        let Some(entry) = directory.find(&name).filter(|entry| !entry.directory).cloned() else {
            return Err(Error::file(path, "it is not there"));
        };
        let chain = if entry.cluster == 0 { Vec::new() } else { self.chain(entry.cluster)? };
        self.remove_entries(directory.cluster, &entry.place)?;
        self.release(&chain);
        self.write_fat()?;
        self.flush()
    }

    /// Of several names of one file keeps one: the others go, and the chain stays. `names` may be gone already.
    pub fn keep_only(&mut self, directory: &str, keep: &str, names: &[Entry]) -> Result<()> {
        for name in names.iter().filter(|name| !name.name.eq_ignore_ascii_case(keep)) {
            let found = self.list(directory)?;
            let kept = found.iter().find(|entry| entry.name.eq_ignore_ascii_case(keep));
            let goes = found.iter().find(|entry| entry.name == name.name);
            if let (Some(kept), Some(goes)) = (kept, goes) {
                if kept.cluster != goes.cluster {
                    self.remove(&format!("{directory}/{}", goes.name))?;
                    continue;
                }
                let cluster = self.walk(directory)?.map_or(0, |directory| directory.cluster);
                self.remove_entries(cluster, &goes.place)?;
            }
        }
        Ok(())
    }

    /// Takes the entries of a name away, and leaves the chain.
    pub(super) fn remove_entries(&mut self, cluster: u32, place: &Range<usize>) -> Result<()> {
        let mut directory = self.directory(cluster)?;
        let last = place.end - 1;
        mark_free(&mut directory, last..place.end);
        let one = directory.sectors_of(place.clone()).len() == 1;
        if !one {
            // Without the short entry the long ones in the sector before are void.
            self.write_entries(&directory, last..place.end)?;
        }
        mark_free(&mut directory, place.clone());
        self.write_entries(&directory, place.clone())
    }

    fn directory_of(&self, path: &str) -> Result<(Directory, String)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let found = self.walk(directory)?.ok_or_else(|| Error::file(directory, "it is not there"))?;
        Ok((found, name.to_owned()))
    }

    /// Writes content to free clusters and their chain, flushes, and reads it back.
    fn write_content(&mut self, path: &str, source: Content<'_>) -> Result<u32> {
        let Content { bytes: content, len, sha256 } = source;
        let cluster_len = self.geometry.cluster_len;
        let count = usize::try_from(len.div_ceil(cluster_len as u64)).unwrap_or(usize::MAX);
        let chain = self.allocate(count)?;
        let short = |e: std::io::Error| Error::file(path, format!("its content cannot be read: {e}"));
        let mut left = len as usize;
        let mut index = 0;
        while index < chain.len() {
            // Clusters that follow each other go in one write, up to 1 MiB.
            let most = (1 << 20) / cluster_len;
            let run =
                1 + chain[index..].windows(2).take(most.max(1) - 1).take_while(|w| w[1] == w[0] + 1).count();
            let mut buffer = vec![0; run * cluster_len];
            let bytes = left.min(buffer.len());
            content.read_exact(&mut buffer[..bytes]).map_err(short)?;
            self.disk.write_at(self.offset(chain[index]), &buffer)?;
            left -= bytes;
            index += run;
        }
        if content.read(&mut [0]).map_err(short)? != 0 {
            return Err(Error::file(path, format!("its content is longer than {len} bytes")));
        }
        self.write_fat()?;
        self.flush()?;
        self.read_back(path, &chain, len as usize, sha256)?;
        Ok(chain.first().copied().unwrap_or(0))
    }

    fn read_back(&mut self, path: &str, chain: &[u32], len: usize, sha256: [u8; 32]) -> Result<()> {
        self.check_fat(chain)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; self.geometry.cluster_len];
        let mut left = len;
        for cluster in chain {
            let offset = self.offset(*cluster);
            self.disk.forget_cache(offset, buffer.len() as u64)?;
            self.disk.read_at(offset, &mut buffer)?;
            let bytes = left.min(buffer.len());
            hasher.update(&buffer[..bytes]);
            left -= bytes;
        }
        let found: [u8; 32] = hasher.finalize().into();
        if found == sha256 {
            return Ok(());
        }
        let detail = format!("SHA-256 {} instead of {}", hex(&found), hex(&sha256));
        Err(Error::Source { what: path.to_owned(), detail })
    }

    /// Whether all FATs on the medium lead through a chain as the one in memory does.
    fn check_fat(&mut self, chain: &[u32]) -> Result<()> {
        let g = self.geometry;
        let sectors: BTreeSet<usize> = chain.iter().map(|cluster| *cluster as usize / PER_SECTOR).collect();
        for copy in 0..g.fats {
            for sector in &sectors {
                let entries = &self.fat[sector * PER_SECTOR..(sector + 1) * PER_SECTOR];
                let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
                let at = self.start + (g.reserved + copy * g.fat_sectors + *sector as u64) * SECTOR;
                self.expect(at, &bytes, "the FAT")?;
            }
        }
        Ok(())
    }

    /// Puts a set of entries into a directory: one sector makes the name appear. Flushes.
    fn add_entries(&mut self, cluster: u32, set: &[u8]) -> Result<()> {
        let mut directory = self.directory(cluster)?;
        let count = set.len() / ENTRY;
        if count > SECTOR_LEN / ENTRY {
            return Err(Error::fat("a name is too long to be written in one sector"));
        }
        self.clear_tail(&mut directory)?;
        if directory.place(count).is_none() {
            directory = self.grow(&directory)?;
        }
        let place = directory.place(count).ok_or_else(|| Error::fat("a directory that grew has no room"))?;
        let fill = place.fill.clone();
        let sector = |index: usize| index * ENTRY / SECTOR_LEN;
        put(&mut directory, &place, set);
        if !fill.is_empty() && sector(fill.start) != sector(place.range.start) {
            // Behind the end of the directory nobody reads: what makes the name appear is that the directory goes on.
            self.write_entries(&directory, place.range)?;
            self.write_entries(&directory, fill)
        } else {
            self.write_entries(&directory, place.range)
        }
    }

    /// Behind its end a directory must be zero, as entries that are put there end it anew.
    fn clear_tail(&mut self, directory: &mut Directory) -> Result<()> {
        let end = directory.end();
        let tail = end * ENTRY..directory.bytes.len();
        if directory.bytes[tail.clone()].iter().any(|byte| *byte != 0) {
            directory.bytes[tail.clone()].fill(0);
            self.write_entries(directory, end..tail.end / ENTRY)?;
        }
        Ok(())
    }

    /// Gives a directory one more cluster. The zeros are there before the chain leads to them.
    fn grow(&mut self, directory: &Directory) -> Result<Directory> {
        let chain = self.chain(directory.cluster)?;
        let more = self.allocate(1)?[0];
        let zeros = vec![0; self.geometry.cluster_len];
        self.disk.write_at(self.offset(more), &zeros)?;
        self.write_fat()?;
        self.flush()?;
        self.expect(self.offset(more), &zeros, "a new cluster")?;
        if let Some(last) = chain.last() {
            self.set(*last, more);
        }
        self.write_fat()?;
        self.flush()?;
        self.directory(directory.cluster)
    }

    /// Writes the sectors that hold these entries, flushes, and reads them back: what follows relies on a name being
    /// there, or gone.
    fn write_entries(&mut self, directory: &Directory, range: Range<usize>) -> Result<()> {
        let sectors = directory.sectors_of(range);
        for (offset, bytes) in &sectors {
            self.disk.write_at(*offset, bytes)?;
        }
        self.flush()?;
        for (offset, bytes) in sectors {
            self.expect(offset, bytes, "a directory")?;
        }
        Ok(())
    }

    /// Whether the medium holds these bytes.
    fn expect(&mut self, offset: u64, bytes: &[u8], what: &str) -> Result<()> {
        let mut there = vec![0; bytes.len()];
        self.disk.forget_cache(offset, bytes.len() as u64)?;
        self.disk.read_at(offset, &mut there)?;
        if there == bytes {
            return Ok(());
        }
        let detail = format!("{} bytes at {offset}", bytes.len());
        Err(Error::ReadBack { what: format!("{what} of the EFI system partition"), detail })
    }
}

/// The names that a directory has.
fn names_of(directory: &Directory) -> Names {
    let mut names = Names::default();
    for entry in &directory.entries {
        names.taken(&entry.name, entry.short);
    }
    names
}

/// The same without one; a short name may be taken all the same.
fn names_without(directory: &Directory, entry: &Entry, short: Option<[u8; 11]>) -> Names {
    let mut names = Names::default();
    for other in directory.entries.iter().filter(|other| *other != entry) {
        names.taken(&other.name, other.short);
    }
    if let Some(short) = short {
        names.taken("", short);
    }
    names
}

fn mark_free(directory: &mut Directory, range: Range<usize>) {
    for index in range {
        directory.bytes[index * ENTRY] = FREE;
    }
}

fn put(directory: &mut Directory, place: &Place, set: &[u8]) {
    mark_free(directory, place.fill.clone());
    directory.bytes[place.range.start * ENTRY..place.range.end * ENTRY].copy_from_slice(set);
}
