//! What can go wrong with a repository.

use lazuli_repo::{Lack, SnapshotId};
use std::path::PathBuf;

/// Why a repository or a package of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path of this machine.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The cache.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A download.
    #[error("repository {repository}: {source}")]
    Fetch {
        /// Its id.
        repository: String,
        /// What happened.
        #[source]
        source: lazuli_fetch::Error,
    },
    /// Metadata that is damaged or that no key of this repository signed.
    #[error("repository {repository}: {source}")]
    Metadata {
        /// Its id.
        repository: String,
        /// What is wrong.
        #[source]
        source: Box<lazuli_repo::Error>,
    },
    /// Its keys.
    #[error("repository {repository}: key {address}: {reason}")]
    Key {
        /// Its id.
        repository: String,
        /// Where the key is from.
        address: String,
        /// What is wrong and what to try.
        reason: String,
    },
    /// It lacks a protection that nobody said it may lack.
    #[error(
        "repository {repository} {what}: {consequence}; if that is acceptable, say so in its .repo file: \
         lapis_trust = {lack}", consequence = .lack.consequence()
    )]
    Lacks {
        /// Its id.
        repository: String,
        /// What it lacks, as the end of a sentence.
        what: &'static str,
        /// The protection.
        lack: Lack,
    },
    /// Older than what was seen before.
    #[error(
        "repository {repository} serves version {served} of its metadata, but version {seen} was seen before: \
         somebody replays an old state, or its publisher went back; if the publisher says so, remove {state}",
        state = .state.display()
    )]
    Replayed {
        /// Its id.
        repository: String,
        /// The version that was served.
        served: u64,
        /// The highest version that was seen.
        seen: u64,
        /// Where that is remembered.
        state: PathBuf,
    },
    /// Two different states with one version.
    #[error(
        "repository {repository} serves other metadata under version {version} than before: two states must \
         not have one version; if its publisher made a mistake, remove {state}", state = .state.display()
    )]
    Forked {
        /// Its id.
        repository: String,
        /// The version.
        version: u64,
        /// Where the first one is remembered.
        state: PathBuf,
    },
    /// Another snapshot than the configuration asks for.
    #[error(
        "repository {repository}: snapshot {wanted} was asked for, but its metadata is of snapshot {found}"
    )]
    OtherSnapshot {
        /// Its id.
        repository: String,
        /// What was asked for.
        wanted: SnapshotId,
        /// What is there.
        found: String,
    },
    /// Past its expiry date.
    #[error(
        "repository {repository}: its metadata expired {ago} ago; either its publisher stopped updating it, \
         or somebody holds back newer metadata (is the clock of this machine right?)", ago = age(*.seconds)
    )]
    Expired {
        /// Its id.
        repository: String,
        /// How long ago in seconds.
        seconds: i64,
    },
    /// What is remembered about a repository cannot be read.
    #[error(
        "what is known about repository {repository} cannot be read: {path}: {reason}; without it a replay \
         of old metadata would not be noticed; if you trust the network now, remove the file",
        path = .path.display()
    )]
    State {
        /// Its id.
        repository: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An id that would leave the directories of the cache and of what is remembered.
    #[error(
        "`{id}` cannot be the id of a repository: letters, digits, `-`, `_`, `.` and `:`, no `.` in front"
    )]
    Id {
        /// The id.
        id: String,
    },
    /// Another process does not come to an end with it.
    #[error(
        "repository {repository}: another process has been fetching it for minutes; wait for it, or end it \
         (whoever holds {path}: `fuser {path}`)", path = .path.display()
    )]
    Busy {
        /// Its id.
        repository: String,
        /// The lock.
        path: PathBuf,
    },
    /// A cached package that does not stay as it was fetched.
    #[error(
        "repository {repository}: {path} is not what was fetched there; is the disk damaged, or does another \
         program write to the cache?", path = .path.display()
    )]
    Damaged {
        /// The id of the repository.
        repository: String,
        /// The file.
        path: PathBuf,
    },
    /// Something is not cached and nothing may be fetched.
    #[error(
        "repository {repository}: {what} is not cached, and nothing may be fetched; allow the network once"
    )]
    NotCached {
        /// Its id.
        repository: String,
        /// What would be needed.
        what: String,
    },
    /// A package that its index does not have, or whose record is damaged.
    #[error("repository {repository}: package {number} cannot be read from its index; run `clean metadata`")]
    NoPackage {
        /// The id of the repository.
        repository: String,
        /// Its number there.
        number: u32,
    },
    /// It has no address.
    #[error("repository {repository} has no address: set baseurl, mirrorlist or metalink")]
    NoAddress {
        /// Its id.
        repository: String,
    },
    /// A list of mirrors that has none.
    #[error("repository {repository}: {address} lists no usable mirror")]
    NoMirror {
        /// Its id.
        repository: String,
        /// The list.
        address: String,
    },
    /// A package that is another one than the metadata says.
    #[error("repository {repository}: {location} should be {expected} but is {found}")]
    OtherPackage {
        /// The id of the repository.
        repository: String,
        /// Where it lies.
        location: String,
        /// What the metadata says.
        expected: String,
        /// What its header says.
        found: String,
    },
}

/// The result of a question to a repository.
pub type Result<T> = std::result::Result<T, Error>;

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
