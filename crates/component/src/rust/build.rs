//! Compiling crates of the workspace: an action of its own, so that neither an edit of a spec or unit nor
//! another signing key compiles anything.

use super::{Error, Fetched, Inputs, Toolchain};
use crate::schema::WorkspaceSource;
use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{ActionKey, ActionResult, Digest, Store};
use std::path::{Path, PathBuf};

/// Everything that compiling crates of the workspace needs.
pub struct Build<'a> {
    /// What is asked for.
    pub wanted: &'a WorkspaceSource,
    /// The source.
    pub inputs: Inputs,
    /// The crates of the registry.
    pub fetched: Fetched,
    /// The compiler.
    pub toolchain: Toolchain,
    /// The tool root: linker, C compiler, and the C library of the target.
    pub tool_root: &'a Path,
    /// RPM macros of the distribution, which have its flags for C.
    pub macros: &'a [PathBuf],
    /// The time that C compilers put into binaries, if code asks for it; seconds since 1970.
    pub source_date_epoch: i64,
}

/// The build directory in the sandbox.
const TOP: &str = "/build";
/// The source below it.
const SOURCE: &str = "workspace";
/// The crates of the registry.
const CRATES: &str = "/crates";
/// Change when the same inputs are compiled in another way.
const VERSION: u32 = 1;

/// Crates bring C of their own: it gets the distribution's flags and may not name the build's paths.
const SCRIPT: &str = r#"
flags='%{_hardening_cflags} %{_hardening_cppflags} -ffile-prefix-map=/crates=registry -ffile-prefix-map=/build=build'
CFLAGS="-O2 -pipe $(rpm --load /build/macros --eval "$flags")" || exit 1
export CFLAGS CC=gcc AR=ar PATH="/build/bin:$PATH" CARGO=/build/bin/cargo CARGO_HOME=/build/cargo
exec cargo build --release --locked --manifest-path /build/workspace/Cargo.toml "$@" 1>&2
"#;

impl Build<'_> {
    /// The digest of everything that decides what is compiled, and how.
    pub fn key(&self) -> Result<Digest, Error> {
        let mut key = ActionKey::new("cargo-build", VERSION)
            .input("source", &self.inputs.digest()?)
            .input("crates", &self.fetched.digest)
            .input("toolchain", &self.toolchain.digest())
            .field("tool-root", self.tool_root.file_name().unwrap_or_default().as_encoded_bytes())
            .field("epoch", self.source_date_epoch.to_string())
            .field("configuration", self.configuration())
            .field("script", SCRIPT)
            .field("arguments", self.arguments().join(" "));
        for path in self.macros {
            key = key.input("macros", &Digest::of(fs::read(path)?));
        }
        Ok(key.finish())
    }

    /// Compiles, or takes the result from the cache: one output for each binary, by its name. Everything
    /// that the compiler says goes to the file `log`, and to `line` as it comes. The second value says
    /// whether it came from the cache.
    pub fn run(
        &self,
        store: &Store,
        log: &Path,
        line: impl FnMut(&str),
    ) -> Result<(ActionResult, bool), Error> {
        store.cached(&self.key()?, || self.compile(store, log, line))
    }

    fn compile(&self, store: &Store, log: &Path, mut line: impl FnMut(&str)) -> Result<ActionResult, Error> {
        let work = store.tempdir()?;
        let top = work.path();
        self.prepare(top)?;
        let mut file = std::io::BufWriter::new(fs::create(log)?);
        let sandbox = Sandbox::new(self.tool_root).bind(top, TOP, Access::ReadWrite).bind(
            self.fetched.crates(),
            CRATES,
            Access::ReadOnly,
        );
        self.toolchain
            .bind(sandbox)
            .workdir(TOP)
            .env("HOME", TOP)
            .env("TMPDIR", format!("{TOP}/tmp"))
            .source_date_epoch(self.source_date_epoch)
            .command("/bin/sh")
            .args(["-c", SCRIPT, "cargo"])
            .args(self.arguments())
            .run(|text| {
                // The log is for people; a full disk shows in the build itself.
                let _full = std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes());
                line(text);
            })
            .map_err(|source| Error::Build { source, log: log.to_owned() })?;
        let mut result = ActionResult::default();
        for name in &self.wanted.binaries {
            let (digest, size) = store.put_file(top.join("target/release").join(name))?;
            result = result.with(name, digest, size);
        }
        Ok(result)
    }

    /// What Cargo is told beside the configuration.
    fn arguments(&self) -> Vec<String> {
        let packages = self.wanted.crates.iter().map(|name| format!("--package={name}"));
        packages.chain(self.wanted.binaries.iter().map(|name| format!("--bin={name}"))).collect()
    }

    /// Lays the source and Cargo's configuration out below `top`, which the sandbox has at `/build`.
    fn prepare(&self, top: &Path) -> Result<(), Error> {
        let source = top.join(SOURCE);
        self.inputs.stage(&source)?;
        fs::copy(self.fetched.lock(), source.join("Cargo.lock"))?;
        for dir in ["bin", "cargo", "tmp"] {
            fs::create_dir_all(top.join(dir))?;
        }
        fs::write(top.join("cargo/config.toml"), self.configuration())?;
        let mut macros = Vec::new();
        for path in self.macros {
            macros.extend(fs::read(path)?);
            macros.push(b'\n');
        }
        fs::write(top.join("macros"), macros)?;
        for (name, script) in self.toolchain.scripts() {
            let path = top.join("bin").join(name);
            fs::write(&path, script)?;
            fs::set_mode(&path, 0o755)?;
        }
        Ok(())
    }

    /// Cargo's configuration: crates from the directory, no network, hardened and small binaries that
    /// hold no path of the build.
    fn configuration(&self) -> String {
        let (library, commit) = self.toolchain.library_source();
        let flags = [
            // Position-independent executables are the default. Asking for them in so many words would
            // compile procedural macros, which are libraries, with thread-local storage that the loader
            // has room for only a few times: the compiler then fails to load some of them.
            "-Crelro-level=full".to_owned(),
            // The linker of the tool root, whatever linker the toolchain brings along.
            "-Clink-arg=-fuse-ld=bfd".to_owned(),
            "-Clink-arg=-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code".to_owned(),
            "-Clink-arg=-Wl,--as-needed,--build-id=sha1".to_owned(),
            format!("--remap-path-prefix={TOP}/{SOURCE}=lazuli"),
            format!("--remap-path-prefix={TOP}=build"),
            format!("--remap-path-prefix={CRATES}=registry"),
            format!("--remap-path-prefix={library}={commit}"),
        ];
        let flags: Vec<String> = flags.iter().map(|f| format!("    \"{f}\",\n")).collect();
        format!(
            "[source.crates-io]\n\
             replace-with = \"fetched\"\n\
             [source.fetched]\n\
             directory = \"{CRATES}\"\n\
             [net]\n\
             offline = true\n\
             [build]\n\
             rustc = \"{TOP}/bin/rustc\"\n\
             target-dir = \"{TOP}/target\"\n\
             incremental = false\n\
             rustflags = [\n{}]\n\
             [profile.release]\n\
             opt-level = 3\n\
             lto = \"fat\"\n\
             codegen-units = 1\n\
             strip = \"symbols\"\n\
             debug = false\n\
             # Our code reads what comes from outside, as root: a sum that does not fit must not go on.\n\
             overflow-checks = true\n\
             [profile.release.package.\"*\"]\n\
             overflow-checks = false\n",
            flags.concat()
        )
    }
}
