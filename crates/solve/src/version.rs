//! Version ranges of dependencies and whether they meet.
//!
//! RPM's rules: an absent epoch is 0; a release that one side does not give is not compared; something provided
//! without a version meets every version, in requirements and in conflicts, as in `rpm` itself and in the resolvers
//! of dnf and zypper. (Debian has it the other way round; adoption takes care of that.)

use lazuli_rpm::{Dependency, DependencyFlags, Evr};
use std::cmp::Ordering;

/// Which sides of a version a range covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op {
    less: bool,
    equal: bool,
    greater: bool,
}

impl Op {
    /// No restriction.
    pub(crate) const ANY: Self = Self { less: false, equal: false, greater: false };
    const EQUAL: Self = Self { less: false, equal: true, greater: false };
}

/// A set of versions as a dependency describes it.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    /// How versions relate to the bound.
    pub(crate) op: Op,
    bound: Evr,
    /// Whether the bound gives a release.
    release: bool,
}

impl Range {
    /// The range of a dependency.
    pub(crate) fn of(dependency: &Dependency) -> Self {
        let has = |flag| dependency.flags.contains(flag);
        let op = Op {
            less: has(DependencyFlags::LESS),
            equal: has(DependencyFlags::EQUAL),
            greater: has(DependencyFlags::GREATER),
        };
        if op == Op::ANY || dependency.evr.is_empty() {
            return Self { op: Op::ANY, bound: Evr::default(), release: false };
        }
        let (epoch, rest) = match dependency.evr.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().ok(), rest),
            None => (None, dependency.evr.as_str()),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        let bound =
            Evr { epoch, version: version.to_owned(), release: release.unwrap_or_default().to_owned() };
        Self { op, bound, release: release.is_some() }
    }

    /// Whether exactly this version lies in the range.
    pub(crate) fn contains(&self, evr: &Evr) -> bool {
        self.op == Op::ANY || meets(self, &Self { op: Op::EQUAL, bound: evr.clone(), release: true })
    }

    /// Whether what is `provided` satisfies this range.
    pub(crate) fn overlaps(&self, provided: &Self) -> bool {
        self.op == Op::ANY || provided.op == Op::ANY || meets(self, provided)
    }
}

/// Whether two bounded ranges have a version in common.
fn meets(a: &Range, b: &Range) -> bool {
    let order = if a.release && b.release {
        a.bound.cmp(&b.bound)
    } else {
        let bare = |evr: &Evr| Evr { epoch: evr.epoch, version: evr.version.clone(), release: String::new() };
        bare(&a.bound).cmp(&bare(&b.bound))
    };
    match order {
        Ordering::Less => a.op.greater || b.op.less,
        Ordering::Greater => a.op.less || b.op.greater,
        Ordering::Equal => {
            (a.op.equal && b.op.equal) || (a.op.less && b.op.less) || (a.op.greater && b.op.greater)
        }
    }
}

/// Whether `provided`, a `Provides` entry, satisfies the simple dependency `wanted`: the same name, and versions
/// that meet.
pub fn satisfies(provided: &Dependency, wanted: &Dependency) -> bool {
    provided.name == wanted.name && Range::of(wanted).overlaps(&Range::of(provided))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Range {
        Range::of(&Dependency::parse(text).expect("a dependency"))
    }

    #[test]
    fn ranges_meet_as_rpm_says() {
        for (wanted, provided, meet) in [
            ("a", "a", true),
            ("a", "a = 1", true),
            ("a = 1", "a", true),
            ("a < 1", "a", true),
            ("a = 1", "a = 1-5", true),
            ("a = 1-5", "a = 1", true),
            ("a = 1-5", "a = 1-6", false),
            ("a >= 1", "a = 0:1-1", true),
            ("a < 1", "a = 1~rc1-1", true),
            ("a > 1", "a = 1^git-1", true),
            ("a < 1:0", "a = 99", true),
            ("a > 1", "a = 1-3", false),
            ("a <= 1", "a >= 1", true),
            ("a < 1", "a >= 1", false),
            ("a < 2", "a > 1", true),
            ("a > 1-2", "a < 1-2", false),
        ] {
            assert_eq!(range(wanted).overlaps(&range(provided)), meet, "{wanted} / {provided}");
        }
    }

    proptest! {
        #[test]
        fn meeting_is_symmetric_between_bounded_ranges(
            a in "[<>]?=? [0-2](:[0-2])?(-[0-2])?", b in "[<>]?=? [0-2](:[0-2])?(-[0-2])?",
        ) {
            let (a, b) = (format!("x {a}"), format!("x {b}"));
            if let (Ok(a), Ok(b)) = (Dependency::parse(&a), Dependency::parse(&b)) {
                let (a, b) = (Range::of(&a), Range::of(&b));
                if a.op != Op::ANY && b.op != Op::ANY {
                    prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
                }
            }
        }
    }
}
