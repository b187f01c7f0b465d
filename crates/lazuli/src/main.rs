//! The lazuli command line: arguments in, exit status out. What commands do is in [`commands`].

mod cli;
mod commands;
mod errata;
mod images;
mod inputs;
mod rpms;
mod ui;
mod update_keys;
mod workspace;

use anyhow::Result;
use clap::Parser as _;
use cli::{Cli, Command, ComponentCommand};
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use workspace::Workspace;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match cli.global.verbose {
        0 => "warn",
        1 => "debug,ureq=warn,rustls=warn,globset=warn,pgp=warn",
        _ => "trace,ureq=info,rustls=info,globset=warn,pgp=warn",
    };
    let filter = EnvFilter::try_from_env("LAZULI_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    match (run(&cli), ui::unwritten()) {
        // 128 + SIGPIPE, what a shell reports of other tools in the same place.
        (Ok(_), Some(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(141),
        (Ok(_), Some(error)) => {
            eprintln!("lazuli: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        (Ok(code), None) => code,
        (Err(error), _) => {
            eprintln!("lazuli: {error}");
            let mut said = error.to_string();
            for cause in error.chain().skip(1) {
                let cause = cause.to_string();
                // Most errors already end with the words of their cause.
                if !said.contains(&cause) {
                    eprintln!("  because {cause}");
                    said = cause;
                }
            }
            if let Some(hint) = error.chain().find_map(hint) {
                eprintln!("  {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What to try when the system refuses an operation on the store, or a mirror does not do what it should.
fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use lazuli_component::resolve;
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return Some(match error.kind() {
            ErrorKind::StorageFull => "free some space, or run `lazuli store gc`",
            ErrorKind::QuotaExceeded => "the disk quota is used up; run `lazuli store gc`",
            ErrorKind::ReadOnlyFilesystem => "set LAZULI_STORE to a writable directory",
            _ => return None,
        });
    }
    let download = cause.downcast_ref::<lazuli_fetch::Error>().or_else(|| match cause.downcast_ref()? {
        resolve::Error::Fetch(error) => Some(error),
        _ => None,
    })?;
    let mirror = "check the network, set LAZULI_MIRROR to another mirror, or run `lazuli doctor`";
    download.blames_server().then_some(mirror)
}

/// What failed is an error; a check that found something ends with status 1.
fn run(cli: &Cli) -> Result<ExitCode> {
    let ui = Arc::new(ui::Ui::new());
    let global = &cli.global;
    let found = |fine: bool| if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let open = |fresh| Workspace::open(global, Arc::clone(&ui), fresh);
    Ok(match &cli.command {
        Command::Doctor => found(commands::doctor::run(global)?),
        Command::Store(command) => found(commands::store::run(global, command)?),
        Command::Lock(args) => found(commands::lock::run(&open(true)?, args)?),
        Command::Component(command) => {
            // A component may be added before everything is pinned.
            commands::component::run(&open(matches!(command, ComponentCommand::Add { .. }))?, command)?;
            ExitCode::SUCCESS
        }
        Command::Run(args) => ExitCode::from(commands::run::run(&open(false)?, args)?),
        Command::Build(args) => {
            commands::build::build(&open(false)?, args)?;
            ExitCode::SUCCESS
        }
        Command::Repo(command) => found(commands::repo::run(&open(false)?, command)?),
        Command::Image(command) => {
            commands::image::run(&open(false)?, command)?;
            ExitCode::SUCCESS
        }
        Command::Kernel(command) => found(commands::kernel::run(&open(false)?, command)?),
        Command::Update(command) => found(commands::update::run(command, global.json)?),
        Command::ConvertSuite { dir } => {
            commands::convert::run(&open(false)?, dir)?;
            ExitCode::SUCCESS
        }
        Command::ToolRoot { name } => {
            commands::tool_root::run(&open(false)?, name)?;
            ExitCode::SUCCESS
        }
    })
}
