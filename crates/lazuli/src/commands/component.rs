//! `lazuli component`: list, show, add, build.

use crate::cli::ComponentCommand;
use crate::inputs::Need;
use crate::ui::say;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lazuli_component::adopt::AdoptReport;
use lazuli_component::adopt::suggest;
use lazuli_component::schema::{Component, nearest, suggestion};
use lazuli_debian::closure::closure;
use lazuli_debian::deb::{self, Deb};
use lazuli_fetch::Request;
use std::collections::{BTreeMap, BTreeSet};

/// Runs it.
pub fn run(workspace: &Workspace, command: &ComponentCommand) -> Result<()> {
    match command {
        ComponentCommand::List => list(workspace),
        ComponentCommand::Show { name } => show(workspace, name),
        ComponentCommand::Add { packages } => add(workspace, packages),
        ComponentCommand::Build { names, output } => {
            for name in names {
                workspace.source.component(name).map_err(anyhow::Error::msg)?;
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let rpms = workspace.rpms(&names)?;
            lazuli_fs::create_dir_all(output)?;
            for rpm in &rpms {
                crate::images::export(&workspace.store.path(&rpm.digest), &output.join(&rpm.file))?;
            }
            if workspace.global.json {
                say!("{}", serde_json::to_string_pretty(&rpms)?);
            } else {
                for rpm in &rpms {
                    say!("{}", output.join(&rpm.file).display());
                }
            }
            Ok(())
        }
    }
}

fn list(workspace: &Workspace) -> Result<()> {
    let kind = |component: &Component| match component {
        Component::Adopted(_) => "adopted",
        Component::Built(_) => "built",
    };
    if workspace.global.json {
        let rows: Vec<_> = workspace
            .source
            .components
            .iter()
            .map(|(name, c)| serde_json::json!({"name": name, "kind": kind(c), "packages": c.packages()}))
            .collect();
        say!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for (name, component) in &workspace.source.components {
        say!("{name:28} {:8} {}", kind(component), component.packages().join(" "));
    }
    Ok(())
}

fn show(workspace: &Workspace, name: &str) -> Result<()> {
    let found = match workspace.source.components.get_key_value(name) {
        Some((name, component)) => Some((name.as_str(), component)),
        None => workspace.source.component_of(name),
    };
    let Some((component_name, component)) = found else {
        let names =
            workspace.source.components.iter().flat_map(|(n, c)| {
                std::iter::once(n.as_str()).chain(c.packages().iter().map(String::as_str))
            });
        bail!("there is no component or package `{name}`{}", suggestion(nearest(name, names)));
    };
    match component {
        Component::Adopted(_) => {
            let wanted = (component_name != name).then_some(name);
            let reports = workspace.adopt_reports(component_name)?;
            let reports: Vec<&AdoptReport> =
                reports.iter().filter(|r| wanted.is_none_or(|w| r.origin.package == w)).collect();
            if workspace.global.json {
                say!("{}", serde_json::to_string_pretty(&reports)?);
            } else {
                for report in reports {
                    say!("component {component_name}\n{report}");
                }
            }
        }
        Component::Built(built) => {
            let lock = workspace.lock();
            let source = built.source.as_ref().and_then(|s| lock.source.get(s));
            if workspace.global.json {
                let value = serde_json::json!({
                    "component": component_name, "spec": built.spec, "packages": built.packages,
                    "tool-root": built.tool_root, "source": source,
                });
                say!("{}", serde_json::to_string_pretty(&value)?);
                return Ok(());
            }
            say!("component {component_name}\n  built from    {}", built.spec);
            say!("  packages      {}", built.packages.join(" "));
            say!("  tool root     {}", built.tool_root);
            if !built.build_requires.is_empty() {
                say!("  and           {}", built.build_requires.join(" "));
            }
            if let Some(source) = source {
                say!("  source        {} of {}", source.version, source.suite);
                if let Some(tarball) = source.tarball() {
                    say!("  sha256        {} {}", tarball.sha256, tarball.name);
                }
            }
        }
    }
    Ok(())
}

/// Writes component files for packages and for what they need that no component has yet.
fn add(workspace: &Workspace, packages: &[String]) -> Result<()> {
    let mirror = workspace.mirror()?;
    let archive = workspace.archive(&mirror)?;
    let universe = archive.universe(&[]);
    let wanted: Vec<&str> = packages.iter().map(String::as_str).collect();
    let needed = closure(&universe, &wanted)?;
    let have: BTreeSet<&str> =
        workspace.source.components.values().flat_map(|c| c.packages().iter().map(String::as_str)).collect();
    let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut requests = Vec::new();
    for package in needed.iter().filter(|p| !have.contains(p.package.as_str())) {
        sources.entry(&package.source).or_default().push(&package.package);
        let (_, locked) = archive.package(&package.package).context("a package without a suite")?;
        requests.push(Request {
            urls: vec![mirror.url(&locked.archive, &locked.path)],
            digest: locked.sha256,
            size: locked.size,
            name: locked.path.rsplit('/').next().unwrap_or_default().to_owned(),
        });
    }
    workspace.fetcher().fetch_all(&requests)?;
    if sources.is_empty() {
        say!("every package asked for, and everything that they need, is in a component already");
    }
    for (source, packages) in sources {
        let folder = workspace.source.folder(source);
        let file = folder.join("component.toml");
        if file.exists() {
            say!("{}: exists; add {} to its `packages`", file.display(), packages.join(", "));
            continue;
        }
        let mut debs = Vec::new();
        for name in &packages {
            let (_, locked) = archive.package(name).context("a package without a suite")?;
            let blob = workspace.store.open_blob(&locked.sha256)?;
            debs.push(
                Deb::read(blob, &workspace.store, &deb::Limits::default()).context((*name).to_owned())?,
            );
        }
        let text = suggest::component(&debs.iter().collect::<Vec<_>>(), &workspace.store);
        lazuli_fs::create_dir_all(&folder)?;
        lazuli_fs::write_atomic(&file, text, 0o644)?;
        say!("{}: {}", file.display(), packages.join(", "));
    }
    say!("fill in the reasons, add the packages to an image, then run `lazuli lock`");
    Ok(())
}

impl Workspace {
    /// What adoption did to each package of a component.
    fn adopt_reports(&self, name: &str) -> Result<Vec<AdoptReport>> {
        self.fetch(&[Need::Component(name)])?;
        let signer = self.signer()?;
        let mut reports = Vec::new();
        for result in self.adopt_results(name, &signer)? {
            for (output, digest) in &result.outputs {
                if let Some(_package) = output.strip_suffix(".json") {
                    reports.push(serde_json::from_slice(&self.store.read(&digest.digest)?)?);
                }
            }
        }
        Ok(reports)
    }
}
