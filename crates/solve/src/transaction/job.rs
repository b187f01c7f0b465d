//! What a person wants done.

use super::system::Keep;
use crate::universe::PackageId;
use lazuli_rpm::Nevra;

/// Which packages a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// A text as people write it. Tried in this order: a package name, `name.arch`, `name-version`,
    /// `name-version-release`, either with `.arch` or `epoch:`, with patterns (`*`, `?`, `[...]`) in any of
    /// them; an absolute path (an owner of that file); a dependency (`openssl >= 3`, `(a or b)`, something
    /// provided).
    Text(String),
    /// A package of the universe, such as an RPM file given on the command line.
    Package(PackageId),
    /// An installed package, by its number in the database.
    Installed(u32),
}

impl Select {
    /// What a person wrote.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Have it installed; with [`Options::best`](super::Options::best) in its best version.
    Install(Select),
    /// Remove it, and with it what requires it.
    Remove(Select),
    /// Bring installed packages to their best version.
    Upgrade {
        /// Which; `None` means all.
        select: Option<Select>,
        /// To the earliest version that will do instead of the best.
        minimal: bool,
        /// Only where one of these packages is newer than what is installed, and to at least
        /// that version: the packages of errata.
        only: Option<Vec<Nevra>>,
    },
    /// Go back to the version before the installed one, or to the version that the text names.
    Downgrade(Select),
    /// Install the same version again.
    Reinstall(Select),
    /// Bring installed packages to the version that the repositories have, be it older. `None` means all.
    DistroSync(Option<Select>),
    /// Remove one and install the other. Both may happen through an `Obsoletes` or `Conflicts`; what
    /// requires the one may go unless the other serves it.
    Swap {
        /// What goes.
        remove: Select,
        /// What comes.
        install: Select,
    },
    /// Remove what came as a dependency and is needed no more.
    Autoremove,
    /// Change why an installed package is there.
    Mark {
        /// Which.
        select: Select,
        /// Why it is there from now on.
        keep: Keep,
    },
}
