//! What the enabled repositories have, and which of it may be seen.

use crate::error::{Error, Result};
use crate::package::Details;
use crate::spec::{Pattern, Spec};
use lazuli_rpm::{Dependency, Nevra};
use lazuli_solve::{List, Member, PackageId, Repositories, Size, Universe};
use std::collections::{BTreeMap, BTreeSet};

/// How much of a package is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What `primary` has.
    Primary,
    /// All files too.
    Files,
    /// The changelog too.
    Changelog,
}

/// The packages of several repositories, less those that are hidden: excluded, or made after the time that
/// is looked at.
pub struct Catalog<'a> {
    all: Repositories<'a>,
    sources: Vec<&'a dyn Source>,
    hidden: BTreeSet<PackageId>,
}

/// A repository that can be looked into beyond what a solver needs.
pub trait Source {
    /// Its packages.
    fn universe(&self) -> &dyn Universe;

    /// Its id.
    fn id(&self) -> &str;

    /// Priority and cost, see [`Universe`].
    fn rank(&self) -> (i32, u32);

    /// Everything about a package of it.
    fn record(&self, package: PackageId, detail: Detail) -> Result<lazuli_repo::Package>;

    /// When a package was made and when it was added, in seconds since 1970.
    fn times(&self, package: PackageId) -> (i64, i64);

    /// Summary, description and home page of a package: what a search looks at besides the name.
    fn words(&self, package: PackageId) -> [String; 3];

    /// Shows every path that is known with its owners.
    fn each_path(&self, visit: &mut dyn FnMut(&str, &[PackageId]));

    /// The packages whose requirements mention a name; `None` if only a look at all of them could tell.
    fn requirers(&self, _name: &str) -> Option<Vec<PackageId>> {
        None
    }

    /// Prepares for lookups of any path, for which more metadata may have to be fetched.
    fn want_files(&self) -> Result<()> {
        Ok(())
    }
}

impl<'a> Catalog<'a> {
    /// Joins repositories.
    pub fn new(sources: Vec<&'a dyn Source>) -> Self {
        let all = Repositories::new(sources.iter().map(|source| {
            let (priority, cost) = source.rank();
            Member { universe: source.universe(), id: source.id().to_owned(), priority, cost }
        }));
        Self { all, sources, hidden: BTreeSet::new() }
    }

    /// Hides packages.
    pub fn hide(&mut self, packages: impl IntoIterator<Item = PackageId>) {
        self.hidden.extend(packages);
    }

    /// The repository of a package, and the package's number in it.
    pub fn source(&self, package: PackageId) -> Result<(&'a dyn Source, PackageId)> {
        let (place, local) = self.all.locate(package);
        let source = self.sources.get(place).copied();
        source.map(|s| (s, local)).ok_or_else(|| Error::NoMatch(vec![format!("number {}", package.0)]))
    }

    /// The place of a package's repository and the package's number in it.
    pub fn locate(&self, package: PackageId) -> (usize, PackageId) {
        self.all.locate(package)
    }

    /// The repositories, with the number of the first package of each.
    pub fn sources(&self) -> impl Iterator<Item = (usize, &'a dyn Source)> + '_ {
        self.sources.iter().copied().enumerate()
    }

    /// A package's number here by its number in the repository at a place.
    pub fn global(&self, place: usize, package: PackageId) -> PackageId {
        self.all.global(place, package)
    }

    /// Everything about a package.
    pub fn details(&self, package: PackageId, detail: Detail) -> Result<Details> {
        let (source, local) = self.source(package)?;
        let mut details = Details::available(source.record(local, detail)?, source.id());
        details.all_files = detail >= Detail::Files;
        Ok(details)
    }

    /// Summary, description and home page of a package.
    pub fn words(&self, package: PackageId) -> [String; 3] {
        self.source(package).map_or_else(|_| Default::default(), |(source, local)| source.words(local))
    }

    /// When a package was made and when it was added to its repository.
    pub fn times(&self, package: PackageId) -> (i64, i64) {
        self.source(package).map_or((0, 0), |(source, local)| source.times(local))
    }

    /// All packages that may be seen.
    pub fn every(&self) -> impl Iterator<Item = PackageId> + '_ {
        (0..self.all.count()).map(PackageId).filter(|id| !self.hidden.contains(id))
    }

    /// Packages that a pattern names.
    pub fn matching(&self, pattern: &Pattern) -> Vec<PackageId> {
        if !pattern.is_glob() {
            let named = pattern.names().into_iter().flat_map(|name| self.named(name));
            return named.filter(|id| pattern.matches(&self.nevra(*id))).collect();
        }
        // Names first: there are fewer of them than packages, and nearly all patterns are about names.
        let mut names = BTreeSet::new();
        self.all.each_name(&mut |name| {
            if pattern.matches_text(name) {
                names.insert(name.to_owned());
            }
            true
        });
        if !names.is_empty() {
            return names.iter().flat_map(|name| self.named(name)).collect();
        }
        self.every().filter(|id| pattern.matches(&self.nevra(*id))).collect()
    }

    /// Packages that a word of the command line names, with what they provide as the last resort.
    pub fn select(&self, spec: &Spec) -> Result<Vec<PackageId>> {
        let mut found = match spec {
            Spec::Package(pattern) => {
                let found = self.matching(pattern);
                if found.is_empty() && !pattern.is_glob() {
                    self.providing(&Dependency::any(pattern.text()))
                } else {
                    found
                }
            }
            Spec::Path(path) => self.owning(path)?,
            Spec::Dependency(text) => self.providing(&dependency(text)?),
            Spec::File(_) => Vec::new(),
        };
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Packages that provide what a dependency asks for.
    pub fn providing(&self, wanted: &Dependency) -> Vec<PackageId> {
        let providers = self.providers(&wanted.name).into_iter();
        let mut found: Vec<PackageId> = providers
            .filter(|(_, provided)| lazuli_solve::satisfies(provided, wanted))
            .map(|(id, _)| id)
            .collect();
        if wanted.name.starts_with('/') {
            found.extend(self.owners(&wanted.name));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Packages that own a path or a path that matches a pattern. All file lists are fetched if the usual
    /// paths do not suffice.
    pub fn owning(&self, path: &str) -> Result<Vec<PackageId>> {
        let glob = Pattern::new(path);
        if !glob.is_glob() {
            let found = self.providing(&Dependency::any(path));
            if !found.is_empty() && lazuli_repo::is_primary_path(path) {
                return Ok(found);
            }
            self.want_files()?;
            return Ok(self.providing(&Dependency::any(path)));
        }
        self.want_files()?;
        let mut found = BTreeSet::new();
        for (place, source) in self.sources() {
            source.each_path(&mut |path, owners| {
                if glob.matches_text(path) {
                    found.extend(owners.iter().map(|id| self.global(place, *id)));
                }
            });
        }
        Ok(found.difference(&self.hidden).copied().collect())
    }

    /// Packages whose requirements mention one of the names, in whatever version, or `None` if a repository
    /// has no index of that.
    pub fn requiring<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<BTreeSet<PackageId>> {
        let mut found = BTreeSet::new();
        for name in names {
            for (place, source) in self.sources() {
                found.extend(source.requirers(name)?.into_iter().map(|id| self.global(place, id)));
            }
        }
        Some(found.difference(&self.hidden).copied().collect())
    }

    /// Prepares for lookups of any path.
    pub fn want_files(&self) -> Result<()> {
        self.sources.iter().try_for_each(|source| source.want_files())
    }

    /// Of packages of one name and architecture only the newest; of equal ones the one from the preferred
    /// repository.
    pub fn newest(&self, packages: impl IntoIterator<Item = PackageId>) -> Vec<PackageId> {
        let mut best: BTreeMap<(String, String), (PackageId, Nevra)> = BTreeMap::new();
        for id in packages {
            let nevra = self.nevra(id);
            let key = (nevra.name.clone(), nevra.arch.clone());
            let rank = |id: PackageId| std::cmp::Reverse((self.priority(id), self.cost(id), id));
            match best.get(&key) {
                Some((old, known)) if (&known.evr, rank(*old)) >= (&nevra.evr, rank(id)) => {}
                _ => drop(best.insert(key, (id, nevra))),
            }
        }
        best.into_values().map(|(id, _)| id).collect()
    }

    fn seen(&self, mut packages: Vec<PackageId>) -> Vec<PackageId> {
        packages.retain(|id| !self.hidden.contains(id));
        packages
    }
}

/// Reads a dependency from the command line.
pub fn dependency(text: &str) -> Result<Dependency> {
    Dependency::parse(text).map_err(|e| Error::Usage(e.to_string()))
}

impl Universe for Catalog<'_> {
    fn count(&self) -> u32 {
        self.all.count()
    }

    fn nevra(&self, package: PackageId) -> Nevra {
        self.all.nevra(package)
    }

    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
        self.all.dependencies(package, list)
    }

    fn named(&self, name: &str) -> Vec<PackageId> {
        self.seen(self.all.named(name))
    }

    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
        let mut found = self.all.providers(name);
        found.retain(|(id, _)| !self.hidden.contains(id));
        found
    }

    fn owners(&self, path: &str) -> Vec<PackageId> {
        self.seen(self.all.owners(path))
    }

    fn obsoleters(&self, name: &str) -> Vec<PackageId> {
        self.seen(self.all.obsoleters(name))
    }

    fn supplementers(&self, name: &str) -> Vec<PackageId> {
        self.seen(self.all.supplementers(name))
    }

    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.all.each_name(visit);
    }

    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.all.each_provided_name(visit);
    }

    fn size(&self, package: PackageId) -> Size {
        self.all.size(package)
    }

    fn tie_break(&self, package: PackageId) -> Vec<u8> {
        self.all.tie_break(package)
    }

    fn repository(&self, package: PackageId) -> &str {
        self.all.repository(package)
    }

    fn priority(&self, package: PackageId) -> i32 {
        self.all.priority(package)
    }

    fn cost(&self, package: PackageId) -> u32 {
        self.all.cost(package)
    }
}
