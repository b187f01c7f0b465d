//! What is no longer needed: dependencies that nobody wants any more, and old kernels.

use super::rules::Rules;
use super::system::Keep;
use crate::encode::{bans, needs};
use crate::formula::{Clause, Formula, Literal};
use crate::pool::{Index, Pool};
use crate::universe::List;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A set of packages with the reasons why each is there.
pub(crate) struct Upkeep<'u, 'a> {
    pub(crate) pool: &'u Pool<'a>,
    pub(crate) rules: &'u Rules<'u>,
    /// Whether what is recommended is needed.
    pub(crate) weak: bool,
}

/// Whether a clause is true of exactly these packages.
pub(crate) fn is_true(clause: &Clause, set: &BTreeSet<Index>) -> bool {
    clause.iter().any(|literal| match literal {
        Literal::Some(any) => any.iter().any(|package| set.contains(package)),
        Literal::None(none) => !none.iter().any(|package| set.contains(package)),
    })
}

impl Upkeep<'_, '_> {
    /// The packages of a set that nothing leads to: not wanted by a person, and neither required nor
    /// recommended by, nor supplementing, what is. All installed providers of a requirement count as
    /// needed. Packages that are installed side by side are never unneeded.
    pub(crate) fn unneeded(
        &self,
        set: &BTreeSet<Index>,
        keep: &HashMap<Index, Keep>,
        also_wanted: &BTreeSet<Index>,
    ) -> BTreeSet<Index> {
        let wanted = |&index: &Index| {
            keep.get(&index).copied().unwrap_or(Keep::User) == Keep::User
                || also_wanted.contains(&index)
                || self.rules.protect(self.pool, index).is_some()
                || self.pool.is_side_by_side(index)
        };
        let mut needed: BTreeSet<Index> = set.iter().copied().filter(wanted).collect();
        let mut queue: VecDeque<Index> = needed.iter().copied().collect();
        let reach = |dependency, needed: &mut BTreeSet<Index>, queue: &mut VecDeque<Index>| {
            let mut packages = Vec::new();
            if let Ok(formula) = Formula::of(dependency, self.pool) {
                formula.positive_packages(&mut packages);
            }
            for package in packages {
                if set.contains(&package) && needed.insert(package) {
                    queue.push_back(package);
                }
            }
        };
        loop {
            while let Some(index) = queue.pop_front() {
                // Requirements that may be missing are needed as long as they are there.
                for dependency in self.pool.list(index, List::Requires) {
                    reach(dependency, &mut needed, &mut queue);
                }
                if self.weak {
                    for dependency in self.pool.list(index, List::Recommends) {
                        reach(dependency, &mut needed, &mut queue);
                    }
                }
            }
            if !self.weak {
                break;
            }
            let open: Vec<Index> = set.difference(&needed).copied().collect();
            for index in open {
                let supplements = self.pool.list(index, List::Supplements).iter().any(|dependency| {
                    Formula::of(dependency, self.pool)
                        .is_ok_and(|formula| formula.holds(&|other| needed.contains(&other)))
                });
                if supplements && needed.insert(index) {
                    queue.push_back(index);
                }
            }
            if queue.is_empty() {
                break;
            }
        }
        set.difference(&needed).copied().collect()
    }

    /// The packages of `after` with a requirement or conflict that was met in `before` and is not any more.
    pub(crate) fn broken(&self, before: &BTreeSet<Index>, after: &BTreeSet<Index>) -> BTreeSet<Index> {
        let breaks = |&&index: &&Index| {
            let needs = needs(self.pool, index).unwrap_or_default();
            let bans = bans(self.pool, index).unwrap_or_default();
            let mut clauses = needs.iter().chain(&bans).flat_map(|(_, clauses)| clauses);
            clauses.any(|clause| is_true(clause, before) && !is_true(clause, after))
        };
        after.iter().filter(breaks).copied().collect()
    }

    /// Old versions of what is installed side by side that have to go so that no more than `limit` remain, where
    /// a new one came. The running kernel and what belongs to it stays. Notes say what could not go.
    pub(crate) fn surplus(
        &self,
        set: &BTreeSet<Index>,
        limit: usize,
        notes: &mut Vec<String>,
    ) -> BTreeSet<Index> {
        let mut names: BTreeMap<&str, (Vec<Index>, usize)> = BTreeMap::new();
        for &index in set.iter().filter(|&&index| self.pool.is_side_by_side(index)) {
            let entry = names.entry(&self.pool.package(index).nevra.name).or_default();
            if self.pool.package(index).is_installed() {
                entry.0.push(index);
            } else {
                entry.1 += 1;
            }
        }
        let evr = |index: Index| &self.pool.package(index).nevra.evr;
        let running: Vec<_> =
            set.iter().filter(|&&i| self.rules.is_running(self.pool, i)).map(|&i| evr(i)).collect();
        let mut surplus = BTreeSet::new();
        for (mut installed, new) in names.into_values() {
            if limit == 0 || new == 0 {
                continue;
            }
            let excess = (installed.len() + new).saturating_sub(limit);
            installed.retain(|&i| !running.contains(&evr(i)) && self.rules.protect(self.pool, i).is_none());
            installed.sort_by(|&a, &b| evr(a).cmp(evr(b)).then(a.cmp(&b)));
            surplus.extend(installed.into_iter().take(excess));
        }
        // What depends on an old kernel must be an old version of something side by side, or the kernel stays.
        loop {
            let rest: BTreeSet<Index> = set.difference(&surplus).copied().collect();
            let broken = self.broken(set, &rest);
            let Some(&first) = broken.first() else { return surplus };
            let free = |&index: &Index| {
                self.pool.is_side_by_side(index)
                    && self.pool.package(index).is_installed()
                    && !running.contains(&evr(index))
                    && self.rules.protect(self.pool, index).is_none()
            };
            if broken.iter().all(free) {
                surplus.extend(broken);
                continue;
            }
            let before = surplus.len();
            let blocker = broken.iter().copied().find(|index| !free(index)).unwrap_or(first);
            let list = needs(self.pool, blocker).unwrap_or_default();
            let literals = || list.iter().flat_map(|(_, clauses)| clauses).flatten();
            let blocked =
                |old: &Index| literals().any(|l| matches!(l, Literal::Some(any) if any.contains(old)));
            // The parts of a kernel stay together.
            let versions: Vec<_> = surplus.iter().copied().filter(|old| blocked(old)).map(evr).collect();
            surplus.retain(|&old| !versions.contains(&evr(old)));
            notes.push(format!("old versions that {} requires stay", self.pool.package(blocker).id()));
            if surplus.len() == before {
                return BTreeSet::new();
            }
        }
    }
}
