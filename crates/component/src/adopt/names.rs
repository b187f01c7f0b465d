//! Names, architectures and versions: Debian's in RPM's words.
//!
//! # Versions
//!
//! `[epoch:]upstream[-revision]` becomes `[epoch:]version-release`: the epoch stays (absent is 0 in both
//! worlds), the upstream version becomes the version, the revision the release. A version without a
//! revision, as native packages have, gets release `0`, because dpkg takes an absent revision for 0.
//! RPM allows neither `-` nor `:` in a version, so they become `.`, which dpkg ranks next to `-`. A `~`
//! after a separator, as in `2.0.0+~1.4`, makes a version newer than `2.0.0` for dpkg but older for RPM,
//! which does not see the `+`; it becomes `+0~`.
//!
//! Both systems compare runs of digits as numbers and let `~` sort before everything, even the end, so
//! the order is kept for what versions of one package look like: numbers joined by `.`, perhaps with
//! letters after a number, followed by marks such as `~rc1`, `+dfsg`, `+b2`, `+deb13u1`, `+git20240101`.
//! The orders part ways when two versions of *one* package differ first in
//!
//! - which separator stands before a number: `1.0+1` against `1.0.1` (RPM does not look at separators);
//! - a letter against a number after the same separator: `1.a` against `1.1` (RPM puts numbers last);
//! - a letter against a separator with letters: `1.0z` against `1.0+b` (dpkg puts letters first);
//! - a number against a separator with letters behind a letter: `1p1` against `1p+dfsg` (RPM puts numbers last).
//!
//! The test of this module checks the grammar above by property. Of 1.1 million pairs of versions that
//! one package had in three releases of Debian and their security archives, 80 came out differently, none
//! of a package that a system image has; the reasons were those above.
//!
//! A rebuild of ours appends `^lzN` to the release. The caret makes it newer than what it rebuilds and
//! older than everything that Debian may append to the same revision (`+b1`, `+deb13u1`, `.1`), so that a
//! security update always wins; a `.lzN` would outrank `+deb13u1`. Debian's versions never have a caret.
//! The package also provides itself without the suffix, so that dependencies `= V` keep matching.

use lazuli_debian::version::Version;
use lazuli_rpm::Evr;

/// RPM's name of one of Debian's architectures.
pub fn architecture(debian: &str) -> Option<&'static str> {
    match debian {
        "amd64" => Some("x86_64"),
        "arm64" => Some("aarch64"),
        "all" => Some("noarch"),
        _ => None,
    }
}

/// The version as RPM has it. The release is never empty.
pub fn evr(version: &Version) -> Evr {
    let part = |text: &str| {
        let text = text.replace(['-', ':'], ".");
        text.replace("+~", "+0~").replace(".~", ".0~")
    };
    let epoch = Some(version.epoch()).filter(|e| *e > 0);
    Evr::new(epoch, part(version.upstream()), part(version.revision().unwrap_or("0")))
}

/// The version of the `rebuild`th build with our overlay; 0 and 1 leave it as it is.
pub fn rebuilt(mut evr: Evr, rebuild: u32) -> Evr {
    if rebuild > 1 {
        evr.release = format!("{}^lz{rebuild}", evr.release);
    }
    evr
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn map(text: &str) -> Evr {
        evr(&text.parse().unwrap())
    }

    #[test]
    fn parts_go_where_rpm_looks_for_them() {
        for (debian, rpm) in [
            ("5.2.37-2+b5", "5.2.37-2+b5"),
            ("1:10.0p1-7+deb13u1", "1:10.0p1-7+deb13u1"),
            ("0:1-1", "1-1"),
            ("13.8", "13.8-0"),
            ("2025b-4", "2025b-4"),
            ("0-1-2", "0.1-2"),
            ("1:2:3-4", "1:2.3-4"),
            ("257.9-1~deb13u1", "257.9-1~deb13u1"),
            ("2.0.0+~cs1.4-1", "2.0.0+0~cs1.4-1"),
        ] {
            assert_eq!(map(debian).to_string(), rpm);
        }
    }

    /// Ascending in dpkg's order.
    #[test]
    fn real_sequences_keep_their_order() {
        for line in [
            "2.41-1 2.41-12~deb13u1 2.41-12 2.41-12+b1 2.41-12+deb13u1 2.41-12+deb13u2 2.41-12+deb13u10 2.41-12.1 2.41-13",
            "1.0~beta1-1 1.0~rc1-1 1.0~rc1+dfsg-1 1.0-1 1.0+dfsg-1 1.0.1-1 1.0.10-1",
            "9.9p2-1 10.0p1-1 10.0p1-7 10.0p2-1 1:1.0-1",
            "2024a-0 2024b-1 2025a-1 2025b-0+deb13u1 2025b-4",
            "0.0~git20240101-1 0.0~git20250101-1 0.1-1",
            "3.5.1-1 3.5.1+really3.4.0-1 3.5.2-1",
            "12 12.1 13~beta1 13 13.1",
            "2.0.0-4 2.0.0+~1.9-1 2.0.0+~2.0-1 2.0.1-1",
        ] {
            let versions: Vec<Version> = line.split(' ').map(|v| v.parse().unwrap()).collect();
            assert!(versions.is_sorted(), "dpkg: {line}");
            let mapped: Vec<Evr> = versions.iter().map(evr).collect();
            for pair in mapped.windows(2) {
                assert!(pair[0] < pair[1], "{} should be older than {}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn a_rebuild_lies_between_its_base_and_any_update_of_debian() {
        for base in ["2.41-12", "13.8", "1:1.0-1+b1", "2.0-1~deb13u1"] {
            let original: Version = base.parse().unwrap();
            let second = rebuilt(evr(&original), 2);
            let tenth = rebuilt(evr(&original), 10);
            assert_eq!(rebuilt(evr(&original), 1), evr(&original));
            assert!(evr(&original) < second && second < tenth);
            for update in ["+b1", "+b2", "+deb13u1", ".1", "+x"] {
                let text = if original.revision().is_some() {
                    format!("{base}{update}")
                } else {
                    format!("{base}-0{update}")
                };
                assert!(tenth < map(&text), "{tenth} against {text}");
            }
        }
    }

    /// Two versions of one package: it keeps to one scheme, so either both have a letter after the number
    /// (`2025b`), or a letter and a number (`10.0p2`), or neither.
    fn realistic() -> impl Strategy<Value = (String, String)> {
        let version = |letter: &str| {
            let upstream =
                format!("[0-3](\\.[0-3]){{0,2}}{letter}(~(rc|beta)[1-3])?(\\+(dfsg|ds|git)[1-2]?)?");
            let upstream = proptest::string::string_regex(&upstream).unwrap();
            let revision = "[0-3](\\.[1-2])?(~deb1[23]u[1-2])?(\\+deb1[23]u[1-3])?(\\+b[1-3])?";
            ("([1-2]:)?", upstream, proptest::option::of(revision))
                .prop_map(|(e, u, r)| r.map_or_else(|| format!("{e}{u}"), |r| format!("{e}{u}-{r}")))
                .boxed()
        };
        prop_oneof![Just(""), Just("[a-p]"), Just("[a-p][1-3]")]
            .prop_flat_map(move |letter| (version(letter), version(letter)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn the_order_is_kept((a, b) in realistic()) {
            let (x, y): (Version, Version) = (a.parse().unwrap(), b.parse().unwrap());
            prop_assert_eq!(x.cmp(&y), evr(&x).cmp(&evr(&y)), "{} against {}", a, b);
        }

        #[test]
        fn a_mapped_version_is_one_that_rpm_takes(text in "([0-9]:)?[0-9][0-9a-z+.~-]{0,8}(-[0-9a-z+.~]{1,6})?") {
            if let Ok(version) = text.parse::<Version>() {
                let evr = evr(&version);
                prop_assert!(!evr.version.contains(['-', ':']) && !evr.release.contains(['-', ':']));
                prop_assert!(!evr.version.is_empty() && !evr.release.is_empty());
                prop_assert_eq!(evr.to_string().parse::<Evr>().unwrap().cmp(&evr), Ordering::Equal);
            }
        }
    }
}
