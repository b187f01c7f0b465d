//! The package database that the real `rpm` reads: `/usr/lib/sysimage/rpm/rpmdb.sqlite`.
//!
//! # Layout
//!
//! ```text
//! Packages (hnum, blob)          one row a package: its header, and what the installation added
//! Name, Basenames, ...           18 index tables (key, hnum, idx), see `index`
//! ```
//!
//! A blob is the package's header without the magic number, its immutable region byte for byte, followed
//! by entries for the signatures and digests of the package file and for the time of installation and the
//! state of each file (see `record`). `rpm` verifies the digests and signatures in a blob each time it
//! reads one, and hides a package whose blob does not hold.
//!
//! # A database in use
//!
//! [`Database`] opens what this crate or RPM 4.18 to 6 wrote, in rollback-journal or write-ahead-log mode,
//! and leaves it in the mode in which it was; RPM itself changes to the log when it first writes.
//! [`Database::apply`] makes a whole change in one SQLite transaction, which is on the disk when it
//! returns. Queries go through the index tables; a list of packages reads five values of each header.
//!
//! Rows are read as they are: whoever asks must not trust them more than the file system that they lie
//! on. Keys that are not UTF-8 are read, and written, with replacement characters.
//!
//! # Reproducibility
//!
//! [`write()`] makes a whole database at once, for a new root file system, and the same packages give the
//! same bytes: they are inserted in the order of their names, times are given by the caller, and the file
//! is vacuumed. It is left in rollback-journal mode, because the write-ahead log that `rpm` uses while it
//! writes cannot be opened on a read-only file system. There is no `-wal` or `-shm` file, and none may be
//! left beside it.

mod apply;
mod blob;
mod check;
mod database;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod keys;
mod lock;
mod owners;
mod pubkey;
mod query;
mod record;
mod schema;

pub use apply::{Addition, Change, DEFAULT_COLOR};
pub use check::Damage;
pub use database::{Access, Database};
pub use keys::Key;
pub use lock::Holder;
pub use owners::Candidate;
pub use query::{Index, Installed, Listed, Relation, Unreadable};

use lazuli_fs as fs;
use lazuli_rpm::{Header, tag};
use std::path::{Path, PathBuf};

/// The place of the database in a root file system.
pub const PATH: &str = "usr/lib/sysimage/rpm/rpmdb.sqlite";

/// Why a database cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The database engine.
    #[error("package database {path}: {source}", path = .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What the engine says.
        source: rusqlite::Error,
    },
    /// A package whose headers cannot go into the database.
    #[error("package database, {package}: {reason}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another number of states than of files.
    #[error("package database: {package} has {files} files, but {states} file states were given")]
    States {
        /// The package.
        package: String,
        /// Its files.
        files: usize,
        /// The states.
        states: usize,
    },
    /// Two packages of the same name, version and architecture.
    #[error("package database: {package} is there twice")]
    Twice {
        /// The package.
        package: String,
    },
    /// A public key.
    #[error(transparent)]
    Key(#[from] lazuli_rpm::keys::Error),
    /// Somebody else changes the database.
    #[error(
        "package database: {holder} holds the lock {path} and did not give it up in {seconds} s; try again when it has finished",
        path = .path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who has locked it.
        holder: Holder,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A database that RPM had before SQLite.
    #[error(
        "package database {path}: this is a format that only older versions of rpm use; convert it with `rpmdb --rebuilddb`",
        path = .path.display()
    )]
    OtherFormat {
        /// The database.
        path: PathBuf,
    },
    /// A change was interrupted, and who reads may not roll it back.
    #[error(
        "package database {path}: a change was interrupted and must be rolled back, which takes the right to write: {source}; run this once as root",
        path = .path.display()
    )]
    Interrupted {
        /// The database.
        path: PathBuf,
        /// What the engine says.
        source: rusqlite::Error,
    },
    /// It was opened for reading.
    #[error("package database {path}: it was opened for reading only", path = .path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A row that is not there.
    #[error(
        "package database {path}: there is no package number {hnum}; something else changed the database, plan again",
        path = .path.display()
    )]
    NoPackage {
        /// The database.
        path: PathBuf,
        /// The number.
        hnum: u32,
    },
    /// A row that does not fit a change.
    #[error("package database {path}, package number {hnum}: {reason}", path = .path.display())]
    Row {
        /// The database.
        path: PathBuf,
        /// The number.
        hnum: u32,
        /// What is wrong.
        reason: String,
    },
    /// The numbers are used up.
    #[error("package database {path}: no numbers are left for packages; run `rpmdb --rebuilddb`", path = .path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
}

/// What became of a file of a package (RPMTAG_FILESTATES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum FileState {
    /// It is there.
    #[default]
    Normal = 0,
    /// Another package's file took its place.
    Replaced = 1,
    /// It was left out, as documentation is; `rpm --verify` does not miss it.
    NotInstalled = 2,
    /// It lies on a shared file system.
    NetShared = 3,
    /// It belongs to another architecture.
    WrongColor = 4,
}

impl FileState {
    /// From its number; one that is not known counts as there.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Replaced,
            2 => Self::NotInstalled,
            3 => Self::NetShared,
            4 => Self::WrongColor,
            _ => Self::Normal,
        }
    }
}

/// A package as it is installed.
#[derive(Debug, Clone)]
pub struct InstalledPackage {
    /// The header of the package file.
    pub header: Header,
    /// Its signature header.
    pub signature: Header,
    /// The state of each file in the header's order; empty means that all are there.
    pub states: Vec<FileState>,
}

impl InstalledPackage {
    /// A package with its two headers as they stand in the package file, all of its files installed.
    pub fn new(header: Header, signature: Header) -> Self {
        Self { header, signature, states: Vec::new() }
    }

    /// The pseudo-packages (`gpg-pubkey`) of armored public keys, with which `rpm` verifies the
    /// signatures in the other packages' blobs.
    pub fn public_keys(armored: &str) -> Result<Vec<Self>, Error> {
        pubkey::packages(armored)
    }

    /// With a state for each file, which `state` decides by its absolute path.
    #[must_use]
    pub fn with_states(mut self, state: impl FnMut(&String) -> FileState) -> Self {
        self.states = self.header.paths().iter().map(state).collect();
        self
    }

    /// Whether it can be in a database. Nobody signed the signature header, of which a part goes there, so a
    /// package that is fine otherwise may not be: this is for whoever must know that before files change.
    pub fn check(&self) -> Result<(), Error> {
        record::record(self, record::Marks { install_time: 0, transaction: 0, color: 0 }).map(drop)
    }

    /// Name, version, release and architecture. Public keys have no architecture, so this is not a
    /// [`lazuli_rpm::Nevra`].
    fn label(&self) -> String {
        let part = |tag| self.header.string(tag).unwrap_or_default();
        let name = format!("{}-{}-{}", part(tag::NAME), part(tag::VERSION), part(tag::RELEASE));
        self.header.string(tag::ARCH).map_or(name.clone(), |arch| format!("{name}.{arch}"))
    }
}

/// Writes a new database at `path`, which must not exist. `install_time` is in seconds since 1970; it is
/// also the transaction's number. The order of `packages` does not matter.
pub fn write(path: &Path, packages: &[InstalledPackage], install_time: i64) -> Result<(), Error> {
    let mut sorted: Vec<(String, Option<lazuli_rpm::Nevra>, String, &InstalledPackage)> = packages
        .iter()
        .map(|p| (p.header.string(tag::NAME).unwrap_or_default(), p.header.nevra().ok(), p.label(), p))
        .collect();
    sorted.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].2 == pair[1].2) {
        return Err(Error::Twice { package: pair[0].2.clone() });
    }
    let packages: Vec<&InstalledPackage> = sorted.iter().map(|s| s.3).collect();
    let time = u32::try_from(install_time.max(0)).unwrap_or(u32::MAX);
    drop(fs::create_new(path, 0o644)?);
    schema::write(path, &packages, time)
}

#[cfg(test)]
mod tests;
