//! What can be wrong with configuration, and what a person should know about it.

use std::fmt;
use std::path::PathBuf;

/// The result of reading configuration.
pub type Result<T> = std::result::Result<T, ConfigError>;

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// A line that is not in the format.
    #[error("{}, line {line}: {reason}", .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value that its key does not take.
    #[error("{}: {key} = {}: {reason}", .place, shorten(.value))]
    Value {
        /// Where it stands.
        place: Place,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What the key takes.
        reason: String,
    },
    /// A key that does not exist, where there is nobody to warn (`--setopt`).
    #[error("there is no option `{key}`{}", nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// A repository that cannot be used as it is described.
    #[error("{place}: repository `{id}`: {reason}")]
    Repository {
        /// Where it is described.
        place: Place,
        /// Its id.
        id: String,
        /// What is wrong, and what to write.
        reason: String,
    },
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// A line, from 1, of a file.
    File(PathBuf, usize),
    /// The command line, or whatever else the program itself was told.
    #[default]
    Options,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{}, line {line}", file.display()),
            Self::Options => f.write_str("options"),
        }
    }
}

/// Something in the configuration that works, but perhaps not as its author thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub place: Place,
    /// The section: `main` or the id of a repository.
    pub section: String,
    /// What.
    pub kind: NoticeKind,
}

/// What a [`Notice`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// A key that nobody knows; it has no effect.
    Unknown {
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// A key that dnf, yum or tdnf know and that means nothing here. Worth showing on request only.
    Inert {
        /// The key.
        key: String,
        /// Why it means nothing.
        why: &'static str,
    },
    /// A value that restricts, or asks for, what is not done.
    Unmet {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What happens, and what to use instead.
        instead: &'static str,
    },
    /// `$name` without a value; it stays as it stands.
    Variable {
        /// The name.
        name: String,
        /// The key whose value names it.
        key: String,
    },
    /// A switch that would turn a protection off, and does not.
    Protected {
        /// The key.
        key: &'static str,
        /// The word of `lapis_trust` that would say so openly.
        word: &'static str,
    },
    /// A repository that an earlier file already described; what stands here is added to it.
    Repeated {
        /// Where it was described first.
        first: Place,
    },
}

impl NoticeKind {
    /// Whether it is worth a warning. What is [`NoticeKind::Inert`] is in every distribution's files.
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Inert { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] ", self.place, self.section)?;
        match &self.kind {
            NoticeKind::Unknown { key, nearest } => {
                write!(f, "`{}` is not a known key and has no effect", shorten(key))?;
                nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean `{nearest}`?"))
            }
            NoticeKind::Inert { key, why } => write!(f, "`{key}` has no effect: {why}"),
            NoticeKind::Unmet { key, value, instead } => {
                write!(f, "`{key} = {}` is not obeyed: {instead}", shorten(value))
            }
            NoticeKind::Variable { name, key } => {
                write!(f, "`{key}` uses the variable `${name}`, which has no value")
            }
            NoticeKind::Protected { key, word } => write!(
                f,
                "`{key}` is off, which is not enough to give up a protection; the check is made. \
                 If the repository cannot offer it, write `lapis_trust = {word}`"
            ),
            NoticeKind::Repeated { first } => {
                write!(f, "the repository is also described at {first}; the later value of a key counts")
            }
        }
    }
}

/// At most 80 characters of outside text, for a message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push_str("...");
    }
    short
}
