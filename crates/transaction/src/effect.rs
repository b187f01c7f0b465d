//! Everything that changes a file: one system call a function, each behind a fail point.
//!
//! Names are relative to a directory descriptor and have no slash; nothing here follows a symbolic link.
//! `label` is the path for messages.

use crate::fault;
use lazuli_fs::{Context as _, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags};
use std::fs::File;
use std::io::Write as _;

/// Passes the fail point, then does it.
fn run<T>(op: &'static str, label: &str, act: impl FnOnce() -> rustix::io::Result<T>) -> Result<T> {
    fault::point().at(op, label)?;
    act().at(op, label)
}

/// Makes a directory.
pub(crate) fn mkdir(dir: BorrowedFd<'_>, name: &str, mode: u32, label: &str) -> Result<()> {
    run("make the directory", label, || rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)))
}

/// Makes a file that must not exist; only the caller may read it until its mode is set.
pub(crate) fn create(dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    run("create", label, || rustix::fs::openat(dir, name, flags, mode)).map(File::from)
}

/// Writes at the end of a file.
pub(crate) fn write(file: &mut File, bytes: &[u8], label: &str) -> Result<()> {
    fault::point().at("write", label)?;
    file.write_all(bytes).at("write", label)
}

/// Flushes a file's content and size.
pub(crate) fn sync_data(file: &File, label: &str) -> Result<()> {
    run("flush", label, || rustix::fs::fdatasync(file))
}

/// Flushes a directory or file with everything that belongs to it.
pub(crate) fn sync(file: impl AsFd, label: &str) -> Result<()> {
    run("flush", label, || rustix::fs::fsync(file))
}

/// Flushes a whole file system.
pub(crate) fn sync_file_system(file: impl AsFd, label: &str) -> Result<()> {
    run("flush the file system of", label, || rustix::fs::syncfs(file))
}

/// Makes a symbolic link.
pub(crate) fn symlink(target: &str, dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<()> {
    run("make the symbolic link", label, || rustix::fs::symlinkat(target, dir, name))
}

/// Makes a device node or a fifo.
pub(crate) fn mknod(
    dir: BorrowedFd<'_>,
    name: &str,
    kind: FileType,
    device: (u32, u32),
    label: &str,
) -> Result<()> {
    let device = rustix::fs::makedev(device.0, device.1);
    run("make the device node", label, || {
        rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(0o600), device)
    })
}

/// Makes a hard link.
pub(crate) fn link(dir: BorrowedFd<'_>, from: &str, to: &str, label: &str) -> Result<()> {
    run("hard-link to", label, || rustix::fs::linkat(dir, from, dir, to, AtFlags::empty()))
}

/// Sets owner and group.
pub(crate) fn chown(dir: BorrowedFd<'_>, name: &str, uid: u32, gid: u32, label: &str) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    run("set the owner of", label, || {
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    })
}

/// Sets permission bits of something that is not a symbolic link.
///
/// `fchmodat` would follow one, so whatever `name` is now is opened first, and changed through that.
pub(crate) fn chmod(dir: BorrowedFd<'_>, name: &str, mode: u32, label: &str) -> Result<()> {
    run("set the permissions of", label, || {
        let held = hold(dir, name)?;
        rustix::fs::chmod(proc_path(&held), Mode::from_raw_mode(mode))
    })
}

/// Sets the time of modification in seconds since 1970.
pub(crate) fn set_time(dir: BorrowedFd<'_>, name: &str, seconds: i64, label: &str) -> Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    run("set the time of", label, || rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW))
}

/// The attribute that holds file capabilities.
const CAPABILITY: &str = "security.capability";

/// Sets file capabilities.
pub(crate) fn set_capabilities(dir: BorrowedFd<'_>, name: &str, value: &[u8], label: &str) -> Result<()> {
    run("set the capabilities of", label, || {
        let held = hold(dir, name)?;
        rustix::fs::setxattr(proc_path(&held), CAPABILITY, value, XattrFlags::empty())
    })
}

/// Takes file capabilities away; it is no error if there are none.
pub(crate) fn drop_capabilities(dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<()> {
    use rustix::io::Errno;
    run("remove the capabilities of", label, || {
        let held = hold(dir, name)?;
        match rustix::fs::removexattr(proc_path(&held), CAPABILITY) {
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(()),
            other => other,
        }
    })
}

fn hold(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let held =
        rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&held)?.st_mode) == FileType::Symlink {
        return Err(rustix::io::Errno::LOOP);
    }
    Ok(held)
}

fn proc_path(held: &OwnedFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", held.as_raw_fd())
}

/// Renames to a name that must not exist.
pub(crate) fn rename_new(
    from: (BorrowedFd<'_>, &str),
    to: (BorrowedFd<'_>, &str),
    label: &str,
) -> Result<()> {
    run("rename to", label, || rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE))
}

/// Renames, replacing the target.
pub(crate) fn rename(from: (BorrowedFd<'_>, &str), to: (BorrowedFd<'_>, &str), label: &str) -> Result<()> {
    run("rename to", label, || rustix::fs::renameat(from.0, from.1, to.0, to.1))
}

/// Exchanges two names.
pub(crate) fn exchange(from: (BorrowedFd<'_>, &str), to: (BorrowedFd<'_>, &str), label: &str) -> Result<()> {
    run("exchange", label, || rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::EXCHANGE))
}

/// Removes a file.
pub(crate) fn unlink(dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<()> {
    run("remove", label, || rustix::fs::unlinkat(dir, name, AtFlags::empty()))
}

/// Removes an empty directory.
pub(crate) fn rmdir(dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<()> {
    run("remove the directory", label, || rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

/// Passes a fail point before an effect that another crate has: a database change, a script.
pub(crate) fn other(op: &'static str, label: &str) -> Result<()> {
    fault::point().at(op, label)
}

/// Removes a directory with everything in it. Old files in it may have further links elsewhere: they
/// lose what makes them dangerous first.
pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &str, label: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(inner) => inner,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e).at("open", label),
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&inner).at("list", label)? {
        let entry = entry.at("list", label)?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    for name in names {
        let label = format!("{label}/{name}");
        let stat = rustix::fs::statat(&inner, &name[..], AtFlags::SYMLINK_NOFOLLOW).at("stat", &label)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => remove_tree(inner.as_fd(), &name, &label)?,
            kind => {
                if kind == FileType::RegularFile && stat.st_nlink > 1 {
                    if stat.st_mode & 0o6000 != 0 {
                        chmod(inner.as_fd(), &name, stat.st_mode & 0o777, &label)?;
                    }
                    drop_capabilities(inner.as_fd(), &name, &label)?;
                }
                unlink(inner.as_fd(), &name, &label)?;
            }
        }
    }
    rmdir(dir, name, label)
}

/// Cuts a file off.
pub(crate) fn truncate(file: &File, size: u64, label: &str) -> Result<()> {
    run("truncate", label, || rustix::fs::ftruncate(file, size))
}
