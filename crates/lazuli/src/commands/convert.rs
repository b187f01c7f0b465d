//! `lazuli convert-suite`: the metadata of a repository of all packages in the default suites, named and
//! related as adoption does it, without the packages. Measurements use it: a real universe of the size
//! that a distribution has.

use crate::ui::say;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_component::adopt::{names, relations};
use lazuli_debian::index::BinaryPackage;
use lazuli_debian::relation::{Relation, Relations};
use lazuli_repo::{Href, Options, Package};
use lazuli_rpm::{Dependency, DependencyFlags, Nevra};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// The architecture that is converted.
const ARCHITECTURE: &str = "amd64";

/// Runs it.
pub fn run(workspace: &Workspace, dir: &Path) -> Result<()> {
    let archive = workspace.archive(&workspace.mirror()?)?;
    let newest: Vec<&BinaryPackage> = archive.packages().collect();
    let packages = newest.par_iter().map(|p| package(p)).collect::<Result<Vec<_>>>()?;
    let mut packages: Vec<Package> = packages.into_iter().flatten().collect();
    leave_out_conflicts_with_nothing(&mut packages);
    let date = archive.locked_suites().iter().map(|s| s.date).max().unwrap_or(0);
    lazuli_fs::create_dir_all(dir)?;
    let options = Options { revision: date, ..Options::default() };
    lazuli_repo::write_repository(dir, &packages, &options, &workspace.signer()?)?;
    say!("{}: metadata of {} packages", dir.display(), packages.len());
    Ok(())
}

/// Leaves out conflicts with versions that no package of the suites has. In Debian something provided without
/// a version does not meet a relation with one, so they hit nothing; RPM's resolvers let it meet all of them,
/// and could not install perl.
fn leave_out_conflicts_with_nothing(packages: &mut [Package]) {
    let mut versions: HashMap<String, Vec<Dependency>> = HashMap::new();
    for provided in packages.iter().flat_map(|p| &p.provides).filter(|p| !p.evr.is_empty()) {
        versions.entry(provided.name.clone()).or_default().push(provided.clone());
    }
    packages.par_iter_mut().for_each(|package| {
        package.conflicts.retain(|conflict| {
            let provided = versions.get(&conflict.name);
            conflict.evr.is_empty()
                || provided.is_some_and(|all| all.iter().any(|p| lazuli_solve::satisfies(p, conflict)))
        });
    });
}

/// The package as repodata would describe it; `None` if it is of an architecture that RPM has no word for.
fn package(from: &BinaryPackage) -> Result<Option<Package>> {
    let Some(arch) = names::architecture(&from.architecture) else { return Ok(None) };
    let evr = names::evr(&from.version);
    let nevra = Nevra { name: from.package.clone(), evr: evr.clone(), arch: arch.to_owned() };
    let location =
        Href::new(&format!("packages/{}-{}-{}.{arch}.rpm", from.package, evr.version, evr.release))
            .with_context(|| format!("package {}", from.package))?;
    let mut package = Package::new(nevra, from.sha256, location);
    let (summary, description) = from.description.split_once('\n').unwrap_or((from.description.as_str(), ""));
    summary.clone_into(&mut package.summary);
    package.description = if description.is_empty() { summary.to_owned() } else { description.to_owned() };
    package.packager.clone_from(&from.maintainer);
    package.url.clone_from(&from.homepage);
    package.source_rpm = format!("{}-{}-{}.src.rpm", from.source, evr.version, evr.release);
    package.package_size = from.size;
    package.installed_size = from.installed_size << 10;
    let own = Dependency::versioned(&from.package, DependencyFlags::EQUAL, evr.to_string());
    let read = |field: &Relations| field.parse().with_context(|| format!("package {}", from.package));
    let (provides, replaces) = (read(&from.provides)?, read(&from.replaces)?);
    let (conflicts, breaks) = (read(&from.conflicts)?, read(&from.breaks)?);
    let rich = |relations: &[Relation]| -> Vec<Dependency> {
        relations.iter().filter_map(|r| relations::dependency(r, ARCHITECTURE)).collect()
    };
    package.provides = relations::provides(&provides, ARCHITECTURE, &evr);
    package.provides.push(own);
    package.requires = rich(&[read(&from.pre_depends)?, read(&from.depends)?].concat());
    package.recommends = rich(&read(&from.recommends)?);
    package.suggests = rich(&read(&from.suggests)?);
    package.conflicts =
        [&conflicts, &breaks].into_iter().flat_map(|f| relations::dependencies(f, ARCHITECTURE)).collect();
    package.obsoletes = relations::obsoletes(&from.package, &provides, &replaces, &conflicts, &breaks);
    for list in [&mut package.provides, &mut package.requires, &mut package.conflicts] {
        list.sort();
        list.dedup();
    }
    Ok(Some(package))
}
