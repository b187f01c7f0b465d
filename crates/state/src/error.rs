//! What can go wrong.

use rustix::io::Errno;
use std::path::PathBuf;

/// A result of this program.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step of the boot failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] lazuli_fs::Error),
    /// A system call failed.
    #[error("cannot {what} {path}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel says.
        source: Errno,
    },
    /// The state of this machine needs a person.
    #[error("{0}")]
    State(String),
}

impl Error {
    /// For `map_err`.
    pub fn system(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        move |source| Self::System { what, path: path.into(), source }
    }
}

/// Ends with a message for a person.
pub fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::State(reason.into()))
}
