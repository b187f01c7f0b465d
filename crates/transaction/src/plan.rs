//! What a transaction will do, as it is kept in its directory: everything that recovery needs to know.

use crate::Ownership;
use serde::{Deserialize, Serialize};

/// Version of the plan and the journal.
pub(crate) const VERSION: u32 = 1;

/// A whole transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Name of the transaction.
    pub(crate) id: String,
    /// INSTALLTID and INSTALLTIME, in seconds since 1970.
    pub(crate) time: u32,
    /// INSTALLCOLOR.
    pub(crate) color: u32,
    pub(crate) ownership: Ownership,
    /// Whether users and groups of packages are made.
    pub(crate) users: bool,
    /// Staging directories, one for each mount that is concerned.
    pub(crate) stages: Vec<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) scripts: Vec<Script>,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// What comes, or what goes.
    pub(crate) label: String,
    pub(crate) add: Option<Add>,
    pub(crate) remove: Vec<Remove>,
    /// In the order in which they are done.
    pub(crate) files: Vec<FileAction>,
    /// Deepest first.
    pub(crate) erase: Vec<EraseAction>,
    /// New states of files of other packages: number of the row, all its states.
    pub(crate) states: Vec<(u32, Vec<u8>)>,
}

impl Step {
    /// Where staged and old files are: which staging directory, and the name in it.
    pub(crate) fn staged(&self) -> impl Iterator<Item = (usize, &str)> {
        let placed = self.files.iter().filter_map(|action| match action {
            FileAction::Place { stage, name, .. } => Some((*stage, &name[..])),
            _ => None,
        });
        let erased = self.erase.iter().filter_map(|action| match action {
            EraseAction::File { stage, name, .. } => Some((*stage, &name[..])),
            EraseAction::Directory { .. } => None,
        });
        placed.chain(erased)
    }
}

/// The name of a staged file: the number of its element, that of the file in the package.
pub(crate) fn staged_name(element: usize, file: usize) -> String {
    format!("{element}/{file}")
}

/// The name under which the file of a package that goes lies until the end.
pub(crate) fn erased_name(element: usize, hnum: u32, file: usize) -> String {
    format!("{element}/r{hnum}.{file}")
}

/// The file of a staged name.
pub(crate) fn file_number(staged: &str) -> Option<usize> {
    staged.rsplit('/').next()?.parse().ok()
}

/// What comes. Its headers are files in the transaction's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) signer: Option<String>,
    pub(crate) states: Vec<u8>,
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remove {
    pub(crate) hnum: u32,
    pub(crate) label: String,
}

/// Metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// With the type.
    pub(crate) mode: u32,
    pub(crate) mtime: i64,
    #[serde(default, skip_serializing_if = "is_root")]
    pub(crate) user: String,
    #[serde(default, skip_serializing_if = "is_root")]
    pub(crate) group: String,
    /// `security.capability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capabilities: Option<Vec<u8>>,
}

fn is_root(name: &str) -> bool {
    name.is_empty()
}

/// What becomes of something else that is in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keep {
    /// Nothing; it goes when the transaction is over.
    No,
    /// A configuration file that somebody changed: `.rpmsave`.
    Save,
    /// A file that no package had: `.rpmorig`.
    Orig,
}

impl Keep {
    pub(crate) fn suffix(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Save => Some(".rpmsave"),
            Self::Orig => Some(".rpmorig"),
        }
    }
}

/// What happens to a path when a package comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileAction {
    /// A directory is there with this metadata.
    Directory {
        path: String,
        meta: Meta,
        /// Something else that is in its place belongs to a package that goes, and need not be kept.
        #[serde(default)]
        replaces: bool,
    },
    /// A file is there with this metadata; its content is right already.
    Touch { path: String, meta: Meta },
    /// A staged file gets its name.
    Place {
        path: String,
        meta: Meta,
        /// Which staging directory, and the name in it, see [`staged_name`].
        stage: usize,
        name: String,
        /// Inode number of the staged file, by which it is told from what it was exchanged for.
        ino: u64,
        keep: Keep,
        /// Digest of the old file, if it was looked at: for people who read the plan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<String>,
        /// What a person has to know: this is a `.rpmnew` of that path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<String>,
    },
}

/// What happens to a path when a package goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EraseAction {
    /// An empty directory goes; one that is not empty stays.
    Directory { path: String },
    /// A file goes to the staging directory under this name, or to its `.rpmsave`.
    File { path: String, stage: usize, name: String, keep: Keep },
}

/// When scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    PreTrans,
    BeforeTransaction,
    /// The number is that of the element.
    BeforeInstall(usize),
    AfterInstall(usize),
    BeforeErase(usize),
    AfterErase(usize),
    AfterTransaction,
}

/// A script that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) phase: Phase,
    /// The element that is left out if it fails.
    pub(crate) element: Option<usize>,
    /// For messages, for example `%post(bash-5.2-1.x86_64)`.
    pub(crate) label: String,
    pub(crate) critical: bool,
    /// What it is, for whoever runs it.
    pub(crate) body: serde_json::Value,
}
