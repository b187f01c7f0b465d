//! The metadata of one repository in a file that is mapped into memory and asked without being read.
//!
//! # Layout
//!
//! All numbers are little endian, all offsets in bytes from the start of the file, all sections aligned to
//! eight bytes.
//!
//! ```text
//! 0    magic "LZLINDEX"
//! 8    version of the layout, u32 ([`VERSION`])
//! 12   number of sections, u32 ([`SECTIONS`])
//! 16   SHA-256 of the metadata that it was made from
//! 48   length of the file, u64
//! 56   checksum of the bytes 0..56 and of the section table (FNV-1a), u64
//! 64   section table: offset u64, length u64 for each section
//! ```
//!
//! | section | content |
//! |---|---|
//! | `Prose` | strings that are only shown: length u32, bytes |
//! | `Text` | strings that are looked at: length u32, bytes; a *text* elsewhere is the offset of its length in this section, u32 |
//! | `Package` | records of [`record::SIZE`] bytes, see [`record`] |
//! | `Detail` | records of [`record::detail::SIZE`] bytes, their texts in `Prose`, see [`record`] |
//! | `Dependency` | name text, flags u32, version text |
//! | `File` | path text, kind u32 (0 file, 1 directory, 2 ghost) |
//! | `Posting` | u32 each: package numbers, or numbers of dependencies |
//! | `Owner` | u32 each: the package of each dependency |
//! | `Names`, `Provided`, `Paths`, `Obsoleted`, `Supplemented`, `Required` | lookup tables: text, first posting, number of postings, u32 each, sorted by the bytes of the text |
//!
//! # Trust
//!
//! The file is made from verified metadata and lies in a directory that only its user writes to. Opening
//! checks the header and that every section lies in the file; after that no access can leave it, because
//! each one is checked: what is damaged is missing, or reads as empty, and never more than that.

mod build;
mod read;
mod record;
mod text;

pub use build::{Builder, build};
pub use read::Index;

/// The layout's version. A file of another version is made again.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"LZLINDEX";
/// Header and section table.
const SECTIONS: usize = 14;
const TABLE: usize = 64;
const BODY: usize = TABLE + SECTIONS * 16;

/// The sections in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Prose,
    Text,
    Package,
    Detail,
    Dependency,
    File,
    Posting,
    Owner,
    Names,
    Provided,
    Paths,
    Obsoleted,
    Supplemented,
    Required,
}

/// FNV-1a, 64 bits: notices a header that was not written to its end.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
