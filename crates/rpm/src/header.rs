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
//! The first entry is a *region*: everything between it and its 16-byte trailer in the store belongs
//! together and is covered by digests and signatures; entries after the region (in the package database)
//! are not. Limits are those of RPM itself.

use crate::evr::{Evr, Nevra};
use crate::tag::{self, Type};
use crate::{Dependency, DependencyFlags};
use std::collections::BTreeMap;

/// The first eight bytes.
pub const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The most index entries.
const MAX_ENTRIES: usize = 0xffff;
/// The largest store in bytes.
const MAX_STORE: usize = 0x0fff_ffff;
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

impl Header {
    /// Reads a header with its magic at the start of `input`, which may be longer.
    pub fn parse(input: &[u8]) -> Result<Self, Error> {
        let fail = |offset: usize, reason: &str| Error { offset, reason: reason.to_owned() };
        if input.get(..8) != Some(&MAGIC[..]) {
            return Err(fail(0, "the magic number is not that of a header"));
        }
        let word = |offset: usize| -> Option<u32> {
            input.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)
        };
        let (Some(il), Some(dl)) = (word(8), word(12)) else {
            return Err(fail(8, "the file ends in the intro"));
        };
        let (il, dl) = (il as usize, dl as usize);
        if il == 0 || il > MAX_ENTRIES {
            return Err(fail(8, "the number of entries is 0 or beyond the limit"));
        }
        if dl > MAX_STORE {
            return Err(fail(12, "the size of the store is beyond the limit"));
        }
        let store = 16 + il * ENTRY;
        let total = store + dl;
        let Some(bytes) = input.get(..total) else {
            return Err(fail(16, "the file ends in the header"));
        };
        let data = &bytes[store..];
        let mut entries = Vec::with_capacity(il);
        for i in 0..il {
            let at = 16 + i * ENTRY;
            let (Some(tag), Some(kind), Some(offset), Some(count)) =
                (word(at), word(at + 4), word(at + 8), word(at + 12))
            else {
                return Err(fail(at, "the file ends in the index"));
            };
            let kind = Type::from_number(kind).ok_or_else(|| fail(at + 4, "an entry has an unknown type"))?;
            let (offset, count) = (offset as usize, count as usize);
            if offset > dl || count > dl.max(1) {
                return Err(fail(at + 8, "an entry lies outside of the store"));
            }
            let len = length(data, kind, offset, count)
                .ok_or_else(|| fail(at + 8, "the data of an entry runs out of the store"))?;
            entries.push(Entry { tag, kind, offset, count, len });
        }
        Ok(Self { entries, bytes: bytes.to_vec(), store })
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

    /// Name, epoch, version, release and architecture.
    pub fn nevra(&self) -> Result<Nevra, Error> {
        let need = |tag: u32| {
            self.string(tag).filter(|s| !s.is_empty()).ok_or_else(|| Error {
                offset: 16,
                reason: format!("there is no {}", tag::name(tag).unwrap_or("tag")),
            })
        };
        Ok(Nevra {
            name: need(tag::NAME)?,
            evr: Evr {
                epoch: self.number(tag::EPOCH).and_then(|e| u32::try_from(e).ok()),
                version: need(tag::VERSION)?,
                release: need(tag::RELEASE)?,
            },
            arch: need(tag::ARCH)?,
        })
    }

    fn dependencies(&self, name: u32, flags: u32, version: u32) -> Vec<Dependency> {
        let versions = self.strings(version);
        let flags = self.numbers(flags);
        self.strings(name)
            .into_iter()
            .enumerate()
            .map(|(i, name)| Dependency {
                name,
                flags: DependencyFlags(flags.get(i).map_or(0, |f| *f as u32)),
                evr: versions.get(i).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// What it provides.
    pub fn provides(&self) -> Vec<Dependency> {
        self.dependencies(tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION)
    }

    /// What it requires.
    pub fn requires(&self) -> Vec<Dependency> {
        self.dependencies(tag::REQUIRENAME, tag::REQUIREFLAGS, tag::REQUIREVERSION)
    }

    /// What it conflicts with.
    pub fn conflicts(&self) -> Vec<Dependency> {
        self.dependencies(tag::CONFLICTNAME, tag::CONFLICTFLAGS, tag::CONFLICTVERSION)
    }

    /// What it obsoletes.
    pub fn obsoletes(&self) -> Vec<Dependency> {
        self.dependencies(tag::OBSOLETENAME, tag::OBSOLETEFLAGS, tag::OBSOLETEVERSION)
    }

    /// What it recommends.
    pub fn recommends(&self) -> Vec<Dependency> {
        self.dependencies(tag::RECOMMENDNAME, tag::RECOMMENDFLAGS, tag::RECOMMENDVERSION)
    }

    /// What it suggests.
    pub fn suggests(&self) -> Vec<Dependency> {
        self.dependencies(tag::SUGGESTNAME, tag::SUGGESTFLAGS, tag::SUGGESTVERSION)
    }

    /// What it supplements.
    pub fn supplements(&self) -> Vec<Dependency> {
        self.dependencies(tag::SUPPLEMENTNAME, tag::SUPPLEMENTFLAGS, tag::SUPPLEMENTVERSION)
    }

    /// What it enhances.
    pub fn enhances(&self) -> Vec<Dependency> {
        self.dependencies(tag::ENHANCENAME, tag::ENHANCEFLAGS, tag::ENHANCEVERSION)
    }

    /// The absolute paths of all its files, in the header's order.
    pub fn paths(&self) -> Vec<String> {
        let dirs = self.strings(tag::DIRNAMES);
        self.strings(tag::BASENAMES)
            .into_iter()
            .zip(self.numbers(tag::DIRINDEXES))
            .filter_map(|(base, dir)| Some(format!("{}{base}", dirs.get(usize::try_from(dir).ok()?)?)))
            .collect()
    }

    /// The size of each file in bytes.
    pub fn file_sizes(&self) -> Vec<u64> {
        let long = self.numbers(tag::LONGFILESIZES);
        if long.is_empty() { self.numbers(tag::FILESIZES) } else { long }
    }

    /// The changelog, newest entry first: time in seconds since 1970, author, text.
    pub fn changelog(&self) -> Vec<(i64, String, String)> {
        let names = self.strings(tag::CHANGELOGNAME);
        let texts = self.strings(tag::CHANGELOGTEXT);
        let times = self.numbers(tag::CHANGELOGTIME);
        times
            .into_iter()
            .zip(names)
            .zip(texts)
            .map(|((time, name), text)| (i64::try_from(time).unwrap_or(0), name, text))
            .collect()
    }
}

/// The length of an entry's data, if it lies in the store.
fn length(store: &[u8], kind: Type, offset: usize, count: usize) -> Option<usize> {
    let fixed = |width: usize| {
        let len = count.checked_mul(width)?;
        (offset % width == 0 && offset.checked_add(len)? <= store.len()).then_some(len)
    };
    match kind {
        Type::Null => Some(0),
        Type::Char | Type::Int8 | Type::Bin => fixed(1),
        Type::Int16 => fixed(2),
        Type::Int32 => fixed(4),
        Type::Int64 => fixed(8),
        Type::String | Type::StringArray | Type::I18nString => {
            if kind == Type::String && count != 1 {
                return None;
            }
            let data = store.get(offset..)?;
            let mut end = 0;
            for _ in 0..count {
                end += data.get(end..)?.iter().position(|&b| b == 0)? + 1;
            }
            Some(end)
        }
    }
}

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Characters (file states).
    Char(Vec<u8>),
    /// 16-bit numbers.
    Int16(Vec<u16>),
    /// 32-bit numbers.
    Int32(Vec<u32>),
    /// 64-bit numbers.
    Int64(Vec<u64>),
    /// One string.
    String(String),
    /// Bytes.
    Bin(Vec<u8>),
    /// Strings.
    StringArray(Vec<String>),
    /// A string with translations, in the order of the table in HEADERI18NTABLE.
    I18n(Vec<String>),
}

impl Value {
    fn kind(&self) -> Type {
        match self {
            Self::Char(_) => Type::Char,
            Self::Int16(_) => Type::Int16,
            Self::Int32(_) => Type::Int32,
            Self::Int64(_) => Type::Int64,
            Self::String(_) => Type::String,
            Self::Bin(_) => Type::Bin,
            Self::StringArray(_) => Type::StringArray,
            Self::I18n(_) => Type::I18nString,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Char(v) | Self::Bin(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::String(_) => 1,
            Self::StringArray(v) | Self::I18n(v) => v.len(),
        }
    }

    fn write(&self, store: &mut Vec<u8>) {
        let align = match self {
            Self::Int16(_) => 2,
            Self::Int32(_) => 4,
            Self::Int64(_) => 8,
            _ => 1,
        };
        store.resize(store.len().next_multiple_of(align), 0);
        let string = |s: &String, store: &mut Vec<u8>| {
            // A NUL would end the string early and shift everything after it.
            store.extend(s.bytes().filter(|b| *b != 0));
            store.push(0);
        };
        match self {
            Self::Char(v) | Self::Bin(v) => store.extend(v),
            Self::Int16(v) => store.extend(v.iter().flat_map(|n| n.to_be_bytes())),
            Self::Int32(v) => store.extend(v.iter().flat_map(|n| n.to_be_bytes())),
            Self::Int64(v) => store.extend(v.iter().flat_map(|n| n.to_be_bytes())),
            Self::String(s) => string(s, store),
            Self::StringArray(v) | Self::I18n(v) => v.iter().for_each(|s| string(s, store)),
        }
    }
}

/// Writes a header.
#[derive(Debug, Clone, Default)]
pub struct HeaderBuilder {
    values: BTreeMap<u32, Value>,
}

impl HeaderBuilder {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an entry. An empty list is not written at all, as RPM knows no empty entries.
    pub fn set(&mut self, tag: u32, value: Value) -> &mut Self {
        if value.count() > 0 {
            self.values.insert(tag, value);
        }
        self
    }

    /// Sets a string.
    pub fn string(&mut self, tag: u32, value: impl Into<String>) -> &mut Self {
        self.set(tag, Value::String(value.into()))
    }

    /// Sets a single 32-bit number.
    pub fn number(&mut self, tag: u32, value: u32) -> &mut Self {
        self.set(tag, Value::Int32(vec![value]))
    }

    /// The finished header with its magic, all of it in one region.
    pub fn finish(&self, region: u32) -> Vec<u8> {
        let mut index = Vec::new();
        let mut store = Vec::new();
        for (tag, value) in &self.values {
            let mut data = Vec::new();
            // Alignment is relative to the store, so the value is written into it.
            std::mem::swap(&mut data, &mut store);
            let align = match value {
                Value::Int16(_) => 2,
                Value::Int32(_) => 4,
                Value::Int64(_) => 8,
                _ => 1,
            };
            let offset = data.len().next_multiple_of(align);
            value.write(&mut data);
            store = data;
            for word in [*tag, value.kind() as u32, offset as u32, value.count() as u32] {
                index.extend(word.to_be_bytes());
            }
        }
        let entries = self.values.len() as u32 + 1;
        let trailer = store.len() as u32;
        let back = 0_u32.wrapping_sub(entries * ENTRY as u32);
        for word in [region, Type::Bin as u32, back, ENTRY as u32] {
            store.extend(word.to_be_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(entries.to_be_bytes());
        bytes.extend((store.len() as u32).to_be_bytes());
        for word in [region, Type::Bin as u32, trailer, ENTRY as u32] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(index);
        bytes.extend(store);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arb_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            prop::collection::vec(any::<u16>(), 1..4).prop_map(Value::Int16),
            prop::collection::vec(any::<u32>(), 1..4).prop_map(Value::Int32),
            prop::collection::vec(any::<u64>(), 1..4).prop_map(Value::Int64),
            prop::collection::vec(any::<u8>(), 1..9).prop_map(Value::Bin),
            "[a-zé]{0,9}".prop_map(Value::String),
            prop::collection::vec("[a-z]{0,9}", 1..4).prop_map(Value::StringArray),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::btree_map(1000_u32..1200, arb_value(), 1..12)) {
            let mut builder = HeaderBuilder::new();
            for (tag, value) in &values {
                builder.set(*tag, value.clone());
            }
            let header = Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap();
            prop_assert_eq!(header.entries().len(), values.len() + 1);
            for (tag, value) in &values {
                match value {
                    Value::Int16(v) => prop_assert_eq!(header.numbers(*tag), v.iter().map(|n| u64::from(*n)).collect::<Vec<_>>()),
                    Value::Int32(v) => prop_assert_eq!(header.numbers(*tag), v.iter().map(|n| u64::from(*n)).collect::<Vec<_>>()),
                    Value::Int64(v) => prop_assert_eq!(&header.numbers(*tag), v),
                    Value::Bin(v) => prop_assert_eq!(header.binary(*tag), Some(v.as_slice())),
                    Value::String(s) => prop_assert_eq!(header.string(*tag), Some(s.clone())),
                    Value::StringArray(v) => prop_assert_eq!(&header.strings(*tag), v),
                    _ => {}
                }
            }
        }

        #[test]
        fn damage_never_panics(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
            let mut builder = HeaderBuilder::new();
            builder.string(tag::NAME, "bash").set(tag::FILEMODES, Value::Int16(vec![1, 2])).number(tag::EPOCH, 1);
            let mut bytes = builder.finish(tag::HEADERIMMUTABLE);
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(len - cut % len);
            if let Ok(header) = Header::parse(&bytes) {
                for entry in header.entries() {
                    let _ = (header.data(entry).len(), header.strings(entry.tag), header.numbers(entry.tag));
                }
            }
        }
    }
}
