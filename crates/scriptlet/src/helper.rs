//! The process that runs Lua scripts: the program itself, started again.
//!
//! The parent hands over a job and descriptors (root, output, report); the helper, which has one thread
//! and everything it needs in memory, makes the root its root directory, reports that it is ready, and
//! runs the script. Its exit status is the script's.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

/// The first argument of a program that is to be the helper.
const ARGUMENT: &str = "--lazuli-scriptlet-helper";
/// The variable with the number of the descriptor from which the job is read.
const JOB: &str = "LAZULI_SCRIPTLET_JOB";
/// What the helper reports before it runs the script.
pub(crate) const READY: &str = "ready";

/// The program that runs Lua scripts.
#[derive(Debug, Clone)]
pub struct Helper {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Default for Helper {
    /// The program that is running, which must call [`run_if_asked`] first of all.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec![ARGUMENT.into()] }
    }
}

impl Helper {
    /// For tests: the test program that is running, in which the test of this name (`module::name`) does
    /// nothing but call [`run_in_test`].
    pub fn test(name: &str) -> Self {
        let args = [name, "--exact", "--nocapture", "--test-threads=1"];
        Self { program: "/proc/self/exe".into(), args: args.map(OsString::from).to_vec() }
    }

    /// Another program, with what comes before its own arguments; it must call [`run_if_asked`].
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec![ARGUMENT.into()] }
    }

    pub(crate) fn variable(job: i32) -> (&'static str, String) {
        (JOB, job.to_string())
    }
}

/// A script and where its process finds things.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) args: Vec<u32>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) chroot: bool,
    pub(crate) root: i32,
    pub(crate) out: i32,
    pub(crate) err: i32,
    pub(crate) report: i32,
    pub(crate) path: String,
    pub(crate) memory: usize,
    pub(crate) instructions: u64,
}

/// Runs the Lua script that this process was started for, and ends; returns if it was not started for
/// one. To be called before anything else, in particular before there are threads.
pub fn run_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        std::process::exit(crate::lua::serve(JOB));
    }
}

/// The same in a test of [`Helper::test`].
pub fn run_in_test() {
    if std::env::var_os(JOB).is_some() {
        std::process::exit(crate::lua::serve(JOB));
    }
}
