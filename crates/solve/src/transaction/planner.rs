//! The search for a plan.
//!
//! What must be goes to the solver as requirements: the goals of the jobs, and for every installed package that
//! cannot go, that it or something in its place is there. What should be is then added wish by wish as long
//! as there is a solution, in this order:
//!
//! 1. where removals are allowed: every other installed package, or something in its place, is there;
//! 2. where packages may become older: every installed package that does not become so;
//! 3. replacements of installed packages by others that obsolete them;
//! 4. the best version of what was asked for, and of what is to be upgraded; failing that the next best;
//! 5. every installed package that is not upgraded stays exactly as it is;
//! 6. new dependencies are there in their best versions;
//! 7. weak dependencies of what is new.
//!
//! A wish that the solution at hand fulfils anyway costs nothing, so nearly always the solver runs once or twice.

use super::TransactionError;
use super::options::Options;
use super::plan::Skip;
use super::rules::Rules;
use super::tasks::{Goal, Lift, Tasks, replaces};
use crate::diagnose::Diagnosis;
use crate::encode::Excluded;
use crate::explanation::{Explanation, Start};
use crate::formula::Formula;
use crate::pool::{Index, Pool};
use crate::search::{Purpose, Root, Search};
use crate::solution::{Skipped, Why, explain};
use crate::universe::List;
use crate::weak::{self, Novelty};
use lazuli_rpm::Dependency;
use resolvo::conflict::Conflict;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most held-back packages that are explained one by one.
const MAX_EXPLAINED: usize = 8;
/// The most versions of a package that are tried one after the other, best first.
const MAX_STEPS_DOWN: usize = 6;

/// What is to be there, and how that came about.
pub(crate) struct Outcome {
    /// Everything that is to be there.
    pub(crate) chosen: BTreeSet<Index>,
    /// What led to each of them; roots by their place in `roots`.
    pub(crate) whys: BTreeMap<Index, Why>,
    pub(crate) roots: Vec<Root>,
    pub(crate) skips: Vec<Skip>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Everything a search needs to know.
pub(crate) struct Planner<'s, 'a> {
    pub(crate) pool: &'s Pool<'a>,
    pub(crate) rules: &'s Rules<'s>,
    pub(crate) options: &'s Options,
    pub(crate) tasks: &'s Tasks,
}

impl Planner<'_, '_> {
    /// Why a package must not be chosen, if so.
    pub(crate) fn forbid(&self, index: Index) -> Option<String> {
        let record = self.pool.package(index);
        if record.is_installed() {
            return self.tasks.gone.contains_key(&index).then(|| "it is to be removed".to_owned());
        }
        if let Some(reason) = self.rules.forbid(self.pool, index) {
            return Some(reason);
        }
        let named = self.pool.named(&record.nevra.name);
        let there = named.iter().copied().find(|&other| {
            self.pool.package(other).is_installed() && self.pool.package(other).slot == record.slot
        })?;
        if self.tasks.gone.contains_key(&there) {
            return Some(format!("`{}` is to be removed", record.nevra.name));
        }
        let older = record.nevra.evr < self.pool.package(there).nevra.evr;
        let allowed = self.tasks.lower || self.options.allow_erasing || self.tasks.explicit.contains(&index);
        (older && !allowed)
            .then(|| format!("it is older than {}, which is installed", self.pool.package(there).id()))
    }

    /// In which order the versions of a package are tried.
    pub(crate) fn order(&self, lifted: &BTreeSet<u32>, index: Index) -> (u8, Index) {
        let record = self.pool.package(index);
        let lift = lifted.contains(&record.slot);
        if record.is_installed() {
            return (u8::from(lift), index);
        }
        let named = self.pool.named(&record.nevra.name);
        let here = named.iter().copied().find(|&i| self.pool.package(i).is_installed());
        let older = here.is_some_and(|i| record.nevra.evr < self.pool.package(i).nevra.evr);
        (if older { 2 } else { u8::from(!lift) }, index)
    }

    /// The slots that are to be lifted.
    pub(crate) fn lifted(&self) -> BTreeSet<u32> {
        let lifts = self.tasks.lifts.iter().filter_map(|lift| lift.installed);
        let goals = self.tasks.goals.iter().filter(|_| self.options.best);
        let goals = goals.filter_map(|goal| match &goal.best.as_ref()?.formula {
            Formula::Any(set) => set.first().copied(),
            _ => None,
        });
        lifts.chain(goals).map(|index| self.pool.package(index).slot).collect()
    }

    /// That an installed package, or something in its place, is there.
    fn slot(&self, index: Index) -> Root {
        let record = self.pool.package(index);
        let mut any = vec![index];
        let named = self.pool.named(&record.nevra.name);
        any.extend(named.iter().copied().filter(|&other| {
            other != index && self.pool.package(other).slot == record.slot && self.forbid(other).is_none()
        }));
        let ids = self.pool.universe.obsoleters(&record.nevra.name);
        let new = self.pool.of_ids(&ids).into_iter().flatten();
        let invited = |new: Index| {
            let asked = |goal: &Goal| {
                let mut packages = Vec::new();
                goal.root.formula.positive_packages(&mut packages);
                packages.contains(&new)
            };
            self.options.obsoletes || self.tasks.goals.iter().any(asked)
        };
        any.extend(
            new.filter(|&new| replaces(self.pool, new, index) && self.forbid(new).is_none() && invited(new)),
        );
        let mut seen = BTreeSet::new();
        any.retain(|&package| seen.insert(package));
        Root::any(&record.id(), any).with(Purpose::Stay)
    }

    /// That an installed package, or something in its place that is not older, is there.
    fn rising(&self, index: Index) -> Root {
        let mut root = self.slot(index);
        let own = &self.pool.package(index).nevra;
        if let Formula::Any(set) = &root.formula {
            let older = |i: Index| {
                let other = &self.pool.package(i).nevra;
                other.name == own.name && other.evr < own.evr
            };
            let rest = set.iter().copied().filter(|&i| !older(i)).collect();
            root = Root::any(&root.text, rest).with(Purpose::Stay);
        }
        root
    }

    /// Searches.
    pub(crate) fn search(
        &self,
        search: &mut Search<'_, '_>,
        excluded: &Excluded<'_>,
    ) -> Result<Outcome, TransactionError> {
        let none = BTreeSet::new();
        let mut skips: Vec<Skip> = Vec::new();
        let staying: Vec<Index> = self
            .pool
            .all_installed()
            .into_iter()
            .filter(|index| !self.tasks.gone.contains_key(index))
            .collect();
        let mut hard: Vec<Root> = Vec::new();
        let mut loose: Vec<(Index, Root)> = Vec::new();
        for &index in &staying {
            let root = self.slot(index);
            if self.rules.is_running(self.pool, index) {
                hard.push(Root::any(&root.text, vec![index]).with(Purpose::Stay));
            } else if !self.tasks.removal || self.rules.protect(self.pool, index).is_some() {
                hard.push(root);
            } else {
                loose.push((index, root));
            }
        }
        let mut goals: Vec<Root> = Vec::new();
        let mut better: BTreeSet<usize> = BTreeSet::new();
        for Goal { root, best } in &self.tasks.goals {
            goals.push(root.clone());
            // The wish for the best is part of the goal where the best is insisted on.
            if let (true, Some(best)) = (self.options.best, best) {
                better.insert(goals.len());
                goals.push(best.clone().with(root.purpose));
            }
        }
        if self.options.best && !self.options.skip_broken {
            goals.extend(self.tasks.lifts.iter().map(|lift| self.lift(lift, 1)));
        }
        let mut accepted: Vec<Root> = goals.iter().chain(&hard).cloned().collect();
        let mut chosen = match search.run(&accepted, &none) {
            Ok(chosen) => chosen,
            Err(conflict) if !self.options.skip_broken => {
                let explanation = self.explanation(conflict.as_ref(), search, excluded, &accepted);
                return Err(self.impossible(explanation));
            }
            Err(_) => {
                accepted = hard;
                let mut chosen = search.run(&accepted, &none).map_err(|conflict| {
                    self.impossible(self.explanation(conflict.as_ref(), search, excluded, &accepted))
                })?;
                for place in search.extend(&mut accepted, &mut chosen, &goals, &none) {
                    let explanation = self.refusal(search, excluded, &accepted, &goals[place]);
                    let text = &goals[place].text;
                    let what = if better.contains(&place) {
                        format!("the best version of `{text}` is held back")
                    } else {
                        format!("`{text}` is left out")
                    };
                    skips.push(Skip { what, explanation });
                }
                chosen
            }
        };

        let slots: Vec<Root> = loose.iter().map(|(_, root)| root.clone()).collect();
        let refused = search.extend(&mut accepted, &mut chosen, &slots, &none);
        let mut going: BTreeSet<Index> = refused.iter().map(|&place| loose[place].0).collect();
        let mut coming: BTreeSet<Index> = BTreeSet::new();

        if self.options.allow_erasing && !self.tasks.lower {
            let slots = staying.iter().filter(|index| !going.contains(index));
            let rising: Vec<Root> = slots.map(|&index| self.rising(index)).collect();
            search.extend(&mut accepted, &mut chosen, &rising, &none);
        }

        let replacements: Vec<Root> = self
            .tasks
            .replacements
            .iter()
            .map(|&new| Root::any(&self.pool.package(new).id(), vec![new]).with(Purpose::Replacement))
            .collect();
        let refused: BTreeSet<usize> =
            search.extend(&mut accepted, &mut chosen, &replacements, &none).into_iter().collect();
        for (place, &new) in self.tasks.replacements.iter().enumerate() {
            if !refused.contains(&place) {
                coming.insert(new);
                going.extend(staying.iter().filter(|&&old| replaces(self.pool, new, old)));
            }
        }

        if !self.options.best {
            let best: Vec<Root> = self.tasks.goals.iter().filter_map(|goal| goal.best.clone()).collect();
            // An installed version that will do is not exchanged for a better one.
            let installed = |root: &&Root| root.formula.holds(&|index| chosen.contains(&index));
            let best: Vec<Root> =
                best.iter().filter(|root| installed(root) || self.is_new(root)).cloned().collect();
            search.extend(&mut accepted, &mut chosen, &best, &none);
        }
        let lifted = self.lifts(search, excluded, &mut accepted, &mut chosen, &coming, &mut skips);

        let stay: Vec<Root> = staying
            .iter()
            .filter(|index| !lifted.contains(index) && !going.contains(index))
            .map(|&index| Root::any(&self.pool.package(index).id(), vec![index]).with(Purpose::Stay))
            .collect();
        search.extend(&mut accepted, &mut chosen, &stay, &none);

        // These wishes are no reasons for anything to be there: they are only about versions.
        let versions: Vec<Root> = self.newest(&chosen);
        let count = accepted.len();
        search.extend(&mut accepted, &mut chosen, &versions, &none);
        accepted.truncate(count);

        // What was asked for explains more than what merely stays.
        accepted.sort_by_key(|root| root.purpose);
        let mut whys = explain(self.pool, &chosen, &accepted, false);
        chosen = whys.keys().copied().collect();
        let mut skipped = Vec::new();
        if self.options.weak {
            let kept = chosen.clone();
            let replaced = self.replaced(&chosen);
            let changes = Changes { pool: self.pool, rules: self.rules, replaced };
            skipped = weak::add(search, excluded, accepted.clone(), &mut chosen, &kept, &changes);
            // Nothing that was there before the weak dependencies may be lost for want of a reason.
            for (index, why) in explain(self.pool, &chosen, &accepted, true) {
                whys.entry(index).or_insert(why);
            }
            chosen = whys.keys().copied().collect();
        }
        tracing::debug!(packages = self.pool.len(), runs = search.runs, "searched for a plan");
        Ok(Outcome { chosen, whys, roots: accepted, skips, skipped })
    }

    /// That new dependencies are there in their best versions, where they are not.
    fn newest(&self, chosen: &BTreeSet<Index>) -> Vec<Root> {
        let new = chosen.iter().filter(|&&index| !self.pool.package(index).is_installed());
        let mut names: Vec<&str> = new.map(|&index| self.pool.package(index).nevra.name.as_str()).collect();
        names.sort_unstable();
        let fresh = names.into_iter().filter(|name| !self.pool.is_name_installed(name));
        let best = |name: &str| self.pool.named(name).iter().copied().find(|&i| self.forbid(i).is_none());
        let open = fresh.filter_map(best).filter(|index| !chosen.contains(index));
        open.map(|index| Root::any(&self.pool.package(index).id(), vec![index])).collect()
    }

    /// Whether a goal is about something of which no version is installed.
    fn is_new(&self, root: &Root) -> bool {
        let mut packages = Vec::new();
        root.formula.positive_packages(&mut packages);
        packages.iter().all(|&index| {
            let named = self.pool.named(&self.pool.package(index).nevra.name);
            !named.iter().any(|&other| self.pool.package(other).is_installed())
        })
    }

    /// That one of the best `count` versions is there.
    fn lift(&self, lift: &Lift, count: usize) -> Root {
        let targets = lift.targets[..count.min(lift.targets.len())].to_vec();
        Root::any(&self.pool.package(targets[0]).id(), targets).with(Purpose::Upgrade)
    }

    /// Upgrades what can be upgraded, to the best version that can be had. Returns what was.
    fn lifts(
        &self,
        search: &mut Search<'_, '_>,
        excluded: &Excluded<'_>,
        accepted: &mut Vec<Root>,
        chosen: &mut BTreeSet<Index>,
        coming: &BTreeSet<Index>,
        skips: &mut Vec<Skip>,
    ) -> BTreeSet<Index> {
        let none = BTreeSet::new();
        let mut lifted = BTreeSet::new();
        // Versions that are replaced by another package are none to upgrade to.
        let replaced = |&target: &Index| coming.iter().any(|&new| replaces(self.pool, new, target));
        let open: Vec<Lift> = self
            .tasks
            .lifts
            .iter()
            .map(|lift| Lift {
                installed: lift.installed,
                targets: lift.targets.iter().copied().filter(|target| !replaced(target)).collect(),
            })
            .filter(|lift| !lift.targets.is_empty())
            .collect();
        let mut open: Vec<&Lift> = open.iter().collect();
        let mut held: Vec<&Lift> = Vec::new();
        let mut count = 1;
        while !open.is_empty() {
            let wishes: Vec<Root> = open.iter().map(|lift| self.lift(lift, count)).collect();
            let refused: BTreeSet<usize> =
                search.extend(accepted, chosen, &wishes, &none).into_iter().collect();
            if count == 1 {
                held = refused.iter().map(|&place| open[place]).collect();
                for &place in refused.iter().take(MAX_EXPLAINED) {
                    let explanation = self.refusal(search, excluded, accepted, &wishes[place]);
                    skips.push(Skip { what: format!("{} is held back", wishes[place].text), explanation });
                }
            }
            let done = open.iter().enumerate().filter(|(place, _)| !refused.contains(place));
            lifted.extend(done.filter_map(|(_, lift)| lift.installed));
            open =
                refused.iter().map(|&place| open[place]).filter(|lift| lift.targets.len() > count).collect();
            count = if count < MAX_STEPS_DOWN { count + 1 } else { usize::MAX };
        }
        for lift in held.iter().skip(MAX_EXPLAINED) {
            let what = format!("{} is held back", self.pool.package(lift.targets[0]).id());
            skips.push(Skip { what, explanation: None });
        }
        lifted
    }

    fn explanation(
        &self,
        conflict: Option<&Conflict>,
        search: &Search<'_, '_>,
        excluded: &Excluded<'_>,
        roots: &[Root],
    ) -> Explanation {
        Diagnosis { pool: self.pool, excluded, roots }.explain(conflict, search)
    }

    /// Why a wish could not be fulfilled besides what was accepted.
    fn refusal(
        &self,
        search: &mut Search<'_, '_>,
        excluded: &Excluded<'_>,
        accepted: &[Root],
        wish: &Root,
    ) -> Option<Explanation> {
        let roots: Vec<Root> = std::iter::once(wish).chain(accepted).cloned().collect();
        match search.run(&roots, &BTreeSet::new()) {
            Ok(_) => None,
            Err(conflict) => Some(self.explanation(conflict.as_ref(), search, excluded, &roots)),
        }
    }

    /// The error for jobs that cannot be carried out.
    fn impossible(&self, explanation: Explanation) -> TransactionError {
        let names: HashMap<String, Index> = self
            .pool
            .all_installed()
            .into_iter()
            .map(|index| (self.pool.package(index).id(), index))
            .collect();
        let held = explanation
            .troubles
            .iter()
            .flat_map(|trouble| &trouble.trails)
            .filter(|trail| trail.start == Start::Installed);
        let protected: BTreeMap<&str, &str> = held
            .filter_map(|trail| names.get_key_value(&trail.request))
            .filter_map(|(id, &index)| Some((id.as_str(), self.rules.protect(self.pool, index)?)))
            .collect();
        match protected.first_key_value() {
            Some((package, reason)) if self.tasks.removal => TransactionError::Protected(format!(
                "{package} would have to go, but {reason}:\n{explanation}"
            )),
            _ => TransactionError::Impossible(Box::new(explanation)),
        }
    }

    /// For each new package that takes the place of an installed one, that one.
    pub(crate) fn replaced(&self, chosen: &BTreeSet<Index>) -> HashMap<Index, Index> {
        let mut replaced = HashMap::new();
        for &new in chosen.iter().filter(|&&index| !self.pool.package(index).is_installed()) {
            let record = self.pool.package(new);
            let named = self.pool.named(&record.nevra.name);
            let old = named.iter().copied().find(|&other| {
                let other = self.pool.package(other);
                other.is_installed() && other.slot == record.slot
            });
            if let Some(old) = old {
                replaced.insert(new, old);
            }
        }
        replaced
    }
}

/// What is new in a transaction, for its weak dependencies.
struct Changes<'c, 'a> {
    pool: &'c Pool<'a>,
    rules: &'c Rules<'c>,
    /// The installed packages whose place new ones take.
    replaced: HashMap<Index, Index>,
}

impl Novelty for Changes<'_, '_> {
    fn recommends(&self, package: Index, dependency: &Dependency) -> bool {
        if self.pool.package(package).is_installed() {
            return false;
        }
        // What the version before recommended was refused or removed by someone, if it is not there.
        let before = self.replaced.get(&package).map(|&old| self.pool.list(old, List::Recommends));
        !before.is_some_and(|list| list.contains(dependency))
    }

    fn is_new(&self, package: Index) -> bool {
        !self.pool.package(package).is_installed()
    }

    fn supplements(&self, formula: &Formula) -> bool {
        !self.pool.holds_today(formula)
    }

    fn unwanted(&self, package: Index) -> bool {
        self.rules.is_unwanted(self.pool, package)
    }
}
