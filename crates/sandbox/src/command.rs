//! Commands inside a sandbox.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitStatus;

use crate::child::{above_stdio, plain};
use crate::layout::c_string;
use crate::sys::{Image, Program};
use crate::{Child, Error, Network, Sandbox};

/// Where programs are looked up inside.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a command's standard input comes from.
#[derive(Debug, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// An open file.
    File(File),
    /// A pipe that the caller writes to: [`Child::stdin`].
    Piped,
    /// The caller's own standard input.
    Inherit,
}

/// Where a command's standard output or error goes.
#[derive(Debug, Default)]
pub enum Output {
    /// A pipe that the caller reads: [`Child::stdout`], [`Child::stderr`].
    #[default]
    Piped,
    /// An open file.
    File(File),
    /// The caller's own.
    Inherit,
    /// `/dev/null`.
    Null,
}

/// A command to be run in a [`Sandbox`].
///
/// The environment is cleared and holds `PATH=/usr/sbin:/usr/bin:/sbin:/bin`, `HOME`, `LANG=C.UTF-8`,
/// `TZ=UTC` and what [`Sandbox::env`] and [`Command::env`] add (`TERM` too when it is interactive).
#[derive(Debug)]
pub struct Command {
    pub(crate) sandbox: Sandbox,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Command {
    pub(crate) fn new(sandbox: Sandbox, program: &OsStr) -> Self {
        Self {
            sandbox,
            program: program.to_owned(),
            args: Vec::new(),
            stdin: Stdin::Null,
            stdout: Output::Piped,
            stderr: Output::Piped,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable of this command only.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.sandbox = self.sandbox.env(key, value);
        self
    }

    /// Chooses standard input; the default is `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Chooses standard output; the default is a pipe.
    #[must_use]
    pub fn stdout(mut self, stdout: Output) -> Self {
        self.stdout = stdout;
        self
    }

    /// Chooses standard error; the default is a pipe.
    #[must_use]
    pub fn stderr(mut self, stderr: Output) -> Self {
        self.stderr = stderr;
        self
    }

    /// Starts the command. It returns once the program has been executed, so that an error of the
    /// set-up or a program that is not there is an error here.
    pub fn spawn(self) -> Result<Child, Error> {
        tracing::debug!(command = %self.display(), root = %self.sandbox.root.display(), "run in a sandbox");
        let interactive = matches!(self.stdin, Stdin::Inherit);
        if let Some(upper) = &self.sandbox.upper {
            crate::overlay::prepare(upper)?;
        }
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let ops = crate::layout::plan(&self.sandbox, uid, gid, interactive)?;
        let program = self.program.to_string_lossy().into_owned();
        let candidates = self.candidates()?;
        let mut argv = vec![c_string("the program", self.program.as_bytes())?];
        for arg in &self.args {
            argv.push(c_string("the argument", arg.as_bytes())?);
        }
        let env = self.environment(interactive)?;
        let (stdin, our_stdin, feed) = open_stdin(self.stdin)?;
        let (stdout, our_stdout) = open_output(self.stdout, rustix::stdio::stdout())?;
        let (stderr, our_stderr) = open_output(self.stderr, rustix::stdio::stderr())?;
        let mut namespaces = NAMESPACES;
        if self.sandbox.network == Network::None {
            namespaces |= libc::CLONE_NEWNET;
        }
        let stdio = [stdin, stdout, stderr];
        let image = Image {
            namespaces,
            ops,
            program: Some(Program::new(candidates, argv, env, !interactive, stdio)),
        };
        let child = Child::start(&image, [our_stdin, our_stdout, our_stderr], &program)?;
        if let Some((mut pipe, bytes)) = feed {
            // A command that does not read its input is no error of ours.
            std::thread::spawn(move || drop(std::io::Write::write_all(&mut pipe, &bytes)));
        }
        Ok(child)
    }

    /// Runs the command to its end and returns its standard output. Each line of standard error goes
    /// to `line`; an exit status other than 0 is an [`Error::Failed`] with the last lines of it.
    pub fn run(self, line: impl FnMut(&str)) -> Result<Vec<u8>, Error> {
        let command = self.display();
        let (status, output, tail) = self.capture(line)?;
        if status.success() { Ok(output) } else { Err(Error::Failed { command, status, tail }) }
    }

    /// Runs the command to its end whatever its exit status is, and returns that, its standard output
    /// and the last lines of its standard error.
    pub fn capture(self, mut line: impl FnMut(&str)) -> Result<(ExitStatus, Vec<u8>, Vec<String>), Error> {
        let mut child = self.spawn()?;
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut output = Vec::new();
            match stdout {
                Some(mut stream) => stream.read_to_end(&mut output).map(|_| output),
                None => Ok(output),
            }
        });
        let mut tail = VecDeque::new();
        if let Some(stderr) = child.stderr.take() {
            let mut stderr = BufReader::new(stderr);
            let mut buffer = Vec::new();
            while stderr.read_until(b'\n', &mut buffer).unwrap_or(0) > 0 {
                let text = String::from_utf8_lossy(&buffer).trim_end().to_owned();
                tracing::trace!(target: "stderr", "{text}");
                line(&text);
                if tail.len() == lazuli_fs::process::TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(text);
                buffer.clear();
            }
        }
        let status = child.wait()?;
        let output = reader.join().unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked")));
        let output = output.map_err(|source| Error::Setup {
            step: "read the command's standard output".to_owned(),
            source,
            hint: String::new(),
        })?;
        Ok((status, output, tail.into()))
    }

    /// Runs the command with the caller's standard input, output and error and terminal, and returns
    /// how it ended.
    pub fn spawn_interactive(self) -> Result<ExitStatus, Error> {
        self.stdin(Stdin::Inherit).stdout(Output::Inherit).stderr(Output::Inherit).spawn()?.wait()
    }

    /// The argument vector as a person would type it.
    pub fn display(&self) -> String {
        lazuli_fs::process::display(&self.program, &self.args)
    }

    fn candidates(&self) -> Result<Vec<CString>, Error> {
        let program = self.program.as_bytes();
        if program.contains(&b'/') {
            return Ok(vec![c_string("the program", program)?]);
        }
        PATH.split(':').map(|dir| c_string("the program", [dir.as_bytes(), b"/", program].concat())).collect()
    }

    fn environment(&self, interactive: bool) -> Result<Vec<CString>, Error> {
        let in_build = |path: &str| path == "/build" || path.starts_with("/build/");
        let home =
            if in_build(&self.sandbox.workdir) || self.sandbox.binds.iter().any(|b| b.guest == "/build") {
                "/build"
            } else {
                "/root"
            };
        let mut env: BTreeMap<OsString, OsString> =
            [("PATH", PATH), ("HOME", home), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("USER", "root")]
                .map(|(key, value)| (key.into(), value.into()))
                .into();
        if let (true, Some(term)) = (interactive, std::env::var_os("TERM")) {
            env.insert("TERM".into(), term);
        }
        env.extend(self.sandbox.env.iter().cloned());
        env.iter()
            .map(|(key, value)| {
                c_string("the variable", [key.as_bytes(), b"=".as_slice(), value.as_bytes()].concat())
            })
            .collect()
    }
}

fn null() -> Result<OwnedFd, Error> {
    use lazuli_fs::Context as _;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(c"/dev/null", flags, rustix::fs::Mode::empty()).at("open", "/dev/null")?)
}

/// Ours and theirs.
fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(plain)
}

/// One of the caller's standard streams, or /dev/null if it is closed.
fn inherited(stream: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    rustix::io::fcntl_dupfd_cloexec(stream, 3).or_else(|_| null())
}

/// The namespaces that every sandbox has.
pub(crate) const NAMESPACES: i32 =
    libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// What is still to be written to standard input.
type Feed = Option<(File, Vec<u8>)>;

fn open_stdin(stdin: Stdin) -> Result<(OwnedFd, Option<File>, Feed), Error> {
    let (theirs, ours, feed) = match stdin {
        Stdin::Null => (null()?, None, None),
        Stdin::File(file) => (file.into(), None, None),
        Stdin::Inherit => (inherited(rustix::stdio::stdin())?, None, None),
        Stdin::Piped => {
            let (read, write) = pipe()?;
            (read, Some(write.into()), None)
        }
        Stdin::Bytes(bytes) => {
            let (read, write) = pipe()?;
            (read, None, Some((write.into(), bytes)))
        }
    };
    Ok((above_stdio(&theirs).map_err(plain)?, ours, feed))
}

fn open_output(output: Output, stream: BorrowedFd<'_>) -> Result<(OwnedFd, Option<File>), Error> {
    let (theirs, ours) = match output {
        Output::Null => (null()?, None),
        Output::File(file) => (file.into(), None),
        Output::Inherit => (inherited(stream)?, None),
        Output::Piped => {
            let (read, write) = pipe()?;
            (write, Some(read.into()))
        }
    };
    Ok((above_stdio(&theirs).map_err(plain)?, ours))
}
