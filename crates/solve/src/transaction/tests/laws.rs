//! Laws of plans, and plans compared with those of an oracle that tries everything.

use super::*;
use crate::formula::Formula;
use crate::pool::Pool;
use crate::tests::laws::{check_consistent, dependency, packages, some_package};
use crate::universe::List;
use proptest::prelude::*;

/// A universe, what of it was there when the system was installed, and what was installed then.
#[derive(Debug, Clone)]
struct Case {
    texts: Vec<String>,
    old: Vec<bool>,
    installed: Vec<String>,
}

impl Case {
    /// The packages and a consistent system.
    fn build(&self) -> (Vec<Package>, Machine) {
        let mut all = packages(&self.texts);
        let mut seen = BTreeSet::new();
        all.retain(|package| seen.insert(package.nevra.clone()));
        let mut old: Vec<Package> = Vec::new();
        for (place, package) in all.iter().enumerate() {
            if self.old.get(place).copied().unwrap_or(false) {
                old.push(package.clone());
            }
        }
        let mut machine = Machine { packages: Vec::new(), files: Vec::new() };
        for name in &self.installed {
            let options = Options { weak: false, ..Options::default() };
            if let Ok(plan) = solve_transaction(&Packages::new(&old), &machine, &install(&[name]), &options) {
                machine.apply(&plan, &old);
            }
        }
        (all, machine)
    }
}

fn some_case(most: usize) -> impl Strategy<Value = Case> {
    (
        proptest::collection::vec(some_package(), 1..most),
        proptest::collection::vec(any::<bool>(), most),
        proptest::collection::vec("[a-h]".prop_map(String::from), 0..4),
    )
        .prop_map(|(texts, old, installed)| Case { texts, old, installed })
}

fn name() -> impl Strategy<Value = Select> {
    "[a-h]".prop_map(Select::Text)
}

fn some_job() -> impl Strategy<Value = Job> {
    let select = || prop_oneof![name().prop_map(Some), Just(None)];
    prop_oneof![
        4 => dependency().prop_map(|text| Job::Install(Select::Text(text))),
        2 => name().prop_map(Job::Remove),
        2 => (select(), any::<bool>()).prop_map(|(select, minimal)| Job::Upgrade { select, minimal, only: None }),
        1 => name().prop_map(Job::Downgrade),
        1 => name().prop_map(Job::Reinstall),
        1 => select().prop_map(Job::DistroSync),
        1 => (name(), name()).prop_map(|(remove, install)| Job::Swap { remove, install }),
        1 => Just(Job::Autoremove),
        1 => name().prop_map(|select| Job::Mark { select, keep: Keep::Dependency }),
    ]
}

fn some_options() -> impl Strategy<Value = Options> {
    any::<[bool; 6]>().prop_map(|[best, allow_erasing, skip_broken, weak, clean_requirements, obsoletes]| {
        Options {
            best,
            allow_erasing,
            skip_broken,
            skip_unavailable: true,
            weak,
            clean_requirements,
            obsoletes,
            ..Options::default()
        }
    })
}

fn run(
    all: &[Package],
    machine: &Machine,
    jobs: &[Job],
    options: &Options,
) -> Result<Plan, TransactionError> {
    solve_transaction(&Packages::new(all), machine, jobs, options)
}

/// The packages of a system as records, to be checked.
fn records<'p>(all: &'p [Package], machine: &Machine) -> Vec<&'p Package> {
    let of = |installed: &InstalledPackage| all.iter().find(|package| package.nevra == installed.nevra);
    machine.packages.iter().filter_map(of).collect()
}

/// Whether packages obsolete each other in a circle, by their names.
fn takes_turns(all: &[Package]) -> bool {
    let mut reach: BTreeSet<(&str, &str)> = all
        .iter()
        .flat_map(|p| p.obsoletes.iter().map(|o| (p.nevra.name.as_str(), o.name.as_str())))
        .filter(|(from, to)| from != to)
        .collect();
    loop {
        let more: Vec<_> = reach
            .iter()
            .flat_map(|&(from, by)| {
                reach.iter().filter(move |(via, _)| *via == by).map(move |&(_, to)| (from, to))
            })
            .filter(|pair| !reach.contains(pair))
            .collect();
        if more.is_empty() {
            return reach.iter().any(|(from, to)| from == to);
        }
        reach.extend(more);
    }
}

fn may_remove(jobs: &[Job], options: &Options) -> bool {
    options.allow_erasing
        || jobs.iter().any(|job| matches!(job, Job::Remove(_) | Job::Swap { .. } | Job::Autoremove))
}

fn may_lower(jobs: &[Job], options: &Options) -> bool {
    // The texts here give no versions of packages, only of dependencies, which allow no older ones.
    options.allow_erasing || jobs.iter().any(|job| matches!(job, Job::Downgrade(_) | Job::DistroSync(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_plan_leaves_behind_is_whole(
        case in some_case(16), jobs in proptest::collection::vec(some_job(), 1..4), options in some_options(),
    ) {
        let (all, mut machine) = case.build();
        check_consistent(&records(&all, &machine), &crate::Request::default())?;
        if let Ok(plan) = run(&all, &machine, &jobs, &options) {
            machine.apply(&plan, &all);
            check_consistent(&records(&all, &machine), &crate::Request::default())?;
        }
    }

    #[test]
    fn nothing_goes_or_gets_older_unless_a_job_or_option_says_so(
        case in some_case(16), jobs in proptest::collection::vec(some_job(), 1..4), options in some_options(),
    ) {
        let (all, machine) = case.build();
        let Ok(plan) = run(&all, &machine, &jobs, &options) else { return Ok(()) };
        for step in &plan.steps {
            match step.action {
                Action::Remove { .. } => prop_assert!(may_remove(&jobs, &options), "{}", show(&plan)),
                Action::Downgrade { .. } => prop_assert!(may_lower(&jobs, &options), "{}", show(&plan)),
                Action::Obsolete { by, .. } => {
                    let named = all[by.0 as usize].obsoletes.iter().any(|o| o.name == step.nevra.name);
                    prop_assert!(named, "obsoletes go by name: {}", show(&plan));
                }
                Action::Install { .. } | Action::Upgrade { .. } | Action::Reinstall { .. } => {}
            }
        }
    }

    #[test]
    fn the_same_jobs_again_do_nothing(case in some_case(16), job in some_job(), options in some_options()) {
        let again = matches!(job, Job::Install(_) | Job::Upgrade { minimal: false, .. } | Job::Autoremove);
        let (all, mut machine) = case.build();
        if takes_turns(&all) {
            return Ok(());
        }
        // Old versions that come as dependencies are not what the first upgrade was about but the second, which
        // fails where the best is insisted on.
        let other = !matches!(job, Job::Upgrade { .. });
        let options = Options { weak: options.weak && other, best: options.best && other, ..options };
        if let (true, Ok(plan)) = (again, run(&all, &machine, std::slice::from_ref(&job), &options)) {
            if options.skip_broken && !plan.problems.is_empty() {
                return Ok(()); // What was left out may be possible with what came instead.
            }
            machine.apply(&plan, &all);
            let second = run(&all, &machine, &[job], &options).expect("possible as before");
            prop_assert!(second.is_empty(), "first:\n{}\nsecond:\n{}", show(&plan), show(&second));
        }
    }

    #[test]
    fn the_order_of_packages_does_not_matter(
        case in some_case(12), jobs in proptest::collection::vec(some_job(), 1..4), options in some_options(),
        seed in any::<u64>(),
    ) {
        let (all, machine) = case.build();
        let mut shuffled = all.clone();
        shuffled.sort_by_key(|package| (seed ^ u64::from(package.checksum.as_bytes()[0]), package.checksum));
        let text = |all: &[Package]| match run(all, &machine, &jobs, &options) {
            Ok(plan) => show(&plan),
            Err(error) => error.to_string(),
        };
        prop_assert_eq!(text(&all), text(&shuffled));
    }

    #[test]
    fn removing_what_was_installed_gives_back_the_old_set(
        requires in proptest::collection::vec(proptest::collection::vec(0..12_usize, 0..3), 12),
        there in 0..12_usize, new in 0..12_usize,
    ) {
        let text: String = requires
            .iter()
            .enumerate()
            .map(|(n, list)| {
                let list: String = list.iter().map(|other| format!("Requires: p{other}\n")).collect();
                format!("p{n}-1-1.noarch\n{list}\n")
            })
            .collect();
        let all = universe(&text);
        let mut machine = Machine { packages: Vec::new(), files: Vec::new() };
        let options = Options::default();
        machine.apply(&run(&all, &machine, &install(&[&format!("p{there}")]), &options).expect("possible"), &all);
        let (before, keeps) = (machine.ids(), machine.packages.clone());
        let new = format!("p{new}");
        if before.iter().any(|id| id.starts_with(&format!("{new}-"))) {
            return Ok(());
        }
        machine.apply(&run(&all, &machine, &install(&[&new]), &options).expect("possible"), &all);
        machine.apply(&run(&all, &machine, &remove(&[&new]), &options).expect("possible"), &all);
        prop_assert_eq!(machine.ids(), before);
        prop_assert_eq!(machine.packages, keeps);
    }
}

/// All that could be, tried one by one.
struct Oracle<'o> {
    all: &'o [Package],
    installed: u32,
    whole: Vec<u32>,
}

impl<'o> Oracle<'o> {
    /// All consistent sets of packages; sets are bits by place.
    fn new(all: &'o [Package], machine: &Machine) -> Self {
        let universe = Packages::new(all);
        let pool = Pool::new(&universe, &[]);
        let index: Vec<Index> =
            (0..all.len()).map(|n| pool.of_id(crate::PackageId(n as u32)).expect("one each")).collect();
        let place = |wanted: Index| index.iter().position(|&i| i == wanted).expect("one of them");
        // Each rule is a formula with what it holds for.
        let mut rules: Vec<(usize, Formula, bool)> = Vec::new();
        for (n, &own) in index.iter().enumerate() {
            let of = |dependency| Formula::of(dependency, &pool).expect("understood");
            rules.extend(pool.list(own, List::Requires).iter().map(|d| (n, of(d), true)));
            rules.extend(pool.list(own, List::Conflicts).iter().map(|d| (n, of(d), false)));
            for obsolete in pool.list(own, List::Obsoletes) {
                rules.push((n, Formula::Any(pool.obsoleted(obsolete, own).into()), false));
            }
        }
        let whole = (0..1_u32 << all.len()).filter(|set| {
            let has = |n: usize| set >> n & 1 == 1;
            let names: BTreeSet<&str> =
                (0..all.len()).filter(|&n| has(n)).map(|n| all[n].nevra.name.as_str()).collect();
            names.len() == set.count_ones() as usize
                && rules.iter().filter(|(n, ..)| has(*n)).all(|(n, formula, positive)| {
                    let inside = |i: Index| has(place(i)) && (*positive || place(i) != *n);
                    formula.holds(&inside) == *positive
                })
        });
        let whole = whole.collect();
        let bit = |n: usize| u32::from(machine.packages.iter().any(|p| p.nevra == all[n].nevra)) << n;
        Self { all, installed: (0..all.len()).map(bit).sum(), whole }
    }

    fn members(&self, set: u32) -> impl Iterator<Item = usize> {
        (0..self.all.len()).filter(move |n| set >> n & 1 == 1)
    }

    /// The installed packages that are gone from a set without anything in their place.
    fn removed(&self, set: u32) -> u32 {
        let replaced = |old: usize| {
            self.members(set & !self.installed).any(|new| {
                let (new, old) = (&self.all[new], &self.all[old]);
                let obsoletes = |o: &Dependency| {
                    o.name == old.nevra.name
                        && o.name != new.nevra.name
                        && crate::version::Range::of(o).contains(&old.nevra.evr)
                };
                new.nevra.name == old.nevra.name || new.obsoletes.iter().any(obsoletes)
            })
        };
        self.members(self.installed & !set).filter(|&old| !replaced(old)).map(|old| 1 << old).sum()
    }

    /// The packages of a set that are older than the installed ones of their names.
    fn lowers(&self, set: u32) -> u32 {
        let older = |new: &usize| {
            let mut old = self.members(self.installed).map(|old| &self.all[old].nevra);
            old.any(|old| old.name == self.all[*new].nevra.name && old.evr > self.all[*new].nevra.evr)
        };
        self.members(set).filter(older).map(|new| 1 << new).sum()
    }

    /// The sets that a transaction may lead to which must not lower anything.
    fn reachable(&self, erasing: bool) -> Vec<u32> {
        let mut all = self.whole.clone();
        all.retain(|&set| erasing || (self.removed(set) == 0 && self.lowers(set) == 0));
        all
    }

    fn set_of(&self, machine: &Machine) -> u32 {
        let bit = |n: usize| u32::from(machine.packages.iter().any(|p| p.nevra == self.all[n].nevra)) << n;
        (0..self.all.len()).map(bit).sum()
    }

    fn show(&self, set: u32) -> String {
        self.members(set).map(|n| self.all[n].id()).collect::<Vec<_>>().join(" ")
    }
}

/// Whether `a` is a proper subset of `b`.
fn less(a: u32, b: u32) -> bool {
    a & !b == 0 && a != b
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_install_is_possible_when_it_is_and_touches_no_more_than_it_must(
        case in some_case(10), wanted in "[a-h]", erasing in any::<bool>(),
    ) {
        let (all, machine) = case.build();
        let oracle = Oracle::new(&all, &machine);
        let options = Options { weak: false, allow_erasing: erasing, ..Options::default() };
        let has = |set: u32| oracle.members(set).any(|n| all[n].nevra.name == wanted);
        let mut possible = oracle.reachable(erasing);
        possible.retain(|&set| has(set));
        if !all.iter().any(|package| package.nevra.name == wanted) {
            return Ok(());
        }
        match run(&all, &machine, &install(&[&wanted]), &options) {
            Err(error) => prop_assert!(
                possible.is_empty(), "{error}\nfrom {}\nto {}", oracle.show(oracle.installed), oracle.show(possible[0])
            ),
            Ok(plan) => {
                let mut after = Machine { packages: machine.packages.clone(), files: Vec::new() };
                after.apply(&plan, &all);
                let found = oracle.set_of(&after);
                prop_assert!(possible.contains(&found), "{}", show(&plan));
                let gone = |set: u32| oracle.installed & !set;
                // The best version of what is asked for comes before leaving others alone.
                let version = |set: u32| oracle.members(set).find(|&n| all[n].nevra.name == wanted);
                possible.retain(|&set| version(set) == version(found));
                for &other in &possible {
                    prop_assert!(
                        !less(oracle.removed(other), oracle.removed(found)),
                        "{}\nbut {} would do", show(&plan), oracle.show(other)
                    );
                    if oracle.removed(other) == oracle.removed(found) && oracle.lowers(other) == oracle.lowers(found) {
                        prop_assert!(
                            !less(gone(other), gone(found)), "{}\nbut {} would do", show(&plan), oracle.show(other)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_removal_takes_the_fewest(case in some_case(10), place in any::<prop::sample::Index>()) {
        let (all, mut machine) = case.build();
        if machine.packages.is_empty() {
            return Ok(());
        }
        let name = place.get(&machine.packages).nevra.name.clone();
        let oracle = Oracle::new(&all, &machine);
        let options = Options { clean_requirements: false, ..Options::default() };
        let plan = run(&all, &machine, &remove(&[&name]), &options).expect("nothing is protected");
        machine.apply(&plan, &all);
        let found = oracle.set_of(&machine);
        let without = |set: u32| {
            set & !oracle.installed == 0 && !oracle.members(set).any(|n| all[n].nevra.name == name)
        };
        for &other in oracle.whole.iter().filter(|&&set| without(set)) {
            prop_assert!(!less(found, other), "{}\nbut {} could stay", show(&plan), oracle.show(other));
        }
    }

    #[test]
    fn an_upgrade_leaves_nothing_behind_that_could_come_along(case in some_case(10)) {
        let (all, machine) = case.build();
        let oracle = Oracle::new(&all, &machine);
        let options = Options { weak: false, obsoletes: false, ..Options::default() };
        let plan = run(&all, &machine, &upgrade(), &options).expect("an upgrade can always do nothing");
        let mut after = Machine { packages: machine.packages.clone(), files: Vec::new() };
        after.apply(&plan, &all);
        let found = oracle.set_of(&after);
        prop_assert!(oracle.reachable(false).contains(&found), "{}", show(&plan));
        // Names whose best version is there.
        let best = |set: u32| -> BTreeSet<&str> {
            let top = |n: &usize| {
                let own = &all[*n].nevra;
                machine.packages.iter().any(|p| p.nevra.name == own.name)
                    && !all.iter().any(|other| other.nevra.name == own.name && other.nevra.evr > own.evr)
            };
            oracle.members(set).filter(top).map(|n| all[n].nevra.name.as_str()).collect()
        };
        // Obsoletes are out of it, so every name stays.
        let stays = |set: u32| {
            let there = |name: &str| oracle.members(set).any(|n| all[n].nevra.name == name);
            machine.packages.iter().all(|package| there(&package.nevra.name))
        };
        prop_assert!(stays(found), "{}", show(&plan));
        for other in oracle.reachable(false).into_iter().filter(|&set| stays(set)) {
            let (have, could) = (best(found), best(other));
            prop_assert!(
                !(have.is_subset(&could) && have != could), "{}\nbut {} would do", show(&plan), oracle.show(other)
            );
        }
    }
}
