//! One at a time: two that look and do at once would undo each other's work.

use crate::{Error, Result};
use lazuli_fs as fs;
use lazuli_fs::Context as _;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file, below the root.
const FILE: &str = "run/lazuli/boot-entries.lock";
/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// The right to change the boot entries of a running system, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Takes it; waits `patience` for whoever has it, and says `waiting` once.
    pub fn acquire(root: &Path, patience: Duration, waiting: impl FnOnce()) -> Result<Self> {
        let path = root.join(FILE);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = fs::create(&path)?;
        let (started, mut waiting) = (Instant::now(), Some(waiting));
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK) if started.elapsed() < patience => {
                    if let Some(say) = waiting.take() {
                        say();
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK) => return Err(Error::Locked { path }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("lock", &path).map_err(Error::from),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time() {
        let root = tempfile::tempdir().expect("a directory");
        let first = Lock::acquire(root.path(), Duration::ZERO, || panic!("nobody has it")).expect("a lock");
        let error = Lock::acquire(root.path(), Duration::ZERO, || ()).expect_err("taken").to_string();
        assert!(error.contains("boot-entries.lock"), "{error}");
        std::thread::scope(|scope| {
            let (told, heard) = std::sync::mpsc::channel();
            let second = scope.spawn(|| {
                Lock::acquire(root.path(), Duration::from_secs(60), move || told.send(()).expect("told"))
            });
            heard.recv().expect("it waits");
            drop(first);
            second.join().expect("no panic").expect("a lock");
        });
    }
}
