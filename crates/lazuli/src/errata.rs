//! What updates are for: advisories from what changed between two locks, and from `distro/errata.toml`.
//!
//! An adopted component whose version changed brings its own story: the entries of Debian's changelog
//! between the two versions. CVE ids in them make it a security update. Debian grades nothing there, so the
//! suite has to: what came through a security suite was worth an advisory to Debian's security team and
//! counts as important; what a point release brought along counts as moderate. `errata.toml` may say
//! otherwise for a CVE.
//!
//! A built component has only upstream's source, so what its update fixes is written down by hand:
//!
//! ```toml
//! # Graded by us: overrides the rule above wherever the CVE appears.
//! [severity]
//! CVE-2026-0001 = "critical"
//!
//! [[advisory]]
//! id = "LAZ-2026-0001"
//! component = "kernel"
//! fixed-in = "6.12.95"          # the RPM's version that has the fix; advisories ahead of their fix wait
//! kind = "security"             # security (default), bugfix or enhancement
//! severity = "important"        # low, moderate, important or critical
//! title = "kernel: use after free in the network stack"
//! description = """..."""
//! cve = ["CVE-2026-0001"]
//! references = ["https://example.org/advisory"]
//! issued = "2026-11-23"
//! packages = ["kernel"]         # all of the component if not given
//! reboot = true
//! version = 1                   # raise it to replace what was already published under this id
//! ```

use crate::commands::repo::Made;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_component::adopt::{changelog, changelog_of};
use lazuli_component::distro::Source;
use lazuli_component::lock::Lock;
use lazuli_component::schema::{nearest, suggestion};
use lazuli_component::toml_file;
use lazuli_debian::deb::{self, Deb};
use lazuli_debian::version::Version;
use lazuli_repo::updateinfo::parse_date;
use lazuli_repo::{Advisory, AdvisoryKind, AdvisoryPackage, Reference, Severity};
use lazuli_rpm::Evr;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The file below `distro/`.
const FILE: &str = "errata.toml";
/// How many entries of a changelog are looked at.
const MAX_ENTRIES: usize = 200;
/// Components that run from boot to shutdown: their update takes effect with the next boot.
const NEED_REBOOT: [&str; 4] = ["kernel", "glibc", "systemd", "dbus"];

/// `errata.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Errata {
    /// Grades by CVE id.
    #[serde(default)]
    severity: BTreeMap<String, Level>,
    /// Advisories about built components.
    #[serde(default)]
    advisory: Vec<Own>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Own {
    id: String,
    component: String,
    fixed_in: String,
    #[serde(default)]
    kind: Kind,
    severity: Option<Level>,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    cve: Vec<String>,
    #[serde(default)]
    references: Vec<String>,
    issued: String,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    reboot: bool,
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Security,
    Bugfix,
    Enhancement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Low,
    Moderate,
    Important,
    Critical,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Low => Self::Low,
            Level::Moderate => Self::Moderate,
            Level::Important => Self::Important,
            Level::Critical => Self::Critical,
        }
    }
}

/// A component that two locks pin differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    component: String,
    /// The version before; `None` if the component is new.
    from: Option<String>,
    to: String,
    /// Where the new version was taken from.
    suite: String,
    /// The changelog since, newest entry first; empty for built components.
    entries: Vec<changelog::Entry>,
}

impl Errata {
    /// Reads and checks the file; without it there is nothing to say.
    pub fn read(source: &Source) -> Result<Self> {
        let file = source.dir.join(FILE);
        if !file.is_file() {
            return Ok(Self::default());
        }
        let text = lazuli_fs::read_to_string(&file)?;
        Ok(Self::parse(&file, &text, source)?)
    }

    fn parse(file: &Path, text: &str, source: &Source) -> Result<Self, toml_file::Error> {
        let errata: Self = toml_file::parse(file, text)?;
        let invalid = |key: &str, message: String| Err(toml_file::invalid(file, text, key, message));
        let mut ids = BTreeSet::new();
        for own in &errata.advisory {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
            if own.id.is_empty() || !own.id.chars().all(plain) {
                return invalid(&own.id, format!("`{}` is not an id: letters, digits and -_.:+", own.id));
            }
            if !ids.insert(&own.id) {
                return invalid(&own.id, format!("the advisory `{}` is there twice", own.id));
            }
            let Some(component) = source.components.get(&own.component) else {
                let near = nearest(&own.component, source.components.keys().map(String::as_str));
                let message = format!("there is no component `{}`{}", own.component, suggestion(near));
                return invalid(&own.component, message);
            };
            if let Some(name) = own.packages.iter().find(|name| !component.packages().contains(name)) {
                let near = nearest(name, component.packages().iter().map(String::as_str));
                let message =
                    format!("component `{}` has no package `{name}`{}", own.component, suggestion(near));
                return invalid(name, message);
            }
            if parse_date(&own.issued).is_none() {
                return invalid(&own.issued, format!("`{}` is not a date like 2026-11-23", own.issued));
            }
            if own.fixed_in.is_empty() || own.fixed_in.contains(['-', ':']) {
                let message = "`fixed-in` is a version of the RPM, without epoch and release".to_owned();
                return invalid("fixed-in", message);
            }
        }
        let cves = errata.advisory.iter().flat_map(|own| &own.cve).chain(errata.severity.keys());
        for cve in cves {
            if cves_in(cve).into_iter().next().as_ref() != Some(cve) {
                return invalid(cve, format!("`{cve}` is not an id like CVE-2026-0001"));
            }
        }
        Ok(errata)
    }

    /// The advisories of the file whose fix is among the packages.
    pub fn advisories(&self, workspace: &Workspace, made: &[Made]) -> Vec<Advisory> {
        let mut all = Vec::new();
        for own in &self.advisory {
            let wanted = |made: &&Made| {
                made.rpm.component == own.component
                    && (own.packages.is_empty() || own.packages.contains(&made.package.nevra.name))
            };
            let packages: Vec<&Made> = made.iter().filter(wanted).collect();
            let fixed = |made: &&Made| {
                let evr = &made.package.nevra.evr;
                *evr >= Evr { version: own.fixed_in.clone(), ..evr.clone() }
            };
            if packages.is_empty() || !packages.iter().all(fixed) {
                if !packages.is_empty() {
                    workspace.ui.line(format!(
                        "{FILE}: {} waits: {} {} is not pinned yet (`lazuli lock --update {}`)",
                        own.id, own.component, own.fixed_in, own.component
                    ));
                }
                continue;
            }
            let kind = match own.kind {
                Kind::Security => AdvisoryKind::Security,
                Kind::Bugfix => AdvisoryKind::Bugfix,
                Kind::Enhancement => AdvisoryKind::Enhancement,
            };
            let mut advisory = Advisory::new(&own.id, kind);
            advisory.severity = own.severity.map(Into::into).or_else(|| self.worst(&own.cve));
            advisory.version = own.version.to_string();
            advisory.title.clone_from(&own.title);
            advisory.description.clone_from(&own.description);
            advisory.issued = parse_date(&own.issued);
            advisory.updated = advisory.issued;
            advisory.references = own.cve.iter().map(|cve| cve_reference(cve)).collect();
            advisory.references.extend(own.references.iter().map(|href| Reference {
                kind: "other".to_owned(),
                id: href.clone(),
                href: href.clone(),
                title: String::new(),
            }));
            advisory.packages = packages.iter().map(|made| listed(made, own.reboot)).collect();
            all.push(self.issued_by(workspace, advisory));
        }
        all
    }

    /// The worst of the grades that the file gives to these CVEs.
    fn worst(&self, cves: &[String]) -> Option<Severity> {
        cves.iter().filter_map(|cve| self.severity.get(cve)).map(|level| Severity::from(*level)).max()
    }

    #[allow(clippy::unused_self)] // Reads as part of making an advisory.
    fn issued_by(&self, workspace: &Workspace, mut advisory: Advisory) -> Advisory {
        let distro = &workspace.source.distro;
        advisory.from.clone_from(&distro.vendor);
        advisory.release = format!("{} {}", distro.name, distro.version);
        advisory
    }
}

fn cve_reference(cve: &str) -> Reference {
    Reference {
        kind: "cve".to_owned(),
        id: cve.to_owned(),
        href: format!("https://www.cve.org/CVERecord?id={cve}"),
        title: cve.to_owned(),
    }
}

fn listed(made: &Made, reboot: bool) -> AdvisoryPackage {
    AdvisoryPackage {
        nevra: made.package.nevra.clone(),
        source: made.package.source_rpm.clone(),
        filename: made.package.nevra.file_name(),
        checksum: Some(made.package.checksum),
        reboot,
        restart: false,
        relogin: false,
    }
}

/// The CVE ids in a text, each once, sorted.
fn cves_in(text: &str) -> BTreeSet<String> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("CVE-") {
        let rest = &text[at + 4..];
        let year = digits(rest);
        let Some(number) = rest[year..].strip_prefix('-') else { continue };
        let number = digits(number);
        if year == 4 && (4..=9).contains(&number) {
            found.insert(text[at..at + 4 + year + 1 + number].to_owned());
        }
    }
    found
}

/// What the workspace's lock pins otherwise than `old`.
pub fn changes(workspace: &Workspace, old: &Lock) -> Result<Vec<Change>> {
    let lock = workspace.lock();
    let mut all = Vec::new();
    for component in workspace.source.components.keys() {
        let mut change: Option<Change> = None;
        if let Ok(debs) = lock.component_debs(component) {
            let before: BTreeMap<&str, &str> = old
                .component_debs(component)
                .map(|debs| debs.into_iter().map(|(name, deb)| (name, deb.version.as_str())).collect())
                .unwrap_or_default();
            for (name, deb) in debs {
                let from = before.get(name).copied();
                if from == Some(deb.version.as_str()) || !is_newer(&deb.version, from) {
                    continue;
                }
                let Some(from) = from.or_else(|| before.values().next().copied()) else {
                    change = change.or(Some(Change {
                        component: component.clone(),
                        from: None,
                        to: deb.version.clone(),
                        suite: deb.suite.clone(),
                        entries: Vec::new(),
                    }));
                    continue;
                };
                let read = Deb::read(
                    workspace.store.open_blob(&deb.sha256)?,
                    &workspace.store,
                    &deb::Limits::default(),
                );
                let read = read.with_context(|| format!("{name} {}", deb.version))?;
                let mut entries = changelog_of(&read.data, name, &workspace.store, MAX_ENTRIES);
                entries
                    .retain(|entry| entry_version(entry).is_none_or(|version| is_newer(version, Some(from))));
                let found = Change {
                    component: component.clone(),
                    from: Some(from.to_owned()),
                    to: deb.version.clone(),
                    suite: deb.suite.clone(),
                    entries,
                };
                // Several packages of one source tell the same story; some have it in another's folder.
                let better = change.as_ref().is_none_or(|c| c.entries.len() < found.entries.len());
                if better {
                    change = Some(found);
                }
            }
        } else if let Some(built) = source_of(workspace, component)
            && let Some(source) = lock.source.get(built)
        {
            let from = old.source.get(built).map(|s| s.upstream_version().to_owned());
            if from.as_deref() != Some(source.upstream_version()) {
                change = Some(Change {
                    component: component.clone(),
                    from,
                    to: source.upstream_version().to_owned(),
                    suite: source.suite.clone(),
                    entries: Vec::new(),
                });
            }
        }
        all.extend(change);
    }
    Ok(all)
}

fn source_of<'a>(workspace: &'a Workspace, component: &str) -> Option<&'a str> {
    match workspace.source.components.get(component) {
        Some(lazuli_component::schema::Component::Built(built)) => built.source.as_deref(),
        _ => None,
    }
}

/// Whether `version` is newer than `than`. What nobody can compare counts as newer: better one entry too many.
fn is_newer(version: &str, than: Option<&str>) -> bool {
    let Some(than) = than else { return true };
    match (version.parse::<Version>(), than.parse::<Version>()) {
        (Ok(version), Ok(than)) => version > than,
        _ => version != than,
    }
}

/// The version at the end of `Name <address> - version`.
fn entry_version(entry: &changelog::Entry) -> Option<&str> {
    entry.name.rsplit_once(" - ").map(|(_, version)| version)
}

/// An advisory for each change whose packages are in the repository.
pub fn advisories(workspace: &Workspace, own: &Errata, changes: &[Change], made: &[Made]) -> Vec<Advisory> {
    let date = workspace.epoch();
    let mut all = Vec::new();
    for change in changes {
        let reboot = NEED_REBOOT.contains(&change.component.as_str());
        let packages: Vec<AdvisoryPackage> =
            made.iter().filter(|m| m.rpm.component == change.component).map(|m| listed(m, reboot)).collect();
        // What a built component's update fixes is in errata.toml, which has an advisory of its own.
        let told =
            own.advisory.iter().any(|own| own.component == change.component && own.fixed_in == change.to);
        if packages.is_empty() || told {
            continue;
        }
        let advisory = describe(change, own, packages, date);
        all.push(own.issued_by(workspace, advisory));
    }
    all
}

/// The advisory of one change.
fn describe(change: &Change, own: &Errata, packages: Vec<AdvisoryPackage>, date: i64) -> Advisory {
    let text: String = change.entries.iter().map(|entry| format!("{}\n", entry.text)).collect();
    let cves: Vec<String> = cves_in(&text).into_iter().collect();
    let security = !cves.is_empty() || change.suite.ends_with("-security") && !change.entries.is_empty();
    let kind = match &change.from {
        None => AdvisoryKind::NewPackage,
        Some(_) if security => AdvisoryKind::Security,
        Some(_) => AdvisoryKind::Bugfix,
    };
    // The id is a file name, a word of a shell and a part of an address.
    let version: String = change.to.chars().map(|c| if c == ':' || c == '~' { '-' } else { c }).collect();
    let mut advisory = Advisory::new(format!("LAZ-{}-{version}", change.component), kind);
    if security {
        let rule = if change.suite.ends_with("-security") { Severity::Important } else { Severity::Moderate };
        advisory.severity = Some(own.worst(&cves).unwrap_or(rule));
    }
    advisory.title = match (&change.from, cves.as_slice()) {
        (None, _) => format!("{} {}: new", change.component, change.to),
        (Some(_), []) => format!("{}: update to {}", change.component, change.to),
        (Some(_), [cve]) => format!("{}: update to {} fixes {cve}", change.component, change.to),
        (Some(_), cves) => {
            format!("{}: update to {} fixes {} CVEs", change.component, change.to, cves.len())
        }
    };
    for entry in &change.entries {
        let version = entry_version(entry).unwrap_or_default();
        advisory.description.push_str(&format!("{version}\n{}\n\n", entry.text));
    }
    advisory.description.truncate(advisory.description.trim_end().len());
    if advisory.description.is_empty() {
        advisory.description.clone_from(&advisory.title);
    }
    advisory.issued = Some(date);
    advisory.updated = Some(date);
    advisory.references = cves.iter().map(|cve| cve_reference(cve)).collect();
    advisory.packages = packages;
    advisory
}

/// What was published before, with what is new. An advisory that was published stays as it is, unless its
/// version says that it was corrected.
pub fn merge(before: Vec<Advisory>, found: Vec<Advisory>) -> Vec<Advisory> {
    let mut all: BTreeMap<String, Advisory> = before.into_iter().map(|a| (a.id.clone(), a)).collect();
    for advisory in found {
        match all.get(&advisory.id) {
            Some(known) if known.version == advisory.version => {}
            _ => {
                all.insert(advisory.id.clone(), advisory);
            }
        }
    }
    let mut all: Vec<Advisory> = all.into_values().collect();
    all.sort_by(|a, b| (a.issued, &a.id).cmp(&(b.issued, &b.id)));
    all
}

#[cfg(test)]
#[path = "errata_tests.rs"]
mod tests;
