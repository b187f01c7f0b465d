//! Starting a script's process, feeding it and waiting for it.

use super::confine::{Setup, arrange};
use super::file::ScriptFile;
use super::lines::{Lines, Stream};
use super::{Ending, Error, Runner};
use crate::helper::{Helper, Job};
use crate::script::Script;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a script that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// How much of the input is in memory besides the list of paths, and of the output, in bytes.
const CHUNK: usize = 64 << 10;

/// A pipe's two ends.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self { read, write })
    }
}

fn failed(script: &Script, what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Setup { script: script.to_string(), what, source }
}

impl Runner {
    /// Runs a script of an interpreter in the root.
    pub(super) fn run_program(
        &self,
        script: &Script,
        output: &mut dyn FnMut(Stream, &str),
    ) -> Result<Ending, Error> {
        let file = match &script.body {
            Some(body) => {
                let written = ScriptFile::write(&self.directory, self.options.scratch.as_deref(), body);
                Some(written.map_err(failed(script, "write it to a temporary file"))?)
            }
            None => None,
        };
        let mut words = script.interpreter.iter();
        let program = words.next().map_or("/bin/sh", String::as_str);
        let mut command = Command::new(program);
        command.args(words);
        if let Some(file) = &file {
            command.arg(&file.path).args(script.args.iter().map(u32::to_string));
        }
        self.environment(&mut command, script);
        let (out, err) = (Pipe::new(), Pipe::new());
        let (out, err) = match (out, err) {
            (Ok(out), Ok(err)) => (out, err),
            (Err(e), _) | (_, Err(e)) => return Err(failed(script, "make a pipe")(e)),
        };
        command.stdin(if script.paths.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(out.write).stderr(err.write);
        let setup =
            Setup { confinement: self.confinement, root: &self.directory, chroot: true, keep: Vec::new() };
        arrange(&mut command, setup);
        let child = match command.spawn() {
            Ok(child) => child,
            // The interpreter is missing, or is not a program. RPM's child ends with 127 here.
            Err(error) if not_a_program(&error) => {
                return Ok(Ending::NotStarted(format!("{program}: {error}")));
            }
            Err(error) => return Err(failed(script, "start its process")(error)),
        };
        // The command holds the pipes' ends of the child.
        drop(command);
        self.wait(child, script, out.read, err.read, output).map_err(failed(script, "wait for it"))
    }

    /// Runs a Lua script in the helper.
    pub(super) fn run_lua(
        &self,
        script: &Script,
        output: &mut dyn FnMut(Stream, &str),
    ) -> Result<Ending, Error> {
        let pipes = || Ok::<_, io::Error>((Pipe::new()?, Pipe::new()?, Pipe::new()?));
        let (out, err, report) = pipes().map_err(failed(script, "make a pipe"))?;
        let root = rustix::io::fcntl_dupfd_cloexec(&self.directory, 3)
            .map_err(|e| failed(script, "hand over the root")(e.into()))?;
        let job = Job {
            name: script.to_string(),
            body: script.body.clone().unwrap_or_default(),
            args: script.args.clone(),
            prefixes: script.prefixes.clone(),
            chroot: self.confinement != super::Confinement::None,
            root: root.as_raw_fd(),
            out: out.write.as_raw_fd(),
            err: err.write.as_raw_fd(),
            report: report.write.as_raw_fd(),
            path: self.options.path.clone(),
            memory: self.options.lua_memory,
            instructions: self.options.lua_instructions,
        };
        let sheet = job_sheet(&job).map_err(failed(script, "hand over the job"))?;
        let mut command = Command::new(&self.helper.program);
        command.args(&self.helper.args);
        self.environment(&mut command, script);
        let (name, value) = Helper::variable(sheet.as_raw_fd());
        command.env(name, value);
        command.stdin(if script.paths.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let keep = vec![sheet.as_raw_fd(), job.root, job.out, job.err, job.report];
        arrange(
            &mut command,
            Setup { confinement: self.confinement, root: &self.directory, chroot: false, keep },
        );
        let child = command.spawn().map_err(failed(script, "start the Lua helper"))?;
        // The ends of the child are its own now; what it wrote ends with it.
        drop((out.write, err.write, report.write, sheet, root));
        let ending = self.wait(child, script, out.read, err.read, output);
        let ending = ending.map_err(failed(script, "wait for it"))?;
        let mut said = String::new();
        let reported = File::from(report.read).take(CHUNK as u64).read_to_string(&mut said);
        let reason = match reported {
            _ if said == crate::helper::READY => return Ok(ending),
            Ok(0) => "it did not begin; a program that runs scripts must call \
                      `lazuli_scriptlet::helper::run_if_asked` first"
                .to_owned(),
            Ok(_) => said,
            Err(error) => error.to_string(),
        };
        let helper = self.helper.program.display().to_string();
        Err(Error::Helper { script: script.to_string(), helper, reason })
    }

    fn environment(&self, command: &mut Command, script: &Script) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_dangerous(name)) {
            command.env_remove(name);
        }
        command.env("PATH", &self.options.path).envs(&self.options.env);
        if let Some(prefix) = script.prefixes.first() {
            command.env("RPM_INSTALL_PREFIX", prefix);
        }
        for (i, prefix) in script.prefixes.iter().enumerate() {
            command.env(format!("RPM_INSTALL_PREFIX{i}"), prefix);
        }
    }

    /// Feeds and drains a process until it ends.
    fn wait(
        &self,
        mut child: Child,
        script: &Script,
        out: OwnedFd,
        err: OwnedFd,
        output: &mut dyn FnMut(Stream, &str),
    ) -> io::Result<Ending> {
        let pid = Pid::from_child(&child);
        let mut guard = Group(Some(pid));
        let ended = pidfd_open(pid, PidfdFlags::empty())?;
        let mut input = child.stdin.take().map(|pipe| Input::new(pipe.into(), &script.paths)).transpose()?;
        let max = self.options.max_line;
        let mut streams =
            [Some(Output::new(out, Stream::Out, max)?), Some(Output::new(err, Stream::Err, max)?)];
        let deadline = self.options.timeout.map(|limit| Instant::now() + limit);
        let mut asked: Option<Instant> = None;
        let mut over = false;
        while !over {
            let now = Instant::now();
            match (asked, deadline) {
                (None, Some(deadline)) if now >= deadline => {
                    let _ = kill_process_group(pid, Signal::TERM);
                    asked = Some(now + GRACE);
                }
                (Some(limit), _) if now >= limit => {
                    let _ = kill_process_group(pid, Signal::KILL);
                    asked = Some(now + GRACE);
                }
                _ => {}
            }
            let until = asked.or(deadline).map(|at| at.saturating_duration_since(now));
            let ready = wait_for(&ended, input.as_ref(), &streams, until)?;
            if ready.input && input.as_mut().is_some_and(|input| !input.feed()) {
                input = None;
            }
            for (stream, ready) in streams.iter_mut().zip(ready.outputs) {
                if ready && stream.as_mut().is_some_and(|s| !s.drain(output, false)) {
                    *stream = None;
                }
            }
            over = ready.ended;
        }
        for stream in streams.iter_mut().flatten() {
            stream.drain(output, true);
        }
        let status = child.wait()?;
        guard.0 = None;
        Ok(match (asked, self.options.timeout) {
            (Some(_), Some(limit)) => {
                // Nothing of it may go on.
                let _ = kill_process_group(pid, Signal::KILL);
                Ending::TimedOut(limit)
            }
            _ => match (status.code(), status.signal()) {
                (Some(0), _) => Ending::Success,
                (Some(code), _) => Ending::Status(code),
                (None, signal) => Ending::Signal(signal.unwrap_or(0)),
            },
        })
    }
}

/// Ends the process if waiting for it fails.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Whether a variable changes how programs are loaded or what a shell does before its script.
fn is_dangerous(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("LD_")
        || name.starts_with("BASH_FUNC_")
        || name.starts_with("LAZULI_SCRIPTLET_")
        || matches!(
            &name[..],
            "BASH_ENV" | "ENV" | "SHELLOPTS" | "BASHOPTS" | "CDPATH" | "IFS" | "PS4" | "GLIBC_TUNABLES"
        )
        || name.starts_with("LUA_")
}

fn not_a_program(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::ACCESS | Errno::NOEXEC | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR)
    )
}

/// The job in memory, at its start, for the helper to read.
fn job_sheet(job: &Job) -> io::Result<OwnedFd> {
    let mut sheet = File::from(memfd_create(c"scriptlet", MemfdFlags::CLOEXEC)?);
    sheet.write_all(&serde_json::to_vec(job)?)?;
    sheet.rewind()?;
    Ok(sheet.into())
}

struct Ready {
    ended: bool,
    input: bool,
    outputs: [bool; 2],
}

fn wait_for(
    ended: &OwnedFd,
    input: Option<&Input<'_>>,
    outputs: &[Option<Output>; 2],
    limit: Option<Duration>,
) -> io::Result<Ready> {
    let mut polled = vec![PollFd::new(ended, PollFlags::IN)];
    polled.extend(input.map(|input| PollFd::new(&input.pipe, PollFlags::OUT)));
    polled.extend(outputs.iter().flatten().map(|output| PollFd::new(&output.pipe, PollFlags::IN)));
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(&mut polled, limit.as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(Ready { ended: false, input: false, outputs: [false; 2] }),
        Err(error) => return Err(error.into()),
    }
    let mut results = polled.iter().map(|p| !p.revents().is_empty());
    let mut next = |there: bool| there && results.next().unwrap_or(false);
    let ended = next(true);
    let input = next(input.is_some());
    let outputs = [next(outputs[0].is_some()), next(outputs[1].is_some())];
    Ok(Ready { ended, input, outputs })
}

/// Paths on their way to a script.
struct Input<'a> {
    pipe: OwnedFd,
    paths: std::slice::Iter<'a, String>,
    pending: Vec<u8>,
    sent: usize,
}

impl<'a> Input<'a> {
    fn new(pipe: OwnedFd, paths: &'a [String]) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(pipe.as_fd(), true)?;
        Ok(Self { pipe, paths: paths.iter(), pending: Vec::new(), sent: 0 })
    }

    /// Writes what the pipe takes. False when there is nothing more, or nobody reads.
    fn feed(&mut self) -> bool {
        loop {
            if self.sent == self.pending.len() {
                self.pending.clear();
                self.sent = 0;
                while self.pending.len() < CHUNK
                    && let Some(path) = self.paths.next()
                {
                    self.pending.extend(path.as_bytes());
                    self.pending.push(b'\n');
                }
                if self.pending.is_empty() {
                    return false;
                }
            }
            match rustix::io::write(&self.pipe, &self.pending[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Output on its way from a script.
struct Output {
    pipe: OwnedFd,
    lines: Lines,
}

impl Output {
    fn new(pipe: OwnedFd, stream: Stream, max_line: usize) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(pipe.as_fd(), true)?;
        Ok(Self { pipe, lines: Lines::new(stream, max_line) })
    }

    /// Reads what is there: a chunk, or everything when it is the `last` time. False at the end.
    fn drain(&mut self, output: &mut dyn FnMut(Stream, &str), last: bool) -> bool {
        // What a process in the background goes on writing is not waited for: a pipe holds this much.
        const MOST: usize = 1 << 20;
        let mut buffer = [0; 8 << 10];
        let mut read = 0;
        loop {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.lines.feed(&buffer[..count], output);
                    read += count;
                    if !last {
                        return true;
                    }
                    if read > MOST {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !last => return true,
                Err(_) => break,
            }
        }
        self.lines.finish(output);
        false
    }
}
