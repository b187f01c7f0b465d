//! Pinning: from the signed indices of the archive to `lazuli.lock`.
//!
//! Trust goes from the keys in `distro/keys` over each suite's `InRelease` (OpenPGP) and the digests in
//! it to `Packages` and `Sources`, and over the digests in those to every file. Nothing is taken from
//! an index that did not pass.

use crate::distro::Source as DistroSource;
use crate::lock::{Lock, LockedDeb, LockedFile, LockedSource, LockedSuite};
use crate::schema::{Component, Suite, nearest, suggestion};
use lazuli_debian::closure::{self, Universe};
use lazuli_debian::index::{self, BinaryPackage, SourcePackage};
use lazuli_debian::mirror::Mirror;
use lazuli_debian::release::{self, Expiry, Release};
use lazuli_fetch::{Fetcher, Request};
use lazuli_fs as fs;
use lazuli_store::{Digest, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;

/// Why something could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network or the mirror.
    #[error(transparent)]
    Fetch(#[from] lazuli_fetch::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A file of the distribution.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// An `InRelease` that is not to be trusted.
    #[error("{url}: {source}")]
    Release {
        /// Where it came from.
        url: String,
        /// What is wrong.
        #[source]
        source: release::Error,
    },
    /// An index that cannot be read.
    #[error("{url}: {reason}")]
    Index {
        /// Where it came from.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A package that no suite has.
    #[error("component `{component}` wants the Debian package `{package}`, which no suite has{hint}")]
    NoPackage {
        /// The component.
        component: String,
        /// The package.
        package: String,
        /// A near name.
        hint: String,
    },
    /// A source package that no suite has.
    #[error(
        "component `{component}` wants the Debian source package `{source_package}`, which no suite has{hint}"
    )]
    NoSource {
        /// The component.
        component: String,
        /// The source package.
        source_package: String,
        /// A near name.
        hint: String,
    },
    /// A tool root whose dependencies cannot be met.
    #[error("tool root `{root}`: {source}")]
    Closure {
        /// The tool root.
        root: String,
        /// What is missing.
        #[source]
        source: closure::Explanation,
    },
}

/// The longest index in bytes, unpacked. Debian's largest today has 60 MB.
const MAX_INDEX: u64 = 512 << 20;
/// The longest `InRelease` in bytes.
const MAX_RELEASE: u64 = 16 << 20;

/// A suite, verified and read.
struct Loaded {
    suite: Suite,
    locked: LockedSuite,
    /// `Valid-Until`, if it has passed and that was accepted.
    expired: Option<i64>,
    packages: Vec<BinaryPackage>,
    sources: Vec<SourcePackage>,
}

/// The verified current state of every suite.
pub struct Archive {
    suites: Vec<Loaded>,
    gone: BTreeSet<Digest>,
    /// The newest package of each name in the default suites: place of the suite and in it.
    newest: HashMap<String, (usize, usize)>,
}

impl Archive {
    /// Fetches and verifies the indices of all suites. `now` is the time that expiry is judged by.
    pub fn load(
        distro: &DistroSource,
        store: &Store,
        fetcher: &Fetcher<'_>,
        mirror: &Mirror,
        now: i64,
    ) -> Result<Self, Error> {
        let want_sources =
            distro.components.values().any(|c| matches!(c, Component::Built(b) if b.source.is_some()));
        let mut suites = Vec::new();
        for suite in &distro.distro.suite {
            suites.push(load_suite(distro, suite, want_sources, store, fetcher, mirror, now)?);
        }
        let mut newest: HashMap<String, (usize, usize)> = HashMap::new();
        for (i, suite) in suites.iter().enumerate().filter(|(_, s)| s.suite.default) {
            for (j, package) in suite.packages.iter().enumerate() {
                let better = newest.get(&package.package).is_none_or(|&(a, b): &(usize, usize)| {
                    let have: &Loaded = &suites[a];
                    package.version > have.packages[b].version
                });
                if better {
                    newest.insert(package.package.clone(), (i, j));
                }
            }
        }
        Ok(Self { suites, gone: BTreeSet::new(), newest })
    }

    /// Takes note of files that the mirror does not carry although its index lists them, as happens
    /// while it is being updated; sources with them are passed over.
    pub fn exclude(&mut self, gone: impl IntoIterator<Item = Digest>) {
        self.gone.extend(gone);
    }

    /// The state of the suites, for the lock.
    pub fn locked_suites(&self) -> Vec<LockedSuite> {
        self.suites.iter().map(|s| s.locked.clone()).collect()
    }

    /// Suites whose metadata was accepted although its time is over: name, end of validity in seconds since 1970, and
    /// why it was accepted.
    pub fn expired(&self) -> impl Iterator<Item = (&str, i64, &str)> {
        self.suites
            .iter()
            .filter_map(|s| Some((s.suite.name.as_str(), s.expired?, s.suite.accept_expired.as_deref()?)))
    }

    /// The newest package of this name in the default suites.
    pub fn package(&self, name: &str) -> Option<(&BinaryPackage, LockedDeb)> {
        let (suite, place) = *self.newest.get(name)?;
        let home = &self.suites[suite];
        let package = &home.packages[place];
        Some((package, locked(home, package)))
    }

    /// The newest package of each name in the default suites, by name.
    pub fn packages(&self) -> impl Iterator<Item = &BinaryPackage> {
        let mut names: Vec<&String> = self.newest.keys().collect();
        names.sort();
        names.into_iter().map(|name| {
            let (suite, place) = self.newest[name];
            &self.suites[suite].packages[place]
        })
    }

    /// The packages of the default suites, or of the named ones.
    pub fn universe(&self, suites: &[String]) -> Universe<'_> {
        let chosen = self
            .suites
            .iter()
            .filter(|s| if suites.is_empty() { s.suite.default } else { suites.contains(&s.suite.name) });
        Universe::new(chosen.flat_map(|s| s.packages.iter()))
    }

    /// All names in the default suites, for suggestions.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().flat_map(|s| s.packages.iter().map(|p| p.package.as_str()))
    }

    fn lock_package(&self, package: &BinaryPackage) -> Option<LockedDeb> {
        // The package is a reference into one of the lists: find the list whose memory it lies in.
        let home =
            self.suites.iter().find(|s| s.packages.as_ptr_range().contains(&std::ptr::from_ref(package)))?;
        Some(locked(home, package))
    }

    /// The newest source of this name that the mirror has not been seen to lack.
    fn source(&self, name: &str) -> Option<LockedSource> {
        let candidates = self
            .suites
            .iter()
            .filter(|s| s.suite.default)
            .flat_map(|s| s.sources.iter().map(move |p| (s, p)))
            .filter(|(_, p)| p.package == name)
            .filter(|(_, p)| !p.files.iter().any(|f| self.gone.contains(&f.sha256)));
        let (home, source) = candidates.max_by(|a, b| a.1.version.cmp(&b.1.version))?;
        let mut file: Vec<LockedFile> = source
            .files
            .iter()
            .map(|f| LockedFile { name: f.name.clone(), size: f.size, sha256: f.sha256 })
            .collect();
        file.sort_by(|a, b| a.name.cmp(&b.name));
        Some(LockedSource {
            version: source.version.to_string(),
            suite: home.suite.name.clone(),
            archive: home.suite.archive.clone(),
            directory: source.directory.clone(),
            date: home.locked.date,
            file,
        })
    }

    /// Pins everything that `distro` names. What `old` pins is kept unless `moves` says that its
    /// owner (component, `component:NAME` or tool root) moves to the current version.
    pub fn pin(
        &self,
        distro: &DistroSource,
        old: &Lock,
        mut moves: impl FnMut(&str) -> bool,
    ) -> Result<Lock, Error> {
        let mut lock = Lock::new();
        lock.suite = self.locked_suites();
        for (name, component) in &distro.components {
            match component {
                Component::Adopted(adopted) => {
                    let mut keys = BTreeSet::new();
                    let kept = if moves(name) { None } else { old.component.get(name) };
                    for package in &adopted.packages {
                        let prefix = format!("{package}=");
                        let pinned = kept
                            .and_then(|keys| keys.iter().find(|k| k.starts_with(&prefix)))
                            .and_then(|k| Some((k.clone(), old.deb.get(k)?.clone())));
                        let (key, deb) = match pinned {
                            Some(pinned) => pinned,
                            None => self.pin_package(name, package)?,
                        };
                        lock.deb.insert(key.clone(), deb);
                        keys.insert(key);
                    }
                    lock.component.insert(name.clone(), keys);
                }
                Component::Built(built) => {
                    if let Some(source) = &built.source {
                        let pinned = if moves(name) { None } else { old.source.get(source).cloned() };
                        let locked = pinned.or_else(|| self.source(source)).ok_or_else(|| {
                            let names = self.suites.iter().flat_map(|s| s.sources.iter());
                            let near = nearest(source, names.map(|s| s.package.as_str()));
                            Error::NoSource {
                                component: name.clone(),
                                source_package: source.clone(),
                                hint: suggestion(near),
                            }
                        })?;
                        lock.source.insert(source.clone(), locked);
                    }
                    if !built.build_requires.is_empty()
                        && let Some(root) = distro.distro.tool_root.get(&built.tool_root)
                    {
                        let owner = format!("component:{name}");
                        let wanted: Vec<String> =
                            root.packages.iter().chain(&built.build_requires).cloned().collect();
                        self.pin_root(
                            &mut lock,
                            old,
                            &owner,
                            &wanted,
                            &root.suites,
                            moves(&owner) || moves(name),
                        )?;
                    }
                }
            }
        }
        for (name, root) in &distro.distro.tool_root {
            self.pin_root(&mut lock, old, name, &root.packages, &root.suites, moves(name))?;
        }
        Ok(lock)
    }

    fn pin_package(&self, component: &str, package: &str) -> Result<(String, LockedDeb), Error> {
        let (_, deb) = self.package(package).ok_or_else(|| Error::NoPackage {
            component: component.to_owned(),
            package: package.to_owned(),
            hint: suggestion(nearest(package, self.names())),
        })?;
        Ok((LockedDeb::key(package, &deb.version), deb))
    }

    /// A tool root is pinned as a whole: a closure made of old and new parts might not fit together.
    fn pin_root(
        &self,
        lock: &mut Lock,
        old: &Lock,
        name: &str,
        wanted: &[String],
        suites: &[String],
        moves: bool,
    ) -> Result<(), Error> {
        let has = |keys: &BTreeSet<String>, package: &str| {
            keys.iter().any(|k| k.split_once('=').is_some_and(|(n, _)| n == package))
        };
        if !moves
            && let Some(keys) = old.tool_root.get(name)
            && wanted.iter().all(|w| has(keys, w))
        {
            for key in keys {
                if let Some(deb) = old.deb.get(key) {
                    lock.deb.insert(key.clone(), deb.clone());
                }
            }
            lock.tool_root.insert(name.to_owned(), keys.clone());
            return Ok(());
        }
        let universe = self.universe(suites);
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let packages = closure::closure(&universe, &wanted)
            .map_err(|source| Error::Closure { root: name.to_owned(), source })?;
        let mut keys = BTreeSet::new();
        for package in packages {
            if let Some(deb) = self.lock_package(package) {
                let key = LockedDeb::key(&package.package, &deb.version);
                lock.deb.insert(key.clone(), deb);
                keys.insert(key);
            }
        }
        lock.tool_root.insert(name.to_owned(), keys);
        Ok(())
    }
}

fn locked(home: &Loaded, package: &BinaryPackage) -> LockedDeb {
    LockedDeb {
        version: package.version.to_string(),
        architecture: package.architecture.clone(),
        suite: home.suite.name.clone(),
        archive: home.suite.archive.clone(),
        path: package.filename.clone(),
        size: package.size,
        sha256: package.sha256,
    }
}

/// One thing that the lock pins and the archive has newer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OutOfDate {
    /// Component or tool root.
    pub owner: String,
    /// Package.
    pub package: String,
    /// The pinned version, if any.
    pub pinned: Option<String>,
    /// The current one, if it is still wanted.
    pub current: Option<String>,
}

/// What differs between two locks, by owner and package.
pub fn compare(old: &Lock, new: &Lock) -> Vec<OutOfDate> {
    let versions = |lock: &Lock| {
        let mut map: BTreeMap<(String, String), String> = BTreeMap::new();
        for (owner, keys) in lock.component.iter().chain(&lock.tool_root) {
            for key in keys {
                if let Some((name, version)) = key.split_once('=') {
                    map.insert((owner.clone(), name.to_owned()), version.to_owned());
                }
            }
        }
        for (name, source) in &lock.source {
            map.insert((format!("source {name}"), name.clone()), source.version.clone());
        }
        map
    };
    let (before, after) = (versions(old), versions(new));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| OutOfDate {
            owner: key.0.clone(),
            package: key.1.clone(),
            pinned: before.get(key).cloned(),
            current: after.get(key).cloned(),
        })
        .collect()
}

fn load_suite(
    distro: &DistroSource,
    suite: &Suite,
    want_sources: bool,
    store: &Store,
    fetcher: &Fetcher<'_>,
    mirror: &Mirror,
    now: i64,
) -> Result<Loaded, Error> {
    let mut keys = Vec::new();
    for key in &suite.keys {
        keys.push(fs::read(distro.dir.join(key))?);
    }
    let url = mirror.url(&suite.archive, &format!("dists/{}/InRelease", suite.name));
    let bytes = fetcher.get_unpinned(&url, MAX_RELEASE)?;
    let failed = |source| Error::Release { url: url.clone(), source };
    let ring = release::Keyring::from_keys(&keys).map_err(failed)?;
    let expiry = if suite.accept_expired.is_some() { Expiry::Accepted } else { Expiry::Refused };
    let release = release::verify_inrelease(&bytes, &ring, now, expiry).map_err(failed)?;
    // The same keys sign several suites; a mirror must not serve one in place of another.
    release.expect_suite(&suite.name).map_err(failed)?;
    let mut packages = Vec::new();
    let mut sources = Vec::new();
    for component in &suite.components {
        let path = format!("{component}/binary-amd64/Packages");
        let text = load_index(&release, suite, &path, store, fetcher, mirror)?;
        let bad =
            |e: index::Error| Error::Index { url: mirror.url(&suite.archive, &path), reason: e.to_string() };
        packages.extend(index::parse_packages(&text).map_err(bad)?);
        if want_sources && suite.default {
            let path = format!("{component}/source/Sources");
            let text = load_index(&release, suite, &path, store, fetcher, mirror)?;
            sources.extend(index::parse_sources(&text).map_err(bad)?);
        }
    }
    let locked = LockedSuite { name: suite.name.clone(), date: release.date, sha256: Digest::of(&bytes) };
    let expired = release.valid_until.filter(|until| *until <= now);
    Ok(Loaded { suite: suite.clone(), locked, expired, packages, sources })
}

/// Fetches one index by its digest and unpacks it.
fn load_index(
    release: &Release,
    suite: &Suite,
    path: &str,
    store: &Store,
    fetcher: &Fetcher<'_>,
    mirror: &Mirror,
) -> Result<Vec<u8>, Error> {
    let url = |name: &str| mirror.url(&suite.archive, &format!("dists/{}/{name}", suite.name));
    let bad = |reason: String| Error::Index { url: url(path), reason };
    let name = format!("{path}.xz");
    let file = release.files.get(&name).ok_or_else(|| bad(format!("InRelease does not list {name}")))?;
    let by_hash = match name.rsplit_once('/') {
        Some((dir, _)) => format!("{dir}/by-hash/SHA256/{}", file.sha256),
        None => name.clone(),
    };
    fetcher.fetch_all(&[Request {
        urls: vec![url(&by_hash), url(&name)],
        digest: file.sha256,
        size: file.size,
        name: format!("{} {name}", suite.name),
    }])?;
    let packed = store.read(&file.sha256)?;
    let mut text = Vec::new();
    liblzma::read::XzDecoder::new_multi_decoder(packed.as_slice())
        .take(MAX_INDEX + 1)
        .read_to_end(&mut text)
        .map_err(|e| bad(format!("cannot unpack: {e}")))?;
    if text.len() as u64 > MAX_INDEX {
        return Err(bad(format!("unpacks to more than {MAX_INDEX} bytes")));
    }
    Ok(text)
}
