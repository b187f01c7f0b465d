//! From components to signed RPMs: every one an action, adopted ones in parallel.

use crate::inputs::Need;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_component::schema::{Built, Component, WorkspaceSource};
use lazuli_component::{adopt, build, rust};
use lazuli_debian::deb::{self, Deb};
use lazuli_image::Image;
use lazuli_repo::{Href, Package};
use lazuli_rpm::Signer;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{ActionKey, ActionResult, Digest, Store};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

/// The build host that packages name; always the same, so that two builds are.
const BUILD_HOST: &str = "lazuli";
/// The macro that tells a spec where systems fetch packages from; with `_enabled` behind it, whether they do.
const REPOSITORY_MACRO: &str = "_lazuli_repository";
/// Change when adoption makes something else of the same inputs.
const ADOPT_VERSION: u32 = 4;

/// One RPM file that came out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rpm {
    /// File name, `name-version-release.arch.rpm`.
    pub file: String,
    /// Content in the store.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Its component.
    pub component: String,
    /// Whether it was there already.
    pub cached: bool,
    /// How long its component took when it was made, in milliseconds.
    pub millis: u64,
}

impl Workspace {
    /// Makes the RPMs of the named components, sorted by file name.
    pub fn rpms(&self, names: &[&str]) -> Result<Vec<Rpm>> {
        let signer = self.signer()?;
        let mut needs: Vec<Need<'_>> = names.iter().map(|n| Need::Component(n)).collect();
        let roots: Vec<(String, &str, &Built)> = names
            .iter()
            .filter_map(|name| match self.source.components.get(*name) {
                Some(Component::Built(built)) => Some((root_name(name, built), *name, built)),
                _ => None,
            })
            .collect();
        needs.extend(roots.iter().map(|(root, ..)| Need::ToolRoot(root)));
        self.fetch(&needs)?;
        let adopted: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| matches!(self.source.components.get(*n), Some(Component::Adopted(_))))
            .collect();
        let mut rpms = self.adopt_all(&adopted, &signer)?;
        for (root, name, built) in &roots {
            rpms.extend(self.build_one(name, built, root, &signer)?);
        }
        rpms.sort();
        Ok(rpms)
    }

    /// The RPMs of all components.
    pub fn all_rpms(&self) -> Result<Vec<Rpm>> {
        let names: Vec<&str> = self.source.components.keys().map(String::as_str).collect();
        self.rpms(&names)
    }

    /// The RPMs of all components but those of our own programs that an image has no use for: compiling them takes long. An
    /// image has use for a component if it names one of its packages, or if a built package that it has use for requires one
    /// by name.
    pub fn rpms_for(&self, image: &Image) -> Result<Vec<Rpm>> {
        let compiled = |built: &Built| built.workspace.is_some();
        let (late, first): (Vec<_>, Vec<_>) = self
            .source
            .components
            .iter()
            .map(|(name, component)| (name.as_str(), component))
            .partition(|(_, component)| matches!(component, Component::Built(built) if compiled(built)));
        let mut wanted: BTreeSet<String> = image.spec.packages.iter().cloned().collect();
        for (_, component) in &first {
            if let Component::Adopted(adopted) = component {
                let added = adopted.overlays.values().flat_map(|overlay| &overlay.add_requires);
                wanted.extend(added.filter_map(|text| Some(text.split_whitespace().next()?.to_owned())));
            }
        }
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let mut rpms = self.rpms(&names)?;
        let built = first.iter().chain(&late).filter_map(|(name, component)| match component {
            Component::Built(built) => Some((*name, built)),
            Component::Adopted(_) => None,
        });
        needed(built.collect(), wanted, |next| {
            let compile: Vec<&str> =
                next.iter().filter(|(_, built)| compiled(built)).map(|(name, _)| *name).collect();
            if !compile.is_empty() {
                rpms.extend(self.rpms(&compile)?);
            }
            let mut required = Vec::new();
            for rpm in rpms.iter().filter(|rpm| next.iter().any(|(name, _)| *name == rpm.component)) {
                let bytes = self.store.read(&rpm.digest)?;
                let package = Package::from_rpm(&bytes, Href::new(&rpm.file)?)?;
                required.extend(package.requires.into_iter().map(|requirement| requirement.name));
            }
            Ok(required)
        })?;
        rpms.sort();
        Ok(rpms)
    }

    fn adopt_all(&self, names: &[&str], signer: &Signer) -> Result<Vec<Rpm>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let step = self.ui.counted("adopt packages", names.len() as u64);
        let made = Mutex::new(0_usize);
        let results: Vec<Vec<Rpm>> = names
            .par_iter()
            .map(|name| {
                let rpms = self.adopt_one(name, signer)?;
                if rpms.iter().any(|r| !r.cached) {
                    *made.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                }
                step.note(name);
                step.advance();
                Ok(rpms)
            })
            .collect::<Result<_>>()?;
        let made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if made == 0 {
            step.clear();
        } else {
            step.finish(&format!("{made} components made, {} from cache", names.len() - made));
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Adopts the packages of one component.
    fn adopt_one(&self, name: &str, signer: &Signer) -> Result<Vec<Rpm>> {
        let results = self.adopt_results_cached(name, signer)?;
        Ok(results.iter().flat_map(|(result, cached)| rpms_of(name, result, *cached)).collect())
    }

    /// The results of adopting each package of a component.
    pub fn adopt_results(&self, name: &str, signer: &Signer) -> Result<Vec<ActionResult>> {
        Ok(self.adopt_results_cached(name, signer)?.into_iter().map(|(result, _)| result).collect())
    }

    fn adopt_results_cached(&self, name: &str, signer: &Signer) -> Result<Vec<(ActionResult, bool)>> {
        let Some(Component::Adopted(component)) = self.source.components.get(name) else {
            anyhow::bail!("component `{name}` is not an adopted one");
        };
        let lock = self.lock();
        let folder = self.source.folder(name);
        let files = scan_plain(&folder, &self.store)?;
        let mut results = Vec::new();
        for (package, locked) in lock.component_debs(name)? {
            let overlay = component.overlays.get(package).cloned().unwrap_or_default();
            let key = ActionKey::new("adopt", ADOPT_VERSION)
                .input("deb", &locked.sha256)
                .field("overlay", serde_json::to_vec(&overlay)?)
                .input("files", &files)
                .field("license", component.license.as_deref().unwrap_or_default())
                .field("rebuild", component.rebuild.to_string())
                .field("vendor", &self.source.distro.vendor)
                .field("home", &self.source.distro.home)
                .field("suite", &locked.suite)
                .field("signer", signer.fingerprint())
                .finish();
            let (result, cached) = self.store.cached::<anyhow::Error>(&key, || {
                let deb =
                    Deb::read(self.store.open_blob(&locked.sha256)?, &self.store, &deb::Limits::default())
                        .with_context(|| format!("{package} {}", locked.version))?;
                let request = adopt::Request {
                    deb: &deb,
                    sha256: locked.sha256,
                    suite: &locked.suite,
                    overlay: &overlay,
                    folder: &folder,
                    license: component.license.as_deref(),
                    rebuild: component.rebuild,
                    vendor: &self.source.distro.vendor,
                    packager: &format!("{} <{}>", self.source.distro.vendor, self.source.distro.home),
                    build_host: BUILD_HOST,
                };
                let (builder, report) = adopt::adopt(&request, &self.store).with_context(|| {
                    format!("component `{name}`, {}", folder.join("component.toml").display())
                })?;
                let mut writer = self.store.writer()?;
                builder
                    .write(&self.store, Some(signer), &mut writer)
                    .with_context(|| format!("component `{name}`, package {package}"))?;
                let (digest, size) = writer.finish()?;
                let report = serde_json::to_vec(&report)?;
                Ok(ActionResult::default().with(builder.nevra.file_name(), digest, size).with(
                    format!("{package}.json"),
                    self.store.put(&report)?,
                    report.len() as u64,
                ))
            })?;
            results.push((result, cached));
        }
        Ok(results)
    }

    fn build_one(&self, name: &str, built: &Built, root: &str, signer: &Signer) -> Result<Vec<Rpm>> {
        let folder = self.source.folder(name);
        let tool_root = self.tool_root(root)?;
        let module_key =
            if build::needs_module_key(&folder, built)? { Some(self.module_key()?) } else { None };
        let public_keys = self.public_keys()?;
        let macros = lazuli_fs::read_dir(self.source.dir.join("macros"))?;
        let mut input = self.build_input(
            name,
            built,
            &folder,
            &tool_root,
            &macros,
            &public_keys,
            module_key.as_deref(),
            signer,
        )?;
        if let Some(workspace) = &built.workspace {
            self.compile(name, workspace, &mut input)?;
        }
        let cached = self.store.action(&input.key(&self.store)?)?.is_some();
        let step = (!cached).then(|| self.ui.spinner(&format!("build {name}")));
        let (result, cached) = input.run(&self.store, |line| {
            if let Some(step) = &step {
                step.note(line);
            }
        })?;
        if let Some(step) = step {
            step.finish(&format!("{} packages", result.outputs.len()));
        }
        Ok(rpms_of(name, &result, cached))
    }

    #[allow(clippy::too_many_arguments)] // Each is one input of the action; there is no smaller group.
    fn build_input<'a>(
        &self,
        name: &'a str,
        built: &'a Built,
        folder: &'a std::path::Path,
        tool_root: &'a std::path::Path,
        macros: &'a [PathBuf],
        public_keys: &'a std::path::Path,
        module_key: Option<&'a std::path::Path>,
        signer: &'a Signer,
    ) -> Result<build::Input<'a>> {
        let lock = self.lock();
        let distro = &self.source.distro;
        let mut defines = vec![
            ("_lazuli_name".to_owned(), distro.name.clone()),
            ("_lazuli_id".to_owned(), distro.id.clone()),
            ("_lazuli_version".to_owned(), distro.version.clone()),
            ("_lazuli_home".to_owned(), distro.home.clone()),
            ("vendor".to_owned(), distro.vendor.clone()),
        ];
        // Only for the spec that wants it: a change of the address must not build everything else.
        if build::mentions(folder, built, REPOSITORY_MACRO)? {
            let default = || format!("{}/repository/$releasever/$basearch", distro.home);
            let address = distro.repository.clone().unwrap_or_else(default);
            defines.push((REPOSITORY_MACRO.to_owned(), address));
            defines.push((
                format!("{REPOSITORY_MACRO}_enabled"),
                i32::from(distro.repository.is_some()).to_string(),
            ));
        }
        let mut sources = Vec::new();
        let mut epoch = built.source_date_epoch;
        if let Some(source) = &built.source {
            let locked = lock
                .source
                .get(source)
                .with_context(|| format!("source `{source}` is not in lazuli.lock; run `lazuli lock`"))?;
            let tarball =
                locked.tarball().with_context(|| format!("source `{source}` has no upstream tarball"))?;
            defines.push(("upstream_version".into(), locked.upstream_version().to_owned()));
            defines.push(("upstream_tarball".into(), tarball.name.clone()));
            sources.push((tarball.name.clone(), tarball.sha256));
            epoch = epoch.or(Some(locked.date));
        } else if let Some(version) = &built.version {
            defines.push(("upstream_version".into(), version.clone()));
        }
        Ok(build::Input {
            name,
            built,
            folder,
            macros,
            defines,
            sources,
            tool_root,
            source_date_epoch: epoch.unwrap_or_default(),
            public_keys,
            module_key,
            signer,
            binaries: Vec::new(),
        })
    }

    /// Compiles crates of the workspace around `distro/` for a component. Crates of the registry are fetched
    /// now if they are not in the store.
    fn compile(&self, name: &str, wanted: &WorkspaceSource, input: &mut build::Input<'_>) -> Result<()> {
        let inputs = rust::Inputs::collect(&self.source.dir, &wanted.crates)?;
        let toolchain = rust::Toolchain::find(inputs.root(), inputs.rust_version())?;
        let step = self.ui.spinner("fetch crates");
        let fetched = rust::fetch(&inputs, &toolchain, &self.store, |line| step.note(line.trim()))?;
        if fetched.cached {
            step.clear();
        } else {
            step.finish("Cargo.lock's checksums hold");
        }
        input.defines.push(("workspace_version".to_owned(), inputs.version().to_owned()));
        let build = rust::Build {
            wanted,
            inputs,
            fetched,
            toolchain,
            tool_root: input.tool_root,
            macros: input.macros,
            source_date_epoch: input.source_date_epoch,
        };
        let logs = self.store.root().join("logs");
        lazuli_fs::create_dir_all(&logs)?;
        let cached = self.store.action(&build.key()?)?.is_some();
        let step = (!cached).then(|| self.ui.spinner(&format!("compile {name}")));
        let (result, _) = build.run(&self.store, &logs.join(format!("{name}-cargo.log")), |line| {
            if let Some(step) = &step {
                step.note(line.trim());
            }
        })?;
        if let Some(step) = step {
            step.finish(&wanted.binaries.join(", "));
        }
        input.binaries = result.outputs.into_iter().map(|(name, output)| (name, output.digest)).collect();
        Ok(())
    }

    /// A directory with the public key that signs packages, as built components see it.
    fn public_keys(&self) -> Result<PathBuf> {
        let public = self.keys.public()?;
        let digest = Digest::of(&public);
        if let Some(dir) = self.store.dir("public-keys", &digest) {
            return Ok(dir);
        }
        let tmp = self.store.tempdir()?;
        let dir = tmp.path().join("keys");
        lazuli_fs::create_dir_all(&dir)?;
        lazuli_fs::write(dir.join("lazuli.asc"), public)?;
        Ok(self.store.publish_dir("public-keys", &digest, &dir)?)
    }

    /// The key that signs kernel modules, made now with openssl in the build tool root if needed.
    /// RSA, because its signatures are deterministic.
    fn module_key(&self) -> Result<PathBuf> {
        if let Some(path) = self.keys.module_key()? {
            return Ok(path);
        }
        let root = self.tool_root("image")?;
        let work = self.store.tempdir()?;
        let subject = format!("/CN={} module signing development key", self.source.distro.name);
        let script = "openssl req -new -x509 -newkey rsa:4096 -sha512 -days 36500 -nodes -batch \
             -subj \"$1\" -addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature \
             -keyout /build/key.pem -out /build/cert.pem && cat /build/key.pem /build/cert.pem";
        let pem = Sandbox::new(&root)
            .bind(work.path(), "/build", Access::ReadWrite)
            .workdir("/build")
            .command("/bin/sh")
            .args(["-c", script, "sh", &subject])
            .run(|_| ())
            .context("making the key for kernel modules")?;
        Ok(self.keys.store_module_key(&pem)?)
    }
}

/// Goes from packages to the built components that yield them, and on to what those require: `make` makes some
/// components and returns the names that their packages require. Each component is made once at most.
fn needed<'a>(
    mut built: Vec<(&'a str, &'a Built)>,
    mut wanted: BTreeSet<String>,
    mut make: impl FnMut(&[(&'a str, &'a Built)]) -> Result<Vec<String>>,
) -> Result<()> {
    loop {
        let (next, rest): (Vec<_>, Vec<_>) =
            built.into_iter().partition(|(_, built)| built.packages.iter().any(|p| wanted.contains(p)));
        if next.is_empty() {
            return Ok(());
        }
        built = rest;
        wanted.extend(make(&next)?);
    }
}

/// The tool root of a built component in the lock.
fn root_name(component: &str, built: &Built) -> String {
    if built.build_requires.is_empty() { built.tool_root.clone() } else { format!("component:{component}") }
}

/// The outputs of an action as RPM files.
pub fn rpms_of(component: &str, result: &ActionResult, cached: bool) -> Vec<Rpm> {
    result
        .outputs
        .iter()
        .filter(|(file, _)| file.strip_suffix(".rpm").is_some())
        .map(|(file, output)| Rpm {
            file: file.clone(),
            digest: output.digest,
            size: output.size,
            component: component.to_owned(),
            cached,
            millis: result.millis,
        })
        .collect()
}

/// The digest of the files that an overlay may add, without times and the checkout's umask. What
/// `component.toml` says counts by itself, so that a comment in it costs nothing.
fn scan_plain(folder: &std::path::Path, store: &Store) -> Result<Digest> {
    let mut tree = lazuli_tree::scan(folder, store)?;
    tree.retain(|path, _| path.as_str() != "component.toml");
    for (_, node) in tree.iter_mut() {
        node.mtime = 0;
        node.mode = if node.mode & 0o100 == 0 { 0o644 } else { 0o755 };
    }
    Ok(tree.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_needed_by_name_directly_and_through_others_and_made_once() {
        let built = |packages: &[&str]| Built {
            packages: packages.iter().map(|&p| p.to_owned()).collect(),
            spec: String::new(),
            source: None,
            version: None,
            tool_root: String::new(),
            build_requires: Vec::new(),
            files: Vec::new(),
            source_date_epoch: None,
            workspace: None,
        };
        let all =
            [("host", built(&["host"])), ("cri", built(&["cri", "cri-extra"])), ("lapis", built(&["lapis"]))];
        let made = |wanted: &[&str]| {
            let mut made = Vec::new();
            let components = all.iter().map(|(name, built)| (*name, built)).collect();
            let wanted = wanted.iter().map(|&w| w.to_owned()).collect();
            needed(components, wanted, |next| {
                made.extend(next.iter().map(|(name, _)| *name));
                let requires = next.iter().any(|(name, _)| *name == "host");
                Ok(requires.then(|| ["cri-extra", "host"].map(str::to_owned)).into_iter().flatten().collect())
            })
            .unwrap();
            made
        };
        assert_eq!(made(&["host", "glibc"]), ["host", "cri"]);
        assert_eq!(made(&["lapis"]), ["lapis"]);
        assert!(made(&["glibc"]).is_empty());
    }
}
