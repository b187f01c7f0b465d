//! What can go wrong with a repository, in words for whoever runs the host.

use std::error::Error as StdError;
use std::path::PathBuf;
use tough::error::Error as Tuf;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository was reached, and what it serves must not be trusted.
    #[error("the update repository is refused: {reason}: {detail}")]
    Refused {
        /// What kind of attack or defect it looks like.
        reason: Refusal,
        /// What exactly.
        detail: String,
    },
    /// What this host remembers was damaged or edited.
    #[error(
        "the remembered state of updates {path} is refused: {reason}; nothing is updated until it is restored or, \
         on purpose, removed", path = .path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository has nothing for this host.
    #[error("{0}")]
    Nothing(String),
    /// The network, or a folder.
    #[error(transparent)]
    Fetch(#[from] lazuli_fetch::Error),
    /// A file of this machine.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// Making or following a way to a new image.
    #[error(transparent)]
    Delta(#[from] lazuli_delta::Error),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] lazuli_layout::manifest::ManifestError),
    /// A key that cannot sign.
    #[error("key {name}: {reason}")]
    Key {
        /// Which.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A repository that cannot be published to as asked.
    #[error("{0}")]
    Publish(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What kind of attack or defect it looks like. The words of TUF, section 1.5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not signed by enough of the keys that may.
    Signature,
    /// Expired: somebody withholds newer metadata, or the publisher forgot, or the clock is wrong.
    Freeze,
    /// Older than what was seen already.
    Rollback,
    /// Parts that do not belong together.
    MixAndMatch,
    /// More than was promised.
    EndlessData,
    /// Not the bytes that were signed for.
    Altered,
    /// Not readable as what it should be.
    Damaged,
    /// Below the oldest version that this host may run.
    BelowMinimum,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signature => "not signed by enough trusted keys",
            Self::Freeze => {
                "its metadata has expired (withheld updates, a neglected repository, or a wrong clock)"
            }
            Self::Rollback => "it is older than what this host has seen already (replay)",
            Self::MixAndMatch => "its parts do not belong together",
            Self::EndlessData => "it sends more than was promised",
            Self::Altered => "its content is not what was signed",
            Self::Damaged => "its content is damaged or cut off",
            Self::BelowMinimum => "it is below the minimum version of this host",
        })
    }
}

impl Error {
    /// A refusal.
    pub(crate) fn refused(reason: Refusal, detail: impl Into<String>) -> Self {
        Self::Refused { reason, detail: detail.into() }
    }

    /// Why the repository was refused, if it was.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            Self::Delta(lazuli_delta::Error::Altered { .. }) => Some(Refusal::Altered),
            Self::Delta(lazuli_delta::Error::Format { .. }) | Self::Manifest(_) => Some(Refusal::Damaged),
            _ => None,
        }
    }
}

impl From<Tuf> for Error {
    fn from(error: Tuf) -> Self {
        // The network is not an attack; its own error has better words.
        if let Tuf::Transport { source, .. } = &error
            && let Some(inner) = find::<crate::transport::Failure>(source)
        {
            return inner.take();
        }
        let detail = error.to_string();
        if matches!(
            error,
            Tuf::DatastoreCreate { .. }
                | Tuf::DatastoreInit { .. }
                | Tuf::DatastoreOpen { .. }
                | Tuf::DatastoreRemove { .. }
                | Tuf::DatastoreSerialize { .. }
        ) {
            return Self::Other(detail);
        }
        let reason = match &error {
            Tuf::ExpiredMetadata { .. } | Tuf::SystemTimeSteppedBackward { .. } => Refusal::Freeze,
            Tuf::OlderMetadata { .. }
            | Tuf::SnapshotRoleRollback { .. }
            | Tuf::SnapshotRoleMissing { .. } => Refusal::Rollback,
            Tuf::VerifyMetadata { .. }
            | Tuf::VerifyTrustedMetadata { .. }
            | Tuf::VerifyRoleMetadata { .. } => Refusal::Signature,
            Tuf::VersionMismatch { .. } => Refusal::MixAndMatch,
            Tuf::MaxUpdatesExceeded { .. } => Refusal::EndlessData,
            Tuf::Transport { source, .. } => match find::<Tuf>(source) {
                Some(Tuf::MaxSizeExceeded { .. }) => Refusal::EndlessData,
                Some(Tuf::HashMismatch { .. }) => Refusal::Altered,
                _ => Refusal::Damaged,
            },
            _ => Refusal::Damaged,
        };
        Self::Refused { reason, detail }
    }
}

/// The first error of this type among an error and its causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
