//! The journal of a transaction: records that are only ever added.
//!
//! ```text
//! 4 bytes   length of the record, little-endian
//! 8 bytes   the first bytes of its SHA-256
//! n bytes   the record, JSON
//! ```
//!
//! A record that ends early or whose digest does not match was being written when the power went: it and
//! what follows were never there. The next writer cuts it off.

use crate::root::Root;
use crate::{DIR, Error, Note, disk, effect, fault};
use lazuli_fs::Context as _;
use lazuli_store::Digest;
use rustix::fd::AsFd as _;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

/// The longest record in bytes.
const MAX_RECORD: usize = 16 << 20;
/// The longest journal in bytes.
const MAX_JOURNAL: u64 = 1 << 30;
const HEAD: usize = 12;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The transaction was begun.
    Begin {
        version: u32,
        /// Which boot of the machine it was.
        boot: String,
        /// Staging directories, relative to the root.
        stages: Vec<String>,
    },
    /// Everything is staged and flushed; the plan has this digest. The commit point.
    Commit { plan: Digest },
    /// A script is about to start.
    ScriptStart { script: usize },
    /// It has ended, or is taken for ended.
    ScriptEnd { script: usize, success: bool },
    /// An element is left out, because of this script.
    Skipped { step: usize, script: usize },
    /// The files of an element that comes are in their places.
    Files { step: usize },
    /// Its row has this number.
    Added { step: usize, hnum: u32 },
    /// What an element erases is gone.
    Erased { step: usize },
    /// Everything about an element is done.
    Done { step: usize },
    /// For the report.
    Note(Note),
    /// Everything is done and flushed.
    Finished,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    pub(crate) records: Vec<Record>,
}

/// The directory of a transaction.
pub(crate) fn directory(id: &str) -> String {
    format!("{DIR}/{id}")
}

/// Splits a journal into its records, and says how many of its bytes they are.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Vec<Record>, usize), String> {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..at + HEAD) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len > MAX_RECORD {
            break;
        }
        let Some(body) = bytes.get(at + HEAD..at + HEAD + len) else { break };
        if Digest::of(body).as_bytes()[..8] != head[4..HEAD] {
            break;
        }
        // What is whole but not understood was written by another version.
        let record = serde_json::from_slice(body).map_err(|e| format!("byte {at}: {e}"))?;
        records.push(record);
        at += HEAD + len;
    }
    Ok((records, at))
}

/// A record as it stands in the journal.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(record).map_err(|e| e.to_string())?;
    let len = u32::try_from(body.len()).ok().filter(|len| *len as usize <= MAX_RECORD);
    let mut bytes = len.ok_or("a record is too long")?.to_le_bytes().to_vec();
    bytes.extend(&Digest::of(&body).as_bytes()[..8]);
    bytes.extend(body);
    Ok(bytes)
}

impl Journal {
    /// Starts the journal of a new transaction. On return it is on the disk, with its first record.
    pub(crate) fn create(root: &Root, id: &str, begin: Record) -> Result<Self, Error> {
        disk::make_directories(root, DIR)?;
        let parent = root.for_sync(DIR)?;
        let label = root.label(&directory(id));
        effect::mkdir(parent.as_fd(), id, 0o700, &label)?;
        let own = root.for_sync(&directory(id))?;
        let path = root.path().join(directory(id)).join("journal");
        let file = effect::create(own.as_fd(), "journal", &path.display().to_string())?;
        let mut journal = Self { file, path, records: Vec::new() };
        journal.append_durable(begin)?;
        effect::sync(&own, &label)?;
        effect::sync(&parent, &root.label(DIR))?;
        Ok(journal)
    }

    /// Opens the journal of an interrupted transaction; `None` if it was not even begun.
    pub(crate) fn open(root: &Root, id: &str) -> Result<Option<Self>, Error> {
        let path = root.path().join(directory(id)).join("journal");
        let Some(own) = root.directory(&directory(id))? else { return Ok(None) };
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&*own, "journal", flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e).at("open", &path).map_err(Error::from),
        };
        let mut file = File::from(file);
        let mut bytes = Vec::new();
        (&mut file).take(MAX_JOURNAL).read_to_end(&mut bytes).at("read", &path)?;
        let fail = |reason| Error::Journal { path: path.clone(), reason };
        let (records, end) = parse(&bytes).map_err(fail)?;
        let Some(first) = records.first() else { return Ok(None) };
        match first {
            Record::Begin { version, .. } if *version == crate::plan::VERSION => {}
            Record::Begin { version, .. } => {
                return Err(fail(format!("version {version} is not known to this program")));
            }
            _ => return Err(fail("the first record is not the beginning".into())),
        }
        let label = path.display().to_string();
        if end < bytes.len() {
            effect::truncate(&file, end as u64, &label)?;
        }
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(end as u64)).at("read", &path)?;
        Ok(Some(Self { file, path, records }))
    }

    /// Adds a record. A process that is killed does not lose it, a power cut may.
    pub(crate) fn append(&mut self, record: Record) -> Result<(), Error> {
        let bytes = encode(&record).map_err(|reason| Error::Journal { path: self.path.clone(), reason })?;
        effect::write(&mut self.file, &bytes, &self.path.display().to_string())?;
        self.records.push(record);
        Ok(())
    }

    /// Adds a record, which is on the disk on return, and all before it.
    pub(crate) fn append_durable(&mut self, record: Record) -> Result<(), Error> {
        self.append(record)?;
        Ok(effect::sync_data(&self.file, &self.path.display().to_string())?)
    }

    pub(crate) fn has(&self, record: &Record) -> bool {
        self.records.contains(record)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Staging directories.
    pub(crate) fn stages(&self) -> &[String] {
        match self.records.first() {
            Some(Record::Begin { stages, .. }) => stages,
            _ => &[],
        }
    }

    /// The digest of the plan, if the commit point was passed.
    pub(crate) fn committed(&self) -> Option<Digest> {
        self.records.iter().find_map(|r| match r {
            Record::Commit { plan } => Some(*plan),
            _ => None,
        })
    }

    /// Whether the machine has not been started again since.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        matches!(self.records.first(), Some(Record::Begin { boot, .. }) if !boot.is_empty() && *boot == boot_id())
    }

    /// The number of an element's row: the last that was given, for a power cut may have taken the row back.
    pub(crate) fn added(&self, step: usize) -> Option<u32> {
        self.records.iter().rev().find_map(|r| match r {
            Record::Added { step: n, hnum } if *n == step => Some(*hnum),
            _ => None,
        })
    }

    /// Whether a script was started, and how it ended.
    pub(crate) fn script(&self, script: usize) -> (bool, Option<bool>) {
        let started = self.has(&Record::ScriptStart { script });
        let ended = self.records.iter().find_map(|r| match r {
            Record::ScriptEnd { script: n, success } if *n == script => Some(*success),
            _ => None,
        });
        (started, ended)
    }

    /// The script because of which an element is left out.
    pub(crate) fn skipped(&self, step: usize) -> Option<usize> {
        self.records.iter().find_map(|r| match r {
            Record::Skipped { step: n, script } if *n == step => Some(*script),
            _ => None,
        })
    }
}

/// Which boot of the machine this is.
pub(crate) fn boot_id() -> String {
    let id = lazuli_fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match (id.trim(), fault::boots()) {
        (id, 0) | (id @ "", _) => id.to_owned(),
        (id, boots) => format!("{id}-{boots}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        prop_oneof![
            (0_usize..9).prop_map(|step| Record::Done { step }),
            (0_usize..9, any::<bool>()).prop_map(|(script, success)| Record::ScriptEnd { script, success }),
            (0_usize..9, any::<u32>()).prop_map(|(step, hnum)| Record::Added { step, hnum }),
            "\\PC{0,40}".prop_map(|path| Record::Note(Note::Kept { reason: path.clone(), path })),
        ]
    }

    proptest! {
        /// Whatever part of the last record reached the disk, with whatever after it: the records before
        /// are read, and nothing else is.
        #[test]
        fn a_torn_tail_is_as_if_it_had_not_been_written(
            records in prop::collection::vec(record(), 0..6),
            last in record(),
            cut in any::<prop::sample::Index>(),
            junk in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let whole: Vec<u8> = records.iter().flat_map(|r| encode(r).unwrap()).collect();
            let tail = encode(&last).unwrap();
            let mut bytes = whole.clone();
            bytes.extend(&tail[..cut.index(tail.len())]);
            prop_assert_eq!(parse(&bytes).unwrap(), (records.clone(), whole.len()));
            // A block that was allocated and never written.
            let mut bytes = whole.clone();
            bytes.extend(vec![0; junk.len() + 4]);
            prop_assert_eq!(parse(&bytes).unwrap(), (records.clone(), whole.len()));
            let mut bytes = whole.clone();
            bytes.extend(&tail);
            let flipped = whole.len() + cut.index(tail.len());
            bytes[flipped] ^= 1;
            prop_assert_eq!(parse(&bytes).unwrap().0, records);
        }
    }
}
