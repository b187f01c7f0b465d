//! Power cuts, thought through: what firmware, systemd-boot, the kernel and dm-verity would do with every disk that a
//! cut may leave behind.
//!
//! An update runs on a [`Recording`] disk, which writes down every write and flush. Then [`explore`] goes through the
//! disks that a cut could have left: each prefix of the log, sector by sector, and random subsets of the sectors that
//! were written since the last flush, because a disk may reorder those and lose any of them. A sector of 512 bytes is
//! written whole or not. For each disk, [`Machine::start`] decides what would happen:
//!
//! ```text
//! firmware      primary partition table by its checksums, else the backup; the ESP; a loader whose content is signed
//! systemd-boot  EFI/Linux/*.efi: entries without tries last, then by version, newest first; takes a try by renaming
//! firmware      the UKI's content is signed: it is one of those that were ever released
//! kernel        the partition table again; partitions by the GUIDs that the command line names
//! dm-verity     every block of that slot is that of the image, and so is the hash tree
//! ```
//!
//! It must come up with the complete old or the complete new system, and no try may be burnt.
//!
//! # How it is fast
//!
//! A disk is an array of identifiers of sector contents. A state differs from the one before in few sectors, so all
//! sums are kept up to date sector by sector: how many sectors of a slot differ from each known image, and a
//! hash of the tables and of the ESP, by which decisions are looked up ([`state`]).
//!
//! The readers of tables and of FAT here are not those of `lazuli-slots`: a mistake in one is not made in the other. Only the
//! known images of a real disk ([`real`]) are read with those.

mod boot;
mod disk;
mod explore;
mod fat;
pub mod fixture;
mod gpt;
mod image;
mod random;
pub mod real;
mod sample;
pub mod state;
mod versions;

pub use boot::{Outcome, Rules};
pub use disk::{Event, Fault, Log, Recording, Sparse};
pub use explore::{Bad, Budget, Expectation, Report, explore};
pub use image::{Known, Machine};
pub use random::Random;
pub use sample::{Sample, sampled_states};
pub use versions::compare_versions;

/// Bytes of a sector.
pub const SECTOR: usize = 512;
