//! Why a request cannot be met, for people.

use std::fmt;

/// The relation of a `Conflicts` entry.
pub const CONFLICTS: &str = "conflicts with";
/// The relation of an `Obsoletes` entry.
pub const OBSOLETES: &str = "obsoletes";

/// Why a request cannot be met: independent troubles, each sufficient by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The troubles, those of the first request first.
    pub troubles: Vec<Trouble>,
    /// What would make it possible, one line each: options that were tried and helped.
    pub hints: Vec<String>,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How the request leads to it: one trail, or two where two packages exclude each other.
    pub trails: Vec<Trail>,
    /// What it is.
    pub cause: Cause,
    /// Other packages that could have served, and why they do not; one line each.
    pub also: Vec<String>,
}

/// The way from a text of the request to a package or a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// What was asked for, or the installed package that it starts from.
    pub request: String,
    /// How it comes that the request has to be met.
    pub start: Start,
    /// Which package requires what, step by step.
    pub links: Vec<Link>,
}

/// Why something has to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// It was asked for.
    Asked,
    /// It is a better version of an installed package, or replaces one.
    Upgrade,
    /// It is installed and stays.
    Installed,
}

/// One step of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The package.
    pub package: String,
    /// What it requires.
    pub dependency: String,
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing provides a dependency.
    Missing {
        /// The dependency.
        dependency: String,
        /// The same name in other versions: who provides what.
        offers: Vec<String>,
        /// Similar names, with their providers.
        nearest: Vec<String>,
    },
    /// The only packages that provide a dependency must not be chosen.
    Excluded {
        /// The package.
        package: String,
        /// Why not.
        reason: String,
    },
    /// A package declares that it cannot be there together with another.
    Conflict {
        /// The package that declares it.
        package: String,
        /// [`CONFLICTS`] or [`OBSOLETES`].
        relation: &'static str,
        /// What it declares.
        dependency: String,
        /// The package that is hit.
        other: String,
    },
    /// Two versions of one package are needed.
    SameName {
        /// One version.
        first: String,
        /// The other.
        second: String,
    },
    /// A package forbids a combination of others that is needed.
    Combination {
        /// The package.
        package: String,
        /// The combination.
        dependency: String,
    },
    /// A conditional requirement whose condition holds cannot be met.
    Condition {
        /// The package that requires it, or `the request`.
        package: String,
        /// The requirement.
        dependency: String,
    },
    /// Something else.
    Other(String),
}

impl Trail {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for link in &self.links {
            write!(f, "\n{indent}{} requires {}", link.package, link.dependency)?;
        }
        Ok(())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trails[..] {
            [] => write!(f, "the request contradicts itself:")?,
            [trail] => {
                let verb = if trail.start == Start::Installed { "stay" } else { "be had" };
                write!(f, "`{}` cannot {verb}:", trail.request)?;
                trail.write(f, "    ")?;
            }
            [first, rest @ ..] => {
                let asked: Vec<&Trail> =
                    self.trails.iter().filter(|trail| trail.start != Start::Installed).collect();
                if rest.iter().all(|trail| trail.request == first.request) {
                    write!(f, "`{}` needs what cannot be together:", first.request)?;
                } else if let ([one], true) = (&asked[..], asked.len() < self.trails.len()) {
                    write!(f, "`{}` does not go together with what is installed:", one.request)?;
                } else {
                    write!(f, "`{}`", first.request)?;
                    for trail in rest {
                        write!(f, " and `{}`", trail.request)?;
                    }
                    write!(f, " cannot be had together:")?;
                }
                for (number, trail) in (1..).zip(&self.trails) {
                    let verb = match trail.start {
                        Start::Asked => "is asked for",
                        Start::Upgrade => "is an upgrade",
                        Start::Installed => "is installed",
                    };
                    write!(f, "\n  {number}. `{}` {verb}", trail.request)?;
                    trail.write(f, "     ")?;
                }
            }
        }
        write!(f, "\n{}{}", if self.trails.len() > 1 { "  but " } else { "    " }, self.cause)?;
        for line in &self.also {
            write!(f, "\n    {line}")?;
        }
        self.advise(f)
    }
}

impl Trouble {
    fn advise(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.trails.iter().filter(|trail| trail.start == Start::Asked);
        let mut requests: Vec<_> = asked.map(|trail| format!("`{}`", trail.request)).collect();
        requests.dedup();
        if requests.is_empty() && !self.trails.is_empty() {
            // Nobody asked for anything that could be left out; the hints say what can be done.
            return Ok(());
        }
        if requests.is_empty() {
            return write!(f, "\n  try: ask for less, or add versions that go together");
        }
        let leave_out = format!("leave out {}", requests.join(" or "));
        match &self.cause {
            Cause::Missing { dependency, offers, nearest } => {
                for offer in offers {
                    write!(f, "\n  there is: {offer}")?;
                }
                for near in nearest {
                    write!(f, "\n  similar: {near}")?;
                }
                let deep = self.trails.iter().any(|trail| !trail.links.is_empty());
                match (offers.is_empty(), deep) {
                    (true, false) => write!(
                        f,
                        "\n  try: check the spelling of `{dependency}`, or add a package that provides it"
                    ),
                    (true, true) => {
                        write!(f, "\n  try: add a package that provides `{dependency}`, or {leave_out}")
                    }
                    (false, _) => {
                        write!(f, "\n  try: add a version that satisfies `{dependency}`, or {leave_out}")
                    }
                }
            }
            Cause::Excluded { .. } => write!(
                f,
                "\n  try: allow that package, add another one that can take its place, or {leave_out}"
            ),
            _ => write!(f, "\n  try: {leave_out}, or add versions that go together"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { dependency, .. } => write!(f, "nothing provides {dependency}"),
            Self::Excluded { package, reason } => write!(f, "{package} cannot be chosen: {reason}"),
            Self::Conflict { package, relation, dependency, other } => {
                let verb = if *relation == OBSOLETES { "is what it replaces" } else { "provides that" };
                write!(f, "{package} {relation} {dependency}, and {other} {verb}")
            }
            Self::SameName { first, second } => {
                write!(f, "{first} and {second} are versions of one package; only one can be installed")
            }
            Self::Combination { package, dependency } => {
                write!(f, "{package} conflicts with {dependency}, and all of that is needed")
            }
            Self::Condition { package, dependency } => {
                write!(f, "{package} requires {dependency}, which cannot be met as things are")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.troubles.is_empty() {
            return f.write_str("the request cannot be met");
        }
        for (place, trouble) in self.troubles.iter().enumerate() {
            if place > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{trouble}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  or: {hint}")?;
        }
        Ok(())
    }
}
