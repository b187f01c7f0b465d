//! Dependencies: a name, flags and a version.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// The flags of a dependency, RPM's RPMSENSE bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DependencyFlags(pub u32);

impl DependencyFlags {
    /// No flag.
    pub const ANY: Self = Self(0);
    /// Earlier versions.
    pub const LESS: Self = Self(1 << 1);
    /// Later versions.
    pub const GREATER: Self = Self(1 << 2);
    /// The same version.
    pub const EQUAL: Self = Self(1 << 3);
    /// Needed by `%posttrans`.
    pub const POSTTRANS: Self = Self(1 << 5);
    /// Needed before installation (the legacy form).
    pub const PREREQ: Self = Self(1 << 6);
    /// Needed by `%pretrans`.
    pub const PRETRANS: Self = Self(1 << 7);
    /// Added by the builder for an interpreter.
    pub const INTERP: Self = Self(1 << 8);
    /// Needed by `%pre`.
    pub const SCRIPT_PRE: Self = Self(1 << 9);
    /// Needed by `%post`.
    pub const SCRIPT_POST: Self = Self(1 << 10);
    /// Needed by `%preun`.
    pub const SCRIPT_PREUN: Self = Self(1 << 11);
    /// Needed by `%postun`.
    pub const SCRIPT_POSTUN: Self = Self(1 << 12);
    /// Needed by `%verifyscript`.
    pub const SCRIPT_VERIFY: Self = Self(1 << 13);
    /// Found by a generator, of requirements.
    pub const FIND_REQUIRES: Self = Self(1 << 14);
    /// Found by a generator, of what is provided.
    pub const FIND_PROVIDES: Self = Self(1 << 15);
    /// May be missing.
    pub const MISSINGOK: Self = Self(1 << 19);
    /// Needed by `%preuntrans`.
    pub const PREUNTRANS: Self = Self(1 << 20);
    /// Needed by `%postuntrans`.
    pub const POSTUNTRANS: Self = Self(1 << 21);
    /// A feature that the installing RPM must have.
    pub const RPMLIB: Self = Self(1 << 24);
    /// Of a trigger that runs after installation.
    pub const TRIGGERIN: Self = Self(1 << 16);
    /// Of a trigger that runs before removal.
    pub const TRIGGERUN: Self = Self(1 << 17);
    /// Of a trigger that runs after removal.
    pub const TRIGGERPOSTUN: Self = Self(1 << 18);
    /// Of a trigger that runs before installation.
    pub const TRIGGERPREIN: Self = Self(1 << 25);
    /// A public key that is provided.
    pub const KEYRING: Self = Self(1 << 26);
    /// `name = version` of the package itself, or of its configuration.
    pub const CONFIG: Self = Self(1 << 28);
    /// Ordering only, installed or not (`Requires(meta)`).
    pub const META: Self = Self(1 << 29);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The comparison alone.
    pub fn comparison(self) -> Self {
        Self(self.0 & (Self::LESS.0 | Self::GREATER.0 | Self::EQUAL.0))
    }
}

impl BitOr for DependencyFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for DependencyFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One dependency. A rich one has its whole text, with the parentheses, as its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dependency {
    /// Name of a package or of something provided, a path, or a rich dependency.
    pub name: String,
    /// Comparison and purpose.
    pub flags: DependencyFlags,
    /// `[epoch:]version[-release]`, or nothing.
    pub evr: String,
}

/// Text that is not a dependency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a dependency: {reason}")]
pub struct ParseDependencyError {
    pub(crate) text: String,
    pub(crate) reason: String,
}

/// The longest dependency that is read, in bytes.
pub(crate) const MAX_TEXT: usize = 64 << 10;

/// Whether this was meant as a comparison: a name has its signs in parentheses, if at all.
pub(crate) fn lacks_spaces(name: &str) -> bool {
    name.contains(['<', '>', '=']) && !name.contains('(')
}

impl Dependency {
    /// A dependency on any version of `name`.
    pub fn any(name: impl Into<String>) -> Self {
        Self { name: name.into(), flags: DependencyFlags::ANY, evr: String::new() }
    }

    /// A dependency on a version of `name`.
    pub fn versioned(name: impl Into<String>, flags: DependencyFlags, evr: impl Into<String>) -> Self {
        Self { name: name.into(), flags, evr: evr.into() }
    }

    /// With more flags.
    #[must_use]
    pub fn with(mut self, flags: DependencyFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Whether this is a rich dependency.
    pub fn is_rich(&self) -> bool {
        self.name.starts_with('(')
    }

    /// Reads `name`, `name OP evr` or `(rich ...)`. Operators: `<`, `<=`, `=`, `>=`, `>`.
    pub fn parse(text: &str) -> Result<Self, ParseDependencyError> {
        let text = text.trim();
        let fail = |reason: &str| {
            Err(ParseDependencyError { text: text.chars().take(200).collect(), reason: reason.to_owned() })
        };
        if text.len() > MAX_TEXT {
            return fail("it is too long");
        }
        if text.starts_with('(') {
            return Ok(match crate::rich::Rich::parse(text)? {
                // Parentheses around a single one say nothing.
                crate::rich::Rich::Simple(simple) => simple,
                rich => Self::any(rich.to_string()),
            });
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [name] => {
                if lacks_spaces(name) {
                    return fail("put spaces around the comparison");
                }
                Ok(Self::any(name))
            }
            [name, op, evr] => {
                let flags = match op {
                    "<" => DependencyFlags::LESS,
                    "<=" => DependencyFlags::LESS | DependencyFlags::EQUAL,
                    "=" | "==" => DependencyFlags::EQUAL,
                    ">=" => DependencyFlags::GREATER | DependencyFlags::EQUAL,
                    ">" => DependencyFlags::GREATER,
                    _ => return fail("the comparison is none of <, <=, =, >=, >"),
                };
                if evr.parse::<crate::Evr>().is_err() {
                    return fail("the version is not [epoch:]version[-release]");
                }
                Ok(Self::versioned(name, flags, evr))
            }
            _ => fail("expected `name` or `name OP version`"),
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let (less, greater, equal) = (
            self.flags.contains(DependencyFlags::LESS),
            self.flags.contains(DependencyFlags::GREATER),
            self.flags.contains(DependencyFlags::EQUAL),
        );
        let op = match (less, greater, equal) {
            (true, _, false) => "<",
            (true, _, true) => "<=",
            (false, true, false) => ">",
            (false, true, true) => ">=",
            (false, false, true) => "=",
            (false, false, false) => return Ok(()),
        };
        write!(f, " {op} {}", self.evr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        for text in [
            "bash",
            "libc.so.6(GLIBC_2.34)(64bit)",
            "/bin/sh",
            "a >= 1:2-3",
            "(a or b)",
            "(a >= 1 if b else c)",
        ] {
            assert_eq!(Dependency::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn parentheses_around_a_single_dependency_say_nothing() {
        for text in ["a", "a >= 1"] {
            assert_eq!(Dependency::parse(&format!("( ({text}))")), Dependency::parse(text));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "a>=1",
            "(a>=1)",
            "(a>=1 or b)",
            "a => 1",
            "a >= ",
            "a >= 1 2",
            "(a or",
            "(a or b and c)",
            "a >= x:y",
        ] {
            assert!(Dependency::parse(bad).is_err(), "{bad:?}");
        }
    }
}
