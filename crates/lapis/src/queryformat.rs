//! `--queryformat`: text with `%{tag}` in it.
//!
//! `%{name}`, `%-20{name}` (padded at the right), `%20{name}` (at the left), `\n`, `\t`, `\\`. Tags are those
//! of `dnf repoquery --querytags`; upper or lower case is the same.

use crate::error::{Error, Result};
use crate::history::Reason;
use crate::output::time;
use crate::package::Details;
use lazuli_repo::FileKind;
use lazuli_rpm::Dependency;

/// The tags.
pub const TAGS: [&str; 36] = [
    "arch",
    "buildhost",
    "buildtime",
    "conflicts",
    "debug_name",
    "description",
    "downloadsize",
    "enhances",
    "epoch",
    "evr",
    "files",
    "from_repo",
    "full_nevra",
    "group",
    "installsize",
    "installtime",
    "license",
    "location",
    "name",
    "nevra",
    "obsoletes",
    "packager",
    "prereq_ignoreinst",
    "provides",
    "reason",
    "recommends",
    "release",
    "repoid",
    "requires",
    "size",
    "source_name",
    "sourcerpm",
    "suggests",
    "summary",
    "supplements",
    "url",
];
/// More tags, beyond what dnf lists first.
const MORE: [&str; 14] = [
    "vendor",
    "version",
    "checksum",
    "buildtime_date",
    "advisories",
    "archivesize",
    "depends",
    "envra",
    "nvr",
    "regular_requires",
    "reponame",
    "repo",
    "requires_pre",
    "source_debug_name",
];

/// The widest padding.
const MAX_WIDTH: usize = 1000;

/// A format that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tag { name: String, width: usize, left: bool },
}

impl Format {
    /// Reads a format. A tag that is not known is an error: it would silently print nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => plain.push(match chars.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(other) => other,
                    None => '\\',
                }),
                '%' => {
                    if chars.next_if_eq(&'%').is_some() {
                        plain.push('%');
                        continue;
                    }
                    let left = chars.next_if_eq(&'-').is_some();
                    let mut digits = String::new();
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    }
                    if chars.next_if_eq(&'{').is_none() {
                        // Not a tag: it stands for itself.
                        plain.push('%');
                        plain.push_str(if left { "-" } else { "" });
                        plain.push_str(&digits);
                        continue;
                    }
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) => name.push(c.to_ascii_lowercase()),
                            None => return Err(bad(text, &format!("`%{{{name}` is not closed"))),
                        }
                    }
                    if !TAGS.contains(&name.as_str()) && !MORE.contains(&name.as_str()) {
                        let near = TAGS.iter().max_by(|a, b| {
                            strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name))
                        });
                        let near = near.copied().unwrap_or_default();
                        return Err(bad(text, &format!("there is no tag `{name}`; did you mean `{near}`?")));
                    }
                    let width = digits.parse().unwrap_or(0_usize).min(MAX_WIDTH);
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Tag { name, width, left });
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Whether it asks for any of these tags.
    pub fn uses(&self, tags: &[&str]) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Tag { name, .. } if tags.contains(&name.as_str())))
    }

    /// The text for a package.
    pub fn apply(&self, package: &Details) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Tag { name, width, left } => {
                    let value = value(package, name);
                    let padding = " ".repeat(width.saturating_sub(value.chars().count()));
                    if *left {
                        text.push_str(&format!("{value}{padding}"));
                    } else {
                        text.push_str(&format!("{padding}{value}"));
                    }
                }
            }
        }
        text
    }
}

fn bad(format: &str, reason: &str) -> Error {
    let format: String = format.chars().take(200).collect();
    Error::Usage(format!("--queryformat `{}`: {reason}", format.escape_debug()))
}

fn value(package: &Details, tag: &str) -> String {
    let p = &package.package;
    let list = |dependencies: &[Dependency]| {
        dependencies.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    match tag {
        "name" => p.nevra.name.clone(),
        "epoch" => p.nevra.evr.epoch.unwrap_or(0).to_string(),
        "version" => p.nevra.evr.version.clone(),
        "release" => p.nevra.evr.release.clone(),
        "arch" => p.nevra.arch.clone(),
        "evr" => evr(package),
        "nevra" => nevra(package),
        "full_nevra" => format!(
            "{}-{}:{}.{}",
            p.nevra.name,
            p.nevra.evr.epoch.unwrap_or(0),
            p.nevra.evr.version_release(),
            p.nevra.arch
        ),
        "summary" => p.summary.clone(),
        "description" => p.description.clone(),
        "url" => p.url.clone(),
        "license" => p.license.clone(),
        "vendor" => p.vendor.clone(),
        "packager" => p.packager.clone(),
        "group" => p.group.clone(),
        "buildhost" => p.build_host.clone(),
        "buildtime" => p.build_time.to_string(),
        "buildtime_date" => time::minute(p.build_time),
        "installtime" => package.install_time.map(|t| t.to_string()).unwrap_or_default(),
        "size" | "downloadsize" if !package.is_installed() => p.package_size.to_string(),
        "size" | "installsize" => p.installed_size.to_string(),
        "downloadsize" => p.package_size.to_string(),
        "archivesize" => p.archive_size.to_string(),
        "location" if !package.is_installed() => p.location.to_string(),
        "sourcerpm" => p.source_rpm.clone(),
        "source_name" => source_name(&p.source_rpm).to_owned(),
        "debug_name" => format!("{}-debuginfo", p.nevra.name),
        "source_debug_name" => format!("{}-debuginfo", source_name(&p.source_rpm)),
        "nvr" => format!("{}-{}", p.nevra.name, p.nevra.evr.version_release()),
        "envra" => format!(
            "{}:{}-{}.{}",
            p.nevra.evr.epoch.unwrap_or(0),
            p.nevra.name,
            p.nevra.evr.version_release(),
            p.nevra.arch
        ),
        "repoid" | "reponame" | "repo" => package.repository.clone(),
        "from_repo" => package.from_repository.clone(),
        "reason" => match package.reason {
            Some(Reason::Weak) => "weak-dependency".to_owned(),
            other => other.map(|r| r.as_str().to_owned()).unwrap_or_default(),
        },
        "checksum" if !package.is_installed() => p.checksum.to_string(),
        "provides" => list(&p.provides),
        "requires" => list(&p.requires),
        "conflicts" => list(&p.conflicts),
        "obsoletes" => list(&p.obsoletes),
        "recommends" => list(&p.recommends),
        "suggests" => list(&p.suggests),
        "supplements" => list(&p.supplements),
        "enhances" => list(&p.enhances),
        "prereq_ignoreinst" | "requires_pre" => list(&requires_pre(package)),
        "regular_requires" => {
            let pre = requires_pre(package);
            list(&p.requires.iter().filter(|d| !pre.contains(d)).cloned().collect::<Vec<_>>())
        }
        "depends" => {
            let all = [&p.requires, &p.recommends, &p.suggests, &p.supplements, &p.enhances];
            list(&all.into_iter().flatten().cloned().collect::<Vec<_>>())
        }
        "files" => {
            let files = p.files.iter().filter(|f| f.kind != FileKind::Directory || package.all_files);
            files.map(|f| f.path.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// What its scriptlets need before or after it is installed.
pub fn requires_pre(package: &Details) -> Vec<Dependency> {
    use lazuli_rpm::DependencyFlags as F;
    let pre = F::PREREQ | F::SCRIPT_PRE | F::SCRIPT_POST | F::PRETRANS | F::POSTTRANS;
    package.package.requires.iter().filter(|d| d.flags.intersects(pre)).cloned().collect()
}

/// Epoch only if there is one, as dnf shows it.
fn evr(package: &Details) -> String {
    let evr = &package.package.nevra.evr;
    match evr.epoch {
        Some(epoch) if epoch > 0 => format!("{epoch}:{}", evr.version_release()),
        _ => evr.version_release(),
    }
}

fn nevra(package: &Details) -> String {
    let n = &package.package.nevra;
    format!("{}-{}.{}", n.name, evr(package), n.arch)
}

/// The name in `name-version-release.src.rpm`.
pub fn source_name(file: &str) -> &str {
    file.rsplitn(3, '-').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> String {
        Format::parse(text).unwrap().apply(&Details::example())
    }

    #[test]
    fn formats() {
        assert_eq!(format("%{name}-%{evr}.%{ARCH}\\n"), "bash-5.2-1.x86_64\n");
        assert_eq!(format("[%-6{name}|%6{name}]"), "[bash  |  bash]");
        assert_eq!(format("100%% %d \\t"), "100% %d \t");
        assert_eq!(format("%{full_nevra} %{epoch} %{repoid}"), "bash-0:5.2-1.x86_64 0 base");
    }

    #[test]
    fn all_tags_are_known() {
        for tag in TAGS.iter().chain(&MORE) {
            Format::parse(&format!("%{{{tag}}}")).unwrap();
        }
    }

    #[test]
    fn a_typing_error_is_noticed() {
        let error = Format::parse("%{nmae}").unwrap_err().to_string();
        assert!(error.contains("did you mean `name`"), "{error}");
        assert!(Format::parse("%{name").unwrap_err().to_string().contains("not closed"));
    }
}
