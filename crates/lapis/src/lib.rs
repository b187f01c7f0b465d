//! `lapis`: the package manager that runs on the host, also called `tdnf` and `dnf`.
//!
//! This crate is the front end: command line, configuration as the caller sees it, plans, history, tables.
//! What is hard lies below it: `lazuli_remote` fetches and trusts repositories, `lazuli_solve` chooses
//! packages, `lazuli_transaction` changes the root so that a power cut does no harm.
//!
//! ```text
//! cli        what can be said               -> Cli
//! session    configuration + command line   -> root, repositories, installed packages
//! commands   one module a command           -> questions to the above
//! plan       what will be done, for people
//! history    what was done
//! output     tables, JSON, progress
//! ```

pub mod advisories;
pub mod ask;
pub mod catalog;
pub mod cli;
mod commands;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
mod generate;
pub mod history;
pub mod installed;
pub mod locks;
pub mod output;
pub mod package;
pub mod plan;
pub mod query;
pub mod queryformat;
pub mod repositories;
pub mod restart;
mod run;
pub mod session;
pub mod settings;
pub mod spec;

pub use error::{Error, Result};
pub use run::run;
