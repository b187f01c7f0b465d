//! What is installed, as the solver sees it.

use lazuli_rpm::{Dependency, Nevra};

/// Why a package is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keep {
    /// As a weak dependency of another.
    Weak,
    /// As a dependency of another.
    Dependency,
    /// Because a person wanted it; also where nobody knows.
    User,
}

impl Keep {
    /// As plans and the history write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weak => "weak-dependency",
            Self::Dependency => "dependency",
            Self::User => "user",
        }
    }
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its number in the database.
    pub hnum: u32,
    /// Name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// Why it is there.
    pub keep: Keep,
    /// What it offers.
    pub provides: Vec<Dependency>,
    /// What it needs.
    pub requires: Vec<Dependency>,
    /// What must not be there.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What should be there.
    pub recommends: Vec<Dependency>,
    /// What it should be there with.
    pub supplements: Vec<Dependency>,
    /// The size of its files in bytes.
    pub size: u64,
}

/// An installed system. Public keys (`gpg-pubkey`) among the packages are no packages and never touched.
pub trait System {
    /// All installed packages.
    fn packages(&self) -> &[InstalledPackage];

    /// The numbers of the packages that own this absolute path.
    fn owners(&self, path: &str) -> Vec<u32>;
}
