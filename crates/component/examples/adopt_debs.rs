//! Adopts every .deb of a directory and writes the RPMs, unsigned.
//!
//! `cargo run -p lazuli-component --example adopt_debs -- DEBS OUT [--distro DISTRO] [--report]`
//!
//! With `--distro` the overlays of `DISTRO/components` count and packages that are in none of them are
//! passed over; without it every script counts as acknowledged. Errors are printed and counted.

use lazuli_component::adopt::script::{Status, survey};
use lazuli_component::adopt::{Request, adopt};
use lazuli_component::schema::{
    Adopted, Component, ComponentFile, ComponentKind, PackageOverlay, ScriptAcknowledgement,
};
use lazuli_component::toml_file;
use lazuli_debian::deb::{Deb, Limits};
use lazuli_fs as fs;
use lazuli_store::{Digest, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [debs, out, ..] = arguments.as_slice() else {
        return Err("usage: adopt_debs DEBS OUT [--distro DISTRO] [--report]".into());
    };
    let report = arguments.iter().any(|a| a == "--report");
    let distro = arguments.iter().position(|a| a == "--distro").and_then(|i| arguments.get(i + 1));
    let components = distro.map(|d| components(Path::new(d))).transpose()?;
    let temporary = tempfile::tempdir()?;
    let store = Store::open(temporary.path())?;
    fs::create_dir_all(out)?;
    let (mut done, mut failed) = (0, 0);
    let mut entries = fs::read_dir(debs)?;
    entries.sort();
    for entry in entries.iter().filter(|e| e.extension().is_some_and(|e| e == "deb")) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('_').next().unwrap_or_default();
        let component = components.as_ref().map(|c| c.get(name));
        if matches!(component, Some(None)) {
            continue;
        }
        match one(entry, name, component.flatten(), &store, Path::new(out)) {
            Ok(text) => {
                done += 1;
                if report {
                    println!("{text}");
                }
            }
            Err(error) => {
                failed += 1;
                println!("{error}\n");
            }
        }
    }
    eprintln!("{done} adopted, {failed} failed");
    if failed > 0 { Err("some packages cannot be adopted".into()) } else { Ok(()) }
}

fn one(
    file: &Path,
    name: &str,
    component: Option<&(Adopted, PathBuf)>,
    store: &Store,
    out: &Path,
) -> Result<String, Error> {
    let deb = Deb::read(fs::open(file)?, store, &Limits::default()).map_err(|e| format!("{name}: {e}"))?;
    let (mut overlay, folder) = match component {
        Some((adopted, folder)) => (adopted.overlays.get(name).cloned().unwrap_or_default(), folder.clone()),
        None => (PackageOverlay::default(), PathBuf::new()),
    };
    if component.is_none() {
        let triggers = (!deb.triggers.is_empty()).then_some(deb.triggers.as_bytes());
        overlay.script = survey(&deb.scripts, triggers, &[])
            .into_iter()
            .filter(|fate| fate.status == Status::Unacknowledged)
            .map(|fate| ScriptAcknowledgement { name: fate.name, sha256: fate.sha256, reason: "-".into() })
            .collect();
    }
    let request = Request {
        deb: &deb,
        sha256: Digest::of(fs::read(file)?),
        suite: "trixie",
        overlay: &overlay,
        folder: &folder,
        license: component.and_then(|(adopted, _)| adopted.license.as_deref()),
        rebuild: component.map_or(1, |(adopted, _)| adopted.rebuild),
        vendor: "Lazuli Linux",
        packager: "Lazuli Linux",
        build_host: "lazuli",
    };
    let (builder, report) = adopt(&request, store)?;
    let path = out.join(builder.nevra.file_name());
    let mut rpm = fs::create(&path)?;
    builder.write(store, None, &mut rpm).map_err(|e| format!("{name}: {e}"))?;
    Ok(report.to_string())
}

/// Adopted components by the packages that they yield.
fn components(distro: &Path) -> Result<BTreeMap<String, (Adopted, PathBuf)>, Error> {
    let mut all = BTreeMap::new();
    for folder in fs::read_dir(distro.join("components"))? {
        let file = folder.join("component.toml");
        if !file.exists() {
            continue;
        }
        let read: ComponentFile = toml_file::read(&file)?;
        if read.kind == ComponentKind::Adopted
            && let Component::Adopted(adopted) =
                read.validate().map_err(|e| format!("{}: {e}", file.display()))?
        {
            for package in adopted.packages.clone() {
                all.insert(package, (adopted.clone(), folder.clone()));
            }
        }
    }
    Ok(all)
}
