//! From what is to be there to the steps of a plan.

use super::cleanup::is_true;
use super::plan::{Action, Step};
use super::planner::Outcome;
use super::system::Keep;
use super::tasks::{Tasks, replaces};
use crate::encode::{bans, needs};
use crate::pool::{Index, Origin, Pool};
use crate::search::Purpose;
use crate::solution::Why;
use crate::universe::{List, PackageId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Everything that steps are made from.
pub(crate) struct Change<'c, 'a> {
    pub(crate) pool: &'c Pool<'a>,
    pub(crate) tasks: &'c Tasks,
    pub(crate) outcome: &'c Outcome,
    /// What is installed today.
    pub(crate) before: &'c BTreeSet<Index>,
    /// What is to be.
    pub(crate) after: &'c BTreeSet<Index>,
    /// Why each of them is there.
    pub(crate) keep: &'c HashMap<Index, Keep>,
    /// New packages with the installed ones whose place they take.
    pub(crate) replaced: &'c HashMap<Index, Index>,
    /// Installed packages that go because nobody needs them, with the words for it.
    pub(crate) cleaned: &'c BTreeMap<Index, String>,
}

impl Change<'_, '_> {
    /// The steps, sorted.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut paired: BTreeSet<Index> = BTreeSet::new();
        let came: Vec<Index> = self.after.difference(self.before).copied().collect();
        for &new in &came {
            let Origin::Available(package) = self.pool.package(new).origin else { continue };
            let old = self.replaced.get(&new).copied().filter(|old| !self.after.contains(old));
            let action = match old.and_then(|old| Some((old, self.pool.installed(old)?.hnum))) {
                None => Action::Install { package },
                Some((old, from)) => {
                    paired.insert(old);
                    let evr = |index: Index| &self.pool.package(index).nevra.evr;
                    if evr(new) < evr(old) {
                        Action::Downgrade { package, from }
                    } else {
                        Action::Upgrade { package, from }
                    }
                }
            };
            steps.push(self.step(action, new, old, self.why_new(new, old)));
        }
        for (&index, &package) in &self.tasks.reinstalls {
            if let (true, Some(installed)) = (self.after.contains(&index), self.pool.installed(index)) {
                let action = Action::Reinstall { package, from: installed.hnum };
                steps.push(self.step(action, index, Some(index), "asked for".to_owned()));
            }
        }
        for &old in self.before.difference(self.after) {
            if paired.contains(&old) {
                continue;
            }
            let Some(installed) = self.pool.installed(old).map(|package| package.hnum) else { continue };
            let by = came.iter().copied().find(|&new| replaces(self.pool, new, old));
            let obsolete = by.and_then(|new| Some((new, self.available(new)?)));
            let (action, why) = match obsolete {
                Some((new, by)) => (
                    Action::Obsolete { installed, by },
                    format!("obsoleted by {}", self.pool.package(new).id()),
                ),
                None => (Action::Remove { installed }, self.why_gone(old)),
            };
            steps.push(self.step(action, old, Some(old), why));
        }
        let rank = |action: &Action| match action {
            Action::Install { .. } => 0,
            Action::Upgrade { .. } => 1,
            Action::Downgrade { .. } => 2,
            Action::Reinstall { .. } => 3,
            Action::Obsolete { .. } => 4,
            Action::Remove { .. } => 5,
        };
        steps.sort_by(|a, b| {
            rank(&a.action)
                .cmp(&rank(&b.action))
                .then_with(|| a.nevra.cmp(&b.nevra))
                .then_with(|| a.action.cmp(&b.action))
        });
        steps
    }

    fn available(&self, index: Index) -> Option<PackageId> {
        match self.pool.package(index).origin {
            Origin::Available(id) => Some(id),
            Origin::Installed(_) => None,
        }
    }

    fn step(&self, action: Action, index: Index, old: Option<Index>, why: String) -> Step {
        let keep = self.keep.get(&index).or_else(|| self.keep.get(&old?)).copied().unwrap_or(Keep::User);
        let old = old.map(|old| self.pool.package(old).nevra.clone());
        Step { action, nevra: self.pool.package(index).nevra.clone(), old, keep, why }
    }

    /// Why a package comes.
    fn why_new(&self, new: Index, old: Option<Index>) -> String {
        let id = |index: Index| self.pool.package(index).id();
        match self.outcome.whys.get(&new) {
            Some(Why::Requested(place)) => {
                let root = &self.outcome.roots[*place];
                match root.purpose {
                    Purpose::Asked => format!("asked for by `{}`", root.text),
                    Purpose::Upgrade => {
                        let evr = |index: Index| &self.pool.package(index).nevra.evr;
                        let older = old.is_some_and(|old| evr(new) < evr(old));
                        if older { "an earlier version" } else { "a better version" }.to_owned()
                    }
                    Purpose::Replacement => {
                        let gone = self.before.difference(self.after).copied();
                        let mut replaced = gone.filter(|&old| replaces(self.pool, new, old)).map(id);
                        replaced.next().map_or_else(
                            || "replaces what is installed".to_owned(),
                            |old| format!("replaces {old}"),
                        )
                    }
                    Purpose::Stay => old
                        .and_then(|old| self.blame(old, Some(new)))
                        .unwrap_or_else(|| "takes the place of what is installed".to_owned()),
                }
            }
            Some(Why::Required(by, dependency)) => format!("required by {} ({dependency})", id(*by)),
            Some(Why::Recommended(by, dependency)) => {
                format!("recommended by {} ({dependency})", id(*by))
            }
            Some(Why::Supplements(what)) => format!("supplements {what}"),
            None => "needed".to_owned(),
        }
    }

    /// Why an installed package goes.
    fn why_gone(&self, old: Index) -> String {
        if let Some(text) = self.tasks.gone.get(&old) {
            return format!("asked for by `{text}`");
        }
        if let Some(why) = self.cleaned.get(&old) {
            return why.clone();
        }
        self.blame(old, None).unwrap_or_else(|| "cannot stay with the other changes".to_owned())
    }

    /// What would be wrong if an installed package stayed (in place of `new`).
    fn blame(&self, old: Index, new: Option<Index>) -> Option<String> {
        let mut with: BTreeSet<Index> = self.after.clone();
        with.insert(old);
        if let Some(new) = new {
            with.remove(&new);
        }
        let own = needs(self.pool, old).unwrap_or_default();
        let unmet = own.iter().find(|(_, clauses)| !clauses.iter().all(|clause| is_true(clause, &with)));
        if let Some((dependency, _)) = unmet {
            return Some(format!("requires {dependency}, which is there no more"));
        }
        let changed = with.iter().copied().filter(|index| !self.before.contains(index));
        for index in changed.chain([old]) {
            let id = self.pool.package(index).id();
            let unmet = needs(self.pool, index).unwrap_or_default().into_iter();
            let mut unmet = unmet.filter(|(_, clauses)| !clauses.iter().all(|clause| is_true(clause, &with)));
            if let Some((dependency, _)) = unmet.next() {
                return Some(format!("{id} requires {dependency}"));
            }
            let unmet = bans(self.pool, index).unwrap_or_default().into_iter();
            let mut unmet = unmet.filter(|(_, clauses)| !clauses.iter().all(|clause| is_true(clause, &with)));
            if let Some((dependency, _)) = unmet.next() {
                return Some(format!("{id} conflicts with {dependency}"));
            }
            let obsoletes = self.pool.list(index, List::Obsoletes).iter();
            let hit = |d: &&lazuli_rpm::Dependency| {
                self.pool
                    .obsoleted(d, index)
                    .iter()
                    .any(|other| *other == old || new.is_none() && with.contains(other))
            };
            if let Some(dependency) = obsoletes.clone().find(hit) {
                return Some(format!("{id} obsoletes {dependency}"));
            }
        }
        None
    }
}
