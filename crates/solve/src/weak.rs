//! Weak dependencies: what should be there as well, if it can be.

use crate::encode::Excluded;
use crate::formula::Formula;
use crate::pool::{Index, Pool};
use crate::search::{Root, Search};
use crate::solution::Skipped;
use crate::universe::List;
use lazuli_rpm::Dependency;
use std::collections::{BTreeMap, BTreeSet};

/// Which weak dependencies are new.
pub(crate) trait Novelty {
    /// Whether this recommendation of a package is to be followed.
    fn recommends(&self, package: Index, dependency: &Dependency) -> bool;
    /// Whether packages that supplement this one are looked for.
    fn is_new(&self, package: Index) -> bool;
    /// Whether a package may be added because this, which holds now, supplements what there is.
    fn supplements(&self, formula: &Formula) -> bool;
    /// Whether no weak dependency is to bring this package.
    fn unwanted(&self, package: Index) -> bool;
}

/// Everything is new.
pub(crate) struct Fresh;

impl Novelty for Fresh {
    fn recommends(&self, _: Index, _: &Dependency) -> bool {
        true
    }

    fn is_new(&self, _: Index) -> bool {
        true
    }

    fn supplements(&self, _: &Formula) -> bool {
        true
    }

    fn unwanted(&self, _: Index) -> bool {
        false
    }
}

/// A weak dependency that is to be tried.
struct Weak {
    by: Index,
    dependency: Dependency,
    /// What has to become true.
    formula: Formula,
}

/// Extends a solution by what its packages recommend and what supplements it, as far as it goes. Nothing that is
/// `kept` is given up for it. Returns what could not be had.
pub(crate) fn add(
    search: &mut Search<'_, '_>,
    excluded: &Excluded<'_>,
    mut accepted: Vec<Root>,
    chosen: &mut BTreeSet<Index>,
    kept: &BTreeSet<Index>,
    novelty: &dyn Novelty,
) -> Vec<Skipped> {
    let pool = search.problem.pool;
    let mut tried: BTreeSet<(Index, Dependency)> = BTreeSet::new();
    let mut skipped: Vec<Weak> = Vec::new();
    loop {
        // What was added for a weak dependency may have weak dependencies of its own.
        let mut more = weak_dependencies(pool, chosen, excluded, novelty);
        more.retain(|weak| tried.insert((weak.by, weak.dependency.clone())));
        tracing::debug!(packages = chosen.len(), more = more.len(), "weak dependencies");
        if more.is_empty() {
            skipped.retain(|weak| !weak.formula.holds(&|index| chosen.contains(&index)));
            let of = |weak: Weak| Skipped {
                package: pool.package(weak.by).id(),
                dependency: weak.dependency.to_string(),
            };
            return skipped.into_iter().map(of).collect();
        }
        let (possible, hopeless): (Vec<Weak>, Vec<Weak>) =
            more.into_iter().partition(|weak| weak.formula.holds(&|_| true));
        skipped.extend(hopeless);
        let mut wishes = Vec::new();
        for (place, weak) in possible.iter().enumerate() {
            let text = weak.dependency.to_string();
            wishes.extend(Root::new(&text, &text, weak.formula.clone()).map(|root| (place, root)));
        }
        let roots: Vec<Root> = wishes.iter().map(|(_, root)| root.clone()).collect();
        let refused = search.extend(&mut accepted, chosen, &roots, kept);
        let refused: BTreeSet<usize> = refused.into_iter().map(|place| wishes[place].0).collect();
        for (place, weak) in possible.into_iter().enumerate() {
            if refused.contains(&place) {
                skipped.push(weak);
            }
        }
    }
}

/// The weak dependencies of the chosen packages, and the packages that supplement them, that are not met.
fn weak_dependencies(
    pool: &Pool<'_>,
    chosen: &BTreeSet<Index>,
    excluded: &Excluded<'_>,
    novelty: &dyn Novelty,
) -> Vec<Weak> {
    let installed = |index: Index| chosen.contains(&index);
    let mut more = Vec::new();
    for &by in chosen {
        for dependency in pool.list(by, List::Recommends) {
            if novelty.recommends(by, dependency)
                && let Ok(formula) = Formula::of(dependency, pool)
                && !formula.holds(&installed)
            {
                let wanted = formula.without(&|index| novelty.unwanted(index));
                // What only unwanted packages could meet is not missed.
                if wanted.holds(&|_| true) || !formula.holds(&|_| true) {
                    more.push(Weak { by, dependency: dependency.clone(), formula: wanted });
                }
            }
        }
    }
    more.sort_by_cached_key(|weak| pool.package(weak.by).nevra.clone());
    let supplementers = supplementers(pool, chosen, excluded, novelty);
    for by in supplementers.into_iter().filter(|&by| !novelty.unwanted(by)) {
        for dependency in pool.list(by, List::Supplements) {
            if let Ok(formula) = Formula::of(dependency, pool)
                && formula.holds(&installed)
                && novelty.supplements(&formula)
            {
                let formula = Formula::Any([by].into());
                more.push(Weak { by, dependency: dependency.clone(), formula });
            }
        }
    }
    more
}

/// The packages that may supplement what is chosen, by name: of each name the best version, and only where none
/// is chosen.
fn supplementers(
    pool: &Pool<'_>,
    chosen: &BTreeSet<Index>,
    excluded: &Excluded<'_>,
    novelty: &dyn Novelty,
) -> Vec<Index> {
    let mut names: BTreeSet<String> = BTreeSet::from(["/".to_owned()]);
    for &package in chosen.iter().filter(|&&package| novelty.is_new(package)) {
        names.insert(pool.package(package).nevra.name.clone());
        names.extend(pool.provides(package).into_iter().map(|provide| provide.name));
    }
    let mut found: BTreeMap<String, Index> = BTreeMap::new();
    let ids: Vec<_> = names.iter().flat_map(|name| pool.universe.supplementers(name)).collect();
    for index in pool.of_ids(&ids).into_iter().flatten() {
        let name = &pool.package(index).nevra.name;
        let versions = pool.named(name);
        let best = versions.iter().find(|&&version| excluded.get(version).is_none());
        if best == Some(&index) && !versions.iter().any(|version| chosen.contains(version)) {
            found.insert(name.clone(), index);
        }
    }
    found.into_values().collect()
}
