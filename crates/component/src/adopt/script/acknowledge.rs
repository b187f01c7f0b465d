//! Scripts against the overlay's acknowledgements.

use super::{Effect, Line, recognise, triggers};
use crate::schema::ScriptAcknowledgement;
use lazuli_store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How many unrecognised lines an error shows of each script.
const SHOWN: usize = 25;

/// What became of one script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScriptFate {
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config` or `triggers`.
    pub name: String,
    /// SHA-256 of the script as shipped.
    pub sha256: Digest,
    /// Whether somebody had to look at it.
    pub status: Status,
    /// What its recognised parts did.
    pub effects: Vec<Effect>,
    /// Lines that were not recognised (and are acknowledged).
    pub unrecognised: Vec<Line>,
}

/// Why a script may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// All of it is known.
    Recognised {
        /// An acknowledgement that is not needed, by its reason.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        superfluous: Option<String>,
    },
    /// A person read it.
    Acknowledged {
        /// Their reason.
        reason: String,
    },
    /// Nobody did; only in reports that are made to find this out.
    Unacknowledged,
}

/// Scripts of a package that need somebody's eyes before it can be adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unacknowledged {
    /// The package.
    pub package: String,
    /// What is wrong, script by script.
    pub problems: Vec<Problem>,
}

/// What is wrong with one script or acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Not acknowledged.
    New {
        /// The script.
        name: String,
        /// Its digest.
        sha256: Digest,
        /// What is not recognised in it.
        lines: Vec<Line>,
    },
    /// Acknowledged in another version.
    Changed {
        /// The script.
        name: String,
        /// The digest that was acknowledged.
        acknowledged: Digest,
        /// Its digest now.
        sha256: Digest,
        /// What is not recognised in it; empty if nothing needs an acknowledgement any more.
        lines: Vec<Line>,
    },
    /// Acknowledged, but the package has no such script.
    Gone {
        /// The script.
        name: String,
    },
    /// Acknowledged twice.
    Twice {
        /// The script.
        name: String,
    },
}

impl std::error::Error for Unacknowledged {}

impl fmt::Display for Unacknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = &self.package;
        let mut blocks = Vec::new();
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            match problem {
                Problem::New { name, sha256, lines } => {
                    writeln!(f, "{package}: the maintainer script {name} is not acknowledged")?;
                    writeln!(f, "  sha256 {sha256}")?;
                    write_lines(f, lines)?;
                    blocks.push((name, sha256));
                }
                Problem::Changed { name, acknowledged, sha256, lines } => {
                    writeln!(
                        f,
                        "{package}: upstream changed the maintainer script {name} since it was acknowledged"
                    )?;
                    writeln!(f, "  acknowledged sha256 {acknowledged}")?;
                    writeln!(f, "  shipped now  sha256 {sha256}")?;
                    if lines.is_empty() {
                        writeln!(f, "  all of it is recognised now; delete the acknowledgement")?;
                    } else {
                        write_lines(f, lines)?;
                        blocks.push((name, sha256));
                    }
                }
                Problem::Gone { name } => {
                    writeln!(
                        f,
                        "{package}: {name} is acknowledged but the package has no such script any more; \
                         delete the acknowledgement and check what replaced the script"
                    )?;
                }
                Problem::Twice { name } => writeln!(f, "{package}: {name} is acknowledged twice")?,
            }
        }
        if !blocks.is_empty() {
            writeln!(
                f,
                "\nRead each script, make the overlay do what it did where that matters, and say so in"
            )?;
            writeln!(f, "the component's component.toml:\n")?;
            let text: Vec<String> = blocks
                .into_iter()
                .map(|(name, sha256)| super::super::suggest::acknowledgement_block(package, name, sha256))
                .collect();
            f.write_str(text.join("\n").trim_end())?;
        }
        Ok(())
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[Line]) -> fmt::Result {
    for line in lines.iter().take(SHOWN) {
        writeln!(f, "  {:>5}: {}", line.number, line.text)?;
    }
    match lines.len() {
        n if n > SHOWN => writeln!(f, "         and {} more lines", n - SHOWN),
        _ => Ok(()),
    }
}

/// The fate of every script of `package`, acknowledged or not, in order of name. `triggers` is the
/// control file of that name.
pub fn survey(
    scripts: &BTreeMap<String, Vec<u8>>,
    triggers: Option<&[u8]>,
    acknowledgements: &[ScriptAcknowledgement],
) -> Vec<ScriptFate> {
    let read = triggers.map(triggers::read);
    let triggered = read.as_ref().is_some_and(|t| t.interest);
    let mut fates = Vec::new();
    for (name, script) in scripts {
        let found = recognise(name, script, triggered);
        fates.push((name.clone(), Digest::of(script), found.effects, found.unrecognised));
    }
    if let (Some(file), Some(read)) = (triggers, read) {
        let effects = read.known.into_iter().map(|(what, why)| match why {
            "the library cache pass" => Effect::LibraryCache,
            _ => Effect::Nothing { what: format!("trigger {what}"), why: why.into() },
        });
        fates.push(("triggers".into(), Digest::of(file), effects.collect(), read.unrecognised));
    }
    fates.sort();
    fates
        .into_iter()
        .map(|(name, sha256, effects, unrecognised)| {
            let reason = acknowledgements
                .iter()
                .find(|a| a.name == name && a.sha256 == sha256)
                .map(|a| a.reason.clone());
            let status = match (unrecognised.is_empty(), reason) {
                (true, superfluous) => Status::Recognised { superfluous },
                (false, Some(reason)) => Status::Acknowledged { reason },
                (false, None) => Status::Unacknowledged,
            };
            ScriptFate { name, sha256, status, effects, unrecognised }
        })
        .collect()
}

/// Like [`survey`], but everything that a person still has to look at is an error.
pub fn fates(
    package: &str,
    scripts: &BTreeMap<String, Vec<u8>>,
    triggers: Option<&[u8]>,
    acknowledgements: &[ScriptAcknowledgement],
) -> Result<Vec<ScriptFate>, Unacknowledged> {
    let fates = survey(scripts, triggers, acknowledgements);
    let mut problems = Vec::new();
    for (i, one) in acknowledgements.iter().enumerate() {
        let name = one.name.clone();
        if acknowledgements[..i].iter().any(|a| a.name == name) {
            problems.push(Problem::Twice { name });
            continue;
        }
        match fates.iter().find(|f| f.name == name) {
            None => problems.push(Problem::Gone { name }),
            Some(fate) if fate.sha256 != one.sha256 => problems.push(Problem::Changed {
                name,
                acknowledged: one.sha256,
                sha256: fate.sha256,
                lines: fate.unrecognised.clone(),
            }),
            Some(_) => {}
        }
    }
    for fate in fates.iter().filter(|f| f.status == Status::Unacknowledged) {
        if !acknowledgements.iter().any(|a| a.name == fate.name) {
            problems.push(Problem::New {
                name: fate.name.clone(),
                sha256: fate.sha256,
                lines: fate.unrecognised.clone(),
            });
        }
    }
    if problems.is_empty() { Ok(fates) } else { Err(Unacknowledged { package: package.into(), problems }) }
}
