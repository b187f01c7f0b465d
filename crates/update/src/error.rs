//! What can go wrong.

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk or the machine's state.
    #[error(transparent)]
    Slots(#[from] lazuli_slots::Error),
    /// A path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// A program.
    #[error(transparent)]
    Process(#[from] lazuli_fs::process::Error),
    /// The repository.
    #[error(transparent)]
    Release(#[from] lazuli_release::Error),
    /// When updates may be taken.
    #[error(transparent)]
    Schedule(#[from] lazuli_rollout::SettingsError),
    /// What the repository says of a release, signed, cannot be followed.
    #[error("{name}: {reason}")]
    Plan {
        /// The file of the repository.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to do what was asked with.
    #[error("{0}")]
    Nothing(String),
    /// The settings.
    #[error("{path}: {reason}")]
    Settings {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A folder that an image was to come from.
    #[error("{path}: {reason}")]
    Folder {
        /// The folder or file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Another one is at work.
    #[error("another `lazuli-update` is at work ({path} is locked); wait for it")]
    Locked {
        /// The lock.
        path: String,
    },
    /// The running image did not hold.
    #[error("the running image is given up: {0}")]
    GivenUp(String),
    /// A check.
    #[error("not well: {0}")]
    Ill(String),
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The status that the program ends with: 3 if there is nothing to do about what was asked, else 1.
    pub fn status(&self) -> u8 {
        match self {
            Self::Slots(lazuli_slots::Error::Refused(_)) | Self::Nothing(_) => 3,
            _ => 1,
        }
    }
}
