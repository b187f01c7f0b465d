//! Changing an installed system.
//!
//! [`solve_transaction`] takes what is installed, what could be installed and what a person wants, and answers
//! with a [`Plan`]: which packages come, which go, which are exchanged, and why. The rules:
//!
//! - What is installed stays as it is unless a job or an option says otherwise: nothing is removed without a
//!   removal job or [`Options::allow_erasing`], nothing becomes older without a job that says so.
//! - Of all the packages that could stay as many stay as can: a plan has no needless step.
//! - The same system, repositories and jobs always give the same plan.
//! - Requirements of installed packages that are not met today are nobody's fault and stand in nobody's way.

mod cleanup;
mod job;
mod options;
mod plan;
mod planner;
mod rules;
mod select;
mod steps;
mod system;
mod tasks;
#[cfg(test)]
mod tests;

pub use job::{Job, Select};
pub use options::{Lock, Options};
pub use plan::{Action, Mark, Plan, Skip, Step};
pub use system::{InstalledPackage, Keep, System};

use crate::encode::Excluded;
use crate::explanation::Explanation;
use crate::pool::{Index, Pool};
use crate::search::{Purpose, Search};
use crate::solution::Why;
use crate::universe::{Packages, Universe};
use cleanup::Upkeep;
use lazuli_rpm::Dependency;
use planner::{Outcome, Planner};
use rules::Rules;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use steps::Change;
use tasks::{Reader, Tasks};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// What a job names is not there.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// The jobs make no sense by themselves.
    #[error("{0}")]
    BadJob(String),
    /// A protected package would have to go.
    #[error("{0}")]
    Protected(String),
    /// The jobs cannot be carried out.
    #[error("{0}")]
    Impossible(Box<Explanation>),
}

/// Plans how to carry out jobs on a system.
pub fn solve_transaction(
    universe: &dyn Universe,
    system: &dyn System,
    jobs: &[Job],
    options: &Options,
) -> Result<Plan, TransactionError> {
    let mut error = match plan(universe, system, jobs, options) {
        Ok(plan) => return Ok(plan),
        Err(error) => error,
    };
    if let TransactionError::Impossible(explanation) = &mut error {
        explanation.hints = hints(universe, system, jobs, options);
    }
    Err(error)
}

/// Which options would make jobs possible, in words: each is tried.
fn hints(universe: &dyn Universe, system: &dyn System, jobs: &[Job], options: &Options) -> Vec<String> {
    let mut hints = Vec::new();
    if options.best
        && plan(universe, system, jobs, &Options { best: false, ..options.clone() })
            .is_ok_and(|p| !p.is_empty())
    {
        hints.push("with --nobest an earlier version can be had".to_owned());
    }
    if !options.allow_erasing
        && let Ok(plan) = plan(universe, system, jobs, &Options { allow_erasing: true, ..options.clone() })
    {
        let list = |verb: &str, wanted: fn(&Action) -> bool| {
            let steps = plan.steps.iter().filter(|step| wanted(&step.action));
            let names: Vec<String> =
                steps.map(|step| step.old.as_ref().unwrap_or(&step.nevra).to_string()).collect();
            let more = names.len().saturating_sub(5);
            let dots = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!names.is_empty()).then(|| format!("{verb} {}{dots}", names[..names.len() - more].join(", ")))
        };
        let removes = list("remove", |action| matches!(action, Action::Remove { .. }));
        let lowers = list("make older", |action| matches!(action, Action::Downgrade { .. }));
        let what: Vec<String> = removes.into_iter().chain(lowers).collect();
        if !what.is_empty() {
            hints.push(format!("with --allowerasing it can be done; that would {}", what.join(" and ")));
        }
    }
    if !options.skip_broken
        && jobs.len() > 1
        && plan(universe, system, jobs, &Options { skip_broken: true, ..options.clone() })
            .is_ok_and(|plan| !plan.is_empty())
    {
        hints.push("with --skip-broken the rest can be done without it".to_owned());
    }
    hints
}

fn plan(
    universe: &dyn Universe,
    system: &dyn System,
    jobs: &[Job],
    options: &Options,
) -> Result<Plan, TransactionError> {
    // A removal brings nothing new, so what is available does not matter.
    let nothing = Packages::new(&[]);
    let takes = |job: &Job| matches!(job, Job::Remove(_) | Job::Autoremove | Job::Mark { .. });
    let universe = if jobs.iter().all(takes) { &nothing } else { universe };
    let asked: Vec<Dependency> = jobs
        .iter()
        .filter_map(|job| match job {
            Job::Install(Select::Text(text)) | Job::Swap { install: Select::Text(text), .. } => {
                Dependency::parse(text).ok()
            }
            _ => None,
        })
        .collect();
    let pool = Pool::new(universe, &asked).with_system(system, &options.install_only);
    let rules = Rules::new(options);
    let tasks = Reader { pool: &pool, rules: &rules, options }.read(jobs)?;
    let planner = Planner { pool: &pool, rules: &rules, options, tasks: &tasks };
    let lifted = planner.lifted();
    let order = |index: Index| planner.order(&lifted, index);
    let excluded = Excluded::new(|index| planner.forbid(index));
    let mut search = Search::new(&pool, &excluded, &order);
    let outcome = planner.search(&mut search, &excluded)?;
    Ok(finish(&planner, &outcome))
}

/// Makes a plan of what the search found: cleans up and says what that means step by step.
fn finish(planner: &Planner<'_, '_>, outcome: &Outcome) -> Plan {
    let Planner { pool, rules, options, tasks } = *planner;
    let before: BTreeSet<Index> = pool.all_installed().into_iter().collect();
    let replaced = planner.replaced(&outcome.chosen);
    let keep = keeps(pool, tasks, outcome, &before, &replaced);
    let mut after = outcome.chosen.clone();
    let mut notes = tasks.notes.clone();
    let mut cleaned: BTreeMap<Index, String> = BTreeMap::new();

    for (&new, &old) in &replaced {
        // A package that is there twice, after a transaction that was cut short, is there once from now on.
        let named = pool.named(&pool.package(new).nevra.name);
        for &other in named.iter().filter(|&&other| other != old && before.contains(&other)) {
            if !pool.is_side_by_side(other) && pool.package(other).nevra.arch == pool.package(old).nevra.arch
            {
                after.remove(&other);
                cleaned.insert(other, "a duplicate".to_owned());
            }
        }
    }
    let upkeep = Upkeep { pool, rules, weak: options.weak };
    for index in upkeep.surplus(&after, options.install_only_limit, &mut notes) {
        after.remove(&index);
        let limit = options.install_only_limit;
        cleaned
            .insert(index, format!("only {limit} versions of {} are kept", pool.package(index).nevra.name));
    }
    let removes = tasks.autoremove || (options.clean_requirements && !tasks.gone.is_empty());
    if removes {
        // A removal takes with it what it makes superfluous, not what was so before.
        let orphans = if tasks.autoremove {
            BTreeSet::new()
        } else {
            upkeep.unneeded(&before, &keep, &BTreeSet::new())
        };
        let unneeded = upkeep.unneeded(&after, &keep, &orphans);
        let rest: BTreeSet<Index> = after.difference(&unneeded).copied().collect();
        // Rich dependencies can make a package depend on the absence of another.
        if upkeep.broken(&after, &rest).is_empty() {
            cleaned.extend(unneeded.iter().map(|&index| (index, "needed by nothing any more".to_owned())));
            after = rest;
        } else {
            notes.push("packages that nothing needs any more stay: others depend on them in part".to_owned());
        }
    }
    let change = Change {
        pool,
        tasks,
        outcome,
        before: &before,
        after: &after,
        keep: &keep,
        replaced: &replaced,
        cleaned: &cleaned,
    };
    let steps = change.steps();
    let mut marks = Vec::new();
    for &index in before.intersection(&after) {
        // A reinstalled package gets its reason with its step.
        let again = tasks.reinstalls.contains_key(&index);
        let Some(package) = pool.installed(index).filter(|_| !again) else { continue };
        let now = keep.get(&index).copied().unwrap_or(package.keep);
        if now != package.keep {
            marks.push(Mark { installed: package.hnum, nevra: package.nevra.clone(), keep: now });
        }
    }
    marks.sort_by(|a, b| (&a.nevra, a.installed).cmp(&(&b.nevra, b.installed)));
    for goal in &tasks.goals {
        let mut there = Vec::new();
        goal.root.formula.positive_packages(&mut there);
        there.retain(|index| before.contains(index) && after.contains(index));
        if let Some(&index) = there.first().filter(|index| !tasks.reinstalls.contains_key(index)) {
            notes.push(format!("{} is already installed", pool.package(index).id()));
        }
    }
    notes.sort();
    notes.dedup();
    let mut problems = tasks.skipped.clone();
    problems.extend(outcome.skips.iter().cloned());
    Plan { steps, marks, problems, notes, skipped: outcome.skipped.clone() }
}

/// Why each package is there, before and after.
fn keeps(
    pool: &Pool<'_>,
    tasks: &Tasks,
    outcome: &Outcome,
    before: &BTreeSet<Index>,
    replaced: &HashMap<Index, Index>,
) -> HashMap<Index, Keep> {
    let mut keep: HashMap<Index, Keep> = HashMap::new();
    for &index in before {
        keep.extend(pool.installed(index).map(|package| (index, package.keep)));
    }
    for (&index, why) in outcome.whys.iter().filter(|(index, _)| !before.contains(index)) {
        let own = match why {
            Why::Requested(place) if outcome.roots[*place].purpose == Purpose::Asked => Keep::User,
            Why::Requested(_) | Why::Required(..) => Keep::Dependency,
            Why::Recommended(..) | Why::Supplements(_) => Keep::Weak,
        };
        let name = &pool.package(index).nevra.name;
        // What takes the place of others is wanted as much as they were.
        let old = replaced.get(&index).copied().into_iter();
        let old = old.chain(
            before
                .iter()
                .copied()
                .filter(|old| !outcome.chosen.contains(old) && tasks::replaces(pool, index, *old)),
        );
        let beside = |old: &&Index| pool.is_side_by_side(index) && pool.package(**old).nevra.name == *name;
        let old = old.chain(before.iter().filter(beside).copied());
        let before = old.filter_map(|old| Some(pool.installed(old)?.keep)).max();
        let asked = own == Keep::User;
        keep.insert(index, if asked { own } else { before.unwrap_or(own) });
    }
    // Asking for what is there as a dependency makes it wanted.
    for goal in tasks.goals.iter().filter(|goal| goal.root.purpose == Purpose::Asked) {
        let mut there = Vec::new();
        goal.root.formula.positive_packages(&mut there);
        for index in there.into_iter().filter(|index| outcome.chosen.contains(index)) {
            if !tasks.reinstalls.contains_key(&index) {
                keep.insert(index, Keep::User);
            }
        }
    }
    for (&index, &wanted) in &tasks.marks {
        keep.insert(index, wanted);
        keep.extend(replaced.iter().filter(|(_, old)| **old == index).map(|(&new, _)| (new, wanted)));
    }
    keep
}
