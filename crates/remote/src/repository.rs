//! A repository that was fetched and verified, or found in the cache and verified again.

use crate::Remote;
use crate::error::{Error, Result};
use crate::index::{self, Index};
use lazuli_fetch::Request;
use lazuli_repo::{Href, Package, RepoConfig, Repomd, Verified, parse_packages};
use lazuli_rpm::KeyRing;
use lazuli_solve::PackageId;
use lazuli_store::Digest;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A repository to be asked.
pub struct Repository {
    pub(crate) config: RepoConfig,
    pub(crate) keys: KeyRing,
    pub(crate) verified: Verified,
    /// Addresses without a slash at the end, the one that answered first.
    pub(crate) bases: Vec<String>,
    /// Where its cached files lie.
    pub(crate) dir: PathBuf,
    /// When the metadata was last compared with the server's, in seconds since 1970.
    pub(crate) checked: i64,
    pub(crate) index: Index,
    /// With every path, once somebody asked.
    pub(crate) full: OnceLock<Index>,
}

impl Repository {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// How it is configured.
    pub fn config(&self) -> &RepoConfig {
        &self.config
    }

    /// The keys that sign its packages.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The verified list of its metadata.
    pub fn repomd(&self) -> &Repomd {
        self.verified.repomd()
    }

    /// When its metadata was last compared with the server's, in seconds since 1970.
    pub fn checked(&self) -> i64 {
        self.checked
    }

    /// Its packages. Paths are those that `primary` lists until [`Repository::want_files`] was called.
    pub fn index(&self) -> &Index {
        self.full.get().unwrap_or(&self.index)
    }

    /// Brings every path into the index, fetching `filelists` if need be.
    pub fn want_files(&self, remote: &Remote) -> Result<()> {
        if self.full.get().is_some() || !self.repomd().parts.contains_key("filelists") {
            return Ok(());
        }
        // Made from both, so bound to both: the same file lists may belong to another `primary`.
        let primary = self.part("primary")?;
        let source = Digest::of(format!("{primary} {}", self.part("filelists")?));
        let path = self.dir.join(format!("{primary}.files"));
        let index = if let Some(index) = Index::open(&path, &source)? {
            index
        } else {
            let (primary, filelists) = (self.open(remote, "primary")?, self.open(remote, "filelists")?);
            let packages = parse_packages(&primary, Some(&filelists), None);
            index::build(&path, &source, &packages.map_err(|source| self.metadata(source))?)?;
            reopen(&path, &source, self.id())?
        };
        // Whoever was faster made the same.
        let _ = self.full.set(index);
        Ok(())
    }

    /// The record of a package with its changelog, fetching `other` if need be.
    pub fn with_changelog(&self, remote: &Remote, package: PackageId) -> Result<Option<Package>> {
        let Some(mut record) = self.index().package(package) else { return Ok(None) };
        if !self.repomd().parts.contains_key("other") {
            return Ok(Some(record));
        }
        let (primary, other) = (self.open(remote, "primary")?, self.open(remote, "other")?);
        let packages =
            parse_packages(&primary, None, Some(&other)).map_err(|source| self.metadata(source))?;
        if let Some(full) = packages.into_iter().find(|p| p.checksum == record.checksum) {
            record.changelog = full.changelog;
        }
        Ok(Some(record))
    }

    /// What its updates are for; empty if it does not say.
    pub fn advisories(&self, remote: &Remote) -> Result<Vec<lazuli_repo::Advisory>> {
        if !self.repomd().parts.contains_key("updateinfo") {
            return Ok(Vec::new());
        }
        let bytes = self.open(remote, "updateinfo")?;
        lazuli_repo::updateinfo::parse(&bytes).map_err(|source| self.metadata(source))
    }

    /// Its groups of packages; empty if it has none.
    pub fn groups(&self, remote: &Remote) -> Result<lazuli_repo::comps::Comps> {
        // The compressed file goes by a name of its own, because older programs could not read it.
        let kinds = ["group_zst", "group_xz", "group_gz", "group"];
        let Some(kind) = kinds.into_iter().find(|kind| self.repomd().parts.contains_key(*kind)) else {
            return Ok(lazuli_repo::comps::Comps::default());
        };
        let bytes = self.open(remote, kind)?;
        lazuli_repo::comps::parse(&bytes).map_err(|source| self.metadata(source))
    }

    /// The addresses of a file of the repository.
    pub(crate) fn urls(&self, href: &Href) -> Vec<String> {
        self.bases.iter().map(|base| format!("{base}/{href}")).collect()
    }

    /// The decompressed content of a part, which is fetched if it is not cached.
    pub(crate) fn open(&self, remote: &Remote, kind: &'static str) -> Result<Vec<u8>> {
        open_part(remote, &self.config, &self.verified, &self.bases, kind)
    }

    fn part(&self, kind: &'static str) -> Result<Digest> {
        let part = self.repomd().part(kind).map_err(|source| self.metadata(source))?;
        Ok(part.checksum)
    }

    fn metadata(&self, source: lazuli_repo::Error) -> Error {
        Error::Metadata { repository: self.config.id.clone(), source: Box::new(source) }
    }
}

/// See [`Repository::open`].
pub(crate) fn open_part(
    remote: &Remote,
    config: &RepoConfig,
    verified: &Verified,
    bases: &[String],
    kind: &'static str,
) -> Result<Vec<u8>> {
    with_part(remote, config, verified, bases, kind, |bytes| {
        let metadata = |source| Error::Metadata { repository: config.id.clone(), source: Box::new(source) };
        verified.open(kind, bytes).map_err(metadata)
    })
}

/// What `read` makes of a part's bytes as they are stored, which are fetched if they are not cached.
pub(crate) fn with_part<T>(
    remote: &Remote,
    config: &RepoConfig,
    verified: &Verified,
    bases: &[String],
    kind: &'static str,
    read: impl Fn(&[u8]) -> Result<T>,
) -> Result<T> {
    let metadata = |source| Error::Metadata { repository: config.id.clone(), source: Box::new(source) };
    let part = verified.repomd().part(kind).map_err(metadata)?;
    if part.size > lazuli_repo::repomd::MAX_PART {
        let (what, size) = (part.location.to_string(), part.size);
        return Err(metadata(lazuli_repo::Error::Limit { what, size, limit: lazuli_repo::repomd::MAX_PART }));
    }
    let mut again = true;
    loop {
        if !remote.store.contains(&part.checksum)? {
            if remote.offline {
                return Err(Error::NotCached { repository: config.id.clone(), what: format!("`{kind}`") });
            }
            let request = Request {
                urls: bases.iter().map(|base| format!("{base}/{}", part.location)).collect(),
                digest: part.checksum,
                size: part.size,
                name: format!("{} {kind}", config.id),
            };
            let fetch = |source| Error::Fetch { repository: config.id.clone(), source };
            remote.fetcher(config).fetch_all(&[request]).map_err(fetch)?;
        }
        match remote.store.read(&part.checksum) {
            Ok(bytes) => return read(&bytes),
            // It was damaged where it lay and is gone now; the server still has it.
            Err(lazuli_store::Error::Missing { .. }) if again => again = false,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens an index that was just made.
pub(crate) fn reopen(path: &std::path::Path, digest: &Digest, repository: &str) -> Result<Index> {
    Index::open(path, digest)?
        .ok_or_else(|| Error::Damaged { repository: repository.to_owned(), path: path.to_owned() })
}
