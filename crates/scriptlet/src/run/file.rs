//! The temporary file from which an interpreter reads a script.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};

/// Where the file may be, inside the root, best first. A root that is just being made has none but itself.
const PLACES: [&str; 4] = ["/var/tmp", "/tmp", "/run", "/"];
/// How often a name that is taken is replaced by another.
const TRIES: usize = 16;

/// A script's file, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct ScriptFile {
    directory: OwnedFd,
    name: String,
    /// Its path as the script sees it.
    pub(super) path: String,
}

impl ScriptFile {
    /// Writes the script into the first place there is, `scratch` before others. Links are followed inside the
    /// root only.
    pub(super) fn write(root: impl AsFd, scratch: Option<&str>, body: &str) -> io::Result<Self> {
        for place in scratch.into_iter().chain(PLACES) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let directory = match openat2(&root, place, flags, Mode::empty(), resolve) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => continue,
                Err(error) => return Err(error.into()),
            };
            match Self::write_in(directory, place, body) {
                Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::ACCESS | Errno::ROFS)) => {}
                result => return result,
            }
        }
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "no directory of the root can be written"))
    }

    fn write_in(directory: OwnedFd, place: &str, body: &str) -> io::Result<Self> {
        for _ in 0..TRIES {
            let name = format!("rpm-tmp.{:08x}", rand::random::<u32>());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match openat(&directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => file,
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = format!("{}/{name}", place.trim_end_matches('/'));
            let script = Self { directory, name, path };
            File::from(file).write_all(body.as_bytes())?;
            return Ok(script);
        }
        Err(Errno::EXIST.into())
    }
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        if let Err(error) = unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            tracing::debug!(path = self.path, %error, "the script's file could not be removed");
        }
    }
}
