//! Applies a solved plan to a root file system so that a crash at any moment leaves it whole.
//!
//! [`Transaction::prepare`] decides the fate of every file and refuses what cannot work; nothing is
//! changed. [`Prepared::run`] stages everything, passes the *commit point*, and then changes the root
//! element by element. [`recover`] finishes what a crash interrupted: before the commit point the staged
//! files are dropped and nothing has happened; after it the transaction is rolled forward, for which
//! everything is on the disk.
//!
//! # Order of writes
//!
//! What is on a line is durable before anything of the next line is written:
//!
//! ```text
//! 1  journal: begin                names the staging directories                     fsync
//! 2  staging directories           every new file, complete, under a number
//!    headers, plan                 in the transaction's directory                    syncfs of each
//! 3  journal: commit               the commit point                                  fsync
//! 4  for each element, in order:
//!      journal: script started     then the script                                   fsync each
//!      renameat2 of each file      the old file goes to the staging directory
//!      one database transaction    new row in, old row out
//!      renames of what goes        deepest first
//!      journal: element done
//! 5  the database                  its write-ahead log                               fdatasync
//!    all file systems              every rename                                      syncfs of each
//! 6  journal: finished                                                               fsync
//! 7  staging directories go, then the transaction's directory
//! ```
//!
//! Between 3 and 6 nothing depends on the order in which renames and database reach the disk, because
//! each step can be told to have happened already: a staged file is recognised by its inode number, a
//! database change by the numbers of the rows, a removed file by its place in the staging directory.
//! Recovery after a reboot looks at each step again; recovery of a process that was killed believes the
//! journal.
//!
//! # What may run meanwhile
//!
//! The write lock of the package database, which `rpm` takes too, is held from [`Transaction::prepare`]
//! until the end, and by [`recover`].

mod apply;
mod digest;
mod disk;
mod effect;
mod error;
mod fate;
#[doc(hidden)]
pub mod fault;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod package;
mod plan;
mod prepare;
mod recover;
mod root;
mod run;
mod script;
mod stage;
mod types;

pub use error::{Error, Problem, Problems};
pub use package::{Check, Package, Trust};
pub use recover::{pending, recover, recover_if_idle, recover_with};
pub use run::{Prepared, Summary};
pub use script::{Ended, Real, Scripts, Stored};
pub use types::{
    Element, Event, Finished, Note, Observer, Options, Outcome, Ownership, Recovery, Report, Silent,
};

use lazuli_rpmdb::{Access, Database};
use std::path::Path;

/// Where transactions keep their journals, relative to the root.
pub const DIR: &str = "var/lib/lapis/txn";

/// Changes to a root that belong together.
#[derive(Debug)]
pub struct Transaction;

impl Transaction {
    /// Decides everything: order, the fate of each file, conflicts, disk space. `database` must be that
    /// of `root`, open for writing. A transaction that was interrupted must be recovered first.
    pub fn prepare<'a>(
        root: &Path,
        database: &'a mut Database,
        elements: Vec<Element>,
        options: Options,
    ) -> Result<Prepared<'a>, Error> {
        if database.access() != Access::Write {
            return Err(lazuli_rpmdb::Error::ReadOnly { path: database.path().to_owned() }.into());
        }
        Prepared::new(root, database, elements, options)
    }
}
