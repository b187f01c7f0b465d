//! Writing headers.

use super::{ENTRY, Header, MAGIC};
use crate::tag::Type;
use std::collections::BTreeMap;

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

    /// Appends the value to a store, aligned, and its index entry to an index.
    fn append(&self, tag: u32, index: &mut Vec<u8>, store: &mut Vec<u8>) {
        store.resize(store.len().next_multiple_of(self.kind().width()), 0);
        for word in [tag, self.kind() as u32, store.len() as u32, self.count() as u32] {
            index.extend(word.to_be_bytes());
        }
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
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, value) in &self.values {
            value.append(*tag, &mut index, &mut store);
        }
        let entries = self.values.len() + 1;
        let trailer = store.len() as u32;
        let back = 0_u32.wrapping_sub((entries * ENTRY) as u32);
        for word in [region, Type::Bin as u32, back, ENTRY as u32] {
            store.extend(word.to_be_bytes());
        }
        let mut first = Vec::new();
        for word in [region, Type::Bin as u32, trailer, ENTRY as u32] {
            first.extend(word.to_be_bytes());
        }
        assemble(&[&first, &index], &store)
    }

    /// `header` with these entries after its region, which stays as it is: the form that the package
    /// database keeps. With the magic.
    pub fn append_to(&self, header: &Header) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), header.store().to_vec());
        for (tag, value) in &self.values {
            value.append(*tag, &mut index, &mut store);
        }
        let region = &header.bytes()[16..header.bytes().len() - header.store().len()];
        assemble(&[region, &index], &store)
    }
}

fn assemble(index: &[&[u8]], store: &[u8]) -> Vec<u8> {
    let index = index.concat();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(((index.len() / ENTRY) as u32).to_be_bytes());
    bytes.extend((store.len() as u32).to_be_bytes());
    bytes.extend(index);
    bytes.extend(store);
    bytes
}
