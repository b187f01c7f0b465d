//! Running one script in a root.
//!
//! The script sees what RPM gives it: the root as `/` and as working directory, umask 022, `PATH` of
//! system directories, default signals, no descriptors but the three standard ones, paths or nothing on
//! its standard input. It is in a process group of its own, so that a timeout ends all of it. Its output
//! is handed on line by line. What it leaves running in the background is not waited for, and what that
//! still writes afterwards is lost.
//!
//! Unlike RPM, the variables that change how programs are loaded or what shells read first (`LD_*`,
//! `BASH_ENV`, `ENV` ...) are not handed down.

mod confine;
mod file;
mod lines;
mod process;

pub use lines::Stream;

use crate::helper::Helper;
use crate::script::Script;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a script cannot be run at all, as opposed to failing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root directory.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The caller may not change the root directory of a process.
    #[error(
        "scripts in {} need a changed root directory, which this user may not have, and user namespaces \
         cannot be used either ({source}); run it as root, or allow user namespaces",
        .root.display()
    )]
    Privilege {
        /// The root.
        root: PathBuf,
        /// Why there is no user namespace.
        #[source]
        source: std::io::Error,
    },
    /// The process could not be set up.
    #[error("{script}: cannot {what}: {source}")]
    Setup {
        /// Which script.
        script: String,
        /// What was tried.
        what: &'static str,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The Lua helper did not do its part.
    #[error("{script}: the Lua helper {helper}: {reason}")]
    Helper {
        /// Which script.
        script: String,
        /// The helper's program.
        helper: String,
        /// What it said, or did not say.
        reason: String,
    },
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With status 0.
    Success,
    /// With another status. A `<lua>` script that raises an error has 1.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// Its time was up; it was killed.
    TimedOut(Duration),
    /// Its interpreter could not be started.
    NotStarted(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("succeeded"),
            Self::Status(status) => write!(f, "failed with exit status {status}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut(limit) => write!(f, "took more than {} seconds and was killed", limit.as_secs()),
            Self::NotStarted(why) => write!(f, "could not start: {why}"),
        }
    }
}

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Whether it failed and its failure stops the element it belongs to. A failure that is not critical
    /// is a warning.
    pub critical: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Outcome {
    /// Whether it succeeded.
    pub fn success(&self) -> bool {
        self.ending == Ending::Success
    }
}

/// What confines scripts to their root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Nothing: the root is `/`.
    None,
    /// `chroot`.
    Chroot,
    /// `chroot` in a user namespace in which the caller is root and nobody else exists.
    UserNamespace,
}

/// Limits and environment of scripts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest a script may run; none for ever, as RPM does.
    pub timeout: Option<Duration>,
    /// `PATH`.
    pub path: String,
    /// More variables, over those of the caller.
    pub env: BTreeMap<String, String>,
    /// A directory of the root for the files that interpreters read scripts from. Whoever names one removes it
    /// if this process is killed; without one they are where RPM has them, and one would stay there.
    pub scratch: Option<String>,
    /// A longer line of output is handed on in pieces of this many bytes.
    pub max_line: usize,
    /// The most memory of a Lua script in bytes.
    pub lua_memory: usize,
    /// The most instructions of a Lua script, roughly.
    pub lua_instructions: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(3600)),
            path: "/sbin:/bin:/usr/sbin:/usr/bin:/usr/X11R6/bin".into(),
            env: BTreeMap::new(),
            scratch: None,
            max_line: 8 << 10,
            lua_memory: 256 << 20,
            lua_instructions: 20_000_000_000,
        }
    }
}

/// Runs scripts in one root.
#[derive(Debug)]
pub struct Runner {
    root: PathBuf,
    /// The root, so that every script gets the same directory whatever happens to its path.
    directory: OwnedFd,
    confinement: Confinement,
    options: Options,
    helper: Helper,
}

impl Runner {
    /// For scripts in `root`. Fails if it is not `/` and the caller can neither use `chroot` nor make user
    /// namespaces.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = root.as_ref().to_path_buf();
        let directory = confine::open_root(&root)?;
        let confinement = confine::choose(&root, &directory)?;
        Ok(Self { root, directory, confinement, options: Options::default(), helper: Helper::default() })
    }

    /// With other limits or environment.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// With another helper for Lua than the program itself.
    pub fn with_helper(mut self, helper: Helper) -> Self {
        self.helper = helper;
        self
    }

    /// What confines scripts.
    pub fn confinement(&self) -> Confinement {
        self.confinement
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is an executable file of this path in the root; links are followed inside it.
    pub fn has_program(&self, path: &str) -> bool {
        confine::is_program(&self.directory, path)
    }

    /// Runs a script to its end. `output` gets each line, without its end.
    pub fn run(&self, script: &Script, output: &mut dyn FnMut(Stream, &str)) -> Result<Outcome, Error> {
        let started = std::time::Instant::now();
        tracing::debug!(%script, lua = script.is_lua(), args = ?script.args, "run");
        let ending =
            if script.is_lua() { self.run_lua(script, output)? } else { self.run_program(script, output)? };
        let critical = ending != Ending::Success && script.is_critical();
        tracing::debug!(%script, ?ending, critical, "ended");
        Ok(Outcome { ending, critical, elapsed: started.elapsed() })
    }
}

#[cfg(test)]
mod tests;
