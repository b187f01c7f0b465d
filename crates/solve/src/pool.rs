//! The packages there are, and who provides what.

use crate::version::{Op, Range};
use lazuli_repo::Package;
use lazuli_rpm::rich::Rich;
use lazuli_rpm::{Dependency, DependencyFlags};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// A package's place in [`Pool::packages`]. Packages of one name are neighbours, best version first, so a
/// lower index is a better package of the same name.
pub(crate) type Index = u32;

/// Packages, each once, in order of preference.
pub(crate) type Set = Rc<[Index]>;

/// A dependency as a key: name, comparison, version.
type Key = (String, DependencyFlags, String);

/// An index over all packages.
pub(crate) struct Pool<'a> {
    /// Sorted by name, best version first; independent of the order in which they were given.
    pub(crate) packages: Vec<&'a Package>,
    by_name: HashMap<&'a str, Vec<Index>>,
    provides: HashMap<&'a str, Vec<(Index, &'a Dependency)>>,
    /// Owners of the paths that some dependency names.
    files: HashMap<&'a str, Vec<Index>>,
    /// Names asked for directly: preferred among several providers.
    wanted: HashSet<String>,
    answers: RefCell<HashMap<Key, Set>>,
}

impl<'a> Pool<'a> {
    /// Indexes packages. `asked` are the dependencies of the request: their paths are looked up too, and
    /// the names in them are preferred.
    pub(crate) fn new(universe: &'a [Package], asked: &[Dependency]) -> Self {
        let mut packages: Vec<&Package> = universe.iter().collect();
        packages.sort_by(|a, b| {
            let key = |p: &'a Package| {
                (&p.nevra.name, Reverse(&p.nevra.evr), &p.nevra.arch, &p.location, &p.checksum)
            };
            key(a).cmp(&key(b))
        });
        packages.dedup_by(|a, b| a.nevra == b.nevra && a.checksum == b.checksum);
        let mut pool = Self {
            packages,
            by_name: HashMap::new(),
            provides: HashMap::new(),
            files: HashMap::new(),
            wanted: HashSet::new(),
            answers: RefCell::default(),
        };
        pool.wanted.extend(asked.iter().flat_map(simple_names));
        let paths = pool.named_paths(asked);
        for (index, package) in (0..).zip(&pool.packages) {
            pool.by_name.entry(&package.nevra.name).or_default().push(index);
            for provide in &package.provides {
                pool.provides.entry(&provide.name).or_default().push((index, provide));
            }
            for file in &package.files {
                if paths.contains(file.path.as_str()) {
                    pool.files.entry(&file.path).or_default().push(index);
                }
            }
        }
        pool
    }

    /// Every path that a dependency names.
    fn named_paths(&self, asked: &[Dependency]) -> HashSet<String> {
        let mut paths = HashSet::new();
        let of_packages = self
            .packages
            .iter()
            .flat_map(|p| [&p.requires, &p.conflicts, &p.recommends, &p.supplements].into_iter().flatten());
        for dependency in asked.iter().chain(of_packages) {
            if dependency.name.starts_with('/') {
                paths.insert(dependency.name.clone());
            } else if dependency.is_rich() {
                paths.extend(simple_names(dependency).into_iter().filter(|name| name.starts_with('/')));
            }
        }
        paths
    }

    /// The package at an index.
    pub(crate) fn package(&self, index: Index) -> &'a Package {
        self.packages[index as usize]
    }

    /// The packages of one name, best first.
    pub(crate) fn named(&self, name: &str) -> &[Index] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// All names that something provides, sorted.
    pub(crate) fn provided_names(&self) -> BTreeSet<&'a str> {
        self.provides.keys().chain(self.by_name.keys()).copied().collect()
    }

    /// Who provides `name` in whatever version, with the text of what they provide.
    pub(crate) fn offers(&self, name: &str) -> Vec<(Index, String)> {
        let provided = self.provides.get(name).into_iter().flatten();
        provided.map(|&(index, provide)| (index, provide.to_string())).collect()
    }

    /// The packages that provide a simple dependency or own its path, preferred ones first: the
    /// package of that name, then packages asked for, then by name; of one name the best version first.
    pub(crate) fn providers(&self, dependency: &Dependency) -> Set {
        let key = (dependency.name.clone(), dependency.flags.comparison(), dependency.evr.clone());
        if let Some(set) = self.answers.borrow().get(&key) {
            return set.clone();
        }
        let set: Set = self.find_providers(dependency).into();
        self.answers.borrow_mut().insert(key, set.clone());
        set
    }

    fn find_providers(&self, dependency: &Dependency) -> Vec<Index> {
        let name = dependency.name.as_str();
        let range = Range::of(dependency);
        let mut found: Vec<Index> = Vec::new();
        for &(index, provide) in self.provides.get(name).into_iter().flatten() {
            if range.overlaps(&Range::of(provide)) {
                found.push(index);
            }
        }
        if range.op == Op::ANY {
            found.extend(self.files.get(name).into_iter().flatten());
        }
        // A package provides its own name even where its metadata forgets to say so.
        found
            .extend(self.named(name).iter().filter(|&&index| range.contains(&self.package(index).nevra.evr)));
        let rank = |index: Index| {
            let own = self.package(index).nevra.name.as_str();
            (own != name, !self.wanted.contains(own), index)
        };
        found.sort_by_key(|&index| rank(index));
        found.dedup();
        found
    }

    /// The packages that an `Obsoletes` entry of `own` replaces: matched by package name, never by what
    /// they provide, and never the package's own name.
    pub(crate) fn obsoleted(&self, dependency: &Dependency, own: Index) -> Vec<Index> {
        if self.package(own).nevra.name == dependency.name {
            return Vec::new();
        }
        self.matching_name(dependency)
    }

    /// The packages whose own name and version match.
    pub(crate) fn matching_name(&self, dependency: &Dependency) -> Vec<Index> {
        let range = Range::of(dependency);
        let named = self.named(&dependency.name).iter().copied();
        named.filter(|&index| range.contains(&self.package(index).nevra.evr)).collect()
    }
}

/// The names in a dependency, those inside a rich one included. What does not parse has none; it is
/// reported where it is used.
fn simple_names(dependency: &Dependency) -> Vec<String> {
    if !dependency.is_rich() {
        return vec![dependency.name.clone()];
    }
    let rich = Rich::parse(&dependency.name);
    rich.map(|rich| rich.simple().into_iter().map(|(simple, _)| simple.name.clone()).collect())
        .unwrap_or_default()
}
