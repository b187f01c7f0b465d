//! Finishing what was interrupted, in the root and in the history.

use super::transact::{Watcher, nevras, say};
use crate::error::Result;
use crate::history::{Action as Did, History, State};
use crate::output::time;
use crate::run::Outcome;
use crate::session::Session;
use lazuli_rpm::Nevra;
use lazuli_rpmdb::{Access, Database, Error as DatabaseError};
use lazuli_transaction::{Event, Observer, Outcome as Fate, Recovery};
use std::time::Duration;

/// How long to wait for whoever changes the package database before records are closed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Finishes what was interrupted. `quiet` says nothing if there is nothing.
pub fn recover(session: &Session<'_>, quiet: bool) -> Result<Outcome> {
    let mut recovery = Recovery::default();
    if lazuli_transaction::pending(&session.root) {
        session.out.warn(INTERRUPTED);
        let mut watcher = Watcher::new(session, 0);
        recovery = lazuli_transaction::recover(&session.root, &mut watcher)?;
        watcher.finish();
    }
    tell(session, &recovery);
    close_records(session, PATIENCE)?;
    if recovery.transactions.is_empty() && !quiet {
        session.out.info("There is nothing to recover.");
    }
    Ok(Outcome::Done)
}

/// The same before a command that only asks: for a caller who may change the root, unless somebody is changing
/// it now. What cannot be finished does not keep the command from its answer.
pub fn recover_if_idle(session: &Session<'_>) {
    if session.need_root().is_err() {
        return;
    }
    if let Err(error) = try_recover(session) {
        session.out.warn(format!("Warning: an interrupted transaction is not finished yet: {error}"));
    }
}

fn try_recover(session: &Session<'_>) -> Result<()> {
    if lazuli_transaction::pending(&session.root) {
        // Whether there is something to finish, and nobody at it, is known when something happens.
        let mut watcher = Announced::new(Watcher::new(session, 0), || session.out.warn(INTERRUPTED));
        let recovery = lazuli_transaction::recover_if_idle(&session.root, &mut watcher);
        watcher.inner.finish();
        let Some(recovery) = recovery? else { return Ok(()) };
        watcher.announce();
        tell(session, &recovery);
    }
    close_records(session, Duration::ZERO)
}

/// An observer that says something before the first thing that it passes on.
struct Announced<O, F> {
    inner: O,
    say: Option<F>,
}

impl<O: Observer, F: FnOnce()> Announced<O, F> {
    fn new(inner: O, say: F) -> Self {
        Self { inner, say: Some(say) }
    }

    /// Says it, once.
    fn announce(&mut self) {
        if let Some(say) = self.say.take() {
            say();
        }
    }
}

impl<O: Observer, F: FnOnce()> Observer for Announced<O, F> {
    fn event(&mut self, event: Event<'_>) {
        self.announce();
        self.inner.event(event);
    }
}

const INTERRUPTED: &str = "A transaction was interrupted; finishing it.";

fn tell(session: &Session<'_>, recovery: &Recovery) {
    for (id, outcome) in &recovery.transactions {
        match outcome {
            Fate::Dropped => {
                session.out.warn(format!("Transaction {id} had changed nothing yet and was dropped."));
            }
            Fate::Completed(report) => {
                session
                    .out
                    .warn(format!("Transaction {id} is complete ({} packages).", report.elements.len()));
                report.notes.iter().filter_map(say).for_each(|text| session.out.warn(text));
            }
        }
    }
}

/// Records in the history that say "running": nobody runs them any more. What they put there is there, or
/// not. If somebody has the lock for longer than `patience`, the record may be theirs, and is left to them.
fn close_records(session: &Session<'_>, patience: Duration) -> Result<()> {
    let running = History::read(&session.root)?.running()?;
    if running.is_empty() {
        return Ok(());
    }
    // Whoever holds the lock may be the one whose record it is.
    let database = match Database::open_waiting(&session.root, Access::Write, patience, |_| ()) {
        Err(DatabaseError::Locked { .. }) if patience.is_zero() => return Ok(()),
        database => database?,
    };
    let installed = nevras(&database)?;
    let mut history = History::open(&session.root)?;
    for id in history.running()? {
        let record = history.transaction(id)?;
        let there = |n: &Nevra| installed.iter().any(|i| i.to_string() == n.to_string());
        let done = record.elements.iter().filter(|e| e.action != Did::Mark).all(|e| {
            // A reinstallation looks the same before and after.
            e.action == Did::Replaced || there(&e.nevra) != e.action.is_out()
        });
        let state = if done { State::Recovered } else { State::Failed };
        history.finish(id, state, time::now(), &database.cookie()?, "", &installed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Seen<'a>(&'a RefCell<Vec<String>>);

    impl Observer for Seen<'_> {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Output { text, .. } = event {
                self.0.borrow_mut().push(text.to_owned());
            }
        }
    }

    #[test]
    fn what_is_done_is_said_before_scriptlets_speak_and_once() {
        let said = RefCell::new(Vec::new());
        let mut observer = Announced::new(Seen(&said), || said.borrow_mut().push("finishing".to_owned()));
        for text in ["one", "two"] {
            observer.event(Event::Output { script: "%post", text });
        }
        observer.announce();
        assert_eq!(*said.borrow(), ["finishing", "one", "two"]);
    }
}
