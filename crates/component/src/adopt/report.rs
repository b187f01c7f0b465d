//! What was made of a package, for `lazuli component show`.

use super::files::Changes;
use super::script::{ScriptFate, Status};
use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// Debian binary package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// The suite that it was pinned from.
    pub suite: String,
    /// SHA-256 of the .deb.
    pub sha256: Digest,
    /// Whether Debian marks it as essential: nobody states a dependency on it.
    pub essential: bool,
}

/// A dependency that was taken out or put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DependencyChange {
    /// `requires`, `recommends`, `conflicts` ...
    pub kind: String,
    /// The dependency.
    pub dependency: String,
    /// Why.
    pub reason: String,
}

/// Everything that adoption did to a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AdoptReport {
    /// The Debian package.
    pub origin: Origin,
    /// Name, epoch, version, release and architecture as an RPM.
    pub nevra: String,
    /// SPDX expression.
    pub license: String,
    /// Where the expression comes from.
    pub license_from: String,
    /// Every script.
    pub scripts: Vec<ScriptFate>,
    /// Dependencies taken out.
    pub dropped: Vec<DependencyChange>,
    /// Dependencies put in.
    pub added: Vec<DependencyChange>,
    /// Sonames provided, found in the files.
    pub provided_sonames: Vec<String>,
    /// Sonames required, found in the files.
    pub required_sonames: Vec<String>,
    /// Interpreters required: the program and the first file that names it.
    pub interpreters: Vec<(String, String)>,
    /// What was done to the files.
    pub files: Changes,
    /// Number of files and directories in the RPM.
    pub file_count: usize,
}

impl fmt::Display for AdoptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { package, version, architecture, source, source_version, suite, sha256, essential } =
            &self.origin;
        writeln!(f, "{}", self.nevra)?;
        writeln!(f, "  adopted from  {package} {version} ({architecture}) of {suite}")?;
        writeln!(f, "  source        {source} {source_version}")?;
        writeln!(f, "  sha256        {sha256}")?;
        if *essential {
            writeln!(f, "  essential     yes: Debian's packages use it without saying so")?;
        }
        writeln!(f, "  license       {} (from {})", self.license, self.license_from)?;
        writeln!(f, "  entries       {}", self.file_count)?;

        if !self.scripts.is_empty() {
            writeln!(f, "\nmaintainer scripts (none is run)")?;
        }
        for script in &self.scripts {
            match &script.status {
                Status::Recognised { superfluous: None } => writeln!(f, "  {}: recognised", script.name)?,
                Status::Recognised { superfluous: Some(_) } => {
                    writeln!(f, "  {}: recognised; its acknowledgement is not needed", script.name)?;
                }
                Status::Acknowledged { reason } => {
                    writeln!(f, "  {}: acknowledged: {reason}", script.name)?;
                    writeln!(f, "    lines not recognised: {}", script.unrecognised.len())?;
                }
                Status::Unacknowledged => writeln!(f, "  {}: NOT acknowledged", script.name)?,
            }
            for effect in &script.effects {
                writeln!(f, "    {effect}")?;
            }
        }
        section(f, "dependencies dropped", self.dropped.iter().map(change))?;
        section(f, "dependencies added", self.added.iter().map(change))?;
        section(f, "sonames provided", self.provided_sonames.iter().cloned())?;
        section(f, "sonames required", self.required_sonames.iter().cloned())?;
        let interpreters = self.interpreters.iter().map(|(program, file)| format!("{program} (for {file})"));
        section(f, "interpreters required", interpreters)?;
        let changes = &self.files;
        let dropped = changes.dropped.iter().map(|(why, count)| format!("{count:>4}  {why}"));
        section(f, "files dropped", dropped)?;
        section(f, "files added", changes.added.iter().cloned())?;
        section(f, "files replaced", changes.replaced.iter().cloned())?;
        section(f, "links of alternatives", changes.linked.iter().cloned())?;
        section(f, "alternatives without a link", changes.not_linked.iter().cloned())?;
        section(f, "configuration files", changes.config.iter().cloned())?;
        section(f, "file capabilities", changes.capabilities.iter().cloned())
    }
}

fn change(change: &DependencyChange) -> String {
    format!("{} {}: {}", change.kind, change.dependency, change.reason)
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    for (i, line) in lines.enumerate() {
        if i == 0 {
            writeln!(f, "\n{title}")?;
        }
        writeln!(f, "  {line}")?;
    }
    Ok(())
}
