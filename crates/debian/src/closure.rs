//! The closure of dependencies, for tool roots: what must be unpacked so that a tool runs.
//!
//! Conflicts are not looked at and nothing is ever taken back: the first alternative that exists is
//! taken. That is enough for a directory of tools, and it is deterministic. Images are solved properly,
//! from RPM metadata.

use crate::index::BinaryPackage;
use crate::relation::{self, Alternative, Relation};
use crate::version::Version;
use std::collections::{BTreeMap, HashMap};

/// The packages that a closure may take from.
#[derive(Debug)]
pub struct Universe<'a> {
    newest: HashMap<&'a str, &'a BinaryPackage>,
    /// Virtual name to (real package, provided version), sorted by name.
    virtuals: BTreeMap<String, Vec<(&'a BinaryPackage, Option<Version>)>>,
}

/// A dependency that cannot be met, with the way that led to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  needed by {}", .chain.join("\n  needed by "))]
pub struct Explanation {
    /// What is missing.
    pub what: String,
    /// Who needs it, nearest first; the last one was asked for.
    pub chain: Vec<String>,
}

impl<'a> Universe<'a> {
    /// Of several versions of a package, over all suites, the newest counts.
    pub fn new(packages: impl IntoIterator<Item = &'a BinaryPackage>) -> Self {
        let mut newest: HashMap<&str, &BinaryPackage> = HashMap::new();
        for package in packages {
            newest
                .entry(&package.package)
                .and_modify(|have| {
                    if package.version > have.version {
                        *have = package;
                    }
                })
                .or_insert(package);
        }
        let mut virtuals: BTreeMap<String, Vec<(&BinaryPackage, Option<Version>)>> = BTreeMap::new();
        for package in newest.values() {
            if package.provides.is_empty() {
                continue;
            }
            // A package with a broken Provides field provides nothing.
            for provided in relation::parse(&package.provides).unwrap_or_default().into_iter().flatten() {
                let version = provided.version.map(|(_, v)| v);
                virtuals.entry(provided.name).or_default().push((package, version));
            }
        }
        for providers in virtuals.values_mut() {
            providers.sort_by(|a, b| a.0.package.cmp(&b.0.package));
        }
        Self { newest, virtuals }
    }

    /// The newest version of a package.
    pub fn newest(&self, name: &str) -> Option<&'a BinaryPackage> {
        self.newest.get(name).copied()
    }

    /// All packages, in no order.
    pub fn packages(&self) -> impl Iterator<Item = &'a BinaryPackage> + '_ {
        self.newest.values().copied()
    }

    /// The packages that meet one alternative: the real one first, then those that provide the name.
    pub fn candidates(&self, wanted: &Alternative) -> Vec<&'a BinaryPackage> {
        let mut found = Vec::new();
        if let Some(real) = self.newest(&wanted.name)
            && wanted.accepts(Some(&real.version))
        {
            found.push(real);
        }
        for (package, version) in self.virtuals.get(&wanted.name).into_iter().flatten() {
            if wanted.accepts(version.as_ref()) {
                found.push(package);
            }
        }
        found
    }
}

/// The wanted packages with everything that they depend on, sorted by name.
pub fn closure<'a>(universe: &Universe<'a>, wanted: &[&str]) -> Result<Vec<&'a BinaryPackage>, Explanation> {
    let mut chosen: BTreeMap<&'a str, &'a BinaryPackage> = BTreeMap::new();
    let mut because: HashMap<&'a str, Option<&'a str>> = HashMap::new();
    let mut queue: Vec<&'a BinaryPackage> = Vec::new();
    for name in wanted {
        let package = universe.newest(name).ok_or_else(|| Explanation {
            what: format!("no suite has the package `{name}`"),
            chain: vec!["the list of wanted packages".into()],
        })?;
        if chosen.insert(&package.package, package).is_none() {
            because.insert(&package.package, None);
            queue.push(package);
        }
    }
    let mut next = 0;
    while let Some(package) = queue.get(next).copied() {
        next += 1;
        for field in [&package.pre_depends, &package.depends] {
            let relations = relation::parse(field).map_err(|e| Explanation {
                what: format!("{} has a dependency that cannot be read: {e}", package.package),
                chain: chain(&because, &package.package),
            })?;
            for relation in relations {
                let Some(pick) = pick(universe, &chosen, &relation) else {
                    return Err(Explanation {
                        what: format!("nothing meets `{}`", relation::display(&relation)),
                        chain: chain(&because, &package.package),
                    });
                };
                if chosen.insert(&pick.package, pick).is_none() {
                    because.insert(&pick.package, Some(&package.package));
                    queue.push(pick);
                }
            }
        }
    }
    Ok(chosen.into_values().collect())
}

/// One that is chosen already, else the first candidate of the first alternative that has one.
fn pick<'a>(
    universe: &Universe<'a>,
    chosen: &BTreeMap<&'a str, &'a BinaryPackage>,
    relation: &Relation,
) -> Option<&'a BinaryPackage> {
    let all: Vec<&BinaryPackage> =
        relation.iter().filter(|a| a.applies_to("amd64")).flat_map(|a| universe.candidates(a)).collect();
    all.iter().find(|p| chosen.contains_key(p.package.as_str())).or(all.first()).copied()
}

fn chain(because: &HashMap<&str, Option<&str>>, from: &str) -> Vec<String> {
    let mut chain = vec![from.to_owned()];
    let mut at = from;
    while let Some(Some(parent)) = because.get(at) {
        chain.push((*parent).to_owned());
        at = parent;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::parse_packages;

    fn universe(lines: &[(&str, &str, &str)]) -> Vec<BinaryPackage> {
        let mut text = String::new();
        for (name, version, fields) in lines {
            text.push_str(&format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}\nSize: 1\nSHA256: {}\n{fields}\n\n",
                "00".repeat(32)
            ));
        }
        parse_packages(text.replace("\n\n\n", "\n\n").as_bytes()).unwrap()
    }

    fn names(packages: &[BinaryPackage], wanted: &[&str]) -> Result<Vec<String>, Explanation> {
        let universe = Universe::new(packages);
        Ok(closure(&universe, wanted)?.iter().map(|p| format!("{}={}", p.package, p.version)).collect())
    }

    #[test]
    fn newest_versions_virtual_names_and_chosen_alternatives() {
        let packages = universe(&[
            ("a", "1", "Depends: awk, b | c"),
            ("a", "2", "Depends: awk, b | c, d (>= 2)"),
            ("mawk", "1", "Provides: awk"),
            ("b", "1", "Conflicts: c"),
            ("c", "1", "Section: x"),
            ("d", "2", "Provides: d-api (= 5)"),
            ("e", "1", "Depends: d-api (>= 6) | d-api (= 5)"),
        ]);
        assert_eq!(names(&packages, &["a", "c", "e"]).unwrap(), ["a=2", "c=1", "d=2", "e=1", "mawk=1"]);
    }

    #[test]
    fn what_is_missing_is_explained_with_the_way_to_it() {
        let packages = universe(&[("a", "1", "Depends: b"), ("b", "1", "Pre-Depends: c (>= 2)"), ("c", "1", "Section: x")]);
        let error = names(&packages, &["a"]).unwrap_err().to_string();
        assert_eq!(error, "nothing meets `c (>= 2)`\n  needed by b\n  needed by a");
    }
}
