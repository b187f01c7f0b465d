//! Which device is the state partition: the one labelled so on the disk that the system runs from, looked up in sysfs.
//! A label on another disk counts for nothing: whoever plugs a disk in could otherwise replace the state.

use crate::error::{Result, refuse};
use lazuli_fs as fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The label of the partition, and of its file system.
pub const LABEL: &str = "state";

/// A sector of sysfs, whatever the disk's own are.
const SECTOR: u64 = 512;

/// The state partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its device node.
    pub device: PathBuf,
    /// Bytes of the disk behind it.
    pub free_behind: u64,
}

/// Finds it below `sys`, where the root file system lies on the device `number` ("major:minor").
pub fn find(sys: &Path, number: &str) -> Result<Partition> {
    let mut at = canonical(&sys.join("dev/block").join(number))?;
    // Through the first device of each mapping, then from a partition to its disk.
    while let Some(below) = fs::read_dir(at.join("slaves")).unwrap_or_default().into_iter().next() {
        at = canonical(&below)?;
    }
    if at.join("partition").exists() {
        at.pop();
    }
    let mut found = None;
    for entry in fs::read_dir(&at)? {
        if !entry.join("partition").exists() {
            continue;
        }
        let event = fs::read_to_string(entry.join("uevent"))?;
        if event.lines().any(|line| line.strip_prefix("PARTNAME=") == Some(LABEL)) {
            let end = sectors(&entry.join("start"))? + sectors(&entry.join("size"))?;
            let partition = Partition {
                device: node(&entry),
                free_behind: sectors(&at.join("size"))?.saturating_sub(end) * SECTOR,
            };
            if found.replace(partition).is_some() {
                return refuse(format!("{} has two partitions labelled {LABEL}", node(&at).display()));
            }
        }
    }
    match found {
        Some(partition) => Ok(partition),
        None => refuse(format!("{} has no partition labelled {LABEL}", node(&at).display())),
    }
}

/// The device that the root file system lies on.
pub fn root_number() -> Result<String> {
    let device = fs::metadata("/")?.dev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// The node that the kernel made for a device: `/dev/dm-1` and not the name in `/dev/mapper`.
pub fn node_of(sys: &Path, device: &Path) -> Result<PathBuf> {
    let number = fs::metadata(device)?.rdev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    Ok(node(&canonical(&sys.join("dev/block").join(number))?))
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|source| fs::Error::new("resolve", path, source).into())
}

fn node(entry: &Path) -> PathBuf {
    // Slashes in names of devices are exclamation marks in sysfs.
    Path::new("/dev").join(entry.file_name().unwrap_or_default().to_string_lossy().replace('!', "/"))
}

fn sectors(path: &Path) -> Result<u64> {
    match fs::read_to_string(path)?.trim().parse() {
        Ok(number) => Ok(number),
        Err(_) => refuse(format!("{} holds no number", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A disk with the partitions of an image, the root a mapping over the second and third; another disk beside it.
    fn machine(labels: &[&str]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let at = |path: &str| sys.path().join(path);
        for (disk, labels) in [("vda", labels), ("vdb", &["state"])] {
            fs::create_dir_all(at(&format!("devices/{disk}"))).unwrap();
            fs::write(at(&format!("devices/{disk}/size")), "1000000\n").unwrap();
            for (index, label) in labels.iter().enumerate() {
                let number = index + 1;
                let dir = at(&format!("devices/{disk}/{disk}{number}"));
                fs::create_dir_all(dir.join("slaves")).unwrap();
                fs::write(dir.join("partition"), format!("{number}\n")).unwrap();
                fs::write(dir.join("start"), format!("{}\n", 2048 + index * 1000)).unwrap();
                fs::write(dir.join("size"), "1000\n").unwrap();
                fs::write(
                    dir.join("uevent"),
                    format!("DEVTYPE=partition\nPARTN={number}\nPARTNAME={label}\n"),
                )
                .unwrap();
            }
        }
        fs::create_dir_all(at("devices/virtual/dm-0/slaves")).unwrap();
        symlink(at("devices/vda/vda2"), at("devices/virtual/dm-0/slaves/vda2")).unwrap();
        fs::create_dir_all(at("dev/block")).unwrap();
        symlink(at("devices/virtual/dm-0"), at("dev/block/253:0")).unwrap();
        sys
    }

    #[test]
    fn the_partition_is_that_of_the_disk_below_the_root() {
        let sys = machine(&["esp", "root-a", "verity-a", "state"]);
        let found = find(sys.path(), "253:0").unwrap();
        assert_eq!(found.device, Path::new("/dev/vda4"));
        assert_eq!(found.free_behind, (1_000_000 - (2048 + 4000)) * 512);
    }

    #[test]
    fn no_partition_of_another_disk_is_taken_and_no_one_of_two() {
        let sys = machine(&["esp", "root-a", "verity-a"]);
        assert!(find(sys.path(), "253:0").unwrap_err().to_string().contains("/dev/vda has no partition"));
        let sys = machine(&["state", "root-a", "verity-a", "state"]);
        assert!(find(sys.path(), "253:0").unwrap_err().to_string().contains("two partitions"));
    }
}
