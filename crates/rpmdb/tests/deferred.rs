//! Changes whose flush is deferred.

#![allow(clippy::unwrap_used)] // A test may fail.

use lazuli_fs as fs;
use lazuli_rpm::{Builder, Evr, Nevra, PackageFile};
use lazuli_rpmdb::{Access, Addition, Change, Database, InstalledPackage, PATH};
use lazuli_store::Store;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

fn change(store: &Store, name: &str) -> Change {
    described(store, name, name)
}

/// One whose row takes some megabytes.
fn large(store: &Store, name: &str) -> Change {
    described(store, name, &"long ".repeat(1 << 19))
}

fn described(store: &Store, name: &str, description: &str) -> Change {
    let builder = Builder {
        nevra: Nevra { name: name.into(), evr: Evr::new(None, "1", "1"), arch: "noarch".into() },
        summary: name.into(),
        description: description.into(),
        license: "MIT".into(),
        ..Builder::default()
    };
    let mut bytes = Vec::new();
    builder.write(store, None, &mut bytes).unwrap();
    let file = PackageFile::parse(&bytes).unwrap();
    let package = InstalledPackage::new(file.header.clone(), file.signature);
    Change { add: vec![Addition::new(package, 1_700_000_000)], ..Change::default() }
}

fn names(root: &Path) -> Vec<String> {
    let database = Database::open(root, Access::Read).unwrap();
    let mut names: Vec<String> =
        database.packages().unwrap().into_iter().map(|p| p.nevra().name.clone()).collect();
    names.sort();
    names
}

fn log(root: &Path) -> PathBuf {
    root.join(format!("{PATH}-wal"))
}

#[test]
fn a_flush_leaves_the_database_as_it_was_opened_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.apply(&change(&store, "a")).unwrap();
    database.defer_flushes().unwrap();
    database.defer_flushes().unwrap();
    database.apply(&change(&store, "b")).unwrap();
    // Others see it at once, and it is not in the database's file yet.
    assert_eq!(names(&root), ["a", "b"]);
    assert!(fs::metadata(log(&root)).unwrap().len() > 0);
    database.flush().unwrap();
    assert!(fs::metadata(log(&root)).is_err());
    database.apply(&change(&store, "c")).unwrap();
    database.flush().unwrap();
    drop(database);
    assert!(fs::metadata(log(&root)).is_err());
    assert_eq!(names(&root), ["a", "b", "c"]);
}

#[test]
fn whoever_reads_meanwhile_does_not_stand_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.defer_flushes().unwrap();
    database.apply(&change(&store, "a")).unwrap();
    let reader = Connection::open(root.join(PATH)).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM Packages", [], |r| r.get::<_, i64>(0)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 1);
    database.apply(&change(&store, "b")).unwrap();
    assert_eq!(count(), 1);
    // The log stays as long as it is read; it is on the disk.
    let started = std::time::Instant::now();
    database.flush().unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "it waited for a reader");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 2);
    drop(database);
    drop(reader);
    assert_eq!(names(&root), ["a", "b"]);
}

#[test]
fn a_flush_without_any_change_between_leaves_the_mode_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    drop(Database::open(&root, Access::Write).unwrap());
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.defer_flushes().unwrap();
    // Nothing was looked at either, so SQLite has made no log.
    assert!(fs::metadata(log(&root)).is_err());
    database.flush().unwrap();
    database.apply(&change(&store, "a")).unwrap();
    assert!(fs::metadata(log(&root)).is_err(), "it stays in that mode");
    drop(database);
    assert_eq!(names(&root), ["a"]);
}

#[test]
fn a_reader_who_stays_ends_it_before_the_log_fills_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.defer_flushes().unwrap();
    database.apply(&change(&store, "a")).unwrap();
    let reader = Connection::open(root.join(PATH)).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM Packages", [], |r| r.get::<_, i64>(0)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 1);
    let size = || fs::metadata(log(&root)).map_or(0, |m| m.len());
    let mut added = 0;
    while size() <= 64 << 20 {
        assert!(added < 100, "the log does not grow: {}", size());
        database.apply(&large(&store, &format!("b{added}"))).unwrap();
        added += 1;
    }
    // What comes now is on the disk at once, so a flush has nothing to do: the reader may go on.
    reader.execute_batch("COMMIT").unwrap();
    database.flush().unwrap();
    assert!(size() > 0, "flushes were still deferred");
    database.defer_flushes().unwrap();
    database.apply(&change(&store, "c")).unwrap();
    database.flush().unwrap();
    drop(database);
    assert_eq!(size(), 0);
    assert_eq!(names(&root).len(), added + 2);
}

#[test]
fn a_log_that_nobody_reads_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.defer_flushes().unwrap();
    for number in 0..20 {
        database.apply(&large(&store, &format!("b{number}"))).unwrap();
    }
    assert!(fs::metadata(log(&root)).unwrap().len() < 32 << 20);
    database.flush().unwrap();
}

#[test]
fn of_a_log_that_was_not_flushed_a_power_cut_takes_whole_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let root = dir.path().join("root");
    let mut database = Database::open(&root, Access::Write).unwrap();
    database.apply(&change(&store, "a")).unwrap();
    database.defer_flushes().unwrap();
    let all = ["b", "c", "d"];
    for name in all {
        database.apply(&change(&store, name)).unwrap();
    }
    let (file, bytes) = (fs::read(root.join(PATH)).unwrap(), fs::read(log(&root)).unwrap());
    drop(database);
    let mut seen = Vec::new();
    for part in 0..=20 {
        let other = dir.path().join(format!("cut-{part}"));
        fs::create_dir_all(other.join(PATH).parent().unwrap()).unwrap();
        fs::write(other.join(PATH), &file).unwrap();
        fs::write(log(&other), &bytes[..bytes.len() * part / 20]).unwrap();
        let names = names(&other);
        assert_eq!(names, ["a", "b", "c", "d"][..names.len()]);
        seen.push(names.len());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&1), Some(&4)));
}
