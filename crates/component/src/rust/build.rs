//! Compiling crates of the workspace: an action of its own, so that neither an edit of a spec or unit nor
//! another signing key compiles anything.
//!
//! It has two steps, each with a key of its own. The first compiles what comes from the registry, from manifests
//! and lock alone; Cargo's target directory of it is kept in the store. The second begins with a copy of that and
//! compiles the workspace's own crates, so that an edit of ours compiles ours.

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
const VERSION: u32 = 2;
/// Where the second step finds what the first one left.
const DEPENDENCIES: &str = "/dependencies";
/// What such directories are called in the store.
const KIND: &str = "cargo-target";

/// Crates of the registry that compress, hash, search or keep data: these are compiled for speed, all others for size.
/// Cargo warns of those that a component does not use.
const HOT: [&str; 16] = [
    "aho-corasick",
    "crossbeam-deque",
    "crossbeam-epoch",
    "hashbrown",
    "indexmap",
    "liblzma-sys",
    "libsqlite3-sys",
    "memchr",
    "quick-xml",
    "rayon",
    "rayon-core",
    "resolvo",
    "ring",
    "sha2",
    "zlib-rs",
    "zstd-sys",
];

/// Crates bring C of their own: it gets the distribution's flags and may not name the build's paths.
const ENVIRONMENT: &str = r#"
flags='%{_hardening_cflags} %{_hardening_cppflags} -ffile-prefix-map=/crates=registry -ffile-prefix-map=/build=build'
CFLAGS="-O2 -pipe $(rpm --load /build/macros --eval "$flags")" || exit 1
export CFLAGS CC=gcc AR=ar PATH="/build/bin:$PATH" CARGO=/build/bin/cargo CARGO_HOME=/build/cargo
exec 1>&2
cd /build/workspace || exit 1
"#;

/// What was compiled of the workspace, which had no code in it, must not be taken for the real thing: Cargo goes by
/// times, and they would be close. Arguments before `--` are for the compiler, those after it are the packages.
const FIRST: &str = r#"
build=
while [ "$1" != -- ]; do build="$build $1"; shift; done
shift
cargo build --release --locked $build || exit 1
for package; do clean="$clean --package=$package"; done
cargo clean --release --locked $clean
"#;

/// Times are kept, because build scripts are run again if what they looked at seems newer than what they made.
const SECOND: &str = r#"
cp -a --reflink=auto /dependencies /build/target || exit 1
exec cargo build --release --locked "$@"
"#;

impl Build<'_> {
    /// The digest of everything that decides what is compiled, and how.
    pub fn key(&self) -> Result<Digest, Error> {
        Ok(self
            .common("cargo-build")?
            .input("source", &self.inputs.digest()?)
            .field("script", SECOND)
            .input("dependencies", &self.dependencies_key()?)
            .finish())
    }

    /// The digest of everything that decides what is compiled of the registry.
    fn dependencies_key(&self) -> Result<Digest, Error> {
        let key = self.common("cargo-dependencies")?.input("manifests", &self.inputs.manifests_digest());
        Ok(key.field("script", FIRST).finish())
    }

    /// What both steps depend on.
    fn common(&self, kind: &str) -> Result<ActionKey, Error> {
        let mut key = ActionKey::new(kind, VERSION)
            .input("crates", &self.fetched.digest)
            .input("toolchain", &self.toolchain.digest())
            .field("tool-root", self.tool_root.file_name().unwrap_or_default().as_encoded_bytes())
            .field("epoch", self.source_date_epoch.to_string())
            .field("configuration", self.configuration())
            .field("environment", ENVIRONMENT)
            .field("arguments", self.arguments().join(" "));
        for path in self.macros {
            key = key.input("macros", &Digest::of(fs::read(path)?));
        }
        Ok(key)
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
        let mut file = std::io::BufWriter::new(fs::create(log)?);
        let mut say = |text: &str| {
            // The log is for people; a full disk shows in the build itself.
            let _full = std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes());
            line(text);
        };
        let failed = |source| Error::Build { source, log: log.to_owned() };
        let dependencies = self.dependencies(store, &failed, &mut say)?;
        let work = store.tempdir()?;
        let top = work.path();
        self.inputs.stage(&top.join(SOURCE))?;
        self.prepare(top)?;
        let sandbox = self.sandbox(top).bind(&dependencies, DEPENDENCIES, Access::ReadOnly);
        let script = format!("{ENVIRONMENT}{SECOND}");
        let command = sandbox.command("/bin/sh").args(["-c", &script, "cargo"]).args(self.arguments());
        command.run(&mut say).map_err(failed)?;
        let mut result = ActionResult::default();
        for name in &self.wanted.binaries {
            let (digest, size) = store.put_file(top.join("target/release").join(name))?;
            result = result.with(name, digest, size);
        }
        Ok(result)
    }

    /// Cargo's target directory with everything of the registry compiled; made if the store does not have it.
    fn dependencies(
        &self,
        store: &Store,
        failed: &dyn Fn(lazuli_sandbox::Error) -> Error,
        say: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, Error> {
        let key = self.dependencies_key()?;
        if let Some(dir) = store.dir(KIND, &key) {
            return Ok(dir);
        }
        let work = store.tempdir()?;
        let top = work.path();
        self.inputs.stage_without_code(&top.join(SOURCE))?;
        self.prepare(top)?;
        let script = format!("{ENVIRONMENT}{FIRST}");
        let sandbox = self.sandbox(top);
        let command = sandbox.command("/bin/sh").args(["-c", &script, "cargo"]).args(self.arguments());
        command.args(["--"]).args(self.inputs.packages()).run(say).map_err(failed)?;
        Ok(store.publish_dir(KIND, &key, &top.join("target"))?)
    }

    /// The tool root with the toolchain, the crates, and `top` as the build directory.
    fn sandbox(&self, top: &Path) -> Sandbox {
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
    }

    /// What Cargo is told beside the configuration.
    fn arguments(&self) -> Vec<String> {
        let packages = self.wanted.crates.iter().map(|name| format!("--package={name}"));
        packages.chain(self.wanted.binaries.iter().map(|name| format!("--bin={name}"))).collect()
    }

    /// Lays what is beside the source out below `top`, which the sandbox has at `/build`.
    fn prepare(&self, top: &Path) -> Result<(), Error> {
        fs::copy(self.fetched.lock(), top.join(SOURCE).join("Cargo.lock"))?;
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
        let mut flags = vec![
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
        if self.wanted.static_linking {
            // Still position-independent: it relocates itself.
            flags.push("-Ctarget-feature=+crt-static".to_owned());
        }
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
             # Nothing here outlives a panic, and tables for unwinding are a tenth of a binary.\n\
             panic = \"abort\"\n\
             # Our code reads what comes from outside, as root: a sum that does not fit must not go on.\n\
             overflow-checks = true\n\
             [profile.release.package.\"*\"]\n\
             opt-level = \"s\"\n\
             overflow-checks = false\n{}",
            flags.concat(),
            HOT.map(|name| format!(
                "[profile.release.package.{name}]\nopt-level = 3\noverflow-checks = false\n"
            ))
            .concat()
        )
    }
}
