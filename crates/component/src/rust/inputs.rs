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
    /// The packages of the workspace that take part.
    packages: Vec<String>,
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
        let own =
            crates.first().and_then(|name| members[name].manifest.get("package")?.get("version")?.as_str());
        let version = own.map_or_else(|| shared("version"), str::to_owned);
        let packages = chosen.keys().map(|name| (*name).to_owned()).collect();
        Ok(Self { rust_version: shared("rust-version"), version, packages, root, written, copied })
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

    /// The names of the workspace's packages that take part.
    pub fn packages(&self) -> &[String] {
        &self.packages
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

    /// The same with nothing in the source files: what Cargo then compiles is what the workspace depends on.
    pub fn stage_without_code(&self, dir: &Path) -> Result<(), Error> {
        for (path, content) in &self.written {
            put(&dir.join(path), content.as_bytes())?;
        }
        for path in &self.copied {
            // Right for programs and build scripts, and no harm to a library.
            put(&dir.join(path), b"fn main() {}\n")?;
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
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let scratch = name.starts_with('.') || name.ends_with('~') || ending == "orig";
        let snapshot = ending == "snap" || name.ends_with(".snap.new");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `app` needs `base`; `lone` nobody.
    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let manifest = "[workspace]\nmembers = [\"crates/*\"]\n[workspace.package]\nversion = \"2.0.0\"\n\
                        rust-version = \"1.89\"\n[workspace.dependencies]\nbase = { path = \"crates/base\" }\n";
        write(&dir, "Cargo.toml", manifest);
        write(&dir, "Cargo.lock", "version = 4\n[[package]]\nname = \"app\"\nversion = \"2.0.0\"\n");
        let app = "[package]\nname = \"app\"\nversion.workspace = true\n[dependencies]\nbase.workspace = true\n\
                   [dev-dependencies]\nlone = { path = \"../lone\" }\n";
        write(&dir, "crates/app/Cargo.toml", app);
        for (name, file) in [("app", "main.rs"), ("base", "deep/code.rs"), ("lone", "lib.rs")] {
            write(&dir, &format!("crates/{name}/src/{file}"), "");
        }
        for name in ["base", "lone"] {
            write(&dir, &format!("crates/{name}/Cargo.toml"), &format!("[package]\nname = \"{name}\"\n"));
        }
        dir
    }

    fn write(dir: &tempfile::TempDir, path: &str, content: &str) {
        put(&dir.path().join(path), content.as_bytes()).expect("a file");
    }

    fn collect(dir: &tempfile::TempDir, name: &str) -> Result<Inputs, Error> {
        Inputs::collect(&dir.path().join("crates"), &[name.to_owned()])
    }

    #[test]
    fn the_source_is_the_crate_and_what_it_needs_without_tests_and_scratch() {
        let dir = workspace();
        for stray in ["tests/x.rs", "src/.x.swp", "src/x.rs~", "src/snapshots/a.snap", "README.md"] {
            write(&dir, &format!("crates/app/{stray}"), "");
        }
        write(&dir, "crates/base/build.rs", "");
        let inputs = collect(&dir, "app").expect("inputs");
        let paths: BTreeSet<&str> = inputs.paths().collect();
        let wanted = [
            "Cargo.lock",
            "Cargo.toml",
            "crates/app/Cargo.toml",
            "crates/app/src/main.rs",
            "crates/base/Cargo.toml",
            "crates/base/build.rs",
            "crates/base/src/deep/code.rs",
        ];
        assert_eq!(paths, BTreeSet::from(wanted));
        assert_eq!((inputs.version(), inputs.rust_version()), ("2.0.0", "1.89"));
    }

    #[test]
    fn what_is_not_the_source_does_not_change_its_digest_and_what_is_does() {
        let dir = workspace();
        let digest = || collect(&dir, "app").expect("inputs").digest().expect("a digest");
        let before = digest();
        write(&dir, "crates/lone/src/lib.rs", "changed");
        write(&dir, "crates/lone/Cargo.toml", "[package]\nname = \"lone\"\nversion = \"3.0.0\"\n");
        write(&dir, "crates/app/tests/x.rs", "");
        assert_eq!(digest(), before);
        write(&dir, "crates/base/src/deep/code.rs", "changed");
        let changed = digest();
        assert_ne!(changed, before);
        write(&dir, "crates/base/src/more.rs", "");
        assert_ne!(digest(), changed);
    }

    #[test]
    fn an_unknown_crate_is_an_error_with_the_nearest_name() {
        let error = collect(&workspace(), "apps").unwrap_err().to_string();
        assert!(error.contains("no package `apps`") && error.contains("did you mean `app`?"), "{error}");
    }

    #[test]
    fn code_without_a_checksum_is_refused() {
        let dir = workspace();
        let git =
            "[[package]]\nname = \"x\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/x#abc\"\n";
        write(&dir, "Cargo.lock", git);
        let error = collect(&dir, "app").unwrap_err().to_string();
        assert!(error.contains("Cargo.lock:4: crate `x` comes from a Git repository"), "{error}");
    }

    #[test]
    fn without_a_workspace_the_error_says_where_none_was_found() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(Inputs::collect(dir.path(), &[]), Err(Error::NoWorkspace(_))));
    }
}
