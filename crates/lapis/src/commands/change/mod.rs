//! Commands that change the system: from words to jobs, from jobs to a plan, from a plan to a transaction.

mod files;
mod groups;
mod jobs;
mod recovery;
mod transact;

use crate::advisories::fixes_of;
use crate::catalog::{Catalog, Source};
use crate::cli::{Command, Name};
use crate::error::{Error, Result};
use crate::history::{Reason, Wish};
use crate::package::shown;
use crate::plan::View;
use crate::query;
use crate::repositories::Repos;
use crate::run::Outcome;
use crate::session::Session;
use lazuli_rpm::Nevra;
use lazuli_solve::{
    Exclusion, Job, Options, Plan, Select, System as _, TransactionError, Universe, solve_transaction,
};
use std::collections::BTreeMap;

pub use groups::{Change, Group};
pub use recovery::{recover, recover_if_idle};

/// What a command wants, before any repository was looked at.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Jobs.
    pub jobs: Vec<Job>,
    /// Steps back or forward in the history.
    pub wishes: Vec<Wish>,
    /// Package files named on the command line.
    pub files: Vec<String>,
    /// Groups, which repositories describe.
    pub groups: Vec<Group>,
    /// Whether words are about installed packages only, so that no repository is needed.
    pub offline: bool,
    /// Whether all that the advisories of the options ask for is wanted, and no more.
    pub by_advisory: bool,
    /// Only as far as advisories ask for.
    pub minimal: bool,
    /// The words, for messages.
    pub words: Vec<String>,
}

/// Runs a command that changes the system.
pub fn change(session: &Session<'_>, command: &Command) -> Result<Outcome> {
    session.need_root()?;
    begin(session)?;
    let wanted = jobs::wanted(session, command)?;
    bring_about(session, wanted)
}

/// Runs what a step in the history needs.
pub fn wishes(session: &Session<'_>, wishes: Vec<Wish>) -> Result<Outcome> {
    session.need_root()?;
    begin(session)?;
    if wishes.is_empty() {
        nothing_to_do(session);
        return Ok(Outcome::Done);
    }
    let offline = wishes.iter().all(|w| matches!(w, Wish::Absent(_)));
    bring_about(session, Wanted { wishes, offline, ..Wanted::default() })
}

/// Runs `group install` and the like.
pub fn groups(session: &Session<'_>, groups: Vec<Group>) -> Result<Outcome> {
    session.need_root()?;
    begin(session)?;
    bring_about(session, Wanted { groups, ..Wanted::default() })
}

/// What every change starts with: finish what was interrupted, and see what others did.
fn begin(session: &Session<'_>) -> Result<()> {
    recover(session, true)?;
    session.notice_changes()
}

fn bring_about(session: &Session<'_>, mut wanted: Wanted) -> Result<Outcome> {
    if session.global.trust.nogpgcheck {
        crate::ask::confirm_unverified(session.out, session.global)?;
    }
    let repositories = session.repositories(!wanted.offline || !wanted.groups.is_empty())?;
    let local = files::read(session, &repositories, &wanted.files)?;
    let catalog = repositories.for_solving(session, local.as_ref().map(|f| f as &dyn Source))?;
    wanted.jobs.extend(files::jobs(&catalog, &repositories, local.as_ref()));
    let members = groups::jobs(session, &repositories, &catalog, &wanted.groups)?;
    wanted.jobs.extend(members);
    let reasons = wish_jobs(session, &catalog, &mut wanted)?;
    if wanted.by_advisory {
        restrict(session, &repositories, &catalog, &mut wanted)?;
    }
    if wanted.jobs.is_empty() {
        nothing_to_do(session);
        return Ok(Outcome::Done);
    }
    let installed = session.installed()?;
    installed.load()?;
    let mut options = options(session, &wanted)?;
    // What is not there need not go: dnf says so and removes the rest.
    let lenient = session.name == Name::Dnf
        && wanted.jobs.iter().all(|job| matches!(job, Job::Remove(_) | Job::Autoremove));
    options.skip_unavailable |= lenient;
    let mut plan = match solve_transaction(&catalog, installed, &wanted.jobs, &options) {
        Ok(plan) => plan,
        Err(TransactionError::NotFound(what)) => return Err(not_found(session, &what)),
        Err(TransactionError::Protected(text)) => return Err(Error::Protected(vec![text])),
        Err(TransactionError::BadJob(text)) => return Err(Error::Usage(text)),
        Err(TransactionError::Impossible(explanation)) => {
            return Err(Error::Unsolvable(explanation.to_string()));
        }
    };
    for step in &mut plan.steps {
        if let Some(reason) = reasons.get(&step.nevra.to_string()) {
            step.keep = keep(*reason);
        }
    }
    if lenient {
        for skip in plan.problems.drain(..) {
            session.out.info(format!("No match for argument: {}", named(&skip.what).unwrap_or(&skip.what)));
        }
        if plan.is_empty() {
            session.out.info("No packages marked for removal.");
        }
    }
    let mut view = View::new(&plan, &catalog, &|hnum| installed.size(hnum));
    add_fixes(session, &repositories, &plan, &mut view);
    view.cached = transact::cached(&plan, &catalog, &repositories);
    for note in &plan.notes {
        session.out.info(note);
    }
    if plan.is_empty() {
        view.show(session.out, false);
        nothing_to_do(session);
        return Ok(Outcome::Done);
    }
    if session.out.json {
        session.out.json(&view.to_json());
    } else {
        view.show(session.out, session.answer() == crate::ask::Answer::Ask);
    }
    transact::carry_out(session, &repositories, local.as_ref(), &catalog, &plan)
}

fn nothing_to_do(session: &Session<'_>) {
    session.out.info("Nothing to do.");
    if session.name == Name::Dnf {
        session.out.info("Complete!");
    }
    if session.out.json {
        session.out.json(&serde_json::json!({}));
    }
}

/// What cannot be found is an error, in the words of whoever is asked.
fn not_found(session: &Session<'_>, what: &[String]) -> Error {
    let missing: Vec<&str> = what.iter().filter_map(|text| named(text)).collect();
    if session.name == Name::Dnf && missing.len() == what.len() {
        for name in &missing {
            session.out.info(format!("No match for argument: {name}"));
        }
        let all = format!("Unable to find a match: {}\n{}", missing.join(" "), what.join("\n"));
        return Error::NoMatchAsDnf(all);
    }
    Error::NotFound(what.to_vec())
}

/// What a message of the solver names: it stands in backticks.
fn named(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// What the configuration and the command line say to the solver.
fn options(session: &Session<'_>, wanted: &Wanted) -> Result<Options> {
    let main = &session.settings.main;
    let off = main.disable_excludes.iter().any(|d| d == "all" || d == "main");
    let exclude = if off { &[][..] } else { &main.exclude[..] };
    let have: Vec<Nevra> = session.installed()?.nevras()?.into_iter().map(|(_, nevra)| nevra).collect();
    let (mut locks, locked) = crate::locks::effective(crate::locks::read(&session.root)?, &have);
    // A step in the history names its versions itself.
    if !wanted.wishes.is_empty() {
        locks.clear();
    }
    let running_kernel =
        if main.protect_running_kernel { session.installed()?.running_kernel() } else { None };
    Ok(Options {
        architecture: if main.ignorearch { String::new() } else { session.settings.arch.clone() },
        best: main.best && !wanted.by_advisory,
        allow_erasing: session.global.solving.allowerasing || !wanted.wishes.is_empty(),
        skip_broken: main.skip_broken,
        skip_unavailable: main.skip_unavailable,
        weak: main.install_weak_deps,
        clean_requirements: main.clean_requirements_on_remove,
        obsoletes: main.obsoletes,
        exclude: exclude
            .iter()
            .map(|package| Exclusion { package: package.clone(), reason: "by configuration".to_owned() })
            .collect(),
        exclude_from_weak: main.exclude_from_weak.clone(),
        locks,
        protected: main.protected_packages.iter().cloned().chain(locked).collect(),
        running_kernel,
        install_only: main.installonly_packages.clone(),
        install_only_limit: main.installonly_limit.map_or(0, |n| n as usize),
    })
}

/// Turns steps in the history into jobs; returns the reasons that packages get back with them.
fn wish_jobs(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    wanted: &mut Wanted,
) -> Result<BTreeMap<String, Reason>> {
    let mut reasons = BTreeMap::new();
    let have = session.installed()?.nevras()?;
    let mut missing = Vec::new();
    for wish in &wanted.wishes {
        match wish {
            Wish::Absent(nevra) => {
                let replaced = wanted.wishes.iter().any(|other| {
                    matches!(other, Wish::Present(n, _) if n.name == nevra.name && n.arch == nevra.arch)
                });
                let hnum = have.iter().find(|(_, n)| n.to_string() == nevra.to_string());
                if let (Some((hnum, _)), false) = (hnum, replaced) {
                    wanted.jobs.push(Job::Remove(Select::Installed(*hnum)));
                }
            }
            Wish::Present(nevra, reason) => {
                let text = nevra.to_string();
                if have.iter().any(|(_, n)| n.to_string() == text) {
                    continue;
                }
                let named = catalog.named(&nevra.name);
                let Some(id) = named.into_iter().find(|id| catalog.nevra(*id).to_string() == text) else {
                    missing.push(shown(nevra));
                    continue;
                };
                reasons.insert(text, *reason);
                let installed = have.iter().find(|(_, n)| n.name == nevra.name && n.arch == nevra.arch);
                wanted.jobs.push(match installed {
                    Some((_, n)) if n.evr > nevra.evr => Job::Downgrade(Select::Package(id)),
                    _ => Job::Install(Select::Package(id)),
                });
            }
        }
    }
    if missing.is_empty() {
        return Ok(reasons);
    }
    Err(Error::Unsolvable(format!(
        "This cannot be undone, because no enabled repository has these packages any more: {}.\n\
         An earlier snapshot of a repository may: try --snapshot-time.",
        missing.join(", ")
    )))
}

/// Restricts upgrades to what the advisories that the options choose ask for.
fn restrict(
    session: &Session<'_>,
    repositories: &Repos,
    catalog: &Catalog<'_>,
    wanted: &mut Wanted,
) -> Result<()> {
    let filter = crate::advisories::Filter::new(session.global)?;
    let advisories = session.advisories(repositories)?;
    let all = advisories.iter().filter(|a| filter.as_ref().is_none_or(|f| f.matches(a)));
    let mut only: Vec<Nevra> =
        all.flat_map(|a| a.advisory.packages.iter().map(|p| p.nevra.clone())).collect();
    // Only what concerns this machine, so that nothing is said about the rest.
    let have = session.installed()?.nevras()?;
    only.retain(|n| {
        have.iter().any(|(_, h)| h.name == n.name && h.arch == n.arch && h.evr < n.evr)
            && !catalog.named(&n.name).is_empty()
    });
    only.sort();
    only.dedup();
    if only.is_empty() {
        session.out.info("No packages marked for update: no advisory asks for one.");
        wanted.jobs.clear();
        return Ok(());
    }
    for job in &mut wanted.jobs {
        if let Job::Upgrade { only: restriction, minimal, .. } = job {
            *restriction = Some(only.clone());
            *minimal = wanted.minimal;
        }
    }
    Ok(())
}

/// Which advisories the plan carries out. Without advisories to be had it does nothing for them.
fn add_fixes(session: &Session<'_>, repositories: &Repos, plan: &Plan, view: &mut View) {
    let changes = plan.steps.iter().map(|s| (s.old.clone(), s.nevra.clone()));
    match session.advisories(repositories) {
        Ok(known) => {
            view.fixes = fixes_of(&known, changes).into_iter().map(crate::advisories::Known::fix).collect();
        }
        Err(error) => session.out.warn(format!("Warning: advisories cannot be read: {error}")),
    }
}

fn keep(reason: Reason) -> lazuli_solve::Keep {
    match reason {
        Reason::User => lazuli_solve::Keep::User,
        Reason::Dependency => lazuli_solve::Keep::Dependency,
        Reason::Weak => lazuli_solve::Keep::Weak,
    }
}

/// Packages of which several versions are installed although only one should be: all but the newest.
fn duplicates(session: &Session<'_>) -> Result<Vec<u32>> {
    let mut newest: BTreeMap<(String, String), (u32, Nevra)> = BTreeMap::new();
    let mut old = Vec::new();
    let several = install_only(session)?;
    for (hnum, nevra) in session.installed()?.nevras()? {
        if several.contains(&hnum) {
            continue;
        }
        let key = (nevra.name.clone(), nevra.arch.clone());
        // They come in the order of versions.
        if let Some((before, _)) = newest.insert(key, (hnum, nevra)) {
            old.push(before);
        }
    }
    Ok(old)
}

/// Installed packages that may be there several times.
fn install_only(session: &Session<'_>) -> Result<Vec<u32>> {
    let installed = session.installed()?;
    installed.load()?;
    let patterns: Vec<_> =
        session.settings.main.installonly_packages.iter().map(|p| crate::spec::Pattern::new(p)).collect();
    let is = |p: &&lazuli_solve::InstalledPackage| {
        p.provides.iter().any(|provided| patterns.iter().any(|pattern| pattern.matches_text(&provided.name)))
    };
    Ok(installed.packages().iter().filter(is).map(|p| p.hnum).collect())
}

/// All install-only packages but the newest of each name and the running kernel.
fn old_install_only(session: &Session<'_>) -> Result<Vec<u32>> {
    let installed = session.installed()?;
    let several = install_only(session)?;
    let running = installed.running_kernel();
    let mut newest: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut old = Vec::new();
    for found in query::installed(session, &[])? {
        let query::At::Installed(hnum) = found.at else { continue };
        if !several.contains(&hnum) {
            continue;
        }
        let key = (found.nevra.name.clone(), found.nevra.arch.clone());
        old.extend(newest.insert(key, hnum).filter(|before| Some(*before) != running));
    }
    Ok(old)
}
