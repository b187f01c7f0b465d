//! Who this machine is for an update repository: what the running image says of itself, and what it brings.
//!
//! ```text
//! /usr/lib/os-release                            IMAGE_ID, the product
//! /usr/share/lazuli/update/root.json             TUF root metadata by which updates are trusted
//! /usr/share/lazuli/update/minimum-version       the oldest version that may be run again
//! /etc/machine-id                                from which the host id is made (`lazuli_rollout::HostId`)
//! ```
//!
//! The first three lie under dm-verity: who can change them has changed the image.

use crate::settings::Settings;
use crate::{Error, Result};
use lazuli_layout::{Architecture, Version};
use lazuli_rollout::{HostId, MachineId, Release};
use std::path::{Path, PathBuf};

const OS_RELEASE: &str = "usr/lib/os-release";
const ANCHOR: &str = "usr/share/lazuli/update/root.json";
const MINIMUM: &str = "usr/share/lazuli/update/minimum-version";
const MACHINE_ID: &str = "etc/machine-id";

/// The architecture that this program was compiled for.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: Architecture = Architecture::Arm64;
/// The architecture that this program was compiled for.
#[cfg(not(target_arch = "aarch64"))]
pub const ARCHITECTURE: Architecture = Architecture::X86_64;

/// A machine and its running image.
#[derive(Debug, Clone)]
pub struct Identity {
    root: PathBuf,
    /// The product.
    pub product: String,
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Settings { path: path.display().to_string(), reason: reason.to_string() }
}

/// The product that os-release names.
fn image_id(root: &Path) -> Result<String> {
    let path = root.join(OS_RELEASE);
    let text = lazuli_fs::read_to_string(&path)?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("IMAGE_ID="));
    line.map(|id| id.trim_matches('"').to_owned())
        .ok_or_else(|| wrong(&path, "it has no IMAGE_ID; only systems that are updated as a whole have one"))
}

impl Identity {
    /// Reads it from a root.
    pub fn load(root: &Path, settings: &Settings) -> Result<Self> {
        let product = match &settings.product {
            Some(product) => product.clone(),
            None => image_id(root)?,
        };
        Ok(Self { root: root.to_owned(), product })
    }

    /// The root metadata that the image brings.
    pub fn anchor(&self) -> Result<Vec<u8>> {
        let path = self.root.join(ANCHOR);
        lazuli_fs::read(&path).map_err(|error| {
            if error.is_not_found() {
                wrong(&path, "the image brings no keys that updates could be trusted by")
            } else {
                error.into()
            }
        })
    }

    /// The oldest version that may be run again, as the image says; without a word of it, any.
    pub fn minimum(&self) -> Result<Version> {
        let path = self.root.join(MINIMUM);
        match lazuli_fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|e| wrong(&path, e)),
            Err(error) if error.is_not_found() => "0".parse().map_err(|e| wrong(&path, e)),
            Err(error) => Err(error.into()),
        }
    }

    /// What the machine is called in reports, and by which its turn is found.
    pub fn host(&self) -> Result<HostId> {
        let path = self.root.join(MACHINE_ID);
        let machine: MachineId = lazuli_fs::read_to_string(&path)?.parse().map_err(|e| wrong(&path, e))?;
        Ok(HostId::of(machine))
    }

    /// A release of this product.
    pub fn release(&self, version: &str) -> Result<Release> {
        Release::new(&self.product, version).map_err(|e| wrong(&self.root.join(OS_RELEASE), e))
    }
}
