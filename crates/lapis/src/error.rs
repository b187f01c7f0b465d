//! What can go wrong, with the numbers by which scripts know it.

use crate::repositories::Trouble;
use std::path::PathBuf;

/// Why a command failed.
///
/// [`Error::number`] is the number under which `tdnf` reports the same; scripts match `Error(1011)`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// A command that does not exist, in words.
    #[error("{0}")]
    NoSuchCommand(String),
    /// A configuration file, or an option that stands for one of its keys.
    #[error("{0}")]
    Config(String),
    /// Nothing matches.
    #[error("No matching packages: {}", .0.join(", "))]
    NoMatch(Vec<String>),
    /// Nothing matches, in the words that scripts for dnf look for.
    #[error("{0}")]
    NoMatchAsDnf(String),
    /// The solver knows nothing of these.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// `search` found nothing.
    #[error("No matches found.")]
    NoSearchResults,
    /// No repository to take packages from.
    #[error(
        "There are no enabled repositories. Look at /etc/yum.repos.d, or use --enablerepo, --repofrompath."
    )]
    NoRepositories,
    /// A repository was named that does not exist.
    #[error("Unknown repository: {0}. `repolist --all` lists what there is.")]
    NoSuchRepository(String),
    /// The metadata of a repository cannot be had or not be trusted.
    #[error("{reason}")]
    Repository {
        /// Which, why, and what to try.
        reason: String,
        /// What kind of trouble it is.
        kind: Trouble,
    },
    /// A package cannot be fetched.
    #[error("cannot fetch {package}: {reason}")]
    Download {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
    /// A package cannot be trusted.
    #[error("{package}: {reason}")]
    Untrusted {
        /// The package.
        package: String,
        /// Why.
        reason: String,
        /// What is the matter: see [`Distrust`].
        kind: Distrust,
    },
    /// The dependencies cannot be met.
    #[error("{0}")]
    Unsolvable(String),
    /// It would remove what must stay.
    #[error("The operation would remove protected packages: {}. See /etc/dnf/protected.d and `protected_packages`.", .0.join(", "))]
    Protected(Vec<String>),
    /// The caller may not.
    #[error("Operation not permitted. You have to be root: {0}")]
    NotRoot(String),
    /// The answer was no.
    #[error("Operation aborted.")]
    Aborted,
    /// Checks found problems.
    #[error("{0}")]
    Problems(String),
    /// The transaction.
    #[error("{0}")]
    Transaction(String),
    /// Kernels without boot entry or module index.
    #[error("{0}")]
    Boot(#[from] lazuli_boot::Error),
    /// The package database.
    #[error("{0}")]
    Database(String),
    /// The history.
    #[error(transparent)]
    History(#[from] crate::history::Error),
    /// A path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// Something of a local file.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        reason: String,
    },
}

/// Why something is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// Nobody signed it.
    Unsigned,
    /// Somebody else signed it.
    Key,
    /// It is damaged.
    Digest,
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The number that `tdnf` has for it.
    pub fn number(&self) -> u32 {
        match self {
            Self::Usage(_) => 1015,
            Self::NoSuchCommand(_) => 902,
            Self::Config(_) => 1010,
            Self::NoMatch(_) | Self::NoMatchAsDnf(_) | Self::NotFound(_) => 1011,
            Self::NoSearchResults => 1599,
            Self::NoRepositories => 1012,
            Self::NoSuchRepository(_) => 1009,
            Self::Repository { kind: Trouble::NotCached, .. } => 1034,
            Self::Repository { .. } | Self::Download { .. } => 1006,
            Self::Untrusted { kind, .. } => match kind {
                Distrust::Unsigned => 1510,
                Distrust::Key => 1514,
                Distrust::Digest => 2501,
            },
            Self::Unsolvable(_) => 1301,
            Self::Protected(_) => 1030,
            Self::NotRoot(_) => 1601,
            Self::Aborted => 1032,
            Self::Problems(_) => 1515,
            Self::Transaction(_) | Self::Boot(_) => 1525,
            Self::Database(_) => 1526,
            Self::History(_) => 1801,
            Self::Fs(_) => 1605,
            Self::File { .. } => 1004,
        }
    }
}

impl From<lazuli_repo::Error> for Error {
    fn from(error: lazuli_repo::Error) -> Self {
        Self::Config(error.to_string())
    }
}
