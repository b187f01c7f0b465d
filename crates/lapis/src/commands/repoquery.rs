//! `repoquery`, `deplist`, `changelog`.

use super::targets::Targets;
use crate::catalog::{Catalog, Detail, dependency};
use crate::cli::{ChangelogArgs, Name, RepoqueryArgs, Show};
use crate::error::{Error, Result};
use crate::history::Reason;
use crate::output::time;
use crate::package::{Details, shown, shown_evr};
use crate::query::{self, At, Found};
use crate::queryformat::{self, Format};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Spec;
use lazuli_rpm::Dependency;
use lazuli_solve::{List, PackageId, Universe as _};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Picks one list of dependencies of a package.
type Pick = fn(&Details) -> Vec<Dependency>;

/// Runs `repoquery`.
pub fn repoquery(session: &Session<'_>, args: &RepoqueryArgs) -> Result<Outcome> {
    if args.show.querytags {
        for tag in &queryformat::TAGS {
            session.out.line(tag);
        }
        return Ok(Outcome::Done);
    }
    let only_installed =
        args.installed || args.duplicates || args.userinstalled || args.unneeded || args.installonly;
    let needs = !only_installed || args.extras || args.available;
    let repositories = session.repositories(needs)?;
    let catalog = session.catalog(&repositories)?;
    let specs: Vec<Spec> = args.packages.iter().map(|w| Spec::parse(w)).collect();
    let mut found = candidates(session, &catalog, args, &specs, only_installed)?;
    select(session, &catalog, args, &mut found)?;
    if args.show.deplist {
        for one in &found {
            dependencies_text(session, &catalog, one)?;
        }
        return Ok(Outcome::Done);
    }
    show(session, &catalog, &args.show, &found)?;
    Ok(Outcome::Done)
}

/// The packages that the scope options choose.
fn candidates(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    args: &RepoqueryArgs,
    specs: &[Spec],
    only_installed: bool,
) -> Result<Vec<Found>> {
    let installed = session.installed()?;
    if args.extras {
        return Ok(query::extras(catalog, query::installed(session, specs)?));
    }
    if args.upgrades {
        return query::upgrades(session, catalog, specs);
    }
    if args.unneeded {
        return query::unneeded(session, specs);
    }
    if only_installed && !args.available {
        let mut found = query::installed(session, specs)?;
        if args.userinstalled {
            found.retain(|f| installed.reason(&f.nevra) == Reason::User);
        }
        if args.duplicates || args.installonly {
            let install_only = install_only(session, &found)?;
            found.retain(|f| match f.at {
                At::Installed(hnum) => install_only.contains(&hnum) == args.installonly,
                At::Available(_) => false,
            });
        }
        if args.duplicates {
            let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
            for f in &found {
                *counts.entry((f.nevra.name.clone(), f.nevra.arch.clone())).or_default() += 1;
            }
            found.retain(|f| counts[&(f.nevra.name.clone(), f.nevra.arch.clone())] > 1);
        }
        return Ok(found);
    }
    let mut found = match few(session, catalog, args, specs)? {
        Some(few) => query::sorted(catalog, few),
        None => query::available(catalog, specs, true)?,
    };
    if args.installed && args.available {
        found.extend(query::installed(session, specs)?);
    }
    if args.recent {
        let since = time::now() - 7 * 86_400;
        found.retain(|f| query::is_since(catalog, f, since));
    }
    if args.downgrades {
        let have = installed.nevras()?;
        found.retain(|f| {
            have.iter().any(|(_, n)| n.name == f.nevra.name && n.arch == f.nevra.arch && f.nevra.evr < n.evr)
        });
    }
    Ok(found)
}

/// The available packages among which those that `--whatrequires` selects must be, if the indices of the
/// repositories can say it: to read the requirements of all takes much longer.
fn few(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    args: &RepoqueryArgs,
    specs: &[Spec],
) -> Result<Option<BTreeSet<PackageId>>> {
    if args.whatrequires.is_empty() || args.recursive || !specs.is_empty() {
        return Ok(None);
    }
    let mut targets = Targets::default();
    for text in &args.whatrequires {
        targets.add_text(session, catalog, text, !args.exactdeps)?;
    }
    Ok(catalog.requiring(targets.names()))
}

/// Installed packages that may be there several times.
fn install_only(session: &Session<'_>, found: &[Found]) -> Result<BTreeSet<u32>> {
    let patterns: Vec<_> =
        session.settings.main.installonly_packages.iter().map(|p| crate::spec::Pattern::new(p)).collect();
    let mut chosen = BTreeSet::new();
    for f in found {
        let At::Installed(hnum) = f.at else { continue };
        let provides =
            session.installed()?.database().dependencies(hnum, lazuli_rpmdb::Relation::Provides)?;
        if provides.iter().any(|p| patterns.iter().any(|pattern| pattern.matches_text(&p.name))) {
            chosen.insert(hnum);
        }
    }
    Ok(chosen)
}

/// Keeps what the `--what...` options and the like select.
fn select(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    args: &RepoqueryArgs,
    found: &mut Vec<Found>,
) -> Result<()> {
    if !args.only_arch.is_empty() {
        found.retain(|f| args.only_arch.contains(&f.nevra.arch));
    }
    if args.srpm {
        found.retain(|f| matches!(f.nevra.arch.as_str(), "src" | "nosrc"));
    }
    if !args.file.is_empty() {
        let mut owners = BTreeSet::new();
        for path in &args.file {
            owners.extend(catalog.owning(path)?.into_iter().map(At::Available));
            owners.extend(session.installed()?.owners_of(path)?.into_iter().map(At::Installed));
        }
        found.retain(|f| owners.contains(&f.at));
    }
    if !args.whatprovides.is_empty() {
        let mut providers = BTreeSet::new();
        for text in &args.whatprovides {
            let wanted = dependency(text)?;
            if wanted.name.starts_with('/') {
                catalog.want_files()?;
            }
            providers.extend(catalog.providing(&wanted).into_iter().map(At::Available));
            providers.extend(query::providing(session, &wanted)?.into_iter().map(At::Installed));
        }
        found.retain(|f| providers.contains(&f.at));
    }
    let requires: Pick = |d| d.package.requires.clone();
    let recommends: Pick = |d| d.package.recommends.clone();
    let suggests: Pick = |d| d.package.suggests.clone();
    let supplements: Pick = |d| d.package.supplements.clone();
    let enhances: Pick = |d| d.package.enhances.clone();
    let conflicts: Pick = |d| d.package.conflicts.clone();
    let obsoletes: Pick = |d| d.package.obsoletes.clone();
    let all: Pick = |d| {
        let p = &d.package;
        [&p.requires, &p.recommends, &p.suggests, &p.supplements, &p.enhances]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    };
    for (texts, pick, list, packages_too) in [
        (&args.whatrequires, requires, Some(List::Requires), !args.exactdeps),
        (&args.whatdepends, all, None, !args.exactdeps),
        (&args.whatrecommends, recommends, Some(List::Recommends), true),
        (&args.whatsuggests, suggests, None, true),
        (&args.whatsupplements, supplements, Some(List::Supplements), true),
        (&args.whatenhances, enhances, None, true),
        (&args.whatconflicts, conflicts, Some(List::Conflicts), true),
        (&args.whatobsoletes, obsoletes, Some(List::Obsoletes), false),
    ] {
        if texts.is_empty() {
            continue;
        }
        // Of thousands of packages only what is compared: a record is many times as large.
        let mut candidates = Vec::new();
        for f in found.iter() {
            let wanted = match (f.at, list) {
                (At::Available(id), Some(list)) => catalog.dependencies(id, list),
                _ => pick(&query::details(session, catalog, f, Detail::Primary)?),
            };
            candidates.push((f, wanted));
        }
        let mut targets = Targets::default();
        for text in texts {
            targets.add_text(session, catalog, text, packages_too)?;
        }
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        loop {
            let before = chosen.len();
            for (at, (f, wanted)) in candidates.iter().enumerate() {
                if !chosen.contains(&at) && wanted.iter().any(|d| targets.are_met_by(d)) {
                    chosen.insert(at);
                    if args.recursive {
                        targets.add_package(&query::details(session, catalog, f, Detail::Primary)?);
                    }
                }
            }
            if !args.recursive || chosen.len() == before {
                break;
            }
        }
        *found = chosen.into_iter().map(|at| candidates[at].0.clone()).collect();
    }
    if let Some(limit) = args.latest_limit {
        latest(found, limit);
    }
    Ok(())
}

/// The newest versions of each name and architecture, or all but these.
fn latest(found: &mut Vec<Found>, limit: i64) {
    found.sort_by(|a, b| a.nevra.cmp(&b.nevra));
    let mut ranks = vec![0_i64; found.len()];
    for at in (0..found.len().saturating_sub(1)).rev() {
        let (a, b) = (&found[at].nevra, &found[at + 1].nevra);
        let same = a.name == b.name && a.arch == b.arch;
        ranks[at] = if same { ranks[at + 1] + i64::from(a.evr != b.evr) } else { 0 };
    }
    let mut ranks = ranks.into_iter();
    found.retain(|_| {
        let rank = ranks.next().unwrap_or(0);
        if limit >= 0 { rank < limit } else { rank >= -limit }
    });
}

fn show(session: &Session<'_>, catalog: &Catalog<'_>, show: &Show, found: &[Found]) -> Result<()> {
    let out = session.out;
    let format = show.queryformat.as_deref().map(Format::parse).transpose()?;
    let all_files = show.list || format.as_ref().is_some_and(|f| f.uses(&["files"]));
    let detail = match (show.changelogs, all_files) {
        (true, _) => Detail::Changelog,
        (_, true) => Detail::Files,
        _ => Detail::Primary,
    };
    let lists = lists(show);
    if let Some(format) = &format {
        // One of the same text is enough, as with dnf.
        let mut seen = BTreeSet::new();
        for f in found {
            let text = format.apply(&query::details(session, catalog, f, detail)?);
            if seen.insert(text.clone()) {
                out.text(&text);
                // dnf 4 ends the line, dnf 5 and tdnf do not.
                if !text.ends_with('\n') {
                    out.text("\n");
                }
            }
        }
        return Ok(());
    }
    if out.json {
        let values: Vec<Value> = found
            .iter()
            .map(|f| Ok(to_json(show, &lists, &query::details(session, catalog, f, detail)?)))
            .collect::<Result<_>>()?;
        out.json(&values);
        return Ok(());
    }
    let plain = lists.is_empty()
        && !(show.info || show.list || show.location || show.changelogs || show.source || show.requires_pre);
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for f in found {
        if plain {
            lines.insert(name_as(session, show, f));
            continue;
        }
        let details = query::details(session, catalog, f, detail)?;
        if show.info {
            super::list::info_text(session, &details);
        }
        if show.changelogs {
            changes(session, &details, None, usize::MAX);
        }
        if show.location {
            let text = match f.at {
                At::Available(_) => details.package.location.to_string(),
                At::Installed(_) => String::new(),
            };
            lines.insert(text);
        }
        if show.source {
            lines.insert(details.package.source_rpm.clone());
        }
        if show.list {
            details.package.files.iter().for_each(|file| {
                lines.insert(file.path.clone());
            });
        }
        for (_, pick) in &lists {
            for wanted in pick(&details) {
                if show.resolve {
                    let providers = catalog.newest(
                        query::simple_dependencies(&wanted).iter().flat_map(|d| catalog.providing(d)),
                    );
                    lines.extend(query::sorted(catalog, providers).iter().map(|p| name(session, p)));
                } else {
                    lines.insert(wanted.to_string());
                }
            }
        }
    }
    lines.remove("");
    for line in &lines {
        out.line(line);
    }
    Ok(())
}

/// The lists of dependencies that are asked for, with their keys in JSON.
fn lists(show: &Show) -> Vec<(&'static str, Pick)> {
    let d = show.depends;
    let all: [(bool, &'static str, Pick); 9] = [
        (show.provides, "Provides", |d| d.package.provides.clone()),
        (show.requires || d, "Requires", |d| d.package.requires.clone()),
        (show.requires_pre, "RequiresPre", queryformat::requires_pre),
        (show.conflicts, "Conflicts", |d| d.package.conflicts.clone()),
        (show.obsoletes, "Obsoletes", |d| d.package.obsoletes.clone()),
        (show.recommends || d, "Recommends", |d| d.package.recommends.clone()),
        (show.suggests || d, "Suggests", |d| d.package.suggests.clone()),
        (show.supplements || d, "Supplements", |d| d.package.supplements.clone()),
        (show.enhances || d, "Enhances", |d| d.package.enhances.clone()),
    ];
    all.into_iter().filter(|(set, ..)| *set).map(|(_, key, pick)| (key, pick)).collect()
}

/// A package's name as each of the programs prints it: dnf always with an epoch.
fn name(session: &Session<'_>, f: &Found) -> String {
    if session.name == Name::Dnf {
        let n = &f.nevra;
        return format!("{}-{}:{}.{}", n.name, n.evr.epoch.unwrap_or(0), n.evr.version_release(), n.arch);
    }
    shown(&f.nevra)
}

/// A package's name in the form that was asked for.
fn name_as(session: &Session<'_>, show: &Show, f: &Found) -> String {
    let n = &f.nevra;
    if show.nvr {
        return format!("{}-{}", n.name, n.evr.version_release());
    }
    if show.envra {
        return format!("{}:{}-{}.{}", n.evr.epoch.unwrap_or(0), n.name, n.evr.version_release(), n.arch);
    }
    name(session, f)
}

fn to_json(show: &Show, lists: &[(&'static str, Pick)], d: &Details) -> Value {
    let p = &d.package;
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("Nevra", json!(shown(&p.nevra)));
    set("Name", json!(p.nevra.name));
    set("Arch", json!(p.nevra.arch));
    set("Evr", json!(shown_evr(&p.nevra)));
    set("Repo", json!(d.shown_repository()));
    if show.info {
        set("Summary", json!(p.summary));
        set("Description", json!(p.description));
        set("Url", json!(p.url));
        set("License", json!(p.license));
        set("InstallSize", json!(p.installed_size));
    }
    if show.location && !d.is_installed() {
        set("Location", json!(p.location.to_string()));
    }
    if show.source {
        set("Source", json!(p.source_rpm));
    }
    if show.list {
        set("Files", json!(p.files.iter().map(|f| &f.path).collect::<Vec<_>>()));
    }
    if show.changelogs {
        let entries = p.changelog.iter().rev();
        let entries: Vec<Value> =
            entries.map(|c| json!({ "Time": c.date, "Author": c.author, "Text": c.text })).collect();
        set("ChangeLogs", json!(entries));
    }
    for (key, pick) in lists {
        set(key, json!(pick(d).iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    Value::Object(object)
}

/// Prints the newest entries of a changelog, at most down to a time.
fn changes(session: &Session<'_>, d: &Details, since: Option<i64>, count: usize) {
    let out = session.out;
    out.line(format!("Changelogs for {}", shown(d.nevra())));
    let entries = d.package.changelog.iter().rev().filter(|c| since.is_none_or(|since| c.date > since));
    for change in entries.take(count) {
        out.line(format!("* {} {}", time::day(change.date), change.author));
        out.line(change.text.trim_end());
        out.line("");
    }
}

/// What is new in an available package compared with the installed one.
pub fn new_changes(session: &Session<'_>, catalog: &Catalog<'_>, found: &Found) -> Result<()> {
    let details = query::details(session, catalog, found, Detail::Changelog)?;
    let mut since = None;
    for row in session.installed()?.database().named(&found.nevra.name)? {
        let newest = row.header.changelog().first().map(|(time, ..)| *time);
        since = since.max(newest);
    }
    changes(session, &details, since, usize::MAX);
    Ok(())
}

/// Runs `changelog`.
pub fn changelog(session: &Session<'_>, args: &ChangelogArgs) -> Result<Outcome> {
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let specs: Vec<Spec> = args.packages.iter().map(|w| Spec::parse(w)).collect();
    let mut found = if args.upgrades {
        query::upgrades(session, &catalog, &specs)?
    } else {
        query::available(&catalog, &specs, false)?
    };
    if found.is_empty() && !args.upgrades {
        found = query::installed(session, &specs)?;
    }
    if found.is_empty() {
        return Err(Error::NoMatch(args.packages.clone()));
    }
    for one in &found {
        if args.upgrades {
            new_changes(session, &catalog, one)?;
        } else {
            let details = query::details(session, &catalog, one, Detail::Changelog)?;
            changes(session, &details, None, args.count.unwrap_or(usize::MAX));
        }
    }
    Ok(Outcome::Done)
}

/// Runs `deplist`.
pub fn deplist(session: &Session<'_>, words: &[String]) -> Result<Outcome> {
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let specs: Vec<Spec> = words.iter().map(|w| Spec::parse(w)).collect();
    let found = query::available(&catalog, &specs, false)?;
    if found.is_empty() {
        return Err(Error::NoMatch(words.to_vec()));
    }
    for one in &found {
        dependencies_text(session, &catalog, one)?;
    }
    Ok(Outcome::Done)
}

/// What a package requires, and who provides it.
fn dependencies_text(session: &Session<'_>, catalog: &Catalog<'_>, one: &Found) -> Result<()> {
    let out = session.out;
    let details = query::details(session, catalog, one, Detail::Primary)?;
    out.line(format!("package: {}", shown(&one.nevra)));
    for wanted in &details.package.requires {
        out.line(format!("  dependency: {wanted}"));
        let simple = query::simple_dependencies(wanted);
        let providers = simple.iter().flat_map(|d| catalog.providing(d)).collect::<Vec<_>>();
        for provider in query::sorted(catalog, catalog.newest(providers)) {
            out.line(format!("   provider: {}", shown(&provider.nevra)));
        }
    }
    out.line("");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, version: &str) -> Found {
        let evr = lazuli_rpm::Evr::new(None, version, "1");
        let nevra = lazuli_rpm::Nevra { name: name.into(), evr, arch: "noarch".into() };
        Found { nevra, at: At::Installed(1), repository: String::new() }
    }

    #[test]
    fn the_newest_or_all_but_the_newest() {
        let all = || [found("a", "1"), found("b", "1"), found("a", "10"), found("a", "9")].to_vec();
        let names = |limit| {
            let mut list = all();
            latest(&mut list, limit);
            list.iter().map(|f| format!("{}{}", f.nevra.name, f.nevra.evr.version)).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["a10", "b1"]);
        assert_eq!(names(2), ["a9", "a10", "b1"]);
        assert_eq!(names(-1), ["a1", "a9"]);
    }
}
