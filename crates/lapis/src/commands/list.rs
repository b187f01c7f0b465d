//! `list`, `info`, `check-update`, `search`, `provides`, `count`.

use crate::catalog::{Catalog, Detail};
use crate::cli::{CheckUpdateArgs, ListArgs, Name, ProvidesArgs, SearchArgs};
use crate::error::{Error, Result};
use crate::output::{Align, Output, Style, Table, size, time};
use crate::package::{Details, SYSTEM, shown, shown_evr};
use crate::query::{self, Found, Scope};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::{Pattern, Spec};
use lazuli_solve::Universe as _;
use serde_json::{Value, json};

/// Runs `list` and `info`.
pub fn list(session: &Session<'_>, args: &ListArgs, info: bool) -> Result<Outcome> {
    let (scope, words) = Scope::parse(args);
    let specs: Vec<Spec> = words.iter().map(|w| Spec::parse(w)).collect();
    let repositories = session.repositories(scope.needs_repositories())?;
    let catalog = session.catalog(&repositories)?;
    let sections = query::sections(session, &catalog, scope, &specs, args.showduplicates)?;
    if sections.iter().all(|(_, found)| found.is_empty()) {
        if session.out.json {
            session.out.json(&Vec::<Value>::new());
            return Ok(Outcome::Done);
        }
        return match (words.is_empty(), session.name) {
            (true, _) => Ok(Outcome::Done),
            (_, Name::Dnf) => {
                Err(Error::NoMatchAsDnf(format!("No matching Packages to list: {}", words.join(", "))))
            }
            _ => Err(Error::NoMatch(words.to_vec())),
        };
    }
    show_sections(session, &catalog, &sections, info)?;
    Ok(Outcome::Done)
}

/// Prints packages under their headings.
fn show_sections(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    sections: &[(&str, Vec<Found>)],
    info: bool,
) -> Result<()> {
    let out = session.out;
    if out.json {
        let all = sections.iter().flat_map(|(_, found)| found);
        let values: Vec<Value> = if info {
            all.map(|f| Ok(info_json(&query::details(session, catalog, f, Detail::Primary)?)))
                .collect::<Result<_>>()?
        } else {
            all.map(entry_json).collect()
        };
        out.json(&values);
        return Ok(());
    }
    for (heading, found) in sections.iter().filter(|(_, found)| !found.is_empty()) {
        if session.name != Name::Tdnf && !out.quiet {
            out.line(out.styled(Style::Bold, heading));
        }
        if info {
            for one in found {
                info_text(session, &query::details(session, catalog, one, Detail::Primary)?);
            }
        } else {
            table(out, found);
        }
    }
    Ok(())
}

fn table(out: &Output, found: &[Found]) {
    let mut table = Table::new(&[Align::Left, Align::Left, Align::Left]);
    for f in found {
        let name = format!("{}.{}", f.nevra.name, f.nevra.arch);
        table.row([name, shown_evr(&f.nevra), f.repository.clone()]);
    }
    out.table(&table);
}

/// A package in lists: the keys that tdnf has.
pub fn entry_json(f: &Found) -> Value {
    json!({
        "Name": f.nevra.name, "Arch": f.nevra.arch, "Evr": shown_evr(&f.nevra), "Repo": f.repository,
    })
}

fn info_json(d: &Details) -> Value {
    let p = &d.package;
    json!({
        "Name": p.nevra.name, "Arch": p.nevra.arch, "Epoch": p.nevra.evr.epoch.unwrap_or(0),
        "Version": p.nevra.evr.version, "Release": p.nevra.evr.release, "Evr": shown_evr(&p.nevra),
        "Repo": d.shown_repository(), "Url": p.url, "InstallSize": p.installed_size,
        "DownloadSize": if d.is_installed() { Value::Null } else { json!(p.package_size) },
        "Summary": p.summary, "License": p.license, "Description": p.description, "Source": p.source_rpm,
        "InstallTime": d.install_time, "BuildTime": p.build_time,
        "Reason": d.reason.map(crate::history::Reason::as_str),
    })
}

/// A package in full.
pub fn info_text(session: &Session<'_>, d: &Details) {
    let out = session.out;
    let p = &d.package;
    let line = |key: &str, value: &str| {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        out.line(format!("{key:13}: {first}"));
        for more in lines {
            out.line(format!("{:13}: {more}", ""));
        }
    };
    line("Name", &p.nevra.name);
    if let Some(epoch) = p.nevra.evr.epoch.filter(|e| *e > 0 || session.name == Name::Tdnf) {
        line("Epoch", &epoch.to_string());
    }
    line("Version", &p.nevra.evr.version);
    line("Release", &p.nevra.evr.release);
    let tdnf = session.name == Name::Tdnf;
    line(if tdnf { "Arch" } else { "Architecture" }, &p.nevra.arch);
    if tdnf {
        line("Install Size", &format!("{} ({})", size::human(p.installed_size), p.installed_size));
    } else if d.is_installed() {
        line("Size", &size::human(p.installed_size));
    } else {
        line("Size", &size::human(p.package_size));
        line("Installed size", &size::human(p.installed_size));
    }
    if !p.source_rpm.is_empty() {
        line("Source", &p.source_rpm);
    }
    line(if tdnf { "Repo" } else { "Repository" }, &d.repository);
    if !d.from_repository.is_empty() {
        line("From repo", &d.from_repository);
    }
    if let (Some(time), Some(reason)) = (d.install_time, d.reason) {
        line("Installed", &format!("{} UTC", time::minute(time)));
        line("Reason", reason.as_str());
    }
    line("Summary", &p.summary);
    if !p.url.is_empty() {
        line("URL", &p.url);
    }
    line("License", &p.license);
    line("Description", &p.description);
    out.line("");
}

/// Runs `check-update`.
pub fn check_update(session: &Session<'_>, args: &CheckUpdateArgs) -> Result<Outcome> {
    let out = session.out;
    let specs: Vec<Spec> = args.packages.iter().map(|w| Spec::parse(w)).collect();
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let mut updates = query::upgrades(session, &catalog, &specs)?;
    if let Some(wanted) = crate::advisories::Filter::new(session.global)? {
        let advisories = session.advisories(&repositories)?;
        updates.retain(|f| advisories.iter().any(|a| wanted.matches(a) && a.fixes(&f.nevra)));
    }
    let obsoletes = query::obsoleting(session, &catalog, &specs)?;
    if out.json {
        out.json(&updates.iter().map(entry_json).collect::<Vec<_>>());
    } else if !updates.is_empty() || !obsoletes.is_empty() {
        if session.name != Name::Tdnf {
            out.line("");
        }
        table(out, &updates);
        if !obsoletes.is_empty() {
            out.line(out.styled(Style::Bold, "Obsoleting Packages"));
            for (new, old) in &obsoletes {
                table(out, std::slice::from_ref(new));
                out.line(format!("    {}.{} {}  {SYSTEM}", old.name, old.arch, shown_evr(old)));
            }
        }
    }
    if args.changelogs && !out.json {
        for one in &updates {
            super::repoquery::new_changes(session, &catalog, one)?;
        }
    }
    let any = !updates.is_empty() || !obsoletes.is_empty();
    // tdnf scripts may have been written for the status 0.
    let status = any && session.settings.main.check_update_compat;
    Ok(if status { Outcome::Updates } else { Outcome::Done })
}

/// Runs `search`.
pub fn search(session: &Session<'_>, args: &SearchArgs) -> Result<Outcome> {
    let out = session.out;
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let words: Vec<Word> = args.words.iter().map(|w| Word::new(w)).collect();
    // By how good a match is: exact name, name, summary, the rest.
    let mut matches: Vec<(u8, Details)> = Vec::new();
    let mut consider = |d: Details| {
        let p = &d.package;
        let texts = [&*p.nevra.name, &*p.summary, &*p.description, &*p.url];
        if let Some(rank) = rank(texts, &words, args.all) {
            matches.push((rank, d));
        }
    };
    for installed in session.installed()?.all()? {
        consider(installed);
    }
    let mut ids: Vec<_> = catalog.every().collect();
    if !args.showduplicates {
        ids = catalog.newest(ids);
    }
    for id in ids {
        // Few packages match: the rest is not worth a whole record.
        let [summary, description, url] = catalog.words(id);
        let name = catalog.nevra(id).name;
        if rank([&name, &summary, &description, &url], &words, args.all).is_some() {
            consider(catalog.details(id, Detail::Primary)?);
        }
    }
    if matches.is_empty() {
        if out.json {
            out.json(&Vec::<Value>::new());
            return Ok(Outcome::Done);
        }
        if session.name == Name::Tdnf {
            return Err(Error::NoSearchResults);
        }
        out.line("No matches found.");
        return Ok(Outcome::Done);
    }
    matches.sort_by(|a, b| {
        (a.0, &a.1.nevra().name, &a.1.nevra().arch).cmp(&(b.0, &b.1.nevra().name, &b.1.nevra().arch))
    });
    matches.dedup_by(|a, b| {
        !args.showduplicates && a.1.nevra().name == b.1.nevra().name && a.1.nevra().arch == b.1.nevra().arch
    });
    if out.json {
        let values: Vec<Value> = matches
            .iter()
            .map(|(_, d)| json!({ "Name": d.nevra().name, "Arch": d.nevra().arch, "Summary": d.package.summary }))
            .collect();
        out.json(&values);
        return Ok(Outcome::Done);
    }
    let mut last = None;
    for (rank, d) in &matches {
        if session.name == Name::Tdnf {
            out.line(format!("{} : {}", d.nevra().name, d.package.summary));
            continue;
        }
        if last != Some(rank) {
            let what = ["Name Exactly", "Name", "Summary", "Description & URL"][usize::from(*rank).min(3)];
            let heading = format!("{what} Matched: {}", args.words.join(", "));
            out.line(out.styled(Style::Bold, format!("{0} {heading} {0}", "=".repeat(10))));
            last = Some(rank);
        }
        out.line(format!("{}.{} : {}", d.nevra().name, d.nevra().arch, d.package.summary));
    }
    Ok(Outcome::Done)
}

/// A word that is looked for, without regard to case; a pattern must match all of a text.
struct Word {
    lower: String,
    glob: Option<Pattern>,
}

impl Word {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let glob = Some(Pattern::new(&lower)).filter(Pattern::is_glob);
        Self { lower, glob }
    }

    fn is_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.glob.as_ref().map_or_else(|| text.contains(&self.lower), |glob| glob.matches_text(&text))
    }
}

/// How well name, summary, description and home page match; nothing if they do not.
fn rank(texts: [&str; 4], words: &[Word], all: bool) -> Option<u8> {
    let [name, summary, ..] = texts;
    if words.iter().all(|w| name.to_lowercase() == w.lower) {
        return Some(0);
    }
    if words.iter().all(|w| w.is_in(name)) {
        return Some(1);
    }
    if words.iter().all(|w| w.is_in(name) || w.is_in(summary)) {
        return Some(2);
    }
    let anywhere = |w: &Word| texts.iter().any(|text| w.is_in(text));
    (all && words.iter().any(anywhere)).then_some(3)
}

/// Runs `provides`.
pub fn provides(session: &Session<'_>, args: &ProvidesArgs) -> Result<Outcome> {
    let out = session.out;
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let mut found: Vec<(Details, String)> = Vec::new();
    for what in &args.what {
        let what = what.trim();
        let spec = Spec::parse(what);
        let pattern = Pattern::new(what);
        let mut ids = match &spec {
            Spec::Package(p) if p.is_glob() => {
                let mut names = Vec::new();
                catalog.each_provided_name(&mut |name| {
                    if p.matches_text(name) {
                        names.push(name.to_owned());
                    }
                    true
                });
                let mut ids = Vec::new();
                for name in names {
                    ids.extend(catalog.providers(&name).into_iter().map(|(id, _)| id));
                }
                ids
            }
            // A bare name is also the name of a program.
            Spec::Package(p) => {
                let mut ids = catalog.select(&spec)?;
                for folder in ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"] {
                    ids.extend(catalog.owners(&format!("{folder}{}", p.text())));
                }
                ids
            }
            other => catalog.select(other)?,
        };
        ids.sort_unstable();
        ids.dedup();
        for id in catalog.newest(ids) {
            let details =
                catalog.details(id, if what.starts_with('/') { Detail::Files } else { Detail::Primary })?;
            let matched = matched(&details, what, &pattern);
            found.push((details, matched));
        }
        for one in session.installed()?.all()? {
            let matched = matched(&one, what, &pattern);
            if !matched.is_empty() {
                found.push((one, matched));
            }
        }
    }
    if found.is_empty() && !out.json {
        if session.name == Name::Dnf {
            return Err(Error::NoMatchAsDnf(format!(
                "No matches found: {}. If searching for a file, try specifying the full path or a pattern such as \
                 '*/NAME'.",
                args.what.join(", ")
            )));
        }
        return Err(Error::NoMatch(args.what.clone()));
    }
    found.sort_by(|a, b| a.0.nevra().cmp(b.0.nevra()).then_with(|| a.0.repository.cmp(&b.0.repository)));
    if out.json {
        let values: Vec<Value> = found
            .iter()
            .map(|(d, matched)| {
                json!({
                    "Name": d.nevra().name, "Arch": d.nevra().arch, "Evr": shown_evr(d.nevra()),
                    "Repo": d.shown_repository(), "Summary": d.package.summary, "Matched": matched,
                })
            })
            .collect();
        out.json(&values);
        return Ok(Outcome::Done);
    }
    for (d, matched) in &found {
        out.line(format!("{} : {}", out.styled(Style::Bold, shown(d.nevra())), d.package.summary));
        out.line(format!("Repo        : {}", d.shown_repository()));
        if session.name != Name::Tdnf {
            out.line("Matched from:");
            out.line(matched);
        }
        out.line("");
    }
    Ok(Outcome::Done)
}

/// What of a package matched, as dnf says it; empty if nothing did.
fn matched(d: &Details, what: &str, pattern: &Pattern) -> String {
    let p = &d.package;
    let wanted = crate::catalog::dependency(what).ok();
    let provide = p.provides.iter().find(|provided| {
        pattern.matches_text(&provided.name)
            || wanted.as_ref().is_some_and(|w| lazuli_solve::satisfies(provided, w))
    });
    if let Some(provide) = provide {
        return format!("Provide    : {provide}");
    }
    let program = |path: &str| {
        ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].iter().any(|f| path.strip_prefix(f) == Some(what))
    };
    let file = p.files.iter().find(|file| pattern.matches_text(&file.path) || program(&file.path));
    file.map_or_else(String::new, |file| format!("Filename   : {}", file.path))
}

/// Runs `count`.
pub fn count(session: &Session<'_>) -> Result<Outcome> {
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let count = catalog.every().count();
    if session.out.json {
        session.out.json(&count);
    } else {
        session.out.line(format!("Package count = {count}"));
    }
    Ok(Outcome::Done)
}
