//! What is remembered about a repository for good: `STATE/ID.json`.
//!
//! The file is written before metadata of a new version is used for the first time, so that no crash makes
//! the machine forget a version that it acted on. A file that cannot be read is an error, never an
//! empty memory.

use crate::error::{Error, Result};
use lazuli_fs as fs;
use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is known about a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The highest version of its metadata that was believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The SHA-256 of the `repomd.xml` of that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repomd: Option<Digest>,
    /// The fingerprints of the keys that came over the network, when they were first seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_keys: Vec<String>,
}

impl State {
    /// Where the state of a repository lies.
    pub fn path(dir: &Path, repository: &str) -> PathBuf {
        dir.join(format!("{repository}.json"))
    }

    /// Reads it. No file is no memory: the repository was never used.
    pub fn load(dir: &Path, repository: &str) -> Result<Self> {
        let path = Self::path(dir, repository);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        serde_json::from_slice(&bytes).map_err(|e| Error::State {
            repository: repository.to_owned(),
            path,
            reason: e.to_string(),
        })
    }

    /// Writes it, durably.
    pub fn save(&self, dir: &Path, repository: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        // Strings and numbers always become JSON.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        fs::write_atomic(Self::path(dir, repository), text + "\n", 0o644)?;
        Ok(())
    }
}
