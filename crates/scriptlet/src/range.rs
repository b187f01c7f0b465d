//! Whether two version ranges of the same name meet, as RPM decides it for triggers.

use lazuli_rpm::evr::rpmvercmp;
use lazuli_rpm::{Dependency, DependencyFlags as Flags, Evr};
use std::cmp::Ordering;

/// Whether a trigger's condition meets something that a package provides under the same name.
pub(crate) fn meets(condition: &Dependency, provided: &Dependency) -> bool {
    let (a, b) = (condition.flags.comparison(), provided.flags.comparison());
    if a == Flags::ANY || b == Flags::ANY || condition.evr.is_empty() || provided.evr.is_empty() {
        return true;
    }
    let (Ok(left), Ok(right)) = (condition.evr.parse::<Evr>(), provided.evr.parse::<Evr>()) else {
        return false;
    };
    match compare(&left, &right) {
        Ordering::Less => a.intersects(Flags::GREATER) || b.intersects(Flags::LESS),
        Ordering::Greater => a.intersects(Flags::LESS) || b.intersects(Flags::GREATER),
        Ordering::Equal => a.intersects(b),
    }
}

/// Releases count only if both sides have one.
fn compare(a: &Evr, b: &Evr) -> Ordering {
    let release = || match (&a.release[..], &b.release[..]) {
        ("", _) | (_, "") => Ordering::Equal,
        (a, b) => rpmvercmp(a, b),
    };
    (a.epoch.unwrap_or(0).cmp(&b.epoch.unwrap_or(0)))
        .then_with(|| rpmvercmp(&a.version, &b.version))
        .then_with(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_as_rpm_decides() {
        for (condition, provided, meet) in [
            ("a", "a = 1-1", true),
            ("a < 2", "a = 1-1", true),
            ("a < 2", "a = 2-1", false),
            ("a <= 2", "a = 2-1", true),
            ("a > 2", "a = 2-5", false),
            ("a = 2", "a = 2-5", true),
            ("a = 2-1", "a = 2-5", false),
            ("a >= 1:1", "a = 5-1", false),
            ("a < 1:1", "a = 5-1", true),
        ] {
            let parse = |text| Dependency::parse(text).unwrap();
            assert_eq!(meets(&parse(condition), &parse(provided)), meet, "{condition} / {provided}");
        }
    }
}
