//! What a transaction is made of.

use lazuli_rpm::Nevra;

/// Makes an enum of words: what is stored and shown.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $default:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub(super) fn parse(text: &str) -> Self {
                match text { $($text => Self::$variant,)+ _ => Self::$default }
            }
        }

        impl Default for $name {
            fn default() -> Self { Self::$default }
        }
    };
}

words! {
    /// Who did it.
    Kind, Own {
        /// This program.
        Own = "lapis",
        /// Somebody else: `rpm`, another package manager, an image.
        Foreign = "rpm",
    }
}

words! {
    /// How far it got.
    State, Running {
        /// Started; if no process is at it, it was interrupted.
        Running = "running",
        /// Complete.
        Done = "done",
        /// Given up before anything changed.
        Failed = "failed",
        /// Interrupted, and completed later.
        Recovered = "recovered",
    }
}

words! {
    /// Why a package is installed. The order is from strong to weak.
    Reason, User {
        /// Somebody asked for it.
        User = "user",
        /// Something that is installed requires it.
        Dependency = "dependency",
        /// Something that is installed recommends it.
        Weak = "weak",
    }
}

words! {
    /// What happened to a package.
    Action, Install {
        /// It was not there before.
        Install = "install",
        /// It took the place of an earlier version.
        Upgrade = "upgrade",
        /// It took the place of a later version.
        Downgrade = "downgrade",
        /// It took its own place.
        Reinstall = "reinstall",
        /// It went without anything in its place.
        Remove = "remove",
        /// It went because another version came.
        Replaced = "replaced",
        /// It went because a package that came obsoletes it.
        Obsoleted = "obsoleted",
        /// It stayed; only the reason changed.
        Mark = "mark",
    }
}

impl Action {
    /// Whether the package is gone afterwards.
    pub fn is_out(self) -> bool {
        matches!(self, Self::Remove | Self::Replaced | Self::Obsoleted)
    }

    /// Whether the package was put there.
    pub fn is_in(self) -> bool {
        matches!(self, Self::Install | Self::Upgrade | Self::Downgrade | Self::Reinstall)
    }

    /// The letter in lists, as dnf has them.
    pub fn letter(self) -> char {
        match self {
            Self::Install => 'I',
            Self::Upgrade => 'U',
            Self::Downgrade => 'D',
            Self::Reinstall => 'R',
            Self::Remove => 'E',
            Self::Obsoleted => 'O',
            Self::Replaced => ' ',
            Self::Mark => 'C',
        }
    }
}

/// One package in a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// What happened to it.
    pub action: Action,
    /// Which package.
    pub nevra: Nevra,
    /// Where it came from; empty for what went.
    pub repository: String,
    /// Why it is installed from now on.
    pub reason: Reason,
    /// What brought it into the transaction, in words.
    pub why: String,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// Its number; 0 until it is recorded.
    pub id: i64,
    /// Who did it.
    pub kind: Kind,
    /// How far it got.
    pub state: State,
    /// Seconds since 1970.
    pub started: i64,
    /// Seconds since 1970.
    pub ended: Option<i64>,
    /// The caller, as seen through sudo.
    pub uid: u32,
    /// The caller's name.
    pub user: String,
    /// The words of the command line.
    pub command: String,
    /// A note.
    pub comment: String,
    /// Whether signatures were not checked.
    pub unverified: bool,
    /// The package database's cookie before.
    pub cookie_before: String,
    /// The package database's cookie afterwards.
    pub cookie_after: String,
    /// What scriptlets said and what went wrong.
    pub output: String,
    /// The packages.
    pub elements: Vec<Element>,
}
