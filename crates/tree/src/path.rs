//! Paths inside a tree.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

/// A normalised absolute path, kept without its leading slash: `usr/bin/bash`; the empty string is the
/// root. No component is empty, `.` or `..`, so a path can never lead out of the tree it is used in.
///
/// The order is the byte order of the text, so a directory comes before everything in it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TreePath(String);

/// The longest path and the longest component that Linux takes, in bytes.
const MAX_PATH: usize = 4095;
const MAX_COMPONENT: usize = 255;

/// Why a text is not a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `..` or `.` inside, or an empty component.
    #[error("the path `{0}` has a `..`, `.` or empty component")]
    Component(String),
    /// A NUL byte.
    #[error("the path `{0}` has a NUL byte")]
    Nul(String),
    /// Too long for Linux.
    #[error("the path `{0}` is longer than Linux takes ({MAX_PATH} bytes, {MAX_COMPONENT} a component)")]
    Long(String),
    /// Not UTF-8.
    #[error("the path `{0}` is not UTF-8")]
    Encoding(String),
}

impl TreePath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises `text`: one leading `/` or `./` and one trailing `/` are taken off.
    pub fn new(text: &str) -> Result<Self, PathError> {
        let inner = text.strip_prefix("./").or_else(|| text.strip_prefix('/')).unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() || inner == "." {
            return Ok(Self::root());
        }
        if inner.contains('\0') {
            return Err(PathError::Nul(text.escape_debug().to_string()));
        }
        if inner.len() > MAX_PATH {
            return Err(PathError::Long(format!("{}...", inner.chars().take(80).collect::<String>())));
        }
        for component in inner.split('/') {
            if matches!(component, "" | "." | "..") {
                return Err(PathError::Component(text.to_owned()));
            }
            if component.len() > MAX_COMPONENT {
                return Err(PathError::Long(text.to_owned()));
            }
        }
        Ok(Self(inner.to_owned()))
    }

    /// Like [`TreePath::new`], from bytes that should be UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(_) => Err(PathError::Encoding(String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    /// The text without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|c| !c.is_empty())
    }

    /// The directory that this is in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rfind('/').map_or_else(Self::root, |i| Self(self.0[..i].to_owned())))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path `relative` below this one.
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        if self.is_root() { Self::new(relative) } else { Self::new(&format!("{}/{relative}", self.0)) }
    }

    /// Whether this is `other` or below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root()
            || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

// Plain byte order of the text: a parent is a prefix of its children and therefore sorts before them,
// and `Borrow<str>` stays consistent.
impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl TryFrom<String> for TreePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

impl std::str::FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}
