//! What is at a path.

use crate::TreePath;
use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of a node, with what only this kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its content.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it says, as it stands.
        target: String,
    },
    /// Another name of a regular file in the same tree, which is a [`Kind::File`] and sorts anywhere.
    HardLink {
        /// The file.
        to: TreePath,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// The kind as a word for messages.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File { .. } => "file",
            Self::Symlink { .. } => "symbolic link",
            Self::HardLink { .. } => "hard link",
            Self::CharDevice { .. } => "character device",
            Self::BlockDevice { .. } => "block device",
            Self::Fifo => "named pipe",
        }
    }
}

/// What is at a path: kind, permissions, owner by name, time and extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Kind and content.
    #[serde(flatten)]
    pub kind: Kind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owning user by name.
    pub user: String,
    /// Owning group by name.
    pub group: String,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by full name, for example `security.capability`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    /// A node of `kind`, `root:root`, at time 0.
    pub fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, user: "root".into(), group: "root".into(), mtime: 0, xattrs: BTreeMap::new() }
    }

    /// A 0755 directory.
    pub fn directory() -> Self {
        Self::new(Kind::Directory, 0o755)
    }

    /// A 0644 file.
    pub fn file(digest: Digest, size: u64) -> Self {
        Self::new(Kind::File { digest, size }, 0o644)
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self::new(Kind::Symlink { target: target.into() }, 0o777)
    }

    /// With these permission bits.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With this owner.
    #[must_use]
    pub fn with_owner(mut self, user: impl Into<String>, group: impl Into<String>) -> Self {
        self.user = user.into();
        self.group = group.into();
        self
    }

    /// With this modification time.
    #[must_use]
    pub fn with_mtime(mut self, mtime: i64) -> Self {
        self.mtime = mtime;
        self
    }

    /// The size of a regular file in bytes.
    pub fn size(&self) -> Option<u64> {
        match self.kind {
            Kind::File { size, .. } => Some(size),
            _ => None,
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}
