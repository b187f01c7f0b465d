//! The caller's Rust toolchain, found and shown to a sandbox.
//!
//! Two kinds exist. One of *rustup* (or unpacked from rust-lang.org) is a directory of its own whose
//! programs bring every library but the C library, an old one: it is mounted and runs on the tool
//! root's C library. One of a *distribution* is part of its `/usr` and linked against that
//! distribution's libraries (LLVM, the C library): its programs are started by the distribution's own
//! loader with its own library directories, which nothing else in the sandbox sees. Either way the
//! linker, the C compiler and the libraries that a binary is linked with are the tool root's.

use super::Error;
use lazuli_fs as fs;
use lazuli_fs::process;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{ActionKey, Digest};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only platform that images are made for.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// Where the sandbox has the toolchain.
pub(super) const PLACE: &str = "/toolchain";
/// Where it has the libraries of a distribution's toolchain.
const LIBRARIES: &str = "/toolchain-libraries";
/// The loader of a distribution's programs.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A Rust toolchain on this machine.
#[derive(Debug, Clone)]
pub struct Toolchain {
    sysroot: PathBuf,
    /// What `rustc -vV` and `cargo -V` say.
    version: String,
    /// The commit that the compiler was built from, as its own paths name it.
    commit: String,
    /// The standard library's files.
    library: Digest,
    /// Library directories of the host, for a toolchain of a distribution.
    libraries: Vec<PathBuf>,
}

impl Toolchain {
    /// Finds the toolchain that a person in `directory` would use: `$RUSTC` or `rustc` in PATH says
    /// where it is, so rustup's overrides and `rust-toolchain.toml` count. `at_least` is for the error.
    pub fn find(directory: &Path, at_least: &str) -> Result<Self, Error> {
        let rustc = std::env::var_os("RUSTC").filter(|v| !v.is_empty()).unwrap_or_else(|| "rustc".into());
        Self::of(&rustc, directory, at_least)
    }

    fn of(rustc: &OsString, directory: &Path, at_least: &str) -> Result<Self, Error> {
        let missing = |reason: String| Error::NoToolchain { reason, at_least: at_least.to_owned() };
        let mut command = Command::new(rustc);
        command.args(["--print", "sysroot"]).current_dir(directory);
        let sysroot = run(command).map_err(|e| missing(e.to_string()))?;
        let sysroot = PathBuf::from(sysroot.trim());
        let bad = |reason: String| Error::Toolchain { sysroot: sysroot.clone(), reason };
        for program in ["bin/rustc", "bin/cargo"] {
            if !sysroot.join(program).is_file() {
                return Err(bad(format!(
                    "it has no {program}; install the compiler and Cargo from the same place"
                )));
            }
        }
        let text = |program: &str, argument: &str| {
            let mut command = Command::new(sysroot.join(program));
            command.arg(argument).current_dir(directory);
            run(command).map_err(|e| bad(e.to_string()))
        };
        let version = text("bin/rustc", "-vV")? + &text("bin/cargo", "-V")?;
        let field = |name: &str| {
            version.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
        };
        if field("host") != HOST {
            return Err(bad(format!("it is for {}, but a toolchain for {HOST} is needed", field("host"))));
        }
        let library = library(&sysroot.join("lib/rustlib").join(HOST).join("lib"))?;
        let libraries = if of_distribution(&sysroot) { library_directories() } else { Vec::new() };
        let commit = field("commit-hash").to_owned();
        Ok(Self { version: version.clone(), commit, library, libraries, sysroot })
    }

    /// The compiler's and Cargo's own words about themselves.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The digest of what the toolchain puts into a binary: the programs' versions, and the standard
    /// library, of which a distribution may have one of its own.
    pub fn digest(&self) -> Digest {
        ActionKey::new("rust-toolchain", 1)
            .field("version", &self.version)
            .input("library", &self.library)
            .finish()
    }

    /// Cargo, to be run on the host.
    pub(super) fn host_cargo(&self) -> Command {
        let mut command = Command::new(self.sysroot.join("bin/cargo"));
        command.env("RUSTC", self.sysroot.join("bin/rustc"));
        command
    }

    /// Where paths of the standard library's source lead in a compiler that has it at hand, and where in
    /// one that has not: without this the two would make different binaries.
    pub(super) fn library_source(&self) -> (String, String) {
        (format!("{PLACE}/lib/rustlib/src/rust"), format!("/rustc/{}", self.commit))
    }

    /// Shows the toolchain to a sandbox.
    pub(super) fn bind(&self, sandbox: Sandbox) -> Sandbox {
        let read = Access::ReadOnly;
        if self.libraries.is_empty() {
            return sandbox.bind(&self.sysroot, PLACE, read);
        }
        let mut sandbox = sandbox.bind(LOADER, &format!("{LIBRARIES}/ld.so"), read);
        for part in ["bin/rustc", "bin/cargo", "lib"] {
            sandbox = sandbox.bind(self.sysroot.join(part), &format!("{PLACE}/{part}"), read);
        }
        for (i, directory) in self.libraries.iter().enumerate() {
            sandbox = sandbox.bind(directory, &format!("{LIBRARIES}/{i}"), read);
        }
        sandbox
    }

    /// Scripts in the sandbox that start the compiler and Cargo: name and content.
    pub(super) fn scripts(&self) -> Vec<(&'static str, String)> {
        let prefix = if self.libraries.is_empty() {
            String::new()
        } else {
            let places = (0..self.libraries.len()).map(|i| format!(":{LIBRARIES}/{i}"));
            format!("{LIBRARIES}/ld.so --library-path {PLACE}/lib{} ", places.collect::<String>())
        };
        let script = |program: &str, more: &str| {
            format!("#!/bin/sh\nexec {prefix}{PLACE}/bin/{program}{more} \"$@\"\n")
        };
        let sysroot = format!(" --sysroot {PLACE}");
        vec![("rustc", script("rustc", &sysroot)), ("cargo", script("cargo", ""))]
    }
}

fn run(command: Command) -> Result<String, process::Error> {
    Ok(String::from_utf8_lossy(&process::run(command, |_| ())?).into_owned())
}

/// Whether the toolchain shares its libraries with the rest of a system. `/usr/local` does not: what is
/// unpacked there brings its own.
fn of_distribution(sysroot: &Path) -> bool {
    sysroot.starts_with("/usr") && !sysroot.starts_with("/usr/local")
}

/// Where a distribution keeps libraries, Debian's way and everybody else's.
fn library_directories() -> Vec<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .iter()
        .map(PathBuf::from)
        .filter(|d| d.is_dir())
        .collect()
}

/// The files of the standard library by name and size; their names carry a hash of how they were built.
fn library(directory: &Path) -> Result<Digest, Error> {
    let mut key = ActionKey::new("rust-library", 1);
    for path in fs::read_dir(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        key = key.field(&name, fs::metadata(&path)?.len().to_string());
    }
    Ok(key.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_is_an_error_that_says_what_to_install() {
        let error = Toolchain::of(&"/nonexistent/rustc".into(), Path::new("/"), "1.89").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nonexistent/rustc") && text.contains("install Rust 1.89"), "{text}");
    }

    #[test]
    fn a_compiler_without_cargo_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let rustc = dir.path().join("bin/rustc");
        fs::create_dir_all(dir.path().join("bin")).expect("a directory");
        fs::write(&rustc, format!("#!/bin/sh\necho {}\n", dir.path().display())).expect("a file");
        fs::set_mode(&rustc, 0o755).expect("a file");
        let error = Toolchain::of(&rustc.into(), dir.path(), "1.89").unwrap_err().to_string();
        assert!(error.contains("has no bin/cargo"), "{error}");
    }

    #[test]
    fn a_toolchain_for_another_platform_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("bin")).expect("a directory");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --print ]; then echo {}; else echo 'host: aarch64-unknown-linux-gnu'; fi\n",
            dir.path().display()
        );
        for program in ["bin/rustc", "bin/cargo"] {
            fs::write(dir.path().join(program), &script).expect("a file");
            fs::set_mode(dir.path().join(program), 0o755).expect("a file");
        }
        let rustc = dir.path().join("bin/rustc").into_os_string();
        let error = Toolchain::of(&rustc, dir.path(), "1.89").unwrap_err().to_string();
        assert!(error.contains("aarch64-unknown-linux-gnu"), "{error}");
    }

    #[test]
    fn a_distributions_toolchain_runs_on_its_own_loader_and_rustups_does_not() {
        let one = |libraries: Vec<PathBuf>| Toolchain {
            sysroot: "/x".into(),
            version: String::new(),
            commit: String::new(),
            library: Digest::of(b""),
            libraries,
        };
        let own = one(Vec::new()).scripts()[1].1.clone();
        assert_eq!(own, "#!/bin/sh\nexec /toolchain/bin/cargo \"$@\"\n");
        let shared = one(vec!["/usr/lib64".into(), "/usr/lib".into()]).scripts()[0].1.clone();
        let wanted = "exec /toolchain-libraries/ld.so --library-path \
             /toolchain/lib:/toolchain-libraries/0:/toolchain-libraries/1 /toolchain/bin/rustc";
        assert!(shared.contains(wanted), "{shared}");
    }
}
