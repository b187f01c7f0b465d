//! Confining a process to a root: the system calls between `fork` and `execve`.

// Code that runs in a forked child must be handed over by `unsafe`; it makes system calls only.
#![allow(unsafe_code)]

use super::{Confinement, Error};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, FdFlags};
use rustix::thread::{CapabilitySet, UnshareFlags};
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Opens the root directory.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty())
        .map_err(|errno| lazuli_fs::Error::new("open the root directory", root, errno.into()).into())
}

/// Whether a path of the root is a file that can be executed.
pub(super) fn is_program(directory: &OwnedFd, path: &str) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let stat = file.and_then(rustix::fs::fstat);
    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_file() && s.st_mode & 0o111 != 0)
}

/// Chooses how scripts are confined, and tries it if it may fail.
pub(super) fn choose(root: &Path, directory: &OwnedFd) -> Result<Confinement, Error> {
    let identity = |meta: &Metadata| (meta.dev(), meta.ino());
    let here = lazuli_fs::metadata("/")?;
    let stat = rustix::fs::fstat(directory)
        .map_err(|errno| lazuli_fs::Error::new("stat the root directory", root, errno.into()))?;
    if identity(&here) == (stat.st_dev, stat.st_ino) {
        return Ok(Confinement::None);
    }
    let able = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_CHROOT));
    if able {
        return Ok(Confinement::Chroot);
    }
    match try_namespace() {
        Ok(()) => Ok(Confinement::UserNamespace),
        Err(source) => Err(Error::Privilege { root: root.to_owned(), source }),
    }
}

/// Makes a user namespace in a child that then ends, before it would start a program.
fn try_namespace() -> io::Result<()> {
    const DONE: Errno = Errno::CANCELED;
    let maps = Maps::of_caller();
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            maps.enter()?;
            // The error is how the parent learns that all went well; no program is started.
            Err(DONE.into())
        });
    }
    match command.spawn() {
        Err(error) if Errno::from_io_error(&error) == Some(DONE) => Ok(()),
        Err(error) => Err(error),
        Ok(mut child) => {
            child.wait()?;
            Err(io::Error::other("the child did not report"))
        }
    }
}

/// The user and group maps of a namespace with one user: root there, the caller outside.
#[derive(Debug)]
struct Maps {
    users: String,
    groups: String,
}

impl Maps {
    fn of_caller() -> Self {
        Self {
            users: format!("0 {} 1\n", rustix::process::geteuid().as_raw()),
            groups: format!("0 {} 1\n", rustix::process::getegid().as_raw()),
        }
    }

    /// System calls only.
    fn enter(&self) -> io::Result<()> {
        // SAFETY: a user namespace changes no descriptor or memory of this process.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
        // An unprivileged caller must give up `setgroups` before it may map a group.
        for (path, text) in [
            (c"/proc/self/setgroups", "deny"),
            (c"/proc/self/uid_map", &self.users),
            (c"/proc/self/gid_map", &self.groups),
        ] {
            let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::write(&file, text.as_bytes())?;
        }
        Ok(())
    }
}

/// How the child of a command is set up before its program starts.
pub(super) struct Setup<'a> {
    pub(super) confinement: Confinement,
    pub(super) root: &'a OwnedFd,
    /// Whether the root is changed here; if not, the program does so itself.
    pub(super) chroot: bool,
    /// Descriptors, besides the standard ones, that stay open.
    pub(super) keep: Vec<RawFd>,
}

/// Arranges for the setup to happen in the child. The descriptors must stay open until it is spawned.
pub(super) fn arrange(command: &mut Command, setup: Setup<'_>) {
    let maps = (setup.confinement == Confinement::UserNamespace).then(Maps::of_caller);
    let root = setup.root.as_fd().as_raw_fd();
    let chroot = setup.chroot && setup.confinement != Confinement::None;
    let keep = setup.keep;
    command.process_group(0);
    // SAFETY: the closure makes system calls only and allocates nothing; the standard library has reset
    // signals before it.
    unsafe {
        command.pre_exec(move || {
            rustix::process::umask(Mode::from_raw_mode(0o022));
            if let Some(maps) = &maps {
                maps.enter()?;
            }
            // SAFETY: the parent keeps the descriptor open while it spawns.
            let root = BorrowedFd::borrow_raw(root);
            if chroot {
                rustix::process::fchdir(root)?;
                rustix::process::chroot(c".")?;
            }
            rustix::process::chdir(c"/")?;
            // Descriptors that others left open without the flag must not leak; errors come to the
            // parent through one that has it already.
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for fd in &keep {
                rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(*fd), FdFlags::empty())?;
            }
            Ok(())
        });
    }
}
