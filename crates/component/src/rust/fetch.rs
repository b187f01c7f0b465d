//! The crates of the registry, fetched before a build that has no network.

use super::{Error, Inputs, Toolchain};
use lazuli_fs as fs;
use lazuli_store::{ActionKey, Digest, Store};
use std::path::PathBuf;

/// Crates laid out as Cargo's *directory source* wants them, with the lock that names exactly these.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// `vendor/`: one directory a crate; `Cargo.lock` beside it.
    pub dir: PathBuf,
    /// What it was made from.
    pub digest: Digest,
    /// Whether it was there already.
    pub cached: bool,
}

/// Change when what is fetched for the same manifests changes.
const VERSION: u32 = 1;

impl Fetched {
    /// The crates.
    pub fn crates(&self) -> PathBuf {
        self.dir.join("vendor")
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("Cargo.lock")
    }
}

/// Fetches what `inputs` need from the registries that the caller's Cargo configuration names, unless
/// the store has it. `line` sees Cargo's progress. Cargo verifies each crate against `Cargo.lock`.
///
/// A crate's version is never chosen here: Cargo keeps what the lock pins and only leaves out what the
/// reduced workspace does not need.
pub fn fetch(
    inputs: &Inputs,
    toolchain: &Toolchain,
    store: &Store,
    line: impl FnMut(&str),
) -> Result<Fetched, Error> {
    let digest =
        ActionKey::new("cargo-fetch", VERSION).input("manifests", &inputs.manifests_digest()).finish();
    if let Some(dir) = store.dir("crates", &digest) {
        return Ok(Fetched { dir, digest, cached: true });
    }
    let work = store.tempdir()?;
    let staged = work.path().join("workspace");
    inputs.stage(&staged)?;
    let finished = work.path().join("crates");
    fs::create_dir_all(&finished)?;
    let mut command = toolchain.host_cargo();
    command
        // Cargo looks for its configuration from here upwards, then in the caller's home.
        .current_dir(inputs.root())
        .args(["vendor", "--versioned-dirs", "--respect-source-config", "--manifest-path"])
        .arg(staged.join("Cargo.toml"))
        .arg(finished.join("vendor"))
        // Flags for the caller's own builds are nothing to us, and a target directory is not written.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    fs::process::run(command, line).map_err(Error::Fetch)?;
    // A workspace without dependencies leaves no directory.
    fs::create_dir_all(finished.join("vendor"))?;
    fs::copy(staged.join("Cargo.lock"), finished.join("Cargo.lock"))?;
    let dir = store.publish_dir("crates", &digest, &finished)?;
    Ok(Fetched { dir, digest, cached: false })
}
