//! RPM headers: an index of entries and a data store, big-endian.
//!
//! ```text
//! 0   8e ad e8 01 00 00 00 00     magic and version
//! 8   il u32                      number of index entries
//! 12  dl u32                      size of the store in bytes
//! 16  il * {tag, type, offset, count: u32}
//!     store
//! ```
//!
//! The first entry is a *region*: the entries that its 16-byte trailer in the store counts, and the store
//! up to the end of that trailer, belong together and are covered by digests and signatures. Entries
//! after the region are not; only the package database has such. Limits are those of RPM itself, and as
//! there the data of the entries must come in the order of the index without overlapping, so that
//! reading a header costs no more than its size.

mod package;
mod write;

pub use write::{HeaderBuilder, Value};

use crate::tag::{self, Type};
use std::collections::HashSet;

/// The first eight bytes.
pub const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The most index entries.
const MAX_ENTRIES: usize = 0xffff;
/// The largest store in bytes.
const MAX_STORE: usize = 0x0fff_ffff;
/// Size of an index entry, and of the trailer of a region.
const ENTRY: usize = 16;

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("RPM header, byte {offset}: {reason}")]
pub struct Error {
    /// Offset from the start of the header in bytes.
    pub offset: usize,
    /// What is wrong.
    pub reason: String,
}

/// One index entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Tag.
    pub tag: u32,
    /// Type.
    pub kind: Type,
    /// Offset in the store in bytes.
    pub offset: usize,
    /// Number of values; of bytes for binary data.
    pub count: usize,
    /// Length in the store in bytes.
    pub len: usize,
}

/// A header that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    store: usize,
}

fn error(offset: usize, reason: impl Into<String>) -> Error {
    Error { offset, reason: reason.into() }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)
}

impl Header {
    /// Reads a header with its magic at the start of `input`, which may be longer.
    pub fn parse(input: &[u8]) -> Result<Self, Error> {
        if input.get(..8) != Some(&MAGIC[..]) {
            return Err(error(0, "the magic number is not that of a header"));
        }
        let (Some(il), Some(dl)) = (word(input, 8), word(input, 12)) else {
            return Err(error(8, "the file ends in the intro"));
        };
        let (il, dl) = (il as usize, dl as usize);
        if il == 0 || il > MAX_ENTRIES {
            return Err(error(8, format!("{il} entries: there must be 1 to {MAX_ENTRIES}")));
        }
        if dl > MAX_STORE {
            return Err(error(12, format!("a store of {dl} bytes is beyond the limit of {MAX_STORE}")));
        }
        let store = 16 + il * ENTRY;
        let Some(bytes) = input.get(..store + dl) else {
            return Err(error(input.len(), "the file ends in the header"));
        };
        let data = &bytes[store..];
        let mut entries = Vec::with_capacity(il);
        let mut known = HashSet::with_capacity(il);
        let mut end = 0;
        for at in (16..store).step_by(ENTRY) {
            let entry = entry(bytes, at, data)?;
            // Readers would differ in which one they take.
            if !known.insert(entry.tag) {
                return Err(error(at, format!("tag {} is there twice", entry.tag)));
            }
            // A region's entry points to its trailer, in the midst of the others' data.
            if !is_region(entry.tag) {
                if entry.offset < end {
                    return Err(error(at + 8, format!("the data of tag {} overlaps others", entry.tag)));
                }
                end = entry.offset + entry.len;
            }
            entries.push(entry);
        }
        Ok(Self { entries, bytes: bytes.to_vec(), store })
    }

    /// Reads a header in the form that the package database keeps: without the magic, and with nothing
    /// after it.
    pub fn parse_blob(blob: &[u8]) -> Result<Self, Error> {
        let header = Self::parse(&[&MAGIC[..], blob].concat())?;
        if header.size() != MAGIC.len() + blob.len() {
            return Err(error(header.size(), "there is something after the header"));
        }
        Ok(header)
    }

    /// Checks that the header is one region of this tag, with nothing outside of it. Whoever trusts a
    /// header because of a signature must know that.
    pub fn check_region(&self, region: u32) -> Result<(), Error> {
        let name = tag::name(region).unwrap_or("region");
        let Some(first) = self.entries.first().filter(|e| e.tag == region) else {
            return Err(error(16, format!("the first entry is not {name}")));
        };
        let at = self.store + first.offset;
        if first.kind != Type::Bin || first.count != ENTRY || first.offset + ENTRY != self.store().len() {
            return Err(error(16, format!("{name} does not end where the header ends")));
        }
        let back = 0_u32.wrapping_sub((self.entries.len() * ENTRY) as u32);
        let expected = [region, Type::Bin as u32, back, ENTRY as u32];
        if (0..4).any(|i| word(&self.bytes, at + 4 * i) != Some(expected[i])) {
            return Err(error(at, format!("the trailer of {name} does not span the whole header")));
        }
        if let Some(i) = self.entries.iter().skip(1).position(|e| is_region(e.tag)) {
            return Err(error(16 + ENTRY * (i + 1), "there is a region inside the region"));
        }
        Ok(())
    }

    /// The whole header with its magic.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The form that the package database keeps: without the magic.
    pub fn blob(&self) -> &[u8] {
        &self.bytes[8..]
    }

    /// The size of the header in bytes, magic included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// All index entries as they stand, the region first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The data store.
    pub fn store(&self) -> &[u8] {
        &self.bytes[self.store..]
    }

    /// The raw data of an entry.
    pub fn data(&self, entry: &Entry) -> &[u8] {
        &self.store()[entry.offset..entry.offset + entry.len]
    }

    /// The entry with this tag.
    pub fn entry(&self, tag: u32) -> Option<&Entry> {
        self.entries.iter().find(|e| e.tag == tag)
    }

    /// Whether there is an entry with this tag.
    pub fn has(&self, tag: u32) -> bool {
        self.entry(tag).is_some()
    }

    /// A string; the first one of an array or of translations.
    pub fn string(&self, tag: u32) -> Option<String> {
        self.strings(tag).into_iter().next()
    }

    /// All strings of an entry; empty if there is none or it is of another type.
    pub fn strings(&self, tag: u32) -> Vec<String> {
        let Some(entry) = self.entry(tag) else { return Vec::new() };
        if !matches!(entry.kind, Type::String | Type::StringArray | Type::I18nString) {
            return Vec::new();
        }
        self.data(entry)
            .split(|&b| b == 0)
            .take(entry.count)
            .map(|s| String::from_utf8_lossy(s).into_owned())
            .collect()
    }

    /// Binary data.
    pub fn binary(&self, tag: u32) -> Option<&[u8]> {
        self.entry(tag)
            .filter(|e| matches!(e.kind, Type::Bin | Type::Char | Type::Int8))
            .map(|e| self.data(e))
    }

    /// Numbers of any width; empty if there are none.
    pub fn numbers(&self, tag: u32) -> Vec<u64> {
        let Some(entry) = self.entry(tag) else { return Vec::new() };
        let data = self.data(entry);
        let wide = |chunk: &[u8]| chunk.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        match entry.kind {
            Type::Char | Type::Int8 => data.iter().map(|b| u64::from(*b)).collect(),
            Type::Int16 => data.chunks_exact(2).map(wide).collect(),
            Type::Int32 => data.chunks_exact(4).map(wide).collect(),
            Type::Int64 => data.chunks_exact(8).map(wide).collect(),
            _ => Vec::new(),
        }
    }

    /// A single number.
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).first().copied()
    }
}

fn is_region(tag: u32) -> bool {
    matches!(tag, tag::HEADERIMAGE | tag::HEADERSIGNATURES | tag::HEADERIMMUTABLE)
}

/// Reads the index entry at byte `at` and checks that its data is in the store.
fn entry(bytes: &[u8], at: usize, store: &[u8]) -> Result<Entry, Error> {
    let (Some(tag), Some(kind), Some(offset), Some(count)) =
        (word(bytes, at), word(bytes, at + 4), word(bytes, at + 8), word(bytes, at + 12))
    else {
        return Err(error(at, "the file ends in the index"));
    };
    let kind = Type::from_number(kind)
        .filter(|kind| *kind != Type::Null)
        .ok_or_else(|| error(at + 4, format!("tag {tag} has the unknown type {kind}")))?;
    let (offset, count) = (offset as usize, count as usize);
    if count == 0 {
        return Err(error(at + 12, format!("tag {tag} has no value")));
    }
    let len = length(store, kind, offset, count).ok_or_else(|| {
        error(at + 8, format!("the data of tag {tag} is not aligned or runs out of the store"))
    })?;
    Ok(Entry { tag, kind, offset, count, len })
}

/// The length of an entry's data, if it lies in the store.
fn length(store: &[u8], kind: Type, offset: usize, count: usize) -> Option<usize> {
    let rest = store.get(offset..)?;
    match kind {
        Type::String | Type::StringArray | Type::I18nString => {
            if kind == Type::String && count != 1 {
                return None;
            }
            let mut ends = rest.iter().enumerate().filter(|(_, b)| **b == 0);
            ends.nth(count - 1).map(|(i, _)| i + 1)
        }
        _ => {
            let len = count.checked_mul(kind.width())?;
            (offset.is_multiple_of(kind.width()) && len <= rest.len()).then_some(len)
        }
    }
}

#[cfg(test)]
mod tests;
