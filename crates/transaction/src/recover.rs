//! Finishing what was interrupted.

use crate::journal::{Journal, Record};
use crate::prepare;
use crate::root::Root;
use crate::run::{drop_staged, finish, read_plan};
use crate::script::{Real, Scripts};
use crate::{DIR, Error, Observer, Outcome, Recovery, Report};
use lazuli_rpmdb::{Access, Database};
use std::path::Path;
use std::time::Duration;

/// Finishes interrupted transactions of `root`, oldest first. Does nothing, quickly, if there are none.
/// It can be interrupted itself, and called again.
///
/// Waits for the lock of the package database: a transaction that is still running is not interrupted.
pub fn recover(root: &Path, observer: &mut dyn Observer) -> Result<Recovery, Error> {
    recover_with(root, &mut Real::new(root), observer)
}

/// The same, but `None` at once if somebody has the lock: they are at it, or will be.
pub fn recover_if_idle(root: &Path, observer: &mut dyn Observer) -> Result<Option<Recovery>, Error> {
    if !pending(root) {
        return Ok(Some(Recovery::default()));
    }
    match Database::open_waiting(root, Access::Write, Duration::ZERO, |_| ()) {
        Err(lazuli_rpmdb::Error::Locked { .. }) => Ok(None),
        database => all(root, &mut database?, &mut Real::new(root), observer).map(Some),
    }
}

/// The same as [`recover`] with another way to run scripts.
pub fn recover_with(
    root: &Path,
    scripts: &mut dyn Scripts,
    observer: &mut dyn Observer,
) -> Result<Recovery, Error> {
    if !pending(root) {
        return Ok(Recovery::default());
    }
    all(root, &mut Database::open(root, Access::Write)?, scripts, observer)
}

fn all(
    root: &Path,
    database: &mut Database,
    scripts: &mut dyn Scripts,
    observer: &mut dyn Observer,
) -> Result<Recovery, Error> {
    let mut recovery = Recovery::default();
    let root = Root::open(root)?;
    for id in prepare::pending(&root)? {
        let outcome = one(&root, &id, database, scripts, observer)?;
        recovery.transactions.push((id, outcome));
    }
    Ok(recovery)
}

fn one(
    root: &Root,
    id: &str,
    database: &mut Database,
    scripts: &mut dyn Scripts,
    observer: &mut dyn Observer,
) -> Result<Outcome, Error> {
    // Without a journal the staging directories were not made yet, or are gone already.
    let Some(mut journal) = Journal::open(root, id)? else {
        drop_staged(root, id, &[])?;
        return Ok(Outcome::Dropped);
    };
    let Some(digest) = journal.committed() else {
        let stages = journal.stages().to_vec();
        drop_staged(root, id, &stages)?;
        return Ok(Outcome::Dropped);
    };
    let plan = match read_plan(root, id, digest) {
        // It was being cleaned up.
        Err(_) if journal.has(&Record::Finished) => {
            let stages = journal.stages().to_vec();
            drop_staged(root, id, &stages)?;
            return Ok(Outcome::Completed(Report { id: id.to_owned(), ..Report::default() }));
        }
        plan => plan?,
    };
    let report = finish(root, &plan, &mut journal, database, scripts, observer)
        .map_err(|e| Error::Interrupted { id: id.to_owned(), source: Box::new(e) })?;
    Ok(Outcome::Completed(report))
}

/// Whether `root` has interrupted transactions, or one that is running; takes no lock.
pub fn pending(root: &Path) -> bool {
    lazuli_fs::read_dir(root.join(DIR)).is_ok_and(|entries| !entries.is_empty())
}
