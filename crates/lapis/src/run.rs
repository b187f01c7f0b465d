//! From the command line to an exit status.

use crate::cli::{self, Cli, Command, Name};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::session::Session;
use clap::FromArgMatches as _;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// There are updates (`check-update`).
    Updates,
    /// The answer is no or there is something to be done: a status of 1 without an error.
    Attention,
}

/// Runs the program and returns its exit status.
///
/// | status | when |
/// |---|---|
/// | 0 | done, or nothing to do |
/// | 1 | failed; as `tdnf`: the lowest eight bits of the error's number |
/// | 100 | `check-update` found updates |
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().map_or(Name::Lapis, |program| Name::of(program));
    let args = cli::normalise(name, args);
    let parsed = cli::command(name)
        .try_get_matches_from(&args)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(name, &error),
    };
    start_log(cli.global.verbose);
    let out = Output::new(&cli.global);
    let result = command(name, &cli, &args, &out);
    out.flush();
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Updates) => ExitCode::from(100),
        Ok(Outcome::Attention) => ExitCode::FAILURE,
        Err(error) => failed(name, &error, &out),
    }
}

fn command(name: Name, cli: &Cli, args: &[OsString], out: &Output) -> Result<Outcome> {
    match &cli.command {
        Command::Generate(args) => {
            crate::generate::generate(args.what, &args.directory)?;
            Ok(Outcome::Done)
        }
        Command::Version => {
            out.line(format!("{}: {}", name.as_str(), env!("CARGO_PKG_VERSION")));
            Ok(Outcome::Done)
        }
        // It runs inside transactions: it must not wait for the end of one.
        Command::BootEntries(args) => {
            // Whatever the root, the menu is the running machine's.
            if let Some(root) = cli.global.place.installroot.as_deref().filter(|r| *r != Path::new("/")) {
                return Err(Error::Usage(format!(
                    "boot-entries changes the boot menu of the running machine, and --installroot {} names \
                     another system; leave it out, or run the command in that system: chroot {} lapis \
                     boot-entries",
                    root.display(),
                    root.display()
                )));
            }
            crate::commands::boot_entries(out, args)
        }
        Command::Other(words) => {
            let word = words.first().map(|w| w.to_string_lossy()).unwrap_or_default();
            Err(Error::NoSuchCommand(cli::unknown(&word)))
        }
        command => {
            let words: Vec<_> = args.iter().skip(1).map(|w| w.to_string_lossy()).collect();
            let words = words.join(" ");
            // An interrupted transaction is finished even if the configuration is broken.
            let session = match command {
                Command::Recover(_) => Session::bare(name, &cli.global, out, words)?,
                _ => Session::open(name, &cli.global, out, words)?,
            };
            crate::commands::run(&session, command)
        }
    }
}

/// Help and version are no errors; the rest has a status that dnf and tdnf share.
fn usage(name: Name, error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ if name == Name::Tdnf => ExitCode::from(status(902)),
        _ => ExitCode::FAILURE,
    }
}

/// What is left of a number in an exit status; never success.
fn status(number: u32) -> u8 {
    let low = (number & 0xff) as u8;
    if low == 0 { 1 } else { low }
}

fn failed(name: Name, error: &Error, out: &Output) -> ExitCode {
    if out.json {
        out.json(&serde_json::json!({ "Error": error.number(), "ErrorMessage": error.to_string() }));
        out.flush();
    }
    if name == Name::Tdnf {
        eprintln!("Error({}) : {error}", error.number());
        return ExitCode::from(status(error.number()));
    }
    eprintln!("Error: {error}");
    ExitCode::FAILURE
}

/// Messages of the crates below: nothing unless asked.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "error",
        1 => "info",
        _ => "debug",
    };
    let filter = std::env::var("LAPIS_LOG").unwrap_or_else(|_| format!("error,lazuli={level}"));
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .finish();
    // Another subscriber may be there already, in tests.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// The definition holds together; clap checks it in debug builds only.
#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_status_is_never_success_by_overflow() {
        assert_eq!(status(1011), 243);
        assert_eq!(status(1024), 1);
    }
}
