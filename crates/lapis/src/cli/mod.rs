//! The command line's definition: the one source of parsing, help, completions and manual pages.
//!
//! It is the union of what `tdnf` and the used part of `dnf` accept. Where they differ the [`Name`] under
//! which the program was called decides, in [`normalise()`].

mod commands;
mod global;
mod name;
mod normalise;
mod query;
mod unknown;

pub use commands::*;
pub use global::{
    Advisories, Color, Global, Ignored, Place, Repositories, Solving, TransactionOptions, Trust,
};
pub use name::Name;
pub use normalise::normalise;
pub use query::{RepoqueryArgs, Show};
pub use unknown::unknown;

use clap::{CommandFactory as _, Parser};

/// Installs, updates and removes RPM packages, and answers questions about them.
#[derive(Debug, Parser)]
#[command(
    name = "lapis",
    version,
    infer_long_args = true,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Configuration: /etc/lapis/lapis.conf, repositories: /etc/yum.repos.d/*.repo.\n\
                  `lapis help COMMAND` describes a command."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The definition, for parsing and for what is generated from it.
pub fn command(name: Name) -> clap::Command {
    // An option that is given twice counts as it was given last, as with tdnf and dnf.
    let lenient = |command: clap::Command| command.args_override_self(true).infer_long_args(true);
    lenient(Cli::command()).mut_subcommands(lenient).name(name.as_str()).bin_name(name.as_str())
}
