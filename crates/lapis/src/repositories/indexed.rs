//! A repository as `lazuli_remote` has it: verified, mapped into memory.

use super::{Fetched, Remote, Status};
use crate::catalog::{Detail, Source};
use crate::error::{Error, Result};
use lazuli_remote::{Repository, Wanted};
use lazuli_repo::Package;
use lazuli_repo::config::RepoConfig;
use lazuli_repo::updateinfo::Advisory;
use lazuli_rpm::{Dependency, KeyRing, Nevra};
use lazuli_solve::{List, PackageId, Size, Universe};
use std::path::Path;
use std::sync::Arc;

/// A repository and the means to fetch more of it.
pub struct Indexed {
    remote: Arc<lazuli_remote::Remote>,
    repository: Repository,
}

impl From<lazuli_remote::Error> for Error {
    fn from(error: lazuli_remote::Error) -> Self {
        let kind = match &error {
            lazuli_remote::Error::Fetch { .. } => super::Trouble::Network,
            lazuli_remote::Error::NotCached { .. } => super::Trouble::NotCached,
            _ => super::Trouble::Trust,
        };
        Self::Repository { reason: error.to_string(), kind }
    }
}

impl Indexed {
    /// A repository that `remote` opened.
    pub fn new(remote: Arc<lazuli_remote::Remote>, repository: Repository) -> Self {
        Self { remote, repository }
    }

    fn package(&self, package: PackageId) -> Result<Package> {
        let damaged = || Error::Repository {
            reason: format!("repository {}: the cached index is damaged; run `clean metadata`", self.id()),
            kind: super::Trouble::NotCached,
        };
        self.repository.index().package(package).ok_or_else(damaged)
    }
}

impl Source for Indexed {
    fn universe(&self) -> &dyn Universe {
        self
    }

    fn id(&self) -> &str {
        self.repository.id()
    }

    fn rank(&self) -> (i32, u32) {
        let config = self.repository.config();
        (config.priority, config.cost)
    }

    fn record(&self, package: PackageId, detail: Detail) -> Result<Package> {
        match detail {
            Detail::Primary => self.package(package),
            Detail::Files => {
                self.want_files()?;
                self.package(package)
            }
            Detail::Changelog => match self.repository.with_changelog(&self.remote, package)? {
                Some(record) => Ok(record),
                None => self.package(package),
            },
        }
    }

    fn times(&self, package: PackageId) -> (i64, i64) {
        self.repository.index().times(package)
    }

    fn words(&self, package: PackageId) -> [String; 3] {
        self.repository.index().words(package).map(str::to_owned)
    }

    fn requirers(&self, name: &str) -> Option<Vec<PackageId>> {
        Some(self.repository.index().requirers(name))
    }

    fn want_files(&self) -> Result<()> {
        Ok(self.repository.want_files(&self.remote)?)
    }

    fn each_path(&self, visit: &mut dyn FnMut(&str, &[PackageId])) {
        self.repository.index().each_path(&mut |path, owners| {
            visit(path, owners);
            true
        });
    }
}

impl Remote for Indexed {
    fn config(&self) -> &RepoConfig {
        self.repository.config()
    }

    fn keys(&self) -> &KeyRing {
        self.repository.keys()
    }

    fn advisories(&self) -> Result<Vec<Advisory>> {
        Ok(self.repository.advisories(&self.remote)?)
    }

    fn groups(&self) -> Result<lazuli_repo::comps::Comps> {
        Ok(self.repository.groups(&self.remote)?)
    }

    fn status(&self) -> Status {
        let repomd = self.repository.repomd();
        Status {
            revision: repomd.revision.clone(),
            expires: repomd.expires,
            checked: Some(self.repository.checked()),
            metadata_size: repomd.parts.values().map(|p| p.size).sum(),
        }
    }

    fn missing_bytes(&self, packages: &[PackageId]) -> u64 {
        let wanted: Vec<Wanted<'_>> =
            packages.iter().map(|p| Wanted { repository: &self.repository, package: *p }).collect();
        self.remote
            .missing_bytes(&wanted)
            .unwrap_or_else(|_| packages.iter().map(|p| self.repository.index().size(*p).package).sum())
    }

    fn fetch(&self, packages: &[PackageId]) -> Result<Vec<Fetched>> {
        let wanted: Vec<Wanted<'_>> =
            packages.iter().map(|p| Wanted { repository: &self.repository, package: *p }).collect();
        let fetched = self.remote.fetch(&wanted)?;
        Ok(fetched
            .into_iter()
            .map(|f| Fetched { name: f.record.location.file_name().to_owned(), file: f.file, path: f.path })
            .collect())
    }

    fn url(&self, package: PackageId) -> Result<String> {
        let location = self.package(package)?.location;
        Ok(self.repository.addresses(&location).into_iter().next().unwrap_or_default())
    }

    fn copy_metadata(&self, to: &Path) -> Result<()> {
        Ok(self.repository.copy_metadata(&self.remote, to)?)
    }
}

/// Every question goes to the index of the moment: it may come to know more paths meanwhile.
impl Universe for Indexed {
    fn count(&self) -> u32 {
        self.repository.index().count()
    }

    fn nevra(&self, package: PackageId) -> Nevra {
        self.repository.index().nevra(package)
    }

    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
        self.repository.index().dependencies(package, list)
    }

    fn named(&self, name: &str) -> Vec<PackageId> {
        self.repository.index().named(name)
    }

    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
        self.repository.index().providers(name)
    }

    fn owners(&self, path: &str) -> Vec<PackageId> {
        let found = self.repository.index().owners(path);
        // A path that `primary` does not list may be in the file lists; most requirements are not of
        // this kind, so these are fetched only now.
        if found.is_empty() && !lazuli_repo::is_primary_path(path) {
            match self.want_files() {
                Ok(()) => return self.repository.index().owners(path),
                // Nobody owns it then; why is said here, because the solver has no place for it.
                Err(error) => tracing::error!("{path}: {error}"),
            }
        }
        found
    }

    fn obsoleters(&self, name: &str) -> Vec<PackageId> {
        self.repository.index().obsoleters(name)
    }

    fn supplementers(&self, name: &str) -> Vec<PackageId> {
        self.repository.index().supplementers(name)
    }

    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.repository.index().each_name(visit);
    }

    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.repository.index().each_provided_name(visit);
    }

    fn size(&self, package: PackageId) -> Size {
        self.repository.index().size(package)
    }

    fn tie_break(&self, package: PackageId) -> Vec<u8> {
        self.repository.index().tie_break(package)
    }
}
