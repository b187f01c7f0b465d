//! Epoch, version and release, and the name of a package in full.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Epoch, version and release. Ordered as RPM does: epoch as a number (absent is 0), then version, then
/// release by `rpmvercmp`.
#[derive(Debug, Clone, Default)]
pub struct Evr {
    /// Epoch, if one is written.
    pub epoch: Option<u32>,
    /// Version.
    pub version: String,
    /// Release; empty where a dependency names none.
    pub release: String,
}

impl Evr {
    /// From its parts.
    pub fn new(epoch: Option<u32>, version: impl Into<String>, release: impl Into<String>) -> Self {
        Self { epoch, version: version.into(), release: release.into() }
    }

    /// `version-release`, without the epoch, as file names have it.
    pub fn version_release(&self) -> String {
        if self.release.is_empty() {
            self.version.clone()
        } else {
            format!("{}-{}", self.version, self.release)
        }
    }
}

/// Compares two versions or two releases by RPM's algorithm.
pub fn rpmvercmp(a: &str, b: &str) -> Ordering {
    // Same text is the common case in a repository.
    if a == b {
        return Ordering::Equal;
    }
    rpm_version::Evr::new("", a, "").cmp(&rpm_version::Evr::new("", b, ""))
}

impl Ord for Evr {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.epoch.unwrap_or(0).cmp(&other.epoch.unwrap_or(0)))
            .then_with(|| rpmvercmp(&self.version, &other.version))
            .then_with(|| rpmvercmp(&self.release, &other.release))
    }
}

impl PartialOrd for Evr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Evr {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Evr {}

impl std::hash::Hash for Evr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // Versions that compare equal may be written differently (1.0 and 1.00), so only the epoch can
        // take part.
        self.epoch.unwrap_or(0).hash(state);
    }
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = self.epoch {
            write!(f, "{epoch}:")?;
        }
        f.write_str(&self.version)?;
        if !self.release.is_empty() {
            write!(f, "-{}", self.release)?;
        }
        Ok(())
    }
}

/// Text that is not an epoch, version and release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not [epoch:]version[-release]: {reason}")]
pub struct ParseEvrError {
    text: String,
    reason: &'static str,
}

impl FromStr for Evr {
    type Err = ParseEvrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| ParseEvrError { text: text.chars().take(100).collect(), reason };
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => {
                (Some(epoch.parse().map_err(|_| fail("the epoch is not a number"))?), rest)
            }
            None => (None, text),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((_, "")) => return Err(fail("the release is empty")),
            Some(parts) => parts,
            None => (rest, ""),
        };
        if version.is_empty() {
            return Err(fail("the version is empty"));
        }
        Ok(Self::new(epoch, version, release))
    }
}

/// Name, epoch, version, release and architecture: the identity of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nevra {
    /// Name.
    pub name: String,
    /// Epoch, version and release.
    pub evr: Evr,
    /// Architecture, for example `x86_64` or `noarch`.
    pub arch: String,
}

impl Nevra {
    /// The name of the file: `name-version-release.arch.rpm`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.{}.rpm", self.name, self.evr.version_release(), self.arch)
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_sort_as_rpm_documents() {
        let sorted = ["1.0~rc1-1", "1.0-1", "1.0^git1-1", "1.0a-1", "1.0.1-1", "1.2-1", "1.10-1", "1:0.1-1"];
        for pair in sorted.windows(2) {
            let (a, b): (Evr, Evr) = (pair[0].parse().unwrap(), pair[1].parse().unwrap());
            assert!(a < b, "{a} < {b}");
        }
        assert_eq!("0:1-1".parse::<Evr>().unwrap(), "1-1".parse().unwrap());
        for bad in ["x:1", "-1", "1-", "a--", ""] {
            assert!(bad.parse::<Evr>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a-z.~^+]{1,8}", b in "[0-9a-z.~^+]{1,8}", c in "[0-9a-z.~^+]{1,8}") {
            prop_assert_eq!(rpmvercmp(&a, &b), rpmvercmp(&b, &a).reverse());
            if rpmvercmp(&a, &b) != Ordering::Greater && rpmvercmp(&b, &c) != Ordering::Greater {
                prop_assert_ne!(rpmvercmp(&a, &c), Ordering::Greater);
            }
        }

        #[test]
        fn text_survives(epoch in prop::option::of(0_u32..9), version in "[0-9a-z.~]{1,6}", release in "[0-9a-z.]{1,6}") {
            let evr = Evr::new(epoch, version, release);
            prop_assert_eq!(evr.to_string().parse::<Evr>().unwrap().to_string(), evr.to_string());
        }
    }
}
