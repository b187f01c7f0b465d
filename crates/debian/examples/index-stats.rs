//! Reads real indices: `index-stats InRelease=FILE KEY.asc... Packages=FILE Sources=FILE`, prints what was
//! found and how long it took.

use lazuli_debian::{index, release};
use std::time::{Instant, SystemTime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut keys = Vec::new();
    let mut inreleases = Vec::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    for argument in std::env::args().skip(1) {
        let start = Instant::now();
        match argument.split_once('=') {
            Some(("InRelease", path)) => inreleases.push(path.to_owned()),
            Some(("Packages", path)) => {
                let text = lazuli_fs::read(path)?;
                let start = Instant::now();
                let packages = index::parse_packages(&text)?;
                println!("{path}: {} packages in {:?}", packages.len(), start.elapsed());
                let start = Instant::now();
                let mut relations = 0;
                for package in &packages {
                    for field in
                        [&package.depends, &package.pre_depends, &package.recommends, &package.provides]
                    {
                        relations += field.parse()?.len();
                    }
                    for field in [&package.breaks, &package.conflicts, &package.replaces, &package.suggests] {
                        relations += field.parse()?.len();
                    }
                }
                println!("{path}: {relations} relations in {:?}", start.elapsed());
            }
            Some(("Sources", path)) => {
                let text = lazuli_fs::read(path)?;
                let start = Instant::now();
                let sources = index::parse_sources(&text)?;
                println!("{path}: {} sources in {:?}", sources.len(), start.elapsed());
                for source in &sources {
                    source.build_depends.parse()?;
                }
            }
            _ => keys.push(lazuli_fs::read(&argument)?),
        }
        let _ = start;
    }
    if !inreleases.is_empty() {
        let ring = release::Keyring::from_keys(&keys)?;
        println!("keys: {}", ring.fingerprints().join(" "));
        for path in inreleases {
            let bytes = lazuli_fs::read(&path)?;
            let start = Instant::now();
            match release::verify_inrelease(&bytes, &ring, i64::try_from(now)?, release::Expiry::Refused) {
                Ok(r) => println!(
                    "{path}: {} {} {} files, by {} in {:?}",
                    r.codename,
                    r.date,
                    r.files.len(),
                    r.signer,
                    start.elapsed()
                ),
                Err(e) => println!("{path}: {e}"),
            }
        }
    }
    Ok(())
}
