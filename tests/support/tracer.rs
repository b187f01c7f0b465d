//! Runs a program and counts each system call with which it, any of its threads or any process that it starts
//! changes a file; at one of them it is killed, or the call fails, or does half of its work.
//!
//! Numbers go up over all threads and processes together, in the order in which the calls begin. A point is
//! the moment before its call: the state that a kill there leaves is the one after the call before, and what
//! the last call leaves is what a run to the end leaves. Calls count if they are about a path, or about a
//! file below the directory that is watched. What is written through memory that is mapped does not count;
//! of that the program has none but SQLite's index of a write-ahead log, which is made anew when it is lost.

use lazuli_fs as fs;
use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long a run may take. It is for a program that hangs, and much longer than any takes.
const LIMIT: Duration = Duration::from_secs(180);
/// What the kernel says of a thread that is about to make a call (`PTRACE_SYSCALL_INFO_ENTRY`).
const ENTRY: u8 = 1;

/// What happens at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed. Scripts that it runs go on and are waited for.
    Kill,
    /// Everything is killed, as in a power cut.
    KillAll,
    /// A write writes the first half, and the program is killed. Other calls do not happen.
    Tear,
    /// The call does not happen and fails with this error.
    Fail(Errno),
}

/// How far a transaction is, by its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It is not committed.
    Before,
    /// It is committed, and not finished.
    Committed,
    /// It is finished.
    Finished,
}

/// One call that changes a file.
#[derive(Debug, Clone)]
pub struct Point {
    /// Name of the call, and what it is about.
    pub label: String,
    /// When.
    pub phase: Phase,
    /// Whether the program itself made it, and not a script.
    pub own: bool,
    /// Whether it writes more than one byte.
    pub writes: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The exit status; `None` if it was killed.
    pub status: Option<i32>,
    /// What it printed, errors included.
    pub output: String,
    /// How many points were passed.
    pub count: usize,
    /// All of them, if they were to be recorded; otherwise the one of the fault.
    pub points: Vec<Point>,
}

/// A program that is run below an eye.
pub struct Tracer {
    fault: Option<(usize, Fault)>,
    below: String,
    main: Pid,
    /// Of each thread: its process.
    processes: HashMap<Pid, Pid>,
    /// Threads in a call that is not to return as it would.
    returns: HashMap<Pid, Return>,
    phase: Phase,
    /// What the journal says when the call of this thread is over.
    next: HashMap<Pid, Phase>,
    killed: bool,
    run: Run,
}

#[derive(Clone, Copy)]
enum Return {
    Error(Errno),
    Kill,
}

/// Runs `program` with arguments; `below` is watched. Its output goes to a file in `scratch`.
#[expect(clippy::zombie_processes, reason = "it is waited for together with what it starts")]
pub fn run(
    program: &Path,
    args: &[&str],
    below: &Path,
    scratch: &Path,
    fault: Option<(usize, Fault)>,
) -> Run {
    let output = scratch.join("output");
    let file = fs::create(&output).expect("a file");
    let errors = file.try_clone().expect("a file");
    // It waits until it is watched.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read go; exec \"$@\"", "sh"])
        .arg(program)
        .args(args)
        .env("RAYON_NUM_THREADS", "1")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("SUDO_UID")
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .expect("a shell");
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a number"));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).expect("a process may watch its child");
    ptrace::interrupt(main).expect("a child");
    let mut go = child.stdin.take().expect("a pipe");
    let (done, over) = channel::<()>();
    let guard = std::thread::spawn(move || {
        if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _gone_already = kill(main, Signal::SIGKILL);
        }
    });
    let run = Run { status: None, output: String::new(), count: 0, points: Vec::new() };
    let mut tracer = Tracer {
        fault,
        below: below.to_str().expect("a path in UTF-8").to_owned(),
        main,
        processes: HashMap::new(),
        returns: HashMap::new(),
        phase: Phase::Before,
        next: HashMap::new(),
        killed: false,
        run,
    };
    // The shell's own calls change no file.
    go.write_all(b"\n").expect("a pipe");
    drop(go);
    tracer.follow();
    drop(done);
    guard.join().expect("it only waits");
    let mut run = tracer.run;
    run.output = String::from_utf8_lossy(&fs::read(&output).expect("a file")).into_owned();
    run
}

impl Tracer {
    /// Until the program and all that it started have ended.
    fn follow(&mut self) {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, status)) => self.ended(pid, Some(status)),
                Ok(WaitStatus::Signaled(pid, ..)) => self.ended(pid, None),
                Ok(WaitStatus::PtraceSyscall(pid)) => {
                    self.call(pid);
                    self.go_on(pid, None);
                }
                Ok(WaitStatus::PtraceEvent(pid, ..)) => self.go_on(pid, None),
                Ok(WaitStatus::Stopped(pid, signal)) => self.go_on(pid, Some(signal)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return,
                Err(error) => panic!("waiting: {error}"),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: Option<i32>) {
        self.processes.remove(&pid);
        if pid == self.main {
            self.run.status = status;
        }
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        // After the kill nobody is watched any more. Who is gone already is no concern.
        let went = if self.killed { ptrace::cont(pid, signal) } else { ptrace::syscall(pid, signal) };
        assert!(matches!(went, Ok(()) | Err(Errno::ESRCH)), "{went:?}");
    }

    fn process(&mut self, thread: Pid) -> Pid {
        *self.processes.entry(thread).or_insert_with(|| {
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
            tgid.map_or(thread, Pid::from_raw)
        })
    }

    /// A thread is at the beginning or the end of a call.
    fn call(&mut self, pid: Pid) {
        if self.killed {
            return;
        }
        let Ok(info) = ptrace::syscall_info(pid) else { return };
        if info.op != ENTRY {
            self.returning(pid);
            return;
        }
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        let Some(point) = self.point(pid, &registers) else { return };
        let number = self.run.count;
        self.run.count += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        if fault.is_some() || self.fault.is_none() {
            self.run.points.push(point.clone());
        }
        match fault {
            None => {}
            Some(Fault::KillAll) => self.kill(true),
            Some(Fault::Tear) if point.writes => {
                registers.rdx /= 2;
                set(pid, registers);
                self.returns.insert(pid, Return::Kill);
            }
            Some(Fault::Kill | Fault::Tear) => self.kill(false),
            Some(Fault::Fail(errno)) => {
                // There is no such call.
                registers.orig_rax = u64::MAX;
                set(pid, registers);
                self.returns.insert(pid, Return::Error(errno));
                self.next.remove(&pid);
            }
        }
    }

    fn returning(&mut self, pid: Pid) {
        if let Some(phase) = self.next.remove(&pid) {
            self.phase = phase;
        }
        match self.returns.remove(&pid) {
            None => {}
            Some(Return::Kill) => self.kill(false),
            Some(Return::Error(errno)) => {
                if let Ok(mut registers) = ptrace::getregs(pid) {
                    registers.rax = (-i64::from(errno as i32)) as u64;
                    set(pid, registers);
                }
            }
        }
    }

    /// Kills the program, or everything.
    fn kill(&mut self, all: bool) {
        self.killed = true;
        let others: Vec<Pid> = self.processes.values().copied().filter(|p| *p != self.main).collect();
        for pid in std::iter::once(self.main).chain(others.into_iter().filter(|_| all)) {
            let killed = kill(pid, Signal::SIGKILL);
            assert!(matches!(killed, Ok(()) | Err(Errno::ESRCH)), "{killed:?}");
        }
    }

    /// The call that a thread is about to make, if it changes a file.
    fn point(&mut self, pid: Pid, registers: &user_regs_struct) -> Option<Point> {
        let r = registers;
        let (name, about) = CALLS.iter().find(|(number, ..)| *number == r.orig_rax as i64)?.1;
        let label = match about {
            About::Descriptor | About::Write => {
                let path = descriptor(pid, r.rdi)?;
                let path = path.to_str()?.strip_prefix(&self.below)?.to_owned();
                self.journal(pid, &path, r);
                format!("{name} {path}")
            }
            About::Output => {
                let path = descriptor(pid, r.rdx)?;
                format!("{name} {}", path.to_str()?.strip_prefix(&self.below)?)
            }
            About::Path => format!("{name} {}", text(pid, r.rdi)),
            About::Two => format!("{name} {} {}", text(pid, r.rdi), text(pid, r.rsi)),
            About::At => format!("{name} {}", self.at(pid, r.rdi, r.rsi)),
            About::TwoAt => {
                format!("{name} {} {}", self.at(pid, r.rdi, r.rsi), self.at(pid, r.rdx, r.r10))
            }
            About::LinkAt => format!("{name} {} {}", text(pid, r.rdi), self.at(pid, r.rsi, r.rdx)),
            About::Open if creates(r.rsi) => format!("{name} {}", text(pid, r.rdi)),
            About::OpenAt if creates(r.rdx) => format!("{name} {}", self.at(pid, r.rdi, r.rsi)),
            About::OpenHow if creates(word(pid, r.rdx)) => format!("{name} {}", self.at(pid, r.rdi, r.rsi)),
            About::Open | About::OpenAt | About::OpenHow => return None,
            About::Everything => name.to_owned(),
        };
        let own = self.process(pid) == self.main;
        let writes = about == About::Write && r.rdx > 1;
        Some(Point { label, phase: self.phase, own, writes })
    }

    /// A path relative to a descriptor, for people.
    fn at(&self, pid: Pid, dir: u64, name: u64) -> String {
        let name = text(pid, name);
        if name.starts_with('/') {
            return name;
        }
        let dir = descriptor(pid, dir).unwrap_or_default();
        let path = dir.join(name);
        path.to_string_lossy()
            .strip_prefix(&self.below)
            .map_or_else(|| path.display().to_string(), str::to_owned)
    }

    /// Looks at what is written to the journal of a transaction.
    fn journal(&mut self, pid: Pid, path: &str, registers: &user_regs_struct) {
        if registers.orig_rax != 1 || !path.contains("/lapis/txn/") || !path.ends_with("/journal") {
            return;
        }
        let mut start = [0; 24];
        let length = start.len().min(registers.rdx as usize);
        if memory(pid, registers.rsi, &mut start[..length]).is_none() {
            return;
        }
        // Behind the length and the digest.
        let record = String::from_utf8_lossy(&start[12..]).into_owned();
        if record.starts_with("{\"Commit\"") {
            self.next.insert(pid, Phase::Committed);
        } else if record.starts_with("\"Finished\"") {
            self.next.insert(pid, Phase::Finished);
        }
    }
}

fn set(pid: Pid, registers: user_regs_struct) {
    let set = ptrace::setregs(pid, registers);
    assert!(matches!(set, Ok(()) | Err(Errno::ESRCH)), "{set:?}");
}

/// Whether flags of an open make a file, or empty one.
fn creates(flags: u64) -> bool {
    let wanted = nix::libc::O_CREAT | nix::libc::O_TRUNC;
    let temporary = nix::libc::O_TMPFILE;
    flags as i32 & wanted != 0 || flags as i32 & temporary == temporary
}

/// The path of an open file.
fn descriptor(pid: Pid, number: u64) -> Option<PathBuf> {
    let number = number as i32;
    let link = if number == nix::libc::AT_FDCWD {
        format!("/proc/{pid}/cwd")
    } else {
        format!("/proc/{pid}/fd/{number}")
    };
    let target = nix::fcntl::readlink(Path::new(&link)).ok()?;
    Some(PathBuf::from(target))
}

fn memory(pid: Pid, address: u64, into: &mut [u8]) -> Option<()> {
    let file = fs::open(format!("/proc/{pid}/mem")).ok()?;
    file.read_exact_at(into, address).ok()
}

fn word(pid: Pid, address: u64) -> u64 {
    let mut bytes = [0; 8];
    memory(pid, address, &mut bytes);
    u64::from_le_bytes(bytes)
}

/// The text at an address, for people.
fn text(pid: Pid, address: u64) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 4096 {
        let mut byte = [0];
        match memory(pid, address + bytes.len() as u64, &mut byte) {
            Some(()) if byte[0] != 0 => bytes.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the arguments of a call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// The first is a descriptor.
    Descriptor,
    /// The same, and the third says how much is written.
    Write,
    /// The third is a descriptor that is written to.
    Output,
    /// The first is a path.
    Path,
    /// The first two are.
    Two,
    /// A directory and a path.
    At,
    /// Twice.
    TwoAt,
    /// A text, a directory and a path.
    LinkAt,
    /// A path and flags.
    Open,
    /// A directory, a path and flags.
    OpenAt,
    /// A directory, a path and a structure that begins with flags.
    OpenHow,
    /// Nothing that has to be looked at.
    Everything,
}

/// All calls with which files are changed.
const CALLS: &[(i64, (&str, About))] = {
    use About as A;
    use nix::libc as c;
    &[
        (c::SYS_write, ("write", A::Write)),
        (c::SYS_pwrite64, ("pwrite64", A::Write)),
        (c::SYS_writev, ("writev", A::Descriptor)),
        (c::SYS_pwritev, ("pwritev", A::Descriptor)),
        (c::SYS_pwritev2, ("pwritev2", A::Descriptor)),
        (c::SYS_sendfile, ("sendfile", A::Descriptor)),
        (c::SYS_splice, ("splice", A::Output)),
        (c::SYS_copy_file_range, ("copy_file_range", A::Output)),
        (c::SYS_ftruncate, ("ftruncate", A::Descriptor)),
        (c::SYS_truncate, ("truncate", A::Path)),
        (c::SYS_fallocate, ("fallocate", A::Descriptor)),
        (c::SYS_open, ("open", A::Open)),
        (c::SYS_creat, ("creat", A::Path)),
        (c::SYS_openat, ("openat", A::OpenAt)),
        (c::SYS_openat2, ("openat2", A::OpenHow)),
        (c::SYS_rename, ("rename", A::Two)),
        (c::SYS_renameat, ("renameat", A::TwoAt)),
        (c::SYS_renameat2, ("renameat2", A::TwoAt)),
        (c::SYS_link, ("link", A::Two)),
        (c::SYS_linkat, ("linkat", A::TwoAt)),
        (c::SYS_symlink, ("symlink", A::Two)),
        (c::SYS_symlinkat, ("symlinkat", A::LinkAt)),
        (c::SYS_unlink, ("unlink", A::Path)),
        (c::SYS_unlinkat, ("unlinkat", A::At)),
        (c::SYS_rmdir, ("rmdir", A::Path)),
        (c::SYS_mkdir, ("mkdir", A::Path)),
        (c::SYS_mkdirat, ("mkdirat", A::At)),
        (c::SYS_mknod, ("mknod", A::Path)),
        (c::SYS_mknodat, ("mknodat", A::At)),
        (c::SYS_chmod, ("chmod", A::Path)),
        (c::SYS_fchmod, ("fchmod", A::Descriptor)),
        (c::SYS_fchmodat, ("fchmodat", A::At)),
        (c::SYS_fchmodat2, ("fchmodat2", A::At)),
        (c::SYS_chown, ("chown", A::Path)),
        (c::SYS_lchown, ("lchown", A::Path)),
        (c::SYS_fchown, ("fchown", A::Descriptor)),
        (c::SYS_fchownat, ("fchownat", A::At)),
        (c::SYS_utimes, ("utimes", A::Path)),
        (c::SYS_utimensat, ("utimensat", A::At)),
        (c::SYS_setxattr, ("setxattr", A::Path)),
        (c::SYS_lsetxattr, ("lsetxattr", A::Path)),
        (c::SYS_fsetxattr, ("fsetxattr", A::Descriptor)),
        (c::SYS_removexattr, ("removexattr", A::Path)),
        (c::SYS_lremovexattr, ("lremovexattr", A::Path)),
        (c::SYS_fremovexattr, ("fremovexattr", A::Descriptor)),
        (c::SYS_fsync, ("fsync", A::Descriptor)),
        (c::SYS_fdatasync, ("fdatasync", A::Descriptor)),
        (c::SYS_sync_file_range, ("sync_file_range", A::Descriptor)),
        (c::SYS_syncfs, ("syncfs", A::Descriptor)),
        (c::SYS_sync, ("sync", A::Everything)),
    ]
};
