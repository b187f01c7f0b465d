//! `updateinfo.xml`: advisories, that is what an update is for.
//!
//! One record an advisory: kind, severity, dates, references (CVE ids among them) and the packages, by exact
//! version, that bring the correction. A machine is affected if it has a package of that name and
//! architecture in an older version.
//!
//! The format has no written standard either. Readers disagree about dates (seconds or calendar), spellings
//! of severities and of truth; [`Advisories`] takes all that was seen in the field.

use crate::date;
use crate::error::{Error, Result};
use crate::xml::{Cursor, Element, Xml};
use lazuli_rpm::{Evr, Nevra};
use lazuli_store::Digest;
use std::fmt;
use std::io;

const FILE: &str = "updateinfo.xml";
/// The most advisories of one repository.
pub const MAX_ADVISORIES: usize = 500_000;
/// The most references of one advisory.
pub const MAX_REFERENCES: usize = 20_000;
/// The most packages of one advisory.
pub const MAX_PACKAGES: usize = 100_000;

/// What an update is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Its name, unique in the repository.
    pub id: String,
    /// The kind.
    pub kind: AdvisoryKind,
    /// How bad it is, if anybody said so.
    pub severity: Option<Severity>,
    /// `final`, `testing`, ...
    pub status: String,
    /// Who issued it.
    pub from: String,
    /// Its own version; grows when it is corrected.
    pub version: String,
    /// One line.
    pub title: String,
    /// The distribution that it belongs to.
    pub release: String,
    /// When it was issued, in seconds since the epoch.
    pub issued: Option<i64>,
    /// When it was changed last, in seconds since the epoch.
    pub updated: Option<i64>,
    /// Several lines.
    pub description: String,
    /// What to read or to cite.
    pub references: Vec<Reference>,
    /// The packages with the correction.
    pub packages: Vec<AdvisoryPackage>,
}

/// The kind of an advisory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdvisoryKind {
    /// It closes a hole.
    Security,
    /// It corrects an error.
    Bugfix,
    /// It adds something.
    Enhancement,
    /// A package that was not there.
    NewPackage,
    /// Something that its issuer knows.
    Other(String),
}

/// How bad a hole is. Higher is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Hard to exploit and with little effect.
    Low,
    /// Exploitable under circumstances.
    Moderate,
    /// Easily exploitable: privileges, protected data, denial of service.
    Important,
    /// Exploitable from outside without anybody's help.
    Critical,
}

/// What an advisory refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `cve`, `bugzilla`, `self`, ...
    pub kind: String,
    /// For example `CVE-2026-0001`.
    pub id: String,
    /// Where to read about it.
    pub href: String,
    /// What it is called.
    pub title: String,
}

/// A package with a correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisoryPackage {
    /// Its identity.
    pub nevra: Nevra,
    /// The source package's file name.
    pub source: String,
    /// The package's file name.
    pub filename: String,
    /// SHA-256 of the package.
    pub checksum: Option<Digest>,
    /// The machine should be booted afterwards.
    pub reboot: bool,
    /// The package manager should be started again afterwards.
    pub restart: bool,
    /// People should log in again afterwards.
    pub relogin: bool,
}

impl Advisory {
    /// An advisory of which only name and kind are known.
    pub fn new(id: impl Into<String>, kind: AdvisoryKind) -> Self {
        Self {
            id: id.into(),
            kind,
            severity: None,
            status: "final".to_owned(),
            from: String::new(),
            version: "1".to_owned(),
            title: String::new(),
            release: String::new(),
            issued: None,
            updated: None,
            description: String::new(),
            references: Vec::new(),
            packages: Vec::new(),
        }
    }

    /// The CVE ids that it refers to.
    pub fn cves(&self) -> impl Iterator<Item = &str> {
        self.references.iter().filter(|r| r.kind.eq_ignore_ascii_case("cve")).map(|r| r.id.as_str())
    }
}

impl AdvisoryKind {
    /// As `updateinfo.xml` writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Security => "security",
            Self::Bugfix => "bugfix",
            Self::Enhancement => "enhancement",
            Self::NewPackage => "newpackage",
            Self::Other(other) => other,
        }
    }

    fn from_text(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "security" => Self::Security,
            "bugfix" | "recommended" => Self::Bugfix,
            "enhancement" | "feature" | "optional" => Self::Enhancement,
            "newpackage" => Self::NewPackage,
            _ => Self::Other(text.trim().to_owned()),
        }
    }
}

impl fmt::Display for AdvisoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Severity {
    /// As `updateinfo.xml` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Moderate => "Moderate",
            Self::Important => "Important",
            Self::Critical => "Critical",
        }
    }

    /// Reads any of the names that distributions give to the four.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "low" | "minor" | "negligible" => Some(Self::Low),
            "moderate" | "medium" => Some(Self::Moderate),
            "important" | "high" => Some(Self::Important),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads advisories one by one from the decompressed file, so that a caller may keep only what it needs.
pub struct Advisories<'a> {
    cursor: Option<Cursor<'a>>,
    count: usize,
}

impl<'a> Advisories<'a> {
    /// Starts reading.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let (cursor, _root) = Cursor::open(FILE, bytes, "updates")?;
        Ok(Self { cursor: Some(cursor), count: 0 })
    }

    fn step(&mut self) -> Result<Option<Advisory>> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        while let Some(element) = cursor.child()? {
            if element.name() != "update" {
                cursor.skip()?;
                continue;
            }
            if self.count == MAX_ADVISORIES {
                return Err(cursor.error(format!("more than {MAX_ADVISORIES} advisories")));
            }
            self.count += 1;
            return read_advisory(cursor, &element).map(Some);
        }
        self.cursor.take().map_or(Ok(()), Cursor::finish)?;
        Ok(None)
    }
}

impl Iterator for Advisories<'_> {
    type Item = Result<Advisory>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if next.is_err() {
            self.cursor = None;
        }
        next.transpose()
    }
}

/// Reads a date as people and metadata write it: seconds since the epoch, `YYYY-MM-DD`, or that with a time
/// of day in UTC after it. Gives seconds since the epoch.
pub fn parse_date(text: &str) -> Option<i64> {
    date::parse(text)
}

/// Reads all advisories.
pub fn parse(bytes: &[u8]) -> Result<Vec<Advisory>> {
    Advisories::new(bytes)?.collect()
}

fn attr<'a>(cursor: &Cursor<'a>, element: &Element<'a>, name: &str) -> Result<String> {
    Ok(cursor.attr(element, name)?.unwrap_or_default().into_owned())
}

/// `<issued date="..."/>`. A date that nobody can read is no date.
fn read_date<'a>(cursor: &mut Cursor<'a>, element: &Element<'a>) -> Result<Option<i64>> {
    let date = cursor.attr(element, "date")?.and_then(|text| date::parse(&text));
    cursor.skip()?;
    Ok(date)
}

fn read_advisory<'a>(cursor: &mut Cursor<'a>, update: &Element<'a>) -> Result<Advisory> {
    let kind = AdvisoryKind::from_text(&attr(cursor, update, "type")?);
    let mut advisory = Advisory::new("", kind);
    advisory.status = attr(cursor, update, "status")?;
    advisory.from = attr(cursor, update, "from")?;
    advisory.version = attr(cursor, update, "version")?;
    while let Some(element) = cursor.child()? {
        match element.name() {
            "id" => cursor.text(&element)?.trim().clone_into(&mut advisory.id),
            "title" => advisory.title = cursor.text(&element)?,
            "release" => advisory.release = cursor.text(&element)?,
            "issued" => advisory.issued = read_date(cursor, &element)?,
            "updated" => advisory.updated = read_date(cursor, &element)?,
            "severity" => advisory.severity = Severity::from_text(&cursor.text(&element)?),
            "description" => advisory.description = cursor.text(&element)?,
            "references" => {
                while let Some(element) = cursor.child()? {
                    if element.name() == "reference" {
                        if advisory.references.len() == MAX_REFERENCES {
                            return Err(cursor.error(format!("more than {MAX_REFERENCES} references")));
                        }
                        advisory.references.push(Reference {
                            kind: attr(cursor, &element, "type")?,
                            id: attr(cursor, &element, "id")?,
                            href: attr(cursor, &element, "href")?,
                            title: attr(cursor, &element, "title")?,
                        });
                    }
                    cursor.skip()?;
                }
            }
            "pkglist" => {
                while let Some(element) = cursor.child()? {
                    if element.name() == "collection" {
                        read_collection(cursor, &mut advisory.packages)?;
                    } else {
                        cursor.skip()?;
                    }
                }
            }
            _ => cursor.skip()?,
        }
    }
    if advisory.id.is_empty() {
        return Err(cursor.error("an advisory without `id`"));
    }
    Ok(advisory)
}

fn read_collection(cursor: &mut Cursor<'_>, packages: &mut Vec<AdvisoryPackage>) -> Result<()> {
    while let Some(element) = cursor.child()? {
        if element.name() == "package" {
            if packages.len() == MAX_PACKAGES {
                return Err(cursor.error(format!("an advisory with more than {MAX_PACKAGES} packages")));
            }
            let package = read_package(cursor, &element)?;
            packages.push(package);
        } else {
            cursor.skip()?;
        }
    }
    Ok(())
}

fn read_package<'a>(cursor: &mut Cursor<'a>, element: &Element<'a>) -> Result<AdvisoryPackage> {
    let epoch = match cursor.attr(element, "epoch")?.as_deref() {
        None | Some("" | "0") => None,
        Some(_) => Some(cursor.need_parsed::<u32>(element, "epoch")?),
    };
    let evr = Evr {
        epoch,
        version: cursor.need(element, "version")?.into_owned(),
        release: cursor.need(element, "release")?.into_owned(),
    };
    let nevra = Nevra {
        name: cursor.need(element, "name")?.into_owned(),
        evr,
        arch: cursor.need(element, "arch")?.into_owned(),
    };
    if nevra.name.is_empty() || nevra.evr.version.is_empty() {
        return Err(cursor.error("a package of an advisory with an empty name or version"));
    }
    let source = attr(cursor, element, "src")?;
    let mut package = AdvisoryPackage {
        nevra,
        source,
        filename: String::new(),
        checksum: None,
        reboot: false,
        restart: false,
        relogin: false,
    };
    while let Some(element) = cursor.child()? {
        match element.name() {
            "filename" => package.filename = cursor.text(&element)?,
            "sum" => {
                let sha256 = cursor.attr(&element, "type")?.is_some_and(|t| t.eq_ignore_ascii_case("sha256"));
                if sha256 {
                    package.checksum = Some(cursor.parse(&element)?);
                } else {
                    cursor.skip()?;
                }
            }
            "reboot_suggested" => package.reboot = truth(&cursor.text(&element)?),
            "restart_suggested" => package.restart = truth(&cursor.text(&element)?),
            "relogin_suggested" => package.relogin = truth(&cursor.text(&element)?),
            _ => cursor.skip()?,
        }
    }
    Ok(package)
}

/// The element's presence means yes, unless it says no.
fn truth(text: &str) -> bool {
    !matches!(text.trim().to_ascii_lowercase().as_str(), "0" | "false" | "no")
}

/// The file's bytes, in the order given.
pub fn to_xml(advisories: &[Advisory]) -> Result<Vec<u8>> {
    write(advisories).map_err(|source| Error::Serialise { source })
}

fn write(advisories: &[Advisory]) -> io::Result<Vec<u8>> {
    let mut xml = Xml::document()?;
    xml.open("updates", &[])?;
    for advisory in advisories {
        write_advisory(&mut xml, advisory)?;
    }
    xml.close("updates")?;
    let mut bytes = xml.into_bytes();
    bytes.push(b'\n');
    Ok(bytes)
}

fn write_advisory(xml: &mut Xml, advisory: &Advisory) -> io::Result<()> {
    xml.open(
        "update",
        &[
            ("from", &advisory.from),
            ("status", &advisory.status),
            ("type", advisory.kind.as_str()),
            ("version", &advisory.version),
        ],
    )?;
    xml.leaf("id", &[], &advisory.id)?;
    xml.leaf("title", &[], &advisory.title)?;
    for (element, time) in [("issued", advisory.issued), ("updated", advisory.updated)] {
        if let Some(time) = time {
            xml.empty(element, &[("date", &date::format(time))])?;
        }
    }
    xml.leaf("release", &[], &advisory.release)?;
    if let Some(severity) = advisory.severity {
        xml.leaf("severity", &[], severity.as_str())?;
    }
    xml.leaf("description", &[], &advisory.description)?;
    xml.open("references", &[])?;
    for reference in &advisory.references {
        let Reference { kind, id, href, title } = reference;
        xml.empty("reference", &[("href", href), ("id", id), ("title", title), ("type", kind)])?;
    }
    xml.close("references")?;
    xml.open("pkglist", &[])?;
    if !advisory.packages.is_empty() {
        xml.open("collection", &[("short", &advisory.release)])?;
        xml.leaf("name", &[], &advisory.release)?;
        for package in &advisory.packages {
            write_package(xml, package)?;
        }
        xml.close("collection")?;
    }
    xml.close("pkglist")?;
    xml.close("update")
}

fn write_package(xml: &mut Xml, package: &AdvisoryPackage) -> io::Result<()> {
    let nevra = &package.nevra;
    let epoch = nevra.evr.epoch.unwrap_or(0).to_string();
    xml.open(
        "package",
        &[
            ("name", &nevra.name),
            ("epoch", &epoch),
            ("version", &nevra.evr.version),
            ("release", &nevra.evr.release),
            ("arch", &nevra.arch),
            ("src", &package.source),
        ],
    )?;
    xml.leaf("filename", &[], &package.filename)?;
    if let Some(checksum) = &package.checksum {
        xml.leaf("sum", &[("type", "sha256")], &checksum.to_string())?;
    }
    for (element, suggested) in [
        ("reboot_suggested", package.reboot),
        ("restart_suggested", package.restart),
        ("relogin_suggested", package.relogin),
    ] {
        if suggested {
            xml.leaf(element, &[], "True")?;
        }
    }
    xml.close("package")
}

#[cfg(test)]
#[path = "updateinfo_tests.rs"]
mod tests;
