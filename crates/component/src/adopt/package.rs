//! One package, from a .deb to everything that an RPM consists of.

use super::files::{self, Arranged, Entry};
use super::generated::{self, Generated};
use super::report::{AdoptReport, DependencyChange, Origin};
use super::script::{self, Effect, Unacknowledged};
use super::{changelog, license, names, relations};
use crate::schema::{Drop, PackageOverlay, nearest, suggestion};
use lazuli_debian::deb::Deb;
use lazuli_debian::relation::{self, Relation};
use lazuli_debian::version::Version;
use lazuli_rpm::{Builder, ChangelogEntry, Dependency, DependencyFlags, FileEntry, FileFlags, Nevra};
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
                capabilities.push((path.clone(), text.clone()))
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
    let mut dependencies = Dependencies {
        overlay: request.overlay,
        dropped: Vec::new(),
        added: Vec::new(),
        used: BTreeSet::new(),
        problems: Vec::new(),
    };
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

/// The fields of the control file that are used, read.
struct Control {
    package: String,
    version: Version,
    architecture: String,
    arch: &'static str,
    source: String,
    source_version: Version,
    essential: bool,
    summary: String,
    description: String,
    homepage: String,
    depends: Vec<Relation>,
    recommends: Vec<Relation>,
    suggests: Vec<Relation>,
    enhances: Vec<Relation>,
    provides: Vec<Relation>,
    conflicts: Vec<Relation>,
    breaks: Vec<Relation>,
    replaces: Vec<Relation>,
}

impl Control {
    fn read(deb: &Deb) -> Result<Self, Error> {
        let control = &deb.control;
        let package = control.get("Package").unwrap_or_default().to_owned();
        let fail = |field, reason: String| Error::Field { package: package.clone(), field, reason };
        let require = |field| control.get(field).ok_or_else(|| fail(field, "is missing".into()));
        // It becomes part of paths.
        require("Package")?;
        if package.contains('/') || TreePath::new(&package).is_err() || package.is_empty() {
            return Err(fail("Package", format!("`{package}` is not a package name")));
        }
        let version = |field, text: &str| text.parse::<Version>().map_err(|e| fail(field, e.to_string()));
        let relations = |field| {
            relation::parse(control.get(field).unwrap_or_default()).map_err(|e| fail(field, e.to_string()))
        };
        let own_version = version("Version", require("Version")?)?;
        let architecture = require("Architecture")?.to_owned();
        let arch = names::architecture(&architecture)
            .ok_or_else(|| fail("Architecture", format!("`{architecture}` is not amd64, arm64 or all")))?;
        let (source, source_version) = match control.get("Source") {
            None => (package.clone(), own_version.clone()),
            Some(text) => match text.split_once('(') {
                None => (text.trim().to_owned(), own_version.clone()),
                Some((name, rest)) => {
                    let text = rest.trim_end().trim_end_matches(')').trim();
                    (name.trim().to_owned(), version("Source", text)?)
                }
            },
        };
        let (summary, description) = control.description().unwrap_or_default();
        let mut depends = relations("Pre-Depends")?;
        depends.extend(relations("Depends")?);
        Ok(Self {
            version: own_version,
            arch,
            essential: control.get("Essential") == Some("yes"),
            description: if description.trim().is_empty() { summary.to_owned() } else { description },
            summary: summary.to_owned(),
            homepage: control.get("Homepage").unwrap_or_default().to_owned(),
            depends,
            recommends: relations("Recommends")?,
            suggests: relations("Suggests")?,
            enhances: relations("Enhances")?,
            provides: relations("Provides")?,
            conflicts: relations("Conflicts")?,
            breaks: relations("Breaks")?,
            replaces: relations("Replaces")?,
            architecture,
            source,
            source_version,
            package,
        })
    }

    fn source_rpm(&self) -> String {
        let evr = names::evr(&self.source_version);
        format!("{}-{}.src.rpm", self.source, evr.version_release())
    }

    /// The architecture that restrictions in relations are about; packages for all are built for ours.
    fn restriction(&self) -> &str {
        if self.architecture == "all" { "amd64" } else { &self.architecture }
    }
}

/// Fills the builder's dependencies, noting what the overlay changes.
struct Dependencies<'a> {
    overlay: &'a PackageOverlay,
    dropped: Vec<DependencyChange>,
    added: Vec<DependencyChange>,
    /// Key and name of the overlay's drops that matched something.
    used: BTreeSet<(&'static str, &'a str)>,
    problems: Vec<String>,
}

impl<'a> Dependencies<'a> {
    fn fill(&mut self, builder: &mut Builder, control: &Control, found: &Generated, rebuild: u32) {
        let architecture = control.restriction();
        let overlay = self.overlay;

        let kept = self.keep("drop-requires", "requires", &overlay.drop_requires, &control.depends);
        let mut requires: Vec<Dependency> =
            kept.into_iter().filter_map(|r| relations::dependency(r, architecture)).collect();
        let interpreters = found.interpreters.keys().map(Dependency::any);
        for generated in found.requires.iter().cloned().chain(interpreters) {
            match overlay.drop_requires.iter().find(|d| d.name == generated.name) {
                Some(drop) => self.note_drop("drop-requires", "requires", drop, &generated.to_string()),
                None => requires.push(generated.with(DependencyFlags::FIND_REQUIRES)),
            }
        }
        requires.extend(self.parse("add-requires", "requires", &overlay.add_requires));
        builder.requires = unique(requires);

        let mut weak = |relations: &[Relation], kind: &'static str| -> Vec<Dependency> {
            let kept = self.keep("drop-recommends", kind, &overlay.drop_recommends, relations);
            kept.into_iter().filter_map(|r| relations::dependency(r, architecture)).collect()
        };
        let mut recommends = weak(&control.recommends, "recommends");
        builder.suggests = unique(weak(&control.suggests, "suggests"));
        builder.enhances =
            unique(control.enhances.iter().filter_map(|r| relations::dependency(r, architecture)).collect());
        recommends.extend(self.parse("add-recommends", "recommends", &overlay.add_recommends));
        builder.recommends = unique(recommends);

        let mut conflicts = Vec::new();
        for field in [&control.conflicts, &control.breaks] {
            let kept = self.keep("drop-conflicts", "conflicts", &overlay.drop_conflicts, field);
            conflicts.extend(kept.into_iter().flat_map(|r| {
                relations::dependencies(std::slice::from_ref(r), architecture).collect::<Vec<_>>()
            }));
        }
        conflicts.extend(self.parse("add-conflicts", "conflicts", &overlay.add_conflicts));
        builder.conflicts = unique(conflicts);

        let mut provides: Vec<Dependency> =
            relations::dependencies(&control.provides, architecture).collect();
        provides.extend(found.provides.iter().map(|d| d.clone().with(DependencyFlags::FIND_PROVIDES)));
        if rebuild > 1 {
            let original = names::evr(&control.version).to_string();
            provides.push(Dependency::versioned(&control.package, DependencyFlags::EQUAL, original));
        }
        provides.extend(self.parse("add-provides", "provides", &overlay.add_provides));
        builder.provides = unique(provides);

        let mut obsoletes = relations::obsoletes(
            &control.package,
            &control.provides,
            &control.replaces,
            &control.conflicts,
            &control.breaks,
        );
        obsoletes.retain(|o| !overlay.drop_conflicts.iter().any(|d| d.name == o.name));
        obsoletes.extend(self.parse("add-obsoletes", "obsoletes", &overlay.add_obsoletes));
        builder.obsoletes = unique(obsoletes);
    }

    /// The relations that no drop names. A drop that names any of its alternatives takes a relation out.
    fn keep<'r>(
        &mut self,
        key: &'static str,
        kind: &str,
        drops: &'a [Drop],
        relations: &'r [Relation],
    ) -> Vec<&'r Relation> {
        let mut kept = Vec::new();
        for relation in relations {
            match drops.iter().find(|d| relation.alternatives.iter().any(|a| a.name == d.name)) {
                Some(drop) => self.note_drop(key, kind, drop, &relation.to_string()),
                None => kept.push(relation),
            }
        }
        kept
    }

    fn note_drop(&mut self, key: &'static str, kind: &str, drop: &'a Drop, dependency: &str) {
        self.used.insert((key, &drop.name));
        self.dropped.push(DependencyChange {
            kind: kind.into(),
            dependency: dependency.into(),
            reason: drop.reason.clone(),
        });
    }

    fn parse(&mut self, key: &str, kind: &str, texts: &[String]) -> Vec<Dependency> {
        let mut parsed = Vec::new();
        for text in texts {
            match Dependency::parse(text) {
                Ok(dependency) => {
                    self.added.push(DependencyChange {
                        kind: kind.into(),
                        dependency: dependency.to_string(),
                        reason: "overlay".into(),
                    });
                    parsed.push(dependency);
                }
                Err(error) => self.problems.push(format!("{key}: {error}")),
            }
        }
        parsed
    }

    /// A drop that drops nothing is a mistake, or out of date.
    fn check(&mut self, control: &Control, found: &Generated) {
        let names = |fields: &[&[Relation]]| -> Vec<String> {
            fields.iter().copied().flatten().flat_map(|r| &r.alternatives).map(|a| a.name.clone()).collect()
        };
        let mut requires = names(&[&control.depends]);
        requires.extend(found.requires.iter().map(|d| d.name.clone()));
        requires.extend(found.interpreters.keys().cloned());
        let overlay = self.overlay;
        for (key, drops, known) in [
            ("drop-requires", &overlay.drop_requires, requires),
            ("drop-recommends", &overlay.drop_recommends, names(&[&control.recommends, &control.suggests])),
            ("drop-conflicts", &overlay.drop_conflicts, names(&[&control.conflicts, &control.breaks])),
        ] {
            for drop in drops.iter().filter(|d| !self.used.contains(&(key, d.name.as_str()))) {
                let near = suggestion(nearest(&drop.name, known.iter().map(String::as_str)));
                self.problems
                    .push(format!("{key} `{}`: the package has no such dependency{near}", drop.name));
            }
        }
    }
}

fn unique(mut dependencies: Vec<Dependency>) -> Vec<Dependency> {
    dependencies.sort();
    dependencies
        .dedup_by(|a, b| a.name == b.name && a.evr == b.evr && a.flags.comparison() == b.flags.comparison());
    dependencies
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
    let text = ["changelog.Debian.gz", "changelog.gz"].iter().find_map(|name| {
        let packed = documentation(data, package, name, store)?;
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).take(MAX_CHANGELOG).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    });
    changelog::newest(&text.unwrap_or_default(), CHANGELOG_ENTRIES)
        .into_iter()
        .map(|e| ChangelogEntry { time: e.time, author: e.name, text: e.text })
        .collect()
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
