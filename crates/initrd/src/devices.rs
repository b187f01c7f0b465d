//! Looking for the partitions of the root, and for devices that have no driver yet, in sysfs.
//!
//! Both are looked at again and again instead of being told of by events: an event can be lost, a look cannot, and what is
//! looked at is small.

use crate::gpt::{self, Geometry, Guid, Partition};
use crate::table::DeviceNumber;
use crate::{Error, Result, file};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Beginnings of names of devices that no root is on, or that take long to say so (an empty drive).
const NOT_DISKS: [&str; 7] = ["dm-", "fd", "loop", "nbd", "ram", "sr", "zram"];
/// A table that cannot be read is tried so often: a disk may need a moment.
const TRIES: u32 = 20;
/// sysfs counts sectors of this length, whatever the disk has.
const SECTOR: u64 = 512;

/// What is known of a disk.
#[derive(Debug)]
struct Known {
    /// Its size and its number among all disks that there ever were: other ones are another disk.
    identity: (u64, Option<String>),
    table: Result<Vec<Partition>>,
    tries: u32,
}

/// The disks of the machine.
#[derive(Debug)]
pub struct Disks {
    /// `/sys`
    sys: PathBuf,
    /// `/dev`
    dev: PathBuf,
    known: BTreeMap<String, Known>,
}

impl Disks {
    /// Knows none yet.
    pub fn new(sys: &Path, dev: &Path) -> Self {
        Self { sys: sys.to_owned(), dev: dev.to_owned(), known: BTreeMap::new() }
    }

    /// Looks at what is there now. Tables are read once for each disk.
    pub fn look(&mut self) {
        let class = self.sys.join("class/block");
        let mut present = BTreeSet::new();
        for name in file::names(&class) {
            let dir = class.join(&name);
            if NOT_DISKS.iter().any(|no| name.starts_with(no)) || dir.join("partition").exists() {
                continue;
            }
            let size = file::number(&dir.join("size")).unwrap_or(0).saturating_mul(SECTOR);
            // A drive without a medium; one that the kernel sees no partitions on has none for us.
            if size == 0 || children(&dir, &name).next().is_none() {
                continue;
            }
            let identity = (size, file::attribute(&dir.join("diskseq")));
            let known = self.known.get(&name).filter(|known| known.identity == identity);
            let tries = known.map_or(0, |known| known.tries);
            if known.is_none_or(|known| known.table.is_err() && tries < TRIES) {
                let table = self.read(&dir, &name, size);
                self.known.insert(name.clone(), Known { identity, table, tries: tries + 1 });
            }
            present.insert(name);
        }
        self.known.retain(|name, _| present.contains(name));
    }

    /// The table of a disk.
    fn read(&self, dir: &Path, name: &str, size: u64) -> Result<Vec<Partition>> {
        let block = file::number(&dir.join("queue/logical_block_size")).and_then(|n| u32::try_from(n).ok());
        let geometry = Geometry { size, block: block.unwrap_or(512) };
        // In names, sysfs has `!` where /dev has a directory.
        let path = self.dev.join(name.replace('!', "/"));
        let disk = file::open(&path)?;
        gpt::partitions(geometry, |offset, buffer| disk.read_exact_at(buffer, offset))
            .map_err(|source| Error::Gpt { disk: name.to_owned(), source })
    }

    /// The device of the partition with this GUID, as of the last look.
    pub fn find(&self, guid: Guid) -> Option<DeviceNumber> {
        self.known.iter().find_map(|(name, known)| {
            let partitions = known.table.as_ref().ok()?;
            let wanted = partitions.iter().find(|partition| partition.guid == guid)?;
            let dir = self.sys.join("class/block").join(name);
            let child = children(&dir, name).find(|child| {
                // The place counts as well: the kernel might have read another copy of the table than we.
                file::number(&child.join("partition")) == Some(u64::from(wanted.number))
                    && file::number(&child.join("start")).and_then(|s| s.checked_mul(SECTOR))
                        == Some(wanted.start)
            })?;
            file::attribute(&child.join("dev"))?.parse().ok()
        })
    }

    /// What is there, for people: a line a disk.
    pub fn seen(&self) -> Vec<String> {
        let line = |(name, known): (&String, &Known)| match &known.table {
            Err(error) => error.to_string(),
            Ok(partitions) => {
                let guids: Vec<String> =
                    partitions.iter().map(|p| format!("{} {}", p.number, p.guid)).collect();
                format!("{name} with {}", guids.join(", "))
            }
        };
        self.known.iter().map(line).collect()
    }
}

/// The directories of a disk's partitions.
fn children(dir: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let dir = dir.to_owned();
    let begins = name.to_owned();
    file::names(&dir)
        .into_iter()
        .filter(move |child| child.starts_with(&begins))
        .map(move |child| dir.join(child))
        .filter(|child| child.join("partition").exists())
}

/// What all devices of all buses say of themselves, each text once.
pub fn modaliases(sys: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let buses = sys.join("bus");
    for bus in file::names(&buses) {
        let devices = buses.join(bus).join("devices");
        for device in file::names(&devices) {
            let alias = file::attribute(&devices.join(device).join("modalias"));
            found.extend(alias.filter(|alias| !alias.is_empty()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    // The real thing would name the path; a test that fails shows its line.
    #![allow(clippy::disallowed_methods)]

    use super::*;
    use crate::gpt::tests::disk;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        /// A disk with two partitions, as sysfs shows it.
        fn disk(&self, name: &str, guids: [u128; 2], seq: &str) {
            let content = disk(&guids);
            let dir = format!("sys/class/block/{name}");
            self.put(&format!("{dir}/size"), format!("{}\n", content.len() / 512));
            self.put(&format!("{dir}/diskseq"), seq);
            self.put(&format!("{dir}/queue/logical_block_size"), "512\n");
            for number in 1..3 {
                let child = format!("{dir}/{name}p{number}");
                self.put(&format!("{child}/partition"), format!("{number}\n"));
                self.put(&format!("{child}/start"), format!("{}\n", number << 11));
                self.put(&format!("{child}/dev"), format!("259:{number}\n"));
            }
            self.put(&format!("dev/{}", name.replace('!', "/")), content);
        }

        fn disks(&self) -> Disks {
            Disks::new(&self.0.path().join("sys"), &self.0.path().join("dev"))
        }
    }

    fn guid(number: u128) -> Guid {
        lazuli_layout::Guid::from_u128(number).to_string().parse().unwrap()
    }

    #[test]
    fn a_partition_is_found_by_its_guid_on_whatever_disk_it_comes() {
        let machine = Machine::new();
        let mut disks = machine.disks();
        disks.look();
        assert_eq!((disks.find(guid(2)), disks.seen().len()), (None, 0));
        machine.disk("nvme0n1", [8, 9], "1\n");
        machine.disk("cciss!c0d0", [1, 2], "2\n");
        disks.look();
        assert_eq!(disks.find(guid(2)).unwrap().to_string(), "259:2");
        assert_eq!(disks.find(guid(3)), None);
        assert!(disks.seen()[0].contains("cciss!c0d0 with 1 00000000-0000-0000-0000-000000000001, 2 "));
    }

    #[test]
    fn another_disk_under_the_same_name_is_read_again_and_one_that_left_is_forgotten() {
        let machine = Machine::new();
        let mut disks = machine.disks();
        machine.disk("sda", [1, 2], "1\n");
        disks.look();
        machine.disk("sda", [3, 4], "1\n");
        disks.look();
        assert!(disks.find(guid(1)).is_some(), "the same disk is read once");
        machine.disk("sda", [3, 4], "2\n");
        disks.look();
        assert!(disks.find(guid(1)).is_none() && disks.find(guid(4)).is_some());
        std::fs::remove_dir_all(machine.0.path().join("sys/class/block/sda")).unwrap();
        disks.look();
        assert!(disks.find(guid(4)).is_none());
    }

    #[test]
    fn a_partition_that_the_kernel_has_elsewhere_is_not_taken() {
        let machine = Machine::new();
        let mut disks = machine.disks();
        machine.disk("sda", [1, 2], "1\n");
        machine.put("sys/class/block/sda/sdap2/start", "4097\n");
        disks.look();
        assert!(disks.find(guid(1)).is_some() && disks.find(guid(2)).is_none());
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_said_and_tried_again() {
        let machine = Machine::new();
        let mut disks = machine.disks();
        machine.disk("sda", [1, 2], "1\n");
        machine.put("dev/sda", "torn");
        disks.look();
        assert!(disks.seen()[0].contains("sda: cannot be read"), "{:?}", disks.seen());
        machine.disk("sda", [1, 2], "1\n");
        disks.look();
        assert!(disks.find(guid(2)).is_some());
    }

    #[test]
    fn every_device_of_every_bus_is_asked() {
        let machine = Machine::new();
        machine.put("sys/bus/pci/devices/0000:00:01.0/modalias", "pci:v1\n");
        machine.put("sys/bus/usb/devices/1-1/modalias", "usb:v2\n");
        machine.put("sys/bus/usb/devices/1-2/modalias", "usb:v2\n");
        machine.put("sys/bus/usb/devices/usb1/uevent", "");
        let found: Vec<String> = modaliases(&machine.0.path().join("sys")).into_iter().collect();
        assert_eq!(found, ["pci:v1", "usb:v2"]);
    }
}
