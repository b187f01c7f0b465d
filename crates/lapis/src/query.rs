//! Questions about installed and available packages.

use crate::catalog::{Catalog, Detail};
use crate::cli::ListArgs;
use crate::error::{Error, Result};
use crate::history::Reason;
use crate::output::time;
use crate::package::{Details, SYSTEM};
use crate::session::Session;
use crate::spec::Spec;
use lazuli_rpm::{Dependency, Nevra};
use lazuli_solve::{List, PackageId, System as _, Universe as _};
use std::collections::{BTreeMap, BTreeSet};

/// How long something is recent, in seconds.
const RECENT: i64 = 7 * 86_400;

/// Where a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Installed, by its number in the database.
    Installed(u32),
    /// In a repository.
    Available(PackageId),
}

/// A package that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub nevra: Nevra,
    /// Where.
    pub at: At,
    /// The repository as lists show it.
    pub repository: String,
}

/// What `list`, `info` and `repoquery` are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Installed, and newer or other ones that are not.
    All,
    /// In a repository, and not installed in that version.
    Available,
    /// Installed.
    Installed,
    /// Installed, and in no repository.
    Extras,
    /// Available packages that replace installed ones of another name.
    Obsoletes,
    /// Added to a repository within a week.
    Recent,
    /// Available and newer than what is installed.
    Upgrades,
    /// Available and older than what is installed.
    Downgrades,
    /// Installed as dependencies and no longer needed.
    Autoremove,
}

impl Scope {
    /// From the options, or from the first word, and the words that are left.
    pub fn parse(args: &ListArgs) -> (Self, &[String]) {
        let s = &args.scope;
        let options = [
            (s.available, Self::Available),
            (s.installed, Self::Installed),
            (s.extras, Self::Extras),
            (s.obsoletes, Self::Obsoletes),
            (s.recent, Self::Recent),
            (s.upgrades, Self::Upgrades),
            (s.downgrades, Self::Downgrades),
            (s.autoremove, Self::Autoremove),
        ];
        if let Some((_, scope)) = options.iter().find(|(set, _)| *set) {
            return (*scope, &args.words);
        }
        let word = args.words.first().map(String::as_str).filter(|_| !s.all);
        let scope = match word {
            Some("all") => Self::All,
            Some("available") => Self::Available,
            Some("installed") => Self::Installed,
            Some("extras") => Self::Extras,
            Some("obsoletes") => Self::Obsoletes,
            Some("recent") => Self::Recent,
            Some("updates" | "upgrades" | "update" | "upgrade") => Self::Upgrades,
            Some("downgrades") => Self::Downgrades,
            Some("autoremove") => Self::Autoremove,
            _ => return (Self::All, &args.words),
        };
        (scope, &args.words[1..])
    }

    /// Whether repositories have to be looked at.
    pub fn needs_repositories(self) -> bool {
        self != Self::Installed && self != Self::Autoremove
    }
}

/// Installed packages that one of the words names; all of them if there is none. In the order of names.
pub fn installed(session: &Session<'_>, specs: &[Spec]) -> Result<Vec<Found>> {
    let installed = session.installed()?;
    let found = |hnum, nevra: Nevra| {
        let origin = installed.origin(&nevra);
        let repository = if origin.is_empty() { SYSTEM.to_owned() } else { format!("@{origin}") };
        Found { nevra, at: At::Installed(hnum), repository }
    };
    let all = installed.nevras()?;
    if specs.is_empty() {
        return Ok(all.into_iter().map(|(hnum, nevra)| found(hnum, nevra)).collect());
    }
    let mut chosen = BTreeSet::new();
    for spec in specs {
        match spec {
            Spec::Package(pattern) => {
                let named = all.iter().filter(|(_, n)| pattern.matches(n)).map(|(hnum, _)| *hnum);
                let mut named: Vec<u32> = named.collect();
                if named.is_empty() && !pattern.is_glob() {
                    named = providing(session, &Dependency::any(pattern.text()))?;
                }
                chosen.extend(named);
            }
            Spec::Path(path) => chosen.extend(installed.owners_of(path)?),
            Spec::Dependency(text) => {
                chosen.extend(providing(session, &crate::catalog::dependency(text)?)?);
            }
            Spec::File(_) => {}
        }
    }
    Ok(all.into_iter().filter(|(h, _)| chosen.contains(h)).map(|(h, n)| found(h, n)).collect())
}

/// Installed packages that provide what is asked for.
pub fn providing(session: &Session<'_>, wanted: &Dependency) -> Result<Vec<u32>> {
    let installed = session.installed()?;
    if wanted.name.starts_with('/') {
        return installed.owners_of(&wanted.name);
    }
    let mut found = Vec::new();
    for (hnum, at) in installed.database().providers(&wanted.name)? {
        let provides = installed.database().dependencies(hnum, lazuli_rpmdb::Relation::Provides)?;
        if provides.get(at as usize).is_some_and(|p| lazuli_solve::satisfies(p, wanted)) {
            found.push(hnum);
        }
    }
    Ok(found)
}

/// Available packages that one of the words names; all of them if there is none. In the order of names, and
/// only the newest of each unless `duplicates`.
pub fn available(catalog: &Catalog<'_>, specs: &[Spec], duplicates: bool) -> Result<Vec<Found>> {
    let mut ids: Vec<PackageId> = Vec::new();
    if specs.is_empty() {
        ids.extend(catalog.every());
    }
    for spec in specs {
        ids.extend(catalog.select(spec)?);
    }
    ids.sort_unstable();
    ids.dedup();
    if !duplicates {
        ids = catalog.newest(ids);
    }
    Ok(sorted(catalog, ids))
}

/// Packages of a catalog in the order of names and versions.
pub fn sorted(catalog: &Catalog<'_>, ids: impl IntoIterator<Item = PackageId>) -> Vec<Found> {
    let mut found: Vec<Found> = ids
        .into_iter()
        .map(|id| Found {
            nevra: catalog.nevra(id),
            at: At::Available(id),
            repository: catalog.repository(id).to_owned(),
        })
        .collect();
    found.sort_by(|a, b| a.nevra.cmp(&b.nevra).then_with(|| a.repository.cmp(&b.repository)));
    found
}

/// The installed versions of each name and architecture.
fn versions(session: &Session<'_>) -> Result<BTreeMap<(String, String), Vec<Nevra>>> {
    let mut versions: BTreeMap<_, Vec<Nevra>> = BTreeMap::new();
    for (_, nevra) in session.installed()?.nevras()? {
        versions.entry((nevra.name.clone(), nevra.arch.clone())).or_default().push(nevra);
    }
    Ok(versions)
}

/// The installed versions that an available package would take the place of: of its architecture, or of
/// `noarch` and any other, because a package may change between these.
fn counterparts<'v>(
    versions: &'v BTreeMap<(String, String), Vec<Nevra>>,
    nevra: &Nevra,
) -> impl Iterator<Item = &'v Nevra> {
    let (name, arch) = (nevra.name.clone(), nevra.arch.clone());
    let from = (name.clone(), String::new());
    versions
        .range(from..)
        .take_while(move |((n, _), _)| *n == name)
        .filter(move |((_, a), _)| *a == arch || a == "noarch" || arch == "noarch")
        .flat_map(|(_, all)| all)
}

/// Available packages that are newer than the installed version.
pub fn upgrades(session: &Session<'_>, catalog: &Catalog<'_>, specs: &[Spec]) -> Result<Vec<Found>> {
    compared(session, catalog, specs, false, |have, can| have < can)
}

/// Available packages that relate to the newest installed version in a way.
fn compared(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    specs: &[Spec],
    duplicates: bool,
    relation: impl Fn(&lazuli_rpm::Evr, &lazuli_rpm::Evr) -> bool,
) -> Result<Vec<Found>> {
    let versions = versions(session)?;
    let mut ids = Vec::new();
    let wanted: Option<BTreeSet<PackageId>> = if specs.is_empty() {
        None
    } else {
        let mut wanted = BTreeSet::new();
        for spec in specs {
            wanted.extend(catalog.select(spec)?);
        }
        Some(wanted)
    };
    let names: BTreeSet<&str> = versions.keys().map(|(name, _)| name.as_str()).collect();
    for name in names {
        // A repository of better priority decides, whatever others have.
        let named = catalog.named(name);
        let best = named.iter().map(|id| catalog.priority(*id)).min();
        for id in named.into_iter().filter(|id| Some(catalog.priority(*id)) == best) {
            if wanted.as_ref().is_some_and(|w| !w.contains(&id)) {
                continue;
            }
            let nevra = catalog.nevra(id);
            let newest = counterparts(&versions, &nevra).max_by(|a, b| a.evr.cmp(&b.evr));
            if newest.is_some_and(|have| relation(&have.evr, &nevra.evr)) {
                ids.push(id);
            }
        }
    }
    if !duplicates {
        ids = catalog.newest(ids);
    }
    Ok(sorted(catalog, ids))
}

/// Available packages that replace installed ones of other names, with those.
pub fn obsoleting(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    specs: &[Spec],
) -> Result<Vec<(Found, Nevra)>> {
    if !session.settings.main.obsoletes {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    let versions = versions(session)?;
    for ((name, _), have) in &versions {
        for id in catalog.newest(catalog.obsoleters(name)) {
            let nevra = catalog.nevra(id);
            if nevra.name == *name || !specs.is_empty() && !specs.iter().any(|s| names(s, &nevra)) {
                continue;
            }
            // Who obsoletes something that is not the newest of its own name has been overtaken.
            if catalog.newest(catalog.named(&nevra.name)).iter().all(|newest| *newest != id) {
                continue;
            }
            let obsoletes = catalog.dependencies(id, List::Obsoletes);
            for old in have {
                let itself = Dependency::versioned(
                    name.as_str(),
                    lazuli_rpm::DependencyFlags::EQUAL,
                    old.evr.to_string(),
                );
                let installed = counterparts(&versions, &nevra).any(|n| n.evr >= nevra.evr);
                if !installed && obsoletes.iter().any(|o| lazuli_solve::satisfies(&itself, o)) {
                    pairs.extend(sorted(catalog, [id]).into_iter().map(|found| (found, old.clone())));
                }
            }
        }
    }
    Ok(pairs)
}

fn names(spec: &Spec, nevra: &Nevra) -> bool {
    matches!(spec, Spec::Package(pattern) if pattern.matches(nevra))
}

/// Packages by heading for `list` and `info`.
pub fn sections(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    scope: Scope,
    specs: &[Spec],
    duplicates: bool,
) -> Result<Vec<(&'static str, Vec<Found>)>> {
    let other = |mut found: Vec<Found>| -> Result<Vec<Found>> {
        let have: BTreeSet<String> =
            session.installed()?.nevras()?.into_iter().map(|(_, n)| n.to_string()).collect();
        found.retain(|f| !have.contains(&f.nevra.to_string()));
        Ok(found)
    };
    Ok(match scope {
        Scope::All => vec![
            ("Installed Packages", installed(session, specs)?),
            ("Available Packages", other(available(catalog, specs, duplicates)?)?),
        ],
        Scope::Installed => vec![("Installed Packages", installed(session, specs)?)],
        Scope::Available => vec![("Available Packages", other(available(catalog, specs, duplicates)?)?)],
        Scope::Extras => vec![("Extra Packages", extras(catalog, installed(session, specs)?))],
        Scope::Upgrades => vec![("Available Upgrades", upgrades(session, catalog, specs)?)],
        Scope::Downgrades => {
            vec![("Available Downgrades", compared(session, catalog, specs, duplicates, |a, b| a > b)?)]
        }
        Scope::Obsoletes => {
            let pairs = obsoleting(session, catalog, specs)?;
            vec![("Obsoleting Packages", pairs.into_iter().map(|(found, _)| found).collect())]
        }
        Scope::Recent => {
            let mut found = available(catalog, specs, duplicates)?;
            let since = time::now() - RECENT;
            found.retain(|f| is_since(catalog, f, since));
            vec![("Recently Added Packages", found)]
        }
        Scope::Autoremove => vec![("Autoremove Packages", unneeded(session, specs)?)],
    })
}

/// Whether a package was added since a time.
pub fn is_since(catalog: &Catalog<'_>, found: &Found, since: i64) -> bool {
    matches!(found.at, At::Available(id) if catalog.times(id).1 >= since)
}

/// Those of installed packages that no repository has.
pub fn extras(catalog: &Catalog<'_>, mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|f| {
        let text = f.nevra.to_string();
        !catalog.named(&f.nevra.name).iter().any(|id| catalog.nevra(*id).to_string() == text)
    });
    found
}

/// Installed packages that came as dependencies and that nothing needs: no package that somebody asked for
/// leads to them by requirements or recommendations.
pub fn unneeded(session: &Session<'_>, specs: &[Spec]) -> Result<Vec<Found>> {
    let installed_packages = session.installed()?;
    installed_packages.load()?;
    let packages = installed_packages.packages();
    let mut providers: BTreeMap<&str, Vec<(usize, &Dependency)>> = BTreeMap::new();
    for (place, package) in packages.iter().enumerate() {
        for provided in &package.provides {
            providers.entry(provided.name.as_str()).or_default().push((place, provided));
        }
    }
    let places: BTreeMap<u32, usize> = packages.iter().enumerate().map(|(at, p)| (p.hnum, at)).collect();
    let mut needed = vec![false; packages.len()];
    let mut open: Vec<usize> = Vec::new();
    for (place, package) in packages.iter().enumerate() {
        if installed_packages.reason(&package.nevra) == Reason::User {
            needed[place] = true;
            open.push(place);
        }
    }
    let mut paths: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    while let Some(place) = open.pop() {
        let package = &packages[place];
        for wanted in package.requires.iter().chain(&package.recommends) {
            let mut targets: Vec<usize> = Vec::new();
            for simple in simple_dependencies(wanted) {
                for (at, provided) in providers.get(simple.name.as_str()).into_iter().flatten() {
                    if lazuli_solve::satisfies(provided, &simple) {
                        targets.push(*at);
                    }
                }
            }
            if wanted.name.starts_with('/') {
                if !paths.contains_key(wanted.name.as_str()) {
                    paths.insert(&wanted.name, installed_packages.owners_of(&wanted.name)?);
                }
                targets.extend(paths[wanted.name.as_str()].iter().filter_map(|h| places.get(h)));
            }
            for target in targets {
                if !std::mem::replace(&mut needed[target], true) {
                    open.push(target);
                }
            }
        }
    }
    let mut found = installed(session, specs)?;
    found.retain(|f| match f.at {
        At::Installed(hnum) => places.get(&hnum).is_some_and(|at| !needed[*at]),
        At::Available(_) => false,
    });
    Ok(found)
}

/// A dependency, or the ones inside a rich one.
pub fn simple_dependencies(dependency: &Dependency) -> Vec<Dependency> {
    if !dependency.is_rich() {
        return vec![dependency.clone()];
    }
    lazuli_rpm::rich::Rich::parse(&dependency.name)
        .map(|rich| rich.simple().into_iter().map(|(simple, _)| simple.clone()).collect())
        .unwrap_or_default()
}

/// Everything about a package that was found.
pub fn details(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    found: &Found,
    detail: Detail,
) -> Result<Details> {
    match found.at {
        At::Installed(hnum) => session
            .installed()?
            .details(hnum)?
            .ok_or_else(|| Error::Database(format!("{} is not installed any more", found.nevra))),
        At::Available(id) => catalog.details(id, detail),
    }
}
