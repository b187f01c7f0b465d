use super::*;
use crate::index::parse_packages;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Packages from lines `name version; Field: value; ...`.
fn packages(lines: &str) -> Vec<BinaryPackage> {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let digest = "0".repeat(64);
        writeln!(
            text,
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {digest}"
        )
        .unwrap();
        for field in parts {
            writeln!(text, "{field}").unwrap();
        }
        text.push('\n');
    }
    parse_packages(text.as_bytes()).unwrap()
}

fn solve(lines: &str, wanted: &[&str]) -> Result<String, String> {
    let packages = packages(lines);
    let names = |all: Vec<&BinaryPackage>| {
        all.iter().map(|p| format!("{}={}", p.package, p.version)).collect::<Vec<_>>().join(" ")
    };
    closure(&Universe::new(&packages), wanted).map(names).map_err(|e| e.to_string())
}

#[test]
fn dependencies_of_dependencies_come_along_and_recommends_do_not() {
    let lines =
        "a 1; Depends: b; Pre-Depends: c\nb 1; Depends: a, d (>= 1); Recommends: e\nc 1\nd 2\ne 1\nf 1";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 b=1 c=1 d=2");
}

#[test]
fn the_newest_version_of_all_suites_wins_unless_a_relation_forbids_it() {
    let lines = "a 1\na 3\na 2\nb 1; Depends: a\nc 1; Depends: a (<< 3)";
    assert_eq!(solve(lines, &["b"]).unwrap(), "a=3 b=1");
    assert_eq!(solve(lines, &["c"]).unwrap(), "a=2 c=1");
    let error = solve(lines, &["a", "c"]).unwrap_err();
    assert_eq!(error, "c: nothing in the suites meets `a (<< 3)` (there is a 3)");
}

#[test]
fn the_first_alternative_is_taken_unless_another_is_there_already() {
    let lines = "a 1; Depends: x | y\nx 1\ny 1\nb 1; Depends: no | y";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 x=1");
    assert_eq!(solve(lines, &["a", "y"]).unwrap(), "a=1 y=1");
    assert_eq!(solve(lines, &["b"]).unwrap(), "b=1 y=1");
}

#[test]
fn virtual_packages_are_met_by_the_most_important_provider() {
    let lines = "a 1; Depends: mta\nm 1; Provides: mta\nz 1; Provides: mta; Priority: standard\nb 1; Depends: mta (>= 2)";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 z=1");
    assert_eq!(solve(lines, &["a", "m"]).unwrap(), "a=1 m=1");
    let error = solve(lines, &["b"]).unwrap_err();
    assert!(error.contains("meets `mta (>= 2)` (there is mta provided by z, mta provided by m)"), "{error}");
    let versioned = format!("{lines}\nv 1; Provides: mta (= 2), other (= 9)");
    assert_eq!(solve(&versioned, &["b"]).unwrap(), "b=1 v=1");
}

#[test]
fn a_real_package_goes_before_a_provider_even_of_an_earlier_alternative() {
    let lines = "a 1; Depends: virt | real\nreal 1\np 1; Provides: virt";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 real=1");
}

#[test]
fn packages_in_conflict_are_passed_over_or_explained() {
    let lines = "a 1; Depends: x | y; Conflicts: x\nx 1\ny 1\nb 1; Depends: a, c\nc 1; Depends: x\n\
                 awk1 1; Provides: awk; Conflicts: awk\nawk2 1; Provides: awk; Conflicts: awk\nold 1; Breaks: y (<< 1)";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 y=1");
    assert_eq!(
        solve(lines, &["b"]).unwrap_err(),
        "b -> a: a 1 (amd64) cannot be together with x 1 (amd64) (it conflicts with `x`)"
    );
    assert_eq!(solve(lines, &["awk1"]).unwrap(), "awk1=1");
    assert!(solve(lines, &["awk1", "awk2"]).unwrap_err().contains("awk2 1 (amd64)"));
    assert_eq!(solve(lines, &["old", "y"]).unwrap(), "old=1 y=1");
}

#[test]
fn an_unmet_dependency_is_explained_with_its_chain() {
    let lines = "a 1; Depends: b (>= 1)\nb 1; Depends: c\nc 1; Depends: d (>= 2) | e\nd 1";
    assert_eq!(
        solve(lines, &["a"]).unwrap_err(),
        "a -> b (for `b (>= 1)`) -> c: nothing in the suites meets `d (>= 2) | e` (there is d 1)"
    );
    assert_eq!(solve(lines, &["q"]).unwrap_err(), "nothing in the suites meets `q`");
    assert!(solve("a 1; Depends: b (1)", &["a"]).unwrap_err().starts_with("a: a 1 (amd64): `b (1)`"));
}

#[test]
fn other_architectures_are_never_there() {
    let lines = "a 1; Depends: b:any\nb 1\nc 1; Depends: b:i386";
    assert_eq!(solve(lines, &["a"]).unwrap(), "a=1 b=1");
    assert!(solve(lines, &["c"]).is_err());
}

proptest! {
    /// Random universes of a few packages whose every dependency exists.
    #[test]
    fn the_answer_is_closed_and_the_same_in_any_order(
        depends in proptest::collection::vec(proptest::collection::vec((0..12_usize, 0..12_usize), 0..4), 12),
        wanted in proptest::collection::vec(0..12_usize, 1..4),
        turn in 0..12_usize,
    ) {
        let lines: Vec<String> = depends.iter().enumerate().map(|(i, list)| {
            let list: Vec<String> = list.iter().map(|(a, b)| format!("p{a:02} | p{b:02}")).collect();
            if list.is_empty() { format!("p{i:02} 1") } else { format!("p{i:02} 1; Depends: {}", list.join(", ")) }
        }).collect();
        let wanted: Vec<String> = wanted.iter().map(|i| format!("p{i:02}")).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let answer = solve(&lines.join("\n"), &wanted).unwrap();
        let names: BTreeSet<&str> = answer.split(' ').map(|p| p.split_once('=').unwrap().0).collect();
        // Closed: every relation of every member holds, and everything wanted is there.
        for name in &wanted {
            prop_assert!(names.contains(name));
        }
        for (i, list) in depends.iter().enumerate() {
            if names.contains(format!("p{i:02}").as_str()) {
                for (a, b) in list {
                    let met = [a, b].iter().any(|n| names.contains(format!("p{n:02}").as_str()));
                    prop_assert!(met, "p{i:02} lacks p{a:02} | p{b:02} in {}", answer);
                }
            }
        }
        // Stable: the same in any order of universe and request.
        let mut turned = lines.clone();
        turned.rotate_left(turn);
        let mut back = wanted.clone();
        back.reverse();
        prop_assert_eq!(solve(&turned.join("\n"), &back).unwrap(), answer);
    }
}
