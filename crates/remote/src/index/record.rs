//! The record of a package in the section `Package`.
//!
//! ```text
//! 0    19 texts, u32 each: name, version, release, arch, summary, description, packager, url, license,
//!      vendor, group, build host, source package, location; the rest is reserved
//! 76   epoch u32, 0xffff_ffff for none
//! 80   8 lists of dependencies, first u32 and number u32: provides, requires, conflicts, obsoletes,
//!      recommends, suggests, supplements, enhances
//! 144  files, first u32 and number u32
//! 152  file time i64, build time i64
//! 168  sizes, u64 each: package, installed, archive
//! 192  range of the header in the package, u64 each
//! 208  SHA-256 of the package
//! 240
//! ```

/// Bytes of a record.
pub(super) const SIZE: usize = 240;
/// No epoch.
pub(super) const NO_EPOCH: u32 = u32::MAX;

pub(super) const NAME: usize = 0;
pub(super) const EPOCH: usize = 76;
pub(super) const LISTS: usize = 80;
pub(super) const FILES: usize = 144;
pub(super) const TIMES: usize = 152;
pub(super) const SIZES: usize = 168;
pub(super) const HEADER: usize = 192;
pub(super) const CHECKSUM: usize = 208;
