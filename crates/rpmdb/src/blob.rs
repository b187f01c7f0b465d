//! A look at a row of `Packages` without taking it apart.
//!
//! Listing packages needs five values of headers that have tens of kilobytes; [`View`] finds an entry by
//! going over the index, and reads no more than that entry's data. It is for rows of the database, which
//! `rpm` or this crate wrote; whatever they hold, nothing outside of the row is read.
//!
//! ```text
//! 0   il u32, dl u32              number of index entries, size of the store in bytes; big-endian
//! 8   il * {tag, type, offset, count: u32}
//!     store
//! ```

use lazuli_rpm::header::MAGIC;
use lazuli_rpm::tag::{self, Type};
use lazuli_rpm::{Dependency, DependencyFlags};
use std::borrow::Cow;

/// Size of an index entry, and of the trailer of a region.
const ENTRY: usize = 16;
/// The most index entries, as in RPM.
const MAX_ENTRIES: usize = 0xffff;
/// The largest row in bytes: what RPM takes as a header's largest index and store.
pub(crate) const MAX_BLOB: usize = 8 + MAX_ENTRIES * ENTRY + 0x0fff_ffff;

/// The index and the store of a header.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

/// An entry: where its data starts in the store, and how many values it has.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) kind: u32,
    pub(crate) offset: usize,
    pub(crate) count: usize,
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)
}

impl<'a> View<'a> {
    /// Of a row without the magic.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, String> {
        let (Some(il), Some(dl)) = (word(blob, 0), word(blob, 4)) else {
            return Err("it is shorter than the intro of a header".into());
        };
        let (il, dl) = (il as usize, dl as usize);
        if il == 0 || il > MAX_ENTRIES {
            return Err(format!("{il} entries: there must be 1 to {MAX_ENTRIES}"));
        }
        let at = 8 + il * ENTRY;
        let end = at.saturating_add(dl);
        match (blob.get(8..at), blob.get(at..end)) {
            (Some(index), Some(store)) if blob.len() == end => Ok(Self { index, store }),
            _ => Err(format!("it has {} bytes, but its intro says {end}", blob.len())),
        }
    }

    pub(crate) fn find(&self, tag: u32) -> Option<Found> {
        let wanted = tag.to_be_bytes();
        let entry = self.index.chunks_exact(ENTRY).find(|e| e[..4] == wanted)?;
        let value = |at| word(entry, at).map(|n| n as usize);
        Some(Found { kind: word(entry, 4)?, offset: value(8)?, count: value(12)? })
    }

    /// The strings of an entry; none if it is of another type or runs out of the store.
    pub(crate) fn strings(&self, tag: u32) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let found = self.find(tag).filter(|e| {
            [Type::String, Type::StringArray, Type::I18nString].iter().any(|kind| *kind as u32 == e.kind)
        });
        let data = found.and_then(|e| self.store.get(e.offset..)).unwrap_or_default();
        data.split(|b| *b == 0).take(found.map_or(0, |e| e.count)).map(String::from_utf8_lossy)
    }

    pub(crate) fn string(&self, tag: u32) -> Option<String> {
        self.strings(tag).next().map(Cow::into_owned)
    }

    /// Numbers of any width.
    pub(crate) fn numbers(&self, tag: u32) -> Vec<u64> {
        let Some(found) = self.find(tag) else { return Vec::new() };
        let Some(kind) = Type::from_number(found.kind) else { return Vec::new() };
        if !matches!(kind, Type::Char | Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64) {
            return Vec::new();
        }
        let len = found.count.saturating_mul(kind.width());
        let data = self.store.get(found.offset..found.offset.saturating_add(len)).unwrap_or_default();
        let wide = |chunk: &[u8]| chunk.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        data.chunks_exact(kind.width()).map(wide).collect()
    }

    pub(crate) fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).first().copied()
    }

    /// Dependencies by the tags of their names, flags and versions.
    pub(crate) fn dependencies(&self, (name, flags, version): (u32, u32, u32)) -> Vec<Dependency> {
        let flags = self.numbers(flags);
        let mut versions = self.strings(version);
        self.strings(name)
            .enumerate()
            .map(|(i, name)| Dependency {
                name: name.into_owned(),
                flags: DependencyFlags(flags.get(i).map_or(0, |f| *f as u32)),
                evr: versions.next().unwrap_or_default().into_owned(),
            })
            .collect()
    }

    /// The part that digests and signatures cover, as a header of its own with its magic: byte for byte
    /// the header of the package file. `None` if there is no such region.
    pub(crate) fn region(&self) -> Option<Vec<u8>> {
        let first = word(self.index, 0).filter(|tag| *tag == tag::HEADERIMMUTABLE)?;
        let end = self.find(first)?.offset.checked_add(ENTRY)?;
        let trailer = self.store.get(end - ENTRY..end)?;
        let back = word(trailer, 8)?.wrapping_neg() as usize;
        let index = self.index.get(..back).filter(|index| index.len() % ENTRY == 0 && !index.is_empty())?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(((back / ENTRY) as u32).to_be_bytes());
        bytes.extend((end as u32).to_be_bytes());
        bytes.extend(index);
        bytes.extend(&self.store[..end]);
        Some(bytes)
    }

    /// Where the store starts in the row.
    pub(crate) fn store_offset(&self) -> usize {
        8 + self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_rpm::header::{HeaderBuilder, Value};
    use proptest::prelude::*;

    fn blob() -> Vec<u8> {
        let mut h = HeaderBuilder::new();
        h.string(tag::NAME, "a").number(tag::EPOCH, 7);
        h.set(tag::BASENAMES, Value::StringArray(vec!["x".into(), "y".into()]));
        h.finish(tag::HEADERIMMUTABLE)[8..].to_vec()
    }

    #[test]
    fn values_are_those_of_the_header() {
        let blob = blob();
        let view = View::new(&blob).unwrap();
        assert_eq!(view.string(tag::NAME).as_deref(), Some("a"));
        assert_eq!(view.number(tag::EPOCH), Some(7));
        assert_eq!(view.strings(tag::BASENAMES).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(view.number(tag::NAME), None);
        assert_eq!(view.region().unwrap()[8..], blob);
    }

    proptest! {
        #[test]
        fn damage_is_no_panic(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
            let mut blob = blob();
            let len = blob.len();
            blob[at % len] = byte;
            for bytes in [&blob[..], &blob[..cut.min(len)]] {
                if let Ok(view) = View::new(bytes) {
                    for tag in [tag::NAME, tag::EPOCH, tag::BASENAMES, tag::HEADERIMMUTABLE] {
                        let _ = (view.strings(tag).count(), view.numbers(tag), view.region());
                    }
                }
            }
        }
    }
}
