//! What scripts, Dockerfiles and people who know dnf or yum type.

mod support;

use lazuli_fs as fs;
use lazuli_repo::updateinfo::Severity;
use support::{World, advisory, package};

fn world() -> World {
    World::with(vec![
        package("app", "1").requires("lib").recommends("extra"),
        package("lib", "1"),
        package("lib", "2"),
        package("extra", "1"),
        package("kernel", "1").provides("installonlypkg(kernel)"),
        package("kernel", "2").provides("installonlypkg(kernel)"),
        package("kernel", "3").provides("installonlypkg(kernel)"),
        package("kernel", "4").provides("installonlypkg(kernel)"),
    ])
}

#[test]
fn what_does_not_exist_here_is_said_and_what_does_instead() {
    let world = world();
    for (args, hint) in [
        (vec!["module", "enable", "-y", "nodejs:18"], "modules do not exist"),
        (vec!["shell"], "`swap` replaces"),
        (vec!["system-upgrade", "download", "--releasever=41"], "next boot"),
        (vec!["copr", "enable", "a/b"], "config-manager --add-repo"),
        (vec!["instal", "app"], "did you mean `install`"),
    ] {
        let run = world.run_as("dnf", &args, "").fails();
        assert_eq!(run.status, 1, "{args:?}");
        assert!(run.err.contains(&format!("No such command: {}", args[0])), "{}", run.err);
        assert!(run.err.contains(hint), "{}", run.err);
    }
    let tdnf = world.run_as("tdnf", &["module", "list"], "").fails();
    assert!(tdnf.err.starts_with("Error(902) : No such command"), "{}", tdnf.err);
    assert_eq!(tdnf.status, 902 % 256);
}

#[test]
fn command_lines_of_dockerfiles_work() {
    let world = world();
    let run = |args: &[&str]| world.run_as("dnf", args, "").ok();
    run(&["-y", "install", "--setopt=install_weak_deps=False", "--nodocs", "app"]);
    assert_eq!(world.installed(), "app-1-1.noarch lib-2-1.noarch");
    assert_eq!(run(&["-y", "-q", "install", "app"]).out, "", "quiet");
    run(&["-y", "update", "--disableplugin=subscription-manager", "--noplugins", "--exclude=kernel*"]);
    run(&["-y", "--setopt=tsflags=nodocs", "--no-docs", "--allowerasing", "reinstall", "lib"]);
    run(&["clean", "all"]);
    run(&["-y", "autoremove"]);
    world.run_as("microdnf", &["install", "-y", "extra"], "").ok();
    world.run_as("yum", &["-y", "localinstall", "kernel"], "").ok();
    world.run_as("yum", &["makecache", "fast"], "").ok();
    world.run_as("tdnf", &["install", "-y", "--refresh", "extra"], "").ok();
}

#[test]
fn queries_of_scripts_work() {
    let world = world();
    world.yes(&["install", "lib-1"]).ok();
    let out = |args: &[&str]| world.run_as("dnf", args, "").ok().out;
    assert_eq!(out(&["repoquery", "--latest-limit", "1", "--qf", "%{name} %{version}", "lib"]), "lib 2\n");
    assert_eq!(out(&["repoquery", "--latest-limit=-1", "--qf", "%{nvr}\n", "lib"]), "lib-1-1\n");
    assert_eq!(out(&["repoquery", "-q", "-a", "--nvr", "app"]), "app-1-1\n");
    assert_eq!(out(&["repoquery", "--envra", "app"]), "0:app-1-1.noarch\n");
    assert_eq!(
        out(&["repoquery", "--qf", "%{reponame}|%{source_debug_name}", "app"]),
        "base|app-debuginfo\n"
    );
    assert!(out(&["repoquery", "--deplist", "app"]).contains("   provider: lib-2-1.noarch"));
    assert_eq!(out(&["repoquery", "--requires", "--resolve", "app"]), "lib-0:2-1.noarch\n");
    assert_eq!(out(&["-q", "list", "--installed", "lib"]), "lib.noarch 1-1 @base\n");
    assert!(out(&["download", "--url", "--urlprotocol", "file", "app"]).starts_with("file://"));
    let wrong = world.run_as("dnf", &["download", "--url", "--urlprotocols=https", "app"], "").fails();
    assert!(wrong.err.contains("--urlprotocol"), "{}", wrong.err);
    let arch = world.run_as("dnf", &["download", "--url", "--arch", "x86_64", "app"], "").fails();
    assert!(arch.err.contains("app"), "{}", arch.err);
    world.run_as("dnf", &["mark", "weak", "lib"], "").ok();
    assert_eq!(out(&["repoquery", "--installed", "--qf", "%{reason}", "lib"]).trim(), "weak-dependency");
}

#[test]
fn a_question_is_not_asked_without_the_plan() {
    let world = world();
    let run = world.run_as("dnf", &["-q", "install", "app"], "n\n").fails();
    assert!(run.out.contains("Installing dependencies:"), "{}", run.out);
    assert_eq!(world.run_as("dnf", &["-q", "-y", "install", "app"], "").ok().out, "");
}

#[test]
fn advisories_by_kind_as_words() {
    let world = World::new();
    let fix = advisory("LZSA-1", Severity::Critical, "CVE-2026-1", "lib", "2");
    let mut bug = advisory("LZBA-2", Severity::Low, "CVE-2026-2", "lib", "2");
    bug.kind = lazuli_repo::updateinfo::AdvisoryKind::Bugfix;
    world.publish("base", vec![package("lib", "1"), package("lib", "2")], vec![fix, bug]);
    world.add_repo("base");
    world.yes(&["install", "lib-1"]).ok();
    let out = |args: &[&str]| world.run_as("dnf", args, "").ok().out;
    assert_eq!(out(&["updateinfo", "list"]).lines().count(), 2);
    for args in [["updateinfo", "list", "security"], ["updateinfo", "list", "sec"]] {
        let text = out(&args);
        assert!(text.contains("LZSA-1") && !text.contains("LZBA-2"), "{text}");
    }
    assert!(out(&["updateinfo", "list", "cves"]).contains("CVE-2026-1"));
    assert_eq!(out(&["updateinfo", "list", "--newpackage"]), "");
}

#[test]
fn kernels_stand_side_by_side_and_the_oldest_goes() {
    let world = world();
    for version in ["1", "2", "3", "4"] {
        world.yes(&["install", &format!("kernel-{version}")]).ok();
    }
    assert_eq!(world.installed(), "kernel-2-1.noarch kernel-3-1.noarch kernel-4-1.noarch");
    world.yes(&["--setopt=installonly_limit=2", "upgrade"]).ok();
    world.yes(&["remove", "--oldinstallonly"]).ok();
    assert_eq!(world.installed(), "kernel-4-1.noarch");
}

#[test]
fn repositories_are_added_as_dnf_does_it() {
    let world = world();
    let repo = |id: &str| world.root().join(format!("etc/yum.repos.d/{id}.repo"));
    let file = world.path().join("docker-ce.repo");
    fs::write(
        &file,
        "[docker-ce]\nname=Docker\nbaseurl=https://d.example/$releasever\ngpgkey=https://d.example/gpg\n",
    )
    .expect("a file");
    let url = format!("file://{}", file.display());
    let run = world.run_as("dnf", &["config-manager", "--add-repo", &url], "").ok();
    assert!(run.out.contains("docker-ce") && run.out.contains("https://d.example/gpg"), "{}", run.out);
    assert!(repo("docker-ce").exists());
    // Again is fine; dnf5's way wants to be asked to change it.
    world.run_as("dnf", &["config-manager", "--add-repo", &url], "").ok();
    fs::write(&file, "[docker-ce]\nname=Other\nbaseurl=https://d.example/2\n").expect("a file");
    let from = format!("--from-repofile={url}");
    let refused = world.run_as("dnf5", &["config-manager", "addrepo", &from], "").fails();
    assert!(refused.err.contains("--overwrite"), "{}", refused.err);
    world.run_as("dnf5", &["config-manager", "addrepo", &from, "--overwrite"], "").ok();
    assert!(fs::read_to_string(repo("docker-ce")).expect("a file").contains("Other"));
    world
        .run_as("dnf5", &["config-manager", "addrepo", "--id=mine", "--set=baseurl=https://m.example"], "")
        .ok();
    assert!(
        fs::read_to_string(repo("mine")).expect("a file").contains("[mine]\nbaseurl=https://m.example\n")
    );
    // Plain text on its way could be anybody's; a page that is no .repo file describes nothing.
    let plain = world.run(&["config-manager", "--add-repo", "http://d.example/x.repo"]).fails();
    assert!(plain.err.contains("https"), "{}", plain.err);
    let login = world.run(&["config-manager", "--add-repo", "http://localhost:1@d.example/x.repo"]).fails();
    assert!(login.err.contains("https"), "{}", login.err);
    let page = world.path().join("page.repo");
    fs::write(&page, "# nothing\n").expect("a file");
    let page = page.to_str().expect("UTF-8").to_owned();
    assert!(world.run(&["config-manager", "--add-repo", &page]).fails().err.contains("no repository"));
    assert!(!repo("page").exists());
}

#[test]
fn options_of_main_are_saved_where_they_count() {
    let world = world();
    world.run_as("dnf", &["config-manager", "--save", "--setopt=keepcache=1"], "").ok();
    world
        .run_as("dnf5", &["config-manager", "setopt", "main.installonly_limit=5", "base.priority=7"], "")
        .ok();
    let text = fs::read_to_string(world.root().join("etc/lapis/lapis.conf")).expect("a file");
    assert!(text.contains("keepcache=1\n") && text.contains("installonly_limit=5\n"), "{text}");
    let refused = world.run(&["config-manager", "setopt", "keepcahce=1"]).fails();
    assert!(refused.err.contains("keepcache"), "{}", refused.err);
    let refused = world.run(&["config-manager", "setopt", "installonly_limit=many"]).fails();
    assert!(refused.err.contains("installonly_limit"), "{}", refused.err);
}

#[test]
fn what_is_not_found_is_said_as_dnf_says_it() {
    let world = world();
    let install = world.run_as("dnf", &["-y", "install", "nosuch", "lib"], "").fails();
    assert_eq!(install.status, 1);
    assert!(install.out.contains("No match for argument: nosuch\n"), "{}", install.out);
    assert!(install.err.contains("Error: Unable to find a match: nosuch\n"), "{}", install.err);
    let list = world.run_as("dnf", &["list", "nosuch"], "").fails();
    assert!(list.err.contains("Error: No matching Packages to list"), "{}", list.err);
    let provides = world.run_as("dnf", &["provides", "nosuch"], "").fails();
    assert!(provides.err.contains("Error: No matches found"), "{}", provides.err);
    // The others say it in their own way.
    assert!(world.run(&["list", "nosuch"]).fails().err.contains("No matching packages: nosuch"));
    let tdnf = world.run_as("tdnf", &["-y", "install", "nosuch"], "").fails();
    assert!(tdnf.err.starts_with("Error(1011) : "), "{}", tdnf.err);
}

#[test]
fn a_name_in_locks_d_of_tdnf_holds_its_version_and_stays() {
    let world = world();
    world.yes(&["install", "lib-1"]).ok();
    let folder = world.root().join("etc/tdnf/locks.d");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("mine.conf"), "lib\n").expect("a file");
    world.run_as("tdnf", &["-y", "update"], "").ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    let refused = world.run_as("tdnf", &["-y", "remove", "lib"], "").fails();
    assert_eq!(refused.status, 1030 % 256, "{}", refused.err);
    fs::remove_file(folder.join("mine.conf")).expect("a file");
    world.run_as("tdnf", &["-y", "update"], "").ok();
    assert_eq!(world.installed(), "lib-2-1.noarch");
}

#[test]
fn dnf_removes_what_is_there_and_says_what_is_not() {
    let world = world();
    world.yes(&["install", "extra", "lib"]).ok();
    let run = world.run_as("dnf", &["-y", "remove", "nosuch", "extra"], "").ok();
    assert!(run.out.contains("No match for argument: nosuch\n"), "{}", run.out);
    assert_eq!(world.installed(), "lib-2-1.noarch");
    let nothing = world.run_as("dnf", &["-y", "autoremove", "nosuch"], "").ok();
    assert!(
        nothing.out.contains("No packages marked for removal.\nNothing to do.\nComplete!"),
        "{}",
        nothing.out
    );
    // tdnf and lapis insist.
    world.yes(&["remove", "nosuch", "lib"]).fails();
    assert_eq!(world.installed(), "lib-2-1.noarch");
}

#[test]
fn a_test_and_a_download_leave_reasons_as_they_are() {
    let world = world();
    world.yes(&["install", "app"]).ok();
    let reason = || world.run(&["repoquery", "--installed", "--qf", "%{reason}", "lib"]).ok().out;
    let before = reason();
    world.yes(&["--testonly", "install", "lib"]).ok();
    world.yes(&["--downloadonly", "install", "lib"]).ok();
    world.yes(&["--setopt=tsflags=test", "install", "lib"]).ok();
    assert_eq!(reason(), before);
    world.yes(&["install", "lib"]).ok();
    assert_ne!(reason(), before);
}

#[test]
fn a_record_of_reasons_is_written_under_the_lock() {
    let world = world();
    world.yes(&["install", "app"]).ok();
    let released = std::sync::atomic::AtomicBool::new(false);
    let root = world.root();
    let database = lazuli_rpmdb::Database::open(&root, lazuli_rpmdb::Access::Write).expect("a lock");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_secs(2));
            released.store(true, std::sync::atomic::Ordering::SeqCst);
            drop(database);
        });
        world.yes(&["install", "lib"]).ok();
        assert!(released.load(std::sync::atomic::Ordering::SeqCst), "it did not wait for the lock");
    });
}

#[test]
fn the_running_systems_boot_menu_is_no_other_roots_business() {
    let world = world();
    let refused = world.run(&["boot-entries"]).fails();
    assert!(refused.err.contains("--installroot"), "{}", refused.err);
    let refused = world.run(&["boot-entries", "--triggered"]).fails();
    assert!(refused.err.contains("chroot"), "{}", refused.err);
}

#[test]
fn what_nobody_would_do_is_not_accepted() {
    let world = world();
    let refused = world.yes(&["--no-allow-downgrade", "install", "app"]).fails();
    assert!(refused.err.contains("versionlock"), "{}", refused.err);
    let refused = world.yes(&["--builddeps", "download", "app"]).fails();
    assert!(refused.err.contains("repoquery --requires"), "{}", refused.err);
    world.yes(&["--allow-downgrade", "--setopt=exclude_from_weak=ext*", "install", "app"]).ok();
    assert_eq!(world.installed(), "app-1-1.noarch lib-2-1.noarch");
    let vendor = world.yes(&["--setopt=allow_vendor_change=0", "install", "app"]).ok();
    assert!(vendor.err.contains("allow_vendor_change") && vendor.err.contains("priority"), "{}", vendor.err);
}
