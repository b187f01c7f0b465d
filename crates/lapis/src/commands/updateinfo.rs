//! `updateinfo`.

use crate::advisories::{Filter, Known};
use crate::catalog::Catalog;
use crate::cli::UpdateinfoArgs;
use crate::error::Result;
use crate::output::{Align, Output, Style, Table, time};
use crate::package::shown;
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_repo::updateinfo::{AdvisoryKind, Severity};
use lazuli_rpm::Nevra;
use lazuli_solve::Universe as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Summary,
    List,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// For versions newer than the installed ones.
    Available,
    /// For versions that are installed, or older than these.
    Installed,
    /// Of those available the ones that an update would carry out now.
    Updates,
    /// All that concern installed packages.
    All,
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Installed => "installed",
            Self::Updates => "updates",
            Self::All => "all",
        }
    }
}

/// Runs `updateinfo`.
pub fn updateinfo(session: &Session<'_>, args: &UpdateinfoArgs) -> Result<Outcome> {
    let Asked { mode, scope, kinds, with_cve, with_bz, words } = parse(args);
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let known = session.advisories(&repositories)?;
    let filter = Filter::new(session.global)?;
    let patterns: Vec<Pattern> = words.iter().map(|w| Pattern::new(w)).collect();
    let installed = session.installed()?.nevras()?;
    let mut chosen: Vec<(&Known, Vec<&Nevra>)> = Vec::new();
    for one in &known {
        let a = &one.advisory;
        let asked = patterns.is_empty()
            || patterns.iter().any(|p| {
                p.matches_text(&a.id)
                    || a.cves().any(|cve| p.matches_text(cve))
                    || a.packages.iter().any(|package| p.matches(&package.nevra))
            });
        let with = (!with_cve || a.cves().next().is_some())
            && (!with_bz || a.references.iter().any(|r| r.kind.eq_ignore_ascii_case("bugzilla")));
        let kind = kinds.is_empty() || kinds.contains(&a.kind);
        if !asked || !with || !kind || filter.as_ref().is_some_and(|f| !f.matches(one)) {
            continue;
        }
        let packages: Vec<&Nevra> = a
            .packages
            .iter()
            .map(|p| &p.nevra)
            .filter(|n| concerns(scope, &catalog, &installed, n))
            .collect();
        if !packages.is_empty() {
            chosen.push((one, packages));
        }
    }
    let out = session.out;
    if out.json {
        json_output(out, mode, &chosen);
        return Ok(Outcome::Done);
    }
    match mode {
        Mode::Summary => summary(out, scope, &chosen),
        Mode::List => list(out, &chosen, with_cve, with_bz),
        Mode::Info => info(out, &chosen),
    }
    Ok(Outcome::Done)
}

/// What the words and options ask for.
struct Asked<'a> {
    mode: Mode,
    scope: Scope,
    /// Kinds of advisories that were named; all if none was.
    kinds: Vec<AdvisoryKind>,
    with_cve: bool,
    with_bz: bool,
    words: Vec<&'a str>,
}

fn parse(args: &UpdateinfoArgs) -> Asked<'_> {
    let mut mode = match (args.list, args.info, args.summary) {
        (true, ..) => Mode::List,
        (_, true, _) => Mode::Info,
        _ => Mode::Summary,
    };
    let mut scope = match (args.all, args.installed, args.updates) {
        (true, ..) => Scope::All,
        (_, true, _) => Scope::Installed,
        (.., true) => Scope::Updates,
        _ => Scope::Available,
    };
    let mut words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    // Mode and scope may be words, in this order, in front of everything else.
    let given = match words.first() {
        Some(&"summary") => Some(Mode::Summary),
        Some(&"list") => Some(Mode::List),
        Some(&"info") => Some(Mode::Info),
        _ => None,
    };
    if let Some(given) = given {
        mode = given;
        words.remove(0);
    }
    let given = match words.first() {
        Some(&"all") => Some(Scope::All),
        Some(&"available") => Some(Scope::Available),
        Some(&"installed") => Some(Scope::Installed),
        Some(&("updates" | "upgrades")) => Some(Scope::Updates),
        _ => None,
    };
    if let Some(given) = given {
        scope = given;
        words.remove(0);
    }
    // What yum's plugin understood, and dnf after it.
    let (mut with_cve, mut with_bz) = (args.with_cve, args.with_bz);
    let mut kinds = Vec::new();
    words.retain(|word| {
        match *word {
            "security" | "sec" => kinds.push(AdvisoryKind::Security),
            "bugfix" => kinds.push(AdvisoryKind::Bugfix),
            "enhancement" => kinds.push(AdvisoryKind::Enhancement),
            "newpackage" => kinds.push(AdvisoryKind::NewPackage),
            "cves" => with_cve = true,
            "bzs" | "bugzillas" => with_bz = true,
            _ => return true,
        }
        false
    });
    Asked { mode, scope, kinds, with_cve, with_bz, words }
}

/// Whether a package of an advisory concerns this machine.
fn concerns(scope: Scope, catalog: &Catalog<'_>, installed: &[(u32, Nevra)], nevra: &Nevra) -> bool {
    let start = installed.partition_point(|(_, n)| n.name < nevra.name);
    let mut have = installed[start..]
        .iter()
        .take_while(|(_, n)| n.name == nevra.name)
        .filter(|(_, n)| n.arch == nevra.arch)
        .map(|(_, n)| &n.evr)
        .peekable();
    if have.peek().is_none() {
        return false;
    }
    let newest = have.max();
    let older = newest.is_some_and(|evr| *evr < nevra.evr);
    match scope {
        Scope::All => true,
        Scope::Available => older,
        Scope::Installed => !older,
        Scope::Updates => {
            older
                && catalog.named(&nevra.name).into_iter().any(|id| {
                    let n = catalog.nevra(id);
                    n.arch == nevra.arch && n.evr >= nevra.evr
                })
        }
    }
}

/// `Important/Sec.`, `bugfix`, ...
fn kind(known: &Known) -> String {
    let a = &known.advisory;
    match (&a.kind, a.severity) {
        (AdvisoryKind::Security, Some(severity)) => format!("{severity}/Sec."),
        (AdvisoryKind::Security, None) => "Unknown/Sec.".to_owned(),
        (other, _) => other.to_string(),
    }
}

fn list(out: &Output, chosen: &[(&Known, Vec<&Nevra>)], with_cve: bool, with_bz: bool) {
    let mut rows: Vec<(String, &Known, String)> = Vec::new();
    for (known, packages) in chosen {
        let mut ids = vec![known.advisory.id.clone()];
        if with_cve {
            ids = known.advisory.cves().map(str::to_owned).collect();
        } else if with_bz {
            let bugs = known.advisory.references.iter().filter(|r| r.kind.eq_ignore_ascii_case("bugzilla"));
            ids = bugs.map(|r| r.id.clone()).collect();
        }
        for id in &ids {
            rows.extend(packages.iter().map(|n| (id.clone(), *known, shown(n))));
        }
    }
    rows.sort_by(|a, b| (&a.2, &a.0).cmp(&(&b.2, &b.0)));
    rows.dedup_by(|a, b| a.0 == b.0 && a.2 == b.2);
    let mut table = Table::new(&[Align::Left, Align::Left, Align::Left]);
    for (id, known, package) in rows {
        let style = match known.advisory.severity {
            Some(Severity::Critical | Severity::Important) => Style::Bad,
            Some(Severity::Moderate) => Style::Warn,
            _ => Style::Dim,
        };
        table.row([id, out.styled(style, kind(known)), package]);
    }
    out.table(&table);
}

fn summary(out: &Output, scope: Scope, chosen: &[(&Known, Vec<&Nevra>)]) {
    let mut counts: BTreeMap<(&str, Option<std::cmp::Reverse<Severity>>), usize> = BTreeMap::new();
    for (known, _) in chosen {
        let a = &known.advisory;
        let name = match a.kind {
            AdvisoryKind::Security => "1Security",
            AdvisoryKind::Bugfix => "2Bugfix",
            AdvisoryKind::Enhancement => "3Enhancement",
            AdvisoryKind::NewPackage => "4New Package",
            AdvisoryKind::Other(_) => "5other",
        };
        let severity = (a.kind == AdvisoryKind::Security).then_some(a.severity).flatten();
        *counts.entry((name, severity.map(std::cmp::Reverse))).or_default() += 1;
    }
    if counts.is_empty() {
        return;
    }
    out.line(format!("Updates Information Summary: {}", scope.word()));
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for ((name, _), count) in &counts {
        *totals.entry(name).or_default() += count;
    }
    for (name, total) in totals {
        let label = &name[1..];
        out.line(format!("    {total} {label} notice(s)"));
        if label == "Security" {
            for ((_, severity), count) in counts.iter().filter(|((n, _), _)| *n == name) {
                let severity = severity.map_or("Unknown".to_owned(), |s| s.0.to_string());
                out.line(format!("        {count} {severity} {label} notice(s)"));
            }
        }
    }
}

fn info(out: &Output, chosen: &[(&Known, Vec<&Nevra>)]) {
    for (known, packages) in chosen {
        let a = &known.advisory;
        out.rule();
        out.line(format!("  {}", if a.title.is_empty() { &a.id } else { &a.title }));
        out.rule();
        let line = |key: &str, value: &str| {
            for (at, text) in value.lines().enumerate() {
                out.line(format!("{:>11}: {text}", if at == 0 { key } else { "" }));
            }
        };
        line("Update ID", &a.id);
        line("Type", a.kind.as_str());
        line("Severity", &a.severity.map(|s| s.to_string()).unwrap_or_default());
        line("Issued", &a.issued.map(time::minute).unwrap_or_default());
        line("Updated", &a.updated.map(time::minute).unwrap_or_default());
        line("Repository", &known.repository);
        for (at, reference) in a.references.iter().enumerate() {
            let title = if reference.title.is_empty() || reference.title == reference.id {
                String::new()
            } else {
                format!(" - {}", reference.title)
            };
            line(if at == 0 { "References" } else { "" }, &format!("{}{title}", reference.id));
        }
        line("Description", &a.description);
        let names: Vec<String> = packages.iter().map(|n| shown(n)).collect();
        line("Packages", &names.join("\n"));
        if known.wants_reboot() {
            line("Reboot", "due afterwards");
        }
        out.line("");
    }
}

fn json_output(out: &Output, mode: Mode, chosen: &[(&Known, Vec<&Nevra>)]) {
    if mode == Mode::Summary {
        let count = |kind: &AdvisoryKind| chosen.iter().filter(|(k, _)| k.advisory.kind == *kind).count();
        let of = |severity| chosen.iter().filter(|(k, _)| k.advisory.severity == Some(severity)).count();
        out.json(&json!({
            "Security": count(&AdvisoryKind::Security), "Bugfix": count(&AdvisoryKind::Bugfix),
            "Enhancement": count(&AdvisoryKind::Enhancement), "Total": chosen.len(),
            "Critical": of(Severity::Critical), "Important": of(Severity::Important),
            "Moderate": of(Severity::Moderate), "Low": of(Severity::Low),
        }));
        return;
    }
    let values: Vec<Value> = chosen
        .iter()
        .map(|(known, packages)| {
            let a = &known.advisory;
            json!({
                "UpdateID": a.id, "Type": a.kind.as_str(), "Severity": a.severity.map(Severity::as_str),
                "Title": a.title, "Issued": a.issued, "Updated": a.updated, "Repo": known.repository,
                "Cves": known.fix().cves, "NeedsReboot": known.wants_reboot(), "Description": a.description,
                "Packages": packages.iter().map(|n| shown(n)).collect::<Vec<_>>(),
                "References": a.references.iter().map(|r| json!({
                    "Type": r.kind, "Id": r.id, "Url": r.href, "Title": r.title,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    out.json(&values);
}
