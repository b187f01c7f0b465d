//! After the host was restarted: what may not have reached the disk is not taken on trust.
//!
//! Blobs are not flushed one by one. After a power cut a file system may therefore have a blob's name and its
//! modification time, which says "verified", but not its content. So `STORE/boot` has, in one line,
//!
//! ```text
//! BOOT-ID SECONDS
//! ```
//!
//! the kernel's ID of the boot (random(4)) in which the store was last opened, and when that was for the
//! first time, in seconds since 1970. Who opens the store in another boot takes the mark of being verified
//! from all blobs that were made since then, so that each is hashed when it is used next, and removes all
//! directories that were made since then: they are links to blobs, and are made again from them. What is
//! older was checked in the same way at the time. Action results need no such care: they are parsed on reading,
//! and half of one is not JSON.

use crate::gc::{GcReport, changed, remove};
use crate::{Result, Store};
use lazuli_fs::{self as fs, Context as _};
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that files get their times from is this much behind at most.
const COARSE: u64 = 1;

impl Store {
    /// Looks whether the host was restarted since the store was last opened, and if so distrusts what was
    /// made meanwhile. `boot` is the ID of the present boot; nothing happens where there is none.
    pub(crate) fn after_restart(&self, boot: &str) -> Result<()> {
        let boot = boot.trim();
        if boot.is_empty() {
            return Ok(());
        }
        let path = self.root.join("boot");
        let fresh = !path.exists();
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.create(true).truncate(false).read(true).write(true).open(&path).at("open", &path)?;
        // Another process may be at it; it must not find anything made in this boot to remove.
        rustix::fs::flock(&file, FlockOperation::LockExclusive).at("lock", &path)?;
        let mut text = String::new();
        // What cannot be read is no known time: nothing is trusted then.
        let _unreadable = (&file).take(256).read_to_string(&mut text);
        let (last, since) = text.trim().split_once(' ').unwrap_or_default();
        if last == boot {
            return Ok(());
        }
        // A store from before this file was kept has always been trusted.
        if !fresh || !text.is_empty() {
            let since = UNIX_EPOCH + Duration::from_secs(since.parse().unwrap_or(0));
            self.distrust(since)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let line = format!("{boot} {}\n", now.saturating_sub(COARSE));
        file.set_len(0).and_then(|()| file.rewind()).at("truncate", &path)?;
        file.write_all(line.as_bytes()).at("write", &path)?;
        Ok(())
    }

    fn distrust(&self, since: SystemTime) -> Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let stamps =
            Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: now };
        for dir in fs::read_dir(self.root.join("blobs"))? {
            for blob in fs::read_dir(&dir)? {
                if changed(&blob)? >= since {
                    rustix::fs::utimensat(CWD, &blob, &stamps, AtFlags::SYMLINK_NOFOLLOW)
                        .at("set the times of", &blob)?;
                }
            }
        }
        let mut report = GcReport::default();
        for kind in fs::read_dir(self.root.join("dirs"))? {
            for dir in fs::read_dir(&kind)? {
                if changed(&dir)? >= since {
                    remove(&dir, &mut report)?;
                }
            }
        }
        tracing::debug!(removed = report.removed, "the host was restarted; new blobs are hashed before use");
        Ok(())
    }
}
