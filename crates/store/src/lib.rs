//! Content-addressed blobs, the action cache and garbage collection.
//!
//! # Layout
//!
//! ```text
//! STORE/
//!   boot                     the boot of the host in which the store was last opened, see the module `restart`
//!   lock                     held shared by users, exclusively by garbage collection
//!   blobs/ab/abcdef...       content by SHA-256; mode 0555 (so that hard links to them can run); modification time = verified (see below)
//!   actions/ab/abcdef...     result of an action (JSON), by the digest of what the action depends on
//!   dirs/KIND/abcdef...      directory trees made from blobs (tool roots); complete or absent
//!   tmp/                     unfinished work; emptied by garbage collection
//! ```
//!
//! # Crash rule
//!
//! A blob, an action result or a directory appears under its name by one `rename` after its content
//! was written in full; a name that exists is therefore complete, except after a power cut on a
//! file system that reorders data and rename. That case, bit rot and tampering are caught on reading:
//! a blob's modification time is set to a constant after its content was verified, any later write
//! moves it, and so does the first use of the store after a restart of the host for all that was made
//! before it; then the blob is hashed again before it is used. One that no longer matches is removed and
//! reported as absent, so that it is fetched or built again.
//!
//! This model (blob digests, actions keyed by the digest of their inputs) is that of the Remote
//! Execution API v2, so that the same actions can later run elsewhere.

mod actions;
mod digest;
mod gc;
mod restart;
mod verify;

pub use actions::{ActionKey, ActionResult, Output};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use gc::GcReport;
pub use verify::VerifyReport;

use lazuli_fs::{self as fs, Context as _};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path inside the store could not be used.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A blob that something depends on is not there.
    #[error("blob {digest} is not in the store ({path}); run the command again to fetch or build it", path = .path.display())]
    Missing {
        /// The blob's digest.
        digest: Digest,
        /// Where it would be.
        path: PathBuf,
    },
    /// Content did not have the digest that was promised for it.
    #[error("{what}: expected sha256 {expected}, got {actual}")]
    Mismatch {
        /// What was checked.
        what: String,
        /// The pinned digest.
        expected: Digest,
        /// The digest of what arrived.
        actual: Digest,
    },
    /// The store is used by another process in a way that excludes this one.
    #[error("the store {path} is being cleaned by another lazuli; try again when it has finished", path = .path.display())]
    Busy {
        /// The store's root.
        path: PathBuf,
    },
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Where the kernel says which boot this is (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The modification time that marks a blob as verified: one second after the epoch.
fn verified() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1)
}

/// A store on disk. Cheap to share by reference between threads; several processes may use one store
/// at once: names are content digests, so two writers of one blob write the same bytes.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    lock: File,
}

impl Store {
    /// Opens the store at `root`, making it if it is not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for dir in ["blobs", "actions", "dirs", "tmp"] {
            fs::create_dir_all(root.join(dir))?;
        }
        let lock_path = root.join("lock");
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .at("open", &lock_path)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { path: root }),
            Err(errno) => return Err(fs::Error::new("lock", lock_path, errno.into()).into()),
        }
        let store = Self { root, lock };
        store.after_restart(&fs::read_to_string(BOOT_ID).unwrap_or_default())?;
        Ok(store)
    }

    /// The store's root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A fresh temporary directory on the store's file system, removed when dropped.
    pub fn tempdir(&self) -> Result<tempfile::TempDir> {
        let tmp = self.root.join("tmp");
        Ok(tempfile::tempdir_in(&tmp).at("create a temporary directory in", &tmp)?)
    }

    /// Where the blob `digest` is, or would be. Says nothing about whether it is there or intact.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.root.join("blobs").join(&hex[..2]).join(&hex)
    }

    /// Whether an intact blob is there. A damaged one is removed and counts as absent.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.get(digest)?.is_some())
    }

    /// Opens a blob for reading, or `None` if it is absent. A blob that was touched since it was last
    /// verified is hashed first; a damaged one is removed and counts as absent.
    pub fn get(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        let mut file = match fs::open(&path) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let modified = file.metadata().and_then(|m| m.modified()).at("stat", &path)?;
        if modified == verified() {
            return Ok(Some(file));
        }
        let mut hasher = Hasher::new();
        io::copy(&mut file, &mut hasher).at("read", &path)?;
        if hasher.finish() != *digest {
            tracing::warn!(%digest, path = %path.display(), "removed a damaged blob from the store");
            fs::remove_file(&path)?;
            return Ok(None);
        }
        seal(&path)?;
        file.rewind().at("read", &path)?;
        Ok(Some(file))
    }

    /// Opens a blob that must be there.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        self.get(digest)?.ok_or_else(|| Error::Missing { digest: *digest, path: self.path(digest) })
    }

    /// Reads a whole blob and verifies its content, whatever its modification time says.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let path = self.path(digest);
        self.open_blob(digest)?.read_to_end(&mut content).at("read", &path)?;
        if Digest::of(&content) != *digest {
            tracing::warn!(%digest, "removed a damaged blob from the store");
            fs::remove_file(&path)?;
            return Err(Error::Missing { digest: *digest, path });
        }
        Ok(content)
    }

    /// Stores bytes and returns their digest.
    pub fn put(&self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        if self.contains(&digest)? {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        let path = writer.path().to_owned();
        writer.write_all(content).at("write", path)?;
        Ok(writer.finish()?.0)
    }

    /// Stores a copy of the file at `path` (sparse where the original is) and returns digest and size.
    pub fn put_file(&self, path: impl AsRef<Path>) -> Result<(Digest, u64)> {
        let mut source = fs::open(&path)?;
        let mut writer = self.writer()?;
        io::copy(&mut source, &mut writer).at("copy into the store", &path)?;
        writer.finish()
    }

    /// Moves a file that already lies on the store's file system (see [`Store::tempdir`]) into the
    /// store without copying it.
    pub fn adopt_file(&self, path: impl AsRef<Path>) -> Result<(Digest, u64)> {
        let path = path.as_ref();
        let mut file = fs::open(path)?;
        let mut hasher = Hasher::new();
        let size = io::copy(&mut file, &mut hasher).at("read", path)?;
        let digest = hasher.finish();
        self.install(path, &digest)?;
        Ok((digest, size))
    }

    /// A writer whose content becomes a blob on [`BlobWriter::finish`].
    pub fn writer(&self) -> Result<BlobWriter<'_>> {
        let tmp = self.root.join("tmp");
        let file = tempfile::NamedTempFile::new_in(&tmp).at("create a temporary file in", &tmp)?;
        Ok(BlobWriter { store: self, file, hasher: Hasher::new(), size: 0 })
    }

    /// A directory made from blobs, by kind and digest, if it is complete.
    pub fn dir(&self, kind: &str, digest: &Digest) -> Option<PathBuf> {
        let path = self.root.join("dirs").join(kind).join(digest.to_string());
        path.is_dir().then_some(path)
    }

    /// Publishes a finished directory (made under [`Store::tempdir`]) as `dirs/KIND/DIGEST`. If another
    /// process was faster its copy is kept.
    pub fn publish_dir(&self, kind: &str, digest: &Digest, finished: &Path) -> Result<PathBuf> {
        let parent = self.root.join("dirs").join(kind);
        fs::create_dir_all(&parent)?;
        let path = parent.join(digest.to_string());
        match fs::rename(finished, &path) {
            Ok(()) => Ok(path),
            Err(_) if path.is_dir() => Ok(path),
            Err(error) => Err(error.into()),
        }
    }

    fn install(&self, from: &Path, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::set_mode(from, 0o555)?;
        seal(from)?;
        fs::rename(from, &path)?;
        Ok(())
    }
}

/// Marks the content of a blob as verified.
fn seal(path: &Path) -> Result<()> {
    let stamp = rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 };
    let stamps = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
    rustix::fs::utimensat(rustix::fs::CWD, path, &stamps, rustix::fs::AtFlags::empty())
        .at("set the times of", path)?;
    Ok(())
}

/// Writes a blob; nothing appears in the store until [`BlobWriter::finish`].
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: tempfile::NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter<'_> {
    /// The temporary file that is being written.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the blob into the store and returns its digest and size in bytes.
    pub fn finish(self) -> Result<(Digest, u64)> {
        let digest = self.hasher.finish();
        self.store.install(self.file.path(), &digest)?;
        // The file now lives under its digest; there is no temporary name left to remove.
        let _renamed_away = self.file.into_temp_path().keep();
        Ok((digest, self.size))
    }

    /// Like [`BlobWriter::finish`], but refuses content with another digest; `what` names it.
    pub fn finish_expecting(self, expected: &Digest, what: &str) -> Result<u64> {
        let actual = self.hasher.clone().finish();
        if actual != *expected {
            return Err(Error::Mismatch { what: what.to_owned(), expected: *expected, actual });
        }
        Ok(self.finish()?.1)
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
