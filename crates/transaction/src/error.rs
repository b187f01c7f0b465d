//! What can go wrong, and who can do something about it.

use std::fmt;
use std::path::PathBuf;

/// Why a transaction cannot be prepared, run or recovered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan does not fit the root. Nothing was changed.
    #[error("{0}")]
    Problems(Problems),
    /// A path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// A package file.
    #[error("{file}: {source}")]
    Package {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        source: lazuli_rpm::package::Error,
    },
    /// The files of a package.
    #[error("{package}: {reason}")]
    Files {
        /// Which package.
        package: String,
        /// What is wrong, with the path.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] lazuli_rpmdb::Error),
    /// Another transaction was interrupted.
    #[error("transaction {id} was interrupted: run `lapis recover` first")]
    Pending {
        /// Which one.
        id: String,
    },
    /// A journal that cannot be understood.
    #[error("journal {path}: {reason}", path = .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the byte.
        reason: String,
    },
    /// Scriptlets.
    #[error("scriptlet {script}: {reason}")]
    Script {
        /// Which one.
        script: String,
        /// Why it could not be selected or started.
        reason: String,
    },
    /// It failed after the commit point.
    #[error("transaction {id} was interrupted: {source}. Run `lapis recover`, which finishes it")]
    Interrupted {
        /// Which one.
        id: String,
        /// What happened.
        source: Box<Error>,
    },
}

/// Everything that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

/// One reason why a plan does not fit the root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two packages have different files of one name.
    #[error("file {path} of {package} conflicts with the one of {other}{}", if *.installed { ", which is installed" } else { "" })]
    Conflict {
        /// The file.
        path: String,
        /// Package that comes.
        package: String,
        /// Package that is or also comes.
        other: String,
        /// Whether the other one is installed.
        installed: bool,
    },
    /// A directory where a package has something else.
    #[error("{path} of {package} is not a directory, but there is one in its place: move it away")]
    Directory {
        /// The path.
        path: String,
        /// Package that comes.
        package: String,
    },
    /// A path that leads through a symbolic link which an ordinary user could have made.
    #[error(
        "{path} leads through the symbolic link {link}, which belongs to user {owner}, not to root: remove the link"
    )]
    Link {
        /// The path.
        path: String,
        /// The link.
        link: String,
        /// Number of the user who owns it.
        owner: u32,
    },
    /// A file in the place of a directory above a package's file.
    #[error("{path} needs a directory where {obstacle} is something else")]
    Obstacle {
        /// The path.
        path: String,
        /// What is in the way.
        obstacle: String,
    },
    /// Not enough space.
    #[error("{mount} needs {needed} more bytes than the {available} that are free")]
    Space {
        /// Where the file system is mounted.
        mount: PathBuf,
        /// Bytes that are missing.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Not enough inodes.
    #[error("{mount} needs {needed} inodes, and {available} are free")]
    Inodes {
        /// Where the file system is mounted.
        mount: PathBuf,
        /// How many are needed.
        needed: u64,
        /// How many are free.
        available: u64,
    },
    /// A row that is to be removed is not there.
    #[error("package number {hnum} is not installed any more: make the plan again")]
    Gone {
        /// Number of its row.
        hnum: u32,
    },
    /// The same package is installed already.
    #[error("{package} is installed already")]
    Installed {
        /// Which one.
        package: String,
    },
    /// Two elements concern one row or add one package.
    #[error("{package} is in the plan twice")]
    Twice {
        /// Which one.
        package: String,
    },
}
