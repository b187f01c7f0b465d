//! What happened to a machine: one line of JSON each. For people and fleets to read; no decision depends on it, so that
//! a full or lost state partition costs the history and nothing else.

use crate::Result;
use lazuli_fs::Context as _;
use lazuli_layout::assess::{Effect, ImageId};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::PathBuf;

/// Lines that are kept when the file is cut.
const KEPT: usize = 500;
/// Bytes from which on it is cut.
const LONG: u64 = 256 << 10;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Seconds since 1970, by a clock that may be wrong.
    pub time: u64,
    /// What.
    pub event: What,
    /// The version that it happened to, if to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<ImageId>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An image was written to the other slot, read back and compared.
    Staged,
    /// It is tried at the next boot.
    Applied,
    /// The running image proved itself.
    Blessed,
    /// An image was given up.
    Failed,
    /// The running image asked for a reboot.
    Unhealthy,
    /// What was in the other slot was discarded.
    Abandoned,
    /// An image may be taken again.
    Forgotten,
}

/// The file.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
}

impl History {
    /// The usual name within the updater's folder.
    pub const NAME: &'static str = "history.jsonl";

    /// A file that may not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Adds a record.
    pub fn add(&self, record: &Record) -> Result<()> {
        if lazuli_fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > LONG) {
            let records = self.read()?;
            let text: String = records[records.len().saturating_sub(KEPT)..].iter().map(line).collect();
            lazuli_fs::write_atomic(&self.path, text, 0o644)?;
        }
        if let Some(folder) = self.path.parent() {
            lazuli_fs::create_dir_all(folder)?;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path);
        let mut file = file.at("open", &self.path)?;
        // What a power cut tore must not take this one along.
        let torn = lazuli_fs::read(&self.path)?.last().is_some_and(|last| *last != b'\n');
        let text = if torn { format!("\n{}", line(record)) } else { line(record) };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).at("write", &self.path)?;
        Ok(())
    }

    /// All records, oldest first. A line that a power cut tore is left out.
    pub fn read(&self) -> Result<Vec<Record>> {
        match lazuli_fs::read(&self.path) {
            Ok(bytes) => {
                let lines = bytes.split(|byte| *byte == b'\n');
                Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
            }
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

fn line(record: &Record) -> String {
    // Numbers and text always become JSON.
    serde_json::to_string(record).map(|text| format!("{text}\n")).unwrap_or_default()
}

/// What effects mean to a reader of the history.
pub fn records(time: u64, effects: &[Effect]) -> Vec<Record> {
    let record = |event, version: Option<&String>, image: Option<ImageId>, reason: Option<&String>| Record {
        time,
        event,
        version: version.cloned(),
        image,
        reason: reason.cloned(),
    };
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Stamp { image, .. } => {
                Some(record(What::Staged, Some(&image.version), Some(image.id), None))
            }
            Effect::Install { image, .. } => {
                Some(record(What::Applied, Some(&image.version), Some(image.id), None))
            }
            Effect::Remember { image, reason } => {
                Some(record(What::Failed, Some(&image.version), Some(image.id), Some(reason)))
            }
            Effect::Note { id, reason } => Some(record(What::Unhealthy, None, Some(*id), Some(reason))),
            Effect::Forget { id } => Some(record(What::Forgotten, None, Some(*id), None)),
            Effect::Clear { .. } => Some(record(What::Abandoned, None, None, None)),
            Effect::Bless { .. } => Some(record(What::Blessed, None, None, None)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back_and_the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path().join(History::NAME));
        assert!(history.read().unwrap().is_empty());
        let record = |n: u64| Record {
            time: n,
            event: What::Failed,
            version: Some("2".into()),
            image: Some(ImageId::from_bytes([1; 32])),
            reason: Some("x".repeat(200)),
        };
        for n in 0..2000 {
            history.add(&record(n)).unwrap();
        }
        let records = history.read().unwrap();
        assert!(records.len() >= KEPT && records.len() < 1500, "{}", records.len());
        assert_eq!(records.last(), Some(&record(1999)));
    }
}
