//! The dependencies of a package: from the control file, from the files and from the overlay.

use super::control::Control;
use super::generated::Generated;
use super::report::DependencyChange;
use super::{names, relations};
use crate::schema::{Drop, PackageOverlay, nearest, suggestion};
use lazuli_debian::relation::Relation;
use lazuli_rpm::{Builder, Dependency, DependencyFlags};
use std::collections::BTreeSet;

/// Fills the builder's dependencies, noting what the overlay changes.
pub(super) struct Dependencies<'a> {
    overlay: &'a PackageOverlay,
    /// Dependencies taken out.
    pub(super) dropped: Vec<DependencyChange>,
    /// Dependencies put in.
    pub(super) added: Vec<DependencyChange>,
    /// Key and name of the overlay's drops that matched something.
    used: BTreeSet<(&'static str, &'a str)>,
    /// Where the overlay does not fit. Not to be ignored.
    pub(super) problems: Vec<String>,
}

impl<'a> Dependencies<'a> {
    /// Nothing yet.
    pub(super) fn new(overlay: &'a PackageOverlay) -> Self {
        Self { overlay, dropped: Vec::new(), added: Vec::new(), used: BTreeSet::new(), problems: Vec::new() }
    }

    /// Sets every kind of dependency of the builder.
    pub(super) fn fill(&mut self, builder: &mut Builder, control: &Control, found: &Generated, rebuild: u32) {
        let architecture = control.restriction();
        let overlay = self.overlay;

        let kept = self.keep("drop-requires", "requires", &overlay.drop_requires, &control.depends);
        let mut requires: Vec<Dependency> =
            kept.into_iter().filter_map(|r| relations::dependency(r, architecture)).collect();
        let interpreters = found.interpreters.keys().map(Dependency::any);
        for generated in found.requires.iter().cloned().chain(interpreters) {
            match overlay.drop_requires.iter().find(|d| d.name == generated.name) {
                Some(drop) => self.note_drop("drop-requires", "requires", drop, &generated.to_string()),
                None => requires.push(generated.with(DependencyFlags::FIND_REQUIRES)),
            }
        }
        requires.extend(self.parse("add-requires", "requires", &overlay.add_requires));
        builder.requires = unique(requires);

        let mut weak = |relations: &[Relation], kind: &'static str| -> Vec<Dependency> {
            let kept = self.keep("drop-recommends", kind, &overlay.drop_recommends, relations);
            kept.into_iter().filter_map(|r| relations::dependency(r, architecture)).collect()
        };
        let mut recommends = weak(&control.recommends, "recommends");
        builder.suggests = unique(weak(&control.suggests, "suggests"));
        builder.enhances =
            unique(control.enhances.iter().filter_map(|r| relations::dependency(r, architecture)).collect());
        recommends.extend(self.parse("add-recommends", "recommends", &overlay.add_recommends));
        builder.recommends = unique(recommends);

        let mut conflicts = Vec::new();
        for field in [&control.conflicts, &control.breaks] {
            let kept = self.keep("drop-conflicts", "conflicts", &overlay.drop_conflicts, field);
            conflicts.extend(kept.into_iter().flat_map(|r| {
                relations::dependencies(std::slice::from_ref(r), architecture).collect::<Vec<_>>()
            }));
        }
        conflicts.extend(self.parse("add-conflicts", "conflicts", &overlay.add_conflicts));
        builder.conflicts = unique(conflicts);

        let mut provides = relations::provides(&control.provides, architecture, &builder.nevra.evr);
        provides.extend(found.provides.iter().map(|d| d.clone().with(DependencyFlags::FIND_PROVIDES)));
        if rebuild > 1 {
            let original = names::evr(&control.version).to_string();
            provides.push(Dependency::versioned(&control.package, DependencyFlags::EQUAL, original));
        }
        provides.extend(self.parse("add-provides", "provides", &overlay.add_provides));
        builder.provides = unique(provides);

        let mut obsoletes = relations::obsoletes(
            &control.package,
            &control.provides,
            &control.replaces,
            &control.conflicts,
            &control.breaks,
        );
        obsoletes.retain(|o| !overlay.drop_conflicts.iter().any(|d| d.name == o.name));
        obsoletes.extend(self.parse("add-obsoletes", "obsoletes", &overlay.add_obsoletes));
        builder.obsoletes = unique(obsoletes);
    }

    /// The relations that no drop names. A drop that names any of its alternatives takes a relation out.
    fn keep<'r>(
        &mut self,
        key: &'static str,
        kind: &str,
        drops: &'a [Drop],
        relations: &'r [Relation],
    ) -> Vec<&'r Relation> {
        let mut kept = Vec::new();
        for relation in relations {
            match drops.iter().find(|d| relation.alternatives.iter().any(|a| a.name == d.name)) {
                Some(drop) => self.note_drop(key, kind, drop, &relation.to_string()),
                None => kept.push(relation),
            }
        }
        kept
    }

    fn note_drop(&mut self, key: &'static str, kind: &str, drop: &'a Drop, dependency: &str) {
        self.used.insert((key, &drop.name));
        self.dropped.push(DependencyChange {
            kind: kind.into(),
            dependency: dependency.into(),
            reason: drop.reason.clone(),
        });
    }

    fn parse(&mut self, key: &str, kind: &str, texts: &[String]) -> Vec<Dependency> {
        let mut parsed = Vec::new();
        for text in texts {
            match Dependency::parse(text) {
                Ok(dependency) => {
                    self.added.push(DependencyChange {
                        kind: kind.into(),
                        dependency: dependency.to_string(),
                        reason: "overlay".into(),
                    });
                    parsed.push(dependency);
                }
                Err(error) => self.problems.push(format!("{key}: {error}")),
            }
        }
        parsed
    }

    /// A drop that drops nothing is a mistake, or out of date.
    pub(super) fn check(&mut self, control: &Control, found: &Generated) {
        let names = |fields: &[&[Relation]]| -> Vec<String> {
            fields.iter().copied().flatten().flat_map(|r| &r.alternatives).map(|a| a.name.clone()).collect()
        };
        let mut requires = names(&[&control.depends]);
        requires.extend(found.requires.iter().map(|d| d.name.clone()));
        requires.extend(found.interpreters.keys().cloned());
        let overlay = self.overlay;
        for (key, drops, known) in [
            ("drop-requires", &overlay.drop_requires, requires),
            ("drop-recommends", &overlay.drop_recommends, names(&[&control.recommends, &control.suggests])),
            ("drop-conflicts", &overlay.drop_conflicts, names(&[&control.conflicts, &control.breaks])),
        ] {
            for drop in drops.iter().filter(|d| !self.used.contains(&(key, d.name.as_str()))) {
                let near = suggestion(nearest(&drop.name, known.iter().map(String::as_str)));
                self.problems
                    .push(format!("{key} `{}`: the package has no such dependency{near}", drop.name));
            }
        }
    }
}

fn unique(mut dependencies: Vec<Dependency>) -> Vec<Dependency> {
    dependencies.sort();
    dependencies
        .dedup_by(|a, b| a.name == b.name && a.evr == b.evr && a.flags.comparison() == b.flags.comparison());
    dependencies
}
