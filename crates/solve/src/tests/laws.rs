//! Laws that hold for every universe and request.

use super::{Package, Request, Solution, ids, package, solve};
use crate::formula::Formula;
use crate::pool::Pool;
use crate::universe::{List, Packages, Universe};
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn dependency() -> impl Strategy<Value = String> {
    let name = "[a-h]";
    prop_oneof![
        6 => name.prop_map(String::from),
        3 => (name, prop_oneof![Just(">="), Just("<"), Just("=")], 1..4_u8).prop_map(|(n, op, v)| format!("{n} {op} {v}")),
        2 => (name, name).prop_map(|(a, b)| format!("({a} or {b})")),
        1 => (name, name).prop_map(|(a, b)| format!("({a} if {b})")),
        1 => (name, name, name).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
        1 => (name, name, name).prop_map(|(a, b, c)| format!("(({a} and {b}) or {c})")),
    ]
}

/// A package as text: that is what a failure should show.
pub(crate) fn some_package() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => dependency().prop_map(|d| format!("Requires: {d}")),
        2 => "[a-h]( = [1-3])?".prop_map(|d| format!("Provides: {d}")),
        1 => "[a-h]( < [1-3])?".prop_map(|d| format!("Conflicts: {d}")),
        1 => "\\([a-h] and [a-h]\\)".prop_map(|d| format!("Conflicts: {d}")),
        1 => "[a-h]( < [1-3])?".prop_map(|d| format!("Obsoletes: {d}")),
        2 => dependency().prop_map(|d| format!("Recommends: {d}")),
        1 => dependency().prop_map(|d| format!("Supplements: {d}")),
    ];
    ("[a-h]", 1..4_u8, proptest::collection::vec(line, 0..5))
        .prop_map(|(name, version, lines)| format!("{name}-{version}-1.noarch\n{}", lines.join("\n")))
}

/// One package of each name and version.
pub(crate) fn packages(texts: &[String]) -> Vec<Package> {
    let mut seen = BTreeSet::new();
    let mut sorted: Vec<&String> = texts.iter().collect();
    sorted.sort();
    let kept: BTreeSet<&String> =
        sorted.into_iter().filter(|text| seen.insert(text.lines().next().map(str::to_owned))).collect();
    texts.iter().filter(|text| kept.contains(text)).map(|text| package(text)).collect()
}

pub(crate) fn some_universe() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(some_package(), 1..20)
}

fn some_request() -> impl Strategy<Value = Request> {
    (proptest::collection::vec(dependency(), 1..4), any::<bool>()).prop_map(|(install, weak)| Request {
        install,
        weak,
        ..Request::default()
    })
}

fn outcome(universe: &[String], request: &Request) -> Result<Vec<String>, String> {
    solve(&packages(universe), request).map(|solution| ids(&solution)).map_err(|error| error.to_string())
}

/// Every requirement holds among exactly these packages, and nothing conflicts.
pub(crate) fn check_consistent(chosen: &[&Package], request: &Request) -> Result<(), TestCaseError> {
    let owned: Vec<Package> = chosen.iter().map(|package| (*package).clone()).collect();
    let asked: Vec<_> = request.install.iter().map(|text| crate::parse(text).expect("parses")).collect();
    let universe = Packages::new(&owned);
    let pool = Pool::new(&universe, &asked);
    let installed = |_| true;
    for dependency in &asked {
        prop_assert!(
            Formula::of(dependency, &pool).expect("understood").holds(&installed),
            "asked {dependency}"
        );
    }
    let mut names = BTreeSet::new();
    for package in &owned {
        let at = |id| pool.of_id(id).filter(|&index| pool.package(index).nevra == package.nevra);
        let index = universe.named(&package.nevra.name).into_iter().find_map(at).expect("is there");
        prop_assert!(pool.list(index, List::Requires) == package.requires);
        prop_assert!(names.insert(&package.nevra.name), "{} twice", package.nevra.name);
        for dependency in &package.requires {
            let formula = Formula::of(dependency, &pool).expect("understood");
            prop_assert!(formula.holds(&installed), "{} requires {dependency}", package.id());
        }
        for dependency in &package.conflicts {
            let formula = Formula::of(dependency, &pool).expect("understood");
            prop_assert!(!formula.holds(&|other| other != index), "{} conflicts {dependency}", package.id());
        }
        for dependency in &package.obsoletes {
            prop_assert!(
                pool.obsoleted(dependency, index).is_empty(),
                "{} obsoletes {dependency}",
                package.id()
            );
        }
    }
    Ok(())
}

/// Whether some subset of the universe meets the request: the slow and obvious way.
fn is_possible(universe: &[Package], request: &Request) -> bool {
    (0..1_u32 << universe.len()).any(|subset| {
        let chosen: Vec<&Package> = (0..)
            .zip(universe)
            .filter(|(place, _)| subset >> place & 1 == 1)
            .map(|(_, package)| package)
            .collect();
        check_consistent(&chosen, request).is_ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_solution_meets_every_requirement_and_contains_no_conflict(
        universe in some_universe(), request in some_request(),
    ) {
        let universe = packages(&universe);
        if let Ok(solution) = solve(&universe, &request) {
            check_consistent(&solution.packages, &request)?;
        }
    }

    #[test]
    fn the_order_of_packages_does_not_matter(
        (universe, shuffled) in some_universe().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        request in some_request(),
    ) {
        prop_assert_eq!(outcome(&universe, &request), outcome(&shuffled, &request));
    }

    #[test]
    fn weak_dependencies_only_add(universe in some_universe(), request in some_request()) {
        let hard = outcome(&universe, &Request { weak: false, ..request.clone() });
        let weak = outcome(&universe, &Request { weak: true, ..request });
        match (hard, weak) {
            (Ok(hard), Ok(weak)) => prop_assert!(hard.iter().all(|id| weak.contains(id)), "{hard:?} {weak:?}"),
            (hard, weak) => prop_assert_eq!(hard, weak),
        }
    }

    #[test]
    fn every_package_has_a_reason_that_leads_to_the_request(universe in some_universe(), request in some_request()) {
        let universe = packages(&universe);
        if let Ok(solution) = solve(&universe, &request) {
            let solution: Solution<'_> = solution;
            for package in &solution.packages {
                prop_assert!(solution.why(&package.nevra.name).is_some());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_refused_only_if_no_choice_of_packages_meets_it(
        universe in proptest::collection::vec(some_package(), 1..9), request in some_request(),
    ) {
        let universe = packages(&universe);
        if solve(&universe, &request).is_err() {
            prop_assert!(!is_possible(&universe, &request));
        }
    }
}
