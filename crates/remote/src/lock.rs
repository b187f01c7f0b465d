//! One process at a time changes what is cached and remembered of a repository.

use crate::error::{Error, Result};
use lazuli_fs::Context as _;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another process may take before we give up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The lock on a repository, `CACHE/ID.lock`, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it unlocks")] File);

impl Lock {
    /// Waits for the lock.
    pub(crate) fn take(cache: &Path, repository: &str) -> Result<Self> {
        let path = cache.join(format!("{repository}.lock"));
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path).at("open", &path)?;
        let end = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::Busy { repository: repository.to_owned(), path });
                }
                Err(error) => return Err(lazuli_fs::Error::new("lock", path, error.into()).into()),
            }
        }
    }
}
