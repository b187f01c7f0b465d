//! `lazuli.lock`: every input from outside, with size and SHA-256.
//!
//! The file is TOML in a fixed order, so that a change to it reads well in a diff. It says *what* was
//! pinned; that it came from a trusted archive was verified when it was pinned (see
//! [`resolve`](crate::resolve)), and the digest makes sure that nothing else is ever used.

use crate::toml_file;
use lazuli_fs as fs;
use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The version of the lock file's format that this code reads and writes.
pub const FORMAT: u32 = 1;

/// The whole lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// [`FORMAT`].
    pub format: u32,
    /// The state of each suite when it was last read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suite: Vec<LockedSuite>,
    /// For each adopted component, its packages; for each set of tools, the closure. Values are keys
    /// of [`Lock::deb`].
    #[serde(default)]
    pub component: BTreeMap<String, BTreeSet<String>>,
    /// Tool roots, by name; those that one component needs are named `component:NAME`.
    #[serde(default)]
    pub tool_root: BTreeMap<String, BTreeSet<String>>,
    /// Debian packages by [`LockedDeb::key`].
    #[serde(default)]
    pub deb: BTreeMap<String, LockedDeb>,
    /// Upstream sources by Debian source package name.
    #[serde(default)]
    pub source: BTreeMap<String, LockedSource>,
}

/// The state of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    /// Its name.
    pub name: String,
    /// The date that its `InRelease` bears, in seconds since 1970.
    pub date: i64,
    /// SHA-256 of that `InRelease`.
    pub sha256: Digest,
}

/// A pinned binary package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedDeb {
    /// Version.
    pub version: String,
    /// Architecture, `amd64` or `all`.
    pub architecture: String,
    /// Suite it was taken from.
    pub suite: String,
    /// Directory below the mirror (`debian`, `debian-security`).
    pub archive: String,
    /// Path below the archive.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub sha256: Digest,
}

impl LockedDeb {
    /// The key of a package in [`Lock::deb`]: `name=version`.
    pub fn key(name: &str, version: &str) -> String {
        format!("{name}={version}")
    }
}

/// A pinned upstream source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSource {
    /// Version of the Debian source package.
    pub version: String,
    /// Suite it was taken from.
    pub suite: String,
    /// Directory below the mirror.
    pub archive: String,
    /// Directory below the archive.
    pub directory: String,
    /// The date of the suite when this was pinned, in seconds since 1970: SOURCE_DATE_EPOCH of builds.
    pub date: i64,
    /// Its files.
    pub file: Vec<LockedFile>,
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedFile {
    /// Its name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub sha256: Digest,
}

impl LockedSource {
    /// The upstream tarball.
    pub fn tarball(&self) -> Option<&LockedFile> {
        // `.orig.tar.xz.asc` is upstream's signature.
        let is = |f: &&LockedFile| f.name.contains(".orig.tar.") && f.name.rsplit('.').next() != Some("asc");
        self.file.iter().find(is).or_else(|| {
            // A native package has no separate upstream tarball.
            self.file.iter().find(|f| f.name.contains(".tar.") && !f.name.contains(".debian.tar."))
        })
    }

    /// The upstream version: without epoch and Debian revision.
    pub fn upstream_version(&self) -> &str {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, v)| v);
        version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
    }
}

/// What is wrong with a lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    Toml(#[from] toml_file::Error),
    /// Writing it.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// It is not there.
    #[error("{0} does not exist; run `lazuli lock` to pin everything that distro/ names")]
    Absent(String),
    /// It was written by another version.
    #[error(
        "{path} has format {found}, this lazuli knows {FORMAT}; run `lazuli lock` with the lazuli of this checkout"
    )]
    Format {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
    /// Something in `distro/` is not pinned.
    #[error("{what} is in distro/ but not in lazuli.lock; run `lazuli lock`")]
    NotLocked {
        /// What.
        what: String,
    },
    /// The file cannot be encoded.
    #[error("cannot encode lazuli.lock: {0}")]
    Encode(#[from] toml::ser::Error),
}

const HEADING: &str = "# Every input from outside, pinned. Written by `lazuli lock`; do not edit.\n\n";

impl Lock {
    /// An empty lock.
    pub fn new() -> Self {
        Self { format: FORMAT, ..Self::default() }
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Absent(path.display().to_string()));
        }
        let lock: Self = toml_file::read(path)?;
        if lock.format != FORMAT {
            return Err(Error::Format { path: path.display().to_string(), found: lock.format });
        }
        for (owner, keys) in lock.component.iter().chain(&lock.tool_root) {
            if let Some(key) = keys.iter().find(|k| !lock.deb.contains_key(*k)) {
                let message =
                    format!("`{owner}` names `{key}`, which [deb] does not have; run `lazuli lock`");
                let text = fs::read_to_string(path)?;
                return Err(toml_file::invalid(path, &text, key, message).into());
            }
        }
        Ok(lock)
    }

    /// Writes the file at once.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = format!("{HEADING}{}", toml::to_string(self)?);
        Ok(fs::write_atomic(path, text, 0o644)?)
    }

    /// The pinned packages of an adopted component as (name, deb).
    pub fn component_debs(&self, name: &str) -> Result<Vec<(&str, &LockedDeb)>, Error> {
        let keys = self
            .component
            .get(name)
            .ok_or_else(|| Error::NotLocked { what: format!("component `{name}`") })?;
        Ok(self.debs(keys))
    }

    /// The pinned packages of a tool root as (name, deb).
    pub fn tool_root_debs(&self, name: &str) -> Result<Vec<(&str, &LockedDeb)>, Error> {
        let keys = self
            .tool_root
            .get(name)
            .ok_or_else(|| Error::NotLocked { what: format!("tool root `{name}`") })?;
        Ok(self.debs(keys))
    }

    fn debs<'a>(&'a self, keys: &'a BTreeSet<String>) -> Vec<(&'a str, &'a LockedDeb)> {
        keys.iter().filter_map(|key| Some((key.split_once('=')?.0, self.deb.get(key)?))).collect()
    }

    /// Drops packages that nothing names any more.
    pub fn prune(&mut self) {
        let used: BTreeSet<String> =
            self.component.values().chain(self.tool_root.values()).flatten().cloned().collect();
        self.deb.retain(|key, _| used.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_dangling_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lazuli.lock");
        let mut lock = Lock::new();
        let deb = LockedDeb {
            version: "1-2".into(),
            architecture: "amd64".into(),
            suite: "trixie".into(),
            archive: "debian".into(),
            path: "pool/main/b/bash/bash.deb".into(),
            size: 7,
            sha256: Digest::of(b"x"),
        };
        let key = LockedDeb::key("bash", "1-2");
        lock.deb.insert(key.clone(), deb);
        lock.component.insert("bash".into(), [key].into());
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        assert_eq!(lock.component_debs("bash").unwrap()[0].0, "bash");
        lock.deb.clear();
        lock.write(&path).unwrap();
        let error = Lock::read(&path).unwrap_err().to_string();
        assert!(error.contains("`bash` names `bash=1-2`, which [deb] does not have"), "{error}");
    }

    #[test]
    fn the_upstream_version_has_neither_epoch_nor_revision() {
        let source = |version: &str| LockedSource {
            version: version.into(),
            suite: String::new(),
            archive: String::new(),
            directory: String::new(),
            date: 0,
            file: Vec::new(),
        };
        assert_eq!(source("1:2.3-4-5").upstream_version(), "2.3-4");
        assert_eq!(source("6.12.94").upstream_version(), "6.12.94");
    }
}
