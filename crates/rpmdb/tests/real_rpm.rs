//! The real RPM as judge: a database that it writes and one that we write for the same packages are
//! equal, and it reads ours. Without `rpm` and `rpmbuild` on PATH these tests say so and pass.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_rpm::{Signer, sign};
use lazuli_rpmdb::{FileState, InstalledPackage};
use rusqlite::Connection;
use support::{have, headers, installed, packages, rpm, run, tables};

#[test]
fn our_database_equals_the_one_that_rpm_writes() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let packages = packages(dir.path());
    let (theirs, ours) = (dir.path().join("theirs/rpmdb.sqlite"), dir.path().join("ours/rpmdb.sqlite"));
    fs::create_dir_all(ours.parent().unwrap()).unwrap();
    let files: Vec<&str> = packages.iter().map(|p| p.to_str().unwrap()).collect();
    let install = ["-i", "--justdb", "--nodeps", "--noscripts", "--notriggers", "--ignorearch"];
    rpm(dir.path(), &theirs, &[&install[..], &files].concat());
    lazuli_rpmdb::write(&ours, &packages.iter().map(|p| installed(p)).collect::<Vec<_>>(), 7).unwrap();
    assert_eq!(tables(&ours), tables(&theirs));
    assert!(headers(&ours) == headers(&theirs), "the headers differ");
}

#[test]
fn rpm_reads_our_database_and_verifies_signatures_in_it() {
    if !have(&["rpm", "rpmbuild"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = Signer::generate("Test <test@example.org>", 1_700_000_000).unwrap();
    let signer = Signer::from_armored(&key.secret).unwrap();
    let mut all = InstalledPackage::public_keys(&key.public).unwrap();
    for package in packages(dir.path()) {
        let signed = sign::sign_package(&fs::read(&package).unwrap(), &signer, 0).unwrap();
        fs::write(&package, signed).unwrap();
        all.push(installed(&package).with_states(|path| {
            if path.ends_with("/README") { FileState::NotInstalled } else { FileState::Normal }
        }));
    }
    let database = dir.path().join("db/rpmdb.sqlite");
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    lazuli_rpmdb::write(&database, &all, 1_700_000_000).unwrap();
    let ask = |arguments: &[&str]| rpm(dir.path(), &database, arguments);

    let mut names: Vec<String> = ask(&["-qa", "--qf", "%{NAME}\n"]).lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["first", "gpg-pubkey", "second"]);
    assert_eq!(ask(&["-q", "--whatprovides", "virt", "--qf", "%{NAME}\n"]).lines().count(), 2);
    assert_eq!(ask(&["-qf", "/usr/share/first/two"]), "first-1.0~rc1-2.x86_64\n");
    assert!(ask(&["-qi", "first"]).contains("EdDSA/SHA256"));
    let states = ask(&["-qs", "first"]);
    assert!(states.contains("not installed /usr/share/first/doc/README"), "{states}");
    // Nothing is on the disk, and that is all that there is to complain about.
    let define = format!("_dbpath {}", database.parent().unwrap().display());
    let missing = run("rpm", dir.path(), &["--define", &define, "-V", "--nodeps", "second"]);
    assert!(missing.is_err());
    ask(&["--verifydb"]);
    ask(&["-e", "--justdb", "--nodeps", "--noscripts", "--notriggers", "first"]);
    assert_eq!(ask(&["-qa"]).lines().count(), 2);

    // Without its key the packages are still there; with a byte changed one is not.
    let db = Connection::open(&database).unwrap();
    let sql = "SELECT p.hnum, blob FROM Packages p JOIN Name n ON p.hnum = n.hnum WHERE n.key = 'second'";
    let (number, mut blob): (i64, Vec<u8>) = db.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let at = blob.windows(7).position(|w| w == b"second\0").unwrap();
    blob[at] = b'S';
    db.execute("UPDATE Packages SET blob = ?1 WHERE hnum = ?2", (&blob, number)).unwrap();
    drop(db);
    assert_eq!(ask(&["-qa"]).lines().count(), 1);
}
