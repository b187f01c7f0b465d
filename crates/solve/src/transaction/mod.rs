//! Changing an installed system.
//!
//! [`solve_transaction`] takes what is installed, what could be installed and what a person wants, and answers
//! with a [`Plan`]: which packages come, which go, which are exchanged, and why. The rules:
//!
//! - What is installed stays as it is unless a job or an option says otherwise: nothing is removed without a
//!   removal job or [`Options::allow_erasing`], nothing becomes older without a job that says so.
//! - Of all the packages that could stay as many stay as can: a plan has no needless step.
//! - The same system, repositories and jobs always give the same plan.
//! - Requirements of installed packages that are not met today are nobody's fault and stand in nobody's way.

mod job;
mod options;
mod plan;
mod system;

pub use job::{Job, Select};
pub use options::{Lock, Options};
pub use plan::{Action, Mark, Plan, Skip, Step};
pub use system::{InstalledPackage, Keep, System};

use crate::Universe;
use crate::explanation::Explanation;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// What a job names is not there.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// The jobs make no sense by themselves.
    #[error("{0}")]
    BadJob(String),
    /// A protected package would have to go.
    #[error("{0}")]
    Protected(String),
    /// The jobs cannot be carried out.
    #[error("{0}")]
    Impossible(Box<Explanation>),
}

/// Plans how to carry out jobs on a system.
pub fn solve_transaction(
    _universe: &dyn Universe,
    _system: &dyn System,
    _jobs: &[Job],
    _options: &Options,
) -> Result<Plan, TransactionError> {
    Err(TransactionError::BadJob("solving against installed packages is not there yet".to_owned()))
}
