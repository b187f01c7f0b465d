//! `check` and `check-local`.

use crate::cli::CheckArgs;
use crate::error::{Error, Result};
use crate::output::Style;
use crate::package::shown;
use crate::run::Outcome;
use crate::session::Session;
use lazuli_fs as fs;
use lazuli_repo::{Href, Package};
use lazuli_rpm::rich::Rich;
use lazuli_rpm::{Dependency, DependencyFlags, Nevra};
use lazuli_solve::{InstalledPackage, System as _};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A set of packages, for questions about what they have.
struct Set<'a> {
    provides: BTreeMap<&'a str, Vec<(usize, &'a Dependency)>>,
    owners: Box<dyn Fn(&str) -> bool + 'a>,
}

impl<'a> Set<'a> {
    fn new(packages: &'a [InstalledPackage], owners: impl Fn(&str) -> bool + 'a) -> Self {
        let mut provides: BTreeMap<&str, Vec<(usize, &Dependency)>> = BTreeMap::new();
        for (place, package) in packages.iter().enumerate() {
            for provided in &package.provides {
                provides.entry(&provided.name).or_default().push((place, provided));
            }
        }
        Self { provides, owners: Box::new(owners) }
    }

    /// Packages that meet a simple dependency; `None` stands for the owner of a file.
    fn providers(&self, wanted: &Dependency) -> Vec<Option<usize>> {
        let provided = self.provides.get(wanted.name.as_str()).into_iter().flatten();
        let mut found: Vec<Option<usize>> =
            provided.filter(|(_, p)| lazuli_solve::satisfies(p, wanted)).map(|(at, _)| Some(*at)).collect();
        if wanted.name.starts_with('/') && (self.owners)(&wanted.name) {
            found.push(None);
        }
        found
    }

    fn meets(&self, wanted: &Dependency) -> bool {
        if wanted.is_rich() {
            // Whether a rich dependency holds is the solver's business; here one of its names must be there.
            return Rich::parse(&wanted.name).is_ok_and(|rich| {
                let simple = rich.simple();
                simple.is_empty()
                    || simple.iter().any(|(d, _)| !self.providers(d).is_empty())
                    || wanted.name.contains(" if ")
                    || wanted.name.contains(" unless ")
            });
        }
        !self.providers(wanted).is_empty()
    }
}

/// Requirements that a running system cannot look up among packages: features of RPM, and what only
/// scriptlets that have long run needed.
fn counts(wanted: &Dependency) -> bool {
    !wanted.name.starts_with("rpmlib(") && !wanted.flags.contains(DependencyFlags::MISSINGOK)
}

/// Runs `check`.
pub fn check(session: &Session<'_>, args: &CheckArgs) -> Result<Outcome> {
    let all = !(args.dependencies || args.duplicates || args.obsoleted);
    let installed = session.installed()?;
    installed.load()?;
    let packages = installed.packages();
    let mut problems: BTreeSet<String> = BTreeSet::new();
    for unreadable in installed.database().unreadable() {
        problems.insert(format!(
            "row {} of the package database cannot be read: {}",
            unreadable.hnum, unreadable.reason
        ));
    }
    if all || args.dependencies {
        problems.extend(dependencies(
            packages,
            &|path| installed.owners_of(path).is_ok_and(|owners| !owners.is_empty()),
            !session.global.solving.skipconflicts,
        ));
    }
    if all || args.duplicates {
        let patterns: Vec<_> =
            session.settings.main.installonly_packages.iter().map(|p| crate::spec::Pattern::new(p)).collect();
        let mut seen: BTreeMap<(&str, &str), &Nevra> = BTreeMap::new();
        for package in packages {
            let several = |p: &Dependency| patterns.iter().any(|pattern| pattern.matches_text(&p.name));
            if package.provides.iter().any(several) {
                continue;
            }
            let n = &package.nevra;
            if let Some(other) = seen.insert((&n.name, &n.arch), n) {
                problems.insert(format!("{} is a duplicate of {}", shown(n), shown(other)));
            }
        }
    }
    if (all || args.obsoleted) && !session.global.solving.skipobsoletes {
        problems.extend(obsoleted(packages));
    }
    if session.out.json {
        session.out.json(&json!({ "Problems": problems, "Packages": packages.len() }));
    } else {
        for problem in &problems {
            session.out.line(format!("{} {problem}", session.out.styled(Style::Bad, "Problem:")));
        }
    }
    if problems.is_empty() {
        session.out.info(format!("{} packages, no problems found.", packages.len()));
        Ok(Outcome::Done)
    } else if session.out.json {
        Ok(Outcome::Attention)
    } else {
        Err(Error::Problems(format!("Check discovered {} problem(s)", problems.len())))
    }
}

fn dependencies(
    packages: &[InstalledPackage],
    owners: &dyn Fn(&str) -> bool,
    conflicts: bool,
) -> Vec<String> {
    let set = Set::new(packages, owners);
    let mut problems = Vec::new();
    for (place, package) in packages.iter().enumerate() {
        for wanted in package.requires.iter().filter(|d| counts(d)) {
            if !set.meets(wanted) {
                problems.push(format!("{} has missing requires of {wanted}", shown(&package.nevra)));
            }
        }
        for unwanted in package.conflicts.iter().filter(|d| conflicts && !d.is_rich()) {
            for other in set.providers(unwanted).into_iter().flatten().filter(|other| *other != place) {
                problems.push(format!(
                    "{} conflicts with {} ({unwanted})",
                    shown(&package.nevra),
                    shown(&packages[other].nevra)
                ));
            }
        }
    }
    problems
}

/// Obsoletes are about names of packages, not about what they provide.
fn obsoleted(packages: &[InstalledPackage]) -> Vec<String> {
    let mut names: BTreeMap<&str, Vec<&Nevra>> = BTreeMap::new();
    for package in packages {
        names.entry(&package.nevra.name).or_default().push(&package.nevra);
    }
    let mut problems = Vec::new();
    for package in packages {
        for obsolete in &package.obsoletes {
            for n in names.get(obsolete.name.as_str()).into_iter().flatten() {
                let equal = DependencyFlags::EQUAL;
                let itself = Dependency::versioned(n.name.as_str(), equal, n.evr.to_string());
                if n.name != package.nevra.name && lazuli_solve::satisfies(&itself, obsolete) {
                    problems.push(format!("{} is obsoleted by {}", shown(n), shown(&package.nevra)));
                }
            }
        }
    }
    problems
}

/// Runs `check-local`.
pub fn check_local(session: &Session<'_>, directory: &Path) -> Result<Outcome> {
    let mut packages = Vec::new();
    let mut files = BTreeSet::new();
    for path in fs::read_dir(directory)? {
        if path.extension().is_none_or(|e| e != "rpm") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bad = |reason: String| Error::File { path: path.clone(), reason };
        let href = Href::new(&name).map_err(|e| bad(e.to_string()))?;
        let p = Package::from_rpm(&fs::read(&path)?, href).map_err(|e| bad(e.to_string()))?;
        files.extend(p.files.iter().map(|f| f.path.clone()));
        packages.push(InstalledPackage {
            hnum: packages.len() as u32,
            nevra: p.nevra,
            keep: lazuli_solve::Keep::User,
            provides: p.provides,
            requires: p.requires,
            conflicts: p.conflicts,
            obsoletes: p.obsoletes,
            recommends: p.recommends,
            supplements: p.supplements,
            size: p.installed_size,
        });
    }
    let found = dependencies(&packages, &|path| files.contains(path), !session.global.solving.skipconflicts);
    session.out.info(format!("Found {} packages", packages.len()));
    for problem in &found {
        session.out.line(problem);
    }
    if found.is_empty() {
        session.out.info("Check completed without issues");
        return Ok(Outcome::Done);
    }
    Err(Error::Problems(format!("{} problem(s) found", found.len())))
}
