//! Packages made by the real rpmbuild, the real rpm on a database, and what a database holds.

#![allow(dead_code)] // Not every test uses everything.

use lazuli_fs::{self as fs, process};
use lazuli_rpm::{Header, PackageFile, header, tag};
use lazuli_rpmdb::InstalledPackage;
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

/// Runs a program and returns what it prints.
pub fn run(program: &str, home: &Path, arguments: &[&str]) -> Result<String, process::Error> {
    let mut command = Command::new(program);
    command.env("HOME", home).env("LC_ALL", "C.UTF-8").args(arguments);
    process::run(command, |_| ()).map(|output| String::from_utf8(output).unwrap())
}

/// Whether these programs are there; says which are not.
pub fn have(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = run(program, Path::new("/"), &["--version"]).is_ok();
        if !found {
            eprintln!("skipped: there is no `{program}` on PATH");
        }
        found
    })
}

/// Two packages made by rpmbuild, and what each file is called.
pub fn packages(dir: &Path) -> Vec<PathBuf> {
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

/// A package file as it is to be installed.
pub fn installed(package: &Path) -> InstalledPackage {
    let bytes = fs::read(package).unwrap();
    let package = PackageFile::parse(&bytes).unwrap();
    InstalledPackage::new(package.header, package.signature)
}

/// Runs `rpm` on a database.
pub fn rpm(dir: &Path, database: &Path, arguments: &[&str]) -> String {
    let define = format!("_dbpath {}", database.parent().unwrap().display());
    run("rpm", dir, &[&["--define", &define], arguments].concat()).unwrap()
}

/// The rows of all tables, with the package's name instead of its number, in any order.
pub fn tables(database: &Path) -> Vec<(String, Vec<String>)> {
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
pub type Entry = (u32, u32, usize, Vec<u8>);

/// The digests of the package file, which RPM 6 adds, and of which nothing in the file knows.
const PACKAGE_DIGESTS: [u32; 2] = [5118, 5119];

/// The entries of each package's header.
pub fn headers(database: &Path) -> Vec<Vec<Entry>> {
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
