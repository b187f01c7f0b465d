//! Why a command could not be run.

use std::process::ExitStatus;

/// Why a command could not be run, or how it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox could not be set up.
    #[error("cannot {step}: {source}{hint}")]
    Setup {
        /// What was attempted.
        step: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
        /// What to try, beginning with a line break; empty if nothing is known.
        hint: String,
    },
    /// The program is not in the root.
    #[error("there is no program `{program}` in the sandbox")]
    NoProgram {
        /// Its name or path.
        program: String,
    },
    /// A path or an argument cannot be handed to the kernel.
    #[error("{what} is not usable: {reason}")]
    Invalid {
        /// Which value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The command ended with a status other than 0.
    #[error("`{command}` ended with {status}{}", tail_text(.tail))]
    Failed {
        /// The argument vector, quoted for a shell.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
    /// A file operation on the host failed.
    #[error(transparent)]
    Io(#[from] lazuli_fs::Error),
}

fn tail_text(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!(":\n    {}", tail.join("\n    ")) }
}
