//! The manifest of a release: what a host must know of a new image, and where its parts are.
//!
//! A JSON file that the update repository signs as a target (see `lazuli-release`). It is small: everything
//! large is another target that it names with size and SHA-256. A field that is not known is an error, so that
//! a host never passes over something that was meant to hold it back; [`FORMAT`] says when that changes.
//!
//! # What it says
//!
//! | field | content |
//! |---|---|
//! | `format` | 1 |
//! | `product`, `version`, `architecture` | which image it is |
//! | `minimum-version` | the oldest version that a host which ran this one may ever run again |
//! | `root` | the root image: `size` in bytes, `blocks` of 4096 bytes, verity `salt` and `root-hash`, `sha256` of the data |
//! | `uki` | the unified kernel image: `file` (name on the ESP without a boot counter), `target` |
//! | `systemd-boot` | optional: the boot loader, a target |
//! | `full` | the whole root image: `image`, a target of zstd frames, and `index`, the target that says where they are |
//! | `leaves` | a target of the first 8 bytes of each block's verity digest |
//! | `recipes` | each: `base`, the root hash that it starts from; `target`; `index-size` and `index-sha256` of its first bytes |
//!
//! A target is `name`, `size` in bytes and `sha256`. Hash tree and verity superblock are in no target: hosts
//! make them of the data.

use crate::{Architecture, UkiName, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The format that this crate reads and writes.
pub const FORMAT: u32 = 1;

/// The largest manifest that is read, in bytes.
pub const MAX_MANIFEST: u64 = 256 << 10;
/// The largest root image in bytes.
pub const MAX_ROOT: u64 = 64 << 30;
/// The largest UKI and the largest boot loader in bytes.
pub const MAX_EFI: u64 = 512 << 20;
/// The largest index of a recipe in bytes.
pub const MAX_RECIPE_INDEX: u64 = 1 << 20;
/// The largest index of the full image in bytes.
pub const MAX_FULL_INDEX: u64 = 8 << 20;
/// How many recipes a release may have.
pub const MAX_RECIPES: usize = 256;

const BLOCK: u64 = 4096;
const LEAF: u64 = 8;

/// 32 bytes in hexadecimal: a SHA-256, a verity root hash, a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex32(pub [u8; 32]);

impl FromStr for Hex32 {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let bad = || ManifestError::new("a digest is not 64 lower-case hexadecimal digits");
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(bad());
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(bad()),
        };
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Hex32 {
    type Error = ManifestError;

    fn try_from(text: String) -> Result<Self, ManifestError> {
        text.parse()
    }
}

impl From<Hex32> for String {
    fn from(hex: Hex32) -> Self {
        hex.to_string()
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A manifest that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest of the release is not valid: {0}")]
pub struct ManifestError(String);

impl ManifestError {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A file of the update repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// Its name there: letters, digits and `. _ -`, and no slash.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Hex32,
}

/// The root image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Root {
    /// Its size in bytes.
    pub size: u64,
    /// Its size in blocks of 4096 bytes.
    pub blocks: u64,
    /// The salt of its verity tree: the product's.
    pub salt: Hex32,
    /// The root hash of its verity tree.
    pub root_hash: Hex32,
    /// The SHA-256 of its bytes.
    pub sha256: Hex32,
}

/// The unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Uki {
    /// Its file name on the ESP, without a boot counter.
    pub file: String,
    /// Where it is.
    pub target: Target,
}

/// The root image as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Full {
    /// Its zstd frames.
    pub image: Target,
    /// The index of the frames.
    pub index: Target,
}

/// How the root image is made of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// The verity root hash of the older one.
    pub base: Hex32,
    /// Where it is.
    pub target: Target,
    /// The size of its index, with which it begins, in bytes.
    pub index_size: u64,
    /// The SHA-256 of its index.
    pub index_sha256: Hex32,
}

/// The manifest of a release. [`Manifest::parse`] is the way to one from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The product: os-release's `IMAGE_ID`.
    pub product: String,
    /// The version: os-release's `IMAGE_VERSION`.
    pub version: Version,
    /// The architecture.
    pub architecture: Architecture,
    /// The oldest version that a host which ran this one may ever run again.
    pub minimum_version: Version,
    /// The root image.
    pub root: Root,
    /// The unified kernel image.
    pub uki: Uki,
    /// The boot loader, if the release brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_boot: Option<Target>,
    /// The whole root image.
    pub full: Full,
    /// The short leaf hashes.
    pub leaves: Target,
    /// Recipes from older images.
    pub recipes: Vec<Recipe>,
}

/// Only this, to tell a newer format from a damaged file.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Manifest {
    /// Reads a manifest and holds everything that it says against its limits and itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(ManifestError::new(format!(
                "{} bytes are above the limit {MAX_MANIFEST}",
                bytes.len()
            )));
        }
        let json = |error: serde_json::Error| ManifestError::new(error.to_string());
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(ManifestError::new(format!(
                "its format is {format}, and this program knows {FORMAT}; update in steps, or this program first"
            )));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| ManifestError::new(e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The usual name of a manifest as a target. One release of one product and architecture has one.
    pub fn target_name(&self) -> String {
        format!("{}-{}-{}.manifest.json", self.product, self.architecture, self.version)
    }

    /// The recipe for a host that runs the image with this root hash.
    pub fn recipe(&self, base: &Hex32) -> Option<&Recipe> {
        self.recipes.iter().find(|recipe| recipe.base == *base)
    }

    /// All targets that it names.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        [&self.uki.target, &self.full.image, &self.full.index, &self.leaves]
            .into_iter()
            .chain(&self.systemd_boot)
            .chain(self.recipes.iter().map(|recipe| &recipe.target))
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |reason: String| Err(ManifestError::new(reason));
        if !good_name(&self.product, 64) {
            return bad(format!("the product `{}` has odd characters", self.product.escape_debug()));
        }
        if self.minimum_version > self.version {
            return bad(format!(
                "its minimum version {} is above its own version {}",
                self.minimum_version, self.version
            ));
        }
        let root = &self.root;
        if root.size == 0 || root.size > MAX_ROOT || root.size != root.blocks.saturating_mul(BLOCK) {
            return bad(format!(
                "a root image of {} bytes in {} blocks is not possible",
                root.size, root.blocks
            ));
        }
        match self.uki.file.parse::<UkiName>() {
            Ok(name) if name.counter.is_none() && name.version == self.version.as_str() => {}
            _ => return bad(format!("`{}` is not the name of its UKI", self.uki.file.escape_debug())),
        }
        if self.leaves.size != root.blocks * LEAF {
            return bad(format!(
                "{} bytes of leaf hashes do not list {} blocks",
                self.leaves.size, root.blocks
            ));
        }
        let limits = [
            (&self.uki.target, MAX_EFI),
            (&self.full.image, root.size + root.size / 8 + (1 << 20)),
            (&self.full.index, MAX_FULL_INDEX),
        ];
        let recipes = self.recipes.iter().map(|recipe| (&recipe.target, root.size));
        for (target, limit) in
            limits.into_iter().chain(self.systemd_boot.as_ref().map(|t| (t, MAX_EFI))).chain(recipes)
        {
            if target.size == 0 || target.size > limit {
                return bad(format!("{}: {} bytes are not within 1 and {limit}", target.name, target.size));
            }
        }
        if self.recipes.len() > MAX_RECIPES {
            return bad(format!("more than {MAX_RECIPES} recipes"));
        }
        for recipe in &self.recipes {
            if recipe.index_size == 0 || recipe.index_size > MAX_RECIPE_INDEX.min(recipe.target.size) {
                return bad(format!("{}: an index of {} bytes", recipe.target.name, recipe.index_size));
            }
        }
        let mut names = BTreeSet::new();
        for target in self.targets() {
            if !good_name(&target.name, 200) {
                return bad(format!("`{}` is not the name of a target", target.name.escape_debug()));
            }
            if !names.insert(&target.name) {
                return bad(format!("two targets have the name {}", target.name));
            }
        }
        let bases: BTreeSet<&Hex32> = self.recipes.iter().map(|recipe| &recipe.base).collect();
        if bases.len() != self.recipes.len() {
            return bad("two recipes start from the same image".into());
        }
        Ok(())
    }
}

/// A name that is a file name everywhere, and nothing else.
fn good_name(name: &str, longest: usize) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= longest
        && name.bytes().all(good)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
