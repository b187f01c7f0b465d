//! The whole of `distro/` in memory, cross-checked: every name that one file uses another one defines.

use crate::schema::{Component, ComponentFile, Distro, nearest, suggestion};
use crate::toml_file;
use lazuli_fs as fs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is wrong with `distro/`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is not valid.
    #[error(transparent)]
    Toml(#[from] toml_file::Error),
    /// A path that cannot be read.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// There is no distribution here.
    #[error(
        "{path} has no lazuli.toml; run lazuli inside a checkout of the distribution or name it with --distro DIR",
        path = .0.display()
    )]
    NotADistro(PathBuf),
}

/// `distro/`, read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The directory.
    pub dir: PathBuf,
    /// `lazuli.toml`.
    pub distro: Distro,
    /// All components by name.
    pub components: BTreeMap<String, Component>,
}

impl Source {
    /// Reads and checks everything below `dir`.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("lazuli.toml");
        if !file.is_file() {
            return Err(Error::NotADistro(dir.to_owned()));
        }
        let text = fs::read_to_string(&file)?;
        let distro: Distro = toml_file::parse(&file, &text)?;
        check_distro(&file, &text, &distro, dir)?;
        let mut components = BTreeMap::new();
        let mut owner: BTreeMap<String, String> = BTreeMap::new();
        for folder in fs::read_dir(dir.join("components"))? {
            if !folder.is_dir() {
                continue;
            }
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let file = folder.join("component.toml");
            let text = fs::read_to_string(&file)?;
            let raw: ComponentFile = toml_file::parse(&file, &text)?;
            let component = raw.validate().map_err(|e| toml_file::invalid(&file, &text, "", e))?;
            for package in component.packages() {
                if let Some(other) = owner.insert(package.clone(), name.clone()) {
                    let message = format!("package `{package}` is also in component `{other}`");
                    return Err(toml_file::invalid(&file, &text, package, message).into());
                }
            }
            check_component(&file, &text, &folder, &component, &distro)?;
            components.insert(name, component);
        }
        Ok(Self { dir: dir.to_owned(), distro, components })
    }

    /// The folder of a component.
    pub fn folder(&self, component: &str) -> PathBuf {
        self.dir.join("components").join(component)
    }

    /// The component that yields the RPM `package`.
    pub fn component_of(&self, package: &str) -> Option<(&str, &Component)> {
        self.components
            .iter()
            .find(|(_, c)| c.packages().iter().any(|p| p == package))
            .map(|(name, c)| (name.as_str(), c))
    }

    /// The component with this name, or what a person may have meant.
    pub fn component(&self, name: &str) -> Result<&Component, String> {
        self.components.get(name).ok_or_else(|| {
            let near = nearest(name, self.components.keys().map(String::as_str));
            format!("there is no component `{name}`{}", suggestion(near))
        })
    }
}

impl Component {
    /// The RPMs that it yields, by name.
    pub fn packages(&self) -> &[String] {
        match self {
            Self::Adopted(a) => &a.packages,
            Self::Built(b) => &b.packages,
        }
    }
}

fn check_distro(file: &Path, text: &str, distro: &Distro, dir: &Path) -> Result<(), Error> {
    for suite in &distro.suite {
        if !["debian", "debian-security"].contains(&suite.archive.as_str()) {
            let message = format!("archive `{}` is neither `debian` nor `debian-security`", suite.archive);
            return Err(toml_file::invalid(file, text, &suite.archive, message).into());
        }
        if suite.keys.is_empty() {
            let message = format!("suite `{}` has no `keys`; nothing could be verified", suite.name);
            return Err(toml_file::invalid(file, text, &suite.name, message).into());
        }
        for key in &suite.keys {
            if !dir.join(key).is_file() {
                let message = format!("the key file `{key}` of suite `{}` does not exist", suite.name);
                return Err(toml_file::invalid(file, text, key, message).into());
            }
        }
    }
    for suite in distro.suite.iter().filter(|s| s.accept_expired.is_some()) {
        if suite.default {
            let message = format!(
                "suite `{}` is for components and tool roots of the build (`default`), so `accept-expired` is not for it",
                suite.name
            );
            return Err(toml_file::invalid(file, text, "accept-expired", message).into());
        }
        // What goes into images is made by these two; a component's tool root is checked with the component.
        for name in ["image", "vm"] {
            if distro.tool_root.get(name).is_some_and(|root| root.suites.contains(&suite.name)) {
                let message = format!(
                    "tool root `{name}` takes part in making images: suite `{}` may be out of date",
                    suite.name
                );
                return Err(toml_file::invalid(file, text, &suite.name, message).into());
            }
        }
    }
    for (name, root) in &distro.tool_root {
        for suite in &root.suites {
            if !distro.suite.iter().any(|s| &s.name == suite) {
                let near = nearest(suite, distro.suite.iter().map(|s| s.name.as_str()));
                let message = format!(
                    "tool root `{name}` names a suite `{suite}` that is not here{}",
                    suggestion(near)
                );
                return Err(toml_file::invalid(file, text, suite, message).into());
            }
        }
    }
    Ok(())
}

fn check_component(
    file: &Path,
    text: &str,
    folder: &Path,
    component: &Component,
    distro: &Distro,
) -> Result<(), Error> {
    let bad = |key: &str, message: String| Err(toml_file::invalid(file, text, key, message).into());
    match component {
        Component::Adopted(adopted) => {
            for overlay in adopted.overlays.values() {
                for source in overlay.add_files.iter().filter_map(|f| f.source.as_ref()) {
                    if !folder.join(source).is_file() {
                        return bad(source, format!("the file `{source}` is not in the component's folder"));
                    }
                }
            }
        }
        Component::Built(built) => {
            for name in std::iter::once(&built.spec).chain(&built.files) {
                if !folder.join(name).exists() {
                    return bad(name, format!("`{name}` is not in the component's folder"));
                }
            }
            if !distro.tool_root.contains_key(&built.tool_root) {
                let near = nearest(&built.tool_root, distro.tool_root.keys().map(String::as_str));
                let message =
                    format!("there is no tool root `{}` in lazuli.toml{}", built.tool_root, suggestion(near));
                return bad(&built.tool_root, message);
            }
            let suites = distro.tool_root.get(&built.tool_root).map(|root| root.suites.as_slice());
            let stale =
                |name: &&String| distro.suite.iter().any(|s| s.name == **name && s.accept_expired.is_some());
            if let Some(suite) = suites.unwrap_or_default().iter().find(stale) {
                let message = format!(
                    "tool root `{}` has packages of suite `{suite}`, which may be out of date (`accept-expired`)",
                    built.tool_root
                );
                return bad(&built.tool_root, message);
            }
        }
    }
    Ok(())
}
