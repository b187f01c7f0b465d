//! Names of snapshots: immutable states of a published repository.

use crate::href::Href;
use std::fmt;
use std::str::FromStr;

/// The id of a snapshot: its revision, a decimal number. It names a directory and comes from outside, so
/// nothing but digits is ever accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(u64);

/// A text that is not the id of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a snapshot is a decimal number of at most 18 digits")]
pub struct SnapshotIdError;

impl SnapshotId {
    /// The id of the snapshot with this revision.
    pub fn new(revision: u64) -> Self {
        Self(revision)
    }

    /// Its revision.
    pub fn revision(self) -> u64 {
        self.0
    }

    /// Where it lies below the repository: `snapshots/ID`.
    pub fn path(self) -> String {
        format!("{}/{}", crate::publish::SNAPSHOTS, self.0)
    }

    /// Where a file of it lies below the repository.
    pub fn file(self, href: &Href) -> String {
        format!("{}/{href}", self.path())
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SnapshotId {
    type Err = SnapshotIdError;

    fn from_str(text: &str) -> Result<Self, SnapshotIdError> {
        // One spelling for each: no sign, no zeros in front.
        let fine = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !fine || (text.len() > 1 && text.starts_with('0')) {
            return Err(SnapshotIdError);
        }
        text.parse().map(Self).map_err(|_| SnapshotIdError)
    }
}
