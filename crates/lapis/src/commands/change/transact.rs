//! From a plan to a transaction: fetch, verify, record, apply, record again.

use super::files::{Files, distrust};
use crate::ask;
use crate::catalog::Catalog;
use crate::commands::restarting;
use crate::error::{Distrust, Error, Result};
use crate::history::{Action as Did, Element, History, Reason, State, Transaction as Record};
use crate::output::{Style, time};
use crate::package::shown;
use crate::repositories::Repos;
use crate::run::Outcome;
use crate::session::Session;
use lazuli_fs as fs;
use lazuli_repo::config::TsFlag;
use lazuli_rpm::{KeyRing, Nevra};
use lazuli_rpmdb::{Access, Database};
use lazuli_solve::{Action, Keep, PackageId, Plan, Universe};
use lazuli_transaction::{
    Check, Element as Change, Event, Note, Observer, Options, Ownership, Package, Transaction,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

/// Packages that come, with what goes for each; and what goes without anything in its place.
fn changes(plan: &Plan) -> (BTreeMap<PackageId, Vec<u32>>, Vec<u32>) {
    let mut comes: BTreeMap<PackageId, Vec<u32>> = BTreeMap::new();
    let mut goes = Vec::new();
    for step in &plan.steps {
        match step.action {
            Action::Install { package } => drop(comes.entry(package).or_default()),
            Action::Upgrade { package, from }
            | Action::Downgrade { package, from }
            | Action::Reinstall { package, from } => comes.entry(package).or_default().push(from),
            Action::Obsolete { installed, by } => comes.entry(by).or_default().push(installed),
            Action::Remove { installed } => goes.push(installed),
        }
    }
    // Two packages may obsolete the same one; it goes once.
    let mut seen = std::collections::BTreeSet::new();
    for rows in comes.values_mut() {
        rows.retain(|row| seen.insert(*row));
    }
    goes.retain(|row| seen.insert(*row));
    (comes, goes)
}

/// Bytes of packages that need not be fetched.
pub fn cached(plan: &Plan, catalog: &Catalog<'_>, repositories: &Repos) -> u64 {
    let (comes, _) = changes(plan);
    let all: u64 = comes.keys().map(|id| catalog.size(*id).package).sum();
    let mut missing = 0;
    for (place, repository) in repositories.iter().enumerate() {
        missing += repository.missing_bytes(&of_place(catalog, comes.keys(), place));
    }
    all.saturating_sub(missing)
}

/// Those of the packages that are in the repository at a place, by their numbers there.
fn of_place<'p>(
    catalog: &Catalog<'_>,
    packages: impl IntoIterator<Item = &'p PackageId>,
    place: usize,
) -> Vec<PackageId> {
    let located = packages.into_iter().map(|id| catalog.locate(*id));
    located.filter(|(at, _)| *at == place).map(|(_, local)| local).collect()
}

/// Carries a plan out, after asking.
pub fn carry_out(
    session: &Session<'_>,
    repositories: &Repos,
    files: Option<&Files>,
    catalog: &Catalog<'_>,
    plan: &Plan,
) -> Result<Outcome> {
    let options = &session.global.transaction;
    let (comes, goes) = changes(plan);
    if options.downloadonly {
        session.out.info("Packages will be downloaded only.");
    } else if session.settings.flag(TsFlag::Test) {
        session.out.info("This is a test: nothing will be changed.");
    }
    if comes.is_empty() && goes.is_empty() {
        // Neither dnf nor tdnf asks about reasons, and scripts mark without -y.
        return if session.answer() == ask::Answer::No {
            Err(Error::Aborted)
        } else if options.downloadonly || session.settings.flag(TsFlag::Test) {
            // A reason is a change too.
            Ok(Outcome::Done)
        } else {
            mark_only(session, plan)
        };
    }
    ask::confirm(session.out, session.answer(), "Is this ok", session.settings.main.defaultyes)?;
    let ids: Vec<PackageId> = comes.keys().copied().collect();
    let fetched = fetch(repositories, files, catalog, &ids)?;
    if options.downloadonly {
        return keep_downloads(session, &fetched);
    }
    let cached = fetched.iter().filter(|f| f.cached);
    let paths: Vec<PathBuf> = cached.map(|f| f.path.clone()).collect();
    let verified = verify(session, repositories, catalog, fetched)?;
    let mut elements = Vec::new();
    for (id, package) in verified {
        elements.push(Change::replace(package, comes.get(&id).cloned().unwrap_or_default()));
    }
    elements.extend(goes.into_iter().map(Change::erase));
    apply(session, catalog, plan, elements)?;
    if !session.settings.main.keepcache {
        // What cannot be removed now is removed by `clean`.
        for path in &paths {
            drop(fs::remove_file(path));
        }
    }
    session.out.info("");
    session.out.info(session.out.styled(Style::Good, "Complete!"));
    restarting::hints(&session.again()?)?;
    Ok(Outcome::Done)
}

/// A package file that was fetched.
struct Fetched {
    id: PackageId,
    nevra: Nevra,
    file: File,
    path: PathBuf,
    name: String,
    /// Whether it lies in the cache, and not where somebody put it.
    cached: bool,
}

/// Fetches packages.
fn fetch(
    repositories: &Repos,
    files: Option<&Files>,
    catalog: &Catalog<'_>,
    ids: &[PackageId],
) -> Result<Vec<Fetched>> {
    let mut fetched = Vec::new();
    for (place, repository) in repositories.iter().enumerate() {
        let of_it: Vec<PackageId> = ids.iter().copied().filter(|id| catalog.locate(*id).0 == place).collect();
        let got = repository.fetch(&of_place(catalog, ids, place))?;
        for (id, one) in of_it.into_iter().zip(got) {
            let nevra = catalog.nevra(id);
            fetched.push(Fetched { id, nevra, file: one.file, path: one.path, name: one.name, cached: true });
        }
    }
    if let Some(files) = files {
        let place = repositories.iter().count();
        for id in ids {
            let (at, local) = catalog.locate(*id);
            if at == place
                && let Some(path) = files.path(local)
            {
                fetched.push(Fetched {
                    id: *id,
                    nevra: catalog.nevra(*id),
                    file: fs::open(path)?,
                    path: path.to_owned(),
                    name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    cached: false,
                });
            }
        }
    }
    Ok(fetched)
}

/// `--downloadonly`.
fn keep_downloads(session: &Session<'_>, fetched: &[Fetched]) -> Result<Outcome> {
    let folder = session.global.transaction.downloaddir.as_ref();
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
        for one in fetched {
            fs::copy(&one.path, folder.join(&one.name))?;
        }
    }
    let place = folder.map_or_else(|| session.settings.cache.clone(), Clone::clone);
    session.out.info(format!("{} packages are in {}.", fetched.len(), place.display()));
    session.out.info("Complete!");
    Ok(Outcome::Done)
}

/// Verifies packages: each by the keys of the repository that it came from, and each must be the package
/// that the metadata promised.
fn verify(
    session: &Session<'_>,
    repositories: &Repos,
    catalog: &Catalog<'_>,
    fetched: Vec<Fetched>,
) -> Result<Vec<(PackageId, Package)>> {
    let bar = session.progress().count("Verifying packages", fetched.len() as u64);
    let mut rings: BTreeMap<usize, Option<KeyRing>> = BTreeMap::new();
    let mut verified = Vec::new();
    for one in fetched {
        let (place, _) = catalog.locate(one.id);
        if let std::collections::btree_map::Entry::Vacant(vacant) = rings.entry(place) {
            let ring = match repositories.at(place) {
                _ if session.global.trust.nogpgcheck => None,
                Some(repository) if !repository.config().checks_packages() => None,
                Some(repository) => Some(repository.keys().clone()),
                None => Some(super::files::keys(session, repositories)?),
            };
            vacant.insert(ring);
        }
        let check = match &rings[&place] {
            Some(ring) => Check::Signature(ring),
            None => Check::DigestsOnly,
        };
        let name = shown(&one.nevra);
        let package = Package::from_file(one.file, &name, check).map_err(|e| match e {
            lazuli_transaction::Error::Package { source, .. } => distrust(&name, &source),
            other => transaction_error(&other),
        })?;
        if package.nevra().to_string() != one.nevra.to_string() {
            return Err(Error::Untrusted {
                package: name,
                reason: format!(
                    "the file holds another package, {}; the repository's metadata is wrong, or somebody put \
                     it there",
                    shown(package.nevra())
                ),
                kind: Distrust::Key,
            });
        }
        verified.push((one.id, package));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(verified)
}

fn transaction_error(error: &lazuli_transaction::Error) -> Error {
    Error::Transaction(error.to_string())
}

impl From<lazuli_transaction::Error> for Error {
    fn from(error: lazuli_transaction::Error) -> Self {
        transaction_error(&error)
    }
}

/// How transactions are carried out here.
fn options(session: &Session<'_>) -> Options {
    let settings = &session.settings;
    // Users in a root of their own cannot give files to others.
    let root = rustix::process::geteuid().is_root();
    Options {
        nodocs: settings.flag(TsFlag::NoDocs),
        no_scripts: settings.flag(TsFlag::NoScripts),
        no_triggers: settings.flag(TsFlag::NoTriggers),
        justdb: settings.flag(TsFlag::JustDb),
        no_capabilities: settings.flag(TsFlag::NoCaps),
        ignore_space: !settings.main.diskspacecheck,
        ownership: if root { Ownership::Required } else { Ownership::Caller },
        ..Options::default()
    }
}

/// The state of the database, which must be the one that the plan was made for.
fn unchanged(session: &Session<'_>, database: &Database) -> Result<String> {
    let cookie = database.cookie()?;
    if cookie != session.installed()?.database().cookie()? {
        return Err(Error::Transaction(
            "another program changed the installed packages meanwhile; run the command again".to_owned(),
        ));
    }
    Ok(cookie)
}

/// Changes the root, and the history around it.
fn apply(session: &Session<'_>, catalog: &Catalog<'_>, plan: &Plan, elements: Vec<Change>) -> Result<()> {
    let mut database = Database::open(&session.root, Access::Write)?;
    unchanged(session, &database)?;
    let prepared = Transaction::prepare(&session.root, &mut database, elements, options(session))?;
    let summary = prepared.summary();
    session.out.detail(format!(
        "{} elements, {} files to place, {} to remove, {} scripts",
        summary.elements, summary.files, summary.erased, summary.scripts
    ));
    if session.settings.flag(TsFlag::Test) {
        session.out.info("Test succeeded: the transaction could be carried out.");
        return Ok(());
    }
    let mut history = History::open(&session.root)?;
    let id = history.begin(&record(session, catalog, plan)?)?;
    let mut watcher = Watcher::new(session, summary.elements);
    let result = prepared.run(&mut watcher);
    watcher.finish();
    let output = watcher.text();
    let report = match result {
        Ok(report) => report,
        // Everything is on the disk: recovery finishes it, and the history with it.
        Err(error @ lazuli_transaction::Error::Interrupted { .. }) => return Err(error.into()),
        Err(error) => {
            let installed = nevras(&database)?;
            let text = format!("{output}{error}\n");
            history.finish(id, State::Failed, time::now(), &database.cookie()?, &text, &installed)?;
            return Err(error.into());
        }
    };
    let installed = nevras(&database)?;
    history.finish(id, State::Done, time::now(), &database.cookie()?, &output, &installed)?;
    drop(database);
    summarise(session, plan, &report.notes);
    Ok(())
}

pub(super) fn nevras(database: &Database) -> Result<Vec<Nevra>> {
    Ok(database.list()?.into_iter().map(|p| p.nevra).collect())
}

fn reason(keep: Keep) -> Reason {
    match keep {
        Keep::User => Reason::User,
        Keep::Dependency => Reason::Dependency,
        Keep::Weak => Reason::Weak,
    }
}

/// A plan as the history has it.
fn record(session: &Session<'_>, catalog: &Catalog<'_>, plan: &Plan) -> Result<Record> {
    let mut elements = Vec::new();
    for step in &plan.steps {
        let (action, package) = match step.action {
            Action::Install { package } => (Did::Install, Some(package)),
            Action::Upgrade { package, .. } => (Did::Upgrade, Some(package)),
            Action::Downgrade { package, .. } => (Did::Downgrade, Some(package)),
            Action::Reinstall { package, .. } => (Did::Reinstall, Some(package)),
            Action::Obsolete { .. } => (Did::Obsoleted, None),
            Action::Remove { .. } => (Did::Remove, None),
        };
        let repository = package.map_or(String::new(), |id| catalog.repository(id).to_owned());
        let element = Element {
            action,
            nevra: step.nevra.clone(),
            repository,
            reason: reason(step.keep),
            why: step.why.clone(),
        };
        if let (true, Some(old)) = (package.is_some(), &step.old) {
            let before = session.installed()?.reason(old);
            elements.push(Element {
                action: Did::Replaced,
                nevra: old.clone(),
                repository: String::new(),
                reason: before,
                why: String::new(),
            });
        }
        elements.push(element);
    }
    elements.extend(marks(plan));
    let unverified = session.global.trust.nogpgcheck;
    Ok(Record { unverified, elements, ..session.transaction()? })
}

fn marks(plan: &Plan) -> impl Iterator<Item = Element> + '_ {
    plan.marks.iter().map(|mark| Element {
        action: Did::Mark,
        nevra: mark.nevra.clone(),
        repository: String::new(),
        reason: reason(mark.keep),
        why: String::new(),
    })
}

/// Only reasons change: nothing to be done to the root.
fn mark_only(session: &Session<'_>, plan: &Plan) -> Result<Outcome> {
    // Nothing is written to the database, but whoever sees an unfinished record and can have its lock takes the
    // record for one that nobody will finish.
    let database = Database::open(&session.root, Access::Write)?;
    let cookie = unchanged(session, &database)?;
    let mut history = History::open(&session.root)?;
    let elements = marks(plan).collect();
    let id = history.begin(&Record { elements, ..session.transaction()? })?;
    history.finish(id, State::Done, time::now(), &cookie, "", &nevras(&database)?)?;
    drop(database);
    for mark in &plan.marks {
        session.out.info(format!("{} marked as: {}", shown(&mark.nevra), mark.keep.as_str()));
    }
    Ok(Outcome::Done)
}

/// What was done, and what somebody should look at.
fn summarise(session: &Session<'_>, plan: &Plan, notes: &[Note]) {
    let out = session.out;
    if out.quiet || out.json {
        return;
    }
    let mut done: Vec<(&str, Vec<String>)> = Vec::new();
    for step in &plan.steps {
        let what = match step.action {
            Action::Install { .. } => "Installed:",
            Action::Upgrade { .. } => "Upgraded:",
            Action::Downgrade { .. } => "Downgraded:",
            Action::Reinstall { .. } => "Reinstalled:",
            Action::Obsolete { .. } => "Obsoleted:",
            Action::Remove { .. } => "Removed:",
        };
        match done.iter_mut().find(|(known, _)| *known == what) {
            Some((_, list)) => list.push(shown(&step.nevra)),
            None => done.push((what, vec![shown(&step.nevra)])),
        }
    }
    for (what, list) in done {
        out.line("");
        out.line(out.styled(Style::Bold, what));
        for name in &list {
            out.line(format!("  {name}"));
        }
    }
    for note in notes {
        if let Some(text) = say(note) {
            out.warn(text);
        }
    }
}

/// A note in words.
pub(super) fn say(note: &Note) -> Option<String> {
    Some(match note {
        Note::NewConfig { path, new } => {
            format!("{path} was changed by somebody and stays; the new version is {new}")
        }
        Note::Saved { path, saved } => format!("{path} was in the way and is now {saved}"),
        Note::Skipped { path, reason } => format!("{path} was left out: {reason}"),
        Note::Owner { path, name } => format!("{path} belongs to root, because there is no `{name}`"),
        Note::Kept { path, reason } => format!("{path} could not be removed: {reason}"),
        Note::Script { script, ending, output } => {
            format!("Warning: scriptlet {script} {ending}\n{output}").trim_end().to_owned()
        }
        Note::ScriptInterrupted { script } => {
            format!("Warning: scriptlet {script} was interrupted and is not run again")
        }
        Note::ElementSkipped { package, script } => {
            format!("Error: {package} was left out, because its scriptlet {script} failed")
        }
        Note::Ownership { .. } => return None,
    })
}

/// Shows progress and gathers what scriptlets say.
pub(super) struct Watcher {
    bar: indicatif::ProgressBar,
    staging: indicatif::ProgressBar,
    plain: bool,
    text: String,
}

impl Watcher {
    pub(super) fn new(session: &Session<'_>, elements: usize) -> Self {
        let progress = session.progress();
        Self {
            staging: progress.bytes("Unpacking", 0),
            bar: progress.count("Running transaction", elements as u64),
            plain: !progress.is_shown() && !session.out.quiet && !session.out.json,
            text: String::new(),
        }
    }

    pub(super) fn finish(&self) {
        self.staging.finish_and_clear();
        self.bar.finish_and_clear();
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Observer for Watcher {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Staged { bytes, total } => {
                self.staging.set_length(total);
                self.staging.set_position(bytes);
            }
            Event::Committed => self.staging.finish_and_clear(),
            Event::Element { index, total, package, erase } => {
                let verb = if erase { "Erasing" } else { "Installing" };
                self.bar.set_length(total as u64);
                self.bar.set_position(index as u64);
                self.bar.set_message(format!("{verb} {package}"));
                if self.plain {
                    eprintln!("  {verb:10} {package} {}/{total}", index + 1);
                }
            }
            Event::Script { script } => self.bar.set_message(format!("Running scriptlet {script}")),
            Event::Output { text, .. } => {
                // A scriptlet may write without end; the history keeps the start.
                const MAX: usize = 1 << 20;
                if self.text.len() + text.len() < MAX {
                    self.text.push_str(text);
                    self.text.push('\n');
                }
                self.bar.suspend(|| eprintln!("{text}"));
            }
            Event::Note(note) => {
                if let Some(said) = say(note) {
                    self.text.push_str(&said);
                    self.text.push('\n');
                }
            }
        }
    }
}
