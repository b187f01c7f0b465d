//! What people read: help, usage errors, generated pages.

mod support;

use lazuli_fs as fs;
use support::World;

#[test]
fn help_is_stable() {
    let world = World::new();
    insta::assert_snapshot!(world.run(&["help"]).ok().out);
    insta::assert_snapshot!(world.run(&["help", "install"]).ok().out);
    insta::assert_snapshot!(world.run(&["help", "repoquery"]).ok().out);
}

#[test]
fn typing_errors_are_answered() {
    let world = World::new();
    let run = world.run(&["instal", "x"]).fails();
    assert_eq!(run.status, 1);
    assert!(run.err.contains("install"), "{}", run.err);
}

#[test]
fn options_may_be_repeated_and_abbreviated() {
    let world = World::new();
    // The test harness names the root once already.
    let root = world.root();
    let root = root.to_str().expect("UTF-8");
    for name in ["lapis", "tdnf", "dnf"] {
        world
            .run_as(name, &["-y", "repolist", "-y", "-installroot", root, "--assumey", "--quiet", "-q"], "")
            .ok();
    }
}

#[test]
fn names_decide() {
    let world = World::new();
    assert!(world.run_as("tdnf", &["--version"], "").ok().out.starts_with("tdnf "));
    assert!(world.run_as("dnf", &["-assumeno", "--help"], "").ok().out.contains("dnf"));
}

#[test]
fn pages_and_completions_are_made_from_the_definition() {
    let world = World::new();
    let to = world.path().join("generated");
    world.run(&["generate", "all", to.to_str().expect("UTF-8")]).ok();
    for file in [
        "usr/share/man/man8/lapis.8",
        "usr/share/man/man8/lapis-install.8",
        "usr/share/man/man8/tdnf.8",
        "usr/share/bash-completion/completions/lapis",
        "usr/share/bash-completion/completions/dnf",
        "usr/share/zsh/site-functions/_lapis",
        "usr/share/fish/vendor_completions.d/tdnf.fish",
    ] {
        let text = fs::read_to_string(to.join(file)).expect(file);
        assert!(!text.is_empty(), "{file}");
    }
    let page = fs::read_to_string(to.join("usr/share/man/man8/lapis-install.8")).expect("a page");
    assert!(page.contains("lapis\\-install") && !page.contains("installroot"), "{page}");
}
