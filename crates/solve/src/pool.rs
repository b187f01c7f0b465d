//! The packages that have come up so far, and who provides what.
//!
//! A pool stands between the solver and what it is fed from: a [`Universe`] of packages that could be installed
//! and, for transactions, the packages that are. A name's packages are taken in when the name is first
//! mentioned, a package's dependencies when they are first asked for.

use crate::transaction::{InstalledPackage, System};
use crate::universe::{List, PackageId, Universe, mentioned_names};
use crate::version::{Op, Range};
use lazuli_rpm::{Dependency, DependencyFlags, Nevra};
use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// A package's place in the pool. Packages of one name are neighbours, the installed one first and then
/// the best version first, so of those to choose from a lower index is a better package.
pub(crate) type Index = u32;

/// Packages, each once, in order of preference.
pub(crate) type Set = Rc<[Index]>;

/// Where a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the universe.
    Available(PackageId),
    /// On the system: the place in [`System::packages`].
    Installed(u32),
}

/// A package that has come up.
pub(crate) struct Record<'a> {
    pub(crate) nevra: Nevra,
    pub(crate) origin: Origin,
    /// Of an installed package: the same package in the universe.
    pub(crate) twin: Option<PackageId>,
    /// A number that packages share of which only one can be installed.
    pub(crate) slot: u32,
    /// That of the repository; an installed package has none of its own.
    pub(crate) priority: i32,
    lists: OnceCell<Lists<'a>>,
}

/// Lists borrowed from the system or read from the universe.
enum Lists<'a> {
    Installed(&'a InstalledPackage),
    Read(Box<[OnceCell<Vec<Dependency>>; 5]>),
}

impl Record<'_> {
    /// The package's name with its version.
    pub(crate) fn id(&self) -> String {
        self.nevra.to_string()
    }

    /// Whether it is installed.
    pub(crate) fn is_installed(&self) -> bool {
        matches!(self.origin, Origin::Installed(_))
    }
}

/// A dependency as a key: name, comparison, version.
type Key = (String, DependencyFlags, String);

/// What is installed, indexed.
struct Present<'a> {
    system: &'a dyn System,
    by_hnum: HashMap<u32, u32>,
    names: HashMap<&'a str, Vec<u32>>,
    provides: HashMap<&'a str, Vec<(u32, &'a Dependency)>>,
}

/// All packages that have come up.
pub(crate) struct Pool<'a> {
    pub(crate) universe: &'a dyn Universe,
    present: Option<Present<'a>>,
    /// One cell for every package there could be; filled from the front.
    records: Vec<OnceCell<Box<Record<'a>>>>,
    taken: Cell<u32>,
    slots: RefCell<Vec<String>>,
    by_name: RefCell<HashMap<String, Set>>,
    by_id: RefCell<HashMap<PackageId, Option<Index>>>,
    by_place: RefCell<HashMap<u32, Index>>,
    /// Names asked for directly: preferred among several providers.
    wanted: HashSet<String>,
    /// Packages of the universe that share no slot with others of their name.
    side_by_side: HashSet<PackageId>,
    side_by_side_names: HashSet<String>,
    answers: RefCell<HashMap<Key, Set>>,
}

impl<'a> Pool<'a> {
    /// A pool over a universe. `asked` are the dependencies of the request: the names in them are preferred.
    pub(crate) fn new(universe: &'a dyn Universe, asked: &[Dependency]) -> Self {
        let mut wanted: HashSet<String> = asked.iter().flat_map(mentioned_names).collect();
        wanted.remove("/");
        Self {
            universe,
            present: None,
            records: (0..universe.count()).map(|_| OnceCell::new()).collect(),
            taken: Cell::new(0),
            slots: RefCell::default(),
            by_name: RefCell::default(),
            by_id: RefCell::default(),
            by_place: RefCell::default(),
            wanted,
            side_by_side: HashSet::new(),
            side_by_side_names: HashSet::new(),
            answers: RefCell::default(),
        }
    }

    /// Adds the installed packages. Several packages can be installed together that have one of the names
    /// `side_by_side` or provide one.
    pub(crate) fn with_system(mut self, system: &'a dyn System, side_by_side: &[String]) -> Self {
        let mut present =
            Present { system, by_hnum: HashMap::new(), names: HashMap::new(), provides: HashMap::new() };
        for (place, package) in (0..).zip(system.packages()) {
            // Public keys are rows of the database but no packages.
            if package.nevra.name == "gpg-pubkey" {
                continue;
            }
            present.by_hnum.insert(package.hnum, place);
            present.names.entry(&package.nevra.name).or_default().push(place);
            for provide in &package.provides {
                present.provides.entry(&provide.name).or_default().push((place, provide));
            }
        }
        self.records.extend((0..system.packages().len()).map(|_| OnceCell::new()));
        self.present = Some(present);
        for name in side_by_side {
            self.side_by_side_names.insert(name.clone());
            self.side_by_side.extend(self.universe.providers(name).into_iter().map(|(id, _)| id));
        }
        self
    }

    /// The package at an index.
    pub(crate) fn package(&self, index: Index) -> &Record<'a> {
        // Indices are given out by this pool, when it fills their cell.
        self.records[index as usize].get().expect("an index of this pool")
    }

    /// How many packages have come up.
    pub(crate) fn len(&self) -> u32 {
        self.taken.get()
    }

    /// One of the lists of a package.
    pub(crate) fn list(&self, index: Index, list: List) -> &[Dependency] {
        let record = self.package(index);
        let place = match list {
            List::Requires => 0,
            List::Conflicts => 1,
            List::Obsoletes => 2,
            List::Recommends => 3,
            List::Supplements => 4,
            List::Provides => return &[], // Looked up by name, never listed.
        };
        let lists = record.lists.get_or_init(|| match (record.origin, &self.present) {
            (Origin::Installed(place), Some(present)) => {
                Lists::Installed(&present.system.packages()[place as usize])
            }
            _ => Lists::Read(Box::default()),
        });
        match (lists, record.origin) {
            (Lists::Installed(package), _) => match list {
                List::Requires => &package.requires,
                List::Conflicts => &package.conflicts,
                List::Obsoletes => &package.obsoletes,
                List::Recommends => &package.recommends,
                List::Supplements => &package.supplements,
                List::Provides => &package.provides,
            },
            (Lists::Read(cells), Origin::Available(id)) => {
                cells[place].get_or_init(|| self.universe.dependencies(id, list))
            }
            (Lists::Read(_), Origin::Installed(_)) => &[],
        }
    }

    /// What a package provides.
    pub(crate) fn provides(&self, index: Index) -> Vec<Dependency> {
        match self.package(index).origin {
            Origin::Available(id) => self.universe.dependencies(id, List::Provides),
            Origin::Installed(_) => self.installed(index).map(|p| p.provides.clone()).unwrap_or_default(),
        }
    }

    /// The requirements that must be met; those marked `MISSINGOK` need not be.
    pub(crate) fn hard_requirements(&self, index: Index) -> impl Iterator<Item = &Dependency> {
        let optional = DependencyFlags::MISSINGOK;
        let list = self.list(index, List::Requires).iter();
        list.filter(move |d| !d.flags.contains(optional) && !crate::features::is_feature(d))
    }

    /// The installed package that an index stands for.
    pub(crate) fn installed(&self, index: Index) -> Option<&'a InstalledPackage> {
        match (self.package(index).origin, &self.present) {
            (Origin::Installed(place), Some(present)) => present.system.packages().get(place as usize),
            _ => None,
        }
    }

    /// Whether a package of this name is installed.
    pub(crate) fn is_name_installed(&self, name: &str) -> bool {
        self.present.as_ref().is_some_and(|present| present.names.contains_key(name))
    }

    /// All installed packages, by name.
    pub(crate) fn all_installed(&self) -> Vec<Index> {
        let Some(present) = &self.present else { return Vec::new() };
        let mut names: Vec<&str> = present.names.keys().copied().collect();
        names.sort_unstable();
        let all = names.iter().flat_map(|name| self.named(name).to_vec());
        all.filter(|&index| self.package(index).is_installed()).collect()
    }

    /// The index of a package of the universe, if it is one to choose from.
    pub(crate) fn of_id(&self, id: PackageId) -> Option<Index> {
        if let Some(found) = self.by_id.borrow().get(&id) {
            return *found;
        }
        self.named(&self.universe.nevra(id).name);
        self.by_id.borrow().get(&id).copied().flatten()
    }

    /// The indices of packages of the universe that are to choose from. Packages that come up for the first
    /// time are taken in by name, so that indices do not hang on the order of the universe.
    pub(crate) fn of_ids(&self, ids: &[PackageId]) -> Vec<Option<Index>> {
        let unknown: BTreeSet<String> = {
            let known = self.by_id.borrow();
            let new = ids.iter().filter(|id| !known.contains_key(id));
            new.map(|&id| self.universe.nevra(id).name).collect()
        };
        for name in &unknown {
            self.named(name);
        }
        let known = self.by_id.borrow();
        ids.iter().map(|id| known.get(id).copied().flatten()).collect()
    }

    /// The index of an installed package by its database number.
    pub(crate) fn of_hnum(&self, hnum: u32) -> Option<Index> {
        let present = self.present.as_ref()?;
        self.of_place(*present.by_hnum.get(&hnum)?)
    }

    fn of_place(&self, place: u32) -> Option<Index> {
        if let Some(found) = self.by_place.borrow().get(&place) {
            return Some(*found);
        }
        let present = self.present.as_ref()?;
        self.named(&present.system.packages().get(place as usize)?.nevra.name);
        self.by_place.borrow().get(&place).copied()
    }

    /// The packages of one name: installed ones first, then the best version first.
    pub(crate) fn named(&self, name: &str) -> Set {
        if let Some(set) = self.by_name.borrow().get(name) {
            return set.clone();
        }
        let set: Set = self.take_in(name).into();
        self.by_name.borrow_mut().insert(name.to_owned(), set.clone());
        set
    }

    /// The label of a slot, and how many there are.
    pub(crate) fn slot_label(&self, slot: u32) -> String {
        self.slots.borrow()[slot as usize].clone()
    }

    fn new_slot(&self, label: &str) -> u32 {
        let mut slots = self.slots.borrow_mut();
        slots.push(label.to_owned());
        slots.len() as u32 - 1
    }

    /// Whether packages like this one are installed side by side.
    pub(crate) fn is_side_by_side(&self, index: Index) -> bool {
        let record = self.package(index);
        self.side_by_side_names.contains(&record.nevra.name)
            || match record.origin {
                Origin::Available(id) => self.side_by_side.contains(&id),
                Origin::Installed(place) => self.is_side_by_side_place(place),
            }
    }

    fn is_side_by_side_place(&self, place: u32) -> bool {
        let package = self.present.as_ref().and_then(|p| p.system.packages().get(place as usize));
        package.is_some_and(|p| p.provides.iter().any(|d| self.side_by_side_names.contains(&d.name)))
    }

    /// Takes in the packages of a name, in order of preference.
    fn take_in(&self, name: &str) -> Vec<Index> {
        let mut indices = Vec::new();
        let mut shared = None;
        let mut slot = |own: bool| {
            if own { self.new_slot(name) } else { *shared.get_or_insert_with(|| self.new_slot(name)) }
        };
        let many = self.side_by_side_names.contains(name);
        let available = self.available(name);
        for (number, (place, nevra)) in (0..).zip(self.present(name)) {
            // Of a name that should be there once and is there several times, each has its own slot.
            let slot = slot(many || number > 0 || self.is_side_by_side_place(place));
            let twin = available.iter().find(|candidate| candidate.nevra == *nevra).map(|found| found.id);
            let origin = Origin::Installed(place);
            let record =
                Record { nevra: nevra.clone(), origin, twin, slot, priority: 0, lists: OnceCell::new() };
            let index = self.add(record);
            self.by_place.borrow_mut().insert(place, index);
            indices.push(index);
        }
        let installed = indices.clone();
        let mut last: Option<(Index, Vec<u8>)> = None;
        for Candidate { priority, nevra, id, .. } in available {
            let tie = self.universe.tie_break(id);
            let same = installed.iter().copied().find(|&index| self.package(index).nevra == nevra).or(last
                .as_ref()
                .filter(|(index, other)| self.package(*index).nevra == nevra && *other == tie)
                .map(|(index, _)| *index));
            if let Some(same) = same {
                self.by_id.borrow_mut().insert(id, Some(same));
                continue;
            }
            let slot = slot(many || self.side_by_side.contains(&id));
            let origin = Origin::Available(id);
            let index =
                self.add(Record { nevra, origin, twin: None, slot, priority, lists: OnceCell::new() });
            self.by_id.borrow_mut().insert(id, Some(index));
            last = Some((index, tie));
            indices.push(index);
        }
        indices
    }

    fn add(&self, record: Record<'a>) -> Index {
        let index = self.taken.get();
        // There are as many cells as packages, and each package is taken in once.
        let _ = self.records[index as usize].set(Box::new(record));
        self.taken.set(index + 1);
        index
    }

    /// The places of the installed packages of a name, the latest version first.
    fn present(&self, name: &str) -> Vec<(u32, &'a Nevra)> {
        let Some(present) = &self.present else { return Vec::new() };
        let packages = present.system.packages();
        let places = present.names.get(name).into_iter().flatten();
        let mut all: Vec<(u32, &Nevra)> = places.map(|&p| (p, &packages[p as usize].nevra)).collect();
        all.sort_by(|(a, x), (b, y)| y.evr.cmp(&x.evr).then(a.cmp(b)));
        all
    }

    /// The packages of a name in the universe, best first.
    fn available(&self, name: &str) -> Vec<Candidate> {
        let ids = self.universe.named(name).into_iter();
        let mut all: Vec<Candidate> = ids
            .map(|id| Candidate {
                priority: self.universe.priority(id),
                nevra: self.universe.nevra(id),
                cost: self.universe.cost(id),
                id,
            })
            .collect();
        let order = |a: &Candidate, b: &Candidate| -> Ordering {
            let version = b.nevra.evr.cmp(&a.nevra.evr).then_with(|| a.nevra.arch.cmp(&b.nevra.arch));
            a.priority.cmp(&b.priority).then(version).then(a.cost.cmp(&b.cost))
        };
        let tie = |id| self.universe.tie_break(id);
        all.sort_by(|a, b| order(a, b).then_with(|| tie(a.id).cmp(&tie(b.id))).then(a.id.cmp(&b.id)));
        all
    }

    /// All names that something provides and that `keep` lets pass.
    pub(crate) fn provided_names(&self, keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut visit = |name: &str| {
            if keep(name) {
                names.insert(name.to_owned());
            }
            true
        };
        self.universe.each_provided_name(&mut visit);
        self.universe.each_name(&mut visit);
        if let Some(present) = &self.present {
            for name in present.provides.keys().chain(present.names.keys()) {
                visit(name);
            }
        }
        names
    }

    /// All package names, installed and available, that `keep` lets pass.
    pub(crate) fn package_names(&self, keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut visit = |name: &str| {
            if keep(name) {
                names.insert(name.to_owned());
            }
            true
        };
        self.universe.each_name(&mut visit);
        for name in self.present.iter().flat_map(|present| present.names.keys()) {
            visit(name);
        }
        names
    }

    /// Who provides `name` in whatever version, with the text of what they provide.
    pub(crate) fn offers(&self, name: &str) -> Vec<(Index, String)> {
        let mut all: Vec<(Index, String)> =
            self.entries(name).into_iter().map(|(index, provide)| (index, provide.to_string())).collect();
        let key = |&(index, _): &(Index, String)| (self.package(index).nevra.name.clone(), index);
        all.sort_by_key(key);
        all.dedup();
        all
    }

    /// The `Provides` entries of a name.
    fn entries(&self, name: &str) -> Vec<(Index, Dependency)> {
        let mut all = Vec::new();
        let (ids, provides): (Vec<PackageId>, Vec<Dependency>) =
            self.universe.providers(name).into_iter().unzip();
        for (index, provide) in self.of_ids(&ids).into_iter().zip(provides) {
            all.extend(index.map(|index| (index, provide)));
        }
        // What an installed package provides is what its database row says.
        all.retain(|(index, _)| !self.package(*index).is_installed());
        for &(place, provide) in self.present.iter().filter_map(|p| p.provides.get(name)).flatten() {
            all.extend(self.of_place(place).map(|index| (index, provide.clone())));
        }
        all
    }

    /// The packages that own a path.
    fn owners(&self, path: &str) -> Vec<Index> {
        let available = self.of_ids(&self.universe.owners(path)).into_iter().flatten();
        let mut all: Vec<Index> = available.filter(|&index| !self.package(index).is_installed()).collect();
        if let Some(present) = &self.present {
            all.extend(present.system.owners(path).into_iter().filter_map(|hnum| self.of_hnum(hnum)));
        }
        all
    }

    /// The packages that provide a simple dependency or own its path, preferred ones first: those of
    /// which some version is installed, the package of that name, then packages asked for, then by priority and
    /// name; of one name the best version first.
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
        for (index, provide) in self.entries(name) {
            if range.overlaps(&Range::of(&provide)) {
                found.push(index);
            }
        }
        if range.op == Op::ANY && name.starts_with('/') {
            found.extend(self.owners(name));
        }
        // A package provides its own name even where its metadata forgets to say so.
        found
            .extend(self.named(name).iter().filter(|&&index| range.contains(&self.package(index).nevra.evr)));
        found.sort_by_cached_key(|&index| {
            let record = self.package(index);
            let own = record.nevra.name.as_str();
            (
                !self.is_name_installed(own),
                own != name,
                !self.wanted.contains(own),
                record.priority,
                own.to_owned(),
                index,
            )
        });
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
        let named = self.named(&dependency.name);
        named.iter().copied().filter(|&index| range.contains(&self.package(index).nevra.evr)).collect()
    }

    /// Whether everything in a set is judged by what is installed today.
    pub(crate) fn holds_today(&self, formula: &crate::formula::Formula) -> bool {
        formula.holds(&|index| self.package(index).is_installed())
    }
}

/// A package of the universe before it is taken in.
struct Candidate {
    priority: i32,
    nevra: Nevra,
    cost: u32,
    id: PackageId,
}
