//! `Packages` and `Sources`: the indices of a suite (deb-control(5), dsc(5)).
//!
//! Their digests are in the suite's [`crate::release::Release`]; they give the digests of every package
//! and source file in turn. Fields that nothing here needs are skipped, and relations stay text until
//! somebody asks ([`Relations`]), so that 70,000 packages are read in a fraction of a second.

use crate::control::{self, Paragraphs, Stanza};
use crate::relation::Relations;
use crate::release::is_below;
use crate::version::Version;
use lazuli_store::Digest;
use std::collections::BTreeMap;
use std::fmt;

/// An index that cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{source}", .package.as_ref().map(|p| format!("package {p}, ")).unwrap_or_default())]
pub struct Error {
    /// The package, as far as it is known.
    pub package: Option<String>,
    /// The line and what is wrong with it.
    pub source: control::Error,
}

impl From<control::Error> for Error {
    fn from(source: control::Error) -> Self {
        Self { package: None, source }
    }
}

/// Whether packages of other architectures may stand in (Debian's Multi-Arch field).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Only packages of the same architecture may depend on it.
    #[default]
    No,
    /// Can be installed for several architectures at once.
    Same,
    /// Satisfies packages of any architecture.
    Foreign,
    /// Satisfies `:any` dependencies of any architecture.
    Allowed,
}

/// How important Debian finds a package; less is more important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Part of every system.
    Required,
    /// Expected on any Unix-like system.
    Important,
    /// What a small text-mode system has.
    Standard,
    /// Everything else.
    #[default]
    Optional,
}

/// A binary package of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryPackage {
    /// Name.
    pub package: String,
    /// Name of the source package that it is built from.
    pub source: String,
    /// Version of that source package; differs from [`BinaryPackage::version`] after a binary rebuild.
    pub source_version: Version,
    /// Version.
    pub version: Version,
    /// Architecture, `amd64` or `all`.
    pub architecture: String,
    /// Multi-Arch.
    pub multi_arch: MultiArch,
    /// Whether every other package may rely on it without saying so.
    pub essential: bool,
    /// Priority.
    pub priority: Priority,
    /// Section, as `libs`.
    pub section: String,
    /// Must be there when this package is used.
    pub depends: Relations,
    /// Must be configured before this package is unpacked.
    pub pre_depends: Relations,
    /// Usually wanted with this package.
    pub recommends: Relations,
    /// Perhaps wanted with this package.
    pub suggests: Relations,
    /// Must not be there.
    pub conflicts: Relations,
    /// Must not be configured at the same time.
    pub breaks: Relations,
    /// Whose files this package may take over.
    pub replaces: Relations,
    /// Names that this package also goes by.
    pub provides: Relations,
    /// Path below the archive.
    pub filename: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// Content of the .deb.
    pub sha256: Digest,
    /// Estimated size when installed, in KiB.
    pub installed_size: u64,
    /// Who maintains it.
    pub maintainer: String,
    /// One line on what it is (in suites that keep long descriptions apart), else all of it.
    pub description: String,
    /// Home page, or empty.
    pub homepage: String,
}

impl fmt::Display for BinaryPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.package, self.version, self.architecture)
    }
}

/// A file of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// File name, without a directory.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub sha256: Digest,
}

/// A source package of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// Name.
    pub package: String,
    /// Version.
    pub version: Version,
    /// Names of the binary packages that it builds.
    pub binaries: Vec<String>,
    /// Directory below the archive.
    pub directory: String,
    /// The files, the `.dsc` among them.
    pub files: Vec<SourceFile>,
    /// Build-Depends.
    pub build_depends: Relations,
    /// Section.
    pub section: String,
    /// Home page, or empty.
    pub homepage: String,
}

/// Reads a `Packages` file (unpacked).
pub fn parse_packages(text: &[u8]) -> Result<Vec<BinaryPackage>, Error> {
    let mut packages = Vec::new();
    each(text, |stanza| {
        packages.push(binary(stanza)?);
        Ok(())
    })?;
    Ok(packages)
}

/// Reads a `Sources` file (unpacked).
pub fn parse_sources(text: &[u8]) -> Result<Vec<SourcePackage>, Error> {
    let mut packages = Vec::new();
    each(text, |stanza| {
        packages.push(source(stanza)?);
        Ok(())
    })?;
    Ok(packages)
}

fn each<'a>(
    text: &'a [u8],
    mut read: impl FnMut(&Stanza<'a>) -> Result<(), control::Error>,
) -> Result<(), Error> {
    let mut reader = Paragraphs::new(text)?;
    while let Some(stanza) = reader.next_stanza()? {
        let named = |source| Error { package: stanza.get("Package").map(str::to_owned), source };
        read(&stanza).map_err(named)?;
        reader.recycle(stanza);
    }
    Ok(())
}

fn binary(stanza: &Stanza<'_>) -> Result<BinaryPackage, control::Error> {
    let package = name(stanza, "Package", stanza.require("Package")?)?;
    let version = version(stanza, "Version", stanza.require("Version")?)?;
    let (source, source_version) = match stanza.get("Source") {
        None => (package.clone(), version.clone()),
        Some(text) => match text.split_once('(') {
            None => (name(stanza, "Source", text)?, version.clone()),
            Some((source, rest)) => {
                let inner = rest.trim_end().strip_suffix(')').unwrap_or(rest);
                (name(stanza, "Source", source.trim())?, self::version(stanza, "Source", inner.trim())?)
            }
        },
    };
    let relations = |name| Relations::new(stanza.get(name).unwrap_or(""));
    let string = |name| stanza.get(name).unwrap_or("").to_owned();
    Ok(BinaryPackage {
        architecture: name(stanza, "Architecture", stanza.require("Architecture")?)?,
        multi_arch: match stanza.get("Multi-Arch") {
            None | Some("no") => MultiArch::No,
            Some("same") => MultiArch::Same,
            Some("foreign") => MultiArch::Foreign,
            Some("allowed") => MultiArch::Allowed,
            Some(other) => return Err(stanza.bad("Multi-Arch", format!("`{other}`"))),
        },
        essential: stanza.get("Essential") == Some("yes"),
        priority: match stanza.get("Priority") {
            Some("required") => Priority::Required,
            Some("important") => Priority::Important,
            Some("standard") => Priority::Standard,
            _ => Priority::Optional,
        },
        section: string("Section"),
        depends: relations("Depends"),
        pre_depends: relations("Pre-Depends"),
        recommends: relations("Recommends"),
        suggests: relations("Suggests"),
        conflicts: relations("Conflicts"),
        breaks: relations("Breaks"),
        replaces: relations("Replaces"),
        provides: relations("Provides"),
        filename: path(stanza, "Filename")?,
        size: number(stanza, "Size", stanza.require("Size")?)?,
        sha256: digest(stanza, "SHA256", stanza.require("SHA256")?)?,
        installed_size: match stanza.get("Installed-Size") {
            None => 0,
            Some(text) => number(stanza, "Installed-Size", text)?,
        },
        maintainer: string("Maintainer"),
        description: string("Description"),
        homepage: string("Homepage"),
        package,
        source,
        source_version,
        version,
    })
}

fn source(stanza: &Stanza<'_>) -> Result<SourcePackage, control::Error> {
    let list = stanza.get("Binary").unwrap_or("");
    Ok(SourcePackage {
        package: name(stanza, "Package", stanza.require("Package")?)?,
        version: version(stanza, "Version", stanza.require("Version")?)?,
        binaries: list
            .split([',', '\n'])
            .map(str::trim)
            .filter(|b| !b.is_empty())
            .map(str::to_owned)
            .collect(),
        directory: path(stanza, "Directory")?,
        files: source_files(stanza)?,
        build_depends: Relations::new(stanza.get("Build-Depends").unwrap_or("")),
        section: stanza.get("Section").unwrap_or("").to_owned(),
        homepage: stanza.get("Homepage").unwrap_or("").to_owned(),
    })
}

/// Reads `Checksums-Sha256` and compares it with `Files`, where there is one.
pub(crate) fn source_files(stanza: &Stanza<'_>) -> Result<Vec<SourceFile>, control::Error> {
    const SUMS: &str = "Checksums-Sha256";
    let mut files = BTreeMap::new();
    for (sum, size, file) in rows(stanza, SUMS, stanza.require(SUMS)?)? {
        if !is_below(file) || file.contains('/') {
            return Err(stanza.bad(SUMS, format!("`{file}` is not a file name")));
        }
        let file = SourceFile {
            name: file.to_owned(),
            size: number(stanza, SUMS, size)?,
            sha256: digest(stanza, SUMS, sum)?,
        };
        if let Some(twice) = files.insert(file.name.clone(), file) {
            return Err(stanza.bad(SUMS, format!("`{}` is listed twice", twice.name)));
        }
    }
    if let Some(value) = stanza.get("Files") {
        for (_, size, file) in rows(stanza, "Files", value)? {
            if files.get(file).is_none_or(|f| f.size.to_string() != size) {
                return Err(stanza.bad("Files", format!("`{file}` is not the same in {SUMS}")));
            }
        }
    }
    Ok(files.into_values().collect())
}

fn rows<'a>(
    stanza: &Stanza<'_>,
    field: &str,
    value: &'a str,
) -> Result<Vec<(&'a str, &'a str, &'a str)>, control::Error> {
    value
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some(sum), Some(size), Some(file), None) => Ok((sum, size, file)),
                _ => Err(stanza.bad(field, format!("expected digest, size and name in `{}`", line.trim()))),
            }
        })
        .collect()
}

/// Package, source and architecture names: the letters that are safe in paths and lists.
fn name(stanza: &Stanza<'_>, field: &'static str, text: &str) -> Result<String, control::Error> {
    let good = text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    if good { Ok(text.to_owned()) } else { Err(stanza.bad(field, format!("`{text}` is not a name"))) }
}

fn version(stanza: &Stanza<'_>, field: &'static str, text: &str) -> Result<Version, control::Error> {
    text.parse().map_err(|e| stanza.bad(field, e))
}

fn path(stanza: &Stanza<'_>, field: &'static str) -> Result<String, control::Error> {
    let text = stanza.require(field)?;
    if is_below(text) {
        Ok(text.to_owned())
    } else {
        Err(stanza.bad(field, format!("`{text}` leads out of the archive")))
    }
}

fn number(stanza: &Stanza<'_>, field: &str, text: &str) -> Result<u64, control::Error> {
    text.parse().map_err(|_| stanza.bad(field, format!("`{text}` is not a number")))
}

fn digest(stanza: &Stanza<'_>, field: &str, text: &str) -> Result<Digest, control::Error> {
    text.parse().map_err(|e| stanza.bad(field, e))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
