//! Building RPMs from a spec of ours: the real `rpmbuild`, in a tool root, without a network.
//!
//! An action in the sense of the store: what comes out depends on the spec and the files beside it,
//! the upstream source, the macros, the tool root, the keys and SOURCE_DATE_EPOCH, and on nothing else.

use crate::schema::Built;
use lazuli_fs::{self as fs, Context as _};
use lazuli_rpm::Signer;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{ActionKey, ActionResult, Digest, Store};
use std::path::{Path, PathBuf};

/// Why a component could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A tree of files beside the spec.
    #[error(transparent)]
    Tree(#[from] lazuli_tree::Error),
    /// The build itself.
    #[error("component `{component}`: {source}\n  the whole log: {log}", log = .log.display())]
    Sandbox {
        /// The component.
        component: String,
        /// How rpmbuild ended.
        #[source]
        source: lazuli_sandbox::Error,
        /// Where its output is kept.
        log: PathBuf,
    },
    /// A package that came out cannot be read or signed.
    #[error("component `{component}`: {package}: {reason}")]
    Package {
        /// The component.
        component: String,
        /// The file.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// The spec yields other packages than `component.toml` says.
    #[error("component `{component}`: the spec yields {got:?}, but component.toml has packages = {wanted:?}")]
    Packages {
        /// The component.
        component: String,
        /// What came out.
        got: Vec<String>,
        /// What was promised.
        wanted: Vec<String>,
    },
}

/// Everything that a build depends on.
pub struct Input<'a> {
    /// The component's name.
    pub name: &'a str,
    /// Its description.
    pub built: &'a Built,
    /// Its folder.
    pub folder: &'a Path,
    /// The distribution's macro files (`distro/macros/*`), which come first.
    pub macros: &'a [PathBuf],
    /// Macros set on the command line.
    pub defines: Vec<(String, String)>,
    /// Upstream files that go into SOURCES: name and blob.
    pub sources: Vec<(String, Digest)>,
    /// The tool root.
    pub tool_root: &'a Path,
    /// SOURCE_DATE_EPOCH in seconds.
    pub source_date_epoch: i64,
    /// The directory of public keys (`lazuli.asc`), bound at [`KEYS`].
    pub public_keys: &'a Path,
    /// The PEM file that signs kernel modules, bound at [`MODULE_KEY`], if the spec asks for it.
    pub module_key: Option<&'a Path>,
    /// The key that signs the packages.
    pub signer: &'a Signer,
    /// Binaries compiled from the workspace's own crates, at [`BINARIES`]: name and blob.
    pub binaries: Vec<(String, Digest)>,
}

/// Where specs find the public keys.
pub const KEYS: &str = "/build/keys";
/// Where specs find the module signing key.
pub const MODULE_KEY: &str = "/build/modules.pem";
/// Where specs find binaries of the workspace.
pub const BINARIES: &str = "/build/binaries";
/// Change when what is made from the same inputs changes.
const VERSION: u32 = 2;

/// The macro that a spec uses when it needs the module signing key.
pub const MODULE_KEY_MACRO: &str = "_lazuli_module_key";

/// Whether the component's spec uses the module signing key.
pub fn needs_module_key(folder: &Path, built: &Built) -> Result<bool, Error> {
    mentions(folder, built, MODULE_KEY_MACRO)
}

/// Whether the component's spec has this macro.
pub fn mentions(folder: &Path, built: &Built, name: &str) -> Result<bool, Error> {
    Ok(fs::read_to_string(folder.join(&built.spec))?.contains(name))
}

impl Input<'_> {
    /// The digest of everything that the build depends on.
    pub fn key(&self, store: &Store) -> Result<Digest, Error> {
        let mut key = ActionKey::new("rpmbuild", VERSION)
            .field("name", self.name)
            .field("packages", self.built.packages.join(" "))
            .field("tool-root", self.tool_root.file_name().unwrap_or_default().as_encoded_bytes())
            .field("epoch", self.source_date_epoch.to_string())
            .field("signer", self.signer.fingerprint())
            .input("spec", &Digest::of(fs::read(self.folder.join(&self.built.spec))?));
        for name in &self.built.files {
            key = key.input(&format!("file {name}"), &digest_of(&self.folder.join(name), store)?);
        }
        for path in self.macros {
            key = key.input("macros", &Digest::of(fs::read(path)?));
        }
        for (name, value) in &self.defines {
            key = key.field(name, value);
        }
        for (name, digest) in &self.sources {
            key = key.input(&format!("source {name}"), digest);
        }
        key = key.input("keys", &digest_of(self.public_keys, store)?);
        if let Some(pem) = self.module_key {
            key = key.input("module-key", &Digest::of(fs::read(pem)?));
        }
        for (name, digest) in &self.binaries {
            key = key.input(&format!("binary {name}"), digest);
        }
        Ok(key.finish())
    }

    /// Builds, or takes the result from the cache. `line` sees the compiler's output as it comes.
    /// The second value says whether it came from the cache.
    pub fn run(&self, store: &Store, line: impl FnMut(&str)) -> Result<(ActionResult, bool), Error> {
        let key = self.key(store)?;
        store.cached(&key, || self.rpmbuild(store, line))
    }

    fn rpmbuild(&self, store: &Store, mut line: impl FnMut(&str)) -> Result<ActionResult, Error> {
        let work = store.tempdir()?;
        let top = work.path();
        for dir in ["SOURCES", "SPECS", "BUILD", "RPMS", "keys", "tmp"] {
            fs::create_dir_all(top.join(dir))?;
        }
        fs::copy(self.folder.join(&self.built.spec), top.join("SPECS").join(&self.built.spec))?;
        for name in &self.built.files {
            copy_tree(&self.folder.join(name), &top.join("SOURCES").join(name))?;
        }
        for (name, digest) in &self.sources {
            store.open_blob(digest)?;
            fs::hard_link(store.path(digest), top.join("SOURCES").join(name))?;
        }
        copy_tree(self.public_keys, &top.join("keys"))?;
        if let Some(pem) = self.module_key {
            fs::copy(pem, top.join("modules.pem"))?;
        }
        for (name, digest) in &self.binaries {
            fs::create_dir_all(top.join("binaries"))?;
            store.open_blob(digest)?;
            fs::hard_link(store.path(digest), top.join("binaries").join(name))?;
        }
        let mut args: Vec<String> = vec!["-bb".into(), "--nodeps".into()];
        // In ~/.rpmmacros rather than with --load: rpm reads its configuration again when a spec says
        // `BuildArch: noarch`, and forgets what was loaded.
        let mut macros = Vec::new();
        for path in self.macros {
            macros.extend(fs::read(path)?);
            macros.push(b'\n');
        }
        fs::write(top.join(".rpmmacros"), macros)?;
        // rpm's own rpmrc sets `optflags` after all macros are read; the last rpmrc wins.
        fs::write(
            top.join(".rpmrc"),
            "optflags: x86_64 %{_lazuli_optflags}\noptflags: noarch %{_lazuli_optflags}\n",
        )?;
        let fixed = [
            ("_topdir", "/build".to_owned()),
            ("_builddir", "/build/BUILD".to_owned()),
            ("_tmppath", "/build/tmp".to_owned()),
            ("_smp_build_ncpus", std::thread::available_parallelism().map_or(1, usize::from).to_string()),
            ("source_date_epoch", self.source_date_epoch.to_string()),
            ("_lazuli_keys_dir", KEYS.to_owned()),
            (MODULE_KEY_MACRO, MODULE_KEY.to_owned()),
        ];
        let defines = self.defines.iter().map(|(n, v)| (n.as_str(), v.clone()));
        let binaries = (!self.binaries.is_empty()).then(|| ("_lazuli_binaries", BINARIES.to_owned()));
        for (name, value) in fixed.into_iter().chain(defines).chain(binaries) {
            args.push("--define".into());
            args.push(format!("{name} {value}"));
        }
        args.push(format!("/build/SPECS/{}", self.built.spec));
        let log_path = store.root().join("logs").join(format!("{}.log", self.name));
        fs::create_dir_all(store.root().join("logs"))?;
        let mut log = std::io::BufWriter::new(fs::create(&log_path)?);
        // rpmbuild reports on standard output what a person wants to follow: join the two.
        let script = "exec rpmbuild \"$@\" 1>&2";
        let mut shell: Vec<&str> = vec!["-c", script, "rpmbuild"];
        shell.extend(args.iter().map(String::as_str));
        let result = Sandbox::new(self.tool_root)
            .bind(top, "/build", Access::ReadWrite)
            .workdir("/build")
            .env("HOME", "/build")
            .env("TMPDIR", "/build/tmp")
            .source_date_epoch(self.source_date_epoch)
            .command("/bin/sh")
            .args(&shell)
            .run(|text| {
                // The log is for people; a full disk shows in the build itself.
                let _full = std::io::Write::write_all(&mut log, format!("{text}\n").as_bytes());
                line(text);
            });
        drop(log);
        result.map_err(|source| Error::Sandbox { component: self.name.to_owned(), source, log: log_path })?;
        self.collect(store, top)
    }

    /// Signs what came out and puts it into the store.
    fn collect(&self, store: &Store, top: &Path) -> Result<ActionResult, Error> {
        let mut result = ActionResult::default();
        let mut got = Vec::new();
        for arch in fs::read_dir(top.join("RPMS"))? {
            for path in fs::read_dir(&arch)? {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let bad = |reason: String| Error::Package {
                    component: self.name.to_owned(),
                    package: file.clone(),
                    reason,
                };
                let unsigned = fs::read(&path)?;
                let signed = lazuli_rpm::sign::sign_package(&unsigned, self.signer, self.source_date_epoch)
                    .map_err(|e| bad(e.to_string()))?;
                let package = lazuli_rpm::PackageFile::parse(&signed).map_err(|e| bad(e.to_string()))?;
                let nevra = package.header.nevra().map_err(|e| bad(e.to_string()))?;
                got.push(nevra.name.clone());
                let digest = store.put(&signed)?;
                result = result.with(file, digest, signed.len() as u64);
            }
        }
        got.sort();
        let mut wanted = self.built.packages.clone();
        wanted.sort();
        if got != wanted {
            return Err(Error::Packages { component: self.name.to_owned(), got, wanted });
        }
        Ok(result)
    }
}

/// A digest of a file, or of a directory with everything in it.
fn digest_of(path: &Path, store: &Store) -> Result<Digest, Error> {
    if path.is_dir() {
        let mut tree = lazuli_tree::scan(path, store)?;
        for (_, node) in tree.iter_mut() {
            // A checkout has times and a umask of its own; only content and the executable bit count.
            node.mtime = 0;
            node.mode = if node.mode & 0o100 == 0 { 0o644 } else { 0o755 };
        }
        Ok(tree.digest())
    } else {
        Ok(Digest::of(fs::read(path)?))
    }
}

/// Copies a file or directory with permissions that do not depend on the checkout's umask.
fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(from)?.permissions().mode();
    if mode & 0o040_000 != 0 && from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            copy_tree(&entry, &to.join(entry.file_name().unwrap_or_default()))?;
        }
    } else {
        let mut source = fs::open(from)?;
        let mut target = fs::create(to)?;
        std::io::copy(&mut source, &mut target).at("copy", from)?;
        fs::set_mode(to, if mode & 0o100 == 0 { 0o644 } else { 0o755 })?;
    }
    Ok(())
}
