//! What options, marks and repositories change about a plan.

use super::*;

#[test]
fn versions_go_back_only_when_asked_to() {
    let installed = "a-2-1.noarch\n\n a-libs-2-1.noarch\n Requires: a = 2";
    let available = "a-1-1.noarch\n\n a-0-1.noarch\n\n a-libs-1-1.noarch\n Requires: a = 1\n\n \
                     old-1-1.noarch\n Requires: a < 2";
    assert_snapshot!(planned(installed, available, &[Job::Downgrade(text("a"))]), @r"
    downgrade a-1-1 from a-2-1 [user]: an earlier version
    downgrade a-libs-1-1 from a-libs-2-1 [user]: requires a = 2, which is there no more
    ");
    assert_snapshot!(planned(installed, available, &install(&["old"])), @r"
    error: `old` cannot be had:
        old-1-1 requires a < 2
        a-1-1 cannot be chosen: it is older than a-2-1, which is installed
        a-0-1 would do instead, but it is older than a-2-1, which is installed
      try: allow that package, add another one that can take its place, or leave out `old`
      or: with --allowerasing it can be done; that would make older a-2-1, a-libs-2-1
    ");
    assert_snapshot!(planned(installed, available, &[Job::DistroSync(None)]), @r"
    downgrade a-1-1 from a-2-1 [user]: an earlier version
    downgrade a-libs-1-1 from a-libs-2-1 [user]: an earlier version
    ");
    assert_snapshot!(planned("a-1-1.noarch", available, &[Job::Downgrade(text("a-0"))]), @r"
    downgrade a-0-1 from a-1-1 [user]: an earlier version
    ");
    assert_snapshot!(planned("a-2-1.noarch", available, &install(&["a-1"])), @r"
    downgrade a-1-1 from a-2-1 [user]: asked for by `a-1`
    ");
    assert_snapshot!(planned("a-0-1.noarch", available, &[Job::Downgrade(text("a"))]), @r"
    note: there is no earlier version of a-0-1
    ");
}

#[test]
fn a_reinstall_needs_the_same_version() {
    assert_snapshot!(planned("a-1-1.noarch", "a-1-1.noarch\n\n a-2-1.noarch", &[Job::Reinstall(text("a"))]), @r"
    reinstall a-1-1 [user]: asked for
    ");
    assert_snapshot!(planned("a-1-1.noarch", "a-2-1.noarch", &[Job::Reinstall(text("a"))]), @r"
    error: a-1-1 cannot be reinstalled: no repository has it any more
    ");
}

#[test]
fn locks_and_exclusions_hold_versions() {
    let available = "a-2-1.noarch\n\n a-3-1.noarch";
    let lock = |package: &str, exclude| Options {
        locks: vec![Lock { package: package.to_owned(), exclude }],
        ..Options::default()
    };
    assert_snapshot!(planned_with("a-1-1.noarch", available, &upgrade(), &lock("a-0:1-1.*", false)), @r"
    nothing to do
    ");
    assert_snapshot!(planned_with("a-1-1.noarch", available, &upgrade(), &lock("a-2-*", false)), @r"
    upgrade a-2-1 from a-1-1 [user]: a better version
    ");
    assert_snapshot!(planned_with("a-1-1.noarch", available, &upgrade(), &lock("a-3-1.noarch", true)), @r"
    upgrade a-2-1 from a-1-1 [user]: a better version
    ");
    assert_snapshot!(planned_with("", available, &install(&["a"]), &lock("a-1-*", false)), @r"
    error: `a` cannot be had:
        a-3-1 cannot be chosen: `a` is locked to `a-1-*`
        a-2-1 would do instead, but `a` is locked to `a-1-*`
      try: allow that package, add another one that can take its place, or leave out `a`
    ");
    let exclude =
        vec![crate::Exclusion { package: "a*".to_owned(), reason: "by the configuration".to_owned() }];
    let options = Options { exclude, ..Options::default() };
    assert_snapshot!(planned_with("", available, &install(&["a"]), &options), @r"
    error: `a` cannot be had:
        a-3-1 cannot be chosen: it is excluded: by the configuration
        a-2-1 would do instead, but it is excluded: by the configuration
      try: allow that package, add another one that can take its place, or leave out `a`
    ");
    assert_snapshot!(planned_with("a-1-1.noarch", available, &upgrade(), &options), @r"
    nothing to do
    ");
}

#[test]
fn security_upgrades_leave_the_rest_alone() {
    let installed = "a-1-1.noarch\n\n b-1-1.noarch";
    let available = "a-2-1.noarch\n\n a-3-1.noarch\n\n b-2-1.noarch";
    let only = Some(vec![package("a-2-1.noarch").nevra]);
    let job = |minimal| vec![Job::Upgrade { select: None, minimal, only: only.clone() }];
    assert_snapshot!(planned(installed, available, &job(false)), @r"
    upgrade a-3-1 from a-1-1 [user]: a better version
    ");
    assert_snapshot!(planned(installed, available, &job(true)), @r"
    upgrade a-2-1 from a-1-1 [user]: a better version
    ");
}

#[test]
fn jobs_that_cannot_be_done_are_left_out_on_request() {
    let available = "a-1-1.noarch\n Requires: gone\n\n b-1-1.noarch";
    assert_snapshot!(planned("", available, &install(&["a", "b"])), @r"
    error: `a` cannot be had:
        a-1-1 requires gone
        nothing provides gone
      try: add a package that provides `gone`, or leave out `a`
      or: with --skip-broken the rest can be done without it
    ");
    let skip = Options { skip_broken: true, ..Options::default() };
    assert_snapshot!(planned_with("", available, &install(&["a", "b"]), &skip), @r"
    install b-1-1 [user]: asked for by `b`
    skip: `a` is left out
      `a` cannot be had:
          a-1-1 requires gone
          nothing provides gone
        try: add a package that provides `gone`, or leave out `a`
    ");
}

#[test]
fn what_is_excluded_from_weak_dependencies_comes_for_requirements_only() {
    let available = "a-1-1.noarch\n Recommends: b\n Recommends: (b or c)\n Recommends: d\n\n b-1-1.noarch\n\n \
                     c-1-1.noarch\n\n d-1-1.noarch\n Requires: lang-x\n\n lang-x-1-1.noarch\n\n \
                     lang-de-1-1.noarch\n Supplements: a";
    let exclude_from_weak = vec!["b".to_owned(), "lang-*".to_owned()];
    let options = Options { exclude_from_weak, ..Options::default() };
    assert_snapshot!(planned_with("", available, &install(&["a"]), &options), @r"
    install a-1-1 [user]: asked for by `a`
    install c-1-1 [weak-dependency]: recommended by a-1-1 ((b or c))
    install d-1-1 [weak-dependency]: recommended by a-1-1 (d)
    install lang-x-1-1 [dependency]: required by d-1-1 (lang-x)
    ");
    assert_snapshot!(planned_with("", available, &install(&["b"]), &options), @r"
    install b-1-1 [user]: asked for by `b`
    ");
}

#[test]
fn weak_dependencies_of_new_packages_come_and_do_not_come_back() {
    let available = "a-1-1.noarch\n Recommends: b\n\n b-1-1.noarch\n\n lang-1-1.noarch\n Supplements: (a and de)\n\n \
                     a-2-1.noarch\n Recommends: b\n Recommends: c\n\n c-1-1.noarch";
    assert_snapshot!(planned("de-1-1.noarch", available, &install(&["a"])), @r"
    install a-2-1 [user]: asked for by `a`
    install b-1-1 [weak-dependency]: recommended by a-2-1 (b)
    install c-1-1 [weak-dependency]: recommended by a-2-1 (c)
    install lang-1-1 [weak-dependency]: supplements (a and de)
    ");
    assert_snapshot!(planned("a-1-1.noarch\n Recommends: b", available, &upgrade()), @r"
    install c-1-1 [weak-dependency]: recommended by a-2-1 (c)
    upgrade a-2-1 from a-1-1 [user]: a better version
    ");
    assert_snapshot!(planned("a-2-1.noarch\n\n de-1-1.noarch", available, &install(&["b"])), @r"
    install b-1-1 [user]: asked for by `b`
    ");
    let none = Options { weak: false, ..Options::default() };
    assert_snapshot!(planned_with("de-1-1.noarch", available, &install(&["a"]), &none), @r"
    install a-2-1 [user]: asked for by `a`
    ");
}

#[test]
fn marks_change_why_a_package_is_there() {
    let jobs = [Job::Mark { select: text("a"), keep: Keep::Dependency }, Job::Autoremove];
    assert_snapshot!(planned("a-1-1.noarch\n\n b-1-1.noarch", "", &jobs[..1]), @r"
    mark a-1-1 [dependency]
    ");
    assert_snapshot!(planned("a-1-1.noarch\n\n b-1-1.noarch", "", &jobs), @r"
    remove a-1-1 [dependency]: needed by nothing any more
    ");
}

#[test]
fn what_is_broken_today_stands_in_nobodys_way() {
    let installed = "a-1-1.noarch\n Requires: gone\n Conflicts: b\n\n b-1-1.noarch";
    assert_snapshot!(planned(installed, "c-1-1.noarch", &install(&["c"])), @r"
    install c-1-1 [user]: asked for by `c`
    ");
}

#[test]
fn a_preferred_repository_comes_before_a_later_version() {
    let (ours, theirs) = (universe("a-1-1.noarch"), universe("a-2-1.noarch\n\n b-1-1.noarch\n Requires: a"));
    let (ours, theirs) = (Packages::new(&ours), Packages::new(&theirs));
    let member = |universe, id: &str, priority| Member { universe, id: id.to_owned(), priority, cost: 1000 };
    let all = Repositories::new([member(&theirs, "theirs", 99), member(&ours, "ours", 10)]);
    let plan = solve_transaction(&all, &machine(""), &install(&["b"]), &Options::default()).expect("a plan");
    assert_snapshot!(show(&plan), @r"
    install a-1-1.noarch [dependency]: required by b-1-1.noarch (a)
    install b-1-1.noarch [user]: asked for by `b`
    ");
    let Action::Install { package } = plan.steps[0].action else { panic!("an install") };
    assert_eq!(all.repository(package), "ours");
}

/// Nobody takes a name away from a repository that is preferred: neither by a later version nor by obsoleting it.
#[test]
fn a_preferred_repository_decides_about_upgrades_too() {
    let plan = |ours: &str, theirs: &str, installed: &str, priority| {
        let (ours, theirs) = (universe(ours), universe(theirs));
        let (ours, theirs) = (Packages::new(&ours), Packages::new(&theirs));
        let member =
            |universe, id: &str, priority| Member { universe, id: id.to_owned(), priority, cost: 1000 };
        let all = Repositories::new([member(&theirs, "theirs", 99), member(&ours, "ours", priority)]);
        show(&solve_transaction(&all, &machine(installed), &upgrade(), &Options::default()).expect("a plan"))
    };
    let theirs = "a-9-1.noarch\n\n b-1-1.noarch\n Obsoletes: a\n\n kernel-9-1.noarch";
    let installed = "a-1-1.noarch\n\n kernel-1-1.noarch";
    assert_eq!(plan("a-1-1.noarch\n\n kernel-1-1.noarch", theirs, installed, 10), "nothing to do");
    let newer = plan("a-2-1.noarch\n\n kernel-2-1.noarch", theirs, installed, 10);
    assert!(newer.contains("a-2-1") && newer.contains("kernel-2-1"), "{newer}");
    assert!(!newer.contains("-9-1") && !newer.contains("b-1-1"), "{newer}");
    // Equals compete, and what nobody else has may come from anywhere.
    assert!(plan("a-1-1.noarch", theirs, installed, 99).contains("b-1-1"));
    assert!(plan("c-1-1.noarch", theirs, installed, 10).contains("kernel-9-1"));
}

#[test]
fn only_what_is_needed_is_read() {
    use crate::universe::{List, PackageId, Size};
    use std::cell::RefCell;
    struct Counting<'c>(Packages<'c>, RefCell<BTreeSet<PackageId>>);
    impl Universe for Counting<'_> {
        fn count(&self) -> u32 {
            self.0.count()
        }
        fn nevra(&self, package: PackageId) -> lazuli_rpm::Nevra {
            self.1.borrow_mut().insert(package);
            self.0.nevra(package)
        }
        fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
            self.1.borrow_mut().insert(package);
            self.0.dependencies(package, list)
        }
        fn named(&self, name: &str) -> Vec<PackageId> {
            self.0.named(name)
        }
        fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
            self.0.providers(name)
        }
        fn owners(&self, path: &str) -> Vec<PackageId> {
            self.0.owners(path)
        }
        fn obsoleters(&self, name: &str) -> Vec<PackageId> {
            self.0.obsoleters(name)
        }
        fn supplementers(&self, name: &str) -> Vec<PackageId> {
            self.0.supplementers(name)
        }
        fn each_name(&self, _: &mut dyn FnMut(&str) -> bool) {
            panic!("all names are asked for");
        }
        fn each_provided_name(&self, _: &mut dyn FnMut(&str) -> bool) {
            panic!("all provided names are asked for");
        }
        fn size(&self, package: PackageId) -> Size {
            self.0.size(package)
        }
    }
    // A chain of ten among thousands of unrelated packages.
    let text: String = (0..5000)
        .map(|n| {
            format!(
                "p{n}-1-1.noarch\n{}\n",
                if n % 10 == 9 { String::new() } else { format!("Requires: p{}\n", n + 1) }
            )
        })
        .collect();
    let packages = universe(&text);
    let counting = Counting(Packages::new(&packages), RefCell::default());
    let plan =
        solve_transaction(&counting, &machine("p9-1-1.noarch"), &install(&["p20"]), &Options::default());
    assert_eq!(plan.expect("a plan").steps.len(), 10);
    assert_eq!(counting.1.borrow().len(), 11);
}
