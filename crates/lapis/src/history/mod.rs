//! What was done to a system, by whom and why: `/var/lib/lapis/history.sqlite`.
//!
//! The package database says what is installed; this one says how it came about. It is ours alone, and
//! losing it loses no package: without it every installed package counts as asked for by somebody, and
//! nothing can be undone.
//!
//! # Changes by others
//!
//! The package database has a cookie that changes whenever anybody writes to it. The cookie after our last
//! transaction is kept, together with the list of what was installed then. If the cookie is another one at
//! the next command, [`History::notice`] compares the lists and records the difference as a transaction of
//! kind [`Kind::Foreign`], so that a package installed by `rpm` has its place in the history.
//!
//! # Order of writes
//!
//! A transaction is recorded as running, durably, before the first change to the root; it is recorded as
//! done, with reasons and the new cookie, after the last. One that is found running belongs to a process
//! that died: recovery finishes it, and says so in its state.

mod inverse;
mod range;
mod schema;
mod types;

pub use inverse::{Wish, inverse, repeat};
pub use range::{Range, RangeError};
pub use types::{Action, Element, Kind, Reason, State, Transaction};

use lazuli_fs as fs;
use lazuli_rpm::{Evr, Nevra};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the history lies in a root.
pub const PATH: &str = "var/lib/lapis/history.sqlite";

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The database engine.
    #[error("history {path}: {source}", path = .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What the engine says.
        source: rusqlite::Error,
    },
    /// Written by a later version.
    #[error("history {path} is of version {found}, this program knows {known}; use the program that wrote it", path = .path.display(), known = schema::VERSION)]
    Version {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// No such transaction.
    #[error("there is no transaction {id} in the history; `history list` shows them")]
    NoTransaction {
        /// Its number.
        id: i64,
    },
}

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The history of one root.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

impl History {
    /// Opens the history of the root for writing, and makes it if there is none.
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        Self::connect(&path, flags)
    }

    /// Opens the history of the root for reading; a root without one has an empty history.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        if path.exists() {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            match Self::connect(&path, flags) {
                // Whoever made it was killed before it had tables.
                Err(Error::Version { found: 0, .. }) => {}
                // Whoever wrote to it was killed, and what was half written has to be rolled back first.
                Err(Error::Sqlite { source, .. })
                    if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) =>
                {
                    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                    return Self::connect(&path, flags);
                }
                other => return other,
            }
        }
        let connection = Connection::open_in_memory();
        let fail = |source| Error::Sqlite { path: path.clone(), source };
        let mut connection = connection.map_err(fail)?;
        schema::prepare(&mut connection).map_err(fail)?;
        Ok(Self { connection, path })
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let fail = |source| Error::Sqlite { path: path.to_owned(), source };
        // SQLite refuses symbolic links anywhere in the path if told not to follow them.
        let real = path.parent().and_then(|parent| parent.canonicalize().ok());
        let real = real.map_or_else(|| path.to_owned(), |p| p.join(path.file_name().unwrap_or_default()));
        let mut connection = Connection::open_with_flags(&real, flags).map_err(fail)?;
        connection.busy_timeout(Duration::from_secs(20)).map_err(fail)?;
        let version = if flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?
        } else {
            connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
            schema::prepare(&mut connection).map_err(fail)?
        };
        if version != schema::VERSION {
            return Err(Error::Version { path: path.to_owned(), found: version });
        }
        Ok(Self { connection, path: path.to_owned() })
    }

    fn fail(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Sqlite { path: path.clone(), source }
    }

    /// Records that a transaction is about to start, and returns its number. Durable on return.
    pub fn begin(&mut self, transaction: &Transaction) -> Result<i64> {
        let fail = self.fail();
        let t = self.connection.transaction().map_err(&fail)?;
        let id = insert(&t, transaction).map_err(&fail)?;
        t.commit().map_err(&fail)?;
        Ok(id)
    }

    /// Records how a transaction ended: its state, the database's cookie, what was said, and what is
    /// installed now. Reasons of its elements take effect.
    pub fn finish(
        &mut self,
        id: i64,
        state: State,
        ended: i64,
        cookie: &str,
        output: &str,
        installed: &[Nevra],
    ) -> Result<()> {
        let fail = self.fail();
        let elements = self.elements(id)?;
        let t = self.connection.transaction().map_err(&fail)?;
        let changed = t
            .execute(
                "UPDATE trans SET state = ?2, ended = ?3, cookie_after = ?4, output = ?5 WHERE id = ?1",
                params![id, state.as_str(), ended, cookie, output],
            )
            .map_err(&fail)?;
        if changed == 0 {
            return Err(Error::NoTransaction { id });
        }
        if state != State::Failed {
            keep_reasons(&t, &elements).map_err(&fail)?;
        }
        remember(&t, cookie, installed).map_err(&fail)?;
        t.commit().map_err(&fail)
    }

    /// Compares what is installed with what was when we last looked, and records the difference as done
    /// by somebody else. Returns the number of the transaction recorded, if there was a difference.
    pub fn notice(&mut self, cookie: &str, installed: &[Nevra], now: i64) -> Result<Option<i64>> {
        let fail = self.fail();
        let last = self.last_cookie()?;
        if last.as_deref() == Some(cookie) {
            return Ok(None);
        }
        let before = self.seen()?;
        let elements = if last.is_some() { difference(&before, installed) } else { Vec::new() };
        let t = self.connection.transaction().map_err(&fail)?;
        let mut id = None;
        if !elements.is_empty() {
            let foreign = Transaction {
                kind: Kind::Foreign,
                state: State::Done,
                started: now,
                ended: Some(now),
                command: "(not by lapis)".to_owned(),
                cookie_before: last.unwrap_or_default(),
                cookie_after: cookie.to_owned(),
                elements,
                ..Transaction::default()
            };
            id = Some(insert(&t, &foreign).map_err(&fail)?);
            keep_reasons(&t, &foreign.elements).map_err(&fail)?;
        }
        remember(&t, cookie, installed).map_err(&fail)?;
        t.commit().map_err(&fail)?;
        Ok(id)
    }

    /// The cookie after what we last saw.
    pub fn last_cookie(&self) -> Result<Option<String>> {
        let query = self.connection.query_row("SELECT cookie FROM last_cookie", [], |row| row.get(0));
        query.optional().map_err(self.fail())
    }

    fn seen(&self) -> Result<Vec<Nevra>> {
        let fail = self.fail();
        let mut statement =
            self.connection.prepare("SELECT name, epoch, version, release, arch FROM seen").map_err(&fail)?;
        let rows = statement.query_map([], |row| nevra(row, 0)).map_err(&fail)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fail)
    }

    /// Transactions, newest first, with their elements.
    pub fn transactions(&self) -> Result<Vec<Transaction>> {
        let fail = self.fail();
        let sql = format!("SELECT {COLUMNS} FROM trans ORDER BY id DESC");
        let mut statement = self.connection.prepare(&sql).map_err(&fail)?;
        let rows = statement.query_map([], transaction).map_err(&fail)?;
        let mut all: Vec<Transaction> = rows.collect::<rusqlite::Result<_>>().map_err(&fail)?;
        for one in &mut all {
            one.elements = self.elements(one.id)?;
        }
        Ok(all)
    }

    /// One transaction.
    pub fn transaction(&self, id: i64) -> Result<Transaction> {
        let sql = format!("SELECT {COLUMNS} FROM trans WHERE id = ?1");
        let found = self.connection.query_row(&sql, [id], transaction).optional().map_err(self.fail())?;
        let mut found = found.ok_or(Error::NoTransaction { id })?;
        found.elements = self.elements(id)?;
        Ok(found)
    }

    /// The number of the newest transaction; 0 if there is none.
    pub fn last(&self) -> Result<i64> {
        let query = self.connection.query_row("SELECT coalesce(max(id), 0) FROM trans", [], |row| row.get(0));
        query.map_err(self.fail())
    }

    /// Transactions that never ended: their process died.
    pub fn running(&self) -> Result<Vec<i64>> {
        let fail = self.fail();
        let sql = "SELECT id FROM trans WHERE state = 'running' ORDER BY id";
        let mut statement = self.connection.prepare(sql).map_err(&fail)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(&fail)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fail)
    }

    fn elements(&self, id: i64) -> Result<Vec<Element>> {
        let fail = self.fail();
        let sql = "SELECT action, name, epoch, version, release, arch, repo, reason, why
                   FROM element WHERE trans = ?1 ORDER BY position";
        let mut statement = self.connection.prepare_cached(sql).map_err(&fail)?;
        let rows = statement
            .query_map([id], |row| {
                Ok(Element {
                    action: Action::parse(&row.get::<_, String>(0)?),
                    nevra: nevra(row, 1)?,
                    repository: row.get(6)?,
                    reason: Reason::parse(&row.get::<_, String>(7)?),
                    why: row.get(8)?,
                })
            })
            .map_err(&fail)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fail)
    }

    /// Why each package is installed, by name and architecture. What is not listed counts as asked for.
    pub fn reasons(&self) -> Result<BTreeMap<(String, String), Reason>> {
        let fail = self.fail();
        let mut statement =
            self.connection.prepare("SELECT name, arch, reason FROM reason").map_err(&fail)?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), Reason::parse(&row.get::<_, String>(2)?))))
            .map_err(&fail)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fail)
    }

    /// The repository that each package came from last, by the package's whole name.
    pub fn origins(&self) -> Result<BTreeMap<String, String>> {
        let fail = self.fail();
        let sql = "SELECT name, epoch, version, release, arch, repo FROM element
                   WHERE repo <> '' AND action IN ('install', 'upgrade', 'downgrade', 'reinstall')
                   ORDER BY trans, position";
        let mut statement = self.connection.prepare(sql).map_err(&fail)?;
        let rows =
            statement.query_map([], |row| Ok((nevra(row, 0)?.to_string(), row.get(5)?))).map_err(&fail)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fail)
    }
}

const COLUMNS: &str = "id, kind, state, started, ended, uid, user, command, comment, unverified,
                       cookie_before, cookie_after, output";

fn transaction(row: &Row<'_>) -> rusqlite::Result<Transaction> {
    Ok(Transaction {
        id: row.get(0)?,
        kind: Kind::parse(&row.get::<_, String>(1)?),
        state: State::parse(&row.get::<_, String>(2)?),
        started: row.get(3)?,
        ended: row.get(4)?,
        uid: row.get(5)?,
        user: row.get(6)?,
        command: row.get(7)?,
        comment: row.get(8)?,
        unverified: row.get(9)?,
        cookie_before: row.get(10)?,
        cookie_after: row.get(11)?,
        output: row.get(12)?,
        elements: Vec::new(),
    })
}

fn nevra(row: &Row<'_>, at: usize) -> rusqlite::Result<Nevra> {
    let (version, release): (String, String) = (row.get(at + 2)?, row.get(at + 3)?);
    Ok(Nevra {
        name: row.get(at)?,
        evr: Evr::new(row.get(at + 1)?, version, release),
        arch: row.get(at + 4)?,
    })
}

fn insert(connection: &Connection, t: &Transaction) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO trans (kind, state, started, ended, uid, user, command, comment, unverified,
                            cookie_before, cookie_after, output)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            t.kind.as_str(),
            t.state.as_str(),
            t.started,
            t.ended,
            t.uid,
            t.user,
            t.command,
            t.comment,
            t.unverified,
            t.cookie_before,
            t.cookie_after,
            t.output
        ],
    )?;
    let id = connection.last_insert_rowid();
    let mut statement = connection.prepare_cached(
        "INSERT INTO element (trans, position, action, name, epoch, version, release, arch, repo, reason, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (position, e) in (0_i64..).zip(&t.elements) {
        let (n, v) = (&e.nevra, &e.nevra.evr);
        statement.execute(params![
            id,
            position,
            e.action.as_str(),
            n.name,
            v.epoch,
            v.version,
            v.release,
            n.arch,
            e.repository,
            e.reason.as_str(),
            e.why
        ])?;
    }
    Ok(id)
}

/// Reasons after these elements: those of packages that left go first, because an update is one package
/// out and one in.
fn keep_reasons(connection: &Connection, elements: &[Element]) -> rusqlite::Result<()> {
    for e in elements.iter().filter(|e| e.action.is_out()) {
        connection.execute(
            "DELETE FROM reason WHERE name = ?1 AND arch = ?2",
            params![e.nevra.name, e.nevra.arch],
        )?;
    }
    for e in elements.iter().filter(|e| !e.action.is_out()) {
        connection.execute(
            "INSERT OR REPLACE INTO reason (name, arch, reason) VALUES (?1, ?2, ?3)",
            params![e.nevra.name, e.nevra.arch, e.reason.as_str()],
        )?;
    }
    Ok(())
}

fn remember(connection: &Connection, cookie: &str, installed: &[Nevra]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM last_cookie", [])?;
    connection.execute("INSERT INTO last_cookie (cookie) VALUES (?1)", [cookie])?;
    connection.execute("DELETE FROM seen", [])?;
    let mut statement = connection
        .prepare("INSERT INTO seen (name, epoch, version, release, arch) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for n in installed {
        statement.execute(params![n.name, n.evr.epoch, n.evr.version, n.evr.release, n.arch])?;
    }
    Ok(())
}

/// What changed between two lists of installed packages.
fn difference(before: &[Nevra], after: &[Nevra]) -> Vec<Element> {
    // The text tells apart what compares equal, such as an absent epoch and 0.
    let texts = |list: &[Nevra]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let (old, new) = (texts(before), texts(after));
    let gone: Vec<&Nevra> = before.iter().filter(|n| !new.contains(&n.to_string())).collect();
    let come: Vec<&Nevra> = after.iter().filter(|n| !old.contains(&n.to_string())).collect();
    let same = |a: &Nevra, b: &Nevra| a.name == b.name && a.arch == b.arch;
    let mut elements = Vec::new();
    for n in &come {
        let action = match gone.iter().find(|g| same(g, n)) {
            Some(g) if g.evr < n.evr => Action::Upgrade,
            Some(g) if g.evr > n.evr => Action::Downgrade,
            Some(_) => Action::Reinstall,
            None => Action::Install,
        };
        elements.push(Element { action, nevra: (*n).clone(), ..Element::default() });
    }
    for g in &gone {
        let action = if come.iter().any(|n| same(g, n)) { Action::Replaced } else { Action::Remove };
        elements.push(Element { action, nevra: (*g).clone(), ..Element::default() });
    }
    elements
}

#[cfg(test)]
mod tests;
