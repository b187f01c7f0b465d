//! RPM's own lock: `fcntl` on the whole of `.rpm.lock` beside the database.
//!
//! RPM takes it exclusively while it changes the database, shared where it must not change in between
//! (`rpm --verify`), and not at all for queries. Such a lock belongs to the process: closing *any* file
//! descriptor of the file gives it up. So there is one descriptor of each lock file in this process, and it
//! is shared and counted here. Children do not inherit the lock.

use crate::Error;
use lazuli_fs::{self as fs, Context as _};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Flock, FlockType};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The lock's name.
const FILE: &str = ".rpm.lock";
/// How long to sleep between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Who has the lock that somebody else waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process; 0 if it is in another container.
    pub pid: u32,
    /// The name of its program, if that can be known.
    pub program: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.program) {
            (0, _) => f.write_str("a process in another container"),
            (pid, Some(program)) => write!(f, "{program} (process {pid})"),
            (pid, None) => write!(f, "process {pid}"),
        }
    }
}

/// A lock file that this process has locked.
struct File {
    /// Device and inode.
    id: (u64, u64),
    /// Keeps the lock.
    _fd: OwnedFd,
    exclusive: bool,
    holders: usize,
}

static FILES: Mutex<Vec<File>> = Mutex::new(Vec::new());

fn files() -> MutexGuard<'static, Vec<File>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    id: (u64, u64),
}

impl Lock {
    /// Takes the lock in `directory`. Tells `waiting` once who has it, and fails after `limit`. `None`
    /// if nobody can lock because there is no file and none can be made; only when not `exclusive`.
    pub(crate) fn acquire(
        directory: &Path,
        exclusive: bool,
        limit: Duration,
        waiting: &mut dyn FnMut(&Holder),
    ) -> Result<Option<Self>, Error> {
        let path = directory.join(FILE);
        let start = Instant::now();
        let mut told = false;
        loop {
            let holder = match attempt(&path, exclusive)? {
                Attempt::Done(lock) => return Ok(lock),
                Attempt::Busy(holder) => holder,
            };
            if start.elapsed() >= limit {
                return Err(Error::Locked { path, holder, seconds: limit.as_secs() });
            }
            if !told {
                waiting(&holder);
                told = true;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut files = files();
        if let Some(i) = files.iter().position(|f| f.id == self.id) {
            files[i].holders -= 1;
            if files[i].holders == 0 {
                // Closing it gives the lock up.
                files.swap_remove(i);
            }
        }
    }
}

enum Attempt {
    Done(Option<Lock>),
    Busy(Holder),
}

fn attempt(path: &Path, exclusive: bool) -> Result<Attempt, Error> {
    // Nobody else may open or close a lock file of this process meanwhile.
    let mut files = files();
    if let Ok(known) = fs::symlink_metadata(path)
        && let Some(file) = files.iter_mut().find(|f| f.id == (known.dev(), known.ino()))
    {
        if exclusive || file.exclusive {
            return Ok(Attempt::Busy(holder(std::process::id())));
        }
        file.holders += 1;
        return Ok(Attempt::Done(Some(Lock { id: file.id })));
    }
    let Some(fd) = open(path, exclusive)? else { return Ok(Attempt::Done(None)) };
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match rustix::fs::fcntl_lock(&fd, operation) {
        Ok(()) => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            let wanted = if exclusive { FlockType::WriteLock } else { FlockType::ReadLock };
            let found = rustix::process::fcntl_getlk(&fd, &Flock::from(wanted)).at("ask who locks", path)?;
            let pid = found.and_then(|lock| lock.pid).map_or(0, |pid| pid.as_raw_nonzero().get());
            return Ok(Attempt::Busy(holder(u32::try_from(pid).unwrap_or(0))));
        }
        Err(errno) => return Err(fs::Error::new("lock", path, errno.into()).into()),
    }
    let stat = rustix::fs::fstat(&fd).at("stat", path)?;
    let id = (stat.st_dev, stat.st_ino);
    files.push(File { id, _fd: fd, exclusive, holders: 1 });
    Ok(Attempt::Done(Some(Lock { id })))
}

/// Opens the lock file as RPM does: made if missing, and only for reading where no more is allowed.
fn open(path: &Path, exclusive: bool) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(path, flags | OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o644)) {
        Ok(fd) => Ok(Some(fd)),
        Err(errno) if exclusive => Err(fs::Error::new("open the lock", path, errno.into()).into()),
        Err(_) => Ok(rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()).ok()),
    }
}

fn holder(pid: u32) -> Holder {
    let program = (pid != 0)
        .then(|| fs::read_to_string(PathBuf::from(format!("/proc/{pid}/comm"))).ok())
        .flatten()
        .map(|name| name.trim_end().to_owned());
    Holder { pid, program }
}
