//! The disk layout that the image builder and the agents on a host share: partition types, slots,
//! labels, names on the EFI system partition.
//!
//! Specifications: UEFI 2.10 chapter 5 (GPT), UAPI.2 Discoverable Partitions (type UUIDs, flags),
//! UAPI.1 Boot Loader (names and boot counters of unified kernel images).
//!
//! # Layout
//!
//! ```text
//! LBA 0         protective MBR
//! LBA 1..33     primary GPT
//! 1 MiB         ESP, 1 GiB                    label "esp"
//! then, core:            root, ext4           label "root"; grows on first boot
//! then, container-host:  root and verity of slot A, of slot B (label "os_VERSION", "_empty" when free), state
//! last 33 LBAs  backup GPT
//! ```
//!
//! Every partition begins and ends on a multiple of [`ALIGNMENT`]. A partition once shipped never has
//! to grow except the last one, hence the generous ESP.
//!
//! This crate knows names and numbers, the bytes of the partition table and of FAT directories, what a release
//! is ([`manifest`]), and what follows from what about updates ([`assess`], [`Soak`]); it reads and writes
//! nothing.

pub mod assess;
pub mod fat;
pub mod gpt;
mod guid;
pub mod manifest;
mod partition;
mod slot;
mod soak;
mod version;

pub use guid::{Guid, ParseGuidError};
pub use partition::{Architecture, PartitionFlags, PartitionType};
pub use slot::{BootCounter, LabelError, Slot, SlotLabel, UkiName};
pub use soak::{Gate, Outcome, Soak, Verdict};
pub use version::{Version, VersionError};

/// The size of the EFI system partition in bytes: room for several unified kernel images for as long
/// as the machine lives.
pub const ESP_SIZE: u64 = 1 << 30;

/// Where partitions begin and end, in bytes. Also the unit that Azure wants disk sizes to be a
/// multiple of.
pub const ALIGNMENT: u64 = 1 << 20;

/// The logical sector size of images in bytes.
pub const SECTOR: u64 = 512;

/// The partition label of the EFI system partition.
pub const ESP_LABEL: &str = "esp";

/// The partition and file-system label of the root of an image without slots.
pub const ROOT_LABEL: &str = "root";

/// The partition label of what a machine with slots keeps.
pub const STATE_LABEL: &str = "state";

/// Paths on the EFI system partition.
pub mod esp {
    /// What firmware starts when no boot entry is set, x86-64 (UEFI 2.10, 3.5.1.1).
    pub const FALLBACK_X86_64: &str = "EFI/BOOT/BOOTX64.EFI";
    /// What firmware starts when no boot entry is set, arm64.
    pub const FALLBACK_ARM64: &str = "EFI/BOOT/BOOTAA64.EFI";
    /// systemd-boot under its own name, x86-64.
    pub const SYSTEMD_BOOT_X86_64: &str = "EFI/systemd/systemd-bootx64.efi";
    /// systemd-boot under its own name, arm64.
    pub const SYSTEMD_BOOT_ARM64: &str = "EFI/systemd/systemd-bootaa64.efi";
    /// The directory of unified kernel images.
    pub const UKI_DIRECTORY: &str = "EFI/Linux";
    /// The configuration of systemd-boot.
    pub const LOADER_CONF: &str = "loader/loader.conf";
}
