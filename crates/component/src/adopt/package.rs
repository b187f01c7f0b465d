//! One package, from a .deb to everything that an RPM consists of.

use super::control::Control;
use super::dependencies::Dependencies;
use super::files::{self, Arranged, Entry};
use super::generated;
use super::report::{AdoptReport, Origin};
use super::script::{self, Effect, Unacknowledged};
use super::{changelog, license, names};
use crate::schema::PackageOverlay;
use lazuli_debian::deb::Deb;
use lazuli_rpm::{Builder, ChangelogEntry, FileEntry, FileFlags, Nevra};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Tree, TreePath};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

/// How many entries of Debian's changelog go into the RPM's.
const CHANGELOG_ENTRIES: usize = 5;
/// How much of a changelog is unpacked to find them, in bytes.
const MAX_CHANGELOG: u64 = 256 << 10;
/// The longest copyright file that is read for a licence expression, in bytes.
const MAX_COPYRIGHT: usize = 4 << 20;

/// Why a package could not be adopted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has to look at maintainer scripts.
    #[error(transparent)]
    Script(#[from] Unacknowledged),
    /// A field of the package's control file is not as it should be.
    #[error("{package}: control field {field}: {reason}")]
    Field {
        /// The package.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The overlay names what the package does not have, or says something that cannot be.
    #[error("{package}: the overlay in component.toml does not fit the package:\n  {}", .problems.join("\n  "))]
    Overlay {
        /// The package.
        package: String,
        /// What is wrong, one line each.
        problems: Vec<String>,
    },
    /// The files.
    #[error("{package}: {source}")]
    Files {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: files::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
}

/// What is adopted, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The package, its files in the store.
    pub deb: &'a Deb,
    /// SHA-256 of the .deb, for the report.
    pub sha256: Digest,
    /// The suite that it was pinned from, for the report.
    pub suite: &'a str,
    /// The overlay.
    pub overlay: &'a PackageOverlay,
    /// The folder of `component.toml`, where `add-files` finds its sources.
    pub folder: &'a Path,
    /// SPDX expression of the component, if it has one.
    pub license: Option<&'a str>,
    /// Rebuild number, from 1.
    pub rebuild: u32,
    /// The distribution's name, as vendor.
    pub vendor: &'a str,
    /// Who packaged it.
    pub packager: &'a str,
    /// Name of the build host in the RPM; a fixed one.
    pub build_host: &'a str,
}

/// Everything that the RPM consists of, and the report.
pub fn adopt(request: &Request<'_>, store: &Store) -> Result<(Builder, AdoptReport), Error> {
    let control = Control::read(request.deb)?;
    let scripts = script::fates(
        &control.package,
        &request.deb.scripts,
        (!request.deb.triggers.is_empty()).then_some(request.deb.triggers.as_bytes()),
        &request.overlay.script,
    )?;
    let (mut alternatives, mut capabilities) = (Vec::new(), Vec::new());
    for effect in scripts.iter().flat_map(|s| &s.effects) {
        match effect {
            Effect::Alternative(alternative) => alternatives.push(alternative.clone()),
            Effect::Capability { path, capabilities: text } => {
                capabilities.push((path.clone(), text.clone()));
            }
            _ => {}
        }
    }
    let input = files::Input {
        name: &control.package,
        data: &request.deb.data,
        conffiles: &request.deb.conffiles,
        overlay: request.overlay,
        folder: request.folder,
        alternatives: &alternatives,
        capabilities: &capabilities,
        timestamp: request.deb.timestamp,
    };
    let arranged = files::arrange(&input, store)
        .map_err(|source| Error::Files { package: control.package.clone(), source })?;
    let Arranged { entries, changes, mut problems } = arranged;
    let found = generated::generate(&entries, store)?;

    let evr = names::rebuilt(names::evr(&control.version), request.rebuild);
    let nevra = Nevra { name: control.package.clone(), evr, arch: control.arch.to_owned() };
    let (license, license_from) = find_license(request, &control.package, store);
    let mut builder = Builder {
        summary: request.overlay.summary.clone().unwrap_or_else(|| control.summary.clone()),
        description: control.description.clone(),
        license,
        url: control.homepage.clone(),
        vendor: request.vendor.into(),
        packager: request.packager.into(),
        source_rpm: control.source_rpm(),
        build_time: request.deb.timestamp,
        build_host: request.build_host.into(),
        changelog: find_changelog(&request.deb.data, &control.package, store),
        nevra,
        ..Builder::default()
    };
    let mut dependencies = Dependencies::new(request.overlay);
    dependencies.fill(&mut builder, &control, &found, request.rebuild);
    dependencies.check(&control, &found);
    problems.append(&mut dependencies.problems);
    if !problems.is_empty() {
        return Err(Error::Overlay { package: control.package, problems });
    }
    builder.files = entries.into_iter().map(|(path, entry)| file_entry(path, entry)).collect();

    let required: BTreeSet<&str> = builder.requires.iter().map(|d| d.name.as_str()).collect();
    let report = AdoptReport {
        nevra: builder.nevra.to_string(),
        license: builder.license.clone(),
        license_from: license_from.into(),
        scripts,
        dropped: dependencies.dropped,
        added: dependencies.added,
        provided_sonames: found.provides.iter().map(ToString::to_string).collect(),
        required_sonames: found
            .requires
            .iter()
            .filter(|d| required.contains(d.name.as_str()))
            .map(ToString::to_string)
            .collect(),
        interpreters: found
            .interpreters
            .iter()
            .filter(|(program, _)| required.contains(program.as_str()))
            .map(|(program, file)| (program.clone(), file.to_string()))
            .collect(),
        files: changes,
        file_count: builder.files.len(),
        origin: Origin {
            package: control.package,
            version: control.version.to_string(),
            architecture: control.architecture,
            source: control.source,
            source_version: control.source_version.to_string(),
            suite: request.suite.into(),
            sha256: request.sha256,
            essential: control.essential,
        },
    };
    Ok((builder, report))
}

fn file_entry(path: TreePath, entry: Entry) -> FileEntry {
    let mut flags = FileFlags::NONE;
    if entry.marks.config {
        flags = flags | FileFlags::CONFIG | FileFlags::NOREPLACE;
    }
    if entry.marks.documentation {
        flags = flags | FileFlags::DOC;
    }
    if entry.marks.license {
        flags = flags | FileFlags::LICENSE;
    }
    FileEntry { path, node: entry.node, flags, capabilities: entry.capabilities }
}

/// A file of the package's documentation, wherever links lead.
fn documentation(data: &Tree, package: &str, name: &str, store: &Store) -> Option<Vec<u8>> {
    let path = TreePath::new(&format!("usr/share/doc/{package}/{name}")).ok()?;
    data.read(store, &path).ok().flatten()
}

/// The copyright file of the package, if it has its own.
pub(super) fn copyright(data: &Tree, package: &str, store: &Store) -> Option<Vec<u8>> {
    documentation(data, package, "copyright", store).filter(|text| text.len() <= MAX_COPYRIGHT)
}

fn find_license(request: &Request<'_>, package: &str, store: &Store) -> (String, &'static str) {
    if let Some(license) = request.license {
        return (license.to_owned(), "component.toml");
    }
    let text = copyright(&request.deb.data, package, store);
    let expression = text.and_then(|t| license::expression(&String::from_utf8_lossy(&t)));
    match expression {
        Some(expression) => (expression, "Debian's copyright file"),
        None => (license::UNKNOWN.to_owned(), "nowhere; see the text in the package"),
    }
}

fn find_changelog(data: &Tree, package: &str, store: &Store) -> Vec<ChangelogEntry> {
    changelog_of(data, package, store, CHANGELOG_ENTRIES)
        .into_iter()
        .map(|e| ChangelogEntry { time: e.time, author: e.name, text: e.text })
        .collect()
}

/// The newest entries of Debian's changelog in the files of a package; none if it has its documentation
/// elsewhere.
pub fn changelog_of(data: &Tree, package: &str, store: &Store, count: usize) -> Vec<changelog::Entry> {
    let text = ["changelog.Debian.gz", "changelog.gz"].iter().find_map(|name| {
        let packed = documentation(data, package, name, store)?;
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).take(MAX_CHANGELOG).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    });
    changelog::newest(&text.unwrap_or_default(), count)
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
