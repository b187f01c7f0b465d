//! `lazuli-cri`, also known as `crictl`: pods, containers and images of this host.

mod cli;
mod show;
mod verbs;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match verbs::run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("lazuli-cri: {error}");
            ExitCode::FAILURE
        }
    }
}
