//! Whole commands that ask: the real binary, real repositories.

mod support;

use lazuli_fs as fs;
use lazuli_repo::updateinfo::Severity;
use support::{World, advisory, package};

fn world() -> World {
    let world = World::with(vec![
        package("bash", "5.1").provides("sh = 5.1").change(1000, "- first").change(2000, "- second"),
        package("bash", "5.2").provides("sh = 5.2").change(1000, "- first").change(3000, "- third"),
        package("vim", "9").requires("sh >= 5").recommends("vim-data"),
        package("vim-data", "9").requires("bash"),
    ]);
    world.publish("more", vec![package("emacs", "30").requires("sh")], Vec::new());
    world.add_repo("more");
    world
}

fn lines(world: &World, args: &[&str]) -> Vec<String> {
    world.run(args).ok().out.lines().map(str::to_owned).collect()
}

#[test]
fn lists() {
    let world = world();
    world.yes(&["install", "bash-5.1"]).ok();
    insta::assert_snapshot!(world.clean(&world.run(&["list"]).ok().out));
    insta::assert_snapshot!(world.clean(&world.run_as("tdnf", &["list", "--upgrades"], "").ok().out));
    assert_eq!(lines(&world, &["list", "available", "--showduplicates", "bash"]).len(), 2);
    assert!(lines(&world, &["list", "extras"]).is_empty());
    let missing = world.run(&["list", "nosuch"]).fails();
    assert!(missing.err.contains("No matching packages: nosuch"), "{}", missing.err);
    let json = world.run(&["-j", "list", "--installed"]).ok().json();
    assert_eq!(json[0]["Name"], "bash");
    assert_eq!(json[0]["Evr"], "5.1-1");
}

#[test]
fn descriptions() {
    let world = world();
    insta::assert_snapshot!(world.clean(&world.run(&["info", "bash"]).ok().out));
    let json = world.run(&["info", "vim", "--json"]).ok().json();
    assert_eq!(json[0]["License"], "MIT");
}

#[test]
fn searching() {
    let world = world();
    insta::assert_snapshot!(world.clean(&world.run(&["search", "VIM"]).ok().out));
    assert_eq!(lines(&world, &["search", "--all", "example.org/emacs"]).len(), 2);
    assert_eq!(world.run_as("tdnf", &["search", "zzz"], "").status, 1599 % 256);
    assert_eq!(world.run(&["search", "zzz"]).status, 0);
}

#[test]
fn who_provides() {
    let world = world();
    insta::assert_snapshot!(world.clean(&world.run(&["provides", "sh"]).ok().out));
    let owner = world.run(&["whatprovides", "/usr/share/vim/version"]).ok();
    assert!(owner.out.contains("Filename   : /usr/share/vim/version"), "{}", owner.out);
    let owners = world.run(&["provides", "*/version"]).ok();
    assert!(owners.out.contains("emacs-30-1"), "{}", owners.out);
    world.run(&["provides", "/nosuch"]).fails();
}

#[test]
fn repoquery_selects_and_formats() {
    let world = world();
    assert_eq!(
        lines(&world, &["repoquery", "--whatrequires", "sh"]),
        ["emacs-30-1.noarch", "vim-9-1.noarch"]
    );
    assert_eq!(
        lines(&world, &["repoquery", "--whatrequires", "bash", "--exactdeps"]),
        ["vim-data-9-1.noarch"]
    );
    assert_eq!(lines(&world, &["repoquery", "--whatprovides", "sh >= 5.2"]), ["bash-5.2-1.noarch"]);
    assert_eq!(lines(&world, &["repoquery", "--whatrecommends", "vim-data"]), ["vim-9-1.noarch"]);
    assert_eq!(lines(&world, &["repoquery", "-f", "/usr/share/emacs/version"]), ["emacs-30-1.noarch"]);
    assert_eq!(lines(&world, &["repoquery", "bash", "--latest-limit=1"]), ["bash-5.2-1.noarch"]);
    assert_eq!(
        lines(&world, &["repoquery", "--qf", "%{name} %{version} %{repoid}\\n", "vim*"]),
        ["vim 9 base", "vim-data 9 base"]
    );
    assert_eq!(lines(&world, &["repoquery", "-l", "vim"]), ["/usr/share/vim", "/usr/share/vim/version"]);
    assert_eq!(lines(&world, &["repoquery", "--requires", "vim"]), ["sh >= 5"]);
    assert_eq!(lines(&world, &["repoquery", "--requires", "--resolve", "vim"]), ["bash-5.2-1.noarch"]);
    let dnf = world.run_as("dnf", &["repoquery", "vim"], "").ok();
    assert_eq!(dnf.out, "vim-0:9-1.noarch\n");
    let wrong = world.run(&["repoquery", "--qf", "%{nmae}"]).fails();
    assert!(wrong.err.contains("did you mean `name`"), "{}", wrong.err);
    let json = world.run(&["-j", "repoquery", "--requires", "vim"]).ok().json();
    assert_eq!(json[0]["Requires"][0], "sh >= 5");
    assert_eq!(lines(&world, &["repoquery", "--repo", "more"]), ["emacs-30-1.noarch"]);
}

#[test]
fn changelogs() {
    let world = world();
    world.yes(&["install", "bash-5.1"]).ok();
    let new = world.run(&["changelog", "--upgrades", "bash"]).ok().out;
    assert!(new.contains("- third") && !new.contains("- first"), "{new}");
}

#[test]
fn repositories() {
    let world = world();
    insta::assert_snapshot!(world.clean(&world.run(&["repolist"]).ok().out));
    insta::assert_snapshot!(world.clean(&world.run_as("tdnf", &["repolist"], "").ok().out));
    let json = world.run(&["--json", "repolist", "--all"]).ok().json();
    assert_eq!(json[0]["Repo"], "base");
    let info = world.run(&["repoinfo", "base"]).ok().out;
    assert!(info.contains("Repo-pkgs           : 4"), "{info}");
    world.run(&["makecache"]).ok();
    // What is cached suffices, and what was cleaned does not.
    fs::rename(world.path().join("repos"), world.path().join("away")).expect("a move");
    assert_eq!(lines(&world, &["-C", "repoquery", "emacs"]), ["emacs-30-1.noarch"]);
    world.run(&["repoquery", "--refresh", "emacs"]).fails();
    world.run(&["clean", "all"]).ok();
    let nothing = world.run_as("tdnf", &["-C", "repoquery", "emacs"], "").fails();
    assert!(nothing.err.starts_with("Error(1034)"), "{}", nothing.err);
}

#[test]
fn advisories() {
    let world = World::new();
    let advisories = || {
        vec![
            advisory("LZSA-2026:1", Severity::Critical, "CVE-2026-1", "a", "2"),
            advisory("LZSA-2026:2", Severity::Low, "CVE-2026-2", "b", "2"),
        ]
    };
    let all = || {
        vec![package("a", "1"), package("a", "2"), package("a", "3"), package("b", "1"), package("b", "2")]
    };
    world.publish("base", all(), advisories());
    world.add_repo("base");
    world.yes(&["install", "a-1", "b-1"]).ok();
    insta::assert_snapshot!(world.run(&["updateinfo"]).ok().out);
    insta::assert_snapshot!(world.run(&["updateinfo", "list"]).ok().out);
    insta::assert_snapshot!(world.run(&["updateinfo", "info", "CVE-2026-1"]).ok().out);
    let json = world.run(&["updateinfo", "--list", "--json"]).ok().json();
    assert_eq!(json[0]["Cves"][0], "CVE-2026-1");
    let plan = world.run_as("lapis", &["update", "--security"], "n\n");
    assert!(plan.out.contains("CVE-2026-1 (Critical) by LZSA-2026:1"), "{}", plan.out);
    world.yes(&["upgrade-minimal", "--sec-severity", "Critical"]).ok();
    assert_eq!(world.installed(), "a-2-1.noarch b-1-1.noarch");
    world.yes(&["update", "--security"]).ok();
    assert_eq!(world.installed(), "a-2-1.noarch b-2-1.noarch");
    let none = world.yes(&["update", "--security"]).ok();
    assert!(none.out.contains("Nothing to do."), "{}", none.out);
}

#[test]
fn a_mirror_is_a_whole_repository() {
    let world = world();
    let to = world.path().join("mirror");
    let to = to.to_str().expect("UTF-8");
    world.run(&["reposync", "--repo", "more", "--download-metadata", "-p", to]).ok();
    let url = format!("copy,{to}/more");
    let key = format!("--setopt=copy.gpgkey=file://{}/etc/pki/key", world.root().display());
    let run = world.run(&["--repofrompath", &url, &key, "--repo", "copy", "repoquery"]).ok();
    assert_eq!(run.out, "emacs-30-1.noarch\n");
}

#[test]
fn checks_find_problems() {
    let world = world();
    world.yes(&["install", "vim"]).ok();
    let fine = world.run(&["check"]).ok();
    assert!(fine.out.contains("no problems found"), "{}", fine.out);
}

#[test]
fn the_past_can_be_seen() {
    let world = world();
    assert_eq!(lines(&world, &["--snapshot-time", "1000", "repoquery"]), Vec::<String>::new());
    assert_eq!(lines(&world, &["--snapshottime", "2026-01-01", "repoquery", "vim"]).len(), 1);
}
