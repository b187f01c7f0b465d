//! What can go wrong between two images.

use std::io;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a new image cannot be described, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the publisher is not what it claims to be, or was altered on the way.
    #[error("{what} is not valid: {reason}; it was damaged or altered on its way, or is of a newer format")]
    Format {
        /// What was read: `the recipe`, `the index of the full image`...
        what: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// A part does not have the digest that its index promises.
    #[error("{what}: part {part} was altered: its SHA-256 is not the one that the index promises")]
    Altered {
        /// What was read.
        what: &'static str,
        /// The number of the group or frame, from 0.
        part: usize,
    },
    /// What is to be started from is another image.
    #[error("the recipe does not start from the running image: {0}")]
    Base(String),
    /// An image that is no erofs, or one that cannot be read.
    #[error("the file system cannot be read: {0}")]
    Erofs(String),
    /// An image that cannot be described.
    #[error("{0}")]
    Image(String),
    /// A device or a stream.
    #[error("cannot {op}: {source}")]
    Io {
        /// What was attempted, with where: `read the running slot at byte 4096`.
        op: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// An error of the format of `what`.
    pub(crate) fn format(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Format { what, reason: reason.into() }
    }

    /// An error of input or output while doing `op`.
    pub(crate) fn io(op: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let op = op.into();
        move |source| Self::Io { op, source }
    }
}
