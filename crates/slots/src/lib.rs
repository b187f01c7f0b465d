//! Slots on a disk: staging, applying, blessing and rolling back an image, each write in its order.
//!
//! # What must reach the disk before what
//!
//! A bar is a flush: all that is before it is on the disk before anything behind it is written.
//!
//! ```text
//! stage    the other slot's entry away │ its clusters free │
//!          partition table: label PRT#VERSION, GUIDs of nobody; backup │ read back │ primary │ read back │
//!          data blocks, those that differ │ read back, root hash compared │
//!          hash tree and superblock, if they differ │ read back │
//!          partition table: label os_VERSION, GUIDs of the root hash; backup │ read back │ primary │ read back │
//! apply    everything read back again │
//!          UKI: data and chain │ read back, SHA-256 compared │ name ID-VERSION+3-0.tmp │
//!          name ID-VERSION+3-0.efi: ONE SECTOR │
//! bless    name ID-VERSION.efi: ONE SECTOR │
//! rollback name ID-VERSION+0-0.efi: one sector, or the new name │ the old one away │
//! loader   data and chain │ read back │ cluster and size in the entry: ONE SECTOR │ old chain free │
//! ```
//!
//! Until the one sector of *apply* is written, firmware and boot loader find the old system and nothing else; from
//! then on they find the new one, whole. systemd-boot looks only at names that end with `.efi`.
//!
//! # Why so
//!
//! - The old entry goes before its slot is touched: a name must not lead to a slot that is half something else.
//! - GUIDs go before the data: should the entry come back (a flush that lied), its command line finds no partition
//!   instead of a slot that fails while it runs.
//! - GUIDs come before the entry, and the entry last of all: an entry that leads nowhere would burn a try.
//! - What later writes rely on is read back first: a write that got lost without an error is found while the old
//!   system is still whole.
//! - A backup table is written before the primary and never over the only good one: see [`lazuli_layout::gpt`].
//! - Nothing is written twice: each step looks first, so that a run after a cut does what is left.
//!
//! [`Engine`] does one [`Effect`](lazuli_layout::assess::Effect) at a time; which ones, [`lazuli_layout::assess`]
//! decides. [`fat`] has the order of writes on the EFI system partition.
//!
//! This crate must not know where a release comes from or whether it may be trusted: see [`Source`].

mod disk;
mod engine;
mod error;
pub mod fat;
mod host;
mod memory;

pub use disk::{Disk, FileDisk};
pub use engine::{
    Engine, Partitions, Performed, Progress, Recovery, Release, Settings, Source, Stage, UkiFile,
};
pub use error::{Error, Result};
pub use host::{Access, HostDisk};
pub use memory::MemoryFile;

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
