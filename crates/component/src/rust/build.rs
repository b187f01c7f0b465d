//! How a spec compiles crates of the workspace: what the sandbox shows, and the macros that use it.
//!
//! A spec says `%cargo_build --package NAME` and finds the result in `%{cargo_output}`;
//! `%{cargo_version}` is the crate's version.

use super::{Error, Fetched, Inputs, Toolchain};
use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{ActionKey, Digest};
use std::path::Path;

/// Everything that compiling crates of the workspace needs.
pub struct Build {
    /// The source.
    pub inputs: Inputs,
    /// The crates of the registry.
    pub fetched: Fetched,
    /// The compiler.
    pub toolchain: Toolchain,
}

/// The build directory of rpmbuild's sandbox.
const TOP: &str = "/build";
/// The source below it.
const SOURCE: &str = "workspace";
/// The crates of the registry.
const CRATES: &str = "/crates";
/// Change when the same inputs are compiled in another way.
const VERSION: u32 = 1;

impl Build {
    /// The digest of everything that decides what is compiled, and how.
    pub fn digest(&self) -> Result<Digest, Error> {
        Ok(ActionKey::new("cargo-build", VERSION)
            .input("source", &self.inputs.digest()?)
            .input("crates", &self.fetched.digest)
            .input("toolchain", &self.toolchain.digest())
            .field("configuration", self.configuration())
            .field("macros", format!("{:?}", self.macros()))
            .finish())
    }

    /// Lays the source and Cargo's configuration out below `top`, which the sandbox has at `/build`.
    pub(crate) fn prepare(&self, top: &Path) -> Result<(), Error> {
        let source = top.join(SOURCE);
        self.inputs.stage(&source)?;
        fs::copy(self.fetched.lock(), source.join("Cargo.lock"))?;
        fs::create_dir_all(top.join("cargo"))?;
        fs::write(top.join("cargo/config.toml"), self.configuration())?;
        fs::create_dir_all(top.join("bin"))?;
        for (name, script) in self.toolchain.scripts() {
            let path = top.join("bin").join(name);
            fs::write(&path, script)?;
            fs::set_mode(&path, 0o755)?;
        }
        Ok(())
    }

    /// What the spec says instead of all this.
    pub(crate) fn macros(&self) -> Vec<(String, String)> {
        macros(self.inputs.version())
    }

    /// Shows the toolchain and the crates to the sandbox, read-only.
    pub(crate) fn bind(&self, sandbox: Sandbox) -> Sandbox {
        self.toolchain.bind(sandbox.bind(self.fetched.crates(), CRATES, Access::ReadOnly))
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

/// Macros for the spec: the command, where its results are, and the crate's version.
fn macros(version: &str) -> Vec<(String, String)> {
    // Crates bring C of their own: it gets the distribution's flags and may not name the build's paths.
    let map = format!("-ffile-prefix-map={CRATES}=registry -ffile-prefix-map={TOP}=build");
    let environment = format!(
        "env PATH={TOP}/bin:$PATH CARGO={TOP}/bin/cargo CARGO_HOME={TOP}/cargo \
         CFLAGS=\"-O2 -pipe %{{_hardening_cflags}} %{{_hardening_cppflags}} {map}\" CC=gcc AR=ar"
    );
    let command =
        format!("{TOP}/bin/cargo build --release --locked --manifest-path {TOP}/{SOURCE}/Cargo.toml");
    vec![
        ("cargo_build".into(), format!("{environment} {command}")),
        ("cargo_output".into(), format!("{TOP}/target/release")),
        ("cargo_version".into(), version.to_owned()),
    ]
}
