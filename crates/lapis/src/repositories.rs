//! The enabled repositories of one run.

mod indexed;

use crate::advisories::Known;
use crate::catalog::{Catalog, Source};
use crate::error::{Error, Result};
use crate::output::time;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_remote::{Remote as Remotes, Repository};
use lazuli_repo::comps::Comps;
use lazuli_repo::config::RepoConfig;
use lazuli_repo::updateinfo::Advisory;
use lazuli_rpm::KeyRing;
use lazuli_solve::{PackageId, Universe as _};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What kind of trouble there is with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be reached.
    Network,
    /// Nothing is cached, and nothing may be fetched.
    NotCached,
    /// It cannot be trusted, or read.
    Trust,
}

/// What is known about the state of a repository.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Its revision.
    pub revision: String,
    /// When its metadata expires, in seconds since 1970, if it says so.
    pub expires: Option<i64>,
    /// When its metadata was fetched or checked last, in seconds since 1970.
    pub checked: Option<i64>,
    /// Bytes of metadata.
    pub metadata_size: u64,
}

/// A package file that was fetched: size and SHA-256 are those in the metadata.
#[derive(Debug)]
pub struct Fetched {
    /// The file, open; what was checked is what is read.
    pub file: File,
    /// Where it lies.
    pub path: PathBuf,
    /// What it is called in the repository.
    pub name: String,
}

/// A repository whose metadata was fetched and checked.
pub trait Remote: Source {
    /// What was configured.
    fn config(&self) -> &RepoConfig;

    /// Its keys.
    fn keys(&self) -> &KeyRing;

    /// Its advisories.
    fn advisories(&self) -> Result<Vec<Advisory>>;

    /// Its groups.
    fn groups(&self) -> Result<Comps>;

    /// Its state.
    fn status(&self) -> Status;

    /// How many bytes of packages are not in the cache.
    fn missing_bytes(&self, packages: &[PackageId]) -> u64;

    /// Fetches packages into the cache, in parallel; the answer has the same order.
    fn fetch(&self, packages: &[PackageId]) -> Result<Vec<Fetched>>;

    /// The address of a package.
    fn url(&self, package: PackageId) -> Result<String>;

    /// Copies the metadata as it was fetched, signature included, below a directory.
    fn copy_metadata(&self, to: &Path) -> Result<()>;
}

/// How fresh metadata has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// What is cached, however old; no network.
    Cached,
    /// What is cached until it expires.
    Normal,
    /// As the server has it now.
    Now,
}

/// The enabled repositories.
#[derive(Default)]
pub struct Repos {
    list: Vec<Box<dyn Remote>>,
}

impl Repos {
    /// Fetches and checks the metadata of all enabled repositories, several at once. One that cannot be
    /// reached is left out with a warning if it says `skip_if_unavailable`; one that failed a check never is.
    pub fn open(session: &Session<'_>, freshness: Freshness) -> Result<Self> {
        let enabled = session.settings.enabled()?;
        if enabled.is_empty() {
            return Ok(Self::default());
        }
        let settings = &session.settings;
        let progress = Arc::new(session.progress().downloads("Metadata"));
        let remote = Remotes::new(&settings.cache, &settings.state, time::now(), Arc::clone(&progress) as _)?;
        let remote = remote.parallel(settings.main.max_parallel_downloads as usize);
        let remote = Arc::new(if freshness == Freshness::Cached { remote.offline() } else { remote });
        let freshness = match freshness {
            Freshness::Cached => lazuli_remote::Freshness::Cached,
            Freshness::Normal => lazuli_remote::Freshness::IfOld,
            Freshness::Now => lazuli_remote::Freshness::Now,
        };
        let open = |config| remote.open(config, freshness).map_err(Error::from);
        let opened: Vec<Result<Repository>> = std::thread::scope(|scope| {
            let threads: Vec<_> = enabled.iter().map(|config| scope.spawn(move || open(config))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
                .collect()
        });
        progress.finish();
        let mut list: Vec<Box<dyn Remote>> = Vec::new();
        for (config, repository) in enabled.iter().zip(opened) {
            match repository {
                Ok(repository) => list.push(Box::new(indexed::Indexed::new(Arc::clone(&remote), repository))),
                Err(Error::Repository { reason, kind })
                    if kind != Trouble::Trust && config.skip_if_unavailable =>
                {
                    session.out.warn(format!("Warning: left out: {reason}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { list })
    }

    /// The repositories.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Remote> {
        self.list.iter().map(Box::as_ref)
    }

    /// The repository at a place of the catalog.
    pub fn at(&self, place: usize) -> Option<&dyn Remote> {
        self.list.get(place).map(Box::as_ref)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All advisories.
    pub fn advisories(&self) -> Result<Vec<Known>> {
        let mut all = Vec::new();
        for repository in self.iter() {
            let repository_id = repository.id().to_owned();
            all.extend(
                repository
                    .advisories()?
                    .into_iter()
                    .map(|advisory| Known { advisory, repository: repository_id.clone() }),
            );
        }
        Ok(all)
    }

    /// All groups; those of one id in several repositories are one.
    pub fn groups(&self) -> Result<Comps> {
        let mut all = Comps::default();
        for repository in self.iter() {
            all.join(repository.groups()?);
        }
        Ok(all)
    }

    /// Their packages, less what the configuration hides.
    pub fn catalog(&self, session: &Session<'_>) -> Result<Catalog<'_>> {
        let mut catalog = self.for_solving(session, None)?;
        let main = &session.settings.main;
        if !main.disable_excludes.iter().any(|d| d == "all" || d == "main") {
            let excluded: Vec<PackageId> =
                main.exclude.iter().flat_map(|text| catalog.matching(&Pattern::new(text))).collect();
            catalog.hide(excluded);
        }
        Ok(catalog)
    }

    /// The same for the solver, which is told about excludes by itself, so that it can say so; with the
    /// packages of one more source behind all others.
    pub fn for_solving<'a>(
        &'a self,
        session: &Session<'_>,
        more: Option<&'a dyn Source>,
    ) -> Result<Catalog<'a>> {
        let sources = self.list.iter().map(|r| r.as_ref() as &dyn Source);
        let mut catalog = Catalog::new(sources.chain(more).collect());
        let hidden = self.hidden(session, &catalog)?;
        catalog.hide(hidden);
        Ok(catalog)
    }

    /// What excludes, includes, the time that is looked at and least versions hide.
    fn hidden(&self, session: &Session<'_>, catalog: &Catalog<'_>) -> Result<Vec<PackageId>> {
        let main = &session.settings.main;
        let off = |what: &str| main.disable_excludes.iter().any(|d| d == "all" || d == what);
        let mut hidden = Vec::new();
        let patterns = |texts: &[String]| texts.iter().map(|t| Pattern::new(t)).collect::<Vec<_>>();
        let include = patterns(&main.include);
        for (place, repository) in self.list.iter().enumerate() {
            let config = repository.config();
            let time = config.snapshot_time;
            let excludes = off(&config.id);
            let (exclude, only) = (patterns(&config.exclude), patterns(&config.include));
            if (exclude.is_empty() || excludes) && only.is_empty() && include.is_empty() && time.is_none() {
                continue;
            }
            let count = repository.universe().count();
            for local in (0..count).map(PackageId) {
                let nevra = repository.universe().nevra(local);
                let is_in = |list: &[Pattern]| list.iter().any(|p| p.matches(&nevra));
                let late = time.is_some_and(|time| {
                    let (built, added) = repository.times(local);
                    built.max(added) > time
                });
                if late
                    || !excludes && is_in(&exclude)
                    || !excludes && !only.is_empty() && !is_in(&only)
                    || !off("main") && !include.is_empty() && !is_in(&include)
                {
                    hidden.push(catalog.global(place, local));
                }
            }
        }
        for text in &main.min_versions {
            let Some((name, least)) = text.split_once('=') else { continue };
            let least: lazuli_rpm::Evr =
                least.trim().parse().map_err(|e| Error::Config(format!("minversions: `{text}`: {e}")))?;
            let named = catalog.named(name.trim()).into_iter();
            hidden.extend(named.filter(|id| catalog.nevra(*id).evr < least));
        }
        Ok(hidden)
    }
}
