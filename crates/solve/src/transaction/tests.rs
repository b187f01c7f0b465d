//! What people may rely on when a system changes.

use super::*;
use crate::tests::{package, universe};
use crate::universe::{Member, Packages, Repositories};
use insta::assert_snapshot;
use lazuli_repo::Package;

/// A system in memory.
pub(crate) struct Machine {
    pub(crate) packages: Vec<InstalledPackage>,
    files: Vec<(String, u32)>,
}

impl System for Machine {
    fn packages(&self) -> &[InstalledPackage] {
        &self.packages
    }

    fn owners(&self, path: &str) -> Vec<u32> {
        self.files.iter().filter(|(owned, _)| owned == path).map(|(_, hnum)| *hnum).collect()
    }
}

impl Machine {
    pub(crate) fn add(&mut self, package: &Package, keep: Keep) -> u32 {
        let hnum = self.packages.iter().map(|p| p.hnum).max().unwrap_or(0) + 1;
        self.files.extend(package.files.iter().map(|file| (file.path.clone(), hnum)));
        self.packages.push(InstalledPackage {
            hnum,
            nevra: package.nevra.clone(),
            keep,
            provides: package.provides.clone(),
            requires: package.requires.clone(),
            conflicts: package.conflicts.clone(),
            obsoletes: package.obsoletes.clone(),
            recommends: package.recommends.clone(),
            supplements: package.supplements.clone(),
            size: 1,
        });
        hnum
    }

    /// Carries out a plan.
    pub(crate) fn apply(&mut self, plan: &Plan, packages: &[Package]) {
        let mut come = Vec::new();
        for step in &plan.steps {
            let (new, old) = match step.action {
                Action::Install { package } => (Some(package), None),
                Action::Upgrade { package, from }
                | Action::Downgrade { package, from }
                | Action::Reinstall { package, from } => (Some(package), Some(from)),
                Action::Obsolete { installed, .. } | Action::Remove { installed } => (None, Some(installed)),
            };
            if let Some(old) = old {
                let count = self.packages.len();
                self.packages.retain(|package| package.hnum != old);
                assert_eq!(self.packages.len() + 1, count, "{old} goes once");
                self.files.retain(|(_, hnum)| *hnum != old);
            }
            come.extend(new.map(|new| (new, step.keep)));
        }
        for (new, keep) in come {
            self.add(&packages[new.0 as usize], keep);
        }
        for mark in &plan.marks {
            let package = self.packages.iter_mut().find(|package| package.hnum == mark.installed);
            package.expect("a marked package is there").keep = mark.keep;
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.packages.iter().map(|package| package.nevra.to_string()).collect();
        ids.sort();
        ids
    }
}

/// A system of packages; a line `Keep: dependency` or `Keep: weak` says why one is there.
fn machine(text: &str) -> Machine {
    let mut machine = Machine { packages: Vec::new(), files: Vec::new() };
    for block in blocks(text) {
        let keep = match block.lines().find_map(|line| line.strip_prefix("Keep: ")) {
            Some("dependency") => Keep::Dependency,
            Some("weak") => Keep::Weak,
            _ => Keep::User,
        };
        let rest: Vec<&str> = block.lines().filter(|line| !line.starts_with("Keep: ")).collect();
        machine.add(&package(&rest.join("\n")), keep);
    }
    machine
}

fn blocks(text: &str) -> Vec<String> {
    let stripped: Vec<&str> = text.lines().map(str::trim).collect();
    let blocks = stripped.join("\n");
    blocks
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
        .map(|block| block.trim().to_owned())
        .collect()
}

fn text(text: &str) -> Select {
    Select::text(text)
}

fn install(names: &[&str]) -> Vec<Job> {
    names.iter().map(|name| Job::Install(text(name))).collect()
}

fn remove(names: &[&str]) -> Vec<Job> {
    names.iter().map(|name| Job::Remove(text(name))).collect()
}

fn upgrade() -> Vec<Job> {
    vec![Job::Upgrade { select: None, minimal: false, only: None }]
}

fn upgrade_of(name: &str) -> Vec<Job> {
    vec![Job::Upgrade { select: Some(text(name)), minimal: false, only: None }]
}

/// A plan as a person would see it.
pub(crate) fn show(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for step in &plan.steps {
        let (verb, old) = match step.action {
            Action::Install { .. } => ("install", None),
            Action::Upgrade { .. } => ("upgrade", step.old.as_ref()),
            Action::Downgrade { .. } => ("downgrade", step.old.as_ref()),
            Action::Reinstall { .. } => ("reinstall", None),
            Action::Obsolete { .. } => ("obsolete", None),
            Action::Remove { .. } => ("remove", None),
        };
        let from = old.map(|old| format!(" from {old}")).unwrap_or_default();
        lines.push(format!("{verb} {}{from} [{}]: {}", step.nevra, step.keep.as_str(), step.why));
    }
    lines.extend(plan.marks.iter().map(|mark| format!("mark {} [{}]", mark.nevra, mark.keep.as_str())));
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    for skip in &plan.problems {
        lines.push(format!("skip: {}", skip.what));
        lines.extend(skip.explanation.as_ref().map(|e| format!("  {}", e.to_string().replace('\n', "\n  "))));
    }
    lines.extend(plan.skipped.iter().map(|s| format!("weak: {} {}", s.package, s.dependency)));
    if lines.is_empty() { "nothing to do".to_owned() } else { lines.join("\n") }
}

fn planned_with(installed: &str, available: &str, jobs: &[Job], options: &Options) -> String {
    let packages = universe(available);
    let machine = machine(installed);
    let text = match solve_transaction(&Packages::new(&packages), &machine, jobs, options) {
        Ok(plan) => {
            let mut after = machine;
            after.apply(&plan, &packages);
            show(&plan)
        }
        Err(error) => format!("error: {error}"),
    };
    text.replace(".noarch", "")
}

fn planned(installed: &str, available: &str, jobs: &[Job]) -> String {
    planned_with(installed, available, jobs, &Options::default())
}

const WEB: &str = "
    web-2-1.noarch
    Requires: libc >= 2
    Requires: ssl
    Recommends: docs

    docs-1-1.noarch

    libc-2-1.noarch

    libc-1-1.noarch

    openssl-1-1.noarch
    Provides: ssl";

#[test]
fn an_install_brings_what_is_missing_and_upgrades_what_must_be() {
    assert_snapshot!(planned("libc-1-1.noarch\n\n other-1-1.noarch", WEB, &install(&["web"])), @r"
    install docs-1-1 [weak-dependency]: recommended by web-2-1 (docs)
    install openssl-1-1 [dependency]: required by web-2-1 (ssl)
    install web-2-1 [user]: asked for by `web`
    upgrade libc-2-1 from libc-1-1 [user]: web-2-1 requires libc >= 2
    ");
}

#[test]
fn what_is_installed_stays_as_it_is_in_an_install() {
    let available = "a-2-1.noarch\n\n b-1-1.noarch\n Requires: a";
    assert_snapshot!(planned("a-1-1.noarch", available, &install(&["b"])), @r"
    install b-1-1 [user]: asked for by `b`
    ");
}

#[test]
fn what_is_there_already_is_said_to_be() {
    let installed = "a-1-1.noarch\n Keep: dependency\n\n b-1-1.noarch\n Requires: a";
    assert_snapshot!(planned(installed, "a-2-1.noarch\n\n a-1-1.noarch", &install(&["a"])), @r"
    mark a-1-1 [user]
    note: a-1-1 is already installed
    ");
    let best = Options { best: true, ..Options::default() };
    assert_snapshot!(planned_with(installed, "a-2-1.noarch\n\n a-1-1.noarch", &install(&["a"]), &best), @r"
    upgrade a-2-1 from a-1-1 [user]: asked for by `a`
    ");
}

#[test]
fn texts_name_packages_in_all_usual_ways() {
    let available = "a-1-1.noarch\n File: /usr/bin/a\n\n a-2-1.noarch\n\n ab-1-1.noarch\n\n \
                     c-1:3-1.x86_64\n Provides: virtual(c)";
    for (name, expected) in [
        ("a", "a-2-1"),
        ("a-1", "a-1-1"),
        ("a-1-1", "a-1-1"),
        ("a-1-1.noarch", "a-1-1"),
        ("a.noarch", "a-2-1"),
        ("a*", "a-2-1 ab-1-1"),
        ("a?", "ab-1-1"),
        ("a-1*", "a-1-1"),
        ("/usr/bin/a", "a-1-1"),
        ("c-1:3-1", "c-1:3-1.x86_64"),
        ("1:c-3-1.x86_64", "c-1:3-1.x86_64"),
        ("c-3", "c-1:3-1.x86_64"),
        ("virtual(c)", "c-1:3-1.x86_64"),
        ("virt*", "c-1:3-1.x86_64"),
        ("a < 2", "a-1-1"),
        ("(c and ab)", "ab-1-1 c-1:3-1.x86_64"),
    ] {
        let packages = universe(available);
        let system = machine("");
        let plan =
            solve_transaction(&Packages::new(&packages), &system, &install(&[name]), &Options::default());
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error}"));
        let ids: Vec<String> =
            plan.steps.iter().map(|step| step.nevra.to_string().replace(".noarch", "")).collect();
        assert_eq!(ids.join(" "), expected, "{name}");
    }
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    assert_snapshot!(planned("", WEB, &install(&["opensll", "weeb"])), @r"
    error: no package matches `opensll`; similar: openssl
    no package matches `weeb`; similar: web
    ");
    let skip = Options { skip_unavailable: true, ..Options::default() };
    assert_snapshot!(planned_with("", WEB, &install(&["weeb", "libc"]), &skip), @r"
    install libc-2-1 [user]: asked for by `libc`
    skip: no package matches `weeb`; similar: web
    ");
    assert_snapshot!(planned("a-1-1.noarch", WEB, &remove(&["web"])), @r"
    error: no installed package matches `web`
    ");
}

#[test]
fn an_upgrade_takes_the_best_that_goes_together() {
    let installed = "a-1-1.noarch\n\n b-1-1.noarch\n Requires: a < 3\n\n c-1-1.noarch";
    let available = "a-2-1.noarch\n\n a-3-1.noarch\n\n c-2-1.noarch\n Requires: d\n\n d-1-1.noarch";
    assert_snapshot!(planned(installed, available, &upgrade()), @r"
    install d-1-1 [dependency]: required by c-2-1 (d)
    upgrade a-2-1 from a-1-1 [user]: a better version
    upgrade c-2-1 from c-1-1 [user]: a better version
    skip: a-3-1 is held back
      `a-3-1` does not go together with what is installed:
        1. `a-3-1` is an upgrade
        2. `b-1-1` is installed
           b-1-1 requires a < 3
        but a-1-1 and a-3-1 are versions of one package; only one can be installed
    ");
    let best = Options { best: true, ..Options::default() };
    assert_snapshot!(planned_with(installed, available, &upgrade(), &best), @r"
    error: `a-3-1` does not go together with what is installed:
      1. `a-3-1` is an upgrade
      2. `b-1-1` is installed
         b-1-1 requires a < 3
      but a-1-1 and a-3-1 are versions of one package; only one can be installed
      or: with --nobest an earlier version can be had
      or: with --allowerasing it can be done; that would remove b-1-1
    ");
    assert_snapshot!(planned(installed, available, &upgrade_of("c")), @r"
    install d-1-1 [dependency]: required by c-2-1 (d)
    upgrade c-2-1 from c-1-1 [user]: a better version
    ");
    assert_snapshot!(planned(installed, available, &upgrade_of("d")), @r"
    error: `d` is not installed
    ");
}

#[test]
fn an_install_that_needs_a_removal_says_so_and_does_it_when_allowed() {
    let installed = "mail-1-1.noarch\n Provides: mta\n\n cron-1-1.noarch\n Requires: mta\n\n \
                     report-1-1.noarch\n Requires: mail";
    let available = "post-1-1.noarch\n Provides: mta\n Conflicts: mail";
    assert_snapshot!(planned(installed, available, &install(&["post"])), @r"
    error: `post` does not go together with what is installed:
      1. `post` is asked for
      2. `mail-1-1` is installed
      but post-1-1 conflicts with mail, and mail-1-1 provides that
      try: leave out `post`, or add versions that go together
      or: with --allowerasing it can be done; that would remove mail-1-1, report-1-1
    ");
    let erasing = Options { allow_erasing: true, ..Options::default() };
    assert_snapshot!(planned_with(installed, available, &install(&["post"]), &erasing), @r"
    install post-1-1 [user]: asked for by `post`
    remove mail-1-1 [user]: post-1-1 conflicts with mail
    remove report-1-1 [user]: requires mail, which is there no more
    ");
    let swap = vec![Job::Swap { remove: text("mail"), install: text("post") }];
    assert_snapshot!(planned(installed, available, &swap), @r"
    install post-1-1 [user]: asked for by `post`
    remove mail-1-1 [user]: asked for by `mail`
    remove report-1-1 [user]: requires mail, which is there no more
    ");
}

#[test]
fn a_removal_takes_dependents_and_what_only_they_needed() {
    let installed = "app-1-1.noarch\n Requires: lib\n\n \
                     lib-1-1.noarch\n Keep: dependency\n Requires: base\n\n \
                     base-1-1.noarch\n Keep: dependency\n Recommends: extra\n\n \
                     extra-1-1.noarch\n Keep: weak\n\n \
                     orphan-1-1.noarch\n Keep: dependency\n\n \
                     mine-1-1.noarch\n Recommends: extra";
    assert_snapshot!(planned(installed, "", &remove(&["app"])), @r"
    remove app-1-1 [user]: asked for by `app`
    remove base-1-1 [dependency]: needed by nothing any more
    remove lib-1-1 [dependency]: needed by nothing any more
    ");
    assert_snapshot!(planned(installed, "", &remove(&["lib"])), @r"
    remove app-1-1 [user]: requires lib, which is there no more
    remove base-1-1 [dependency]: needed by nothing any more
    remove lib-1-1 [dependency]: asked for by `lib`
    ");
    let plain = Options { clean_requirements: false, ..Options::default() };
    assert_snapshot!(planned_with(installed, "", &remove(&["app"]), &plain), @r"
    remove app-1-1 [user]: asked for by `app`
    ");
    assert_snapshot!(planned(installed, "", &[Job::Autoremove]), @r"
    remove orphan-1-1 [dependency]: needed by nothing any more
    ");
    let both = [remove(&["app", "mine"]), vec![Job::Autoremove]].concat();
    assert_snapshot!(planned(installed, "", &both), @r"
    remove app-1-1 [user]: asked for by `app`
    remove base-1-1 [dependency]: needed by nothing any more
    remove extra-1-1 [weak-dependency]: needed by nothing any more
    remove lib-1-1 [dependency]: needed by nothing any more
    remove mine-1-1 [user]: asked for by `mine`
    remove orphan-1-1 [dependency]: needed by nothing any more
    ");
}

#[test]
fn a_removal_installs_nothing() {
    let installed = "app-1-1.noarch\n Requires: (x or y)\n\n x-1-1.noarch";
    assert_snapshot!(planned(installed, "y-1-1.noarch", &remove(&["x"])), @r"
    remove app-1-1 [user]: requires (x or y), which is there no more
    remove x-1-1 [user]: asked for by `x`
    ");
}

#[test]
fn protected_packages_and_the_running_kernel_stay() {
    let installed = "init-1-1.noarch\n Requires: libc\n\n libc-1-1.noarch\n\n kernel-5-1.noarch";
    let running = Some(3);
    let options =
        Options { protected: vec!["init".to_owned()], running_kernel: running, ..Options::default() };
    assert_snapshot!(planned_with(installed, "", &remove(&["init"]), &options), @r"
    error: init-1-1 is not removed: it is protected
    ");
    assert_snapshot!(planned_with(installed, "", &remove(&["libc"]), &options), @r"
    error: init-1-1 would have to go, but it is protected:
    `init-1-1` cannot stay:
        init-1-1 requires libc
        libc-1-1 cannot be chosen: it is to be removed
    ");
    assert_snapshot!(planned_with(installed, "", &remove(&["kernel"]), &options), @r"
    error: kernel-5-1 is not removed: it is the running kernel
    ");
}

#[test]
fn of_protected_kernels_the_running_one_or_else_the_newest_is_meant() {
    let (installed, newer) =
        ("kernel-1-1.noarch\n\n kernel-2-1.noarch\n\n kernel-3-1.noarch", "kernel-4-1.noarch");
    let options = |running| Options {
        protected: vec!["kernel".to_owned()],
        running_kernel: running,
        ..Options::default()
    };
    assert_snapshot!(planned_with(installed, newer, &upgrade(), &options(Some(1))), @r"
    install kernel-4-1 [user]: a better version
    remove kernel-2-1 [user]: only 3 versions of kernel are kept
    ");
    assert_snapshot!(planned_with(installed, "", &remove(&["kernel-3-1"]), &options(Some(1))), @r"
    remove kernel-3-1 [user]: asked for by `kernel-3-1`
    ");
    assert_snapshot!(planned_with(installed, newer, &upgrade(), &options(None)), @r"
    install kernel-4-1 [user]: a better version
    remove kernel-1-1 [user]: only 3 versions of kernel are kept
    ");
    assert_snapshot!(planned_with(installed, "", &remove(&["kernel"]), &options(None)), @r"
    error: kernel-3-1 is not removed: it is protected
    ");
}

#[test]
fn kernels_are_installed_side_by_side_and_the_oldest_goes() {
    let kernels = |versions: &[u8]| -> String {
        let one = |v: &u8| {
            format!(
                "kernel-{v}-1.noarch\n\n kernel-modules-{v}-1.noarch\n Requires: kernel = {v}-1\n Provides: installonlypkg(kernel-module)\n\n"
            )
        };
        versions.iter().map(one).collect()
    };
    assert_snapshot!(planned(&kernels(&[1, 2]), &kernels(&[1, 2, 3]), &upgrade()), @r"
    install kernel-3-1 [user]: a better version
    install kernel-modules-3-1 [user]: a better version
    ");
    assert_snapshot!(planned(&kernels(&[1, 2, 3]), &kernels(&[4, 3]), &upgrade()), @r"
    install kernel-4-1 [user]: a better version
    install kernel-modules-4-1 [user]: a better version
    remove kernel-1-1 [user]: only 3 versions of kernel are kept
    remove kernel-modules-1-1 [user]: only 3 versions of kernel-modules are kept
    ");
    let running = Options { running_kernel: Some(1), ..Options::default() };
    assert_snapshot!(planned_with(&kernels(&[1, 2, 3]), &kernels(&[4]), &upgrade(), &running), @r"
    install kernel-4-1 [user]: a better version
    install kernel-modules-4-1 [user]: a better version
    remove kernel-2-1 [user]: only 3 versions of kernel are kept
    remove kernel-modules-2-1 [user]: only 3 versions of kernel-modules are kept
    ");
    let driver = format!("{}driver-1-1.noarch\n Requires: kernel = 1", kernels(&[1, 2, 3]));
    assert_snapshot!(planned(&driver, &kernels(&[4]), &upgrade()), @r"
    install kernel-4-1 [user]: a better version
    install kernel-modules-4-1 [user]: a better version
    note: old versions that driver-1-1 requires stay
    ");
}

#[test]
fn obsoletes_replace_in_upgrades_and_keep_the_reason() {
    let installed = "old-1-1.noarch\n\n split-1-1.noarch";
    let available = "new-1-1.noarch\n Obsoletes: old < 2\n Provides: old = 2\n\n \
                     split-2-1.noarch\n\n split-extra-2-1.noarch\n Obsoletes: split < 2\n\n \
                     virtual-1-1.noarch\n Obsoletes: gone";
    assert_snapshot!(planned(installed, available, &upgrade()), @r"
    install new-1-1 [user]: replaces old-1-1
    install split-extra-2-1 [user]: replaces split-1-1
    upgrade split-2-1 from split-1-1 [user]: a better version
    obsolete old-1-1 [user]: obsoleted by new-1-1
    ");
    let without = Options { obsoletes: false, ..Options::default() };
    assert_snapshot!(planned_with(installed, available, &upgrade(), &without), @r"
    upgrade split-2-1 from split-1-1 [user]: a better version
    ");
    assert_snapshot!(planned(installed, available, &install(&["new"])), @r"
    install new-1-1 [user]: asked for by `new`
    obsolete old-1-1 [user]: obsoleted by new-1-1
    ");
}

mod laws;
mod settings;
