//! Where packages come from: what the solver asks of metadata.
//!
//! A repository has tens of thousands of packages and a transaction concerns a few hundred, so the solver asks
//! for what it needs when it needs it: who provides this name, what does that package require. A
//! [`Universe`] answers from an index; nothing here reads a whole repository. [`Packages`] is the
//! universe of package records in memory and [`Repositories`] is several universes as one.

use lazuli_repo::Package;
use lazuli_rpm::rich::Rich;
use lazuli_rpm::{Dependency, Nevra};
use std::collections::{BTreeSet, HashMap};

/// A package of a universe: a number below [`Universe::count`]. Numbers have no meaning beyond identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub u32);

/// The lists of dependencies of a package that matter for solving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// What it offers.
    Provides,
    /// What must be there.
    Requires,
    /// What must not be there.
    Conflicts,
    /// The packages, by name, that it replaces.
    Obsoletes,
    /// What should be there.
    Recommends,
    /// What it should be there with.
    Supplements,
}

/// How big a package is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// The RPM file.
    pub package: u64,
    /// The installed files together.
    pub installed: u64,
}

/// The priority of a repository that sets none; lower numbers are preferred.
pub const DEFAULT_PRIORITY: i32 = 99;
/// The cost of a repository that sets none; lower numbers are preferred.
pub const DEFAULT_COST: u32 = 1000;

/// Packages that can be looked up.
///
/// Lookups do not fail: whoever implements this checks its data when it opens it, and what cannot be read is not
/// there. Answers may come in any order but must not change while a solver runs. Every package has to
/// be found by [`named`](Universe::named) under its name and by [`providers`](Universe::providers) under the
/// name of each of its `Provides` entries.
pub trait Universe {
    /// How many packages there are.
    fn count(&self) -> u32;

    /// Name, epoch, version, release and architecture of a package.
    fn nevra(&self, package: PackageId) -> Nevra;

    /// One of the lists of a package, in the package's order.
    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency>;

    /// The packages of exactly this name.
    fn named(&self, name: &str) -> Vec<PackageId>;

    /// Every `Provides` entry of this name, in whatever version, with the package it belongs to.
    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)>;

    /// The packages that own this absolute path, as a file, directory, symlink or ghost.
    fn owners(&self, path: &str) -> Vec<PackageId>;

    /// The packages with an `Obsoletes` entry of this name, in whatever version.
    fn obsoleters(&self, name: &str) -> Vec<PackageId>;

    /// The packages with a `Supplements` entry that mentions this name, by itself or inside a rich
    /// dependency. For the name `/`: those with an entry that mentions any path.
    fn supplementers(&self, name: &str) -> Vec<PackageId>;

    /// Shows every package name at least once, until `visit` returns false.
    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool);

    /// Shows every name of a `Provides` entry at least once, until `visit` returns false. Used to find
    /// similar names for error messages and to match patterns.
    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool);

    /// How big a package is.
    fn size(&self, package: PackageId) -> Size;

    /// Bytes that tell apart packages of the same name, version and architecture, such as a checksum. Of
    /// those with equal bytes only the first by priority and cost is considered.
    fn tie_break(&self, _package: PackageId) -> Vec<u8> {
        Vec::new()
    }

    /// The repository that a package is from.
    #[allow(clippy::unnecessary_literal_bound)] // Implementations return what they own.
    fn repository(&self, _package: PackageId) -> &str {
        ""
    }

    /// The priority of a package's repository: of packages of one name those with the lowest
    /// number are preferred, whatever their version.
    fn priority(&self, _package: PackageId) -> i32 {
        DEFAULT_PRIORITY
    }

    /// The cost of a package's repository: decides between repositories that have the very same package.
    fn cost(&self, _package: PackageId) -> u32 {
        DEFAULT_COST
    }
}

/// The names that a `Supplements` entry (or any dependency) mentions, those inside a rich one included, and `/`
/// if one of them is a path: the keys under which [`Universe::supplementers`] finds it.
pub fn mentioned_names(dependency: &Dependency) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if dependency.is_rich() {
        if let Ok(rich) = Rich::parse(&dependency.name) {
            names.extend(rich.simple().into_iter().map(|(simple, _)| simple.name.clone()));
        }
    } else {
        names.insert(dependency.name.clone());
    }
    if names.iter().any(|name| name.starts_with('/')) {
        names.insert("/".to_owned());
    }
    names
}

/// Package records in memory as a universe.
pub struct Packages<'a> {
    records: Vec<&'a Package>,
    names: HashMap<&'a str, Vec<PackageId>>,
    provides: HashMap<&'a str, Vec<(PackageId, &'a Dependency)>>,
    files: HashMap<&'a str, Vec<PackageId>>,
    obsoletes: HashMap<&'a str, Vec<PackageId>>,
    supplements: HashMap<String, Vec<PackageId>>,
}

impl<'a> Packages<'a> {
    /// Indexes packages; [`PackageId`] is the place in `packages`.
    pub fn new(packages: &'a [Package]) -> Self {
        let mut all = Self {
            records: packages.iter().collect(),
            names: HashMap::new(),
            provides: HashMap::new(),
            files: HashMap::new(),
            obsoletes: HashMap::new(),
            supplements: HashMap::new(),
        };
        for (id, package) in (0..).map(PackageId).zip(packages) {
            all.names.entry(&package.nevra.name).or_default().push(id);
            for provide in &package.provides {
                all.provides.entry(&provide.name).or_default().push((id, provide));
            }
            for file in &package.files {
                all.files.entry(&file.path).or_default().push(id);
            }
            for obsolete in &package.obsoletes {
                let list = all.obsoletes.entry(&obsolete.name).or_default();
                if list.last() != Some(&id) {
                    list.push(id);
                }
            }
            for name in package.supplements.iter().flat_map(mentioned_names).collect::<BTreeSet<_>>() {
                all.supplements.entry(name).or_default().push(id);
            }
        }
        all
    }

    /// The record of a package.
    pub fn package(&self, package: PackageId) -> &'a Package {
        self.records[package.0 as usize]
    }
}

impl Universe for Packages<'_> {
    fn count(&self) -> u32 {
        self.records.len() as u32
    }

    fn nevra(&self, package: PackageId) -> Nevra {
        self.package(package).nevra.clone()
    }

    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
        let package = self.package(package);
        match list {
            List::Provides => &package.provides,
            List::Requires => &package.requires,
            List::Conflicts => &package.conflicts,
            List::Obsoletes => &package.obsoletes,
            List::Recommends => &package.recommends,
            List::Supplements => &package.supplements,
        }
        .clone()
    }

    fn named(&self, name: &str) -> Vec<PackageId> {
        self.names.get(name).cloned().unwrap_or_default()
    }

    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
        let found = self.provides.get(name).into_iter().flatten();
        found.map(|(id, dependency)| (*id, (*dependency).clone())).collect()
    }

    fn owners(&self, path: &str) -> Vec<PackageId> {
        self.files.get(path).cloned().unwrap_or_default()
    }

    fn obsoleters(&self, name: &str) -> Vec<PackageId> {
        self.obsoletes.get(name).cloned().unwrap_or_default()
    }

    fn supplementers(&self, name: &str) -> Vec<PackageId> {
        self.supplements.get(name).cloned().unwrap_or_default()
    }

    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        let _ = self.names.keys().all(|name| visit(name));
    }

    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        let _ = self.provides.keys().all(|name| visit(name));
    }

    fn size(&self, package: PackageId) -> Size {
        let package = self.package(package);
        Size { package: package.package_size, installed: package.installed_size }
    }

    fn tie_break(&self, package: PackageId) -> Vec<u8> {
        self.package(package).checksum.as_bytes().to_vec()
    }
}

/// One of several repositories.
pub struct Member<'a> {
    /// Its packages.
    pub universe: &'a dyn Universe,
    /// Its name.
    pub id: String,
    /// See [`Universe::priority`].
    pub priority: i32,
    /// See [`Universe::cost`].
    pub cost: u32,
}

/// Several repositories as one universe: numbers of the second start where those of the first end.
#[derive(Default)]
pub struct Repositories<'a> {
    /// With the number of the first package of each.
    members: Vec<(u32, Member<'a>)>,
    count: u32,
}

impl<'a> Repositories<'a> {
    /// Joins repositories. Those whose packages would exceed the range of numbers are not taken.
    pub fn new(members: impl IntoIterator<Item = Member<'a>>) -> Self {
        let mut all = Self::default();
        for member in members {
            all.push(member);
        }
        all
    }

    /// Adds a repository; returns its place.
    pub fn push(&mut self, member: Member<'a>) -> usize {
        if let Some(count) = self.count.checked_add(member.universe.count()) {
            self.members.push((self.count, member));
            self.count = count;
        }
        self.members.len().saturating_sub(1)
    }

    /// The place of a package's repository and the package's number in it.
    pub fn locate(&self, package: PackageId) -> (usize, PackageId) {
        let place = self.members.partition_point(|(first, _)| *first <= package.0).saturating_sub(1);
        let first = self.members.get(place).map_or(0, |(first, _)| *first);
        (place, PackageId(package.0 - first))
    }

    /// The number here of a package of the repository at a place.
    pub fn global(&self, place: usize, package: PackageId) -> PackageId {
        PackageId(self.members.get(place).map_or(0, |(first, _)| *first) + package.0)
    }

    fn member(&self, package: PackageId) -> (&Member<'a>, PackageId) {
        let (place, local) = self.locate(package);
        (&self.members[place].1, local)
    }

    fn gather<T>(&self, ask: impl Fn(&'a dyn Universe) -> Vec<T>, shift: impl Fn(u32, T) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for (first, member) in &self.members {
            all.extend(ask(member.universe).into_iter().map(|item| shift(*first, item)));
        }
        all
    }

    fn ids(&self, ask: impl Fn(&'a dyn Universe) -> Vec<PackageId>) -> Vec<PackageId> {
        self.gather(ask, |first, id| PackageId(first + id.0))
    }
}

impl Universe for Repositories<'_> {
    fn count(&self) -> u32 {
        self.count
    }

    fn nevra(&self, package: PackageId) -> Nevra {
        let (member, local) = self.member(package);
        member.universe.nevra(local)
    }

    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
        let (member, local) = self.member(package);
        member.universe.dependencies(local, list)
    }

    fn named(&self, name: &str) -> Vec<PackageId> {
        self.ids(|universe| universe.named(name))
    }

    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
        self.gather(|universe| universe.providers(name), |first, (id, text)| (PackageId(first + id.0), text))
    }

    fn owners(&self, path: &str) -> Vec<PackageId> {
        self.ids(|universe| universe.owners(path))
    }

    fn obsoleters(&self, name: &str) -> Vec<PackageId> {
        self.ids(|universe| universe.obsoleters(name))
    }

    fn supplementers(&self, name: &str) -> Vec<PackageId> {
        self.ids(|universe| universe.supplementers(name))
    }

    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        let mut more = true;
        for (_, member) in &self.members {
            if more {
                member.universe.each_name(&mut |name| {
                    more = visit(name);
                    more
                });
            }
        }
    }

    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        let mut more = true;
        for (_, member) in &self.members {
            if more {
                member.universe.each_provided_name(&mut |name| {
                    more = visit(name);
                    more
                });
            }
        }
    }

    fn size(&self, package: PackageId) -> Size {
        let (member, local) = self.member(package);
        member.universe.size(local)
    }

    fn tie_break(&self, package: PackageId) -> Vec<u8> {
        let (member, local) = self.member(package);
        member.universe.tie_break(local)
    }

    fn repository(&self, package: PackageId) -> &str {
        &self.member(package).0.id
    }

    fn priority(&self, package: PackageId) -> i32 {
        self.member(package).0.priority
    }

    fn cost(&self, package: PackageId) -> u32 {
        self.member(package).0.cost
    }
}
