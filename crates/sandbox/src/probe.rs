//! What `lazuli doctor` says about this host's ability to run sandboxes.

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Works.
    Ok,
    /// Something optional does not work.
    Warning,
    /// Lazuli cannot work like this.
    Error,
}

/// One check and its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked, for example `user namespaces`.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found, one line.
    pub detail: String,
    /// What to do about it, if anything.
    pub remedy: Option<String>,
}

/// Tries everything a sandbox needs on this host.
pub fn probe() -> Vec<Finding> {
    Vec::new()
}
