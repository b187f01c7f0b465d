//! What is asked of the solver.

use lazuli_rpm::Nevra;

/// A question to the solver.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What must be there, as dependency texts: `bash`, `openssl >= 3`, `/usr/bin/awk`, `(a or b)`.
    pub install: Vec<String>,
    /// What must not be chosen.
    pub exclude: Vec<Exclusion>,
    /// Whether `Recommends` and `Supplements` are followed where possible.
    pub weak: bool,
    /// Packages whose version is fixed: if a package of that name is chosen it is this one.
    pub locked: Vec<Nevra>,
    /// The machine's architecture as RPM names it; packages for another one are not considered. Empty
    /// means that there is no restriction.
    pub architecture: String,
}

/// Packages that must not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// A package name, or a name with a version range: `openssl < 3`.
    pub package: String,
    /// Why; part of explanations.
    pub reason: String,
}

/// A request that makes no sense by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a dependency: {reason}; write a package name, a name with a version (`a >= 1.2`), a path or `(a or b)`"
)]
pub struct BadText {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}
