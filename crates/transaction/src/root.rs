//! A root file system, and how paths in it are looked up.
//!
//! A path never leaves the root, and leads through a symbolic link only if root owns the link (or the
//! caller, who is not root in tests): anybody else could have put it there to have a file written
//! elsewhere. What was looked up is a descriptor, and used as one.

use crate::{Error, Problem, Problems};
use lazuli_fs::Context as _;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The most symbolic links that one path may lead through.
const MAX_LINKS: usize = 40;
/// How many directories stay open.
const MAX_OPEN: usize = 200;

/// An open root.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    /// Owns links besides root.
    uid: u32,
    open: RefCell<HashMap<String, Rc<OwnedFd>>>,
}

/// Splits into the path of the directory and the name in it; the root is `.` in itself.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(pair) => pair,
        None if path.is_empty() => ("", "."),
        None => ("", path),
    }
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).at("open the root", path)?;
        let uid = rustix::process::geteuid().as_raw();
        Ok(Self { fd, path: path.to_owned(), uid, open: RefCell::default() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path for messages.
    pub(crate) fn label(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    /// Closes what is kept open: call it when directories may have been replaced.
    pub(crate) fn forget(&self) {
        self.open.borrow_mut().clear();
    }

    /// The directory at `path`; `None` if there is none.
    pub(crate) fn directory(&self, path: &str) -> Result<Option<Rc<OwnedFd>>, Error> {
        if let Some(fd) = self.open.borrow().get(path) {
            return Ok(Some(Rc::clone(fd)));
        }
        let Some(fd) = self.look_up(path)? else { return Ok(None) };
        let fd = Rc::new(fd);
        let mut open = self.open.borrow_mut();
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(path.to_owned(), Rc::clone(&fd));
        Ok(Some(fd))
    }

    fn look_up(&self, path: &str) -> Result<Option<OwnedFd>, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let name = if path.is_empty() { "." } else { path };
        match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => self.walk(path),
            Err(e) => Err(e).at("open", self.label(path)).map_err(Error::from),
        }
    }

    /// Step by step, with a look at each link.
    fn walk(&self, path: &str) -> Result<Option<OwnedFd>, Error> {
        let label = || self.label(path);
        let again = || rustix::fs::openat(&self.fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let mut stack = vec![again().at("open", label())?];
        let mut rest: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match &name[..] {
                "" | "." => continue,
                ".." => {
                    if stack.len() > 1 {
                        stack.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Some(top) = stack.last() else { return Ok(None) };
            let fd = match rustix::fs::openat(top, &name[..], flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(e) => return Err(e).at("open", label()).map_err(Error::from),
            };
            let stat = rustix::fs::fstat(&fd).at("stat", label())?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => stack.push(fd),
                FileType::Symlink => {
                    if stat.st_uid != 0 && stat.st_uid != self.uid {
                        let problem =
                            Problem::Link { path: format!("/{path}"), link: name, owner: stat.st_uid };
                        return Err(Error::Problems(Problems(vec![problem])));
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP).at("open", label()).map_err(Error::from);
                    }
                    let target = rustix::fs::readlinkat(&fd, "", Vec::new()).at("read the link", label())?;
                    let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
                    if target.starts_with('/') {
                        stack.truncate(1);
                    }
                    for part in target.split('/').rev() {
                        rest.push_front(part.to_owned());
                    }
                }
                _ => return Ok(None),
            }
        }
        Ok(stack.pop())
    }

    /// What is at `path`; a symbolic link at its end is not followed.
    pub(crate) fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        let (parent, name) = split(path);
        let Some(dir) = self.directory(parent)? else { return Ok(None) };
        match rustix::fs::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e).at("stat", self.label(path)).map_err(Error::from),
        }
    }

    /// The target of the symbolic link at `path`.
    pub(crate) fn read_link(&self, path: &str) -> Result<String, Error> {
        let (parent, name) = split(path);
        let target = match self.directory(parent)? {
            Some(dir) => rustix::fs::readlinkat(&*dir, name, Vec::new()),
            None => Err(Errno::NOENT),
        };
        let target = target.at("read the link", self.label(path))?;
        Ok(String::from_utf8_lossy(target.as_bytes()).into_owned())
    }

    /// Opens the regular file at `path` for reading.
    pub(crate) fn read(&self, path: &str) -> Result<std::fs::File, Error> {
        let (parent, name) = split(path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.directory(parent)? {
            Some(dir) => rustix::fs::openat(&*dir, name, flags, Mode::empty()),
            None => Err(Errno::NOENT),
        };
        Ok(file.at("open", self.label(path))?.into())
    }

    /// A directory that can be flushed: one that was only looked up cannot.
    pub(crate) fn for_sync(&self, path: &str) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match self.directory(path)? {
            Some(dir) => rustix::fs::openat(&*dir, ".", flags, Mode::empty()),
            None => Err(Errno::NOENT),
        };
        Ok(dir.at("open", self.label(path))?)
    }

    /// The number of the mount that the directory at `path` is on. Renames stay within one mount, which
    /// is less than one file system where there are bind mounts.
    pub(crate) fn mount(&self, path: &str) -> Result<Option<u64>, Error> {
        let Some(dir) = self.directory(path)? else { return Ok(None) };
        let flags = StatxFlags::MNT_ID | StatxFlags::BASIC_STATS;
        let statx = rustix::fs::statx(&*dir, "", AtFlags::EMPTY_PATH, flags).at("stat", self.label(path))?;
        Ok(Some(statx.stx_mnt_id))
    }
}
