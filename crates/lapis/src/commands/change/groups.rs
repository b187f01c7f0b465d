//! From groups to jobs for their packages.
//!
//! Nothing is kept about groups: one is installed as long as its packages are. So what `rpm` or somebody's
//! `remove` did to a group's packages needs no telling.

use crate::catalog::Catalog;
use crate::commands::group::is_installed;
use crate::error::{Error, Result};
use crate::query;
use crate::repositories::Repos;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_repo::comps::{self, Comps, Membership};
use lazuli_rpm::Dependency;
use lazuli_solve::{Job, Select, System as _, Universe as _};
use std::collections::{BTreeSet, HashMap};

/// A group, and what is to happen with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Id or name.
    pub name: String,
    /// What is to happen.
    pub change: Change,
}

/// What is to happen with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its packages come.
    Install {
        /// Those that are optional too.
        optional: bool,
    },
    /// Its mandatory and default packages go, but for those that other packages need or other groups have.
    Remove,
    /// Those of its packages that are installed are brought up to date.
    Upgrade,
}

/// Jobs for the packages of groups.
pub fn jobs(
    session: &Session<'_>,
    repositories: &Repos,
    catalog: &Catalog<'_>,
    groups: &[Group],
) -> Result<Vec<Job>> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let comps = repositories.groups()?;
    let installed = session.installed()?;
    installed.load()?;
    let have: BTreeSet<&str> = installed.packages().iter().map(|p| p.nevra.name.as_str()).collect();
    let mut jobs = Vec::new();
    for Group { name, change } in groups {
        let found = find(&comps, name);
        if found.is_empty() {
            return Err(Error::NotFound(vec![format!(
                "no group matches `{name}`; `group list --hidden` shows all that there are"
            )]));
        }
        let members: Vec<&comps::Member> = found.iter().flat_map(|group| &group.packages).collect();
        match change {
            Change::Install { optional } => {
                let mut coming: BTreeSet<&str> = BTreeSet::new();
                // Conditions may be met by what the group itself brings.
                let (conditional, plain): (Vec<&comps::Member>, Vec<&comps::Member>) =
                    members.iter().partition(|m| matches!(m.membership, Membership::Conditional(_)));
                for member in plain {
                    if *optional || member.membership != Membership::Optional {
                        coming.insert(&member.name);
                    }
                }
                for member in conditional {
                    if let Membership::Conditional(other) = &member.membership
                        && (have.contains(other.as_str()) || coming.contains(other.as_str()))
                    {
                        coming.insert(&member.name);
                    }
                }
                for package in coming.into_iter().filter(|package| !have.contains(package)) {
                    // Groups outlive packages; dnf says so too and goes on.
                    if catalog.named(package).is_empty() {
                        session.out.warn(format!("No match for group package \"{package}\""));
                    } else {
                        jobs.push(Job::Install(Select::text(package)));
                    }
                }
            }
            Change::Remove => {
                let names = going(&comps, &found, name, &|name| have.contains(name))?;
                jobs.extend(
                    removable(session, &names)?.into_iter().map(|h| Job::Remove(Select::Installed(h))),
                );
            }
            Change::Upgrade => {
                for member in members.iter().filter(|m| have.contains(m.name.as_str())) {
                    let select = Some(Select::text(&member.name));
                    jobs.push(Job::Upgrade { select, minimal: false, only: None });
                }
            }
        }
    }
    Ok(jobs)
}

/// The groups that an id or name (or a pattern for one) means: of an environment, those that it consists of.
pub fn find<'c>(comps: &'c Comps, name: &str) -> Vec<&'c comps::Group> {
    let pattern = Pattern::new(&name.to_lowercase());
    let is = |id: &str, title: &str| {
        pattern.matches_text(&id.to_lowercase()) || pattern.matches_text(&title.to_lowercase())
    };
    let mut found: Vec<&comps::Group> = comps.groups.iter().filter(|g| is(&g.id, &g.name)).collect();
    for environment in comps.environments.iter().filter(|e| is(&e.id, &e.name)) {
        found.extend(comps.groups.iter().filter(|g| environment.groups.contains(&g.id)));
    }
    found
}

/// The names that go with groups: what came with them unasked, and with no other group that stays. Optional and
/// conditional packages are somebody's choice of their own.
fn going<'c>(
    comps: &'c Comps,
    found: &[&'c comps::Group],
    name: &str,
    have: &impl Fn(&str) -> bool,
) -> Result<BTreeSet<&'c str>> {
    let usual = |group: &'c comps::Group| {
        let usual = |m: &&comps::Member| matches!(m.membership, Membership::Mandatory | Membership::Default);
        group.packages.iter().filter(usual).map(|m| m.name.as_str())
    };
    let (leaving, not_there): (Vec<&comps::Group>, Vec<&comps::Group>) =
        found.iter().partition(|group| is_installed(group, have));
    if leaving.is_empty() {
        let ids: Vec<&str> = not_there.iter().map(|group| group.id.as_str()).collect();
        return Err(Error::NotFound(vec![format!(
            "group `{name}` ({}) is not installed: not all of what it consists of is there. `group info` shows its \
             packages; those that are there can be removed by name",
            ids.join(", ")
        )]));
    }
    let mut names: BTreeSet<&str> = leaving.iter().flat_map(|group| usual(group)).collect();
    let ids: BTreeSet<&str> = found.iter().map(|group| group.id.as_str()).collect();
    let staying = comps.groups.iter().filter(|g| !ids.contains(g.id.as_str()) && is_installed(g, have));
    for member in staying.flat_map(usual) {
        names.remove(member);
    }
    Ok(names)
}

/// Installed packages of these names that no other installed package needs.
fn removable(session: &Session<'_>, names: &BTreeSet<&str>) -> Result<Vec<u32>> {
    let installed = session.installed()?;
    let packages = installed.packages();
    let mut provides: HashMap<&str, Vec<(u32, &Dependency)>> = HashMap::new();
    for package in packages {
        for provide in &package.provides {
            provides.entry(&provide.name).or_default().push((package.hnum, provide));
        }
    }
    let mut owners: HashMap<String, Vec<u32>> = HashMap::new();
    let (mut going, mut staying): (BTreeSet<u32>, Vec<u32>) = (BTreeSet::new(), Vec::new());
    for package in packages {
        if names.contains(package.nevra.name.as_str()) {
            going.insert(package.hnum);
        } else {
            staying.push(package.hnum);
        }
    }
    // What a package that stays needs stays too, and is looked at in its turn.
    while let Some(package) = staying.pop().and_then(|hnum| installed.get(hnum)) {
        for wanted in package.requires.iter().flat_map(query::simple_dependencies) {
            let offers = provides.get(wanted.name.as_str()).into_iter().flatten();
            let mut needed: Vec<u32> =
                offers.filter(|(_, p)| lazuli_solve::satisfies(p, &wanted)).map(|(hnum, _)| *hnum).collect();
            if wanted.name.starts_with('/') {
                if !owners.contains_key(&wanted.name) {
                    owners.insert(wanted.name.clone(), installed.owners_of(&wanted.name)?);
                }
                needed.extend(owners.get(&wanted.name).into_iter().flatten());
            }
            staying.extend(needed.into_iter().filter(|hnum| going.remove(hnum)));
        }
    }
    Ok(going.into_iter().collect())
}
