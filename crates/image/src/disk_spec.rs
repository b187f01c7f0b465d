//! The part of an image's description that is about its disk.

use lazuli_layout::{ALIGNMENT, ESP_SIZE};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The disk of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DiskSpec {
    /// The size of the EFI system partition.
    pub esp: Size,
    /// The root partition.
    pub root: RootSpec,
    /// The partition at the end for what a machine keeps, empty in the image; only with slots. It grows on
    /// first boot.
    pub state: Option<Size>,
    /// What is written.
    pub formats: Vec<Format>,
}

impl Default for DiskSpec {
    fn default() -> Self {
        Self { esp: Size(ESP_SIZE), root: RootSpec::default(), state: None, formats: vec![Format::Raw] }
    }
}

/// The root partition, or the root partitions of an image with slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RootSpec {
    /// ext4: its size in the image, 2GiB by default; it grows on first boot. erofs: the size of the root
    /// partition of each slot, by default twice that of the file system; it can never grow.
    pub size: Option<Size>,
    /// Its file system.
    pub filesystem: FileSystem,
    /// How file contents are kept; only for erofs.
    pub compression: Compression,
}

/// File systems of a root partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// ext4, read-write.
    #[default]
    Ext4,
    /// erofs, read-only and proved by dm-verity, in two slots of which one runs while the other is written.
    Erofs,
}

/// Compression of file contents in erofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// None: blocks of an unchanged file stay as they are and where differences of a changed one are small they
    /// are small on the disk, so updates are; nothing is unpacked at boot.
    #[default]
    None,
    /// zstd in clusters of 64 KiB: less than half the space and reads, larger updates.
    Zstd,
}

/// Formats of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The disk as it is, sparse.
    Raw,
    /// QEMU's copy-on-write format, compressed.
    Qcow2,
    /// Azure's fixed VHD.
    Vhd,
}

impl Format {
    /// The ending of a file in this format.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// A size in bytes, written as `512MiB` or `2GiB`; a multiple of 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let units = [("MiB", 20), ("GiB", 30), ("TiB", 40)];
        units
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim(), 1_u64 << shift)))
            .and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit))
            .filter(|size| *size > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size such as 512MiB or 2GiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30)] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}MiB", self.0 / ALIGNMENT)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// FAT32 needs 65,525 clusters; with clusters of 4 KiB that is a little over 256 MiB.
const SMALLEST_ESP: u64 = 260 << 20;
/// The root of an image without slots, unless it says otherwise.
const ROOT_SIZE: Size = Size(2 << 30);
/// The state partition, unless the image says otherwise: enough for a first boot on a disk that cannot grow.
const STATE_SIZE: Size = Size(256 << 20);

impl DiskSpec {
    /// What a single key cannot say about itself.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.esp.0 < SMALLEST_ESP {
            return Err(format!("disk.esp: {} is too small for FAT32; give at least 260MiB", self.esp));
        }
        if self.formats.is_empty() {
            return Err("disk.formats is empty; name at least one of raw, qcow2, vhd".into());
        }
        if self.root.filesystem != FileSystem::Erofs {
            if self.root.compression != Compression::None {
                return Err("disk.root.compression: only for erofs".into());
            }
            if self.state.is_some() {
                return Err(
                    "disk.state: only an image with slots (disk.root.filesystem = \"erofs\") has it".into()
                );
            }
        }
        Ok(())
    }

    /// Bytes of the root partition of an image without slots.
    pub fn root_size(&self) -> u64 {
        self.root.size.unwrap_or(ROOT_SIZE).0
    }

    /// Bytes of the state partition of an image with slots.
    pub fn state_size(&self) -> u64 {
        self.state.unwrap_or(STATE_SIZE).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_as_they_are_written() {
        for text in ["1MiB", "1536MiB", "2GiB", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert!("99999999999TiB".parse::<Size>().is_err());
    }
}
