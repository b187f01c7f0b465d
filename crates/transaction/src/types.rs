//! What goes in and what comes out.

use crate::Package;

/// A part of the transaction that happens as one: a package comes, the ones it replaces go.
#[derive(Debug)]
pub struct Element {
    /// What comes.
    pub add: Option<Package>,
    /// Rows of the database that go with it: the old version, packages that it obsoletes. With nothing
    /// to add, what is erased.
    pub remove: Vec<u32>,
}

impl Element {
    /// A new package beside all others.
    pub fn install(package: Package) -> Self {
        Self { add: Some(package), remove: Vec::new() }
    }

    /// A package in place of installed ones: upgrade, downgrade, reinstallation, obsoletion.
    pub fn replace(package: Package, remove: Vec<u32>) -> Self {
        Self { add: Some(package), remove }
    }

    /// A package goes.
    pub fn erase(hnum: u32) -> Self {
        Self { add: None, remove: vec![hnum] }
    }
}

/// What happens if files cannot be given the owner, capabilities or device numbers that they should
/// have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Ownership {
    /// The transaction fails before it changes anything. Device nodes are left out with a note.
    #[default]
    Required,
    /// They keep the caller's, with a note. For tests and trees that somebody else gives owners.
    Caller,
}

/// How a transaction is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Leave documentation out (`tsflags=nodocs`).
    pub nodocs: bool,
    /// Leave out files whose paths start like this.
    pub exclude_paths: Vec<String>,
    /// Run no scriptlets (`tsflags=noscripts`).
    pub no_scripts: bool,
    /// Run no triggers (`tsflags=notriggers`).
    pub no_triggers: bool,
    /// Change the database only (`tsflags=justdb`).
    pub justdb: bool,
    /// Set no file capabilities (`tsflags=nocaps`).
    pub no_capabilities: bool,
    /// Files of other packages may be replaced.
    pub replace_files: bool,
    /// Go on although the space does not suffice.
    pub ignore_space: bool,
    /// ELF classes that may be installed: 1 for 32 bit, 2 for 64 bit, 3 for both.
    pub color: u32,
    /// Owners.
    pub ownership: Ownership,
    /// Time of installation in seconds since 1970, which is also the transaction's number; 0 for now.
    pub time: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodocs: false,
            exclude_paths: Vec::new(),
            no_scripts: false,
            no_triggers: false,
            justdb: false,
            no_capabilities: false,
            replace_files: false,
            ignore_space: false,
            color: 3,
            ownership: Ownership::Required,
            time: 0,
        }
    }
}

/// Something that a person should know afterwards.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Note {
    /// A configuration file was changed by somebody: the new one is at the second path.
    NewConfig {
        /// The file, which stays.
        path: String,
        /// The new version.
        new: String,
    },
    /// A file that was in the way, or that somebody had changed, is now at the second path.
    Saved {
        /// Where it was.
        path: String,
        /// Where it is.
        saved: String,
    },
    /// Something that is not permitted here was left out.
    Skipped {
        /// The path.
        path: String,
        /// What was left out and why.
        reason: String,
    },
    /// A user or group that does not exist; root owns the file.
    Owner {
        /// The path.
        path: String,
        /// The name.
        name: String,
    },
    /// A directory or file could not be removed.
    Kept {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A script failed.
    Script {
        /// Package and kind, for example `bash-5.2-1.x86_64 %post`.
        script: String,
        /// How it ended.
        ending: String,
        /// What it wrote.
        output: String,
    },
    /// A script was running when the transaction was interrupted. It is not run again.
    ScriptInterrupted {
        /// Package and kind.
        script: String,
    },
    /// An element was left out, because a script that must succeed first did not.
    ElementSkipped {
        /// The package.
        package: String,
        /// Which script.
        script: String,
    },
    /// Ownership that could not be set, with [`Ownership::Caller`].
    Ownership {
        /// How many paths.
        paths: u64,
    },
}

/// Progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes of package contents staged so far, of all.
    Staged {
        /// So far.
        bytes: u64,
        /// All.
        total: u64,
    },
    /// The commit point was passed: from here on the transaction will be finished.
    Committed,
    /// An element starts.
    Element {
        /// Number from 0.
        index: usize,
        /// Of how many.
        total: usize,
        /// What comes, or what goes.
        package: &'a str,
        /// Whether it only goes.
        erase: bool,
    },
    /// A script starts.
    Script {
        /// Package and kind.
        script: &'a str,
    },
    /// What a script writes.
    Output {
        /// Package and kind.
        script: &'a str,
        /// Text.
        text: &'a str,
    },
    /// Something to know.
    Note(&'a Note),
}

/// Hears of progress.
pub trait Observer {
    /// Called from the thread that runs the transaction.
    fn event(&mut self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}

/// What became of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What came: name, version and architecture, and the number of its row.
    pub added: Option<(String, u32)>,
    /// What went.
    pub removed: Vec<(String, u32)>,
    /// Who signed what came; `None` if nobody was asked for (`--nogpgcheck`).
    pub signer: Option<String>,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Its name.
    pub id: String,
    /// INSTALLTID of what came.
    pub tid: u32,
    /// Elements in the order in which they happened, skipped ones left out.
    pub elements: Vec<Finished>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

/// How an interrupted transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It had not been committed: nothing has changed.
    Dropped,
    /// It was finished.
    Completed(Report),
}

/// What [`crate::recover`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Names of transactions and what became of them, oldest first.
    pub transactions: Vec<(String, Outcome)>,
}
