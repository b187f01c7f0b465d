//! The steps that turn a fresh set of namespaces into a sandbox, as data.
//!
//! The parent, which has threads and an allocator, writes the list; the child, which after `clone`
//! may use neither, carries it out with plain system calls. A step that fails is reported by its
//! place in the list, so the parent can say in words what went wrong.

use std::ffi::{CStr, CString};
use std::fmt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::sys;

/// One step. Paths are what the child sees at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Write to a file of /proc at once, as its files want it.
    Proc { path: CString, content: Vec<u8> },
    /// Keep our mounts from reaching the host.
    Isolate,
    /// Mount a new file system.
    Mount { kind: CString, target: CString, flags: MountFlags, data: CString },
    /// Show `source` and everything mounted below it at `target`.
    Bind { source: CString, target: CString },
    /// Set flags of the mount at `target`, and of those below it if `recursive`.
    Restrict { target: CString, read_only: bool, recursive: bool },
    /// Make a directory, if it is not there.
    Directory { path: CString, mode: u32 },
    /// Make an empty file to mount something on, if it is not there.
    Placeholder { path: CString },
    /// Write a new file, mode 0644.
    File { path: CString, content: Vec<u8> },
    /// Make a symbolic link.
    Symlink { target: CString, path: CString },
    /// Make `path` the root; the old root is then below `old`.
    PivotRoot { path: CString, old: CString },
    /// Let go of what is mounted at `path`.
    Detach { path: CString },
    /// Change the working directory.
    Enter { path: CString },
    /// Set the host name.
    Hostname { name: Vec<u8> },
    /// Bring the loopback interface up.
    Loopback,
    /// Let no program gain privileges by being executed.
    NoNewPrivileges,
}

impl Op {
    /// Carries the step out. Async-signal-safe: system calls only, no allocation, no locks.
    pub(crate) fn perform(&self) -> Result<(), Errno> {
        match self {
            Self::Proc { path, content } => {
                let file =
                    rustix::fs::open(path.as_c_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
                rustix::io::write(&file, content).map(drop)
            }
            Self::Isolate => rustix::mount::mount_change(
                c"/",
                MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
            ),
            Self::Mount { kind, target, flags, data } => rustix::mount::mount(
                kind.as_c_str(),
                target.as_c_str(),
                kind.as_c_str(),
                *flags,
                Some(data.as_c_str()).filter(|data| !data.is_empty()),
            ),
            Self::Bind { source, target } => {
                rustix::mount::mount_bind_recursive(source.as_c_str(), target.as_c_str())
            }
            Self::Restrict { target, read_only, recursive } => {
                sys::restrict_mount(target, *read_only, *recursive)
            }
            Self::Directory { path, mode } => {
                exists_is_fine(rustix::fs::mkdir(path.as_c_str(), Mode::from_raw_mode(*mode)))
            }
            Self::Placeholder { path } => exists_is_fine(create(path).map(drop)),
            Self::File { path, content } => {
                let file = create(path)?;
                let mut rest: &[u8] = content;
                while !rest.is_empty() {
                    let written = rustix::io::write(&file, rest)?;
                    rest = rest.get(written..).unwrap_or_default();
                }
                Ok(())
            }
            Self::Symlink { target, path } => rustix::fs::symlink(target.as_c_str(), path.as_c_str()),
            Self::PivotRoot { path, old } => rustix::process::pivot_root(path.as_c_str(), old.as_c_str()),
            Self::Detach { path } => rustix::mount::unmount(path.as_c_str(), UnmountFlags::DETACH),
            Self::Enter { path } => rustix::process::chdir(path.as_c_str()),
            Self::Hostname { name } => rustix::system::sethostname(name),
            Self::Loopback => sys::loopback_up(),
            Self::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
        }
    }
}

fn create(path: &CStr) -> Result<rustix::fd::OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
}

fn exists_is_fine(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// A step as the words that follow "cannot".
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolate => f.write_str("separate the sandbox's mounts from the host's"),
            Self::Mount { kind, target, .. } => write!(f, "mount {} on {}", shown(kind), shown(target)),
            Self::Bind { source, target } => write!(f, "show {} as {}", shown(source), shown(target)),
            Self::Restrict { target, .. } => write!(f, "restrict the mount {}", shown(target)),
            Self::Directory { path, .. } | Self::Placeholder { path } => {
                write!(f, "make the mount point {}", shown(path))
            }
            Self::Proc { path, .. } | Self::File { path, .. } => write!(f, "write {}", shown(path)),
            Self::Symlink { path, .. } => write!(f, "make the symbolic link {}", shown(path)),
            Self::PivotRoot { path, .. } => write!(f, "make {} the root directory", shown(path)),
            Self::Detach { .. } => f.write_str("let go of the host's root directory"),
            Self::Enter { path } => write!(f, "enter the directory {}", shown(path)),
            Self::Hostname { .. } => f.write_str("set the host name"),
            Self::Loopback => f.write_str("bring up the loopback interface"),
            Self::NoNewPrivileges => f.write_str("give up gaining privileges"),
        }
    }
}

/// A path as the caller knows it: without the places where the host's root and the new one hang
/// while the sandbox is being built.
fn shown(path: &CStr) -> String {
    let text = path.to_string_lossy();
    for prefix in [crate::layout::HOST, crate::layout::NEW] {
        if let Some(rest) = text.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            return if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
        }
    }
    text.into_owned()
}
