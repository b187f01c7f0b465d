//! What a machine can know: sectors by number, images that were ever released, loaders that are signed.

use crate::boot::Rules;
use crate::{Event, Log, SECTOR, Sparse};
use lazuli_layout::assess::ImageId;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io;

/// Contents of sectors by number. Number 0 is zeros.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    by_digest: HashMap<[u8; 16], u32>,
    /// The bytes, of those that somebody will read.
    bytes: Vec<Option<Box<[u8; SECTOR]>>>,
}

const ZEROS: [u8; SECTOR] = [0; SECTOR];

impl Contents {
    fn new() -> Self {
        let mut contents = Self { by_digest: HashMap::new(), bytes: Vec::new() };
        contents.number(&ZEROS, true);
        contents
    }

    /// The number of a content. The bytes are kept if they will be read, as those of tables and of the ESP are; of a
    /// slot only the number matters.
    fn number(&mut self, sector: &[u8], keep: bool) -> u32 {
        if sector == ZEROS && !self.bytes.is_empty() {
            return 0;
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(sector)[..16]);
        let next = self.bytes.len() as u32;
        let number = *self.by_digest.entry(digest).or_insert(next);
        if number == next {
            self.bytes.push(None);
        }
        if keep && self.bytes[number as usize].is_none() {
            let mut bytes = Box::new(ZEROS);
            bytes.copy_from_slice(sector);
            self.bytes[number as usize] = Some(bytes);
        }
        number
    }

    pub fn bytes(&self, number: u32) -> &[u8; SECTOR] {
        self.bytes.get(number as usize).and_then(Option::as_deref).unwrap_or(&ZEROS)
    }
}

/// An image that was released.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its version.
    pub version: String,
    /// Its root hash.
    pub id: ImageId,
    pub(crate) uki: File,
    /// Sectors of the data and of the hash partition.
    pub(crate) parts: [Vec<u32>; 2],
}

/// The content of a file: its length and the numbers of its sectors, the last one filled up with zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub len: usize,
    pub sectors: Vec<u32>,
}

/// Where the parts of a disk are, in sectors.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub esp: std::ops::Range<u64>,
    /// Data and hash partition of both slots.
    pub slots: [[std::ops::Range<u64>; 2]; 2],
}

/// A machine: a disk, and what is signed.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) contents: Contents,
    /// The disk before the update.
    pub(crate) base: Vec<u32>,
    pub(crate) known: Vec<Known>,
    pub(crate) loaders: Vec<File>,
    pub(crate) places: Places,
    pub(crate) rules: Rules,
}

/// A step of a log: a sector that is written, or a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Write { sector: u64, content: u32 },
    Flush,
}

impl Machine {
    /// A machine with this disk, which has the partitions of a host with two slots.
    pub fn new(disk: &Sparse, partitions: &lazuli_slots::Partitions, rules: Rules) -> io::Result<Self> {
        let range = |part: &lazuli_layout::gpt::Partition| {
            part.start / SECTOR as u64..(part.start + part.len) / SECTOR as u64
        };
        let places = Places {
            esp: range(&partitions.esp),
            slots: partitions.slots.each_ref().map(|slot| slot.each_ref().map(range)),
        };
        let mut contents = Contents::new();
        let mut base = Vec::with_capacity((disk.len() / SECTOR as u64) as usize);
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < disk.len() {
            let len = buffer.len().min((disk.len() - at) as usize);
            disk.read(at, &mut buffer[..len])?;
            for sector in buffer[..len].chunks_exact(SECTOR) {
                let keep = places.is_read(base.len() as u64);
                base.push(contents.number(sector, keep));
            }
            at += len as u64;
        }
        Ok(Self { contents, base, known: Vec::new(), loaders: Vec::new(), places, rules })
    }

    /// Makes an image known: version, root hash, UKI, the bytes of its data and of its hash partition, superblock first.
    /// Returns its number.
    ///
    /// # Panics
    ///
    /// If the bytes do not have that root hash: what is compared with them later would prove nothing.
    pub fn add_image(&mut self, version: &str, id: ImageId, uki: &[u8], data: &[u8], hash: &[u8]) -> usize {
        let block = lazuli_verity::BLOCK;
        let superblock = lazuli_verity::Superblock::parse(hash).expect("a superblock");
        let tree =
            lazuli_verity::Tree::build(data, (data.len() / block) as u64, &superblock.salt).expect("a tree");
        assert_eq!(tree.root().as_bytes(), id.as_bytes(), "the root hash of version {version}");
        assert_eq!(&hash[block..], tree.bytes(), "the hash tree of version {version}");
        let mut numbers =
            |bytes: &[u8]| bytes.chunks(SECTOR).map(|s| self.contents.number(s, false)).collect::<Vec<u32>>();
        let parts = [numbers(data), numbers(hash)];
        let uki = self.file(uki);
        self.known.push(Known { version: version.to_owned(), id, uki, parts });
        self.known.len() - 1
    }

    /// Makes a loader known: the firmware starts it.
    pub fn add_loader(&mut self, loader: &[u8]) {
        let file = self.file(loader);
        self.loaders.push(file);
    }

    /// The images that are known.
    pub fn images(&self) -> &[Known] {
        &self.known
    }

    fn file(&mut self, bytes: &[u8]) -> File {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(SECTOR), 0);
        let sectors = padded.chunks_exact(SECTOR).map(|s| self.contents.number(s, true)).collect();
        File { len: bytes.len(), sectors }
    }

    /// A log as steps of single sectors.
    pub(crate) fn steps(&mut self, log: &Log) -> Vec<Step> {
        let mut steps = Vec::new();
        for event in &log.events {
            match event {
                Event::Flush => steps.push(Step::Flush),
                Event::Write { offset, bytes } => {
                    for (index, bytes) in bytes.chunks_exact(SECTOR).enumerate() {
                        let sector = offset / SECTOR as u64 + index as u64;
                        let keep = self.places.is_read(sector);
                        steps.push(Step::Write { sector, content: self.contents.number(bytes, keep) });
                    }
                }
            }
        }
        steps
    }
}

impl Places {
    /// Whether somebody reads what is in a sector: all but the slots.
    fn is_read(&self, sector: u64) -> bool {
        !self.slots.iter().flatten().any(|range| range.contains(&sector))
    }
}
