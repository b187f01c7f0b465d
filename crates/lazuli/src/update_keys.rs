//! The keys that sign updates, and the root metadata that images trust them by.
//!
//! ```text
//! KEYS/update/NAME.ed25519, NAME.external    keys (see `lazuli_release::key`)
//! KEYS/update/roles.json                     who signs what; without it the development roles
//! KEYS/update/root.json                      the newest root metadata: what images bring
//! ```
//!
//! `root.json` comes before any repository: an image can be built, and trust what will be published, without one. Every
//! repository of these keys begins with it.

use anyhow::{Context as _, Result};
use lazuli_component::keys::Keys;
use lazuli_fs as fs;
use lazuli_release::key::Key;
use lazuli_release::publisher::{Publisher, Roles, time};
use std::path::{Path, PathBuf};

/// Where they are.
pub fn directory(keys: &Keys) -> PathBuf {
    keys.dir().join("update")
}

/// Where the root metadata is that images bring.
pub fn anchor_path(keys: &Path) -> PathBuf {
    keys.join("root.json")
}

/// Who signs what.
pub fn roles(keys: &Path) -> Result<Roles> {
    let path = keys.join("roles.json");
    if !path.exists() {
        return Ok(Roles::development());
    }
    serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())
}

/// The root metadata that images bring. The first time it is made, with development keys where none are.
pub fn anchor(keys: &Path) -> Result<Vec<u8>> {
    let path = anchor_path(keys);
    match fs::read(&path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let roles = roles(keys)?;
    let known = Key::load_all(keys)?;
    for name in roles.names() {
        // An identity in hexadecimal is a key that is elsewhere.
        let elsewhere = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !elsewhere && known.iter().all(|key| key.name() != name) {
            Key::generate(keys, &name)?;
            tracing::info!(name, directory = %keys.display(), "made an update key");
        }
    }
    let scratch = tempfile::tempdir().context("a temporary directory")?;
    let now = time(crate::workspace::now())?;
    Publisher::new(scratch.path(), Key::load_all(keys)?, now).create(&roles)?;
    let bytes = fs::read(scratch.path().join("metadata/1.root.json"))?;
    fs::write_atomic(&path, &bytes, 0o644)?;
    Ok(bytes)
}

/// Has images bring the newest root metadata of a repository from now on: what the publisher verified, not what lies there.
pub fn store_anchor(keys: &Path, publisher: &Publisher) -> Result<()> {
    let root = serde_json::to_vec(&publisher.root()?).context("the root metadata")?;
    Ok(fs::write_atomic(anchor_path(keys), root, 0o644)?)
}
