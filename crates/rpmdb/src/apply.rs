//! Changing the database: rows out, rows in and states, in one SQLite transaction.

use crate::blob::View;
use crate::query::ROW;
use crate::record::{self, Marks};
use crate::schema::{self, Inserter};
use crate::{Access, Database, Error, FileState, InstalledPackage};
use lazuli_rpm::{Header, tag};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::collections::{BTreeMap, BTreeSet};

/// The colours that `rpm` prefers on machines that run 64-bit programs and could run 32-bit ones.
pub const DEFAULT_COLOR: u32 = 3;

/// A package that is new in the database.
#[derive(Debug, Clone)]
pub struct Addition {
    /// Its headers and the states of its files.
    pub package: InstalledPackage,
    /// When it was installed, in seconds since 1970.
    pub install_time: u32,
    /// The number of the transaction: by RPM's custom the time at which it began, in seconds since 1970.
    pub transaction: u32,
    /// The colours that the transaction preferred: bit 0 for 32-bit files, bit 1 for 64-bit ones.
    pub color: u32,
}

impl Addition {
    /// A package that a transaction installed when it began, with the [`DEFAULT_COLOR`].
    pub fn new(package: InstalledPackage, transaction: u32) -> Self {
        Self { package, install_time: transaction, transaction, color: DEFAULT_COLOR }
    }
}

/// What [`Database::apply`] changes.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The numbers of the rows to remove.
    pub remove: Vec<u32>,
    /// The packages to add.
    pub add: Vec<Addition>,
    /// New states of the files of packages that stay, by the number of the row: all files of the package
    /// in the header's order. What is removed as well may be named here and is left alone.
    pub states: Vec<(u32, Vec<FileState>)>,
}

impl Database {
    /// Makes the change, all of it or nothing, and returns the numbers of what was added, in order.
    ///
    /// When this returns the change is on the disk, unless that was [deferred](Database::defer_flushes): a
    /// power cut does not undo it, and no other flush is needed for the database. It does not flush anything else: the files of the packages that are added
    /// must be on the disk before (`syncfs`), and what is removed must be removed afterwards, or a
    /// journal must tell how to go on. A process that is killed in here leaves a state from which the
    /// next one that opens the database, `rpm` too, goes back to before the change or sees all of it.
    pub fn apply(&mut self, change: &Change) -> Result<Vec<u32>, Error> {
        if self.access != Access::Write {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        // What can be wrong with a package is found before anything is locked.
        let headers = change
            .add
            .iter()
            .map(|a| {
                let marks =
                    Marks { install_time: a.install_time, transaction: a.transaction, color: a.color };
                record::record(&a.package, marks)
            })
            .collect::<Result<Vec<Header>, Error>>()?;
        let path = self.path.clone();
        let at = |source| crate::database::error(&path, source);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        let removed: BTreeSet<u32> = change.remove.iter().copied().collect();
        for &hnum in &removed {
            if !exists(&transaction, hnum).map_err(at)? {
                return Err(Error::NoPackage { path, hnum });
            }
        }
        for (hnum, states) in change.states.iter().filter(|(hnum, _)| !removed.contains(hnum)) {
            let blob: Option<Vec<u8>> = transaction
                .query_row(&format!("SELECT {ROW} FROM Packages WHERE hnum = ?1"), [hnum], |row| row.get(1))
                .optional()
                .map_err(at)?
                .flatten();
            let mut blob = blob.ok_or_else(|| Error::NoPackage { path: path.clone(), hnum: *hnum })?;
            set_states(&mut blob, states).map_err(|reason| Error::Row {
                path: path.clone(),
                hnum: *hnum,
                reason,
            })?;
            transaction
                .execute("UPDATE Packages SET blob = ?1 WHERE hnum = ?2", params![blob, hnum])
                .map_err(at)?;
        }
        schema::remove(&transaction, &removed).map_err(at)?;
        refuse_twice(&transaction, &headers, &change.add).map_err(at)??;
        let mut numbers = Vec::with_capacity(headers.len());
        for header in &headers {
            transaction
                .prepare_cached("INSERT INTO Packages (blob) VALUES (?1)")
                .and_then(|mut insert| insert.execute([header.blob()]))
                .map_err(at)?;
            let number = u32::try_from(transaction.last_insert_rowid())
                .map_err(|_| Error::Full { path: path.clone() })?;
            numbers.push(number);
        }
        Inserter::new(&transaction).insert(numbers.iter().copied().zip(&headers)).map_err(at)?;
        transaction.commit().map_err(at)?;
        self.unreadable.borrow_mut().retain(|hnum, _| !removed.contains(hnum));
        self.limit_log()?;
        Ok(numbers)
    }

    /// Whether this change was made: everything to be removed is gone, and everything to be added is
    /// there with the number of its transaction. For whoever was interrupted and does not know.
    pub fn is_applied(&self, change: &Change) -> Result<bool, Error> {
        for &hnum in &change.remove {
            if exists(&self.db, hnum).map_err(|e| self.at(e))? {
                return Ok(false);
            }
        }
        for addition in &change.add {
            let wanted = identity(&addition.package.header);
            let name = addition.package.header.string(tag::NAME).unwrap_or_default();
            let there = self
                .named(&name)?
                .iter()
                .any(|found| found.transaction == addition.transaction && identity(&found.header) == wanted);
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many bytes the disk must have free for adding packages with these headers: what the tables
    /// grow by, and the journal besides.
    pub fn space_for<'a>(&self, headers: impl IntoIterator<Item = &'a Header>) -> u64 {
        // The log is moved into the database when it has 1000 pages, and then written from the beginning; one
        // package may go beyond that. As long as somebody reads an older state the log grows instead, up to a
        // limit that is not asked for here: it is rare, and what it takes is free again afterwards.
        const JOURNAL: u64 = 8 << 20;
        let rows: u64 = headers.into_iter().map(|h| 4 * h.size() as u64 + 8192).sum();
        rows + JOURNAL
    }
}

fn exists(db: &Connection, hnum: u32) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM Packages WHERE hnum = ?1")?.exists([hnum])
}

/// Epoch, name, version, release and architecture as they are written.
type Identity = (Option<u64>, [Option<String>; 4]);

const IDENTITY: [u32; 4] = [tag::NAME, tag::VERSION, tag::RELEASE, tag::ARCH];

fn identity(header: &Header) -> Identity {
    (header.number(tag::EPOCH), IDENTITY.map(|tag| header.string(tag)))
}

/// Fails if a package that is to be added is there already, or is added twice.
fn refuse_twice(
    db: &Connection,
    headers: &[Header],
    add: &[Addition],
) -> rusqlite::Result<Result<(), Error>> {
    let mut known: BTreeMap<String, BTreeSet<Identity>> = BTreeMap::new();
    for (header, addition) in headers.iter().zip(add) {
        let wanted = identity(header);
        let name = wanted.1[0].clone().unwrap_or_default();
        if !known.contains_key(&name) {
            let sql =
                format!("SELECT {ROW} FROM Packages WHERE hnum IN (SELECT hnum FROM Name WHERE key = ?1)");
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([&name])?;
            let mut found = BTreeSet::new();
            while let Some(row) = rows.next()? {
                if let Some(view) = row.get_ref(1)?.as_blob().ok().and_then(|blob| View::new(blob).ok()) {
                    found.insert((view.number(tag::EPOCH), IDENTITY.map(|tag| view.string(tag))));
                }
            }
            known.insert(name.clone(), found);
        }
        if !known.entry(name).or_default().insert(wanted) {
            return Ok(Err(Error::Twice { package: addition.package.label() }));
        }
    }
    Ok(Ok(()))
}

/// Overwrites the states in a row; nothing else in it changes, and nothing that is signed.
pub(crate) fn set_states(blob: &mut [u8], states: &[FileState]) -> Result<(), String> {
    let view = View::new(blob)?;
    let found = view.find(tag::FILESTATES);
    let count = found.map_or(0, |f| f.count);
    if count != states.len() {
        return Err(format!("it has {count} file states, but {} were given", states.len()));
    }
    let Some(found) = found else { return Ok(()) };
    let at = view.store_offset() + found.offset;
    let place = blob.get_mut(at..at + count).ok_or("its file states run out of the store")?;
    place.iter_mut().zip(states).for_each(|(byte, state)| *byte = *state as u8);
    Ok(())
}
