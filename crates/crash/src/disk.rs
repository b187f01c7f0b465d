//! Disks in memory: sparse, over a file if need be, and recorded.

use crate::SECTOR;
use lazuli_slots::{Disk, Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are kept in one piece.
const PAGE: usize = 4096;

/// A disk in memory. What was never written is that of the file below, or zero. A copy shares what it has.
#[derive(Debug, Clone)]
pub struct Sparse {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    below: Option<Arc<File>>,
}

impl Sparse {
    /// Zeros. The size is a multiple of 4096.
    pub fn new(size: u64) -> Self {
        Self { size: size.next_multiple_of(PAGE as u64), pages: BTreeMap::new(), below: None }
    }

    /// A file, which is never written.
    pub fn over(path: &Path) -> lazuli_fs::Result<Self> {
        let file = lazuli_fs::open(path)?;
        let size = lazuli_fs::Context::at(file.metadata(), "stat", path)?.len();
        Ok(Self { size, pages: BTreeMap::new(), below: Some(Arc::new(file)) })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Reads.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let within = (at % PAGE as u64) as usize;
            let len = (PAGE - within).min(buffer.len() - done);
            let part = &mut buffer[done..done + len];
            match (self.pages.get(&(at / PAGE as u64)), &self.below) {
                (Some(page), _) => part.copy_from_slice(&page[within..within + len]),
                (None, Some(file)) => file.read_exact_at(part, at)?,
                (None, None) => part.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    /// Writes.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let len = (PAGE - within).min(bytes.len() - done);
            if !self.pages.contains_key(&number) {
                let mut page = [0; PAGE];
                let start = number * PAGE as u64;
                let there = PAGE.min((self.size - start) as usize);
                self.read(start, &mut page[..there])?;
                self.pages.insert(number, Arc::new(page));
            }
            if let Some(page) = self.pages.get_mut(&number) {
                Arc::make_mut(page)[within..within + len].copy_from_slice(&bytes[done..done + len]);
            }
            done += len;
        }
        Ok(())
    }

    /// The pages that were written, with their offsets.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(number, page)| (number * PAGE as u64, &page[..]))
    }

    /// Whether a file lies below.
    pub fn is_over_file(&self) -> bool {
        self.below.is_some()
    }
}

/// What a disk was told.
#[derive(Debug, Clone)]
pub enum Event {
    /// Bytes at an offset; both whole sectors.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A flush.
    Flush,
}

/// All that a disk was told, in order.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// In order.
    pub events: Vec<Event>,
}

impl Log {
    /// The number of flushes.
    pub fn flushes(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Flush)).count()
    }

    /// The number of sectors written.
    pub fn sectors(&self) -> usize {
        self.events
            .iter()
            .map(|event| match event {
                Event::Write { bytes, .. } => bytes.len() / SECTOR,
                Event::Flush => 0,
            })
            .sum()
    }

    /// The same with a disk that lied at one flush: it said that everything was written and kept it in its cache.
    #[must_use]
    pub fn with_a_lie(&self, flush: usize) -> Self {
        let mut count = 0;
        let events = self.events.iter().filter(|event| {
            let is_flush = matches!(event, Event::Flush);
            count += usize::from(is_flush);
            !(is_flush && count == flush + 1)
        });
        Self { events: events.cloned().collect() }
    }

    /// The same without any flush.
    #[must_use]
    pub fn without_flushes(&self) -> Self {
        let writes = self.events.iter().filter(|event| matches!(event, Event::Write { .. }));
        Self { events: writes.cloned().collect() }
    }
}

/// A fault of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write fails and writes nothing.
    WriteFails,
    /// A write fails in the middle.
    WriteIsShort,
    /// A write fails for lack of space, as thinly provisioned disks do.
    NoSpace,
    /// A flush fails.
    FlushFails,
    /// A write is lost silently.
    WriteIsLost,
}

/// A disk that writes down what it is told.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Its content.
    pub disk: Sparse,
    /// What it was told.
    pub log: Log,
    /// A fault at the event with this number, counted among those of its kind.
    pub fault: Option<(usize, Fault)>,
}

impl Recording {
    /// Begins to record.
    pub fn new(disk: Sparse) -> Self {
        Self { disk, log: Log::default(), fault: None }
    }

    fn error(what: &'static str, kind: io::ErrorKind) -> Error {
        lazuli_fs::Error::new(what, PathBuf::from("the recorded disk"), kind.into()).into()
    }

    fn record(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.log.events.push(Event::Write { offset, bytes: Arc::from(bytes) });
        self.disk.write(offset, bytes).map_err(|e| Self::error("write", e.kind()))
    }

    /// The fault of this event, if it is the one.
    fn fault_now(&mut self, flush: bool) -> Option<Fault> {
        let (left, fault) = self.fault.as_mut()?;
        if (*fault == Fault::FlushFails) != flush {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        self.fault = None;
        Some(fault)
    }
}

impl Disk for Recording {
    fn size(&self) -> u64 {
        self.disk.len()
    }

    fn name(&self) -> String {
        "the recorded disk".to_owned()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.disk.read(offset, buffer).map_err(|e| Self::error("read", e.kind()))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR), "whole sectors");
        match self.fault_now(false) {
            None | Some(Fault::FlushFails) => self.record(offset, bytes),
            Some(Fault::WriteIsLost) => Ok(()),
            Some(Fault::WriteFails) => Err(Self::error("write", io::ErrorKind::Other)),
            Some(Fault::NoSpace) => Err(Self::error("write", io::ErrorKind::StorageFull)),
            Some(Fault::WriteIsShort) => {
                let half = bytes.len() / 2 / SECTOR * SECTOR;
                self.record(offset, &bytes[..half])?;
                Err(Self::error("write", io::ErrorKind::WriteZero))
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.fault_now(true).is_some() {
            return Err(Self::error("flush", io::ErrorKind::Other));
        }
        self.log.events.push(Event::Flush);
        Ok(())
    }

    fn forget_cache(&mut self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }
}
