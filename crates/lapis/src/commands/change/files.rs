//! Package files named on the command line.

use crate::catalog::{Catalog, Detail, Source};
use crate::error::{Distrust, Error, Result};
use crate::repositories::Repos;
use crate::session::Session;
use lazuli_fs as fs;
use lazuli_repo::{Href, Package};
use lazuli_rpm::{KeyRing, PackageFile};
use lazuli_solve::{Job, PackageId, Packages, Select, Universe};
use std::path::{Path, PathBuf};

/// What such packages have for a repository.
pub const COMMAND_LINE: &str = "@commandline";
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 30;
/// The largest file that is fetched from an address, in bytes.
const MAX_FETCHED: u64 = 1 << 30;

/// Packages from files.
pub struct Files {
    universe: Packages<'static>,
    packages: &'static [Package],
    paths: Vec<PathBuf>,
}

/// Reads the files; nothing if there are none. Signatures are checked here, by the keys of any enabled
/// repository and those in the package database; the transaction checks again what it then installs.
pub fn read(session: &Session<'_>, repositories: &Repos, files: &[String]) -> Result<Option<Files>> {
    if files.is_empty() {
        return Ok(None);
    }
    let keys = keys(session, repositories)?;
    let mut packages = Vec::new();
    let mut paths = Vec::new();
    for file in files {
        let path = match file.strip_prefix("file://") {
            Some(path) => PathBuf::from(path),
            None if file.contains("://") => fetch(session, file)?,
            None => PathBuf::from(file),
        };
        let size = fs::metadata(&path)?.len();
        let bad = |reason: String| Error::File { path: path.clone(), reason };
        if size > MAX_FILE {
            return Err(bad(format!("it has {size} bytes, more than {MAX_FILE}")));
        }
        let bytes = fs::read(&path)?;
        let package = PackageFile::parse(&bytes).map_err(|e| bad(e.to_string()))?;
        if !session.global.trust.nogpgcheck {
            package.verify(&keys).map_err(|e| distrust(file, &e))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let href = Href::new(&name).map_err(|e| bad(e.to_string()))?;
        packages.push(Package::from_rpm(&bytes, href).map_err(|e| bad(e.to_string()))?);
        paths.push(path);
    }
    // Kept until the program ends.
    let packages: &'static [Package] = Box::leak(packages.into_boxed_slice());
    Ok(Some(Files { universe: Packages::new(packages), packages, paths }))
}

/// Fetches a package that no metadata vouches for; its signature has to. It stays in the cache until
/// `clean`.
fn fetch(session: &Session<'_>, url: &str) -> Result<PathBuf> {
    let fail = |reason: String| Error::Download { package: url.to_owned(), reason };
    if session.settings.main.cacheonly {
        return Err(fail("nothing may be fetched (--cacheonly)".to_owned()));
    }
    let name = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    if Href::new(name).is_err() || !name.to_ascii_lowercase().ends_with(".rpm") {
        return Err(fail("the address does not end in the name of an .rpm file".to_owned()));
    }
    let folder = session.settings.cache.join("commandline");
    fs::create_dir_all(&folder)?;
    let store =
        lazuli_store::Store::open(session.settings.cache.join("store")).map_err(|e| fail(e.to_string()))?;
    let progress = std::sync::Arc::new(session.progress().downloads("Package"));
    let fetcher = lazuli_fetch::Fetcher::new(&store, progress);
    let bytes = fetcher.get_unpinned(url, MAX_FETCHED).map_err(|e| fail(e.to_string()))?;
    let path = folder.join(name);
    fs::write_atomic(&path, bytes, 0o644)?;
    Ok(path)
}

/// Why a package is not trusted.
pub fn distrust(package: &str, error: &lazuli_rpm::package::Error) -> Error {
    use lazuli_rpm::package::Error as E;
    let (kind, hint) = match error {
        E::Unsigned => (Distrust::Unsigned, "; whoever made it has to sign it"),
        E::Signature(_) => {
            (Distrust::Key, "; if it is to be trusted, add its key to `gpgkey` of its repository")
        }
        _ => (Distrust::Digest, ""),
    };
    Error::Untrusted { package: package.to_owned(), reason: format!("{error}{hint}"), kind }
}

/// Keys that may sign files on the command line.
pub fn keys(session: &Session<'_>, repositories: &Repos) -> Result<KeyRing> {
    let mut ring = KeyRing::default();
    for repository in repositories.iter() {
        ring.join(repository.keys());
    }
    for key in session.installed()?.database().keys()? {
        // A key that cannot be read, for example because it is revoked, verifies nothing.
        if let Ok(key) = KeyRing::from_armored(&key.armored) {
            ring.join(&key);
        }
    }
    Ok(ring)
}

/// Jobs for the files: each is to be installed, as what it is.
pub fn jobs(catalog: &Catalog<'_>, repositories: &Repos, files: Option<&Files>) -> Vec<Job> {
    let place = repositories.iter().count();
    let count = files.map_or(0, |f| f.packages.len() as u32);
    (0..count).map(|n| Job::Install(Select::Package(catalog.global(place, PackageId(n))))).collect()
}

impl Files {
    /// The path of a package.
    pub fn path(&self, package: PackageId) -> Option<&Path> {
        self.paths.get(package.0 as usize).map(PathBuf::as_path)
    }
}

impl Source for Files {
    fn universe(&self) -> &dyn Universe {
        &self.universe
    }

    fn id(&self) -> &'static str {
        COMMAND_LINE
    }

    fn rank(&self) -> (i32, u32) {
        // Before all repositories: somebody asked for exactly these.
        (0, 0)
    }

    fn record(&self, package: PackageId, _detail: Detail) -> Result<Package> {
        let missing = || Error::NoMatch(vec![format!("file {}", package.0)]);
        self.packages.get(package.0 as usize).cloned().ok_or_else(missing)
    }

    fn words(&self, package: PackageId) -> [String; 3] {
        self.packages
            .get(package.0 as usize)
            .map_or_else(Default::default, |p| [p.summary.clone(), p.description.clone(), p.url.clone()])
    }

    fn each_path(&self, visit: &mut dyn FnMut(&str, &[PackageId])) {
        for (id, package) in (0..).map(PackageId).zip(self.packages) {
            for file in &package.files {
                visit(&file.path, &[id]);
            }
        }
    }

    fn times(&self, package: PackageId) -> (i64, i64) {
        self.packages.get(package.0 as usize).map_or((0, 0), |p| (p.build_time, p.file_time))
    }
}
