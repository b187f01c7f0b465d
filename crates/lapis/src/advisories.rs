//! Advisories and the machine: which concern it, which a plan carries out.

use crate::cli::Global;
use crate::error::{Error, Result};
use crate::plan::Fix;
use crate::spec::Pattern;
use lazuli_repo::updateinfo::{Advisory, AdvisoryKind, Severity};
use lazuli_rpm::Nevra;
use std::collections::{BTreeMap, BTreeSet};

/// An advisory of one repository.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it says.
    pub advisory: Advisory,
    /// The repository.
    pub repository: String,
}

impl Known {
    /// Whether it is carried out by installing this package.
    pub fn fixes(&self, nevra: &Nevra) -> bool {
        self.advisory
            .packages
            .iter()
            .any(|p| p.nevra.name == nevra.name && p.nevra.arch == nevra.arch && p.nevra.evr == nevra.evr)
    }

    /// What a plan says of it.
    pub fn fix(&self) -> Fix {
        let mut cves: Vec<String> = self.advisory.cves().map(str::to_owned).collect();
        cves.sort();
        cves.dedup();
        Fix {
            id: self.advisory.id.clone(),
            severity: self.advisory.severity.map(|s| s.to_string()).unwrap_or_default(),
            cves,
        }
    }

    /// Whether a reboot is due after it.
    pub fn wants_reboot(&self) -> bool {
        self.advisory
            .packages
            .iter()
            .any(|p| p.reboot || crate::restart::REBOOT.contains(&p.nevra.name.as_str()))
    }
}

/// The advisories that fix something between two versions of installed packages.
pub fn fixes_of(known: &[Known], changes: impl IntoIterator<Item = (Option<Nevra>, Nevra)>) -> Vec<&Known> {
    // By name and architecture, because there may be thousands of advisories.
    let mut by_package: BTreeMap<(&str, &str), Vec<(&Nevra, usize)>> = BTreeMap::new();
    for (place, one) in known.iter().enumerate() {
        for package in &one.advisory.packages {
            let n = &package.nevra;
            by_package.entry((&n.name, &n.arch)).or_default().push((n, place));
        }
    }
    let mut places = BTreeSet::new();
    for (old, new) in changes {
        let fixed = by_package.get(&(new.name.as_str(), new.arch.as_str())).into_iter().flatten();
        // A version in between, that was never installed, has its fixes too.
        let fixed = fixed.filter(|(n, _)| n.evr <= new.evr && old.as_ref().is_some_and(|o| o.evr < n.evr));
        places.extend(fixed.map(|(_, place)| *place));
    }
    places.into_iter().map(|place| &known[place]).collect()
}

/// Which advisories are meant: `--security`, `--cve`, ...
#[derive(Debug, Clone, Default)]
pub struct Filter {
    kinds: Vec<AdvisoryKind>,
    severities: Vec<Severity>,
    ids: Vec<Pattern>,
    cves: Vec<String>,
    bugs: Vec<String>,
    reboot: bool,
}

impl Filter {
    /// From the options; nothing if none of them is there.
    pub fn new(global: &Global) -> Result<Option<Self>> {
        let o = &global.advisories;
        let mut filter = Self {
            ids: o.advisory.iter().map(|id| Pattern::new(id)).collect(),
            cves: o.cve.clone(),
            bugs: o.bz.clone(),
            reboot: o.reboot_required,
            ..Self::default()
        };
        for (set, kind) in [
            (o.security, AdvisoryKind::Security),
            (o.bugfix, AdvisoryKind::Bugfix),
            (o.enhancement, AdvisoryKind::Enhancement),
            (o.newpackage, AdvisoryKind::NewPackage),
        ] {
            if set {
                filter.kinds.push(kind);
            }
        }
        for text in &o.sec_severity {
            filter.severities.extend(severities(text)?);
        }
        let empty = filter.kinds.is_empty()
            && filter.severities.is_empty()
            && filter.ids.is_empty()
            && filter.cves.is_empty()
            && filter.bugs.is_empty()
            && !filter.reboot;
        Ok((!empty).then_some(filter))
    }

    /// Whether an advisory is meant. Options of different kinds add up, except that severities narrow
    /// `--security` down.
    pub fn matches(&self, known: &Known) -> bool {
        let a = &known.advisory;
        let security = a.kind == AdvisoryKind::Security;
        let severe = self.severities.is_empty() || a.severity.is_some_and(|s| self.severities.contains(&s));
        let by_kind = self.kinds.contains(&a.kind) && (!security || severe);
        let by_severity = self.kinds.is_empty() && !self.severities.is_empty() && security && severe;
        by_kind
            || by_severity
            || self.ids.iter().any(|id| id.matches_text(&a.id))
            || self.cves.iter().any(|cve| a.cves().any(|c| c.eq_ignore_ascii_case(cve)))
            || self.bugs.iter().any(|bug| is_bug(a, bug))
            || (self.reboot && known.wants_reboot())
    }
}

fn is_bug(advisory: &Advisory, bug: &str) -> bool {
    advisory.references.iter().any(|r| r.kind.eq_ignore_ascii_case("bugzilla") && r.id == bug)
}

/// A severity by name, or as tdnf has it all severities from a CVSS score upwards.
fn severities(text: &str) -> Result<Vec<Severity>> {
    if let Some(severity) = Severity::from_text(text) {
        return Ok(vec![severity]);
    }
    let all = [Severity::Low, Severity::Moderate, Severity::Important, Severity::Critical];
    let Ok(least) = text.trim().parse::<f64>() else {
        return Err(Error::Usage(format!(
            "--sec-severity `{text}`: expected Critical, Important, Moderate, Low or a CVSS score"
        )));
    };
    // A severity counts if any score that it stands for is high enough.
    let highest = [3.9, 6.9, 8.9, 10.0];
    Ok(all.into_iter().zip(highest).filter(|(_, high)| *high >= least).map(|(s, _)| s).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_repo::updateinfo::{AdvisoryPackage, Reference};

    fn nevra(version: &str) -> Nevra {
        let evr = lazuli_rpm::Evr::new(None, version, "1");
        Nevra { name: "openssl".into(), evr, arch: "x86_64".into() }
    }

    fn known(id: &str, kind: AdvisoryKind, severity: Option<Severity>, version: &str) -> Known {
        let mut advisory = Advisory::new(id, kind);
        advisory.severity = severity;
        let cve = Reference {
            kind: "cve".into(),
            id: "CVE-2026-1".into(),
            href: String::new(),
            title: String::new(),
        };
        advisory.references.push(cve);
        advisory.packages.push(AdvisoryPackage {
            nevra: nevra(version),
            source: String::new(),
            filename: String::new(),
            checksum: None,
            reboot: false,
            restart: false,
            relogin: false,
        });
        Known { advisory, repository: "base".into() }
    }

    fn filter(args: &[&str]) -> Filter {
        use clap::Parser as _;
        let args = ["lapis"].iter().chain(args).chain(&["count"]);
        let cli = crate::cli::Cli::try_parse_from(args).expect("a command line");
        Filter::new(&cli.global).expect("valid").expect("a filter")
    }

    #[test]
    fn severities_narrow_security_down() {
        let grave = known("a", AdvisoryKind::Security, Some(Severity::Critical), "2");
        let mild = known("b", AdvisoryKind::Security, Some(Severity::Low), "2");
        let bug = known("c", AdvisoryKind::Bugfix, None, "2");
        let ids = |args: &[&str]| {
            let f = filter(args);
            [&grave, &mild, &bug]
                .iter()
                .filter(|k| f.matches(k))
                .map(|k| k.advisory.id.as_str())
                .collect::<String>()
        };
        assert_eq!(ids(&["--security"]), "ab");
        assert_eq!(ids(&["--security", "--sec-severity", "Critical"]), "a");
        assert_eq!(ids(&["--sec-severity", "7.0"]), "a");
        assert_eq!(ids(&["--security", "--sec-severity=critical", "--bugfix"]), "ac");
        assert_eq!(ids(&["--cve", "cve-2026-1"]), "abc");
        assert_eq!(ids(&["--advisory", "b,c"]), "bc");
    }

    #[test]
    fn an_update_carries_out_what_lies_between_the_versions() {
        let all: Vec<Known> =
            ["1", "2", "3", "4"].iter().map(|v| known(v, AdvisoryKind::Security, None, v)).collect();
        let ids = |old: Option<&str>, new: &str| {
            let changes = [(old.map(nevra), nevra(new))];
            fixes_of(&all, changes).iter().map(|k| k.advisory.id.as_str()).collect::<String>()
        };
        assert_eq!(ids(Some("1"), "3"), "23");
        assert_eq!(ids(None, "3"), "", "what is new had no hole here");
    }
}
