//! The real RPM and this crate take turns on one database. Without `rpm` and `rpmbuild` on PATH these
//! tests say so and pass.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_rpm::Signer;
use lazuli_rpmdb::{Access, Addition, Change, Database, Error, FileState, PATH};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{have, headers, installed, packages, rpm, run, tables};

const INSTALL: [&str; 6] = ["-i", "--justdb", "--nodeps", "--noscripts", "--notriggers", "--ignorearch"];
const ERASE: [&str; 5] = ["-e", "--justdb", "--nodeps", "--noscripts", "--notriggers"];

fn addition(package: &Path) -> Addition {
    Addition::new(installed(package), 1_700_000_000)
}

fn names(root: &Path) -> Vec<String> {
    let packages = Database::open(root, Access::Read).unwrap().list().unwrap();
    packages.into_iter().map(|p| p.nevra.name).collect()
}

fn with(arguments: &[&'static str], last: &Path) -> Vec<String> {
    arguments.iter().map(|a| (*a).to_owned()).chain([last.to_str().unwrap().to_owned()]).collect()
}

fn ask(dir: &Path, database: &Path, arguments: &[String]) -> String {
    rpm(dir, database, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn rows_that_are_applied_equal_those_that_rpm_writes() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let packages = packages(dir.path());
    let theirs = dir.path().join("theirs/rpmdb.sqlite");
    for package in &packages {
        ask(dir.path(), &theirs, &with(&INSTALL, package));
    }
    let root = dir.path().join("root");
    let ours = root.join(PATH);
    for package in &packages {
        let change = Change { add: vec![addition(package)], ..Change::default() };
        Database::open(&root, Access::Write).unwrap().apply(&change).unwrap();
    }
    assert_eq!(tables(&ours), tables(&theirs));
    assert!(headers(&ours) == headers(&theirs), "the headers differ");
    rpm(dir.path(), &ours, &["--verifydb"]);

    // The same, of a package that goes and of one that takes its own place.
    rpm(dir.path(), &theirs, &[&ERASE[..], &["first"]].concat());
    let mut db = Database::open(&root, Access::Write).unwrap();
    let (first, second) = (db.named("first").unwrap()[0].hnum, db.named("second").unwrap()[0].hnum);
    let change =
        Change { remove: vec![first, second], add: vec![addition(&packages[1])], ..Change::default() };
    db.apply(&change).unwrap();
    drop(db);
    assert_eq!(tables(&ours), tables(&theirs));
}

#[test]
fn rpm_and_we_take_turns_in_either_journal_mode() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let packages = packages(dir.path());
    for rpm_begins in [true, false] {
        let root = dir.path().join(format!("root-{rpm_begins}"));
        let database = root.join(PATH);
        fs::create_dir_all(database.parent().unwrap()).unwrap();
        let install = |package: &Path| drop(ask(dir.path(), &database, &with(&INSTALL, package)));
        let apply = |package: &Path| {
            let mut db = Database::open(&root, Access::Write).unwrap();
            db.apply(&Change { add: vec![addition(package)], ..Change::default() }).unwrap();
        };
        let mut cookies = Vec::new();
        let mut note = || cookies.push(Database::open(&root, Access::Read).unwrap().cookie().unwrap());
        note();
        if rpm_begins {
            install(&packages[0]);
        } else {
            apply(&packages[0]);
        }
        note();
        assert_eq!(names(&root), ["first"]);
        if rpm_begins {
            apply(&packages[1]);
        } else {
            install(&packages[1]);
        }
        note();
        assert_eq!(names(&root), ["first", "second"]);
        assert_eq!(rpm(dir.path(), &database, &["-qa"]).lines().count(), 2);
        rpm(dir.path(), &database, &[&ERASE[..], &["first"]].concat());
        note();
        assert_eq!(names(&root), ["second"]);
        let mut db = Database::open(&root, Access::Write).unwrap();
        let second = db.named("second").unwrap().remove(0);
        assert_eq!(second.header.paths().len(), second.states.len());
        // What RPM uses from now on; without these two files only root could read it.
        db.apply(&Change { remove: vec![second.hnum], ..Change::default() }).unwrap();
        drop(db);
        for suffix in ["-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{suffix}", database.display()));
            assert!(file.exists(), "{}", file.display());
        }
        note();
        assert_eq!(rpm(dir.path(), &database, &["-qa"]), "");
        rpm(dir.path(), &database, &["--verifydb"]);
        let mut different = cookies.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), cookies.len(), "{cookies:?}");
    }
}

#[test]
fn rpm_sees_changed_states_and_still_believes_the_header() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let packages = packages(dir.path());
    let root = dir.path().join("root");
    let database = root.join(PATH);
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    ask(dir.path(), &database, &with(&INSTALL, &packages[0]));
    let mut db = Database::open(&root, Access::Write).unwrap();
    let package = db.packages().unwrap().remove(0);
    let mut states = package.states.clone();
    let (_, one) = db.owners("/usr/share/first/one").unwrap()[0];
    states[one as usize] = FileState::Replaced;
    db.apply(&Change { states: vec![(package.hnum, states)], ..Change::default() }).unwrap();
    drop(db);
    let listed = rpm(dir.path(), &database, &["-qs", "first"]);
    assert!(listed.contains("replaced      /usr/share/first/one\n"), "{listed}");
    assert_eq!(listed.lines().filter(|line| line.starts_with("replaced")).count(), 1);
}

#[test]
fn rpm_and_we_import_and_remove_each_others_keys() {
    if !have(&["rpm"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let database = root.join(PATH);
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    let keys = ["one", "two"].map(|name| {
        let key = Signer::generate(&format!("{name} <{name}@example.org>"), 1_700_000_000).unwrap();
        fs::write(dir.path().join(name), &key.public).unwrap();
        (Signer::from_armored(&key.secret).unwrap().fingerprint(), key.public)
    });
    let one = dir.path().join("one");
    let imported = rpm(dir.path(), &database, &["--import", one.to_str().unwrap()]);
    assert_eq!(imported, "");
    if Connection::open(&database).is_ok_and(|db| db.query_row("SELECT 1 FROM Name", [], |_| Ok(())).is_err())
    {
        eprintln!("skipped: this rpm keeps keys elsewhere");
        return;
    }
    let mut db = Database::open(&root, Access::Write).unwrap();
    db.import_keys(&format!("{}{}", keys[1].1, keys[0].1), 7).unwrap();
    let listed: Vec<(String, String)> =
        db.keys().unwrap().into_iter().map(|k| (k.fingerprint, k.user_id)).collect();
    assert_eq!(
        listed,
        [
            (keys[0].0.clone(), "one <one@example.org>".to_owned()),
            (keys[1].0.clone(), "two <two@example.org>".to_owned())
        ]
    );
    assert_eq!(db.remove_key(&keys[0].0).unwrap().len(), 1);
    drop(db);
    let ours = rpm(dir.path(), &database, &["-q", "gpg-pubkey"]);
    assert_eq!(ours.lines().count(), 1);
    rpm(dir.path(), &database, &["-e", ours.trim()]);
    assert!(Database::open(&root, Access::Read).unwrap().keys().unwrap().is_empty());
}

const SLOW: &str = "Name: slow
Version: 1
Release: 1
Summary: slow
License: MIT
BuildArch: noarch
%description
Text.
%pre -p <lua>
posix.sleep(2)
%files
";

#[test]
fn rpm_respects_our_lock_and_we_wait_for_rpms() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let top = format!("_topdir {}", dir.path().join("top").display());
    let spec = dir.path().join("slow.spec");
    fs::write(&spec, SLOW).unwrap();
    run("rpmbuild", dir.path(), &["--define", &top, "-bb", "--quiet", spec.to_str().unwrap()]).unwrap();
    let package = dir.path().join("top/RPMS/noarch/slow-1-1.noarch.rpm");
    let root = dir.path().join("root");
    let database = root.join(PATH);
    let writer = Database::open(&root, Access::Write).unwrap();
    // Opening and closing other connections must not give the lock up.
    drop(Database::open(&root, Access::Read).unwrap());
    assert!(Database::open_waiting(&root, Access::Write, Duration::ZERO, |_| ()).is_err());

    let define = format!("_dbpath {}", database.parent().unwrap().display());
    let install = ["--define", &define, "-i", "--nodeps", package.to_str().unwrap()];
    // Without a terminal rpm does not wait.
    let refused = run("rpm", dir.path(), &install).unwrap_err().to_string();
    assert!(refused.contains(".rpm.lock"), "{refused}");
    assert!(names(&root).is_empty());
    drop(writer);
    let mut command = Command::new("rpm");
    let mut rpm = command.env("HOME", dir.path()).args(install).spawn().unwrap();
    // It has the lock for two seconds; asking for it before would have been in its way.
    for _ in 0..150 {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        if locks.lines().any(|l| l.contains(&format!("WRITE {} ", rpm.id())) && l.ends_with("0 EOF")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let error = Database::open_waiting(&root, Access::Write, Duration::ZERO, |_| ()).err();
    let Some(Error::Locked { holder, .. }) = error else { panic!("{error:?}") };
    assert!(holder.pid == rpm.id() && holder.program.is_some(), "{holder}");
    let db = Database::open(&root, Access::Write).unwrap();
    assert_eq!(db.list().unwrap()[0].nevra.name, "slow");
    assert!(rpm.wait().unwrap().success());
}
