//! From jobs to what the solver is asked.

use super::TransactionError;
use super::job::{Job, Select};
use super::options::Options;
use super::plan::Skip;
use super::rules::Rules;
use super::select::{Matched, Pattern, find};
use super::system::Keep;
use crate::diagnose::similar;
use crate::pool::{Index, Origin, Pool};
use crate::search::{Purpose, Root};
use crate::universe::{List, PackageId};
use lazuli_rpm::Nevra;
use std::collections::{BTreeMap, BTreeSet};

/// Something to have installed.
pub(crate) struct Goal {
    pub(crate) root: Root,
    /// The best way to meet it, where there are better and worse.
    pub(crate) best: Option<Root>,
}

/// Versions that are better than what is installed.
pub(crate) struct Lift {
    /// The installed package; `None` where packages are installed side by side.
    pub(crate) installed: Option<Index>,
    /// What could take its place, best first.
    pub(crate) targets: Vec<Index>,
}

/// What jobs come down to.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) goals: Vec<Goal>,
    pub(crate) lifts: Vec<Lift>,
    /// Packages that replace installed ones by `Obsoletes`.
    pub(crate) replacements: BTreeSet<Index>,
    /// What is to be removed, with the text of the job.
    pub(crate) gone: BTreeMap<Index, String>,
    pub(crate) reinstalls: BTreeMap<Index, PackageId>,
    /// Packages asked for in so many words, which may be older than what is installed.
    pub(crate) explicit: BTreeSet<Index>,
    pub(crate) marks: BTreeMap<Index, Keep>,
    /// Whether the jobs make packages older.
    pub(crate) lower: bool,
    /// Whether what requires a removed package may go too.
    pub(crate) removal: bool,
    pub(crate) autoremove: bool,
    pub(crate) notes: Vec<String>,
    pub(crate) skipped: Vec<Skip>,
    missing: Vec<String>,
}

/// Reads jobs.
pub(crate) struct Reader<'r, 'a> {
    pub(crate) pool: &'r Pool<'a>,
    pub(crate) rules: &'r Rules<'r>,
    pub(crate) options: &'r Options,
}

/// An installed package with the packages that a selection names in particular.
type Selected = (Index, Option<BTreeSet<Index>>);

/// Which versions an upgrade is about.
struct Bounds<'b> {
    minimal: bool,
    only: Option<&'b [Nevra]>,
}

impl Reader<'_, '_> {
    /// Reads all jobs.
    pub(crate) fn read(&self, jobs: &[Job]) -> Result<Tasks, TransactionError> {
        let mut tasks = Tasks { removal: self.options.allow_erasing, ..Tasks::default() };
        for job in jobs {
            self.job(job, &mut tasks)?;
        }
        if !tasks.missing.is_empty() {
            if !self.options.skip_unavailable {
                return Err(TransactionError::NotFound(tasks.missing));
            }
            let skip = |what| Skip { what, explanation: None };
            tasks.skipped.extend(std::mem::take(&mut tasks.missing).into_iter().map(skip));
        }
        Ok(tasks)
    }

    fn job(&self, job: &Job, tasks: &mut Tasks) -> Result<(), TransactionError> {
        match job {
            Job::Install(select) => self.install(select, tasks)?,
            Job::Remove(select) => {
                tasks.removal = true;
                self.remove(select, tasks)?;
            }
            Job::Swap { remove, install } => {
                tasks.removal = true;
                self.remove(remove, tasks)?;
                self.install(install, tasks)?;
            }
            Job::Upgrade { select, minimal, only } => {
                let bounds = Bounds { minimal: *minimal, only: only.as_deref() };
                for (index, among) in self.selected(select.as_ref(), tasks)? {
                    self.upgrade(index, among.as_ref(), &bounds, tasks);
                }
                if select.is_none() {
                    self.upgrade_side_by_side(&bounds, tasks);
                }
            }
            Job::Downgrade(select) => {
                tasks.lower = true;
                for (index, among) in self.selected(Some(select), tasks)? {
                    self.downgrade(index, among.as_ref(), tasks);
                }
            }
            Job::Reinstall(select) => {
                for (index, _) in self.selected(Some(select), tasks)? {
                    let record = self.pool.package(index);
                    let chosen = match select {
                        Select::Package(id) => Some(*id),
                        _ => record.twin,
                    };
                    match chosen {
                        Some(id) => {
                            tasks.reinstalls.insert(index, id);
                            let root = Root::any(&record.id(), vec![index]);
                            tasks.goals.push(Goal { root, best: None });
                        }
                        None => tasks.missing.push(format!(
                            "{} cannot be reinstalled: no repository has it any more",
                            record.id()
                        )),
                    }
                }
            }
            Job::DistroSync(select) => {
                tasks.lower = true;
                for (index, among) in self.selected(select.as_ref(), tasks)? {
                    self.sync(index, among.as_ref(), tasks);
                }
                if select.is_none() {
                    self.upgrade_side_by_side(&Bounds { minimal: false, only: None }, tasks);
                }
            }
            Job::Autoremove => tasks.autoremove = true,
            Job::Mark { select, keep } => {
                for (index, _) in self.selected(Some(select), tasks)? {
                    tasks.marks.insert(index, *keep);
                }
            }
        }
        Ok(())
    }

    fn text(&self, select: &Select) -> Result<String, TransactionError> {
        match select {
            Select::Text(text) if text.trim().is_empty() => {
                Err(TransactionError::BadJob("a job names an empty text; write a package name".to_owned()))
            }
            Select::Text(text) => Ok(text.trim().to_owned()),
            Select::Package(id) if id.0 < self.pool.universe.count() => {
                Ok(self.pool.universe.nevra(*id).to_string())
            }
            Select::Package(id) => {
                Err(TransactionError::BadJob(format!("there is no package number {} to install", id.0)))
            }
            Select::Installed(hnum) => match self.pool.of_hnum(*hnum) {
                Some(index) => Ok(self.pool.package(index).id()),
                None => Err(TransactionError::BadJob(format!("no package with number {hnum} is installed"))),
            },
        }
    }

    fn matched(&self, select: &Select) -> Matched {
        let packages: Vec<Index> = match select {
            Select::Text(text) => return find(self.pool, text),
            Select::Package(id) => self.pool.of_id(*id).into_iter().collect(),
            Select::Installed(hnum) => self.pool.of_hnum(*hnum).into_iter().collect(),
        };
        if packages.is_empty() { Matched::Nothing } else { Matched::Packages { packages, exact: true } }
    }

    fn nothing(&self, text: &str) -> String {
        let near = similar(self.pool, text);
        let hint = if near.is_empty() { String::new() } else { format!("; similar: {}", near.join("; ")) };
        format!("no package matches `{text}`{hint}")
    }

    fn install(&self, select: &Select, tasks: &mut Tasks) -> Result<(), TransactionError> {
        let text = self.text(select)?;
        match self.matched(select) {
            Matched::Nothing => tasks.missing.push(self.nothing(&text)),
            Matched::Offered(formula) => {
                let Some(root) = Root::new(&text, &text, formula) else {
                    let reason = format!("`{text}` combines too many alternatives");
                    return Err(TransactionError::BadJob(reason));
                };
                tasks.goals.push(Goal { root, best: None });
            }
            Matched::Packages { packages, exact } => {
                let glob = Pattern::new(&text).is_glob();
                for (name, group) in self.by_name(&packages) {
                    let usable = |&index: &Index| self.rules.forbid(self.pool, index).is_none();
                    if glob && !group.iter().any(usable) {
                        continue;
                    }
                    if exact {
                        let versioned = |&index: &Index| {
                            let nevra = &self.pool.package(index).nevra;
                            !Pattern::new(&text).matches(&format!("{}.{}", nevra.name, nevra.arch))
                        };
                        tasks.explicit.extend(group.iter().copied().filter(versioned));
                    }
                    let label = if glob { name.as_str() } else { text.as_str() };
                    let best = self.best(&group).map(|best| Root::any(label, vec![best]));
                    tasks.goals.push(Goal { root: Root::any(label, group), best });
                }
            }
        }
        Ok(())
    }

    /// The best of several versions of a package: by priority and version, the installed one if none is later.
    fn best(&self, group: &[Index]) -> Option<Index> {
        let usable = |&index: &Index| self.rules.forbid(self.pool, index).is_none();
        let (installed, available): (Vec<Index>, Vec<Index>) =
            group.iter().copied().filter(usable).partition(|&index| self.pool.package(index).is_installed());
        let evr = |index: Index| &self.pool.package(index).nevra.evr;
        match (installed.first(), available.first()) {
            (Some(&there), Some(&new)) => Some(if evr(new) > evr(there) { new } else { there }),
            (there, new) => there.or(new).copied(),
        }
    }

    fn by_name(&self, packages: &[Index]) -> BTreeMap<String, Vec<Index>> {
        let mut groups: BTreeMap<String, Vec<Index>> = BTreeMap::new();
        for &index in packages {
            groups.entry(self.pool.package(index).nevra.name.clone()).or_default().push(index);
        }
        for group in groups.values_mut() {
            group.sort_unstable();
            group.dedup();
        }
        groups
    }

    fn remove(&self, select: &Select, tasks: &mut Tasks) -> Result<(), TransactionError> {
        let text = self.text(select)?;
        let mut packages = Vec::new();
        match self.matched(select) {
            Matched::Nothing => {}
            Matched::Packages { packages: found, .. } => packages = found,
            Matched::Offered(formula) => formula.positive_packages(&mut packages),
        }
        packages.retain(|&index| self.pool.package(index).is_installed());
        if packages.is_empty() {
            tasks.missing.push(format!("no installed package matches `{text}`"));
        }
        for index in packages {
            if let Some(reason) = self.rules.protect(self.pool, index) {
                let package = self.pool.package(index).id();
                return Err(TransactionError::Protected(format!("{package} is not removed: {reason}")));
            }
            tasks.gone.entry(index).or_insert_with(|| text.clone());
        }
        Ok(())
    }

    /// The installed packages that a selection means, each with the packages it names in particular.
    fn selected(
        &self,
        select: Option<&Select>,
        tasks: &mut Tasks,
    ) -> Result<Vec<Selected>, TransactionError> {
        let Some(select) = select else {
            return Ok(self.pool.all_installed().into_iter().map(|index| (index, None)).collect());
        };
        let text = self.text(select)?;
        let mut packages = Vec::new();
        match self.matched(select) {
            Matched::Nothing => {
                tasks.missing.push(self.nothing(&text));
                return Ok(Vec::new());
            }
            Matched::Packages { packages: found, .. } => packages = found,
            Matched::Offered(formula) => {
                formula.positive_packages(&mut packages);
                packages.retain(|&index| self.pool.package(index).is_installed());
                let names = packages.iter().map(|&index| self.pool.package(index).nevra.name.as_str());
                packages = names.flat_map(|name| self.pool.named(name).to_vec()).collect();
            }
        }
        let mut all = Vec::new();
        for (name, group) in self.by_name(&packages) {
            let named = self.pool.named(&name);
            let here = named.iter().copied().filter(|&index| self.pool.package(index).is_installed());
            let among: BTreeSet<Index> = group.into_iter().collect();
            all.extend(here.map(|index| (index, Some(among.clone()))));
        }
        if all.is_empty() {
            tasks.missing.push(format!("`{text}` is not installed"));
        }
        Ok(all)
    }

    /// The usable packages that could take the place of an installed one, best first.
    fn others(&self, index: Index, among: Option<&BTreeSet<Index>>) -> Vec<Index> {
        let record = self.pool.package(index);
        let named = self.pool.named(&record.nevra.name);
        let others = named.iter().copied().filter(|&other| {
            let candidate = self.pool.package(other);
            !candidate.is_installed()
                && candidate.slot == record.slot
                && among.is_none_or(|among| among.contains(&other))
                && self.rules.forbid(self.pool, other).is_none()
        });
        others.collect()
    }

    fn upgrade(&self, index: Index, among: Option<&BTreeSet<Index>>, bounds: &Bounds<'_>, tasks: &mut Tasks) {
        if self.pool.is_side_by_side(index) {
            if among.is_some() {
                self.newest(&self.pool.package(index).nevra.name, bounds, tasks);
            }
            return;
        }
        let own = &self.pool.package(index).nevra;
        let mut targets = self.others(index, among);
        let twin = self.pool.package(index).twin.filter(|_| among.is_none_or(|among| among.contains(&index)));
        self.keep_preferred(twin, &mut targets);
        targets.retain(|&other| self.pool.package(other).nevra.evr > own.evr);
        let replaceable = self.keep_within(own, bounds, &mut targets);
        if targets.is_empty() && among.is_some() && bounds.only.is_none() {
            tasks.notes.push(format!("{own} is the best version there is"));
        }
        if replaceable && self.options.obsoletes {
            tasks.replacements.extend(self.replacements(index));
        }
        if !targets.is_empty() {
            tasks.lifts.push(Lift { installed: Some(index), targets });
        }
    }

    /// Keeps the packages of the repository that decides about their name: the one with the best priority of
    /// those that have it, in whatever version. Otherwise any repository could take a name away from another
    /// by a higher number.
    fn keep_preferred(&self, twin: Option<PackageId>, targets: &mut Vec<Index>) {
        let priority = |index: &Index| self.pool.package(*index).priority;
        let twin = twin.map(|id| self.pool.universe.priority(id));
        let best = targets.iter().map(priority).chain(twin).min();
        targets.retain(|index| Some(priority(index)) == best);
    }

    /// Keeps the versions that an upgrade is about. False if the package is none of its business.
    fn keep_within(&self, own: &Nevra, bounds: &Bounds<'_>, targets: &mut Vec<Index>) -> bool {
        let evr = |index: &Index| &self.pool.package(*index).nevra.evr;
        if let Some(only) = bounds.only {
            let arch = |fix: &&Nevra| fix.arch.is_empty() || fix.arch == own.arch || own.arch == "noarch";
            let fixes = only.iter().filter(|fix| fix.name == own.name && fix.evr > own.evr).filter(arch);
            let Some(least) = fixes.map(|fix| &fix.evr).max() else {
                targets.clear();
                return false;
            };
            targets.retain(|index| evr(index) >= least);
        }
        if bounds.minimal {
            targets.sort_by(|a, b| evr(a).cmp(evr(b)).then(a.cmp(b)));
        }
        bounds.only.is_none()
    }

    /// The packages, of each name the best, that replace an installed one.
    fn replacements(&self, index: Index) -> Vec<Index> {
        let universe = self.pool.universe;
        let old = &self.pool.package(index).nevra.name;
        let ids = universe.obsoleters(old);
        // A repository cannot do away with what one of better priority has.
        let decides = universe.named(old).into_iter().map(|id| universe.priority(id)).min();
        let found = self.pool.of_ids(&ids).into_iter().flatten().filter(|&new| {
            if decides.is_some_and(|best| self.pool.package(new).priority > best) {
                return false;
            }
            let name = &self.pool.package(new).nevra.name;
            let named = self.pool.named(name);
            let usable = |&&other: &&Index| self.rules.forbid(self.pool, other).is_none();
            // What is installed already does not come because of this, but by an upgrade of its own.
            // Packages that obsolete each other would take turns for ever.
            named.iter().find(usable) == Some(&new) && self.replaces(new, index) && !self.replaces(index, new)
        });
        found.collect()
    }

    /// Whether a package obsoletes another.
    pub(crate) fn replaces(&self, new: Index, old: Index) -> bool {
        replaces(self.pool, new, old)
    }

    fn upgrade_side_by_side(&self, bounds: &Bounds<'_>, tasks: &mut Tasks) {
        let installed = self.pool.all_installed().into_iter();
        let names: BTreeSet<&str> = installed
            .filter(|&index| self.pool.is_side_by_side(index))
            .map(|index| self.pool.package(index).nevra.name.as_str())
            .collect();
        for name in names {
            self.newest(name, bounds, tasks);
        }
    }

    /// Adds the versions of a package that are later than all installed ones.
    fn newest(&self, name: &str, bounds: &Bounds<'_>, tasks: &mut Tasks) {
        let named = self.pool.named(name);
        let Some(&latest) = named.iter().find(|&&index| self.pool.package(index).is_installed()) else {
            return;
        };
        let own = &self.pool.package(latest).nevra;
        let usable = |index: &Index| {
            !self.pool.package(*index).is_installed() && self.rules.forbid(self.pool, *index).is_none()
        };
        let mut targets: Vec<Index> = named.iter().copied().filter(usable).collect();
        self.keep_preferred(self.pool.package(latest).twin, &mut targets);
        targets.retain(|&index| self.pool.package(index).nevra.evr > own.evr);
        self.keep_within(own, bounds, &mut targets);
        let known = |lift: &Lift| lift.installed.is_none() && lift.targets == targets;
        if !targets.is_empty() && !tasks.lifts.iter().any(known) {
            tasks.lifts.push(Lift { installed: None, targets });
        }
    }

    fn downgrade(&self, index: Index, among: Option<&BTreeSet<Index>>, tasks: &mut Tasks) {
        let own = &self.pool.package(index).nevra;
        let mut targets = self.others(index, among);
        targets.retain(|&other| self.pool.package(other).nevra.evr < own.evr);
        if targets.is_empty() {
            tasks.notes.push(format!("there is no earlier version of {own}"));
            return;
        }
        tasks.explicit.extend(&targets);
        let label = own.name.as_str();
        let best = Some(Root::any(label, vec![targets[0]]).with(Purpose::Upgrade));
        tasks.goals.push(Goal { root: Root::any(label, targets).with(Purpose::Upgrade), best });
    }

    fn sync(&self, index: Index, among: Option<&BTreeSet<Index>>, tasks: &mut Tasks) {
        if self.pool.is_side_by_side(index) {
            return;
        }
        if self.options.obsoletes {
            tasks.replacements.extend(self.replacements(index));
        }
        let record = self.pool.package(index);
        let mut targets = self.others(index, among);
        // The version that is installed may be among the best there are: nothing better than it is needed.
        if let (Some(twin), Some(&first)) = (record.twin, targets.first()) {
            let Origin::Available(id) = self.pool.package(first).origin else { return };
            let universe = self.pool.universe;
            let key = |id: PackageId| (universe.priority(id), std::cmp::Reverse(universe.nevra(id).evr));
            if key(twin) <= key(id) && among.is_none_or(|among| among.contains(&index)) {
                targets.clear();
            }
        }
        if !targets.is_empty() {
            tasks.lifts.push(Lift { installed: Some(index), targets });
        }
    }
}

/// Whether a package obsoletes another.
pub(crate) fn replaces(pool: &Pool<'_>, new: Index, old: Index) -> bool {
    pool.list(new, List::Obsoletes).iter().any(|d| pool.obsoleted(d, new).contains(&old))
}
