//! Transactions whose process dies at a moment that is known: in a scriptlet.

mod support;

use lazuli_fs as fs;
use lazuli_rpm::Scriptlet;
use lazuli_rpmdb::{Access, Database};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{World, package};

/// A root in which the process died after the commit, with the package's files in their places. `kill` is the
/// scriptlet that does it.
fn interrupted(kill: Scriptlet, prepare: impl FnOnce(&Path)) -> World {
    let world = World::new();
    prepare(&world.root());
    let mut app = package("app", "1").requires("lib").provides("/bin/sh");
    app.0.scriptlets.post = Some(kill);
    world.publish("base", vec![app, package("lib", "1")], Vec::new());
    world.add_repo("base");
    let killed = world.yes(&["install", "app"]);
    assert_eq!(killed.status, -1, "{}\n{}", killed.out, killed.err);
    assert!(lazuli_transaction::pending(&world.root()));
    world
}

/// Needs nothing in the root.
fn by_lua() -> World {
    let body = "posix.kill(posix.getprocessid('ppid'), 9)".to_owned();
    interrupted(Scriptlet { interpreter: vec!["<lua>".to_owned()], body }, |_| ())
}

/// Copies this machine's shell with its libraries into a root.
fn with_shell(root: &Path) {
    let listed = Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    let listed = String::from_utf8(listed.stdout).expect("text");
    for file in listed.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        fs::copy(file, to).expect("a file");
    }
}

fn states(world: &World) -> Vec<String> {
    let history = world.run(&["-j", "history"]).ok().json();
    let list = history.as_array().expect("a list");
    list.iter().map(|t| t["State"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_command_that_only_asks_finishes_what_was_interrupted() {
    let world = by_lua();
    let run = world.run(&["list", "--installed"]).ok();
    assert!(run.err.contains("A transaction was interrupted"), "{}", run.err);
    assert!(run.out.contains("app") && run.out.contains("lib"), "{}", run.out);
    assert!(!lazuli_transaction::pending(&world.root()));
    assert_eq!(states(&world), ["recovered"]);
    let run = world.run(&["list", "--installed"]).ok();
    assert_eq!(run.err, "");
}

#[test]
fn a_command_that_only_asks_does_not_wait_for_a_transaction_that_runs() {
    let world = by_lua();
    let busy = Database::open(&world.root(), Access::Write).expect("the lock");
    let start = Instant::now();
    let run = world.run(&["list", "--installed"]).ok();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(run.err, "");
    assert!(lazuli_transaction::pending(&world.root()));
    assert_eq!(states(&world), ["running"]);
    drop(busy);
    assert_eq!(states(&world), ["recovered"]);
}

#[test]
fn the_file_of_a_scriptlet_does_not_stay_behind() {
    let world = interrupted(Scriptlet::shell("kill -9 $PPID"), with_shell);
    world.run(&["recover"]).ok();
    for place in ["", "tmp", "var/tmp", "run", "var/lib/lapis/txn"] {
        let names = fs::read_dir(world.root().join(place)).unwrap_or_default();
        assert!(names.iter().all(|p| !p.to_string_lossy().contains("rpm-tmp")), "{names:?}");
    }
    assert_eq!(states(&world), ["recovered"]);
}
