//! Path-bearing I/O errors, atomic writes with fsync, and the one subprocess wrapper.
//!
//! Every function here is its `std::fs` namesake with an error that says what was attempted and on
//! which path. Nothing in this crate knows what the files mean.
//!
//! Crash rule: [`write_atomic`] leaves either the old content or the complete new content under a
//! name. It writes a sibling temporary file, flushes it, renames it, and flushes the directory.

#![allow(clippy::disallowed_methods)] // This is the crate that wraps them.

pub mod process;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What went wrong with a path, and while doing what.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {path}: {source}", path = .path.display())]
pub struct Error {
    /// The attempted operation as a verb phrase, for example `read`.
    pub op: &'static str,
    /// The path it was attempted on.
    pub path: PathBuf,
    /// The operating system's reason.
    #[source]
    pub source: io::Error,
}

/// The result of an operation on a path.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of operation `op` on `path`.
    pub fn new(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { op, path: path.into(), source }
    }

    /// Whether the path did not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Adds the operation and the path to an I/O result.
pub trait Context<T> {
    /// Names the operation (`op`, a verb) and the path in the error.
    fn at(self, op: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn at(self, op: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::new(op, path.as_ref(), source))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn at(self, op: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|errno| Error::new(op, path.as_ref(), errno.into()))
    }
}

/// Reads a whole file.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    std::fs::read(path.as_ref()).at("read", path)
}

/// Reads a whole file as UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    std::fs::read_to_string(path.as_ref()).at("read", path)
}

/// Opens a file for reading.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    File::open(path.as_ref()).at("open", path)
}

/// Creates or truncates a file.
pub fn create(path: impl AsRef<Path>) -> Result<File> {
    File::create(path.as_ref()).at("create", path)
}

/// Creates a file that must not exist yet, with the given permission bits.
pub fn create_new(path: impl AsRef<Path>, mode: u32) -> Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path.as_ref())
        .at("create", path)
}

/// Writes a file without any promise about a crash; for scratch files only.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path.as_ref(), content).at("write", path)
}

/// Creates a directory and its parents.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<()> {
    std::fs::create_dir_all(path.as_ref()).at("create the directory", path)
}

/// Removes a file.
pub fn remove_file(path: impl AsRef<Path>) -> Result<()> {
    std::fs::remove_file(path.as_ref()).at("remove", path)
}

/// Removes a directory tree. A tree that is not there is not an error.
pub fn remove_dir_all(path: impl AsRef<Path>) -> Result<()> {
    match std::fs::remove_dir_all(path.as_ref()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove the directory", path),
    }
}

/// Renames, replacing the target.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    std::fs::rename(from.as_ref(), to.as_ref()).at("rename to", to)
}

/// Copies content and permission bits.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
    std::fs::copy(from.as_ref(), to.as_ref()).at("copy", from)
}

/// Makes a hard link `to` on `from`.
pub fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    std::fs::hard_link(from.as_ref(), to.as_ref()).at("hard-link to", to)
}

/// Makes a symbolic link at `link` that says `target`.
pub fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    std::os::unix::fs::symlink(target.as_ref(), link.as_ref()).at("make the symbolic link", link)
}

/// Metadata, following a symbolic link.
pub fn metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    std::fs::metadata(path.as_ref()).at("stat", path)
}

/// Metadata of the path itself.
pub fn symlink_metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    std::fs::symlink_metadata(path.as_ref()).at("stat", path)
}

/// Sets permission bits.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    std::fs::set_permissions(path.as_ref(), std::fs::Permissions::from_mode(mode))
        .at("set the permissions of", path)
}

/// The entries of a directory as full paths, sorted by name, so that nothing depends on disk order.
pub fn read_dir(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path.as_ref()).at("list", &path)? {
        entries.push(entry.at("list", &path)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// Flushes a directory, so that a rename in it survives a power cut.
pub fn sync_dir(path: impl AsRef<Path>) -> Result<()> {
    File::open(path.as_ref()).and_then(|dir| dir.sync_all()).at("flush the directory", path)
}

/// Replaces a file by `content` at once: temporary sibling, fsync, rename, fsync of the directory.
/// `mode` is set exactly, whatever the umask is.
///
/// The sibling of `NAME` is `.NAME.tmp`. Whoever is killed while writing leaves it behind, and the next to write
/// takes it over, so that there is never more than one; but where the file system has no locks each writer has
/// one of its own.
pub fn write_atomic(path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let path = path.as_ref();
    let mut temporary = Temporary::beside(path)?;
    temporary.fill(path, content.as_ref(), mode)?;
    if !temporary.is_named() {
        // It took so long that somebody else began anew.
        temporary = Temporary::of_this_writer(path)?;
        temporary.fill(path, content.as_ref(), mode)?;
    }
    rename(&temporary.path, path)?;
    temporary.there = false;
    sync_dir(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The temporary sibling of a file; it goes when this is dropped.
struct Temporary {
    /// Locked: one process at a time writes it.
    file: File,
    path: PathBuf,
    there: bool,
}

impl Temporary {
    /// How often it may turn out that somebody else has just finished with it.
    const TRIES: usize = 1000;
    /// How long to wait for whoever else writes: no longer than some files take. One who has it locked longer is
    /// no writer.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// How long to wait between two looks.
    const PAUSE: Duration = Duration::from_millis(2);

    fn beside(target: &Path) -> Result<Self> {
        Self::beside_with(target, Self::PATIENCE, &|file| {
            rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
        })
    }

    /// The same with another patience and another way to lock.
    fn beside_with(
        target: &Path,
        patience: Duration,
        lock: &dyn Fn(&File) -> rustix::io::Result<()>,
    ) -> Result<Self> {
        let path = directory_of(target).join(sibling(target.file_name().unwrap_or_default(), ""));
        let mut until = Instant::now() + patience;
        let mut tries = 0;
        while tries < Self::TRIES {
            let fresh = match open_sibling(&path, OFlags::CREATE | OFlags::EXCL) {
                Ok(file) => Some(file),
                Err(Errno::EXIST) => None,
                Err(errno) => return Err(errno).at("create", &path),
            };
            let (file, new) = match fresh {
                Some(file) => (file, true),
                None => match open_sibling(&path, OFlags::empty()) {
                    Ok(file) => (file, false),
                    Err(Errno::NOENT) => {
                        tries += 1;
                        continue;
                    }
                    // Neither a link, a device nor somebody else's file was put there by us.
                    Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => {
                        remove_if_there(&path)?;
                        tries += 1;
                        continue;
                    }
                    Err(errno) => return Err(errno).at("open", &path),
                },
            };
            match lock(&file) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => {
                    if Instant::now() >= until {
                        remove_if_there(&path)?;
                        until = Instant::now() + patience;
                        tries += 1;
                    } else {
                        std::thread::sleep(Self::PAUSE);
                    }
                    continue;
                }
                Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    if new {
                        remove_if_there(&path)?;
                    }
                    return Self::of_this_writer(target);
                }
                Err(errno) => return Err(errno).at("lock", &path),
            }
            tries += 1;
            let held = file.metadata().at("stat", &path)?;
            let named = match symlink_metadata(&path) {
                Ok(named) => named,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            // Whoever had the lock before has given the file its name meanwhile.
            if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
                continue;
            }
            // What somebody else made could be changed by them later. What was made here need not say so: some
            // mounts show other owners.
            let ours = new || held.uid() == rustix::process::geteuid().as_raw();
            if !held.is_file() || held.nlink() != 1 || !ours {
                remove_if_there(&path)?;
                continue;
            }
            if !new {
                file.set_permissions(std::fs::Permissions::from_mode(0o600))
                    .at("set the permissions of", &path)?;
            }
            return Ok(Self { file, path, there: true });
        }
        Err(Error::new("create", path, io::Error::from(Errno::BUSY)))
    }

    /// Only at the end can others open it, and lock it.
    fn fill(&mut self, target: &Path, content: &[u8], mode: u32) -> Result<()> {
        self.file.set_len(0).at("write", target)?;
        self.file.write_all(content).at("write", target)?;
        let mode = std::fs::Permissions::from_mode(mode);
        self.file.set_permissions(mode).at("set the permissions of", target)?;
        self.file.sync_all().at("flush", target)
    }

    /// Whether the name is still that of this file.
    fn is_named(&self) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let named = std::fs::symlink_metadata(&self.path).map(id);
        matches!((self.file.metadata().map(id), named), (Ok(held), Ok(named)) if held == named)
    }

    /// One with a name that no other writer has.
    fn of_this_writer(target: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let own = format!(".{}-{number}", std::process::id());
            let path = directory_of(target).join(sibling(target.file_name().unwrap_or_default(), &own));
            match open_sibling(&path, OFlags::CREATE | OFlags::EXCL) {
                Ok(file) => return Ok(Self { file, path, there: true }),
                // Of one who was killed, and had this number.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).at("create", &path),
            }
        }
    }
}

/// The name of the temporary sibling of `name`. Of one that would be too long the beginning, and a number that
/// stands for all of it.
fn sibling(name: &OsStr, own: &str) -> OsString {
    const NAME_MAX: usize = 255;
    let mut sibling = OsString::from(".");
    if name.len() + own.len() + ".".len() + ".tmp".len() <= NAME_MAX {
        sibling.push(name);
    } else {
        // FNV-1a: the same in each run, so that what a killed writer left is found.
        let hash = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        sibling.push(OsStr::from_bytes(&name.as_bytes()[..100]));
        sibling.push(format!(".{hash:016x}"));
    }
    sibling.push(own);
    sibling.push(".tmp");
    sibling
}

fn open_sibling(path: &Path, how: OFlags) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | how;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Removes what somebody else may remove at the same time.
fn remove_if_there(path: &Path) -> Result<()> {
    match remove_file(path) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.there && self.is_named() {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_and_path() {
        let error = read("/nonexistent/file").expect_err("must fail");
        assert_eq!(
            error.to_string(),
            "cannot read /nonexistent/file: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn atomic_write_replaces_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        write_atomic(&path, "one", 0o644).expect("first");
        write_atomic(&path, "two", 0o600).expect("second");
        assert_eq!(read(&path).expect("read"), b"two");
        assert_eq!(metadata(&path).expect("stat").permissions().mode() & 0o777, 0o600);
        assert_eq!(read_dir(dir.path()).expect("list").len(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_taken_over() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        write(dir.path().join(".a.tmp"), "half of a longer content").expect("left behind");
        write_atomic(&path, "whole", 0o644).expect("write");
        assert_eq!(read(&path).expect("read"), b"whole");
        assert_eq!(read_dir(dir.path()).expect("list"), vec![path.clone()]);
        // What somebody else could still write to, or what leads elsewhere, is not.
        let elsewhere = dir.path().join("elsewhere");
        write(&elsewhere, "theirs").expect("a file");
        hard_link(&elsewhere, dir.path().join(".a.tmp")).expect("a link");
        write_atomic(&path, "again", 0o644).expect("write");
        symlink("elsewhere", dir.path().join(".a.tmp")).expect("a link");
        write_atomic(&path, "and again", 0o644).expect("write");
        assert_eq!(read(&path).expect("read"), b"and again");
        assert_eq!(read(&elsewhere).expect("read"), b"theirs");
        assert_eq!(read_dir(dir.path()).expect("list"), vec![path, elsewhere]);
    }

    #[test]
    fn writers_at_one_time_do_not_mix() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c', b'd'] {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_atomic(path, vec![letter; 5000], 0o644).expect("write");
                    }
                });
            }
        });
        let content = read(&path).expect("read");
        assert!(content.len() == 5000 && content.iter().all(|b| *b == content[0]));
        assert_eq!(read_dir(dir.path()).expect("list"), vec![path]);
    }

    #[test]
    fn one_who_only_holds_the_lock_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        write(dir.path().join(".a.tmp"), "").expect("left behind");
        let held = open(dir.path().join(".a.tmp")).expect("open");
        rustix::fs::flock(&held, FlockOperation::LockExclusive).expect("lock");
        let lock = |file: &File| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
        let patience = Duration::from_millis(50);
        let temporary = Temporary::beside_with(&path, patience, &lock).expect("another file");
        assert_eq!(held.metadata().expect("stat").nlink(), 0);
        assert_eq!(temporary.path, dir.path().join(".a.tmp"));
    }

    #[test]
    fn nobody_else_can_open_it_before_it_is_whole() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        let mode = || {
            let temporary = Temporary::beside(&path).expect("a file");
            temporary.file.metadata().expect("stat").permissions().mode() & 0o777
        };
        assert_eq!(mode(), 0o600);
        write(dir.path().join(".a.tmp"), "left behind").expect("a file");
        set_mode(dir.path().join(".a.tmp"), 0o666).expect("a mode");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn without_locks_each_writer_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        let none = |_: &File| Err(Errno::OPNOTSUPP);
        let made = [(); 2].map(|()| Temporary::beside_with(&path, Duration::ZERO, &none).expect("a file"));
        assert_ne!(made[0].path, made[1].path);
        assert_eq!(read_dir(dir.path()).expect("list").len(), 2);
        drop(made);
        assert!(read_dir(dir.path()).expect("list").is_empty());
    }

    #[test]
    fn the_longest_names_have_a_sibling() {
        let dir = tempfile::tempdir().expect("tempdir");
        for length in [250, 251, 255] {
            let path = dir.path().join("n".repeat(length));
            write_atomic(&path, "x", 0o644).expect("write");
            assert_eq!(read(&path).expect("read"), b"x");
        }
        assert_eq!(read_dir(dir.path()).expect("list").len(), 3);
        let names = ["a", "b"].map(|last| sibling(OsStr::new(&("n".repeat(254) + last)), ""));
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn atomic_write_that_fails_keeps_the_old_content() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        create_dir_all(path.join("non-empty")).expect("mkdir");
        write_atomic(&path, "x", 0o644).expect_err("a directory is in the way");
        assert_eq!(read_dir(dir.path()).expect("list"), vec![path]);
    }
}
