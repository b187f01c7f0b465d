//! A transaction from its first byte on the disk to its last.

use crate::apply::{Apply, header_names};
use crate::journal::{self, Journal, Record};
use crate::plan::{EraseAction, FileAction, Plan, VERSION};
use crate::prepare::{self, Ordered, Ready};
use crate::root::{Root, split};
use crate::script::{self, Real, Scripts};
use crate::{Element, Error, Event, Observer, Options, Report, disk, effect, stage};
use lazuli_rpmdb::Database;
use lazuli_store::Digest;
use rustix::fd::AsFd as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much a transaction will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Elements.
    pub elements: usize,
    /// Files that get a name.
    pub files: usize,
    /// Paths that are removed.
    pub erased: usize,
    /// Scripts that run.
    pub scripts: usize,
}

/// A transaction that can be carried out.
pub struct Prepared<'a> {
    root: Root,
    database: &'a mut Database,
    plan: Plan,
    elements: Vec<Ordered>,
}

impl std::fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("id", &self.plan.id).finish_non_exhaustive()
    }
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(
        path: &Path,
        database: &'a mut Database,
        elements: Vec<Element>,
        mut options: Options,
    ) -> Result<Self, Error> {
        let root = Root::open(path)?;
        if let Some(id) = prepare::pending(&root)?.into_iter().next() {
            return Err(Error::Pending { id });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if options.time == 0 {
            options.time = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        }
        // The order of names is that of transactions; two of one second differ.
        let id = format!("{:010}-{:09}", options.time, now.subsec_nanos());
        let ready = prepare::prepare(&root, database, elements, &options, id)?;
        let scripts = script::select(&ready, database, &options)?;
        let Ready { mut plan, elements, .. } = ready;
        plan.scripts = scripts;
        Ok(Self { root, database, plan, elements })
    }

    /// Names of what comes and goes, in the order in which it will.
    pub fn order(&self) -> impl Iterator<Item = &str> {
        self.plan.steps.iter().map(|step| &step.label[..])
    }

    /// How much it is.
    pub fn summary(&self) -> Summary {
        let place = |a: &&FileAction| matches!(a, FileAction::Place { .. });
        let erase = |a: &&EraseAction| matches!(a, EraseAction::File { .. });
        Summary {
            elements: self.plan.steps.len(),
            files: self.plan.steps.iter().map(|s| s.files.iter().filter(place).count()).sum(),
            erased: self.plan.steps.iter().map(|s| s.erase.iter().filter(erase).count()).sum(),
            scripts: self.plan.scripts.len(),
        }
    }

    /// Stages, commits, applies and cleans up. If it fails before the commit point, nothing has changed;
    /// after it, the error is [`Error::Interrupted`], and [`crate::recover`] goes on from there.
    pub fn run(self, observer: &mut dyn Observer) -> Result<Report, Error> {
        let mut scripts = Real::new(self.root.path());
        self.run_with(&mut scripts, observer)
    }

    /// The same with another way to run scripts.
    pub fn run_with(
        mut self,
        scripts: &mut dyn Scripts,
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        let mut journal = match self.commit(observer) {
            Ok(journal) => journal,
            // The record of the commit may or may not be on the disk: the next recovery looks.
            Err(e @ Error::Interrupted { .. }) => return Err(e),
            Err(e) => {
                // What cannot be dropped now is dropped by the next recovery.
                if drop_staged(&self.root, &self.plan.id, &self.plan.stages).is_err() {
                    tracing::warn!(id = %self.plan.id, "staged files are left until the next recovery");
                }
                return Err(e);
            }
        };
        observer.event(Event::Committed);
        let id = self.plan.id.clone();
        finish(&self.root, &self.plan, &mut journal, self.database, scripts, observer)
            .map_err(|e| Error::Interrupted { id, source: Box::new(e) })
    }

    /// Everything up to the commit point.
    fn commit(&mut self, observer: &mut dyn Observer) -> Result<Journal, Error> {
        let begin =
            Record::Begin { version: VERSION, boot: journal::boot_id(), stages: self.plan.stages.clone() };
        let mut journal = Journal::create(&self.root, &self.plan.id, begin)?;
        stage::make_directories(&self.root, &self.plan)?;
        let notes = stage::unpack(&self.root, &mut self.plan, &self.elements, observer)?;
        let own = self.root.for_sync(&journal::directory(&self.plan.id))?;
        let write = |name: &str, bytes: &[u8]| -> Result<(), Error> {
            let label = self.root.label(&format!("{}/{name}", journal::directory(&self.plan.id)));
            let mut file = effect::create(own.as_fd(), name, &label)?;
            Ok(effect::write(&mut file, bytes, &label)?)
        };
        for (at, element) in self.elements.iter().enumerate() {
            let Some(incoming) = &element.add else { continue };
            let (header, signature) = header_names(at);
            write(&header, incoming.package.header.bytes())?;
            write(&signature, incoming.package.signature.bytes())?;
        }
        let plan = serde_json::to_vec(&self.plan)
            .map_err(|e| Error::Journal { path: journal.path().to_owned(), reason: e.to_string() })?;
        write(PLAN, &plan)?;
        for note in notes {
            observer.event(Event::Note(&note));
            journal.append(Record::Note(note))?;
        }
        for stage in &self.plan.stages {
            effect::sync_file_system(self.root.for_sync(stage)?, &self.root.label(stage))?;
        }
        effect::sync_file_system(&own, &journal.path().display().to_string())?;
        let id = || self.plan.id.clone();
        journal
            .append_durable(Record::Commit { plan: Digest::of(&plan) })
            .map_err(|e| Error::Interrupted { id: id(), source: Box::new(e) })?;
        // From here on the staging directories have what is needed.
        self.elements.clear();
        Ok(journal)
    }
}

/// The name of the plan in the transaction's directory.
const PLAN: &str = "plan.json";

/// Reads the plan of a committed transaction.
pub(crate) fn read_plan(root: &Root, id: &str, digest: Digest) -> Result<Plan, Error> {
    let path = root.path().join(journal::directory(id)).join(PLAN);
    let bytes = lazuli_fs::read(&path)?;
    let fail = |reason: String| Error::Journal { path: path.clone(), reason };
    if Digest::of(&bytes) != digest {
        return Err(fail("it is not the plan that was committed".into()));
    }
    serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))
}

/// Everything after the commit point.
pub(crate) fn finish(
    root: &Root,
    plan: &Plan,
    journal: &mut Journal,
    database: &mut Database,
    scripts: &mut dyn Scripts,
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    let believe = journal.is_of_this_boot();
    let accounts = disk::accounts(root)?;
    let finished = journal.has(&Record::Finished);
    scripts.scratch(&journal::directory(&plan.id));
    let mut apply = Apply { root, plan, journal, database, scripts, observer, believe, accounts };
    if !finished {
        apply.run()?;
    }
    let report = apply.report();
    if let Err(e) = drop_staged(root, &plan.id, &plan.stages) {
        // Everything is done but this, and the next recovery does it.
        tracing::warn!(id = %plan.id, error = %e, "old files are left until the next recovery");
    }
    Ok(report)
}

/// Removes the staging directories, then the transaction's directory, which names them.
pub(crate) fn drop_staged(root: &Root, id: &str, stages: &[String]) -> Result<(), Error> {
    root.forget();
    for stage in stages {
        let (parent, name) = split(stage);
        if root.directory(stage)?.is_none() {
            continue;
        }
        let directory = root.for_sync(parent)?;
        effect::remove_tree(directory.as_fd(), name, &root.label(stage))?;
        effect::sync(&directory, &root.label(parent))?;
    }
    let own = journal::directory(id);
    let (parent, name) = split(&own);
    if root.directory(&own)?.is_some() {
        let directory = root.for_sync(parent)?;
        effect::remove_tree(directory.as_fd(), name, &root.label(&own))?;
        effect::sync(&directory, &root.label(parent))?;
    }
    Ok(())
}
