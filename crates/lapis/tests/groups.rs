//! Groups of packages: `group` and `@name`.

mod support;

use support::{World, package};

const COMPS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>web</id><name>Web Server</name><description>Serves pages.</description>
    <uservisible>true</uservisible>
    <packagelist>
      <packagereq type="mandatory">httpd</packagereq>
      <packagereq type="default">logs</packagereq>
      <packagereq type="default">vanished</packagereq>
      <packagereq type="optional">manual</packagereq>
      <packagereq type="conditional" requires="vim">httpd-vim</packagereq>
    </packagelist>
  </group>
  <group>
    <id>core</id><name>Core</name><uservisible>false</uservisible>
    <packagelist><packagereq>base</packagereq></packagelist>
  </group>
  <environment>
    <id>server</id><name>Server</name><description>A server.</description>
    <grouplist><groupid>core</groupid><groupid>web</groupid></grouplist>
  </environment>
</comps>
"#;

fn world() -> World {
    world_with(COMPS)
}

fn world_with(comps: &str) -> World {
    let world = World::with(vec![
        package("httpd", "1").requires("base"),
        package("httpd", "2").requires("base"),
        package("logs", "1"),
        package("manual", "1"),
        package("httpd-vim", "1"),
        package("vim", "1"),
        package("base", "1"),
        package("other", "1").requires("logs"),
    ]);
    world.add_groups("base", comps);
    world
}

#[test]
fn groups_are_listed_and_described() {
    let world = world();
    insta::assert_snapshot!(world.run(&["group", "list"]).ok().out);
    insta::assert_snapshot!(world.run_as("dnf", &["group", "info", "web server"], "").ok().out);
    let ids = world.run(&["group", "list", "--hidden", "--ids"]).ok();
    assert!(ids.out.contains("   Core (core)\n"), "{}", ids.out);
    let json = world.run(&["-j", "group", "list"]).ok().json();
    assert_eq!(json[0]["Kind"], "environment");
    assert_eq!(json[1]["Installed"], false);
    assert!(world.run(&["group", "info", "nosuch"]).fails().err.contains("nosuch"));
    assert!(world.run(&["group", "frobnicate"]).fails().err.contains("expected list"));
}

#[test]
fn a_group_comes_and_goes_but_for_what_others_need() {
    let world = world();
    let run = world.run_as("dnf", &["-y", "groupinstall", "Web Server"], "").ok();
    assert!(run.err.contains("No match for group package \"vanished\""), "{}", run.err);
    assert_eq!(world.installed(), "base-1-1.noarch httpd-2-1.noarch logs-1-1.noarch");
    assert!(world.run(&["group", "list", "--installed"]).ok().out.contains("   Web Server\n"));
    assert!(world.yes(&["install", "@web"]).ok().out.contains("Nothing to do."));
    world.yes(&["install", "other"]).ok();
    world.yes(&["remove", "@web"]).ok();
    assert_eq!(world.installed(), "logs-1-1.noarch other-1-1.noarch", "`other` needs `logs`");
}

#[test]
fn optional_and_conditional_packages_come_when_they_should() {
    let world = world();
    world.yes(&["group", "install", "--with-optional", "web"]).ok();
    assert!(world.installed().contains("manual") && !world.installed().contains("httpd-vim"));
    world.yes(&["remove", "httpd", "manual", "logs"]).ok();
    // What is asked for beside the group is there before its conditions are looked at in a later run.
    world.yes(&["install", "vim"]).ok();
    world.yes(&["install", "@^server"]).ok();
    let installed = world.installed();
    assert!(installed.contains("httpd-vim") && installed.contains("base-1"), "{installed}");
}

#[test]
fn the_packages_of_a_group_are_brought_up_to_date() {
    let world = world();
    world.yes(&["install", "httpd-1"]).ok();
    world.yes(&["group", "upgrade", "web"]).ok();
    assert_eq!(world.installed(), "base-1-1.noarch httpd-2-1.noarch", "nothing new came");
    let missing = world.yes(&["install", "@nosuch"]).fails();
    assert!(missing.err.contains("no group matches `nosuch`"), "{}", missing.err);
    assert_eq!(world.run_as("tdnf", &["-y", "install", "@nosuch"], "").status, 1011 % 256);
}

const SHARED: &str = "<comps>
  <group><id>web</id><name>Web</name><packagelist>
    <packagereq>httpd</packagereq><packagereq type='default'>logs</packagereq>
    <packagereq type='optional'>manual</packagereq>
    <packagereq type='conditional' requires='vim'>httpd-vim</packagereq>
  </packagelist></group>
  <group><id>stats</id><name>Statistics</name><packagelist>
    <packagereq>logs</packagereq>
  </packagelist></group>
  <group><id>half</id><name>Half</name><packagelist>
    <packagereq>vim</packagereq><packagereq>other</packagereq>
  </packagelist></group>
</comps>";

#[test]
fn a_group_goes_without_what_belongs_to_somebody_else() {
    let world = world_with(SHARED);
    world.yes(&["install", "vim", "httpd", "logs", "manual", "httpd-vim"]).ok();
    let before = world.installed();
    let refused = world.yes(&["group", "remove", "half"]).fails();
    assert!(refused.err.contains("not installed"), "{}", refused.err);
    assert_eq!(world.installed(), before, "`vim` is there, but not for the group");
    world.yes(&["group", "remove", "web"]).ok();
    assert_eq!(
        world.installed(),
        "httpd-vim-1-1.noarch logs-1-1.noarch manual-1-1.noarch vim-1-1.noarch",
        "`logs` is all of another group; the rest was chosen beside the group"
    );
    let again = world.yes(&["group", "remove", "web"]).fails();
    assert!(again.err.contains("not installed"), "{}", again.err);
}
