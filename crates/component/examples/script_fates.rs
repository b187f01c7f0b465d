//! Prints the fate of every maintainer script of a directory of .deb files.
//!
//! `cargo run -p lazuli-component --example script_fates -- DIRECTORY [--toml | --all]`
//!
//! Without an option: scripts that need an acknowledgement, with the lines that are not recognised.
//! `--toml` prints the blocks to paste instead; `--all` also what became of the others. An entry of the
//! directory may also be a directory with the files of a control member.

use lazuli_component::adopt::script::{Status, survey};
use lazuli_component::adopt::suggest::acknowledgement_block;
use lazuli_debian::deb::{Deb, Limits};
use lazuli_fs as fs;
use std::collections::BTreeMap;
use std::path::Path;

type Error = Box<dyn std::error::Error>;
type Scripts = (BTreeMap<String, Vec<u8>>, Option<Vec<u8>>);

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(directory) = arguments.first() else { return Err("usage: script_fates DIRECTORY".into()) };
    let option = |name: &str| arguments.iter().any(|a| a == name);
    let (toml, all) = (option("--toml"), option("--all"));
    let mut needed = 0;
    let mut entries = fs::read_dir(directory)?;
    entries.sort();
    let mut total = 0;
    for entry in entries {
        let Some((scripts, triggers)) = read(&entry)? else { continue };
        let file = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let package = file.split('_').next().unwrap_or_default();
        for fate in survey(&scripts, triggers.as_deref(), &[]) {
            total += 1;
            let unacknowledged = fate.status == Status::Unacknowledged;
            needed += usize::from(unacknowledged);
            if toml && unacknowledged {
                println!("{}", acknowledgement_block(package, &fate.name, &fate.sha256));
            }
            if toml || !(unacknowledged || all) {
                continue;
            }
            println!("== {package} {} {}", fate.name, fate.sha256);
            for line in &fate.unrecognised {
                println!("   {:>4}: {}", line.number, line.text);
            }
            for effect in &fate.effects {
                println!("      -> {effect}");
            }
        }
    }
    eprintln!("{needed} of {total} scripts need an acknowledgement");
    Ok(())
}

fn read(entry: &Path) -> Result<Option<Scripts>, Error> {
    if entry.is_dir() {
        let mut scripts = BTreeMap::new();
        for name in ["preinst", "postinst", "prerm", "postrm", "config"] {
            if entry.join(name).exists() {
                scripts.insert(name.to_owned(), fs::read(entry.join(name))?);
            }
        }
        let triggers = entry.join("triggers");
        return Ok(Some((scripts, triggers.exists().then(|| fs::read(triggers)).transpose()?)));
    }
    if entry.extension().is_none_or(|e| e != "deb") {
        return Ok(None);
    }
    let deb = Deb::read_control(fs::open(entry)?, &Limits::default())?;
    Ok(Some((deb.scripts, (!deb.triggers.is_empty()).then(|| deb.triggers.into_bytes()))))
}
