//! A transaction that is killed, or whose disk fails, at every point at which it changes something.
//!
//! The test runs itself again as a child, which ends at the given point as by `kill -9`; then it recovers
//! what the child left and looks at it. Nothing else may be in this file: fail points belong to the whole
//! process.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_transaction::{Element, Error, Note, Options, Outcome, Silent, fault, recover_with};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use support::{Lab, Log, assert_no_strays, hnum, open, packages, run, tree};

const POINT: &str = "LAZULI_TEST_CRASH_POINT";
const PLACE: &str = "LAZULI_TEST_CRASH_PLACE";
const RECOVER: &str = "LAZULI_TEST_CRASH_RECOVER";
/// More points than this would be a loop.
const LIMIT: u64 = 2000;
const TIME: u32 = 1_700_000_100;

/// Packages of the two states of the world.
fn build(lab: &Lab) {
    // Somebody must have the shell that the scripts need, or `rpm --verify` complains.
    let spec = |name: &str, version: &str| lab.spec(name, version).all_scripts().provides("/bin/sh");
    spec("lib", "1")
        .directory("/usr/lib/lib")
        .file("/usr/lib/lib/one", "lib 1")
        .file("/usr/lib/lib/x", "links 1")
        .link("/usr/lib/lib/y", "/usr/lib/lib/x")
        .symlink("/usr/lib/lib/current", "one")
        .build();
    spec("lib", "2")
        .directory("/usr/lib/lib")
        .directory("/usr/lib/lib/sub")
        .file("/usr/lib/lib/one", "lib 2")
        .file("/usr/lib/lib/sub/two", "lib 2 two")
        .file("/usr/lib/lib/x", "links 2")
        .link("/usr/lib/lib/y", "/usr/lib/lib/x")
        .symlink("/usr/lib/lib/current", "sub/two")
        .build();
    let app = |version: &str| {
        spec("app", version)
            .requires("lib")
            .file("/usr/bin/app", &format!("app {version}"))
            .config("/etc/app.conf", &format!("config {version}"), true)
            .config("/etc/app.save", &format!("save {version}"), false)
            .ghost("/var/log/app")
    };
    app("1").file("/usr/share/moves", "it moves").build();
    app("2").build();
    spec("new", "1").file("/usr/share/moves", "it has moved").directory("/srv/new").build();
    spec("gone", "1").directory("/srv/gone").file("/srv/gone/file", "gone").build();
    spec("obsolete", "1").file("/usr/bin/obsolete", "obsolete").build();
}

fn package(lab: &Path, name: &str) -> lazuli_transaction::Package {
    open(&lab.join(format!("{name}-1.noarch.rpm")))
}

fn first(lab: &Path, root: &Path) {
    let names = ["lib-1", "app-1", "gone-1", "obsolete-1"];
    let elements = names.map(|n| Element::install(package(lab, n))).into();
    let options = Options { time: TIME - 1000, ..Options::default() };
    run(root, elements, options, &mut Log::none()).unwrap();
    fs::write(root.join("etc/app.conf"), "somebody's").unwrap();
    fs::write(root.join("etc/app.save"), "somebody's").unwrap();
}

fn second(lab: &Path, root: &Path, log: &Path) -> Result<lazuli_transaction::Report, Error> {
    let elements = vec![
        Element::replace(package(lab, "lib-2"), vec![hnum(root, "lib")]),
        Element::replace(package(lab, "app-2"), vec![hnum(root, "app")]),
        Element::replace(package(lab, "new-1"), vec![hnum(root, "obsolete")]),
        Element::erase(hnum(root, "gone")),
    ];
    let options = Options { time: TIME, ..Options::default() };
    run(root, elements, options, &mut Log::to(log.to_path_buf()))
}

/// What the test of every point has to compare with.
struct World {
    lab: Lab,
    old: State,
    new: State,
    scripts: Vec<String>,
    points: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    tree: BTreeMap<String, String>,
    packages: Vec<String>,
}

fn state(root: &Path) -> State {
    State { tree: tree(root), packages: packages(root) }
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    assert!(support::program("cp", &["-a", from, to]).unwrap().0);
}

fn log_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        build(&lab);
        let pristine = lab.dir.path().join("pristine");
        first(lab.dir.path(), &lab.root());
        copy(&lab.root(), &pristine);
        let old = state(&lab.root());
        let log = lab.dir.path().join("log");
        fault::disarm();
        second(lab.dir.path(), &lab.root(), &log).unwrap();
        let points = fault::count();
        let (new, scripts) = (state(&lab.root()), log_of(&log));
        assert_no_strays(&lab.root());
        assert_ne!(old, new);
        Self { lab, old, new, scripts, points }
    }

    fn log(&self) -> PathBuf {
        self.lab.dir.path().join("log")
    }

    fn reset(&self) {
        copy(&self.lab.dir.path().join("pristine"), &self.lab.root());
        fs::write(self.log(), "").unwrap();
    }

    /// Runs this test program again; says whether it came to its end.
    fn child(&self, point: u64, recover: bool) -> bool {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(POINT, point.to_string()).env(PLACE, self.lab.dir.path());
        if recover {
            command.env(RECOVER, "1");
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let code = output.status.code();
        assert!(matches!(code, None | Some(0)), "{}", String::from_utf8_lossy(&text));
        code == Some(0)
    }

    /// The power goes instead: of the log of the database that was not flushed only a part is on the disk.
    /// False if there is no such log at this moment.
    fn lose_log(&self, point: u64) -> bool {
        let directory = self.lab.root().join("usr/lib/sysimage/rpm");
        let log = directory.join("rpmdb.sqlite-wal");
        let size = fs::metadata(&log).map_or(0, |m| m.len());
        if size == 0 {
            return false;
        }
        std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(size * (point % 5) / 5).unwrap();
        // It is memory, nothing else.
        fs::remove_file(directory.join("rpmdb.sqlite-shm")).unwrap();
        true
    }

    fn recover(&self, boot: u64) -> Vec<Note> {
        fault::disarm();
        fault::boot(boot);
        let recovery = recover_with(&self.lab.root(), &mut Log::to(self.log()), &mut Silent).unwrap();
        let mut notes = Vec::new();
        for (_, outcome) in recovery.transactions {
            if let Outcome::Completed(report) = outcome {
                notes.extend(report.notes);
            }
        }
        notes
    }

    /// What must hold at any moment, without a recovery.
    fn check_interrupted(&self, what: &str) {
        let names: Vec<String> = packages(&self.lab.root());
        let unique: BTreeSet<&str> = names.iter().map(|n| n.split('-').next().unwrap()).collect();
        assert_eq!(unique.len(), names.len(), "{what}: a package is there twice: {names:?}");
        for (path, now) in tree(&self.lab.root()) {
            if path.contains("/.lapis-") {
                continue;
            }
            let content = |s: &State| s.tree.get(&path).map(|t| without_links(t).to_owned());
            let known = [content(&self.old), content(&self.new)];
            let known = known.contains(&Some(without_links(&now).to_owned()));
            // A directory is made before it gets its owner and mode.
            assert!(known || now.starts_with("directory"), "{what}: {path} is {now}");
        }
    }

    /// What must hold after a recovery. Says whether the transaction has happened.
    fn check_recovered(&self, what: &str, notes: &[Note], kills: usize) -> bool {
        assert_no_strays(&self.lab.root());
        let now = state(&self.lab.root());
        let happened = now.packages == self.new.packages;
        let expected = if happened { &self.new } else { &self.old };
        assert_eq!(&now, expected, "{what}");
        let log = log_of(&self.log());
        let once: BTreeSet<&String> = log.iter().collect();
        assert_eq!(once.len(), log.len(), "{what}: a script ran twice: {log:?}");
        // A kill may catch a script at its start; the report of that is lost if the next kill comes when
        // everything but the cleaning is done.
        let interrupted = notes.iter().filter(|n| matches!(n, Note::ScriptInterrupted { .. })).count();
        let ran = if happened { self.scripts.len() } else { 0 };
        assert!(interrupted <= kills, "{what}: {notes:?}");
        assert!(log.len() <= ran && log.len() + kills >= ran, "{what}: {log:?} {notes:?}");
        happened
    }
}

fn without_links(text: &str) -> &str {
    text.split(" = /").next().unwrap()
}

/// What the test runs as its child.
#[test]
#[ignore = "only for the other tests of this file"]
fn child() {
    let Ok(point) = std::env::var(POINT) else { return };
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    let (root, log) = (place.join("root"), place.join("log"));
    let point: u64 = point.parse().unwrap();
    fault::arm(point, fault::Fault::Abort);
    if std::env::var(RECOVER).is_ok() {
        // Some recoveries come after a reboot, and do not believe what the journal says of files.
        fault::boot(point % 3);
        recover_with(&root, &mut Log::to(log), &mut Silent).unwrap();
    } else {
        second(&place, &root, &log).unwrap();
    }
}

#[test]
fn whole_after_being_killed_or_failing_at_every_point() {
    let world = World::new();
    killed(&world);
    failing(&world);
}

fn killed(world: &World) {
    let (mut point, mut before, mut after, mut again, mut lost) = (0, 0, 0, 0, 0);
    loop {
        assert!(point < LIMIT);
        world.reset();
        if world.child(point, false) {
            break;
        }
        let what = format!("killed at point {point}");
        world.check_interrupted(&what);
        // Recovery is killed too, a few times at different points, before it is let through.
        let (mut kill, mut kills) = (point % 7, 1);
        while kill < 60 && !world.child(kill, true) {
            world.check_interrupted(&format!("{what}, recovery at {kill}"));
            again += 1;
            kills += 1;
            kill += 23;
        }
        let power = point % 3 > 0 && world.lose_log(point);
        lost += u64::from(power);
        let notes = world.recover(if power { 1 } else { point % 2 });
        fault::boot(0);
        if world.check_recovered(&what, &notes, kills) {
            after += 1;
        } else {
            before += 1;
            // It can be done again.
            second(world.lab.dir.path(), &world.lab.root(), &world.log()).unwrap();
            assert_eq!(state(&world.lab.root()), world.new, "{what}, and again");
        }
        verify(world, &what, point);
        point += 1;
    }
    assert_eq!(point, world.points, "the child did not pass the same points");
    println!(
        "killed at {point} points: {before} before the commit, {after} after; recovery killed {again} times; \
         changes of the database lost {lost} times"
    );
    assert!(before > 20 && after > 20 && lost > 20);
}

/// The real `rpm` agrees.
fn verify(world: &World, what: &str, point: u64) {
    if !point.is_multiple_of(10) {
        return;
    }
    match support::rpm(&world.lab.root(), &["-Va"]) {
        // Of a changed configuration file it says so; a ghost may be missing.
        Some((_, text)) => {
            let wrong: Vec<&str> =
                text.lines().filter(|l| !l.contains(" c /etc/app") && !l.contains(" g /")).collect();
            assert!(wrong.is_empty(), "{what}: {wrong:?}");
        }
        None if point == 0 => println!("skipped: there is no rpm here"),
        None => {}
    }
}

fn failing(world: &World) {
    for (name, number) in [("ENOSPC", 28), ("EIO", 5)] {
        let (mut refused, mut interrupted, mut fine) = (0, 0, 0);
        for point in 0..world.points {
            world.reset();
            fault::arm(point, fault::Fault::Errno(number));
            let result = second(world.lab.dir.path(), &world.lab.root(), &world.log());
            let passed = fault::count();
            fault::disarm();
            let what = format!("{name} at point {point}");
            assert!(passed > point, "{what}: the point was not reached");
            world.check_interrupted(&what);
            let pending = lazuli_transaction::pending(&world.lab.root());
            let done = result.is_ok();
            match result {
                // Only the cleaning failed.
                Ok(_) => fine += 1,
                Err(Error::Interrupted { .. }) => {
                    assert!(pending, "{what}");
                    interrupted += 1;
                }
                Err(_) => {
                    assert!(!pending, "{what}");
                    assert_eq!(state(&world.lab.root()), world.old, "{what}");
                    refused += 1;
                }
            }
            let notes = world.recover(point % 2);
            fault::boot(0);
            let happened = world.check_recovered(&what, &notes, 1);
            assert!(happened || !done, "{what}");
        }
        println!(
            "{name} at {} points: {refused} refused, {interrupted} interrupted, {fine} done",
            world.points
        );
        assert!(refused > 20 && interrupted > 20);
    }
}
