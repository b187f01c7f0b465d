//! What can end a start.

use crate::{command_line, gpt, table};
use std::fmt;
use std::io;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the root could not be started. Written by hand: a derive would be a procedural macro.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    System {
        /// What was tried, as in "cannot WHAT PATH".
        what: &'static str,
        /// On what.
        path: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The command line does not say what the root is.
    CommandLine(command_line::Error),
    /// What it says is not a table of a verity device.
    Table(table::Error),
    /// A disk has no partition table that can be read.
    Gpt {
        /// The disk.
        disk: String,
        /// What is wrong with it.
        source: gpt::Error,
    },
    /// The time is over, and partitions of the root are not there.
    Missing {
        /// Seconds that were waited.
        seconds: u64,
        /// The partitions, as `root data PARTUUID=...`.
        partitions: Vec<String>,
        /// What was there instead, a line each.
        seen: Vec<String>,
    },
}

impl Error {
    /// For `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(
        what: &'static str,
        path: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, path: path.into(), source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { what, path, source } => write!(f, "cannot {what} {path}: {source}"),
            Self::CommandLine(source) => write!(f, "the kernel's command line: {source}"),
            Self::Table(source) => write!(f, "{}: {source}", command_line::TABLE),
            Self::Gpt { disk, source } => write!(f, "{disk}: {source}"),
            Self::Missing { seconds, partitions, seen } => {
                write!(f, "not there after {seconds} seconds: {}", partitions.join(", "))?;
                let seen = if seen.is_empty() { "no disk at all".to_owned() } else { seen.join("; ") };
                write!(f, "; there is: {seen}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<command_line::Error> for Error {
    fn from(error: command_line::Error) -> Self {
        Self::CommandLine(error)
    }
}

impl From<table::Error> for Error {
    fn from(error: table::Error) -> Self {
        Self::Table(error)
    }
}
