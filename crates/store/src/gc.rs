//! Garbage collection: everything that was not used for a while goes.

use crate::{Error, Result, Store};
use lazuli_fs::{self as fs, Context as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Files and directories removed.
    pub removed: u64,
    /// Bytes that they occupied.
    pub bytes: u64,
}

impl Store {
    /// Removes unfinished work and every blob, action and directory older than `keep`. Takes the
    /// store exclusively and consumes it; fails with [`Error::Busy`] while another process uses it.
    ///
    /// Age is the time since the inode last changed, which for a blob is when it was made or last
    /// verified. An action whose blobs are gone simply runs again.
    pub fn collect(self, keep: Duration) -> Result<GcReport> {
        match rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { path: self.root }),
            Err(errno) => {
                return Err(fs::Error::new("lock", self.root.join("lock"), errno.into()).into());
            }
        }
        let mut report = GcReport::default();
        for unfinished in ["tmp", "partial"] {
            let dir = self.root.join(unfinished);
            if dir.is_dir() {
                for path in fs::read_dir(&dir)? {
                    remove(&path, &mut report)?;
                }
            }
        }
        let limit = SystemTime::now().checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
        for kind in ["blobs", "actions", "dirs"] {
            for dir in fs::read_dir(self.root.join(kind))? {
                for path in fs::read_dir(&dir)? {
                    if changed(&path)? <= limit {
                        remove(&path, &mut report)?;
                    }
                }
            }
        }
        Ok(report)
    }
}

/// When the inode last changed, to the second.
pub(crate) fn changed(path: &Path) -> Result<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path)?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(meta.ctime()).unwrap_or(0)))
}

/// Removes a file or a directory with all that is in it.
pub(crate) fn remove(path: &Path, report: &mut GcReport) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            // A directory without write permission would keep its entries.
            remove(&entry, report)?;
        }
        std::fs::remove_dir(path).at("remove the directory", path)?;
    } else {
        report.bytes += meta.blocks() * 512;
        fs::remove_file(path)?;
    }
    report.removed += 1;
    Ok(())
}
