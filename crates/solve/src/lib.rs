//! Dependency resolution over repository metadata.
//!
//! [`solve`] chooses packages from a universe so that everything that was asked for and everything those
//! packages require is there, and nothing conflicts. The answer depends on the set of packages and the request
//! only, not on their order. If there is no answer an [`Explanation`] says why, in words a person
//! can act on; if there is, [`Answer::why`] tells for each package what brought it in.
//!
//! The search itself is resolvo's; how RPM's dependencies are put to it is described in `encode`. This crate
//! knows package records, not files: reading and verifying them is `lazuli_repo`'s business.

mod diagnose;
mod encode;
mod explanation;
mod features;
mod formula;
mod pool;
mod request;
mod search;
mod solution;
mod transaction;
mod universe;
mod version;
mod weak;

pub use explanation::{Cause, Explanation, Link, Start, Trail, Trouble};
pub use features::is_supported as is_feature_supported;
pub use request::{BadText, Exclusion, Request};
pub use solution::{Answer, Reason, Skipped, Solution};
pub use transaction::{
    Action, InstalledPackage, Job, Keep, Lock, Mark, Options, Plan, Select, Skip, Step, System,
    TransactionError, solve_transaction,
};
pub use universe::{
    DEFAULT_COST, DEFAULT_PRIORITY, List, Member, PackageId, Packages, Repositories, Size, Universe,
    mentioned_names,
};
pub use version::satisfies;

use encode::Excluded;
use formula::Formula;
use lazuli_repo::Package;
use lazuli_rpm::Dependency;
use pool::{Index, Pool};
use search::{Root, Search};
use std::collections::BTreeSet;

/// Why there is no solution.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text of the request is not a dependency.
    #[error(transparent)]
    BadText(#[from] BadText),
    /// The request cannot be met.
    #[error("{0}")]
    Impossible(Box<Explanation>),
}

/// Chooses packages from `universe` that meet `request`.
pub fn solve<'a>(universe: &'a [Package], request: &Request) -> Result<Solution<'a>, Error> {
    let universe = Packages::new(universe);
    let chosen = solve_in(&universe, request)?;
    Ok(chosen.map(|id| universe.package(id)))
}

/// Chooses packages from `universe` that meet `request`.
pub fn solve_in(universe: &dyn Universe, request: &Request) -> Result<Answer<PackageId>, Error> {
    let asked = request
        .install
        .iter()
        .map(|text| Ok((parse(text)?, text.clone())))
        .collect::<Result<Vec<_>, BadText>>()?;
    let dependencies: Vec<Dependency> = asked.iter().map(|(dependency, _)| dependency.clone()).collect();
    let pool = Pool::new(universe, &dependencies);
    let excluded = excluded(&pool, request)?;
    let roots = asked
        .iter()
        .map(|(dependency, text)| {
            let bad = |reason| BadText { text: text.clone(), reason };
            let formula = Formula::of(dependency, &pool).map_err(bad)?;
            Root::new(text, &dependency.to_string(), formula)
                .ok_or_else(|| bad("it combines too many alternatives".to_owned()))
        })
        .collect::<Result<Vec<_>, BadText>>()?;
    // Packages of one name are numbered best first.
    let order = |index| (0, index);
    let mut search = Search::new(&pool, &excluded, &order);
    let mut chosen = search.run(&roots, &BTreeSet::new()).map_err(|conflict| {
        let diagnosis = diagnose::Diagnosis { pool: &pool, excluded: &excluded, roots: &roots };
        Error::Impossible(Box::new(diagnosis.explain(conflict.as_ref(), &search)))
    })?;
    let mut skipped = Vec::new();
    if request.weak {
        let kept = chosen.clone();
        skipped = weak::add(&mut search, &excluded, roots.clone(), &mut chosen, &kept, &weak::Fresh);
    }
    let whys = solution::explain(&pool, &chosen, &roots, request.weak);
    Ok(solution::of(&pool, &roots, whys, skipped))
}

fn parse(text: &str) -> Result<Dependency, BadText> {
    let dependency = Dependency::parse(text.trim())
        .map_err(|error| BadText { text: text.to_owned(), reason: error.to_string() })?;
    if dependency.name.is_empty() {
        return Err(BadText { text: text.to_owned(), reason: "it is empty".to_owned() });
    }
    Ok(dependency)
}

/// The packages that cannot be chosen whatever the dependencies say.
fn excluded<'p>(pool: &'p Pool<'_>, request: &'p Request) -> Result<Excluded<'p>, BadText> {
    let mut exclusions = std::collections::HashMap::new();
    for exclusion in &request.exclude {
        for index in pool.matching_name(&parse(&exclusion.package)?) {
            exclusions.entry(index).or_insert(&exclusion.reason);
        }
    }
    Ok(Excluded::new(move |index: Index| {
        let nevra = &pool.package(index).nevra;
        if let Some(reason) = exclusions.get(&index) {
            return Some(format!("it is excluded: {reason}"));
        }
        let lock = request.locked.iter().find(|lock| lock.name == nevra.name && **lock != *nevra);
        if let Some(lock) = lock {
            return Some(format!("`{}` is locked to {lock}", lock.name));
        }
        wrong_architecture(&nevra.arch, &request.architecture)
    }))
}

/// Why a package for `arch` cannot be installed on a machine of architecture `machine` (empty if
/// any), if so.
fn wrong_architecture(arch: &str, machine: &str) -> Option<String> {
    (!machine.is_empty() && arch != "noarch" && arch != machine)
        .then(|| format!("it is for {arch}, not for {machine}"))
}

#[cfg(test)]
mod tests;
