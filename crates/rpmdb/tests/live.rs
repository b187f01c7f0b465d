//! Opening, querying and changing a database, without the real RPM.

#![allow(clippy::unwrap_used)] // A test may fail.

use lazuli_fs as fs;
use lazuli_rpm::{Builder, Dependency, Evr, FileEntry, FileFlags, Nevra, PackageFile, Signer};
use lazuli_rpmdb::{
    Access, Addition, Change, Damage, Database, Error, FileState, Index, InstalledPackage, PATH, Relation,
};
use lazuli_store::Store;
use lazuli_tree::{Node, TreePath};
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A package with some files, one of which, README, every package has in its own directory.
fn package(store: &Store, name: &str, version: &str, files: usize) -> InstalledPackage {
    let content = store.put(name.as_bytes()).unwrap();
    let file = |path: String| FileEntry {
        path: TreePath::new(&path).unwrap(),
        node: Node::file(content, name.len() as u64),
        flags: FileFlags::NONE,
        capabilities: None,
    };
    let mut all = vec![
        FileEntry { node: Node::directory(), ..file(format!("usr/share/{name}")) },
        file(format!("usr/share/{name}/README")),
    ];
    all.extend((0..files).map(|i| file(format!("usr/share/{name}/{}/file-{i}", i % 7))));
    let builder = Builder {
        nevra: Nevra { name: name.into(), evr: Evr::new(None, version, "1"), arch: "noarch".into() },
        summary: name.into(),
        license: "MIT".into(),
        build_time: 1_700_000_000,
        build_host: "localhost".into(),
        requires: vec![Dependency::parse("(a if b)").unwrap(), Dependency::any("/bin/sh")],
        provides: vec![Dependency::parse("virtual = 2").unwrap()],
        files: all,
        ..Builder::default()
    };
    let mut bytes = Vec::new();
    builder.write(store, None, &mut bytes).unwrap();
    let file = PackageFile::parse(&bytes).unwrap();
    InstalledPackage::new(file.header.clone(), file.signature)
}

struct Root {
    dir: tempfile::TempDir,
    store: Store,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self) -> PathBuf {
        self.path().join(PATH)
    }

    fn open(&self, access: Access) -> Database {
        Database::open(&self.path(), access).unwrap()
    }

    fn add(&self, names: &[&str]) -> Vec<u32> {
        let change = Change { add: self.additions(names, "1"), ..Change::default() };
        self.open(Access::Write).apply(&change).unwrap()
    }

    fn additions(&self, names: &[&str], version: &str) -> Vec<Addition> {
        names.iter().map(|n| Addition::new(package(&self.store, n, version, 30), 1_700_000_000)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.open(Access::Read).list().unwrap().iter().map(|p| p.nevra.to_string()).collect()
    }
}

/// All rows of all tables but those of packages.
fn dump(path: &Path) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let column = |sql: &str| -> Vec<String> {
        db.prepare(sql).unwrap().query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut all = column("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql");
    for table in column("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
        if !table.starts_with("sqlite") && table != "Packages" {
            all.extend(column(&format!(
                "SELECT '{table} ' || quote(key) || ' ' || hnum || ' ' || idx FROM '{table}' ORDER BY 1"
            )));
        }
    }
    all
}

#[test]
fn a_missing_database_is_empty_and_reading_does_not_make_it() {
    let root = Root::new();
    let db = root.open(Access::Read);
    assert!(db.packages().unwrap().is_empty() && db.list().unwrap().is_empty());
    assert!(db.providers("virtual").unwrap().is_empty() && db.owners("/usr").unwrap().is_empty());
    let empty = db.cookie().unwrap();
    assert!(!root.path().exists());
    root.add(&["a"]);
    assert_ne!(root.open(Access::Steady).cookie().unwrap(), empty);
}

#[test]
fn what_is_applied_is_found_by_every_way() {
    let root = Root::new();
    let added = root.add(&["one", "two"]);
    let db = root.open(Access::Read);
    let packages = db.packages().unwrap();
    assert_eq!(packages.iter().map(|p| p.hnum).collect::<Vec<_>>(), added);
    let listed = db.list().unwrap();
    for (package, listed) in packages.iter().zip(&listed) {
        assert_eq!((package.hnum, package.nevra()), (listed.hnum, listed.nevra.clone()));
        assert_eq!(
            (package.install_time, package.transaction, package.color),
            (1_700_000_000, 1_700_000_000, 3)
        );
        assert_eq!((listed.install_time, listed.build_time), (1_700_000_000, 1_700_000_000));
        assert_eq!(package.states, vec![FileState::Normal; package.header.paths().len()]);
        for (relation, whole) in
            [(Relation::Provides, package.header.provides()), (Relation::Requires, package.header.requires())]
        {
            assert_eq!(db.dependencies(package.hnum, relation).unwrap(), whole);
        }
    }
    let original = package(&root.store, "one", "1", 30).header;
    assert_eq!(packages[0].package_header().unwrap(), original);
    assert_eq!(db.named("two").unwrap()[0].hnum, added[1]);
    assert_eq!(db.providers("virtual").unwrap().iter().map(|r| r.0).collect::<Vec<_>>(), added);
    assert_eq!(db.requirers("!b").unwrap().len(), 2, "a condition of a rich dependency");
    assert_eq!(db.find(Index::Directory, "/usr/share/one/").unwrap().len(), 1);
    assert_eq!(db.all(Index::Name).unwrap().len(), 2);
    assert_eq!(db.installed_in(1_700_000_000).unwrap(), added);
    assert!(db.get(99).unwrap().is_none() && db.unreadable().is_empty());
}

#[test]
fn owners_of_few_and_of_many_paths_are_those_in_the_headers() {
    let root = Root::new();
    let names: Vec<String> = (0..12).map(|i| format!("package{i}")).collect();
    root.add(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let db = root.open(Access::Read);
    let mut paths: Vec<String> = Vec::new();
    let mut expected = Vec::new();
    for package in db.packages().unwrap() {
        for (i, path) in (0_u32..).zip(package.header.paths()) {
            paths.push(path);
            expected.push(vec![(package.hnum, i)]);
        }
    }
    let readme = expected[paths.iter().position(|p| p == "/usr/share/package0/README").unwrap()].clone();
    for absent in ["/usr/share/package0/README/", "/README", "/usr/share/nobody/README", "/", ""] {
        paths.push(absent.into());
        expected.push(if absent.ends_with("README/") { readme.clone() } else { Vec::new() });
    }
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    assert!(all.len() > 300);
    assert!(db.owners_of(&all).unwrap() == expected);
    for (few, expected) in all.chunks(10).zip(expected.chunks(10)) {
        assert_eq!(db.owners_of(few).unwrap(), expected);
    }
    let readmes = &db.candidates(&HashSet::from(["README", "nothing"])).unwrap()["README"];
    assert_eq!(readmes.len(), 12);
    assert_eq!(&*readmes[3].directory, "/usr/share/package3/");
}

#[test]
fn a_change_is_made_as_a_whole_or_not_at_all() {
    let root = Root::new();
    let added = root.add(&["a", "b", "c"]);
    let before = (root.names(), dump(&root.file()));
    let mut db = root.open(Access::Write);
    let cookie = db.cookie().unwrap();
    let fails = [
        Change { remove: vec![added[0], 77], add: root.additions(&["d"], "1"), ..Change::default() },
        Change { remove: vec![added[0]], add: root.additions(&["d", "b"], "1"), ..Change::default() },
        Change { add: root.additions(&["d", "d"], "1"), ..Change::default() },
        Change {
            states: vec![(added[0], vec![FileState::Normal])],
            remove: vec![added[1]],
            ..Change::default()
        },
    ];
    for (change, expected) in fails.iter().zip(["no package number 77", "b-1-1", "d-1-1", "file states"]) {
        let error = db.apply(change).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!db.is_applied(change).unwrap());
    }
    assert_eq!(db.cookie().unwrap(), cookie);
    assert_eq!((root.names(), dump(&root.file())), before);

    let change = Change {
        remove: vec![added[0], added[2]],
        add: root.additions(&["a", "d"], "2"),
        ..Change::default()
    };
    let new = db.apply(&change).unwrap();
    assert!(new.iter().all(|hnum| !added.contains(hnum)), "a number is never used again");
    assert!(db.is_applied(&change).unwrap());
    drop(db);
    assert_eq!(root.names(), ["b-1-1.noarch", "a-2-1.noarch", "d-2-1.noarch"]);
    let fresh = Root::new();
    fresh.add(&["filler"]);
    let error = fresh.open(Access::Read).apply(&change);
    assert!(error.is_err());
}

#[test]
fn removing_everything_leaves_no_row() {
    let root = Root::new();
    let added = root.add(&["a", "b"]);
    root.open(Access::Write).apply(&Change { remove: added, ..Change::default() }).unwrap();
    assert!(dump(&root.file()).iter().all(|line| line.starts_with("CREATE")));
}

#[test]
fn the_space_that_is_asked_for_suffices() {
    let root = Root::new();
    root.add(&["a"]);
    let before = fs::metadata(root.file()).unwrap().len();
    let names: Vec<String> = (0..40).map(|i| format!("package{i}")).collect();
    let add = root.additions(&names.iter().map(String::as_str).collect::<Vec<_>>(), "1");
    let mut db = root.open(Access::Write);
    let space = db.space_for(add.iter().map(|a| &a.package.header));
    db.apply(&Change { add, ..Change::default() }).unwrap();
    drop(db);
    let grown = fs::metadata(root.file()).unwrap().len() - before;
    // A rollback journal holds the old pages at most, a log all the new ones until it is moved into the database.
    let log: u64 = 8 << 20;
    assert!(grown + grown.max(before) < space && space < log + 20 * grown, "{grown} of {space}");
}

#[test]
fn states_change_in_place() {
    let root = Root::new();
    let hnum = root.add(&["a"])[0];
    let before = root.open(Access::Read).get(hnum).unwrap().unwrap();
    let mut states = before.states.clone();
    states[1] = FileState::Replaced;
    states[2] = FileState::NotInstalled;
    let change = Change { states: vec![(hnum, states.clone())], ..Change::default() };
    root.open(Access::Write).apply(&change).unwrap();
    let after = root.open(Access::Read).get(hnum).unwrap().unwrap();
    assert_eq!(after.states, states);
    assert_eq!(after.package_header(), before.package_header());
    let differing = before.header.bytes().iter().zip(after.header.bytes()).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 2);
}

#[test]
fn writers_exclude_each_other_and_say_who_they_are() {
    let root = Root::new();
    root.add(&["a"]);
    let writer = root.open(Access::Write);
    let mut told = None;
    let second = Database::open_waiting(&root.path(), Access::Write, Duration::ZERO, |_| ());
    let Err(Error::Locked { holder, .. }) = second else { panic!("{second:?}") };
    assert_eq!(holder.pid, std::process::id());
    assert_eq!(root.names(), ["a-1-1.noarch"], "queries need no lock");
    let steady = Database::open_waiting(&root.path(), Access::Steady, Duration::from_millis(200), |h| {
        told = Some(h.clone());
    });
    assert!(matches!(steady, Err(Error::Locked { .. })) && told == Some(holder));
    drop(writer);
    let steady = (root.open(Access::Steady), root.open(Access::Steady));
    assert!(Database::open_waiting(&root.path(), Access::Write, Duration::ZERO, |_| ()).is_err());
    drop(steady);
    root.open(Access::Write);
}

#[test]
fn an_interrupted_change_is_rolled_back_by_whoever_comes_next() {
    for access in [Access::Read, Access::Write] {
        let (root, copy) = (Root::new(), Root::new());
        root.add(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        let before = (root.names(), dump(&root.file()));
        // A process that died after it had begun to overwrite the database.
        let db = Connection::open(root.file()).unwrap();
        db.execute_batch("PRAGMA cache_size = 2; PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE;").unwrap();
        db.execute_batch("DELETE FROM Packages; DELETE FROM Basenames; DELETE FROM Name;").unwrap();
        fs::create_dir_all(copy.file().parent().unwrap()).unwrap();
        for suffix in ["", "-journal"] {
            let name = |root: &Root| PathBuf::from(format!("{}{suffix}", root.file().display()));
            fs::copy(name(&root), name(&copy)).unwrap();
        }
        assert_ne!(fs::read(copy.file()).unwrap().len(), 0);
        drop(copy.open(access));
        assert!(!PathBuf::from(format!("{}-journal", copy.file().display())).exists());
        assert_eq!((copy.names(), dump(&copy.file())), before);
    }
}

#[test]
fn missing_tables_and_indexes_come_back() {
    let root = Root::new();
    root.add(&["a", "b"]);
    let before = dump(&root.file());
    let db = Connection::open(root.file()).unwrap();
    db.execute_batch("DROP TABLE Providename; DROP TABLE Sigmd5; DROP INDEX Name_key_idx;").unwrap();
    drop(db);
    let damaged = dump(&root.file());
    let db = root.open(Access::Read);
    assert_eq!(db.providers("virtual").unwrap().len(), 2);
    drop(db);
    assert_eq!(dump(&root.file()), damaged, "reading changes nothing");
    root.open(Access::Write);
    assert_eq!(dump(&root.file()), before);
}

#[test]
fn rows_that_cannot_be_read_are_told_and_can_be_removed() {
    let root = Root::new();
    root.add(&["a", "b"]);
    let db = Connection::open(root.file()).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF; UPDATE Packages SET blob = X'0000000100000000' WHERE hnum = 1; INSERT INTO Packages VALUES (9, 'text');
         INSERT INTO Name VALUES ('ghost', 9, 0); INSERT INTO Name VALUES ('nobody', 55, 0);
         CREATE TABLE Newername (key TEXT, hnum INTEGER, idx INTEGER); INSERT INTO Newername VALUES ('x', 9, 0);",
    )
    .unwrap();
    drop(db);
    let mut db = root.open(Access::Write);
    assert_eq!(db.packages().unwrap().len(), 1);
    assert_eq!(db.list().unwrap().len(), 1);
    let unreadable: Vec<u32> = db.unreadable().iter().map(|u| u.hnum).collect();
    assert_eq!(unreadable, [1, 9]);
    assert!(db.named("ghost").unwrap().is_empty() && db.named("nobody").unwrap().is_empty());
    db.apply(&Change { remove: vec![1, 9], ..Change::default() }).unwrap();
    assert!(db.unreadable().is_empty());
    drop(db);
    assert!(!dump(&root.file()).iter().any(|line| line.ends_with(" 9 0") || line.ends_with(" 1 0")));
}

#[test]
fn a_file_that_is_no_database_is_an_error_that_names_it() {
    let root = Root::new();
    fs::create_dir_all(root.file().parent().unwrap()).unwrap();
    fs::write(root.file(), "this is no database, but it is long enough to be taken for one").unwrap();
    for access in [Access::Read, Access::Write] {
        let error = Database::open(&root.path(), access).unwrap_err().to_string();
        assert!(error.contains("rpmdb.sqlite"), "{error}");
    }
    fs::rename(root.file(), root.file().with_file_name("Packages.db")).unwrap();
    let error = Database::open(&root.path(), Access::Read).unwrap_err();
    assert!(matches!(error, Error::OtherFormat { .. }), "{error}");
}

#[test]
fn the_directory_may_be_a_link_in_the_root() {
    let root = Root::new();
    fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
    fs::create_dir_all(root.path().join("usr/lib/sysimage")).unwrap();
    fs::symlink("/var/lib/rpm", root.path().join("usr/lib/sysimage/rpm")).unwrap();
    root.add(&["a"]);
    assert!(root.path().join("var/lib/rpm/rpmdb.sqlite").exists());
    assert_eq!(root.names(), ["a-1-1.noarch"]);
}

#[test]
fn keys_are_imported_once_listed_and_removed() {
    let root = Root::new();
    root.add(&["a"]);
    let key = Signer::generate("Test <test@example.org>", 1_700_000_000).unwrap();
    let mut db = root.open(Access::Write);
    let added = db.import_keys(&key.public, 5).unwrap();
    assert_eq!(added.len(), 1);
    assert!(db.import_keys(&key.public, 6).unwrap().is_empty());
    let keys = db.keys().unwrap();
    let fingerprint = Signer::from_armored(&key.secret).unwrap().fingerprint();
    assert_eq!((keys.len(), keys[0].hnum, &keys[0].fingerprint), (1, added[0], &fingerprint));
    assert_eq!((keys[0].created, keys[0].imported), (1_700_000_000, 5));
    assert_eq!(keys[0].user_id, "Test <test@example.org>");
    assert!(lazuli_rpm::KeyRing::from_armored(&keys[0].armored).is_ok());
    assert_eq!(db.list().unwrap().len(), 1, "a key is no package");
    assert!(db.remove_key("00000000").unwrap().is_empty());
    assert_eq!(db.remove_key(&fingerprint[fingerprint.len() - 8..].to_uppercase()).unwrap(), added);
    assert!(db.keys().unwrap().is_empty());
}

#[test]
fn damage_is_found_and_indexes_are_made_anew() {
    let root = Root::new();
    root.add(&["a", "b", "c"]);
    let before = dump(&root.file());
    assert_eq!(root.open(Access::Read).check().unwrap(), []);
    let db = Connection::open(root.file()).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF; DELETE FROM Basenames WHERE hnum = 1 AND key = 'README';
         INSERT INTO Providename VALUES ('more', 2, 9); INSERT INTO Name VALUES ('nobody', 55, 0);
         INSERT INTO Packages SELECT 8, blob FROM Packages WHERE hnum = 3;",
    )
    .unwrap();
    let mut blob: Vec<u8> =
        db.query_row("SELECT blob FROM Packages WHERE hnum = 2", [], |r| r.get(0)).unwrap();
    let at = blob.windows(6).position(|w| w == b"README").unwrap();
    blob[at] = b'L';
    db.execute("UPDATE Packages SET blob = ?1 WHERE hnum = 2", [&blob]).unwrap();
    drop(db);
    let damage = root.open(Access::Read).check().unwrap();
    let index = |table, hnum, missing, surplus| Damage::Index { table, hnum, missing, surplus };
    for expected in [
        index("Basenames", 1, 1, 0),
        index("Basenames", 2, 1, 1),
        index("Providename", 2, 0, 1),
        index("Name", 55, 0, 1),
        index("Name", 8, 1, 0),
        Damage::Twice { package: "c-1-1.noarch".into(), hnums: vec![3, 8] },
    ] {
        assert!(damage.contains(&expected), "{expected:?} in {damage:?}");
    }
    assert!(damage.iter().any(|d| d.to_string().contains("number 2: its header is damaged")), "{damage:?}");

    let mut db = root.open(Access::Write);
    db.apply(&Change { remove: vec![8], ..Change::default() }).unwrap();
    db.reindex().unwrap();
    let left = db.check().unwrap();
    assert!(matches!(&left[..], [Damage::Package { hnum: 2, .. }]), "{left:?}");
    drop(db);
    let mut after: Vec<String> =
        dump(&root.file()).iter().map(|l| l.replace("'LEADME' 2 ", "'README' 2 ")).collect();
    let mut before = before;
    after.sort();
    before.sort();
    assert_eq!(after, before);
}

/// Names the root in which a copy of this test program changes the database until it is killed.
const VICTIM: &str = "LAZULI_RPMDB_TEST_ROOT";

#[test]
fn a_killed_process_leaves_all_of_a_change_or_nothing() {
    let root = Root::new();
    if let Some(path) = std::env::var_os(VICTIM) {
        // The copy: replaces three packages by their next version, again and again.
        for version in 2.. {
            let mut db = Database::open(Path::new(&path), Access::Write).unwrap();
            let remove = db.list().unwrap().iter().map(|p| p.hnum).collect();
            let add = root.additions(&["a", "b", "c"], &version.to_string());
            db.apply(&Change { remove, add, ..Change::default() }).unwrap();
            drop(db);
        }
    }
    for (round, mode) in (0_u64..16).zip(["DELETE", "WAL"].into_iter().cycle()) {
        let root = Root::new();
        root.add(&["a", "b", "c"]);
        let db = Connection::open(root.file()).unwrap();
        db.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        drop(db);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_leaves_all_of_a_change_or_nothing"])
            .env(VICTIM, root.path())
            .env("TMPDIR", root.dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let first = root.open(Access::Read).cookie().unwrap();
        for _ in 0..1000 {
            if root.open(Access::Read).cookie().unwrap() != first {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(round * 1700));
        child.kill().unwrap();
        child.wait().unwrap();
        let db = root.open(if round % 3 == 0 { Access::Write } else { Access::Read });
        assert_eq!(db.check().unwrap(), [], "round {round}");
        let packages = db.list().unwrap();
        let names: Vec<&str> = packages.iter().map(|p| p.nevra.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"], "round {round}");
        assert!(packages.iter().all(|p| p.nevra.evr == packages[0].nevra.evr), "{packages:?}");
    }
}

/// All rows of the index tables, with the package's name for its number.
fn by_name(path: &Path) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let names: BTreeMap<String, String> = db
        .prepare("SELECT hnum, key FROM Name")
        .unwrap()
        .query_map([], |r| Ok((r.get::<_, i64>(0)?.to_string(), r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let named = |line: String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let number = words.len().saturating_sub(2);
        if let Some(name) = words.get(number).and_then(|hnum| names.get(*hnum)) {
            words[number] = name;
        }
        words.join(" ")
    };
    let mut rows: Vec<String> = dump(path).into_iter().map(named).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_sequence_of_changes_ends_as_if_written_at_once(
        steps in prop::collection::vec(prop::collection::vec((0_usize..5, prop::option::of(1_u8..4)), 1..4), 1..8),
    ) {
        let root = Root::new();
        let mut model: BTreeMap<usize, (u32, InstalledPackage)> = BTreeMap::new();
        let mut db = root.open(Access::Write);
        for step in steps {
            let step: BTreeMap<usize, Option<u8>> = step.into_iter().collect();
            let mut change = Change::default();
            for (&name, version) in &step {
                change.remove.extend(model.remove(&name).map(|(hnum, _)| hnum));
                if let Some(version) = version {
                    let new = package(&root.store, &format!("p{name}"), &version.to_string(), 5 * name);
                    change.add.push(Addition::new(new, 7));
                }
            }
            let new = db.apply(&change).unwrap();
            let names = step.iter().filter(|(_, version)| version.is_some()).map(|(name, _)| *name);
            for ((name, hnum), addition) in names.zip(new).zip(change.add) {
                model.insert(name, (hnum, addition.package));
            }
        }
        prop_assert_eq!(db.check().unwrap(), []);
        drop(db);
        let whole = root.dir.path().join("whole.sqlite");
        let packages: Vec<InstalledPackage> = model.values().map(|(_, package)| package.clone()).collect();
        lazuli_rpmdb::write(&whole, &packages, 7).unwrap();
        prop_assert_eq!(by_name(&root.file()), by_name(&whole));
    }
}
