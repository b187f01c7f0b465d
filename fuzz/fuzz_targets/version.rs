//! The order of versions is a total one, and that of the `rpm-version` crate where epoch and release take part.
#![no_main]

use lazuli_rpm::evr::{Evr, rpmvercmp};
use libfuzzer_sys::fuzz_target;
use std::cmp::Ordering;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parts: Vec<&str> = text.splitn(3, ' ').collect();
    let &[a, b, c] = &parts[..] else { return };
    for (one, other) in [(a, b), (b, c), (a, c)] {
        assert_eq!(rpmvercmp(one, other), rpmvercmp(other, one).reverse());
    }
    for (one, two, three) in [(a, b, c), (b, c, a), (c, a, b), (a, c, b), (b, a, c), (c, b, a)] {
        if rpmvercmp(one, two) != Ordering::Greater && rpmvercmp(two, three) != Ordering::Greater {
            assert_ne!(rpmvercmp(one, three), Ordering::Greater);
        }
        let equal = rpmvercmp(one, two) == Ordering::Equal;
        assert!(!equal || rpmvercmp(one, three) == rpmvercmp(two, three));
    }
    // RPM takes the release from behind the last dash, that crate from behind the first.
    let parts = parts.iter().filter(|text| text.matches('-').count() < 2);
    let evrs: Vec<(Evr, &str)> = parts.filter_map(|text| Some((text.parse().ok()?, *text))).collect();
    for (one, text) in &evrs {
        for (other, other_text) in &evrs {
            assert_eq!(
                one.cmp(other),
                rpm_version::Evr::parse(text).cmp(&rpm_version::Evr::parse(other_text))
            );
            assert_eq!(one == other, one.cmp(other) == Ordering::Equal);
        }
    }
});
