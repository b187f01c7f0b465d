//! Carrying out a committed plan, from wherever it was interrupted.
//!
//! The same code runs a transaction and rolls it forward. What the journal says was done is done, if it
//! says so of this boot of the machine; after a reboot the journal may be ahead of the file systems, and
//! each file is looked at again.

mod files;

use crate::journal::{self, Journal, Record};
use crate::plan::{Phase, Plan, Step};
use crate::root::Root;
use crate::script::{Ended, Scripts, Stored};
use crate::{Error, Event, Finished, Note, Observer, Report, disk, effect};
use lazuli_rpm::Header;
use lazuli_rpmdb::{Addition, Change, Database, FileState, InstalledPackage};
use lazuli_tree::Accounts;

/// How much of what a script writes is kept for the report, in bytes.
const OUTPUT: usize = 16 << 10;

/// A transaction beyond its commit point.
pub(crate) struct Apply<'a> {
    pub(crate) root: &'a Root,
    pub(crate) plan: &'a Plan,
    pub(crate) journal: &'a mut Journal,
    pub(crate) database: &'a mut Database,
    pub(crate) scripts: &'a mut dyn Scripts,
    pub(crate) observer: &'a mut dyn Observer,
    /// Whether the journal is believed about files.
    pub(crate) believe: bool,
    pub(crate) accounts: Accounts,
}

/// Names of the files that hold the headers of what a step adds.
pub(crate) fn header_names(step: usize) -> (String, String) {
    (format!("{step}.header"), format!("{step}.signature"))
}

impl Apply<'_> {
    /// Does everything that is left to do, up to and including the last flush.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        // Rows are flushed last of all: a journal that is ahead of them may be ahead of the files as well.
        self.believe = self.believe && self.rows_are_there()?;
        self.database.defer_flushes()?;
        self.phase(Phase::PreTrans)?;
        self.phase(Phase::BeforeTransaction)?;
        let total = self.plan.steps.len();
        for (at, step) in self.plan.steps.iter().enumerate() {
            let done = self.believe && self.journal.has(&Record::Done { step: at });
            if done || self.journal.skipped(at).is_some() {
                continue;
            }
            self.observer.event(Event::Element {
                index: at,
                total,
                package: &step.label,
                erase: step.add.is_none(),
            });
            self.step(at, step)?;
        }
        self.phase(Phase::AfterTransaction)?;
        self.flush()
    }

    /// Whether the database has each change that the journal says was made, by the number of its row.
    fn rows_are_there(&self) -> Result<bool, Error> {
        for (at, step) in self.plan.steps.iter().enumerate() {
            let added = self.journal.added(at);
            if added.is_none() && !self.journal.has(&Record::Done { step: at }) {
                continue;
            }
            for row in &step.remove {
                if self.database.get(row.hnum)?.is_some() {
                    return Ok(false);
                }
            }
            let row = added.map(|hnum| self.database.get(hnum)).transpose()?.flatten();
            if step.add.is_some() && !row.is_some_and(|row| self.is_of(step, &row)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a row is what a step of this transaction added.
    fn is_of(&self, step: &Step, row: &lazuli_rpmdb::Installed) -> bool {
        row.transaction == self.plan.time && row.nevra().to_string() == step.label
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.root.forget();
        effect::other("flush", &self.root.label("usr/lib/sysimage/rpm"))?;
        self.database.flush()?;
        for stage in &self.plan.stages {
            effect::sync_file_system(self.root.for_sync(stage)?, &self.root.label(stage))?;
        }
        effect::sync_file_system(self.root.for_sync("")?, &self.root.label(""))?;
        self.journal.append_durable(Record::Finished)
    }

    fn step(&mut self, at: usize, step: &Step) -> Result<(), Error> {
        if step.add.is_some() {
            let before = Record::Files { step: at };
            if !self.journal.has(&before) {
                if !self.users(at, step)? {
                    return Ok(());
                }
                self.phase(Phase::BeforeInstall(at))?;
                if self.journal.skipped(at).is_some() {
                    return Ok(());
                }
            }
            if !(self.believe && self.journal.has(&before)) {
                // Scripts may have made users, or directories.
                self.accounts = disk::accounts(self.root)?;
                self.root.forget();
                for action in &step.files {
                    self.file(action)?;
                }
                self.journal.append(before)?;
            }
            self.change(at, step)?;
            self.phase(Phase::AfterInstall(at))?;
        }
        if !step.remove.is_empty() {
            self.phase(Phase::BeforeErase(at))?;
            if self.journal.skipped(at).is_some() {
                return Ok(());
            }
            let erased = Record::Erased { step: at };
            if !(self.believe && self.journal.has(&erased)) {
                self.root.forget();
                for action in &step.erase {
                    self.erase(action)?;
                }
                self.journal.append(erased)?;
            }
            self.phase(Phase::AfterErase(at))?;
            if step.add.is_none() {
                self.change(at, step)?;
            }
        }
        self.journal.append(Record::Done { step: at })
    }

    /// Makes the users that a package needs; false if it must be left out because that failed.
    fn users(&mut self, at: usize, step: &Step) -> Result<bool, Error> {
        if !self.plan.users {
            return Ok(true);
        }
        let header = self.header(&header_names(at).0)?;
        let observer = &mut *self.observer;
        let label = format!("sysusers({})", step.label);
        let ended = self.scripts.users(&header, &mut |line| {
            observer.event(Event::Output { script: &label, text: line });
        })?;
        let Ended::Failed(ending) = ended else { return Ok(true) };
        self.note(Note::Script { script: label.clone(), ending, output: String::new() })?;
        self.note(Note::ElementSkipped { package: step.label.clone(), script: label })?;
        self.journal.append(Record::Skipped { step: at, script: usize::MAX })?;
        Ok(false)
    }

    /// Changes the database for a step: new row in, old rows out, at once.
    fn change(&mut self, at: usize, step: &Step) -> Result<(), Error> {
        let mut change = Change { remove: step.remove.iter().map(|r| r.hnum).collect(), ..Change::default() };
        if let Some(add) = &step.add {
            let (header, signature) = header_names(at);
            let mut package = InstalledPackage::new(self.header(&header)?, self.header(&signature)?);
            package.states = states(&add.states);
            change.add.push(Addition {
                package,
                install_time: self.plan.time,
                transaction: self.plan.time,
                color: self.plan.color,
            });
        }
        change.states = step.states.iter().map(|(hnum, list)| (*hnum, states(list))).collect();
        // Elements that remove a package whose states another one changes may come first.
        let present = |hnum: u32, database: &Database| database.get(hnum).map(|row| row.is_some());
        let mut kept = Vec::new();
        for (hnum, list) in std::mem::take(&mut change.states) {
            if present(hnum, self.database)? {
                kept.push((hnum, list));
            }
        }
        change.states = kept;
        let number = if self.database.is_applied(&change)? {
            // The journal's number may be that of a row that was lost and made again with another one.
            let number = self.journal.added(at);
            let row = number.map(|hnum| self.database.get(hnum)).transpose()?.flatten();
            number.filter(|_| row.is_some_and(|row| self.is_of(step, &row)))
        } else {
            effect::other("change", &self.root.label("usr/lib/sysimage/rpm"))?;
            self.database.apply(&change)?.first().copied()
        };
        // A crash between the change and the record: the row has to be looked for.
        let number = match (number, &step.add) {
            (None, Some(_)) => self.find_row(step, at)?,
            (number, _) => number,
        };
        if let (Some(hnum), Some(_)) = (number, &step.add) {
            let record = Record::Added { step: at, hnum };
            if !self.journal.has(&record) {
                self.journal.append(record)?;
            }
        }
        Ok(())
    }

    fn find_row(&self, step: &Step, at: usize) -> Result<Option<u32>, Error> {
        let header = self.header(&header_names(at).0)?;
        let name = header.string(lazuli_rpm::tag::NAME).unwrap_or_default();
        let rows = self.database.named(&name)?;
        Ok(rows.iter().find(|row| self.is_of(step, row)).map(|r| r.hnum))
    }

    fn header(&self, name: &str) -> Result<Header, Error> {
        let path = self.root.path().join(journal::directory(&self.plan.id)).join(name);
        let bytes = lazuli_fs::read(&path)?;
        Header::parse(&bytes).map_err(|e| Error::Journal { path, reason: e.to_string() })
    }

    pub(crate) fn note(&mut self, note: Note) -> Result<(), Error> {
        let record = Record::Note(note);
        if self.journal.has(&record) {
            return Ok(());
        }
        if let Record::Note(note) = &record {
            self.observer.event(Event::Note(note));
        }
        self.journal.append(record)
    }

    /// Runs the scripts of a phase that were not started yet.
    fn phase(&mut self, phase: Phase) -> Result<(), Error> {
        for (number, script) in self.plan.scripts.iter().enumerate().filter(|(_, s)| s.phase == phase) {
            if script.element.is_some_and(|element| self.journal.skipped(element).is_some()) {
                continue;
            }
            let success = match self.journal.script(number) {
                (_, Some(success)) => success,
                (true, None) => {
                    // It may have done its work, or half of it: running it again could do harm.
                    self.note(Note::ScriptInterrupted { script: script.label.clone() })?;
                    self.journal.append(Record::ScriptEnd { script: number, success: true })?;
                    true
                }
                (false, None) => self.script(number, &script.label, &script.body)?,
            };
            if success || !script.critical {
                continue;
            }
            let Some(element) = script.element else { continue };
            // What has come already is not taken back because its predecessor does not want to go.
            let came = self.plan.steps.get(element).is_some_and(|step| step.add.is_some());
            if came && matches!(phase, Phase::BeforeErase(_)) {
                continue;
            }
            let package = self.plan.steps.get(element).map(|s| s.label.clone()).unwrap_or_default();
            self.note(Note::ElementSkipped { package, script: script.label.clone() })?;
            self.journal.append(Record::Skipped { step: element, script: number })?;
        }
        Ok(())
    }

    fn script(&mut self, number: usize, label: &str, body: &serde_json::Value) -> Result<bool, Error> {
        let stored: Stored = serde_json::from_value(body.clone())
            .map_err(|e| Error::Script { script: label.to_owned(), reason: e.to_string() })?;
        self.journal.append_durable(Record::ScriptStart { script: number })?;
        effect::other("run", label)?;
        self.observer.event(Event::Script { script: label });
        let mut kept = String::new();
        let observer = &mut *self.observer;
        let ended = self.scripts.run(&stored, &mut |line| {
            observer.event(Event::Output { script: label, text: line });
            if kept.len() < OUTPUT {
                kept.push_str(line);
                kept.push('\n');
            }
        })?;
        self.root.forget();
        let success = ended == Ended::Success;
        if let Ended::Failed(ending) = ended {
            self.note(Note::Script { script: label.to_owned(), ending, output: kept })?;
        }
        self.journal.append_durable(Record::ScriptEnd { script: number, success })?;
        Ok(success)
    }

    /// What happened, from the plan and the journal.
    pub(crate) fn report(&self) -> Report {
        report(self.plan, self.journal)
    }
}

fn report(plan: &Plan, journal: &Journal) -> Report {
    let mut elements = Vec::new();
    for (at, step) in plan.steps.iter().enumerate().filter(|(at, _)| journal.skipped(*at).is_none()) {
        let hnum = journal.added(at);
        elements.push(Finished {
            added: step.add.as_ref().map(|_| (step.label.clone(), hnum.unwrap_or(0))),
            removed: step.remove.iter().map(|r| (r.label.clone(), r.hnum)).collect(),
            signer: step.add.as_ref().and_then(|a| a.signer.clone()),
        });
    }
    let notes = journal.records.iter().filter_map(|r| match r {
        Record::Note(note) => Some(note.clone()),
        _ => None,
    });
    Report { id: plan.id.clone(), tid: plan.time, elements, notes: notes.collect() }
}

fn states(numbers: &[u8]) -> Vec<FileState> {
    numbers.iter().map(|n| FileState::from_number(u64::from(*n))).collect()
}
