//! A repository in a directory of this machine, read as a whole.

use super::{Fetched, Fetching, Freshness, Remote, Status};
use crate::catalog::{Detail, Source};
use crate::error::{Error, Result};
use lazuli_fs as fs;
use lazuli_repo::config::RepoConfig;
use lazuli_repo::updateinfo::Advisory;
use lazuli_repo::{Package, Repomd};
use lazuli_rpm::KeyRing;
use lazuli_solve::{PackageId, Packages, Universe};
use std::path::{Path, PathBuf};

/// A directory with `repodata`.
pub struct Local {
    config: RepoConfig,
    directory: PathBuf,
    repomd: Repomd,
    packages: &'static [Package],
    universe: Packages<'static>,
    advisories: Vec<Advisory>,
}

impl Local {
    /// Reads it.
    pub fn open(config: &RepoConfig, _freshness: Freshness) -> Result<Self> {
        let fail = |reason: String| Error::Repository { id: config.id.clone(), reason };
        let url = config.base_urls.first().cloned().unwrap_or_default();
        let Some(path) = url.strip_prefix("file://") else {
            return Err(fail(format!("{url}: only file:// addresses can be read")));
        };
        let directory = PathBuf::from(path);
        let keys = keys(config)?;
        let read = lazuli_repo::read_directory(&directory, &keys, lazuli_repo::Detail::Everything);
        let read = read.map_err(|e| fail(e.to_string()))?;
        // Kept until the program ends; there is one of these per repository.
        let packages: &'static [Package] = Box::leak(read.packages.into_boxed_slice());
        let universe = Packages::new(packages);
        Ok(Self {
            config: config.clone(),
            directory,
            repomd: read.repomd,
            packages,
            universe,
            advisories: Vec::new(),
        })
    }

    fn package(&self, package: PackageId) -> Result<&Package> {
        let missing = || Error::NoMatch(vec![format!("package {}", package.0)]);
        self.packages.get(package.0 as usize).ok_or_else(missing)
    }
}

fn armored(config: &RepoConfig) -> Result<String> {
    let mut text = String::new();
    for key in &config.gpg_keys {
        text += &fs::read_to_string(key.strip_prefix("file://").unwrap_or(key))?;
        text.push('\n');
    }
    Ok(text)
}

fn keys(config: &RepoConfig) -> Result<KeyRing> {
    KeyRing::from_armored(&armored(config)?)
        .map_err(|e| Error::Repository { id: config.id.clone(), reason: e.to_string() })
}

impl Source for Local {
    fn universe(&self) -> &dyn Universe {
        &self.universe
    }

    fn id(&self) -> &str {
        &self.config.id
    }

    fn rank(&self) -> (i32, u32) {
        (i32::try_from(self.config.priority).unwrap_or(99), self.config.cost)
    }

    fn record(&self, package: PackageId, _detail: Detail) -> Result<Package> {
        self.package(package).cloned()
    }

    fn times(&self, package: PackageId) -> (i64, i64) {
        self.package(package).map_or((0, 0), |p| (p.build_time, p.file_time))
    }
}

impl Remote for Local {
    fn config(&self) -> &RepoConfig {
        &self.config
    }

    fn armored_keys(&self) -> Result<String> {
        armored(&self.config)
    }

    fn forget(&self, _packages: &[PackageId]) {}

    fn advisories(&self) -> Result<Vec<Advisory>> {
        Ok(self.advisories.clone())
    }

    fn status(&self) -> Status {
        Status {
            revision: self.repomd.revision.clone(),
            expires: self.repomd.expires,
            metadata_size: self.repomd.parts.values().map(|p| p.size).sum(),
            ..Status::default()
        }
    }

    fn is_cached(&self, _package: PackageId) -> bool {
        true
    }

    fn fetch(&self, packages: &[PackageId], progress: &Fetching<'_>) -> Result<Vec<Fetched>> {
        let mut fetched = Vec::new();
        for id in packages {
            let package = self.package(*id)?;
            let path = self.directory.join(package.location.as_str());
            let bytes = fs::read(&path)?;
            let fail = |reason: String| Error::Download { package: package.id(), reason };
            if lazuli_store::Digest::of(&bytes) != package.checksum {
                return Err(fail("its SHA-256 is not the one in the metadata".to_owned()));
            }
            (progress.bytes)(package.location.file_name(), package.package_size);
            fetched.push(Fetched { file: fs::open(&path)?, path });
        }
        Ok(fetched)
    }

    fn url(&self, package: PackageId) -> Result<String> {
        Ok(format!("file://{}/{}", self.directory.display(), self.package(package)?.location))
    }

    fn copy_metadata(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to.join("repodata"))?;
        for file in fs::read_dir(self.directory.join("repodata"))? {
            fs::copy(&file, to.join("repodata").join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}
