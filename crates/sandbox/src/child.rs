//! A running command.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::Error;
use crate::diagnose::{Host, Mounting};
use crate::ops::Op;
use crate::sys::{self, Image, Report};

/// A command running inside a sandbox. Dropping it kills everything inside; so does the end of the
/// thread that started it.
#[derive(Debug)]
pub struct Child {
    /// The writing end of standard input, if it is [`Stdin::Piped`](crate::Stdin::Piped).
    pub stdin: Option<File>,
    /// The reading end of standard output, if it is [`Output::Piped`](crate::Output::Piped).
    pub stdout: Option<File>,
    /// The reading end of standard error, if it is [`Output::Piped`](crate::Output::Piped).
    pub stderr: Option<File>,
    first: FirstProcess,
}

/// The sandbox's process 1, seen from outside.
#[derive(Debug)]
struct FirstProcess {
    pid: Pid,
    report: OwnedFd,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts the processes of `image` and waits until the program has been executed.
    pub(crate) fn start(image: &Image, pipes: [Option<File>; 3], program: &str) -> Result<Self, Error> {
        let (report, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(plain)?;
        let theirs = above_stdio(&theirs).map_err(plain)?;
        let pid = sys::start(image, theirs.as_fd()).map_err(|errno| Error::Setup {
            step: "enter new namespaces".to_owned(),
            source: errno.into(),
            hint: Host::read().hint(errno, Mounting::No),
        })?;
        drop(theirs);
        let mut first = FirstProcess { pid, report, ended: None };
        let failure = match first.next_report() {
            Ok(Some(Report::Started)) => {
                let [stdin, stdout, stderr] = pipes;
                return Ok(Self { stdin, stdout, stderr, first });
            }
            Ok(Some(Report::Step(index, errno))) => step_failed(&image.ops, index, errno),
            Ok(Some(Report::Exec(Errno::NOENT))) => Error::NoProgram { program: program.to_owned() },
            Ok(Some(Report::Exec(errno))) => Error::Setup {
                step: format!("execute `{program}` in the sandbox"),
                source: errno.into(),
                hint: String::new(),
            },
            Ok(Some(Report::Ended(_)) | None) => plain(Errno::CHILD),
            Ok(Some(Report::Fork(errno))) | Err(errno) => plain(errno),
        };
        first.kill_and_reap();
        Err(failure)
    }

    /// Waits for the command to end. Everything else inside is killed then.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        drop(self.stdin.take());
        self.first.wait()
    }

    /// Waits at most `limit`; `None` means that it still runs.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        if self.first.ended.is_none() && !self.first.readable_within(limit).map_err(plain)? {
            return Ok(None);
        }
        self.first.wait().map(Some)
    }

    /// Kills everything inside and waits for its end.
    pub fn kill(&mut self) {
        self.first.kill_and_reap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.first.kill_and_reap();
    }
}

impl FirstProcess {
    /// `None` if the processes are gone without another word.
    fn next_report(&self) -> Result<Option<Report>, Errno> {
        let mut record = [0; Report::SIZE];
        loop {
            match rustix::io::read(&self.report, &mut record) {
                Ok(Report::SIZE) => return Ok(Report::decode(record)),
                Ok(_) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn readable_within(&self, limit: Duration) -> Result<bool, Errno> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&self.report, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn wait(&mut self) -> Result<ExitStatus, Error> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = match self.next_report().map_err(plain)? {
            Some(Report::Ended(raw)) => ExitStatus::from_raw(raw),
            // Process 1 itself was killed, and everything with it.
            _ => ExitStatus::from_raw(Signal::KILL.as_raw()),
        };
        self.ended = Some(status);
        self.reap();
        Ok(status)
    }

    fn reap(&self) {
        while let Err(Errno::INTR) = rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {}
    }

    fn kill_and_reap(&mut self) {
        if self.ended.is_none() {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            self.reap();
            self.ended = Some(ExitStatus::from_raw(Signal::KILL.as_raw()));
        }
    }
}

/// The same open file under a number that is not one of the standard streams.
pub(crate) fn above_stdio(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
}

/// An error of the plumbing between the processes.
pub(crate) fn plain(errno: Errno) -> Error {
    Error::Setup {
        step: "start a process in the sandbox".to_owned(),
        source: io::Error::from(errno),
        hint: String::new(),
    }
}

fn step_failed(ops: &[Op], index: u32, errno: Errno) -> Error {
    let op = usize::try_from(index).ok().and_then(|index| ops.get(index));
    let mounting = match op {
        Some(Op::Mount { kind, .. }) if kind.as_c_str() == c"proc" => Mounting::Proc,
        Some(Op::Mount { kind, .. }) if kind.as_c_str() == c"overlay" => Mounting::Overlay,
        _ => Mounting::Other,
    };
    let hint = match (op, errno) {
        (Some(Op::Directory { .. } | Op::Placeholder { .. }), Errno::ROFS) => {
            "\n  It lies in a part of the sandbox that is read-only and lacks it.".to_owned()
        }
        (Some(Op::Enter { .. }), Errno::NOENT) => "\n  Bind a directory there first.".to_owned(),
        _ => Host::read().hint(errno, mounting),
    };
    Error::Setup {
        step: op.map_or_else(|| "set up the sandbox".to_owned(), ToString::to_string),
        source: errno.into(),
        hint,
    }
}
