//! The records of a package. What a search or the solver looks at for many packages is in the section `Package`,
//! what is shown of a few in `Detail`: the less there is between two records, the fewer pages of the file a
//! question takes into memory.
//!
//! `Package`, texts in the section `Text`:
//!
//! ```text
//! 0    4 texts, u32 each: name, version, release, arch
//! 16   epoch u32, 0xffff_ffff for none; reserved u32
//! 24   8 lists of dependencies, first u32 and number u32: provides, requires, conflicts, obsoletes,
//!      recommends, suggests, supplements, enhances
//! 88
//! ```
//!
//! `Detail`, texts in the section `Prose`:
//!
//! ```text
//! 0    10 texts, u32 each: summary, description, packager, url, license, vendor, group, build host, source
//!      package, location
//! 40   files, first u32 and number u32
//! 48   file time i64, build time i64
//! 64   sizes, u64 each: package, installed, archive
//! 88   range of the header in the package, u64 each
//! 104  SHA-256 of the package
//! 136
//! ```

/// Bytes of a record in `Package`.
pub(super) const SIZE: usize = 88;
/// No epoch.
pub(super) const NO_EPOCH: u32 = u32::MAX;

pub(super) const NAME: usize = 0;
pub(super) const EPOCH: usize = 16;
pub(super) const LISTS: usize = 24;

/// The places in a record in `Detail`.
pub(super) mod detail {
    /// Bytes of a record.
    pub(crate) const SIZE: usize = 136;

    pub(crate) const FILES: usize = 40;
    pub(crate) const TIMES: usize = 48;
    pub(crate) const SIZES: usize = 64;
    pub(crate) const HEADER: usize = 88;
    pub(crate) const CHECKSUM: usize = 104;
}
