//! The system calls that need `unsafe`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// A descriptor that the parent left open for this process, named by its number; it is not handed on.
pub(super) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is only borrowed for a call that fails if nothing is open under it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: the parent opened it for this process alone, which takes each number once, and nothing has
    // opened descriptors under such a number since.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Forks this process: the child's process id in the parent, 0 in the child.
pub(super) fn fork() -> io::Result<i32> {
    // SAFETY: the helper has no other thread, so that the child's copy of memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// What `pathconf` says; -1 for no limit.
pub(super) fn pathconf(path: &std::ffi::CStr, name: libc::c_int) -> i64 {
    // SAFETY: the text ends with a zero.
    unsafe { libc::pathconf(path.as_ptr(), name) }
}

/// What `sysconf` says; -1 for no limit.
pub(super) fn sysconf(name: libc::c_int) -> i64 {
    // SAFETY: it takes and gives numbers.
    unsafe { libc::sysconf(name) }
}

/// The times of this process and its children, and of the system, in ticks: user, system, both of
/// children, elapsed.
pub(super) fn times() -> [i64; 5] {
    let mut times = libc::tms { tms_utime: 0, tms_stime: 0, tms_cutime: 0, tms_cstime: 0 };
    // SAFETY: it writes to the structure only.
    let elapsed = unsafe { libc::times(&raw mut times) };
    [times.tms_utime, times.tms_stime, times.tms_cutime, times.tms_cstime, elapsed]
}
