//! The disk of the running system.
//!
//! Each partition is reached through its own device, the tables through the whole disk: the kernel keeps a cache for
//! each device, and two that hold the same bytes do not know of each other. The EFI system partition and the idle slot
//! are opened exclusively, which the kernel refuses while something is mounted or mapped there, and which in turn
//! keeps others from mounting them; the running slot is opened for reading only.

use crate::{Disk, Error, Result};
use lazuli_fs as fs;
use lazuli_fs::Context as _;
use lazuli_layout::{SECTOR, Slot};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// A part of the disk with a device of its own.
#[derive(Debug)]
struct Region {
    start: u64,
    len: u64,
    file: File,
    path: PathBuf,
    /// Written since the last flush; at first by somebody before, perhaps.
    dirty: bool,
}

/// The disk that the system was started from.
#[derive(Debug)]
pub struct HostDisk {
    /// The whole disk last; it stands for what is in no partition of ours.
    regions: Vec<Region>,
    size: u64,
    running: Slot,
}

/// Whether a disk is opened to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To look at it.
    Read,
    /// To change the idle slot, the EFI system partition and the tables.
    Write,
}

/// Finds the device-mapper device of the root file system and the partitions below it, in sysfs.
fn partitions_of_root(root: &Path) -> Result<Vec<PathBuf>> {
    let device = fs::metadata(root)?.dev();
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let slaves = root.join("sys/dev/block").join(number).join("slaves");
    fs::read_dir(&slaves).map_err(|_| Error::Layout {
        disk: "the root file system".to_owned(),
        reason: "it is not a verity device over two partitions; only hosts with whole images have slots"
            .to_owned(),
    })
}

/// The number in a file of sysfs.
fn number(path: &Path) -> Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(|_| Error::Layout {
        disk: path.display().to_string(),
        reason: "it holds no number".to_owned(),
    })
}

impl HostDisk {
    /// Finds and opens it. `root` is `/`.
    pub fn open(root: &Path, access: Access) -> Result<Self> {
        let below = partitions_of_root(root)?;
        let numbers = below.iter().map(|path| number(&path.join("partition"))).collect::<Result<Vec<_>>>()?;
        let running = match numbers.iter().min() {
            Some(2) => Slot::A,
            Some(4) => Slot::B,
            other => {
                return Err(Error::Layout {
                    disk: "the root file system".to_owned(),
                    reason: format!("it lies on partition {other:?} instead of 2 or 4"),
                });
            }
        };
        // A partition is a folder in that of its disk.
        let partition =
            std::path::absolute(&below[0]).and_then(|path| path.canonicalize()).at("resolve", &below[0])?;
        let disk = partition.parent().unwrap_or(&partition).to_owned();
        let mut regions = Vec::new();
        for entry in fs::read_dir(&disk)? {
            let Ok(partition) = number(&entry.join("partition")) else { continue };
            let writable = match partition {
                1 => true,
                2 | 3 => running == Slot::B,
                4 | 5 => running == Slot::A,
                _ => continue,
            };
            let path = device(root, &entry);
            let file = match (access, writable) {
                (Access::Write, true) => exclusive(root, &path, &entry)?,
                _ => fs::open(&path)?,
            };
            regions.push(Region {
                start: number(&entry.join("start"))? * SECTOR,
                len: number(&entry.join("size"))? * SECTOR,
                file,
                path,
                dirty: access == Access::Write,
            });
        }
        let path = device(root, &disk);
        let file = match access {
            Access::Read => fs::open(&path)?,
            Access::Write => File::from(
                rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at("open", &path)?,
            ),
        };
        let size = number(&disk.join("size"))? * SECTOR;
        regions.push(Region { start: 0, len: size, file, path, dirty: access == Access::Write });
        Ok(Self { regions, size, running })
    }

    /// The slot that the system was started from.
    pub const fn running(&self) -> Slot {
        self.running
    }

    /// The device that a range lies on, and the offset there.
    fn region(&self, offset: u64, len: usize) -> Result<(usize, u64)> {
        let end = offset.saturating_add(len as u64);
        let index = self
            .regions
            .iter()
            .position(|region| offset >= region.start && offset < region.start + region.len)
            .filter(|index| end <= self.regions[*index].start + self.regions[*index].len);
        index.map(|index| (index, offset - self.regions[index].start)).ok_or_else(|| Error::Layout {
            disk: self.name(),
            reason: format!("{len} bytes at {offset} cross the border of a partition"),
        })
    }
}

/// The device node of a folder in sysfs.
fn device(root: &Path, entry: &Path) -> PathBuf {
    // Slashes in names of devices are exclamation marks in sysfs.
    let name = entry.file_name().unwrap_or_default().to_string_lossy().replace('!', "/");
    root.join("dev").join(name)
}

/// Opens a partition that nothing else may use. What is mounted from it is unmounted, if nobody has files open there.
fn exclusive(root: &Path, path: &Path, entry: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let busy = || Error::Busy { device: path.display().to_string() };
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => return Ok(File::from(file)),
        Err(rustix::io::Errno::BUSY) => {}
        Err(errno) => return Err(errno).at("open", path).map_err(Error::from),
    }
    let number = fs::read_to_string(entry.join("dev"))?;
    for mount in mounts_of(&fs::read_to_string(root.join("proc/self/mountinfo"))?, number.trim()) {
        rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::NOFOLLOW).map_err(|_| busy())?;
    }
    rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|_| busy())
}

/// Where a device is mounted, innermost last, from the text of mountinfo (proc_pid_mountinfo(5)).
fn mounts_of(text: &str, number: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(2);
            (fields.next()? == number).then(|| fields.nth(1))?
        })
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .rev()
        .collect()
}

impl Disk for HostDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.regions.last().map(|region| region.path.display().to_string()).unwrap_or_default()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let (index, at) = self.region(offset, buffer.len())?;
        let region = &self.regions[index];
        Ok(region.file.read_exact_at(buffer, at).at("read", &region.path)?)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let (index, at) = self.region(offset, bytes.len())?;
        let region = &mut self.regions[index];
        region.dirty = true;
        Ok(region.file.write_all_at(bytes, at).at("write", &region.path)?)
    }

    fn flush(&mut self) -> Result<()> {
        for region in self.regions.iter_mut().filter(|region| region.dirty) {
            region.file.sync_data().at("flush", &region.path)?;
            region.dirty = false;
        }
        Ok(())
    }

    fn forget_cache(&mut self, offset: u64, len: u64) -> Result<()> {
        let (index, at) = self.region(offset, 0)?;
        let region = &self.regions[index];
        let len = std::num::NonZeroU64::new(len);
        Ok(rustix::fs::fadvise(&region.file, at, len, rustix::fs::Advice::DontNeed)
            .at("drop the cache of", &region.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_device_number() {
        let text = "22 1 253:0 / / ro - erofs /dev/dm-0 ro\n\
                    30 22 254:1 / /efi rw shared:9 - vfat /dev/vda1 rw\n\
                    31 22 254:1 / /mnt/a\\040b rw - vfat /dev/vda1 rw\n";
        assert_eq!(mounts_of(text, "254:1"), [PathBuf::from("/mnt/a b"), PathBuf::from("/efi")]);
        assert!(mounts_of(text, "254:2").is_empty());
    }

    #[test]
    fn a_machine_without_slots_is_told_so() {
        // Whatever this test runs on: its root is no verity device, or it may not be opened.
        let dir = tempfile::tempdir().unwrap();
        let error = HostDisk::open(dir.path(), Access::Read).unwrap_err().to_string();
        assert!(error.contains("only hosts with whole images have slots"), "{error}");
    }
}
