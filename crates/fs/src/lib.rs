//! Path-bearing I/O errors, atomic writes with fsync, and the one subprocess wrapper.
//!
//! Every function here is its `std::fs` namesake with an error that says what was attempted and on
//! which path. Nothing in this crate knows what the files mean.
//!
//! Crash rule: [`write_atomic`] leaves either the old content or the complete new content under a
//! name. It writes a sibling temporary file, flushes it, renames it, and flushes the directory.

#![allow(clippy::disallowed_methods)] // This is the crate that wraps them.

pub mod process;

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
pub fn write_atomic(path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let path = path.as_ref();
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .at("create a temporary file in", dir)?;
    file.write_all(content.as_ref()).at("write", path)?;
    set_mode(file.path(), mode)?;
    file.as_file().sync_all().at("flush", path)?;
    file.persist(path).map_err(|e| Error::new("rename to", path, e.error))?;
    sync_dir(dir)
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
    fn atomic_write_that_fails_keeps_the_old_content() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a");
        create_dir_all(path.join("non-empty")).expect("mkdir");
        write_atomic(&path, "x", 0o644).expect_err("a directory is in the way");
        assert_eq!(read_dir(dir.path()).expect("list"), vec![path]);
    }
}
