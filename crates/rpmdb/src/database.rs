//! An open database: where it is, how it is opened, what is repaired on the way.

use crate::lock::{Holder, Lock};
use crate::{Error, owners, schema};
use lazuli_fs::{self as fs, Context as _};
use rusqlite::{Connection, FileControl, OpenFlags, ffi};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database's directory in a root file system.
const DIRECTORY: &str = "usr/lib/sysimage/rpm";
/// Where distributions had it before; used if there is a database there and none in the new place.
const OLD_DIRECTORY: &str = "var/lib/rpm";
/// The database in its directory.
const FILE: &str = "rpmdb.sqlite";
/// How long to wait for whoever changes the database.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long SQLite waits for readers when it commits, and for writers when it reads.
const BUSY: Duration = Duration::from_secs(30);
/// How long it waits for readers when it could do without.
const BRIEF: Duration = Duration::from_millis(200);

/// How large the write-ahead log may become before those who read are not put up with any more, in bytes.
const LOG_LIMIT: u64 = 64 << 20;

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Queries, without a lock, as `rpm -q` does. Every single query sees the database as it was between
    /// two changes.
    Read,
    /// Queries between which nobody may change the database, as `rpm --verify` does: RPM's lock, shared.
    /// Without the right to make or open the lock file it is not taken.
    Steady,
    /// Changes: RPM's lock, for this process alone, from opening to dropping.
    Write,
}

/// An open database.
///
/// Do not open its files by other means while one is open in the same process: closing such a file
/// descriptor would give up SQLite's locks.
#[derive(Debug)]
pub struct Database {
    pub(crate) db: Connection,
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
    pub(crate) directories: RefCell<owners::Directories>,
    pub(crate) unreadable: RefCell<BTreeMap<u32, String>>,
    /// The journal mode that is to be restored, while flushes are deferred.
    deferred: Option<String>,
    /// Given up last, after the connection is closed.
    _lock: Option<Lock>,
}

impl Database {
    /// Opens the database in the root file system `root`. A missing one is empty for reading, and is made
    /// for writing. Waits a minute for whoever changes it. SQLite rolls back or finishes what an
    /// interrupted change left behind.
    pub fn open(root: &Path, access: Access) -> Result<Self, Error> {
        Self::open_waiting(root, access, PATIENCE, |_| ())
    }

    /// Like [`open`](Self::open), but waits `limit` for the lock, and tells `waiting` once who has it.
    pub fn open_waiting(
        root: &Path,
        access: Access,
        limit: Duration,
        mut waiting: impl FnMut(&Holder),
    ) -> Result<Self, Error> {
        let directory = locate(root, access)?;
        let lock = match access {
            Access::Read => None,
            Access::Steady if !directory.is_dir() => None,
            _ => Lock::acquire(&directory, access == Access::Write, limit, &mut waiting)?,
        };
        let path = directory.join(FILE);
        let db = match access {
            Access::Write => open_for_writing(&path)?,
            _ => open_for_reading(&path)?,
        };
        Ok(Self {
            db,
            path,
            access,
            directories: RefCell::default(),
            unreadable: RefCell::default(),
            deferred: None,
            _lock: lock,
        })
    }

    /// The database's file. It is not there if an empty database was opened for reading.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// From now on [`Database::apply`] returns before its change is on the disk, until [`Database::flush`].
    /// A power cut meanwhile takes back the last changes, as many as it likes, each of them whole: for whoever
    /// keeps a journal and makes them again. A process that is killed loses nothing.
    ///
    /// The write-ahead log does this, which RPM changes to as well when it writes. Where the file system has no
    /// shared memory for it everything is as before.
    pub fn defer_flushes(&mut self) -> Result<(), Error> {
        if self.access != Access::Write {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        if self.deferred.is_some() {
            return Ok(());
        }
        let before = self.mode("PRAGMA journal_mode").map_err(|e| self.at(e))?;
        // Somebody who reads may stand in the way; then it is slower.
        let now = self.briefly(|database| database.mode("PRAGMA journal_mode = WAL"));
        let now = now.unwrap_or_else(|_| before.clone());
        if now == "wal" {
            self.db.execute_batch("PRAGMA synchronous = NORMAL").map_err(|e| self.at(e))?;
            self.deferred = Some(before);
        }
        Ok(())
    }

    /// Brings everything to the disk, and ends what [`Database::defer_flushes`] began.
    pub fn flush(&mut self) -> Result<(), Error> {
        let Some(before) = self.deferred.clone() else { return Ok(()) };
        self.db.execute_batch("PRAGMA synchronous = EXTRA").map_err(|e| self.at(e))?;
        // The log is what holds the changes, whether or not it can be moved into the database now. SQLite has no
        // locks on it that closing this descriptor would give up. It makes the log at the first look into the
        // database: without one nothing was changed.
        let log = self.log();
        match fs::open(&log) {
            Ok(file) => file.sync_data().at("flush", &log)?,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.deferred = None;
        // Whoever reads keeps the log in use. It is then moved by a later writer.
        self.briefly(|database| {
            let _ = database.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if before != "wal" {
                // In any other mode an empty log beside the database only misleads.
                let _ = persist_wal(&database.db, false);
                let _ = database.mode(&format!("PRAGMA journal_mode = {before}"));
                let _ = persist_wal(&database.db, true);
            }
        });
        Ok(())
    }

    /// Keeps the write-ahead log within [`LOG_LIMIT`], which whoever reads for long would let grow with every
    /// change: it cannot be begun anew while somebody reads in it. Then nothing more is deferred.
    pub(crate) fn limit_log(&mut self) -> Result<(), Error> {
        let large = |database: &Self| fs::metadata(database.log()).is_ok_and(|m| m.len() > LOG_LIMIT);
        if self.deferred.is_none() || !large(self) {
            return Ok(());
        }
        self.briefly(|database| {
            let _ = database.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        });
        if large(self) { self.flush() } else { Ok(()) }
    }

    /// The write-ahead log.
    fn log(&self) -> PathBuf {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        PathBuf::from(log)
    }

    /// Does what need not succeed, without waiting long for those who read.
    fn briefly<T>(&self, act: impl FnOnce(&Self) -> T) -> T {
        let _ = self.db.busy_timeout(BRIEF);
        let done = act(self);
        let _ = self.db.busy_timeout(BUSY);
        done
    }

    fn mode(&self, pragma: &str) -> rusqlite::Result<String> {
        self.db.query_row(pragma, [], |row| row.get(0))
    }

    pub(crate) fn at(&self, source: rusqlite::Error) -> Error {
        error(&self.path, source)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.access == Access::Write {
            // As RPM does when it closes, but nobody waits for readers here. What fails is done by whoever
            // opens it next.
            let _ = self.db.busy_timeout(Duration::ZERO);
            let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

pub(crate) fn error(path: &Path, source: rusqlite::Error) -> Error {
    Error::Sqlite { path: path.to_owned(), source }
}

/// The directory as this process sees it, symbolic links resolved as if `root` were `/`.
fn locate(root: &Path, access: Access) -> Result<PathBuf, Error> {
    for place in [DIRECTORY, OLD_DIRECTORY] {
        let Some(directory) = resolve(root, place) else { continue };
        if fs::metadata(directory.join(FILE)).is_ok() {
            return Ok(directory);
        }
        // Berkeley DB and ndb, which RPM had before and can convert.
        if let Some(file) = ["Packages", "Packages.db"].into_iter().find(|f| directory.join(f).exists()) {
            return Err(Error::OtherFormat { path: directory.join(file) });
        }
    }
    if let Some(directory) = resolve(root, DIRECTORY) {
        return Ok(directory);
    }
    let directory = root.join(DIRECTORY);
    if access == Access::Write {
        fs::create_dir_all(&directory)?;
        for made in directory.ancestors().take_while(|a| a.starts_with(root)) {
            fs::sync_dir(made)?;
        }
    }
    Ok(resolve(root, DIRECTORY).unwrap_or(directory))
}

fn resolve(root: &Path, place: &str) -> Option<PathBuf> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root_fd = rustix::fs::open(root, flags, Mode::empty()).ok()?;
    match rustix::fs::openat2(&root_fd, place, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(fd) => {
            use std::os::fd::AsRawFd as _;
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let target = rustix::fs::readlink(link, Vec::new()).ok()?;
            let path = Path::new(target.to_str().ok()?).to_owned();
            // Without /proc, or in a root that this process cannot name, the plain path must do.
            Some(if path.is_dir() { path } else { root.join(place) })
        }
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            Some(root.join(place)).filter(|p| p.is_dir())
        }
        Err(_) => None,
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, Error> {
    let at = |source| error(path, source);
    if fs::symlink_metadata(path).is_err() {
        drop(fs::create_new(path, 0o644)?);
        // Whatever the umask is: everybody may read it.
        fs::set_mode(path, 0o644)?;
        if let Some(directory) = path.parent() {
            fs::sync_dir(directory)?;
        }
    }
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(at)?;
    if db.is_readonly("main").map_err(at)? {
        let reason = rustix::io::Errno::ROFS.into();
        return Err(fs::Error::new("open for writing", path, reason).into());
    }
    db.busy_timeout(BUSY).map_err(at)?;
    // EXTRA is FULL, and the directory is flushed after the rollback journal is removed, without which a
    // power cut could undo what was committed. Nothing is written to the database's file before the
    // commit (cache_spill), so that readers are kept out no longer than needed.
    db.execute_batch(
        "PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = OFF; PRAGMA secure_delete = OFF;
         PRAGMA cache_spill = OFF; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )
    .map_err(at)?;
    persist_wal(&db, true).map_err(at)?;
    schema::complete(&mut db).map_err(at)?;
    Ok(db)
}

/// Keeps `-wal` and `-shm` when the last connection closes: without them users who may not write in the
/// directory could not read a database that is in that mode.
fn persist_wal(db: &Connection, on: bool) -> rusqlite::Result<()> {
    let mut on = i32::from(on);
    db.file_control(Some("main"), FileControl::PersistWal(&mut on))
}

fn open_for_reading(path: &Path) -> Result<Connection, Error> {
    let at = |source| error(path, source);
    if fs::metadata(path).is_err_and(|e| e.is_not_found()) {
        return schema::empty().map_err(at);
    }
    let db = match read_only(path, false) {
        Ok(db) => db,
        Err(rusqlite::Error::SqliteFailure(failure, _)) if interrupted(failure.extended_code) => {
            recover(path)?;
            read_only(path, false).map_err(at)?
        }
        // In WAL mode, on a medium where the files that this mode needs are not there and cannot be made.
        Err(error) => {
            let mut wal = path.as_os_str().to_owned();
            wal.push("-wal");
            if fs::metadata(PathBuf::from(wal)).is_ok_and(|m| m.len() > 0) {
                return Err(at(error));
            }
            read_only(path, true).map_err(|_| at(error))?
        }
    };
    if schema::has_packages(&db).map_err(at)? {
        schema::complete_temporarily(&db).map_err(at)?;
        Ok(db)
    } else {
        schema::empty().map_err(at)
    }
}

/// Opens and reads the first page.
fn read_only(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = if immutable {
        let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let uri = format!("file://{escaped}?immutable=1");
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    db.busy_timeout(BUSY)?;
    db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;")?;
    db.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(db)
}

/// Whether SQLite says that a change was interrupted and that a reader cannot undo it.
fn interrupted(extended: i32) -> bool {
    [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY].contains(&extended)
}

/// Lets SQLite roll back an interrupted change.
fn recover(path: &Path) -> Result<(), Error> {
    let fail = |source| Error::Interrupted { path: path.to_owned(), source };
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail)?;
    db.busy_timeout(BUSY).map_err(fail)?;
    persist_wal(&db, true).map_err(fail)?;
    db.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(fail)
}
