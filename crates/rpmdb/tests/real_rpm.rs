//! The real RPM as judge: a database that it writes and one that we write for the same packages are
//! equal, and it reads ours. Without `rpm` and `rpmbuild` on PATH these tests say so and pass.

#![allow(clippy::unwrap_used)] // A test may fail.

use lazuli_fs::{self as fs, process};
use lazuli_rpm::{Header, PackageFile, Signer, header, sign, tag};
use lazuli_rpmdb::{FileState, InstalledPackage};
use rusqlite::{Connection, types::Value};
use std::path::{Path, PathBuf};
use std::process::Command;

const SPEC: &str = r"
Name: NAME
Version: 1.0~rc1
Release: 2
Epoch: 3
Summary: NAME
License: MIT
Requires: (tool or other-tool >= 2)
Requires: (a if b else c)
Requires: (p without q)
Requires(pre): shadow
Requires(post,preun): both
Requires(meta): meta-thing
Recommends: (rr if (ss and tt))
Suggests: sug
Supplements: (langpack and NAME)
Enhances: enh
Conflicts: (bad unless good)
Obsoletes: old < 2
Provides: virt = 4
%description
Text.
%install
mkdir -p %{buildroot}/usr/share/NAME/doc
echo one > %{buildroot}/usr/share/NAME/one
ln %{buildroot}/usr/share/NAME/one %{buildroot}/usr/share/NAME/two
echo doc > %{buildroot}/usr/share/NAME/doc/README
%post
echo post
%triggerin -- bash >= 2, zsh
echo in
%triggerun -- bash
echo un
%filetriggerin -P 2000000 -- /usr/lib /lib
echo files
%transfiletriggerin -- /usr/lib/sysusers.d
echo once
%transfiletriggerpostun -- /usr/lib /etc
echo once
%files
/usr/share/NAME
%ghost /var/log/NAME
";

fn run(program: &str, home: &Path, arguments: &[&str]) -> Result<String, process::Error> {
    let mut command = Command::new(program);
    command.env("HOME", home).env("LC_ALL", "C.UTF-8").args(arguments);
    process::run(command, |_| ()).map(|output| String::from_utf8(output).unwrap())
}

fn have(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = run(program, Path::new("/"), &["--version"]).is_ok();
        if !found {
            eprintln!("skipped: there is no `{program}` on PATH");
        }
        found
    })
}

/// Two packages made by rpmbuild, and what each file is called.
fn packages(dir: &Path) -> Vec<PathBuf> {
    let top = format!("_topdir {}", dir.join("top").display());
    ["first", "second"]
        .into_iter()
        .map(|name| {
            let spec = dir.join(format!("{name}.spec"));
            fs::write(&spec, SPEC.replace("NAME", name)).unwrap();
            let arguments =
                ["--define", &top, "--target", "x86_64", "-bb", "--quiet", spec.to_str().unwrap()];
            run("rpmbuild", dir, &arguments).unwrap();
            dir.join(format!("top/RPMS/x86_64/{name}-1.0~rc1-2.x86_64.rpm"))
        })
        .collect()
}

fn installed(package: &Path) -> InstalledPackage {
    let bytes = fs::read(package).unwrap();
    let package = PackageFile::parse(&bytes).unwrap();
    InstalledPackage::new(package.header, package.signature)
}

fn rpm(dir: &Path, database: &Path, arguments: &[&str]) -> String {
    let define = format!("_dbpath {}", database.parent().unwrap().display());
    run("rpm", dir, &[&["--define", &define], arguments].concat()).unwrap()
}

/// The rows of all tables, with the package's name instead of its number, in any order.
fn tables(database: &Path) -> Vec<(String, Vec<String>)> {
    let db = Connection::open(database).unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = names(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    );
    assert_eq!(tables.len(), 19);
    let mut all = vec![(
        "schema".to_owned(),
        names("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY sql"),
    )];
    // The time of installation differs, and with it the number of the transaction.
    for table in tables.into_iter().filter(|t| t != "Packages" && t != "Installtid") {
        let sql = format!(
            "SELECT t.key, n.key, t.idx FROM '{table}' t JOIN Name n ON t.hnum = n.hnum ORDER BY 1, 2, 3"
        );
        let mut statement = db.prepare(&sql).unwrap();
        let rows = statement
            .query_map([], |r| {
                Ok(format!("{:?} {} {}", r.get::<_, Value>(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?))
            })
            .unwrap();
        all.push((table, rows.map(Result::unwrap).collect()));
    }
    all
}

/// An entry of a header: tag, type, count, data.
type Entry = (u32, u32, usize, Vec<u8>);

/// The digests of the package file, which RPM 6 adds, and of which nothing in the file knows.
const PACKAGE_DIGESTS: [u32; 2] = [5118, 5119];

/// The entries of each package's header.
fn headers(database: &Path) -> Vec<Vec<Entry>> {
    let db = Connection::open(database).unwrap();
    let mut statement =
        db.prepare("SELECT blob FROM Packages p JOIN Name n ON p.hnum = n.hnum ORDER BY n.key").unwrap();
    let blobs = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let parse = |blob: Vec<u8>| Header::parse(&[&header::MAGIC[..], &blob].concat()).unwrap();
    blobs
        .map(|blob| {
            let header = parse(blob.unwrap());
            let value = |e: &header::Entry| match e.tag {
                tag::INSTALLTIME | tag::INSTALLTID => Vec::new(),
                _ => header.data(e).to_vec(),
            };
            let entries = header.entries().iter().filter(|e| !PACKAGE_DIGESTS.contains(&e.tag));
            entries.map(|e| (e.tag, e.kind as u32, e.count, value(e))).collect()
        })
        .collect()
}

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
