//! What can go wrong while an image is made.

use std::path::PathBuf;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path on the building machine.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A tree.
    #[error(transparent)]
    Tree(#[from] lazuli_tree::Error),
    /// Two packages own different things at one path.
    #[error(transparent)]
    Merge(#[from] lazuli_tree::MergeError),
    /// A pass over the root file system.
    #[error(transparent)]
    Pass(#[from] crate::passes::Error),
    /// An RPM that is damaged or that no trusted key signed.
    #[error("{rpm}: {source}")]
    Package {
        /// The package, by name if that is known, else by digest.
        rpm: String,
        /// What is wrong.
        #[source]
        source: lazuli_rpm::package::Error,
    },
    /// An RPM whose payload cannot be unpacked.
    #[error("{rpm}: {source}")]
    Payload {
        /// The package.
        rpm: String,
        /// What is wrong.
        #[source]
        source: lazuli_rpm::payload::Error,
    },
    /// The package database.
    #[error(transparent)]
    Database(#[from] lazuli_rpmdb::Error),
    /// A file lies below something that is no directory.
    #[error("{path} cannot be there: {parent} is a {kind}, not a directory; move the file in its package")]
    NotDirectory {
        /// The file.
        path: lazuli_tree::TreePath,
        /// What should be a directory.
        parent: lazuli_tree::TreePath,
        /// What it is.
        kind: &'static str,
    },
    /// The image's description.
    #[error(transparent)]
    Toml(#[from] lazuli_component::toml_file::Error),
    /// The image's description says something that cannot be.
    #[error("{file}: {reason}", file = .file.display())]
    Spec {
        /// The description.
        file: PathBuf,
        /// What is wrong and what to try.
        reason: String,
    },
    /// A tool in the sandbox.
    #[error("{what}: {source}")]
    Tool {
        /// What it was to do.
        what: String,
        /// How it failed.
        #[source]
        source: lazuli_sandbox::Error,
    },
    /// A scriptlet of a package that is not ours.
    #[error("the {scriptlet} scriptlet of {package}: {source}")]
    Scriptlet {
        /// The package.
        package: String,
        /// `%pre`, `%post`, ...
        scriptlet: &'static str,
        /// How it failed.
        #[source]
        source: lazuli_sandbox::Error,
    },
    /// An image with slots is made without anybody who signs it.
    #[error("an image with slots must be signed, and no key was given")]
    NoSigner,
    /// A version that cannot be.
    #[error("{reason}")]
    Version {
        /// The version.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// Something could not be signed, or a signature that was brought is not good.
    #[error("{part}: {source}")]
    Signature {
        /// What is signed.
        part: crate::signing::Part,
        /// What is wrong.
        #[source]
        source: lazuli_secureboot::Error,
    },
    /// Something that an image needs is in no package.
    #[error("the image has no {what} ({path}); {hint}")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it is looked for.
        path: String,
        /// What to try.
        hint: String,
    },
    /// A format could not be written.
    #[error("cannot make the {what}: {reason}")]
    Format {
        /// Which format.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The content does not fit.
    #[error("the {what} needs {needed} bytes and has {size}; raise `{key}` in the image's description")]
    TooSmall {
        /// The partition or file system.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        size: u64,
        /// The key to change.
        key: &'static str,
    },
}

/// The result of making an image or a part of one.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A format error from any reason.
    pub(crate) fn format(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Format { what, reason: reason.to_string() }
    }
}
