//! What readers of advisories, and those who write `errata.toml`, may rely on.

use super::*;
use std::path::PathBuf;

fn source() -> Source {
    let distro = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../distro");
    Source::load(&distro).expect("the distribution of this checkout")
}

fn parse(text: &str) -> Result<Errata, String> {
    Errata::parse(&PathBuf::from("errata.toml"), text, &source()).map_err(|e| e.to_string())
}

const GOOD: &str = r#"
[severity]
CVE-2026-0001 = "critical"

[[advisory]]
id = "LAZ-2026-0001"
component = "kernel"
fixed-in = "6.12.95"
severity = "important"
title = "kernel: something"
cve = ["CVE-2026-0002"]
issued = "2026-11-23"
packages = ["kernel"]
"#;

#[test]
fn errata_of_our_own_are_checked_against_the_distribution() {
    let good = parse(GOOD).expect("reads");
    assert_eq!(good.advisory[0].kind, Kind::Security);
    for (from, to, why) in [
        ("issued =", "isued =", "did you mean `issued`"),
        ("component = \"kernel\"", "component = \"kernle\"", "did you mean `kernel`"),
        ("packages = [\"kernel\"]", "packages = [\"kernels\"]", "no package `kernels`"),
        ("2026-11-23", "23.11.2026", "not a date"),
        ("[\"CVE-2026-0002\"]", "[\"CVE-26-2\"]", "not an id like CVE"),
        ("CVE-2026-0001", "cve-2026-0001", "not an id like CVE"),
        ("\"critical\"", "\"catastrophic\"", "valid here: low, moderate, important, critical"),
        ("LAZ-2026-0001", "LAZ 1", "is not an id"),
        ("6.12.95", "6.12.95-1", "without epoch and release"),
    ] {
        let error = parse(&GOOD.replace(from, to)).expect_err(why);
        assert!(error.contains(why) && error.starts_with("errata.toml:"), "{error}");
    }
    let twice = GOOD.to_owned() + GOOD.split_once("\n\n").expect("two parts").1;
    assert!(parse(&twice).expect_err("twice").contains("there twice"));
}

#[test]
fn cve_ids_are_found_wherever_they_stand() {
    let text = "* d/p/CVE-2026-3784.patch: x\n  (CVE-2025-10148, CVE-2025-9086); CVE-2025-9086 again\n\
                CVE-2026-XXXX CVE-26-1234 CVE-2026-123 CVE- notCVE-2024-11111";
    let found: Vec<_> = cves_in(text).into_iter().collect();
    assert_eq!(found, ["CVE-2024-11111", "CVE-2025-10148", "CVE-2025-9086", "CVE-2026-3784"]);
}

fn change(suite: &str, texts: &[&str]) -> Change {
    let entry = |(n, text): (usize, &&str)| changelog::Entry {
        time: 0,
        name: format!("A <a@example.org> - 1:2.0-{}", n + 2),
        text: (*text).to_owned(),
    };
    Change {
        component: "x".to_owned(),
        from: Some("1:2.0-1".to_owned()),
        to: "1:2.0-4".to_owned(),
        suite: suite.to_owned(),
        entries: texts.iter().enumerate().map(entry).collect(),
    }
}

#[test]
fn a_cve_makes_a_security_update_and_the_suite_grades_it() {
    let own = parse(GOOD).expect("reads");
    let graded = |change: &Change| {
        let advisory = describe(change, &own, Vec::new(), 5);
        (advisory.kind.clone(), advisory.severity, advisory.cves().count())
    };
    let none = change("trixie", &["* typo"]);
    assert_eq!(graded(&none), (AdvisoryKind::Bugfix, None, 0));
    let point = change("trixie", &["* fix CVE-2026-1111"]);
    assert_eq!(graded(&point), (AdvisoryKind::Security, Some(Severity::Moderate), 1));
    let security = change("trixie-security", &["* fix CVE-2026-1111", "* fix CVE-2026-1112"]);
    assert_eq!(graded(&security), (AdvisoryKind::Security, Some(Severity::Important), 2));
    let unnamed = change("trixie-security", &["* fix a hole without a number"]);
    assert_eq!(graded(&unnamed), (AdvisoryKind::Security, Some(Severity::Important), 0));
    let ours = change("trixie", &["* fix CVE-2026-0001"]);
    assert_eq!(graded(&ours), (AdvisoryKind::Security, Some(Severity::Critical), 1), "errata.toml says so");
    let new = Change { from: None, ..change("trixie", &[]) };
    assert_eq!(graded(&new), (AdvisoryKind::NewPackage, None, 0));
    let advisory = describe(&security, &own, Vec::new(), 5);
    assert_eq!(advisory.id, "LAZ-x-1-2.0-4");
    assert_eq!(advisory.title, "x: update to 1:2.0-4 fixes 2 CVEs");
    assert!(advisory.description.starts_with("1:2.0-2\n* fix CVE-2026-1111\n\n1:2.0-3\n"));
    assert_eq!(advisory.issued, Some(5));
}

#[test]
fn versions_decide_which_entries_are_news() {
    for (version, than, newer) in [
        ("1.0-2", "1.0-1", true),
        ("1.0-1", "1.0-1+b1", false),
        ("1:0.1", "2.0", true),
        ("1~rc1", "1", false),
    ] {
        assert_eq!(is_newer(version, Some(than)), newer, "{version} than {than}");
    }
    assert!(is_newer("1", None));
}

#[test]
fn what_was_published_stays_until_its_version_says_otherwise() {
    let advisory = |id: &str, version: &str, title: &str, issued| Advisory {
        version: version.to_owned(),
        title: title.to_owned(),
        issued: Some(issued),
        ..Advisory::new(id, AdvisoryKind::Bugfix)
    };
    let before = vec![advisory("a", "1", "old", 1), advisory("b", "1", "old", 2)];
    let found =
        vec![advisory("a", "1", "new", 1), advisory("b", "2", "new", 2), advisory("c", "1", "new", 0)];
    let merged = merge(before, found);
    let titles: Vec<_> = merged.iter().map(|a| (a.id.as_str(), a.title.as_str())).collect();
    assert_eq!(titles, [("c", "new"), ("a", "old"), ("b", "new")]);
}
