//! Adds package files to the database of a root, lists it, looks all files' owners up and removes the
//! packages again, and says how long each step took: `rpmdb-apply ROOT TIME PACKAGE...`.

use lazuli_rpm::PackageFile;
use lazuli_rpmdb::{Access, Addition, Change, Database, InstalledPackage};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, time, files @ ..] = &arguments[..] else {
        return Err("usage: rpmdb-apply ROOT TIME PACKAGE...".into());
    };
    let time: u32 = time.parse()?;
    let mut change = Change::default();
    for file in files {
        let bytes = lazuli_fs::read(file)?;
        let package = PackageFile::parse(&bytes).map_err(|e| format!("{file}: {e}"))?;
        change.add.push(Addition::new(InstalledPackage::new(package.header, package.signature), time));
    }
    let mut last = Instant::now();
    let mut step = |what: &str| {
        println!("{:8.1} ms  {what}", last.elapsed().as_secs_f64() * 1000.0);
        last = Instant::now();
    };
    let mut db = Database::open(root.as_ref(), Access::Write)?;
    step("open for writing");
    let added = db.apply(&change)?;
    step(&format!("add {} packages", added.len()));
    drop(db);
    step("close");
    let db = Database::open(root.as_ref(), Access::Read)?;
    step("open for reading");
    let listed = db.list()?.len();
    step(&format!("list {listed} packages"));
    let packages = db.packages()?;
    step("read all headers");
    let paths: Vec<String> = packages.iter().flat_map(|p| p.header.paths()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    step("make paths");
    let owned = db.owners_of(&paths)?.iter().filter(|o| !o.is_empty()).count();
    step(&format!("owners of {} paths, {owned} owned", paths.len()));
    db.owners_of(&paths)?;
    step("once more");
    let cookie = db.cookie()?;
    step(&format!("cookie {cookie}"));
    drop(db);
    let mut db = Database::open(root.as_ref(), Access::Write)?;
    step("open for writing");
    db.apply(&Change { remove: added, ..Change::default() })?;
    step("remove what was added");
    Ok(())
}
