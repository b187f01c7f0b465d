//! What can be wrong with keys, signatures and what is signed.

use std::path::PathBuf;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// A key file that is not valid.
    #[error("{path}: {reason}; restore it, or move the directory away to have new keys made", path = .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Others can read a secret key.
    #[error("{path} can be read by others (mode {mode:o}); run: chmod 600 {path}", path = .path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key or certificate that cannot be used.
    #[error("not a key or certificate that can be used here: {0}")]
    Key(String),
    /// Bytes that are not a PE image.
    #[error("not a PE image that can be signed: {0}")]
    Pe(&'static str),
    /// Bytes that are not a signature.
    #[error("not a signature that can be read: {0}")]
    Format(String),
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Signed, but not what is there.
    #[error(
        "the signature is for other content: it was changed after it was signed, or the file is a different one"
    )]
    Content,
    /// Signed by somebody else.
    #[error("signed by {signer}, which is not among the trusted certificates ({trusted})")]
    Untrusted {
        /// How the signature names its signer.
        signer: String,
        /// The certificates that would do.
        trusted: String,
    },
    /// The mathematics say no.
    #[error("the signature that names {signer} as its signer was not made with that key")]
    Bad {
        /// The subject of the trusted certificate.
        signer: String,
    },
    /// A variable store that cannot be used.
    #[error("not a store of UEFI variables: {0}")]
    Store(String),
}

/// The result of working with keys and signatures.
pub type Result<T> = std::result::Result<T, Error>;

impl From<der::Error> for Error {
    fn from(error: der::Error) -> Self {
        Self::Format(error.to_string())
    }
}
