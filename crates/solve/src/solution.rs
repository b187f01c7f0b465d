//! What the solver chose, and why.

use crate::encode::hard_requirements;
use crate::formula::Formula;
use crate::pool::{Index, Pool};
use lazuli_repo::Package;
use lazuli_rpm::Dependency;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Packages that together meet a request.
#[derive(Debug, Clone)]
pub struct Solution<'a> {
    /// The packages, sorted by name.
    pub packages: Vec<&'a Package>,
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
        /// Place in [`Solution::packages`].
        by: usize,
        /// The requirement.
        dependency: String,
    },
    /// The package at place `by` of the solution recommends it.
    Recommended {
        /// Place in [`Solution::packages`].
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

impl<'a> Solution<'a> {
    /// The package of that name.
    pub fn get(&self, name: &str) -> Option<&'a Package> {
        self.place(name).map(|place| self.packages[place])
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.packages.iter().position(|package| package.nevra.name == name)
    }

    /// The chain that leads from the request to the package, one line a link; `None` if it is not there.
    pub fn why(&self, name: &str) -> Option<Vec<String>> {
        let mut place = self.place(name)?;
        let mut lines = Vec::new();
        loop {
            let package = self.packages[place].id();
            match &self.reasons[place] {
                Reason::Requested(text) => lines.push(format!("{package} was asked for by `{text}`")),
                Reason::Supplements(what) => lines.push(format!("{package} supplements {what}")),
                Reason::Required { by, dependency } => {
                    lines
                        .push(format!("{package} is required by {} ({dependency})", self.packages[*by].id()));
                    place = *by;
                    continue;
                }
                Reason::Recommended { by, dependency } => {
                    lines.push(format!(
                        "{package} is recommended by {} ({dependency})",
                        self.packages[*by].id()
                    ));
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
enum Why {
    Requested(String),
    Required(Index, String),
    Recommended(Index, String),
    Supplements(String),
}

/// Gives each chosen package its reason by a breadth-first walk from the request, first over hard
/// dependencies, then over weak ones. A package that nothing leads to is left out: an alternative that was
/// tried before a better one turned up. (No requirement of the others can depend on it, or it would have
/// been reached.)
pub(crate) fn explain<'a>(
    pool: &Pool<'a>,
    chosen: &BTreeSet<Index>,
    asked: &[(Dependency, String)],
    weak: bool,
    skipped: Vec<Skipped>,
) -> Solution<'a> {
    let mut walk = Walk { pool, chosen, reasons: BTreeMap::new(), queue: VecDeque::new() };
    for (dependency, text) in asked {
        walk.reach(dependency, || Why::Requested(text.clone()));
    }
    walk.follow_requirements();
    let mut before = 0;
    while weak && walk.reasons.len() > before {
        before = walk.reasons.len();
        walk.follow_weak();
        walk.follow_requirements();
    }
    let places: BTreeMap<Index, usize> = walk.reasons.keys().copied().zip(0..).collect();
    Solution {
        packages: walk.reasons.keys().map(|&index| pool.package(index)).collect(),
        reasons: walk
            .reasons
            .into_values()
            .map(|why| match why {
                Why::Requested(text) => Reason::Requested(text),
                Why::Required(by, dependency) => Reason::Required { by: places[&by], dependency },
                Why::Recommended(by, dependency) => Reason::Recommended { by: places[&by], dependency },
                Why::Supplements(what) => Reason::Supplements(what),
            })
            .collect(),
        skipped,
    }
}

struct Walk<'w, 'a> {
    pool: &'w Pool<'a>,
    chosen: &'w BTreeSet<Index>,
    reasons: BTreeMap<Index, Why>,
    queue: VecDeque<Index>,
}

impl Walk<'_, '_> {
    /// Gives a reason to the chosen packages that help to meet a dependency and have none yet.
    fn reach(&mut self, dependency: &Dependency, why: impl Fn() -> Why) {
        let mut helpers = Vec::new();
        if let Ok(formula) = Formula::of(dependency, self.pool) {
            formula.positive_packages(&mut helpers);
        }
        for package in helpers {
            if self.chosen.contains(&package) && !self.reasons.contains_key(&package) {
                self.reasons.insert(package, why());
                self.queue.push_back(package);
            }
        }
    }

    fn follow_requirements(&mut self) {
        while let Some(by) = self.queue.pop_front() {
            for dependency in hard_requirements(self.pool.package(by)) {
                self.reach(dependency, || Why::Required(by, dependency.to_string()));
            }
        }
    }

    fn follow_weak(&mut self) {
        let known: Vec<Index> = self.reasons.keys().copied().collect();
        for by in known {
            for dependency in &self.pool.package(by).recommends {
                self.reach(dependency, || Why::Recommended(by, dependency.to_string()));
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
            if let Some(dependency) = self.pool.package(package).supplements.iter().find(holds) {
                self.reasons.insert(package, Why::Supplements(dependency.to_string()));
                self.queue.push_back(package);
            }
        }
    }
}
