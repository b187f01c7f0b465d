//! Everything that a set of packages needs to run: the closure of `Depends` and `Pre-Depends`.
//!
//! This is for tool roots, not for machines: nothing is installed beforehand, `Recommends` are left out and
//! `Essential` packages come in only if something depends on them. The answer is a function of the
//! packages and the wanted names alone; neither the order of the universe nor of the request matters.
//!
//! A dependency is met, in this order, by
//!
//! 1. a package that is wanted or already taken in;
//! 2. the first alternative that a real package meets, its newest version first;
//! 3. the first alternative that another package provides; of several, the most important by `Priority`,
//!    then the first by name.
//!
//! Packages that conflict with one already taken are passed over where there is a choice, and are an
//! error where there is none.

use crate::index::BinaryPackage;
use crate::relation::{Alternative, Op, Relation, Relations};
use crate::version::Version;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// The packages of several suites: of each name every version, newest first.
#[derive(Debug, Clone, Default)]
pub struct Universe<'a> {
    packages: BTreeMap<&'a str, Vec<&'a BinaryPackage>>,
    /// Which packages provide a name, with the version they provide it in.
    provides: BTreeMap<String, Vec<(&'a BinaryPackage, Option<Version>)>>,
}

impl<'a> Universe<'a> {
    /// A universe of these packages. Of equal versions the first one counts.
    pub fn new(packages: impl IntoIterator<Item = &'a BinaryPackage>) -> Self {
        let mut universe = Self::default();
        for package in packages {
            universe.packages.entry(&package.package).or_default().push(package);
        }
        for versions in universe.packages.values_mut() {
            versions.sort_by(|a, b| b.version.cmp(&a.version));
            versions.dedup_by(|a, b| a.version == b.version);
        }
        for versions in universe.packages.values() {
            let Some(newest) = versions.first() else { continue };
            // A field that cannot be read provides nothing; it is reported when the package is used.
            for alternative in
                newest.provides.parse().unwrap_or_default().into_iter().flat_map(|r| r.alternatives)
            {
                let version = match alternative.version {
                    Some((Op::Equal, version)) => Some(version),
                    _ => None,
                };
                universe.provides.entry(alternative.name).or_default().push((newest, version));
            }
        }
        for providers in universe.provides.values_mut() {
            providers.sort_by(|(a, _), (b, _)| (a.priority, &a.package).cmp(&(b.priority, &b.package)));
        }
        universe
    }

    /// The newest package of this name.
    pub fn newest(&self, name: &str) -> Option<&'a BinaryPackage> {
        self.versions(name).first().copied()
    }

    /// All packages of this name, newest first.
    pub fn versions(&self, name: &str) -> &[&'a BinaryPackage] {
        self.packages.get(name).map_or(&[], Vec::as_slice)
    }

    /// The newest packages that provide this name, most important first.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = &'a BinaryPackage> {
        self.provides.get(name).into_iter().flatten().map(|(package, _)| *package)
    }

    /// All package names in order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.packages.keys().copied()
    }
}

/// Why a closure does not exist, with the chain of dependencies that leads to the obstacle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Explanation {
    /// From the wanted package to the one with the problem; each with the relation that brought it in.
    pub chain: Vec<String>,
    /// The problem.
    pub problem: Problem,
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nothing in the universe meets a relation.
    Unmet {
        /// The relation.
        relation: String,
        /// What there is of each alternative instead.
        available: Vec<String>,
    },
    /// Two packages that cannot be together.
    Conflict {
        /// A package of the closure.
        package: String,
        /// The other one.
        other: String,
        /// What the first one says of the second.
        relation: String,
    },
    /// A field that cannot be read.
    Field {
        /// The package.
        package: String,
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.chain.is_empty() {
            write!(f, "{}: ", self.chain.join(" -> "))?;
        }
        match &self.problem {
            Problem::Unmet { relation, available } => {
                write!(f, "nothing in the suites meets `{relation}`")?;
                if !available.is_empty() {
                    write!(f, " (there is {})", available.join(", "))?;
                }
                Ok(())
            }
            Problem::Conflict { package, other, relation } => {
                write!(f, "{package} cannot be together with {other} (it conflicts with `{relation}`)")
            }
            Problem::Field { package, reason } => write!(f, "{package}: {reason}"),
        }
    }
}

/// The packages that `wanted` need, themselves included, sorted by name. A wanted text is a package name
/// or a relation as in `Depends`.
pub fn closure<'a>(universe: &Universe<'a>, wanted: &[&str]) -> Result<Vec<&'a BinaryPackage>, Explanation> {
    let mut solver = Solver { universe, chosen: BTreeMap::new(), queue: VecDeque::new() };
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    // Everything wanted comes first, so that it settles the alternatives of everything else.
    for text in wanted {
        let relations = crate::relation::parse(text).map_err(|e| Explanation {
            chain: Vec::new(),
            problem: Problem::Field { package: text.to_owned(), reason: e.to_string() },
        })?;
        for relation in &relations {
            solver.meet(relation, None)?;
        }
    }
    while let Some(name) = solver.queue.pop_front() {
        let Some(package) = solver.chosen.get(name).map(|c| c.package) else { continue };
        for relation in solver.field(package, &package.pre_depends)? {
            solver.meet(&relation, Some(package))?;
        }
        for relation in solver.field(package, &package.depends)? {
            solver.meet(&relation, Some(package))?;
        }
    }
    solver.check_conflicts()?;
    Ok(solver.chosen.into_values().map(|c| c.package).collect())
}

/// A package of the closure.
struct Chosen<'a> {
    package: &'a BinaryPackage,
    /// What it is called besides its name, with the version if one is given.
    provides: Vec<(String, Option<Version>)>,
    /// Its `Conflicts` and `Breaks`.
    against: Vec<Alternative>,
    /// Who needed it first, and the relation.
    reason: Option<(&'a str, String)>,
}

struct Solver<'u, 'a> {
    universe: &'u Universe<'a>,
    chosen: BTreeMap<&'a str, Chosen<'a>>,
    queue: VecDeque<&'a str>,
}

impl<'a> Solver<'_, 'a> {
    /// Makes the relation hold.
    fn meet(&mut self, relation: &Relation, by: Option<&'a BinaryPackage>) -> Result<(), Explanation> {
        if relation.alternatives.iter().any(|a| self.is_met(a)) {
            return Ok(());
        }
        let mut candidates: Vec<&'a BinaryPackage> = Vec::new();
        for alternative in &relation.alternatives {
            candidates.extend(self.real(alternative));
        }
        for alternative in &relation.alternatives {
            candidates.extend(self.virtual_ones(alternative));
        }
        // Another version of something that is in already is no choice any more.
        candidates.retain(|c| !self.chosen.contains_key(c.package.as_str()));
        let mut first = None;
        for candidate in candidates {
            let chosen = self.describe(candidate, by, relation)?;
            if self.chosen.values().all(|other| conflict(&chosen, other).is_none()) {
                self.take(chosen);
                return Ok(());
            }
            first.get_or_insert(chosen);
        }
        match first {
            // `check_conflicts` will say with whom.
            Some(chosen) => {
                self.take(chosen);
                Ok(())
            }
            None => Err(Explanation {
                chain: self.chain(by),
                problem: Problem::Unmet {
                    relation: relation.to_string(),
                    available: relation.alternatives.iter().flat_map(|a| self.available(a)).collect(),
                },
            }),
        }
    }

    fn take(&mut self, chosen: Chosen<'a>) {
        let name = chosen.package.package.as_str();
        self.chosen.insert(name, chosen);
        self.queue.push_back(name);
    }

    fn describe(
        &self,
        package: &'a BinaryPackage,
        by: Option<&'a BinaryPackage>,
        relation: &Relation,
    ) -> Result<Chosen<'a>, Explanation> {
        let alternatives = |field: &Relations| -> Result<Vec<Alternative>, Explanation> {
            Ok(self.field(package, field)?.into_iter().flat_map(|r| r.alternatives).collect())
        };
        let mut against = alternatives(&package.conflicts)?;
        against.extend(alternatives(&package.breaks)?);
        let provides = alternatives(&package.provides)?
            .into_iter()
            .map(|a| (a.name, a.version.filter(|(op, _)| *op == Op::Equal).map(|(_, version)| version)))
            .collect();
        let reason = by.map(|b| (b.package.as_str(), relation.to_string()));
        Ok(Chosen { package, provides, against, reason })
    }

    fn field(&self, package: &'a BinaryPackage, field: &Relations) -> Result<Vec<Relation>, Explanation> {
        field.parse().map_err(|e| Explanation {
            chain: self.chain(Some(package)),
            problem: Problem::Field { package: package.to_string(), reason: e.to_string() },
        })
    }

    fn is_met(&self, wanted: &Alternative) -> bool {
        if !foreign_ok(wanted) {
            return false;
        }
        match self.chosen.get(wanted.name.as_str()) {
            Some(chosen) if wanted.accepts(&chosen.package.version) => true,
            _ => self.chosen.values().any(|chosen| provided(&chosen.provides, wanted)),
        }
    }

    fn real(&self, wanted: &Alternative) -> impl Iterator<Item = &'a BinaryPackage> {
        let versions: Vec<_> = self
            .universe
            .versions(&wanted.name)
            .iter()
            .copied()
            .filter(|p| foreign_ok(wanted) && wanted.accepts(&p.version))
            .collect();
        versions.into_iter()
    }

    fn virtual_ones(&self, wanted: &Alternative) -> impl Iterator<Item = &'a BinaryPackage> {
        let providers: Vec<_> = self
            .universe
            .provides
            .get(&wanted.name)
            .into_iter()
            .flatten()
            .filter(|(_, version)| foreign_ok(wanted) && version_accepted(version.as_ref(), wanted))
            .map(|(package, _)| *package)
            .collect();
        providers.into_iter()
    }

    /// What the universe has of the name.
    fn available(&self, wanted: &Alternative) -> Vec<String> {
        let taken = self.chosen.get(wanted.name.as_str()).map(|c| c.package);
        taken
            .into_iter()
            .chain(self.universe.newest(&wanted.name).filter(|_| taken.is_none()))
            .map(|p| format!("{} {}", p.package, p.version))
            .chain(
                self.universe
                    .providers(&wanted.name)
                    .map(|p| format!("{} provided by {}", wanted.name, p.package)),
            )
            .collect()
    }

    /// How the closure came to `package`, from the wanted package on.
    fn chain(&self, package: Option<&'a BinaryPackage>) -> Vec<String> {
        let mut chain = Vec::new();
        let mut at = package.map(|p| p.package.as_str());
        while let Some(name) = at {
            let reason = self.chosen.get(name).and_then(|c| c.reason.as_ref());
            match reason {
                Some((_, relation)) if relation != name => chain.push(format!("{name} (for `{relation}`)")),
                _ => chain.push(name.to_owned()),
            }
            at = reason.map(|(by, _)| *by);
        }
        chain.reverse();
        chain
    }

    fn check_conflicts(&self) -> Result<(), Explanation> {
        for one in self.chosen.values() {
            for other in self.chosen.values() {
                if let Some(relation) = refuses(one, other) {
                    return Err(Explanation {
                        chain: self.chain(Some(one.package)),
                        problem: Problem::Conflict {
                            package: one.package.to_string(),
                            other: other.package.to_string(),
                            relation: relation.to_string(),
                        },
                    });
                }
            }
        }
        Ok(())
    }
}

/// There is one architecture; `:any` and its own name are fine, others are never there.
fn foreign_ok(wanted: &Alternative) -> bool {
    matches!(wanted.arch_qualifier.as_deref(), None | Some("any" | "amd64" | "native"))
}

/// A provided name meets a versioned relation only if it is provided in a version.
fn version_accepted(version: Option<&Version>, wanted: &Alternative) -> bool {
    match version {
        Some(version) => wanted.accepts(version),
        None => wanted.version.is_none(),
    }
}

fn provided(provides: &[(String, Option<Version>)], wanted: &Alternative) -> bool {
    provides.iter().any(|(name, version)| *name == wanted.name && version_accepted(version.as_ref(), wanted))
}

fn conflict<'c>(one: &'c Chosen<'_>, other: &'c Chosen<'_>) -> Option<&'c Alternative> {
    refuses(one, other).or_else(|| refuses(other, one))
}

/// What `one` says against `other`. A package never conflicts with itself, which is how "only one of
/// those that provide this name" is written.
fn refuses<'c>(one: &'c Chosen<'_>, other: &Chosen<'_>) -> Option<&'c Alternative> {
    if one.package.package == other.package.package {
        return None;
    }
    one.against.iter().filter(|a| foreign_ok(a)).find(|a| {
        (a.name == other.package.package && a.accepts(&other.package.version)) || provided(&other.provides, a)
    })
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
