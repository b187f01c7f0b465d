//! Texts that are kept once while an index is made.

use std::hash::{BuildHasher as _, RandomState};

/// The number of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u32);

/// Where a text is.
struct Entry {
    /// In the index.
    offset: u32,
    /// In `bytes`.
    start: u32,
    length: u32,
}

/// A set of texts with their offsets in the index. All bytes lie in one piece of memory: there are hundreds of
/// thousands of texts, and most are shorter than what an allocation for each would cost.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Open addressing: the number of an entry and one more, or 0.
    slots: Vec<u32>,
    hash: RandomState,
}

impl Texts {
    pub(super) fn offset(&self, id: Id) -> u32 {
        self.entries[id.0 as usize].offset
    }

    pub(super) fn text(&self, id: Id) -> &[u8] {
        let entry = &self.entries[id.0 as usize];
        &self.bytes[entry.start as usize..][..entry.length as usize]
    }

    pub(super) fn find(&self, text: &str) -> Option<Id> {
        let mut slot = self.slot(text.as_bytes())?;
        loop {
            let id = Id(self.slots[slot].checked_sub(1)?);
            if self.text(id) == text.as_bytes() {
                return Some(id);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a text that is not there.
    pub(super) fn insert(&mut self, text: &str, offset: u32) -> Id {
        // Never more than two thirds full, so that a search finds an end.
        if self.slots.len() * 2 <= self.entries.len() * 3 {
            let size = (self.slots.len() * 2).max(1024);
            self.slots = vec![0; size];
            for id in 0..self.entries.len() as u32 {
                self.place(Id(id));
            }
        }
        let id = Id(self.entries.len() as u32);
        let (start, length) = (self.bytes.len() as u32, text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.entries.push(Entry { offset, start, length });
        self.place(id);
        id
    }

    fn place(&mut self, id: Id) {
        let Some(mut slot) = self.slot(self.text(id)) else { return };
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = id.0 + 1;
    }

    /// Where the search for a text begins.
    fn slot(&self, text: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        Some(self.hash.hash_one(text) as usize & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_with_its_offset_and_no_other_is() {
        let mut texts = Texts::default();
        assert_eq!(texts.find(""), None);
        let all: Vec<String> = (0..5000_u32).map(|n| format!("{:x}", n * n)).collect();
        for (text, offset) in all.iter().zip(0..) {
            assert_eq!(texts.find(text), None, "{text}");
            let id = texts.insert(text, offset);
            assert_eq!((texts.find(text), texts.offset(id)), (Some(id), offset));
        }
        for (text, offset) in all.iter().zip(0..) {
            let id = texts.find(text).expect(text);
            assert_eq!((texts.text(id), texts.offset(id)), (text.as_bytes(), offset));
        }
        assert_eq!(texts.find("nothing"), None);
    }
}
