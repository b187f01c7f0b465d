//! How jobs are carried out.

use crate::request::Exclusion;

/// How jobs are carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// The machine's architecture as RPM names it; packages for another one are not considered (`noarch` always
    /// is). Empty means no restriction.
    pub architecture: String,
    /// Whether jobs fail if they cannot have the best version. Otherwise the best possible one
    /// is taken and the plan says what was held back.
    pub best: bool,
    /// Whether installed packages may be removed or made older to make jobs possible.
    pub allow_erasing: bool,
    /// Whether jobs that cannot be carried out are left out, and reported, instead of failing.
    pub skip_broken: bool,
    /// Whether jobs that name what does not exist are left out, and reported, instead of failing.
    pub skip_unavailable: bool,
    /// Whether what new packages recommend, and what supplements them, is installed where possible.
    pub weak: bool,
    /// Whether a removal also removes dependencies that only the removed packages needed.
    pub clean_requirements: bool,
    /// Whether `Obsoletes` make packages replace others in upgrades.
    pub obsoletes: bool,
    /// Packages that must not be chosen; patterns are allowed.
    pub exclude: Vec<Exclusion>,
    /// Packages that no weak dependency brings; patterns are allowed. For requirements they are there.
    pub exclude_from_weak: Vec<String>,
    /// Versions that are fixed.
    pub locks: Vec<Lock>,
    /// Names (or patterns) of packages that must not be removed.
    pub protected: Vec<String>,
    /// The database number of the running kernel's package, which must not be removed either.
    pub running_kernel: Option<u32>,
    /// Names of packages, or of what they provide, of which several versions are installed side by side.
    pub install_only: Vec<String>,
    /// How many versions of such a package are kept; 0 means all.
    pub install_only_limit: usize,
}

impl Default for Options {
    /// As dnf is without configuration.
    fn default() -> Self {
        let install_only = [
            "kernel",
            "installonlypkg(kernel)",
            "installonlypkg(kernel-module)",
            "installonlypkg(vm)",
            "multiversion(kernel)",
        ];
        Self {
            architecture: String::new(),
            best: false,
            allow_erasing: false,
            skip_broken: false,
            skip_unavailable: false,
            weak: true,
            clean_requirements: true,
            obsoletes: true,
            exclude: Vec::new(),
            exclude_from_weak: Vec::new(),
            locks: Vec::new(),
            protected: Vec::new(),
            running_kernel: None,
            install_only: install_only.map(str::to_owned).to_vec(),
            install_only_limit: 3,
        }
    }
}

/// A version that is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// A package with its version as a pattern: `bash-5.2.15-*`, `bash-0:5.2.15-1.lz1.*`.
    pub package: String,
    /// If set, this version is the one that is not wanted.
    pub exclude: bool,
}
