//! The files under `distro/`, as they are written: `lazuli.toml` and `components/NAME/component.toml`.
//!
//! Every structure refuses unknown keys, so that a typing error cannot switch a protection off
//! silently. The raw form ([`ComponentFile`]) is validated into the form that the rest of the toolkit
//! uses ([`Component`]).

use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// `distro/lazuli.toml`: the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distro {
    /// The name for people: `Lazuli Linux`.
    pub name: String,
    /// The name for programs, os-release's ID: `lazuli`.
    pub id: String,
    /// Version, os-release's VERSION_ID.
    pub version: String,
    /// Home page.
    pub home: String,
    /// Where systems fetch packages from, with the variables of .repo files (`$releasever`, `$basearch`).
    /// Without it the repository of an image is there but disabled.
    pub repository: Option<String>,
    /// The vendor that packages name.
    #[serde(default = "default_vendor")]
    pub vendor: String,
    /// The archive suites that components and tool roots come from.
    pub suite: Vec<Suite>,
    /// Named sets of Debian packages that tools run from.
    pub tool_root: BTreeMap<String, ToolRoot>,
}

fn default_vendor() -> String {
    "Lazuli Linux".into()
}

/// One suite of a Debian archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Suite {
    /// The directory below `dists/`.
    pub name: String,
    /// The directory below the mirror: `debian` or `debian-security`.
    pub archive: String,
    /// Archive components, for example `main`.
    pub components: Vec<String>,
    /// Public keys that may sign its `InRelease`, as paths below `distro/`.
    pub keys: Vec<String>,
    /// Whether components may come from it; otherwise only tool roots that name it.
    #[serde(default = "yes")]
    pub default: bool,
    /// Why its `InRelease` is taken after its `Valid-Until`. Only for suites that nothing in an image or a build comes
    /// from; signatures and digests are verified as ever.
    #[serde(default)]
    pub accept_expired: Option<String>,
}

fn yes() -> bool {
    true
}

/// A named set of Debian packages; the closure of their dependencies is locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolRoot {
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The packages asked for.
    pub packages: Vec<String>,
    /// Suites by name, if not the default ones.
    #[serde(default)]
    pub suites: Vec<String>,
    /// Symbolic links that maintainer scripts would have made: path to target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

/// `component.toml` as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComponentFile {
    /// `adopted` or `built`.
    pub kind: ComponentKind,
    /// RPMs that it yields; for an adopted one the Debian binary packages.
    pub packages: Vec<String>,
    /// SPDX licence expression (adopted; a built one has it in its spec).
    pub license: Option<String>,
    /// Raised when only the overlay changed.
    pub rebuild: Option<u32>,
    /// Overlays by package (adopted).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub package: BTreeMap<String, PackageOverlay>,
    /// The RPM spec (built).
    pub spec: Option<String>,
    /// Debian source package that gives the upstream source (built).
    pub source: Option<String>,
    /// Version, when there is no `source` (built).
    pub version: Option<String>,
    /// Tool root to build in (built); `build` if not given.
    pub tool_root: Option<String>,
    /// Debian packages unpacked beside the tool root (built).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_requires: Vec<String>,
    /// Entries of the component's folder that go beside the spec (built).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// `source` or `spec` (built).
    pub epoch_from: Option<EpochFrom>,
    /// SOURCE_DATE_EPOCH in seconds, with `epoch-from = "spec"`.
    pub source_date_epoch: Option<i64>,
    /// Crates of the Cargo workspace around `distro/` that the spec compiles (built).
    pub workspace: Option<WorkspaceSource>,
}

/// Source code that is not fetched but lies around `distro/`: the toolkit's own Cargo workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkspaceSource {
    /// Names of packages of the workspace. They and what they depend on are the source; nothing else
    /// of the workspace is.
    pub crates: Vec<String>,
    /// Names of the binaries that the spec gets.
    pub binaries: Vec<String>,
    /// Whether the C library is linked in, so that the binaries run where there is none. Nothing of the source may then
    /// have a procedural macro: that is a library, and would be linked in the same way.
    #[serde(default, rename = "static")]
    pub static_linking: bool,
}

/// How a component comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// A Debian binary package repackaged.
    Adopted,
    /// Compiled from an RPM spec of ours.
    Built,
}

/// Where SOURCE_DATE_EPOCH of a built component comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochFrom {
    /// The newest member of the upstream source.
    Source,
    /// `source-date-epoch` of the component file.
    Spec,
}

/// What we change in an adopted package, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PackageOverlay {
    /// Another one-line summary.
    pub summary: Option<String>,
    /// Dependencies taken out.
    pub drop_requires: Vec<Drop>,
    /// Requirements added, in RPM's syntax.
    pub add_requires: Vec<String>,
    /// Recommendations taken out.
    pub drop_recommends: Vec<Drop>,
    /// Conflicts (Debian's Breaks and Conflicts) taken out.
    pub drop_conflicts: Vec<Drop>,
    /// Provides added.
    pub add_provides: Vec<String>,
    /// Conflicts added.
    pub add_conflicts: Vec<String>,
    /// Obsoletes added.
    pub add_obsoletes: Vec<String>,
    /// Recommendations added.
    pub add_recommends: Vec<String>,
    /// Files taken out.
    pub drop_files: Vec<DropFiles>,
    /// More files to treat as `%config(noreplace)`.
    pub config: Vec<String>,
    /// Files of ours.
    pub add_files: Vec<AddFile>,
    /// File capabilities by path, as setcap(8) writes them.
    pub capabilities: BTreeMap<String, String>,
    /// `user:group` by path.
    pub owners: BTreeMap<String, String>,
    /// Octal permission bits by path.
    pub modes: BTreeMap<String, String>,
    /// Maintainer scripts acknowledged.
    pub script: Vec<ScriptAcknowledgement>,
}

/// Something taken out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// Name of the dependency.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Files taken out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropFiles {
    /// Absolute glob pattern; `**` crosses directories.
    pub glob: String,
    /// Why.
    pub reason: String,
}

/// A file of ours: exactly one of `source`, `content`, `symlink` and `directory` says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddFile {
    /// Absolute path in the package.
    pub path: String,
    /// A file below the folder of the TOML file that says this.
    pub source: Option<String>,
    /// The content as it stands.
    pub content: Option<String>,
    /// The target of a symbolic link.
    pub symlink: Option<String>,
    /// Whether it is a directory.
    #[serde(default)]
    pub directory: bool,
    /// Octal permission bits; 0644 for files, 0755 for directories.
    pub mode: Option<String>,
    /// Owning user; `root`.
    pub user: Option<String>,
    /// Owning group; `root`.
    pub group: Option<String>,
    /// Whether it is `%config(noreplace)`.
    #[serde(default)]
    pub config: bool,
}

/// A maintainer script that was read by a person, pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptAcknowledgement {
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config` or `triggers`.
    pub name: String,
    /// SHA-256 of the script as shipped.
    pub sha256: Digest,
    /// Why nothing is needed, or what of ours replaces it.
    pub reason: String,
}

/// A component, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// Debian binary packages repackaged.
    Adopted(Adopted),
    /// RPMs compiled from a spec.
    Built(Built),
}

/// An adopted component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Debian binary packages.
    pub packages: Vec<String>,
    /// SPDX licence expression, if the package itself does not say it.
    pub license: Option<String>,
    /// Rebuild number, from 1.
    pub rebuild: u32,
    /// Overlay by package.
    pub overlays: BTreeMap<String, PackageOverlay>,
}

/// A built component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// RPMs that the spec yields.
    pub packages: Vec<String>,
    /// The spec file's name.
    pub spec: String,
    /// Debian source package for the upstream source.
    pub source: Option<String>,
    /// Version without a source.
    pub version: Option<String>,
    /// Tool root.
    pub tool_root: String,
    /// More Debian packages.
    pub build_requires: Vec<String>,
    /// Files beside the spec.
    pub files: Vec<String>,
    /// Fixed SOURCE_DATE_EPOCH; `None`: that of the source.
    pub source_date_epoch: Option<i64>,
    /// Crates of the surrounding Cargo workspace that the spec compiles.
    pub workspace: Option<WorkspaceSource>,
}

impl ComponentFile {
    /// Checks what a single key cannot say about itself. The error is a message without the file name.
    pub fn validate(self) -> Result<Component, String> {
        if self.packages.is_empty() {
            return Err("`packages` is empty; name at least one package".into());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.packages.iter().find(|p| !seen.insert(p.as_str())) {
            return Err(format!("`packages` names {twice} twice"));
        }
        let given = |present: bool, key: &str| if present { Err(key.to_owned()) } else { Ok(()) };
        match self.kind {
            ComponentKind::Adopted => {
                given(self.spec.is_some(), "spec")
                    .and(given(self.source.is_some(), "source"))
                    .and(given(self.version.is_some(), "version"))
                    .and(given(self.tool_root.is_some(), "tool-root"))
                    .and(given(!self.build_requires.is_empty(), "build-requires"))
                    .and(given(!self.files.is_empty(), "files"))
                    .and(given(self.epoch_from.is_some(), "epoch-from"))
                    .and(given(self.workspace.is_some(), "workspace"))
                    .map_err(|key| format!("`{key}` is only for components with kind = \"built\""))?;
                for name in self.package.keys() {
                    if !self.packages.contains(name) {
                        let near = nearest(name, self.packages.iter().map(String::as_str));
                        return Err(format!("[package.{name}] is not in `packages`{}", suggestion(near)));
                    }
                }
                for (name, overlay) in &self.package {
                    overlay.validate().map_err(|e| format!("[package.{name}]: {e}"))?;
                }
                Ok(Component::Adopted(Adopted {
                    packages: self.packages,
                    license: self.license,
                    rebuild: self.rebuild.unwrap_or(1),
                    overlays: self.package,
                }))
            }
            ComponentKind::Built => {
                given(self.license.is_some(), "license")
                    .and(given(self.rebuild.is_some(), "rebuild"))
                    .and(given(!self.package.is_empty(), "package"))
                    .map_err(|key| format!("`{key}` is only for components with kind = \"adopted\""))?;
                let spec = self.spec.ok_or("a built component needs `spec`")?;
                let from = self.epoch_from.unwrap_or(if self.source.is_some() {
                    EpochFrom::Source
                } else {
                    EpochFrom::Spec
                });
                let source_date_epoch = match (from, self.source_date_epoch) {
                    (EpochFrom::Spec, None) => {
                        return Err("without `source` a built component needs `source-date-epoch`".into());
                    }
                    (EpochFrom::Source, Some(_)) => {
                        return Err("`source-date-epoch` needs epoch-from = \"spec\"".into());
                    }
                    (EpochFrom::Source, None) if self.source.is_none() => {
                        return Err("epoch-from = \"source\" needs `source`".into());
                    }
                    (_, epoch) => epoch,
                };
                if self.workspace.as_ref().is_some_and(|w| w.crates.is_empty() || w.binaries.is_empty()) {
                    return Err("[workspace]: name at least one of `crates` and one of `binaries`".into());
                }
                Ok(Component::Built(Built {
                    packages: self.packages,
                    spec,
                    source: self.source,
                    version: self.version,
                    tool_root: self.tool_root.unwrap_or_else(|| "build".into()),
                    build_requires: self.build_requires,
                    files: self.files,
                    source_date_epoch,
                    workspace: self.workspace,
                }))
            }
        }
    }
}

impl PackageOverlay {
    fn validate(&self) -> Result<(), String> {
        for file in &self.add_files {
            let kinds =
                [file.source.is_some(), file.content.is_some(), file.symlink.is_some(), file.directory];
            if kinds.iter().filter(|k| **k).count() != 1 {
                return Err(format!(
                    "add-files {}: give exactly one of `source`, `content`, `symlink` and `directory = true`",
                    file.path
                ));
            }
            if let Some(mode) = &file.mode {
                parse_mode(mode).map_err(|e| format!("add-files {}: {e}", file.path))?;
            }
        }
        for (path, mode) in &self.modes {
            parse_mode(mode).map_err(|e| format!("modes {path}: {e}"))?;
        }
        let drops = self.drop_requires.iter().chain(&self.drop_recommends).chain(&self.drop_conflicts);
        for (name, reason) in drops
            .map(|d| (&d.name, &d.reason))
            .chain(self.drop_files.iter().map(|d| (&d.glob, &d.reason)))
            .chain(self.script.iter().map(|s| (&s.name, &s.reason)))
        {
            if reason.trim().is_empty() {
                return Err(format!("{name}: `reason` is empty; say why"));
            }
        }
        Ok(())
    }
}

/// Octal permission bits from their text.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(format!("`{text}` is not a mode in octal digits, such as 0644")),
    }
}

/// The candidate that `word` was most likely meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= c.len().max(word.len()).div_ceil(3))
        .min()
        .map(|(_, c)| c)
}

/// ` (did you mean ...?)`, or nothing.
pub fn suggestion(near: Option<&str>) -> String {
    near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}
