//! Dependency resolution over repository metadata.
//!
//! [`solve`] chooses packages from a universe so that everything that was asked for and everything those
//! packages require is there, and nothing conflicts. The answer depends on the set of packages and the request
//! only, not on their order. If there is no answer an [`Explanation`] says why, in words a person
//! can act on; if there is, [`Solution::why`] tells for each package what brought it in.
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
mod solution;
mod transaction;
mod universe;
mod version;

pub use explanation::{Cause, Explanation, Link, Trail, Trouble};
pub use features::is_supported as is_feature_supported;
pub use request::{BadText, Exclusion, Request};
pub use solution::{Reason, Skipped, Solution};
pub use transaction::{
    Action, InstalledPackage, Job, Keep, Lock, Mark, Options, Plan, Select, Skip, Step, System,
    TransactionError, solve_transaction,
};
pub use universe::{
    DEFAULT_COST, DEFAULT_PRIORITY, List, Member, PackageId, Packages, Repositories, Size, Universe,
    mentioned_names,
};
pub use version::satisfies;

use encode::{Encoded, Excluded, Problem};
use formula::Formula;
use lazuli_repo::Package;
use lazuli_rpm::Dependency;
use pool::{Index, Pool};
use resolvo::conflict::Conflict;
use resolvo::{Requirement, Solver, UnsolvableOrCancelled};
use std::collections::{BTreeMap, BTreeSet};

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
    let asked = request
        .install
        .iter()
        .map(|text| Ok((parse(text)?, text.clone())))
        .collect::<Result<Vec<_>, BadText>>()?;
    let dependencies: Vec<Dependency> = asked.iter().map(|(dependency, _)| dependency.clone()).collect();
    let pool = Pool::new(universe, &dependencies);
    let excluded = excluded(&pool, request)?;
    let formulas = asked
        .iter()
        .map(|(dependency, text)| {
            let formula = Formula::of(dependency, &pool).and_then(|formula| {
                formula
                    .clauses(true)
                    .map(|_| formula)
                    .ok_or_else(|| "it combines too many alternatives".to_owned())
            });
            formula.map_err(|reason| BadText { text: text.clone(), reason })
        })
        .collect::<Result<Vec<_>, BadText>>()?;
    let problem = Problem::new(&pool, &excluded, &formulas, request.weak);
    let mut search = Search { pool: &pool, asked: &asked, formulas: &formulas, solver: Solver::new(problem) };
    let chosen = search.run(&[], &BTreeSet::new()).map_err(|conflict| match conflict {
        Some(conflict) => {
            let diagnosis = diagnose::Diagnosis { pool: &pool, excluded: &excluded, asked: &asked };
            let explanation = diagnosis.broken();
            let explain = || diagnosis.conflicting(&conflict, &search.solver, &search.origins());
            Error::Impossible(Box::new(explanation.unwrap_or_else(explain)))
        }
        None => Error::Impossible(Box::default()),
    })?;
    if !request.weak {
        return Ok(solution::explain(&pool, &chosen, &asked, false, Vec::new()));
    }
    let (chosen, skipped) = add_weak(&mut search, &chosen, &excluded);
    Ok(solution::explain(&pool, &chosen, &asked, true, skipped))
}

/// Extends a solution by what its packages recommend and what supplements it, as far as it goes. Nothing of
/// the solution is given up for it.
fn add_weak(
    search: &mut Search<'_, '_, '_>,
    hard: &BTreeSet<Index>,
    excluded: &Excluded,
) -> (BTreeSet<Index>, Vec<Skipped>) {
    let pool = search.pool;
    let mut chosen = hard.clone();
    let (mut tried, mut accepted, mut skipped): (Vec<Weak>, Vec<Weak>, Vec<Weak>) = Default::default();
    loop {
        // What was added for a weak dependency may have weak dependencies of its own.
        let more = weak_dependencies(pool, &chosen, &tried, excluded);
        tracing::debug!(packages = chosen.len(), tried = tried.len(), more = more.len(), "weak dependencies");
        if more.is_empty() {
            skipped.retain(|weak| !weak.formula.holds(&|index| chosen.contains(&index)));
            return (chosen, skipped.iter().map(|weak| weak.skipped(pool)).collect());
        }
        tried.extend(more.iter().cloned());
        let (possible, hopeless) = more.into_iter().partition(|weak| weak.formula.holds(&|_| true));
        skipped.extend::<Vec<Weak>>(hopeless);
        let possible: Vec<Weak> = possible;
        // Each is accepted if it goes together with all accepted before it. Whole halves are tried at once:
        // nearly always all of them go together.
        let mut halves = vec![&possible[..]];
        while let Some(part) = halves.pop() {
            let attempt = [&accepted[..], part].concat();
            match search.run(&attempt, hard) {
                Ok(found) => {
                    chosen = found;
                    accepted = attempt;
                }
                Err(_) if part.len() == 1 => skipped.extend_from_slice(part),
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    halves.extend([second, first]);
                }
            }
        }
    }
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
fn excluded(pool: &Pool<'_>, request: &Request) -> Result<Excluded, BadText> {
    let mut excluded = Excluded::new();
    for exclusion in &request.exclude {
        for index in pool.matching_name(&parse(&exclusion.package)?) {
            let reason = format!("it is excluded: {}", exclusion.reason);
            excluded.entry(index).or_insert(reason);
        }
    }
    for locked in &request.locked {
        for &index in pool.named(&locked.name) {
            if pool.package(index).nevra != *locked {
                let reason = format!("`{}` is locked to {locked}", locked.name);
                excluded.entry(index).or_insert(reason);
            }
        }
    }
    for (index, package) in (0..).zip(&pool.packages) {
        let arch = package.nevra.arch.as_str();
        if !request.architecture.is_empty() && arch != "noarch" && arch != request.architecture {
            let reason = format!("it is for {arch}, not for {}", request.architecture);
            excluded.entry(index).or_insert(reason);
        }
        let unknown = package.requires.iter().find(|d| features::is_feature(d) && !features::is_supported(d));
        if let Some(feature) = unknown {
            let reason = format!("it needs the package format feature `{feature}`, which is not implemented");
            excluded.entry(index).or_insert(reason);
        }
    }
    Ok(excluded)
}

/// A weak dependency that is to be tried.
#[derive(Clone)]
struct Weak {
    by: Index,
    dependency: Dependency,
    /// What has to become true.
    formula: Formula,
}

impl Weak {
    fn skipped(&self, pool: &Pool<'_>) -> Skipped {
        Skipped { package: pool.package(self.by).id(), dependency: self.dependency.to_string() }
    }
}

/// The weak dependencies of the chosen packages, and the packages that supplement them, that are not
/// met and not among those already `tried`.
fn weak_dependencies(
    pool: &Pool<'_>,
    chosen: &BTreeSet<Index>,
    tried: &[Weak],
    excluded: &Excluded,
) -> Vec<Weak> {
    let installed = |index: Index| chosen.contains(&index);
    let known = |by: Index, dependency: &Dependency| {
        tried.iter().any(|weak| weak.by == by && weak.dependency == *dependency)
    };
    let mut more = Vec::new();
    for &by in chosen {
        for dependency in &pool.package(by).recommends {
            if let Ok(formula) = Formula::of(dependency, pool)
                && !formula.holds(&installed)
                && !known(by, dependency)
            {
                more.push(Weak { by, dependency: dependency.clone(), formula });
            }
        }
    }
    for (by, package) in (0..).zip(&pool.packages) {
        if package.supplements.is_empty() {
            continue;
        }
        // Only the best version of a name is tried, and none where one is installed.
        let versions = pool.named(&package.nevra.name);
        let best = versions.iter().find(|index| !excluded.contains_key(index));
        if best != Some(&by) || versions.iter().any(|&other| installed(other)) {
            continue;
        }
        for dependency in &package.supplements {
            if let Ok(formula) = Formula::of(dependency, pool)
                && formula.holds(&installed)
                && !known(by, dependency)
            {
                more.push(Weak { by, dependency: dependency.clone(), formula: Formula::Any([by].into()) });
            }
        }
    }
    more
}

/// The solver, asked several times about one universe: what it has looked up it keeps.
struct Search<'s, 'p, 'a> {
    pool: &'p Pool<'a>,
    asked: &'s [(Dependency, String)],
    formulas: &'s [Formula],
    solver: Solver<Problem<'p, 'a>>,
}

impl Search<'_, '_, '_> {
    /// The packages that meet the request, these weak dependencies and contain these packages; or the
    /// solver's proof that there are none.
    fn run(&mut self, weak: &[Weak], kept: &BTreeSet<Index>) -> Result<BTreeSet<Index>, Option<Conflict>> {
        let problem = self.solver.provider();
        let mut encoded = Encoded::default();
        for formula in self.formulas.iter().chain(weak.iter().map(|weak| &weak.formula)) {
            for clause in formula.clauses(true).unwrap_or_default() {
                problem.add_clause(&mut encoded, &clause, None);
            }
        }
        for &package in kept {
            encoded.requirements.push(problem.exactly(package).into());
        }
        let constraints = problem.constraints(&encoded);
        let task = resolvo::Problem::new().requirements(encoded.requirements).constraints(constraints);
        match self.solver.solve(task) {
            Ok(solvables) => {
                let problem = self.solver.provider();
                Ok(solvables.into_iter().filter_map(|id| problem.index(id)).collect())
            }
            Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(Some(conflict)),
            Err(UnsolvableOrCancelled::Cancelled(_)) => Err(None),
        }
    }

    /// By which text of the request each of its requirements came about.
    fn origins(&self) -> BTreeMap<Requirement, String> {
        let mut origins = BTreeMap::new();
        for (formula, (_, text)) in self.formulas.iter().zip(self.asked) {
            for clause in formula.clauses(true).unwrap_or_default() {
                let requirement = self.solver.provider().add_clause(&mut Encoded::default(), &clause, None);
                if let Some(requirement) = requirement {
                    origins.entry(requirement).or_insert_with(|| text.clone());
                }
            }
        }
        origins
    }
}

#[cfg(test)]
mod tests;
