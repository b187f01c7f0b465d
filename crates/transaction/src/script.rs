//! The scripts of a transaction: chosen before it starts, kept in the plan, run between its steps.

use crate::plan::{Phase, Script};
use crate::prepare::Ready;
use crate::{Error, Options};
use lazuli_rpm::Header;
use lazuli_rpmdb::{Database, FileState, Index};
use lazuli_scriptlet as scriptlet;
use scriptlet::{Flags, Kind, Selection, When};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Success,
    /// In this way.
    Failed(String),
}

/// Runs scripts. There is one that runs them for real; tests have others.
pub trait Scripts {
    /// Names a directory of the root for files that scripts need. It goes when the transaction is over, and if
    /// that is interrupted, when it is recovered.
    fn scratch(&mut self, _directory: &str) {}

    /// Runs a script to its end. `output` gets what it writes, line by line.
    fn run(&mut self, script: &Stored, output: &mut dyn FnMut(&str)) -> Result<Ended, Error>;

    /// Makes the users and groups that a package needs, before its first script. It is called again when
    /// a transaction is recovered, and then finds them. A failure leaves the package out.
    fn users(&mut self, _header: &Header, _output: &mut dyn FnMut(&str)) -> Result<Ended, Error> {
        Ok(Ended::Success)
    }
}

/// A script as it is kept in the plan; see [`scriptlet::Script`], which it is made from and into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its sort, for example `%post`.
    pub kind: String,
    /// The package that it is in.
    pub package: String,
    /// Interpreter and its arguments.
    pub interpreter: Vec<String>,
    /// The text.
    pub body: Option<String>,
    /// Its arguments.
    pub args: Vec<u32>,
    /// Paths for its standard input.
    pub paths: Vec<String>,
    /// RPM's RPMSCRIPT_FLAG bits.
    pub flags: u32,
    /// Prefixes of a relocated package.
    pub prefixes: Vec<String>,
}

const WHEN: [When; 4] = [When::PreIn, When::In, When::Un, When::PostUn];

impl Stored {
    fn from_script(script: scriptlet::Script) -> Self {
        Self {
            kind: script.kind.to_string(),
            package: script.package,
            interpreter: script.interpreter,
            body: script.body,
            args: script.args,
            paths: script.paths,
            flags: script.flags.0,
            prefixes: script.prefixes,
        }
    }

    /// The script to run; `None` if its sort is not known.
    pub fn to_script(&self) -> Option<scriptlet::Script> {
        let plain = [
            Kind::PreTrans,
            Kind::Pre,
            Kind::Post,
            Kind::PreUn,
            Kind::PostUn,
            Kind::PostTrans,
            Kind::PreUnTrans,
            Kind::PostUnTrans,
            Kind::Verify,
        ];
        let triggers = WHEN
            .into_iter()
            .flat_map(|w| [Kind::Trigger(w), Kind::FileTrigger(w), Kind::TransFileTrigger(w)]);
        let kind = plain.into_iter().chain(triggers).find(|kind| kind.to_string() == self.kind)?;
        Some(scriptlet::Script {
            kind,
            package: self.package.clone(),
            element: None,
            interpreter: self.interpreter.clone(),
            body: self.body.clone(),
            args: self.args.clone(),
            paths: self.paths.clone(),
            flags: Flags(self.flags),
            prefixes: self.prefixes.clone(),
        })
    }
}

/// Runs scripts in the root with `lazuli-scriptlet`. The program's `main` must begin with
/// [`scriptlet::helper::run_if_asked`].
#[derive(Debug)]
pub struct Real {
    root: std::path::PathBuf,
    scratch: Option<String>,
    runner: Option<scriptlet::Runner>,
}

impl Real {
    /// For scripts in `root`. What confines them is set up when the first one runs.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), scratch: None, runner: None }
    }
}

impl Real {
    fn runner(&mut self, script: &str) -> Result<&scriptlet::Runner, Error> {
        let runner = match self.runner.take() {
            Some(runner) => runner,
            None => scriptlet::Runner::new(&self.root)
                .map_err(|e| Error::Script { script: script.to_owned(), reason: e.to_string() })?
                .with_options(scriptlet::Options { scratch: self.scratch.clone(), ..Default::default() }),
        };
        Ok(self.runner.insert(runner))
    }
}

impl Scripts for Real {
    fn scratch(&mut self, directory: &str) {
        self.scratch = Some(format!("/{directory}"));
        self.runner = None;
    }

    fn run(&mut self, script: &Stored, output: &mut dyn FnMut(&str)) -> Result<Ended, Error> {
        let label = format!("{}({})", script.kind, script.package);
        let wanted = script.to_script().ok_or_else(|| Error::Script {
            script: label.clone(),
            reason: "it is of no known sort".into(),
        })?;
        // One that cannot be started has failed: the transaction goes on as RPM's would.
        Ok(match self.runner(&label)?.run(&wanted, &mut |_, line| output(line)) {
            Ok(outcome) if outcome.success() => Ended::Success,
            Ok(outcome) => Ended::Failed(outcome.ending.to_string()),
            Err(e) => Ended::Failed(e.to_string()),
        })
    }

    fn users(&mut self, header: &Header, output: &mut dyn FnMut(&str)) -> Result<Ended, Error> {
        use scriptlet::sysusers::{self, Created};
        match sysusers::needed(header) {
            Ok(sources) if sources.is_empty() => return Ok(Ended::Success),
            Ok(_) => {}
            Err(e) => return Ok(Ended::Failed(e.to_string())),
        }
        Ok(match sysusers::create(self.runner("sysusers")?, header, 0, &mut |_, line| output(line)) {
            Ok(Created::Failed(outcome)) => Ended::Failed(outcome.ending.to_string()),
            Ok(_) => Ended::Success,
            Err(e) => Ended::Failed(e.to_string()),
        })
    }
}

/// The packages that are installed before the transaction, for the choice of scripts.
struct Before<'a>(&'a Database);

fn unique(list: impl IntoIterator<Item = u32>) -> Vec<u32> {
    list.into_iter().collect::<BTreeSet<u32>>().into_iter().collect()
}

impl scriptlet::Installed for Before<'_> {
    fn package(&self, hnum: u32) -> scriptlet::Answer<Arc<scriptlet::Package>> {
        let row = self.0.get(hnum)?.ok_or_else(|| format!("package number {hnum} is gone"))?;
        let absent =
            row.states.iter().enumerate().filter(|(_, s)| **s != FileState::Normal).map(|(i, _)| i).collect();
        Ok(Arc::new(scriptlet::Package { header: row.header, absent }))
    }

    fn named(&self, name: &str) -> scriptlet::Answer<Vec<u32>> {
        Ok(unique(self.0.find(Index::Name, name)?.into_iter().map(|(hnum, _)| hnum)))
    }

    fn with_trigger_on(&self, name: &str) -> scriptlet::Answer<Vec<u32>> {
        Ok(unique(self.0.triggers(name)?.into_iter().map(|(hnum, _)| hnum)))
    }

    fn with_file_triggers(&self) -> scriptlet::Answer<Vec<u32>> {
        Ok(unique(self.0.all(Index::FileTrigger)?.into_iter().map(|(_, hnum, _)| hnum)))
    }

    fn with_transaction_file_triggers(&self) -> scriptlet::Answer<Vec<u32>> {
        Ok(unique(self.0.all(Index::TransactionFileTrigger)?.into_iter().map(|(_, hnum, _)| hnum)))
    }

    fn with_files_below(&self, prefix: &str) -> scriptlet::Answer<Vec<u32>> {
        // A prefix may end inside the name of a directory or of a file in it.
        let directory = prefix.rfind('/').map_or("/", |end| &prefix[..=end]);
        let rows = self.0.all(Index::Directory)?;
        let below = rows.into_iter().filter(|(d, _, _)| d == directory || d.starts_with(prefix));
        Ok(unique(below.map(|(_, hnum, _)| hnum)))
    }
}

/// Chooses all scripts of a transaction in the order in which they run.
pub(crate) fn select(ready: &Ready, database: &Database, options: &Options) -> Result<Vec<Script>, Error> {
    // The package manager's steps are one or two elements each to the selection: what comes, what goes.
    let mut elements = Vec::new();
    let mut installs: Vec<Option<usize>> = Vec::new();
    let mut removals: Vec<Vec<usize>> = Vec::new();
    let mut step_of = Vec::new();
    for (at, element) in ready.elements.iter().enumerate() {
        // RPM runs no scripts of a package that is installed over itself.
        let itself = |hnum: &&u32| {
            element.add.is_some()
                && ready.rows.get(hnum).is_some_and(|r| r.installed.nevra().to_string() == element.label)
        };
        let replaces = element.remove.iter().find(itself).copied();
        let install = element.add.as_ref().map(|incoming| {
            let absent =
                (0..incoming.files.len()).filter(|i| incoming.states[*i] != FileState::Normal).collect();
            let header = incoming.package.header.clone();
            let skipped = incoming.skipped.iter().copied().collect();
            elements.push(scriptlet::Element::Install {
                package: Arc::new(scriptlet::Package { header, absent }),
                skipped,
                replaces,
            });
            step_of.push(at);
            elements.len() - 1
        });
        installs.push(install);
        removals.push(Vec::new());
        for hnum in element.remove.iter().filter(|h| Some(**h) != replaces) {
            let skipped =
                ready.rows.get(hnum).map(|row| row.stays.iter().copied().collect()).unwrap_or_default();
            elements.push(scriptlet::Element::Remove { hnum: *hnum, skipped, replaced_by: install });
            step_of.push(at);
            removals[at].push(elements.len() - 1);
        }
    }
    let before = Before(database);
    let mut selection = Selection::new(&before, &elements);
    let mut chosen = Vec::new();
    let fail =
        |e: scriptlet::SelectError| Error::Script { script: "selection".into(), reason: e.to_string() };
    let mut add = |phase: Phase, scripts: Vec<scriptlet::Script>| {
        for script in scripts {
            let is_trigger =
                matches!(script.kind, Kind::Trigger(_) | Kind::FileTrigger(_) | Kind::TransFileTrigger(_));
            if options.no_scripts && !is_trigger || options.no_triggers && is_trigger {
                continue;
            }
            let element = script.element.and_then(|e| step_of.get(e).copied());
            let (label, critical) = (script.to_string(), script.is_critical());
            if let Ok(body) = serde_json::to_value(Stored::from_script(script)) {
                chosen.push(Script { phase, element, label, critical, body });
            }
        }
    };
    if options.justdb || options.no_scripts && options.no_triggers {
        return Ok(Vec::new());
    }
    add(Phase::PreTrans, selection.pretrans().map_err(fail)?);
    add(Phase::BeforeTransaction, selection.before_transaction().map_err(fail)?);
    for (at, install) in installs.iter().enumerate() {
        if let Some(index) = *install {
            add(Phase::BeforeInstall(at), selection.before_install(index).map_err(fail)?);
            selection.installed(index).map_err(fail)?;
            add(Phase::AfterInstall(at), selection.after_install(index).map_err(fail)?);
        }
        for &index in &removals[at] {
            add(Phase::BeforeErase(at), selection.before_erase(index).map_err(fail)?);
        }
        for &index in &removals[at] {
            add(Phase::AfterErase(at), selection.after_erase(index).map_err(fail)?);
            selection.erased(index).map_err(fail)?;
        }
    }
    add(Phase::AfterTransaction, selection.after_transaction().map_err(fail)?);
    Ok(chosen)
}
