//! What is to be done, and why.

use super::system::Keep;
use crate::explanation::Explanation;
use crate::universe::PackageId;
use lazuli_rpm::Nevra;

/// What a step does. Every package that comes has one step and every installed package that goes has one; a
/// package that takes the place of another of its name shares its step with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A package comes.
    Install {
        /// The package that comes.
        package: PackageId,
    },
    /// A later version takes the place of an installed one.
    Upgrade {
        /// The package that comes.
        package: PackageId,
        /// The installed package that goes.
        from: u32,
    },
    /// An earlier version takes the place of an installed one.
    Downgrade {
        /// The package that comes.
        package: PackageId,
        /// The installed package that goes.
        from: u32,
    },
    /// The same version is installed again.
    Reinstall {
        /// The package that comes.
        package: PackageId,
        /// The installed package that goes.
        from: u32,
    },
    /// An installed package goes because another one obsoletes it.
    Obsolete {
        /// The installed package that goes.
        installed: u32,
        /// The package that replaces it; it has a step of its own.
        by: PackageId,
    },
    /// An installed package goes.
    Remove {
        /// The installed package that goes.
        installed: u32,
    },
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The package that comes, or the one that goes if none comes.
    pub nevra: Nevra,
    /// The installed package that goes, if one does.
    pub old: Option<Nevra>,
    /// Why the package that comes will be there, or the one that goes was.
    pub keep: Keep,
    /// Why this is done, in a few words: "asked for by `vim`", "required by a-1-1.noarch (libb)".
    pub why: String,
}

/// A change of why an installed package is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The installed package.
    pub installed: u32,
    /// Its name and version.
    pub nevra: Nevra,
    /// Why it is there from now on.
    pub keep: Keep,
}

/// Something that was not done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// What: `bash-5.3-1.x86_64 is held back`, `nothing provides vmi`.
    pub what: String,
    /// Why, where that is known.
    pub explanation: Option<Explanation>,
}

/// What is to be done: sorted by kind of action, then by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in the order of [`Action`] and then of package names. The order in which packages
    /// are installed is not the solver's business.
    pub steps: Vec<Step>,
    /// Packages that stay but for another reason.
    pub marks: Vec<Mark>,
    /// What was left out: upgrades that are held back, jobs that were skipped.
    pub problems: Vec<Skip>,
    /// Jobs that had nothing to do: "bash-5.2-1.x86_64 is already installed".
    pub notes: Vec<String>,
    /// Weak dependencies of new packages that could not be met.
    pub skipped: Vec<crate::Skipped>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.marks.is_empty()
    }
}
