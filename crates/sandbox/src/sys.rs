//! The system calls that need `unsafe`, and the processes between `clone` and `execve`.
//!
//! Two processes are made. The first enters all namespaces, carries out the steps, and stays as
//! process 1 of the new PID namespace: it reaps, and its end ends everything inside. The second is the
//! command. Between `clone` and `execve` only system calls are made: the parent may have threads that
//! held a lock of the allocator at that moment.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::ops::Op;

/// Everything the two processes need, prepared so that they allocate nothing.
pub(crate) struct Image {
    /// `CLONE_NEW*` flags.
    pub namespaces: c_int,
    /// What to do in the new namespaces, in order.
    pub ops: Vec<Op>,
    /// The program to execute; without one the first process ends after the steps.
    pub program: Option<Program>,
}

/// A program, ready for `execve`.
pub(crate) struct Program {
    /// Absolute paths to try.
    candidates: Vec<CString>,
    argv: Words,
    envp: Words,
    /// Whether the command leaves the caller's session and terminal.
    new_session: bool,
    /// Standard input, output and error; all three numbers are above 2.
    stdio: [OwnedFd; 3],
}

/// A NULL-terminated array of C strings that owns its strings.
struct Words {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

impl Program {
    pub(crate) fn new(
        candidates: Vec<CString>,
        argv: Vec<CString>,
        env: Vec<CString>,
        new_session: bool,
        stdio: [OwnedFd; 3],
    ) -> Self {
        Self { candidates, argv: Words::new(argv), envp: Words::new(env), new_session, stdio }
    }
}

/// What the processes inside tell the parent, one fixed-size record at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Step number `.0` failed.
    Step(u32, Errno),
    /// The program could not be executed.
    Exec(Errno),
    /// The command could not be made a process of its own.
    Fork(Errno),
    /// The program runs (or, without a program, the steps are done).
    Started,
    /// The command ended with this wait status.
    Ended(i32),
}

impl Report {
    /// The size of a record: small enough for a pipe to write it at once.
    pub(crate) const SIZE: usize = 12;

    fn encode(self) -> [u8; Self::SIZE] {
        let (kind, index, value): (u32, u32, i32) = match self {
            Self::Step(index, errno) => (1, index, errno.raw_os_error()),
            Self::Exec(errno) => (2, 0, errno.raw_os_error()),
            Self::Fork(errno) => (3, 0, errno.raw_os_error()),
            Self::Started => (4, 0, 0),
            Self::Ended(status) => (5, 0, status),
        };
        let mut record = [0; Self::SIZE];
        for (to, from) in record
            .iter_mut()
            .zip(kind.to_ne_bytes().into_iter().chain(index.to_ne_bytes()).chain(value.to_ne_bytes()))
        {
            *to = from;
        }
        record
    }

    pub(crate) fn decode(record: [u8; Self::SIZE]) -> Option<Self> {
        let (words, _) = record.as_chunks::<4>();
        let &[kind, index, value] = words else { return None };
        let index = u32::from_ne_bytes(index);
        let value = i32::from_ne_bytes(value);
        // Only a failure carries an error number; zero is none.
        let errno = || Errno::from_raw_os_error(value.clamp(1, 4095));
        match u32::from_ne_bytes(kind) {
            1 => Some(Self::Step(index, errno())),
            2 => Some(Self::Exec(errno())),
            3 => Some(Self::Fork(errno())),
            4 => Some(Self::Started),
            5 => Some(Self::Ended(value)),
            _ => None,
        }
    }
}

/// Starts the first process. `report` is the writing end of a close-on-exec pipe.
pub(crate) fn start(image: &Image, report: BorrowedFd<'_>) -> Result<Pid, Errno> {
    // No signal handler of the caller's may run in the child's copy of its memory.
    let restore = block_signals();
    // SAFETY: without CLONE_VM the child gets its own copy of the memory and of this stack, as with
    // fork; it runs `first_process`, which never returns and only makes system calls.
    let result = unsafe { clone(image.namespaces) };
    if let Ok(None) = result {
        first_process(image, report);
    }
    set_signal_mask(&restore);
    // In the parent the child's number is there.
    result?.ok_or(Errno::CHILD)
}

/// The raw `clone`: `None` in the child.
///
/// # Safety
/// As for `fork` in a process with threads: the child may make system calls only.
unsafe fn clone(flags: c_int) -> Result<Option<Pid>, Errno> {
    // SAFETY: all pointers are null, so that the child goes on with a copy of this stack.
    let number = unsafe {
        libc::syscall(
            libc::SYS_clone,
            c_long::from(flags | libc::SIGCHLD),
            0_usize,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    match c_int::try_from(number) {
        Ok(-1) | Err(_) => Err(last_errno()),
        Ok(number) => Ok(Pid::from_raw(number)),
    }
}

/// Process 1 of the sandbox: the steps, then the command, then reaping until it ends.
fn first_process(image: &Image, report: BorrowedFd<'_>) -> ! {
    reset_signals();
    // Die with the thread that started us; if it is dead already, nobody reads our pipe any more.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let mut parent = [rustix::event::PollFd::new(&report, rustix::event::PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    if matches!(rustix::event::poll(&mut parent, Some(&now)), Ok(ready) if ready > 0) {
        exit(1);
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for (op, index) in image.ops.iter().zip(0_u32..) {
        if let Err(errno) = op.perform() {
            tell(report, Report::Step(index, errno));
            exit(1);
        }
    }
    let Some(program) = &image.program else {
        tell(report, Report::Started);
        exit(0);
    };
    if program.new_session {
        let _ = rustix::process::setsid();
    }
    // With CLONE_VFORK we go on when the program has been executed or the child is gone, so
    // `Started` can never overtake a failure.
    // SAFETY: as in `start`; this process has one thread.
    let command = match unsafe { clone(libc::CLONE_VFORK) } {
        Ok(None) => execute(program, report),
        Ok(Some(command)) => command,
        Err(errno) => {
            tell(report, Report::Fork(errno));
            exit(1);
        }
    };
    tell(report, Report::Started);
    close_all_but(report.as_raw_fd());
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => {
                tell(report, Report::Ended(status.as_raw()));
                exit(0);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => exit(1),
        }
    }
}

/// Becomes the program.
fn execute(program: &Program, report: BorrowedFd<'_>) -> ! {
    if program.new_session {
        let _ = rustix::process::setsid();
    }
    for (number, fd) in (0_i32..).zip(&program.stdio) {
        // SAFETY: dup2 touches no memory; the source is open and above 2, so none overwrites another.
        if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
            tell(report, Report::Exec(last_errno()));
            exit(127);
        }
    }
    close_on_exec_above_stdio();
    let mut worst = Errno::NOENT;
    for candidate in &program.candidates {
        // SAFETY: the strings live in `program`; both arrays end with a null pointer.
        unsafe {
            libc::execve(candidate.as_ptr(), program.argv.pointers.as_ptr(), program.envp.pointers.as_ptr());
        }
        let errno = last_errno();
        if errno != Errno::NOENT && errno != Errno::NOTDIR {
            worst = errno;
        }
    }
    tell(report, Report::Exec(worst));
    exit(127)
}

fn tell(pipe: BorrowedFd<'_>, report: Report) {
    let _ = rustix::io::write(pipe, &report.encode());
}

fn exit(status: c_int) -> ! {
    // SAFETY: `_exit` runs no handlers and touches no memory.
    unsafe { libc::_exit(status) }
}

fn last_errno() -> Errno {
    // SAFETY: the location is this thread's own and always valid.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Every signal back to its default, none blocked: Rust programs ignore SIGPIPE, and that would be
/// inherited.
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; for SIGKILL and SIGSTOP the call just fails.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: a zeroed set is storage for sigemptyset to fill in.
    let mut none = unsafe { std::mem::zeroed::<libc::sigset_t>() };
    // SAFETY: `none` is a valid place.
    unsafe { libc::sigemptyset(&raw mut none) };
    set_signal_mask(&none);
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: zeroed sets are storage for the calls to fill in, and both pointers are valid.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut old = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        old
    }
}

fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` is a valid set; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

fn close_all_but(keep: RawFd) {
    let keep = keep.unsigned_abs();
    // SAFETY: this process uses no descriptor but `keep` from here on.
    unsafe {
        if keep > 0 {
            libc::syscall(libc::SYS_close_range, 0_u32, keep - 1, 0_u32);
        }
        libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0_u32);
    }
}

fn close_on_exec_above_stdio() {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only flags of descriptors change.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// `mount_setattr(2)`: no set-user-ID, no devices unless it is a device, read-only if asked.
pub(crate) fn restrict_mount(target: &CStr, read_only: bool, recursive: bool) -> Result<(), Errno> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    const MOUNT_ATTR_NOSUID: u64 = 2;
    let attr = libc::mount_attr {
        attr_set: MOUNT_ATTR_NOSUID | if read_only { MOUNT_ATTR_RDONLY } else { 0 },
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, the structure is valid for its size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Sets the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(last_errno());
    }
    // SAFETY: just opened, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all-zero bytes are a valid request.
    let mut request = unsafe { std::mem::zeroed::<libc::ifreq>() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let number = libc::SIOCSIFFLAGS as c_ulong;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    if unsafe { libc::ioctl(socket.as_raw_fd(), number as _, &raw const request) } < 0 {
        return Err(last_errno());
    }
    Ok(())
}
