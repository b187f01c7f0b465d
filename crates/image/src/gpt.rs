//! GUID partition tables on files: the format is in [`lazuli_layout::gpt`].

pub use lazuli_layout::gpt::{Device, Partition, Table};

use crate::{Error, Result};
use lazuli_fs::Context as _;
use lazuli_layout::gpt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A file or block device.
#[derive(Debug)]
pub struct FileDevice<'a> {
    /// The file.
    pub file: &'a File,
    /// Its path, for errors.
    pub path: &'a Path,
    /// Whether a flush reaches the disk. `false` for an image under construction, which is given its
    /// name only when it is finished.
    pub durable: bool,
}

impl Device for FileDevice<'_> {
    type Error = Error;

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        Ok(self.file.write_all_at(bytes, offset).at("write", self.path)?)
    }

    fn flush(&mut self) -> Result<()> {
        if self.durable {
            self.file.sync_data().at("flush", self.path)?;
        }
        Ok(())
    }
}

impl From<gpt::Error> for Error {
    fn from(error: gpt::Error) -> Self {
        Self::format("partition table", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_layout::{Architecture, Guid, PartitionFlags, PartitionType};

    const MIB: u64 = 1 << 20;

    fn table() -> Table {
        let part = |kind: PartitionType, n, label: &str, start, len| Partition {
            kind: kind.guid(),
            guid: Guid::from_digest([n; 16]),
            label: label.into(),
            flags: PartitionFlags::NONE,
            start: start * MIB,
            len: len * MIB,
        };
        let mut root = part(PartitionType::Root(Architecture::X86_64), 2, "root", 9, 6);
        root.flags = PartitionFlags::GROW_FILE_SYSTEM;
        Table {
            guid: Guid::from_digest([7; 16]),
            size: 16 * MIB,
            partitions: vec![part(PartitionType::Esp, 1, "esp", 1, 8), root],
        }
    }

    #[test]
    fn sfdisk_and_sgdisk_agree_when_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let file = lazuli_fs::create_new(&path, 0o600).unwrap();
        file.set_len(16 * MIB).unwrap();
        table().write(&mut FileDevice { file: &file, path: &path, durable: false }).unwrap();
        if let Some(text) = crate::testing::tool("sfdisk", &["--json", path.to_str().unwrap()]) {
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let table = &json["partitiontable"];
            assert_eq!(table["label"], "gpt");
            assert_eq!(table["partitions"][0]["size"], 8 * MIB / 512);
            assert_eq!(table["partitions"][1]["name"], "root");
            assert_eq!(table["partitions"][1]["attrs"], "GUID:59");
            assert_eq!(table["partitions"][1]["type"], "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709");
        }
        if let Some(text) = crate::testing::tool("sgdisk", &["-v", path.to_str().unwrap()]) {
            assert!(text.contains("No problems found"), "{text}");
        }
    }
}
