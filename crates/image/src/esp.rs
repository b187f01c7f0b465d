//! The EFI system partition: a FAT32 file system that is a function of its files.
//!
//! ```text
//! sector 0        boot sector          sector 6   its copy
//! sector 1        FSInfo               sector 7   its copy
//! sector 32       FAT, twice; each a multiple of 4 KiB
//! then            clusters of 4 KiB, from number 2: directories in path order, then files, each in one piece
//! ```
//!
//! All numbers are little-endian. Volume ID and times are given, so two runs write the same bytes. The
//! file system is built in a [`SparseBuffer`]: 1 GiB of ESP costs what its files cost. (Written here
//! because the crate `fatfs` 0.3 gives `.` and `..` long names, which checkers take for damage.)

use crate::sparse::SparseBuffer;
use crate::{Error, Result};
use lazuli_layout::SECTOR;
use lazuli_layout::fat::{
    ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME, ENTRY, Names, Stamp, short_entry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek as _, SeekFrom, Write as _};

/// Clusters of 4 KiB: the page size, the block size of 4Kn disks, and small enough for FAT32 from
/// about 256 MiB on.
const CLUSTER: u64 = 4096;
const CLUSTER_SECTORS: u64 = CLUSTER / SECTOR;
const RESERVED: u64 = 32;
const BACKUP_BOOT: u64 = 6;
/// With fewer clusters every reader would take the file system for FAT16.
const FEWEST_CLUSTERS: u64 = 65_525;
const ROOT_CLUSTER: u32 = 2;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// FAT's own way to write a volume label: 11 bytes, padded with spaces.
const LABEL: &[u8; 11] = b"ESP        ";

/// What a file system is made with.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// Size in bytes.
    pub size: u64,
    /// Where the partition begins on the disk, in bytes.
    pub start: u64,
    /// Serial number.
    pub id: u32,
    /// The time of everything in it, in seconds since 1970.
    pub time: i64,
}

/// Where things are.
struct Geometry {
    sectors: u32,
    fat_sectors: u32,
    clusters: u32,
}

impl Geometry {
    fn of(size: u64) -> Result<Self> {
        let sectors = size / SECTOR;
        let mut fat_sectors = CLUSTER_SECTORS;
        let clusters = loop {
            let clusters = sectors.saturating_sub(RESERVED + 2 * fat_sectors) / CLUSTER_SECTORS;
            if (clusters + 2) * 4 <= fat_sectors * SECTOR {
                break clusters;
            }
            fat_sectors += CLUSTER_SECTORS;
        };
        let number = |n: u64| u32::try_from(n).ok().filter(|n| *n < 0x0fff_fff0);
        match (number(sectors), number(clusters)) {
            (Some(sectors), Some(clusters)) if u64::from(clusters) >= FEWEST_CLUSTERS => {
                Ok(Self { sectors, fat_sectors: fat_sectors as u32, clusters })
            }
            _ => Err(Error::format(
                "EFI system partition",
                format!("{size} bytes are too few or too many for FAT32"),
            )),
        }
    }

    fn offset(&self, cluster: u32) -> u64 {
        (RESERVED + 2 * u64::from(self.fat_sectors)) * SECTOR + u64::from(cluster - ROOT_CLUSTER) * CLUSTER
    }
}

/// A directory or file that was given its clusters.
#[derive(Debug, Clone, Copy)]
struct Place {
    cluster: u32,
    count: u32,
}

/// A name in its short form, and the entries of its long form.
type Name = ([u8; 11], Vec<u8>);

/// Makes a FAT32 file system with these files (path with `/` to content).
pub fn build(volume: &Volume, files: &BTreeMap<String, Vec<u8>>) -> Result<SparseBuffer> {
    let geometry = Geometry::of(volume.size)?;
    let stamp = Stamp::new(volume.time);
    let fail = |reason: String| Error::format("EFI system partition", reason);

    // Every directory with what is in it, by path; the root is the empty path.
    let mut directories: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([("", BTreeSet::new())]);
    for path in files.keys() {
        let mut path = path.as_str();
        while !path.is_empty() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            directories.entry(parent).or_default().insert(name);
            path = parent;
        }
    }
    // Short name and the entries of the long one, by directory and name.
    let mut names: BTreeMap<(&str, &str), Name> = BTreeMap::new();
    for (dir, children) in &directories {
        let mut given = Names::default();
        for child in children {
            names.insert((dir, child), given.add(child).map_err(|e| fail(e.to_string()))?);
        }
    }

    // Clusters: directories first, the root at number 2.
    let mut next = ROOT_CLUSTER;
    let mut place = |bytes: u64| {
        let count = u32::try_from(bytes.div_ceil(CLUSTER)).unwrap_or(u32::MAX);
        let place = Place { cluster: if count == 0 { 0 } else { next }, count };
        next = next.saturating_add(count);
        place
    };
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for (dir, children) in &directories {
        // The root has the label, every other directory `.` and `..`.
        let own = if dir.is_empty() { 1 } else { 2 };
        let entries: usize = children.iter().map(|child| names[&(*dir, *child)].1.len() / ENTRY + 1).sum();
        places.insert(dir, place(((own + entries) * ENTRY) as u64));
    }
    for (path, content) in files {
        if directories.contains_key(path.as_str()) {
            return Err(fail(format!("`{path}` is a file and a directory")));
        }
        places.insert(path, place(content.len() as u64));
    }
    let used = next - ROOT_CLUSTER;
    if used > geometry.clusters {
        let needed = u64::from(used) * CLUSTER;
        return Err(Error::TooSmall {
            what: "EFI system partition",
            needed,
            size: volume.size,
            key: "disk.esp",
        });
    }

    let mut disk = SparseBuffer::new(volume.size);
    let mut put = |at: u64, bytes: &[u8]| {
        disk.seek(SeekFrom::Start(at)).and_then(|_| disk.write_all(bytes)).map_err(|e| fail(e.to_string()))
    };
    for at in [0, BACKUP_BOOT] {
        put(at * SECTOR, &boot_sector(volume, &geometry))?;
        put((at + 1) * SECTOR, &info_sector(geometry.clusters - used, next))?;
    }
    let fat = allocation_table(places.values().copied(), next);
    for copy in [0, 1] {
        put((RESERVED + copy * u64::from(geometry.fat_sectors)) * SECTOR, &fat)?;
    }
    for (dir, children) in &directories {
        let mut entries = Vec::new();
        if dir.is_empty() {
            entries.extend_from_slice(&short_entry(LABEL, ATTRIBUTE_VOLUME, stamp, 0, 0));
        } else {
            let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
            // The root is not named by its cluster here.
            let above = if parent.is_empty() { 0 } else { places[parent].cluster };
            let dots = [(b".          ", places[dir].cluster), (b"..         ", above)];
            for (name, cluster) in dots {
                entries.extend_from_slice(&short_entry(name, ATTRIBUTE_DIRECTORY, stamp, cluster, 0));
            }
        }
        for child in children {
            let path = if dir.is_empty() { (*child).to_owned() } else { format!("{dir}/{child}") };
            let (short, long) = &names[&(*dir, *child)];
            entries.extend_from_slice(long);
            let cluster = places[path.as_str()].cluster;
            let (attributes, size) = match files.get(&path) {
                Some(content) => {
                    (ATTRIBUTE_ARCHIVE, u32::try_from(content.len()).map_err(|e| fail(e.to_string()))?)
                }
                None => (ATTRIBUTE_DIRECTORY, 0),
            };
            entries.extend_from_slice(&short_entry(short, attributes, stamp, cluster, size));
        }
        put(geometry.offset(places[dir].cluster), &entries)?;
    }
    for (path, content) in files {
        if !content.is_empty() {
            put(geometry.offset(places[path.as_str()].cluster), content)?;
        }
    }
    disk.rewind().map_err(|e| fail(e.to_string()))?;
    Ok(disk)
}

/// The entries of the FAT that are in use; all others are zero, which means free.
fn allocation_table(places: impl Iterator<Item = Place>, next: u32) -> Vec<u8> {
    let mut table = vec![0_u32; next as usize];
    // The media byte, and "unmounted properly, no errors".
    table[0] = 0x0fff_fff8;
    table[1] = END_OF_CHAIN;
    for place in places.filter(|p| p.count > 0) {
        let last = place.cluster + place.count - 1;
        for cluster in place.cluster..last {
            table[cluster as usize] = cluster + 1;
        }
        table[last as usize] = END_OF_CHAIN;
    }
    table.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}

fn boot_sector(volume: &Volume, geometry: &Geometry) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    // A jump over the parameters to an endless loop: nothing boots from here.
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"MSWIN4.1");
    put(11, &(SECTOR as u16).to_le_bytes());
    put(13, &[CLUSTER_SECTORS as u8]);
    put(14, &(RESERVED as u16).to_le_bytes());
    put(16, &[2]);
    put(21, &[0xf8]);
    put(24, &63_u16.to_le_bytes());
    put(26, &255_u16.to_le_bytes());
    put(28, &u32::try_from(volume.start / SECTOR).unwrap_or(0).to_le_bytes());
    put(32, &geometry.sectors.to_le_bytes());
    put(36, &geometry.fat_sectors.to_le_bytes());
    put(44, &ROOT_CLUSTER.to_le_bytes());
    put(48, &1_u16.to_le_bytes());
    put(50, &(BACKUP_BOOT as u16).to_le_bytes());
    put(64, &[0x80]);
    put(66, &[0x29]);
    put(67, &volume.id.to_le_bytes());
    put(71, LABEL);
    put(82, b"FAT32   ");
    put(90, &[0xeb, 0xfe]);
    put(510, &[0x55, 0xaa]);
    sector
}

/// How many clusters are free, and where the next free one is.
fn info_sector(free: u32, next: u32) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let mut put = |at: usize, value: u32| sector[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, 0x4161_5252);
    put(484, 0x6141_7272);
    put(488, free);
    put(492, next);
    put(508, 0xaa55_0000);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, tool};
    use fatfs::{FatType, FileSystem, FsOptions};
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    fn files() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), noise(90_001, 5)),
            ("EFI/Linux/lazuli-1.0.efi".to_owned(), noise(14_000_000, 6)),
            ("EFI/systemd/systemd-bootx64.efi".to_owned(), noise(4096, 5)),
            ("empty".to_owned(), Vec::new()),
            ("loader/loader.conf".to_owned(), b"timeout 0\n".to_vec()),
        ])
    }

    fn volume(mib: u64) -> Volume {
        Volume { size: mib << 20, start: 1 << 20, id: 0x1234_5678, time: 1_700_000_001 }
    }

    fn read_back(disk: &mut SparseBuffer, files: &BTreeMap<String, Vec<u8>>) {
        disk.rewind().unwrap();
        let fs = FileSystem::new(disk, FsOptions::new()).unwrap();
        assert_eq!((fs.fat_type(), fs.volume_id()), (FatType::Fat32, 0x1234_5678));
        for (name, content) in files {
            let mut found = Vec::new();
            fs.root_dir().open_file(name).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == *content, "{name}");
        }
    }

    #[test]
    fn files_are_found_and_a_checker_is_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("esp");
        let mut disk = build(&volume(1024), &files()).unwrap();
        let file = lazuli_fs::create_new(&path, 0o600).unwrap();
        file.set_len(1 << 30).unwrap();
        disk.write_to(&file, &path, 0).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 < 32 << 20, "the rest is holes");
        read_back(&mut disk, &files());
        disk.rewind().unwrap();
        let fs = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        let stats = fs.stats().unwrap();
        // Root, EFI, BOOT, Linux, systemd, loader, and the files.
        let used = 6 + 22 + 3418 + 1 + 1;
        assert_eq!(stats.total_clusters() - stats.free_clusters(), used);
        tool("fsck.vfat", &["-n", "-v", path.to_str().unwrap()]);
    }

    #[test]
    fn a_directory_of_many_files_takes_several_clusters() {
        let many: BTreeMap<String, Vec<u8>> =
            (0..300).map(|n| (format!("EFI/Linux/lazuli-{n}+3-0.efi"), vec![n as u8; 10])).collect();
        read_back(&mut build(&volume(300), &many).unwrap(), &many);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let bytes = || {
            let mut all = Vec::new();
            build(&volume(300), &files()).unwrap().read_to_end(&mut all).unwrap();
            all
        };
        assert!(bytes() == bytes());
    }

    #[test]
    fn what_does_not_fit_or_cannot_be_is_an_error() {
        let big = BTreeMap::from([("a".to_owned(), vec![1; 261 << 20])]);
        let error = build(&volume(260), &big).unwrap_err().to_string();
        assert!(error.contains("disk.esp"), "{error}");
        assert!(build(&volume(200), &files()).is_err(), "too small for FAT32");
        let both = BTreeMap::from([("a".to_owned(), vec![]), ("a/b".to_owned(), vec![])]);
        assert!(build(&volume(260), &both).unwrap_err().to_string().contains("a file and a directory"));
    }
}
