//! The part of the workspace that a component is compiled from.

use super::Error;
use super::manifest::{self, str_at};
use crate::schema::{nearest, suggestion};
use crate::toml_file;
use lazuli_fs::{self as fs, Context as _};
use lazuli_store::{ActionKey, Digest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The longest source file in bytes; more is not code.
const MAX_FILE: u64 = 16 << 20;

/// The reduced workspace of some crates: manifests, lock and the list of source files.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The workspace's directory.
    root: PathBuf,
    /// Path below the workspace to content, of files that differ from those of the checkout.
    written: BTreeMap<String, String>,
    /// Paths below the workspace of files that are copied.
    copied: BTreeSet<String>,
    /// `rust-version` of the workspace.
    rust_version: String,
    /// Version of the first crate asked for.
    version: String,
}

/// A package of the workspace.
struct Member {
    /// Directory below the workspace.
    dir: String,
    manifest: Table,
}

impl Inputs {
    /// Finds the Cargo workspace at or above `start` and what of it `crates` are compiled from: of each
    /// package `Cargo.toml`, its build script and everything below `src`.
    pub fn collect(start: &Path, crates: &[String]) -> Result<Self, Error> {
        let (root, manifest) = find_workspace(start)?;
        let members = members(&root, &manifest)?;
        let by_dir: BTreeMap<String, &str> =
            members.iter().map(|(name, member)| (member.dir.clone(), name.as_str())).collect();
        let mut chosen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut used = BTreeSet::new();
        let mut queue: Vec<String> = crates.to_vec();
        while let Some(wanted) = queue.pop() {
            let Some((name, member)) = members.get_key_value(&wanted) else {
                let hint = suggestion(nearest(&wanted, members.keys().map(String::as_str)));
                return Err(Error::NoCrate { root, name: wanted, hint });
            };
            if chosen.contains_key(name.as_str()) {
                continue;
            }
            let mut packages = BTreeSet::new();
            for dependency in manifest::dependencies(&member.manifest, &manifest) {
                if dependency.inherited {
                    used.insert(dependency.key);
                }
                if let Some(path) = dependency.path {
                    let base = if dependency.inherited { "" } else { member.dir.as_str() };
                    let dir = join(base, &path);
                    let local = by_dir.get(&dir).ok_or_else(|| Error::NoCrate {
                        root: root.clone(),
                        name: dependency.package.clone(),
                        hint: format!(": {name} wants it from {dir}"),
                    })?;
                    queue.push((*local).to_owned());
                }
                packages.insert(dependency.package);
            }
            chosen.insert(name, packages);
        }
        let lock_file = root.join("Cargo.lock");
        let lock: Table = toml_file::read(&lock_file)?;
        refuse_git(&lock_file, &lock)?;
        let dirs: Vec<String> = chosen.keys().map(|name| members[*name].dir.clone()).collect();
        let roots: Vec<(String, BTreeSet<String>)> =
            chosen.iter().map(|(name, packages)| ((*name).to_owned(), packages.clone())).collect();
        let mut written = BTreeMap::new();
        let reduced = manifest::reduced_workspace(&manifest, &dirs, &used);
        written.insert("Cargo.toml".to_owned(), reduced.to_string());
        written.insert("Cargo.lock".to_owned(), manifest::reduced_lock(&lock, &roots).to_string());
        let mut copied = BTreeSet::new();
        for name in chosen.keys() {
            let member = &members[*name];
            let reduced = manifest::reduced_member(&member.manifest).unwrap_or_default();
            let script = reduced.get("package").map(|p| str_at(p, "build")).filter(|b| !b.is_empty());
            written.insert(format!("{}/Cargo.toml", member.dir), reduced.to_string());
            let script = format!("{}/{}", member.dir, script.unwrap_or("build.rs"));
            if root.join(&script).is_file() {
                copied.insert(script);
            }
            list(&root, &format!("{}/src", member.dir), &mut copied)?;
        }
        let shared = |key: &str| {
            let package = manifest::table_at(&manifest, &["workspace", "package"]);
            package.and_then(|p| p.get(key)?.as_str()).unwrap_or_default().to_owned()
        };
        let own = crates.first().and_then(|name| members[name].manifest.get("package")?.get("version")?.as_str());
        let version = own.map_or_else(|| shared("version"), str::to_owned);
        Ok(Self { rust_version: shared("rust-version"), version, root, written, copied })
    }

    /// The workspace's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The oldest Rust version that the workspace accepts.
    pub fn rust_version(&self) -> &str {
        &self.rust_version
    }

    /// The version of the crate that was asked for first.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Paths below the workspace of everything that counts.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.written.keys().chain(&self.copied).map(String::as_str)
    }

    /// The digest of what decides which crates are fetched.
    pub fn manifests_digest(&self) -> Digest {
        let mut key = ActionKey::new("cargo-manifests", 1);
        for (path, content) in &self.written {
            key = key.field(path, content);
        }
        key.finish()
    }

    /// The digest of everything: manifests, lock and source.
    pub fn digest(&self) -> Result<Digest, Error> {
        let mut key = ActionKey::new("cargo-workspace", 1).input("manifests", &self.manifests_digest());
        for path in &self.copied {
            key = key.input(path, &Digest::of(fs::read(self.root.join(path))?));
        }
        Ok(key.finish())
    }

    /// Writes the reduced workspace to `dir`, with permissions that do not depend on the checkout.
    pub fn stage(&self, dir: &Path) -> Result<(), Error> {
        for (path, content) in &self.written {
            put(&dir.join(path), content.as_bytes())?;
        }
        for path in &self.copied {
            put(&dir.join(path), &fs::read(self.root.join(path))?)?;
        }
        Ok(())
    }
}

fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    Ok(fs::set_mode(path, 0o644)?)
}

/// The nearest directory at or above `start` whose `Cargo.toml` has `[workspace]`.
fn find_workspace(start: &Path) -> Result<(PathBuf, Table), Error> {
    let start = start.canonicalize().at("resolve", start)?;
    for dir in start.ancestors() {
        let file = dir.join("Cargo.toml");
        if file.is_file() {
            let table: Table = toml_file::read(&file)?;
            if table.contains_key("workspace") {
                return Ok((dir.to_owned(), table));
            }
        }
    }
    Err(Error::NoWorkspace(start))
}

/// All packages of the workspace by name. Of globs, `members` may have a final `/*`.
fn members(root: &Path, manifest: &Table) -> Result<BTreeMap<String, Member>, Error> {
    let list = |key: &str| -> Vec<String> {
        manifest::table_at(manifest, &["workspace"])
            .and_then(|w| w.get(key)?.as_array())
            .map(|a| a.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let excluded = list("exclude");
    let mut dirs = BTreeSet::new();
    for pattern in list("members") {
        match pattern.strip_suffix("/*") {
            Some(parent) => {
                for path in fs::read_dir(root.join(parent))? {
                    if path.join("Cargo.toml").is_file()
                        && let Some(name) = path.file_name().and_then(|n| n.to_str())
                    {
                        dirs.insert(join(parent, name));
                    }
                }
            }
            None => {
                dirs.insert(join("", &pattern));
            }
        }
    }
    let mut members = BTreeMap::new();
    for dir in dirs.into_iter().filter(|d| !excluded.contains(d)) {
        let manifest: Table = toml_file::read(&root.join(&dir).join("Cargo.toml"))?;
        let name = manifest.get("package").map(|p| str_at(p, "name").to_owned()).unwrap_or_default();
        if !name.is_empty() {
            members.insert(name, Member { dir, manifest });
        }
    }
    Ok(members)
}

/// Code from a Git repository has no checksum in `Cargo.lock`.
fn refuse_git(file: &Path, lock: &Table) -> Result<(), Error> {
    let packages = lock.get("package").and_then(Value::as_array);
    let git = packages.into_iter().flatten().find(|p| str_at(p, "source").starts_with("git+"));
    match git {
        None => Ok(()),
        Some(package) => {
            let name = str_at(package, "name");
            let text = fs::read_to_string(file)?;
            let message = format!("crate `{name}` comes from a Git repository; take it from a registry");
            Err(toml_file::invalid(file, &text, str_at(package, "source"), message).into())
        }
    }
}

/// Everything below `dir` but what editors and snapshot tests leave there.
fn list(root: &Path, dir: &str, found: &mut BTreeSet<String>) -> Result<(), Error> {
    for path in fs::read_dir(root.join(dir))? {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let scratch = name.starts_with('.') || name.ends_with('~') || name.ends_with(".orig");
        let snapshot = [".snap", ".snap.new"].iter().any(|end| name.ends_with(end));
        if scratch || snapshot {
            continue;
        }
        let below = format!("{dir}/{name}");
        if path.is_dir() {
            list(root, &below, found)?;
        } else if fs::metadata(&path)?.len() <= MAX_FILE {
            found.insert(below);
        }
    }
    Ok(())
}

/// `path` seen from `base`, both below the workspace, without `.` and `..`.
fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
