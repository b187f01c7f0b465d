//! What can go wrong on a disk.

use lazuli_layout::{Slot, gpt};

/// Why something could not be done to a disk. Who can act is said in each message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, or a path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The partition table.
    #[error("the partition table cannot be used: {0}")]
    Table(#[from] gpt::Error),
    /// The partitions are not those of a host with two slots.
    #[error("{disk} is not laid out for two slots: {reason}")]
    Layout {
        /// The disk.
        disk: String,
        /// What is missing.
        reason: String,
    },
    /// The EFI system partition.
    #[error("the EFI system partition cannot be used: {0}; `fsck.vfat` may repair it")]
    Fat(String),
    /// A file on the EFI system partition.
    #[error("{path} on the EFI system partition: {reason}")]
    File {
        /// Path from its root.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No room on the EFI system partition.
    #[error(
        "the EFI system partition has {free} bytes free and {needed} are needed; remove what is not of this system from it"
    )]
    EspFull {
        /// Bytes needed.
        needed: u64,
        /// Bytes free, once everything that may go is gone.
        free: u64,
    },
    /// An image is larger than the slot.
    #[error("the image needs {needed} bytes and slot {slot} has {size}")]
    TooLarge {
        /// The slot.
        slot: Slot,
        /// Bytes of data or of the hash tree.
        needed: u64,
        /// Bytes of the partition.
        size: u64,
    },
    /// What was read back is not what was to be written.
    #[error("{what} was written and reads back differently: {detail}; the disk may be failing")]
    ReadBack {
        /// What it was.
        what: String,
        /// The digests.
        detail: String,
    },
    /// What came from the source is not what was promised.
    #[error("{what} is not what the release says: {detail}")]
    Source {
        /// What it was.
        what: String,
        /// How it differs.
        detail: String,
    },
    /// The state machine says no.
    #[error(transparent)]
    Refused(#[from] lazuli_layout::assess::Refusal),
    /// Something else uses the EFI system partition.
    #[error(
        "{device} is in use; it must not be mounted while it is changed: `umount` it, and leave it to systemd's automount"
    )]
    Busy {
        /// The device.
        device: String,
    },
    /// The memory of updates cannot be read.
    #[error(
        "{path} cannot be trusted: {reason}; no update is taken until it is removed, which also forgets which images failed"
    )]
    Memory {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// The result of an operation on a disk.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A file system error in words.
    pub(crate) fn fat(reason: impl Into<String>) -> Self {
        Self::Fat(reason.into())
    }

    /// A file on the EFI system partition.
    pub(crate) fn file(path: &str, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }
}
