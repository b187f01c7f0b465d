//! What the solver chose, and why.

use crate::formula::Formula;
use crate::pool::{Index, Origin, Pool};
use crate::search::Root;
use crate::universe::{List, PackageId};
use lazuli_repo::Package;
use lazuli_rpm::{Dependency, Nevra};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Package records that together meet a request.
pub type Solution<'a> = Answer<&'a Package>;

/// Packages that together meet a request.
#[derive(Debug, Clone)]
pub struct Answer<P> {
    /// The packages, sorted by name.
    pub packages: Vec<P>,
    /// Their names and versions, in the same order.
    pub nevras: Vec<Nevra>,
    /// For each package, in the same order, why it is there.
    pub reasons: Vec<Reason>,
    /// Weak dependencies of the packages that could not be met.
    pub skipped: Vec<Skipped>,
}

/// Why a package is part of a solution. A package may have several reasons; this is the one nearest to
/// the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for by this text.
    Requested(String),
    /// The package at place `by` of the solution requires it.
    Required {
        /// Place in [`Answer::packages`].
        by: usize,
        /// The requirement.
        dependency: String,
    },
    /// The package at place `by` of the solution recommends it.
    Recommended {
        /// Place in [`Answer::packages`].
        by: usize,
        /// The recommendation.
        dependency: String,
    },
    /// It supplements what is in the solution.
    Supplements(String),
}

/// A weak dependency that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The package that recommends or supplements.
    pub package: String,
    /// What.
    pub dependency: String,
}

impl<'a> Answer<&'a Package> {
    /// The package of that name.
    pub fn get(&self, name: &str) -> Option<&'a Package> {
        self.place(name).map(|place| self.packages[place])
    }
}

impl<P> Answer<P> {
    /// The same solution with other names for its packages.
    pub(crate) fn map<Q>(self, of: impl Fn(P) -> Q) -> Answer<Q> {
        let Self { packages, nevras, reasons, skipped } = self;
        Answer { packages: packages.into_iter().map(of).collect(), nevras, reasons, skipped }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.nevras.iter().position(|nevra| nevra.name == name)
    }

    /// The chain that leads from the request to the package, one line a link; `None` if it is not there.
    pub fn why(&self, name: &str) -> Option<Vec<String>> {
        let mut place = self.place(name)?;
        let mut lines = Vec::new();
        loop {
            let package = &self.nevras[place];
            match &self.reasons[place] {
                Reason::Requested(text) => lines.push(format!("{package} was asked for by `{text}`")),
                Reason::Supplements(what) => lines.push(format!("{package} supplements {what}")),
                Reason::Required { by, dependency } => {
                    lines.push(format!("{package} is required by {} ({dependency})", self.nevras[*by]));
                    place = *by;
                    continue;
                }
                Reason::Recommended { by, dependency } => {
                    lines.push(format!("{package} is recommended by {} ({dependency})", self.nevras[*by]));
                    place = *by;
                    continue;
                }
            }
            lines.reverse();
            return Some(lines);
        }
    }
}

/// A reason before the places of packages are known.
pub(crate) enum Why {
    /// The place of the root.
    Requested(usize),
    Required(Index, String),
    Recommended(Index, String),
    Supplements(String),
}

/// Gives each chosen package its reason by a breadth-first walk from the roots, in their order, first over hard
/// dependencies, then over weak ones. A package that nothing leads to is left out: an alternative that was
/// tried before a better one turned up. (No requirement of the others can depend on it, or it would have
/// been reached.)
pub(crate) fn explain(
    pool: &Pool<'_>,
    chosen: &BTreeSet<Index>,
    roots: &[Root],
    weak: bool,
) -> BTreeMap<Index, Why> {
    let mut walk = Walk { pool, chosen, reasons: BTreeMap::new(), queue: VecDeque::new() };
    for (place, root) in roots.iter().enumerate() {
        walk.reach(&root.formula, || Why::Requested(place));
    }
    walk.follow_requirements();
    let mut before = 0;
    while weak && walk.reasons.len() > before {
        before = walk.reasons.len();
        walk.follow_weak();
        walk.follow_requirements();
    }
    walk.reasons
}

/// The reasons as those who asked see them.
pub(crate) fn of(
    pool: &Pool<'_>,
    roots: &[Root],
    whys: BTreeMap<Index, Why>,
    skipped: Vec<Skipped>,
) -> Answer<PackageId> {
    let mut whys: Vec<(Index, Why)> = whys.into_iter().collect();
    whys.sort_by_key(|(index, _)| (&pool.package(*index).nevra.name, *index));
    let places: BTreeMap<Index, usize> = whys.iter().map(|(index, _)| *index).zip(0..).collect();
    let mut solution = Answer { packages: Vec::new(), nevras: Vec::new(), reasons: Vec::new(), skipped };
    for (index, why) in whys {
        let Origin::Available(id) = pool.package(index).origin else { continue };
        solution.packages.push(id);
        solution.nevras.push(pool.package(index).nevra.clone());
        solution.reasons.push(match why {
            Why::Requested(root) => Reason::Requested(roots[root].text.clone()),
            Why::Required(by, dependency) => Reason::Required { by: places[&by], dependency },
            Why::Recommended(by, dependency) => Reason::Recommended { by: places[&by], dependency },
            Why::Supplements(what) => Reason::Supplements(what),
        });
    }
    solution
}

struct Walk<'w, 'a> {
    pool: &'w Pool<'a>,
    chosen: &'w BTreeSet<Index>,
    reasons: BTreeMap<Index, Why>,
    queue: VecDeque<Index>,
}

impl Walk<'_, '_> {
    /// Gives a reason to the chosen packages that help to meet a dependency and have none yet.
    fn reach(&mut self, formula: &Formula, why: impl Fn() -> Why) {
        let mut helpers = Vec::new();
        formula.positive_packages(&mut helpers);
        for package in helpers {
            if self.chosen.contains(&package) && !self.reasons.contains_key(&package) {
                self.reasons.insert(package, why());
                self.queue.push_back(package);
            }
        }
    }

    fn reach_by(&mut self, dependency: &Dependency, why: impl Fn() -> Why) {
        if let Ok(formula) = Formula::of(dependency, self.pool) {
            self.reach(&formula, why);
        }
    }

    fn follow_requirements(&mut self) {
        while let Some(by) = self.queue.pop_front() {
            for dependency in self.pool.hard_requirements(by) {
                self.reach_by(dependency, || Why::Required(by, dependency.to_string()));
            }
        }
    }

    fn follow_weak(&mut self) {
        let known: Vec<Index> = self.reasons.keys().copied().collect();
        for by in known {
            for dependency in self.pool.list(by, List::Recommends) {
                self.reach_by(dependency, || Why::Recommended(by, dependency.to_string()));
            }
        }
        for &package in self.chosen {
            let holds = |dependency: &&Dependency| {
                Formula::of(dependency, self.pool)
                    .is_ok_and(|formula| formula.holds(&|index| self.reasons.contains_key(&index)))
            };
            if self.reasons.contains_key(&package) {
                continue;
            }
            if let Some(dependency) = self.pool.list(package, List::Supplements).iter().find(holds) {
                self.reasons.insert(package, Why::Supplements(dependency.to_string()));
                self.queue.push_back(package);
            }
        }
    }
}
