//! Whole commands that change a root: the real binary, a real repository, real packages.

mod support;

use lazuli_fs as fs;
use support::{World, package};

fn small() -> World {
    World::with(vec![
        package("app", "1").requires("lib >= 1").recommends("extra"),
        package("lib", "1"),
        package("lib", "2"),
        package("extra", "1"),
        package("other", "1"),
        package("old", "1"),
    ])
}

#[test]
fn installing_brings_what_is_needed_and_removing_takes_it_away() {
    let world = small();
    let run = world.yes(&["install", "app"]).ok();
    assert_eq!(world.installed(), "app-1-1.noarch extra-1-1.noarch lib-2-1.noarch");
    assert_eq!(world.file("lib").as_deref(), Some("lib 2-1\n"));
    assert!(run.out.contains("Installing dependencies:") && run.out.contains("Complete!"), "{}", run.out);
    let again = world.yes(&["install", "app"]).ok();
    assert!(again.out.contains("Nothing to do."), "{}", again.out);
    world.yes(&["remove", "app"]).ok();
    assert_eq!(world.installed(), "", "dependencies go too");
    assert_eq!(world.file("lib"), None);
}

#[test]
fn the_answer_no_changes_nothing() {
    let world = small();
    for (args, input) in [
        (vec!["install", "app"], "n\n"),
        (vec!["install", "app"], ""),
        (vec!["--assumeno", "install", "app"], "y\n"),
    ] {
        let run = world.run_as("lapis", &args, input);
        assert_eq!(run.status, 1, "{args:?} {input:?}");
        assert!(run.err.contains("Operation aborted."), "{}", run.err);
    }
    assert_eq!(world.installed(), "");
    assert!(!world.root().join("usr/share").exists());
    world.run_as("lapis", &["install", "app"], "y\n").ok();
    assert!(world.installed().contains("app"));
}

#[test]
fn updates_and_their_exit_status() {
    let world = small();
    world.yes(&["install", "lib-1"]).ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    let check = world.run(&["check-update"]);
    assert_eq!(check.status, 100);
    assert!(check.out.contains("lib.noarch") && check.out.contains("2-1"), "{}", check.out);
    world.yes(&["update"]).ok();
    assert_eq!(world.installed(), "lib-2-1.noarch");
    assert_eq!(world.run(&["check-update"]).status, 0);
    world.yes(&["downgrade", "lib"]).ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    world.yes(&["distro-sync"]).ok();
    assert_eq!(world.installed(), "lib-2-1.noarch");
    fs::write(world.root().join("usr/share/lib/version"), "broken").expect("a file");
    world.yes(&["reinstall", "lib"]).ok();
    assert_eq!(world.file("lib").as_deref(), Some("lib 2-1\n"));
}

#[test]
fn the_history_can_be_undone_and_done_again() {
    let world = small();
    world.yes(&["install", "lib-1"]).ok();
    world.yes(&["--comment", "for a reason", "install", "app"]).ok();
    world.yes(&["upgrade"]).ok();
    let list = world.run(&["history"]).ok();
    assert_eq!(list.out.lines().count(), 4, "{}", list.out);
    let info = world.run(&["history", "info", "2"]).ok();
    assert!(info.out.contains("for a reason") && info.out.contains("app-1-1.noarch"), "{}", info.out);
    world.yes(&["history", "undo", "last"]).ok();
    assert!(world.installed().contains("lib-1-1"), "{}", world.installed());
    world.yes(&["history", "redo", "3"]).ok();
    assert!(world.installed().contains("lib-2-1"), "{}", world.installed());
    world.yes(&["history", "rollback", "1"]).ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    let json = world.run(&["--json", "history", "list"]).ok().json();
    assert_eq!(json.as_array().map(Vec::len), Some(6));
    assert_eq!(json[0]["SignaturesChecked"], true);
    let missing = world.run(&["history", "info", "77"]).fails();
    assert!(missing.err.contains("there is no transaction 77"), "{}", missing.err);
}

#[test]
fn reasons_are_kept_and_can_be_changed() {
    let world = small();
    world.yes(&["install", "app"]).ok();
    let names = |args: &[&str]| world.run(args).ok().out.lines().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&["repoquery", "--userinstalled"]), "app-1-1.noarch");
    world.yes(&["mark", "install", "lib"]).ok();
    assert_eq!(names(&["repoquery", "--userinstalled"]), "app-1-1.noarch lib-2-1.noarch");
    world.yes(&["remove", "app"]).ok();
    assert_eq!(world.installed(), "lib-2-1.noarch", "somebody wants it");
    world.yes(&["mark", "remove", "lib"]).ok();
    assert_eq!(names(&["repoquery", "--unneeded"]), "lib-2-1.noarch");
    world.yes(&["autoremove"]).ok();
    assert_eq!(world.installed(), "");
}

#[test]
fn replacing_packages() {
    let world = small();
    world.yes(&["install", "old"]).ok();
    world.yes(&["swap", "old", "other"]).ok();
    assert_eq!(world.installed(), "other-1-1.noarch");
    world.publish("base", vec![package("new", "1").obsoletes("other"), package("other", "1")], Vec::new());
    let check = world.run(&["check-update"]);
    assert!(check.status == 100 && check.out.contains("Obsoleting Packages"), "{}", check.out);
    world.yes(&["upgrade"]).ok();
    assert_eq!(world.installed(), "new-1-1.noarch");
}

#[test]
fn files_on_the_command_line_must_be_signed() {
    let world = small();
    let path = |name: &str| world.path().join(name);
    fs::write(path("good-1-1.noarch.rpm"), world.rpm(package("good", "1").requires("lib"), true))
        .expect("a file");
    fs::write(path("bad-1-1.noarch.rpm"), world.rpm(package("bad", "1"), false)).expect("a file");
    let (good, bad) = (path("good-1-1.noarch.rpm"), path("bad-1-1.noarch.rpm"));
    let (good, bad) = (good.to_str().expect("UTF-8"), bad.to_str().expect("UTF-8"));
    world.yes(&["install", good]).ok();
    assert!(world.installed().contains("good-1-1") && world.installed().contains("lib-2-1"));
    let refused = world.yes(&["install", bad]).fails();
    assert!(refused.err.contains("the package is not signed"), "{}", refused.err);
    assert!(!world.installed().contains("bad"));
    // -y is no answer to this question; the long option is, and the history remembers.
    let refused = world.yes(&["--nogpgcheck", "install", bad]).fails();
    assert!(refused.err.contains("-y does not count"), "{}", refused.err);
    world.yes(&["--nogpgcheck", "--i-accept-unverified-packages", "install", bad]).ok();
    assert!(world.installed().contains("bad-1-1"));
    let json = world.run(&["--json", "history"]).ok().json();
    assert_eq!(json[0]["SignaturesChecked"], false);
}

#[test]
fn download_only_and_test_only_change_nothing() {
    let world = small();
    let to = world.path().join("downloads");
    let dir = format!("--downloaddir={}", to.display());
    world.yes(&["install", "--downloadonly", &dir, "app"]).ok();
    let mut names: Vec<String> = fs::read_dir(&to)
        .expect("a folder")
        .iter()
        .map(|p| p.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["app-1-1.noarch.rpm", "extra-1-1.noarch.rpm", "lib-2-1.noarch.rpm"]);
    world.yes(&["install", "--testonly", "app"]).ok();
    assert_eq!(world.installed(), "");
    world.run(&["download", &dir, "other"]).ok();
    assert!(to.join("other-1-1.noarch.rpm").exists());
}

#[test]
fn locks_and_excludes_are_respected() {
    let world = small();
    world.yes(&["install", "lib-1"]).ok();
    world.run(&["versionlock", "add", "lib"]).ok();
    world.yes(&["upgrade"]).ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    assert!(world.run(&["versionlock"]).ok().out.contains("lib-0:1-1.*"));
    world.run(&["versionlock", "delete", "lib"]).ok();
    world.yes(&["-x", "lib", "upgrade"]).ok();
    assert_eq!(world.installed(), "lib-1-1.noarch");
    let refused = world.yes(&["--exclude=lib", "install", "app", "lib-2"]).fails();
    assert!(refused.err.contains("lib"), "{}", refused.err);
    world.yes(&["upgrade"]).ok();
    assert_eq!(world.installed(), "lib-2-1.noarch");
}

#[test]
fn what_cannot_be_is_explained() {
    let world = World::with(vec![
        package("a", "1").requires("missing >= 2"),
        package("b", "1").conflicts("c"),
        package("c", "1"),
    ]);
    let error = world.yes(&["install", "a"]).fails();
    insta::assert_snapshot!(world.clean(&error.err));
    let error = world.yes(&["install", "b", "c"]).fails();
    insta::assert_snapshot!(world.clean(&error.err));
    let error = world.yes(&["install", "nosuch"]).fails();
    assert_eq!(error.status, 1);
    insta::assert_snapshot!(world.clean(&error.err));
    let error = world.run_as("tdnf", &["-y", "install", "nosuch"], "");
    assert_eq!(error.status, 1011 % 256);
    assert!(error.err.starts_with("Error(1011) : "), "{}", error.err);
    let quiet = world.run_as("dnf", &["-y", "remove", "nosuch"], "");
    assert_eq!(quiet.status, 0, "{}", quiet.err);
}

#[test]
fn a_plan_tells_what_why_and_from_where() {
    let world = small();
    let run = world.run_as("lapis", &["install", "app"], "n\n");
    insta::assert_snapshot!(world.clean(&run.out));
    let json = world.run(&["--json", "--assumeno", "install", "app"]).fails();
    let plan: serde_json::Value =
        serde_json::Deserializer::from_str(&json.out).into_iter().next().expect("a value").expect("JSON");
    assert_eq!(plan["Install"].as_array().map(Vec::len), Some(3));
    assert_eq!(plan["Install"][0]["Repo"], "base");
}

#[test]
fn protected_packages_stay() {
    let world = small();
    world.yes(&["install", "lib"]).ok();
    let refused = world.yes(&["--setopt=protected_packages=lib", "remove", "lib"]).fails();
    assert!(refused.err.contains("lib"), "{}", refused.err);
    assert_eq!(world.installed(), "lib-2-1.noarch");
}
