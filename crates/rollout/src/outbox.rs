//! Reports that wait to be sent, on the state partition.
//!
//! # Layout
//!
//! ```text
//! DIR/TTTTTTTTTTTT-HHHHHHHHHHHHHHHH.json     one report: one line of JSON
//! ```
//!
//! T is the time of the report in seconds since 1970, with leading zeroes, so that names sort by time; H are the first 8
//! bytes of the SHA-256 of the content in hexadecimal, so that the same report is kept once.
//!
//! A report is written with its own fsync and rename before the restart that it announces, so that a machine which
//! comes back, with whichever system, still sends it. There are never more than [`MOST_REPORTS`]: the oldest go first.

use crate::report::{MOST_BYTES, Received, Report, ReportError};
use lazuli_fs as fs;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// The most reports that wait.
pub const MOST_REPORTS: usize = 32;

/// A folder of reports.
#[derive(Debug, Clone)]
pub struct Outbox {
    dir: PathBuf,
}

/// Why a report was not put into the outbox, or cannot be taken out. Whoever updates a machine logs this and goes on.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The folder or a file in it.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl Outbox {
    /// The outbox in `dir`, which is made when the first report is put into it.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Puts a report into the outbox. It has reached the disk when this returns.
    pub fn put(&self, report: &Report) -> Result<(), OutboxError> {
        let line = report.to_line()?;
        fs::create_dir_all(&self.dir)?;
        // Room is made first: on a full disk what goes makes room for what comes.
        let waiting = self.waiting()?;
        for old in waiting.iter().take((waiting.len() + 1).saturating_sub(MOST_REPORTS)) {
            Self::remove(old)?;
        }
        let digest: String = Sha256::digest(&line)[..8].iter().map(|b| format!("{b:02x}")).collect();
        let name = format!("{:012}-{digest}.json", report.time.unix());
        Ok(fs::write_atomic(self.dir.join(name), line, 0o600)?)
    }

    /// The files that wait, the oldest first.
    pub fn waiting(&self) -> Result<Vec<PathBuf>, OutboxError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            entries => entries?,
        };
        let ours = |path: &PathBuf| {
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && path.extension().is_some_and(|ending| ending == "json")
        };
        Ok(entries.into_iter().filter(ours).collect())
    }

    /// The content of a file that waits; `None` if it is not a report, and never will be.
    pub(crate) fn content(path: &Path) -> Result<Option<Vec<u8>>, OutboxError> {
        if fs::metadata(path)?.len() > MOST_BYTES as u64 {
            return Ok(None);
        }
        let content = fs::read(path)?;
        Ok(Received::from_json(content.trim_ascii()).is_ok().then_some(content))
    }

    /// Takes a file out. One that is gone already is fine: another run may have sent it.
    pub(crate) fn remove(path: &Path) -> Result<(), OutboxError> {
        match fs::remove_file(path) {
            Err(error) if error.is_not_found() => Ok(()),
            result => Ok(result?),
        }
    }
}
