//! Writes a package database from package files: `rpmdb-write DATABASE TIME PUBLIC-KEY... PACKAGE...`.
//! Keys are files that end in `.asc`.

use lazuli_rpm::PackageFile;
use lazuli_rpmdb::InstalledPackage;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, time, files @ ..] = &arguments[..] else {
        return Err("usage: rpmdb-write DATABASE TIME PUBLIC-KEY... PACKAGE...".into());
    };
    let time: i64 = time.parse()?;
    let mut packages = Vec::new();
    for file in files {
        if std::path::Path::new(file).extension().is_some_and(|e| e == "asc") {
            packages.extend(InstalledPackage::public_keys(&lazuli_fs::read_to_string(file)?)?);
            continue;
        }
        let bytes = lazuli_fs::read(file)?;
        let package = PackageFile::parse(&bytes).map_err(|e| format!("{file}: {e}"))?;
        packages.push(InstalledPackage::new(package.header, package.signature));
    }
    Ok(lazuli_rpmdb::write(database.as_ref(), &packages, time)?)
}
