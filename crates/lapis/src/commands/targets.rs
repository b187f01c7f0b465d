//! What `repoquery --whatrequires` and the like ask for.

use crate::catalog::{Catalog, Detail, dependency};
use crate::error::Result;
use crate::package::Details;
use crate::query;
use crate::session::Session;
use crate::spec::Spec;
use lazuli_rpm::Dependency;
use std::collections::BTreeMap;

/// What a dependency may point at to be selected.
#[derive(Default)]
pub struct Targets {
    provided: BTreeMap<String, Vec<Dependency>>,
}

impl Targets {
    fn add(&mut self, provided: Dependency) {
        self.provided.entry(provided.name.clone()).or_default().push(provided);
    }

    /// The names that a dependency has to mention.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.provided.keys().map(String::as_str)
    }

    /// Everything that a package provides, its files too.
    pub fn add_package(&mut self, details: &Details) {
        for p in &details.package.provides {
            self.add(p.clone());
        }
        for file in &details.package.files {
            self.add(Dependency::any(file.path.as_str()));
        }
    }

    /// A text is a dependency, and the packages of that name with all that they provide.
    pub fn add_text(
        &mut self,
        session: &Session<'_>,
        catalog: &Catalog<'_>,
        text: &str,
        packages: bool,
    ) -> Result<()> {
        let spec = Spec::parse(text);
        if let Spec::Dependency(text) = &spec {
            self.add(dependency(text)?);
            return Ok(());
        }
        self.add(Dependency::any(text));
        if packages && let Spec::Package(pattern) = &spec {
            for id in catalog.matching(pattern) {
                self.add_package(&catalog.details(id, Detail::Primary)?);
            }
            for (hnum, nevra) in session.installed()?.nevras()? {
                if pattern.matches(&nevra)
                    && let Some(details) = session.installed()?.details(hnum)?
                {
                    self.add_package(&details);
                }
            }
        }
        Ok(())
    }

    /// Whether a dependency points at one of them.
    pub fn are_met_by(&self, dependency: &Dependency) -> bool {
        query::simple_dependencies(dependency).iter().any(|simple| {
            let provided = self.provided.get(&simple.name).into_iter().flatten();
            // A text without a version stands for any.
            provided.into_iter().any(|p| p.evr.is_empty() || lazuli_solve::satisfies(p, simple))
        })
    }
}
