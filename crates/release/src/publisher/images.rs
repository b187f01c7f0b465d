//! From images to targets.

use super::{Publisher, Roles, SignedBy, next};
use crate::{Error, Result, sha256};
use lazuli_delta::{BLOCK, frames, recipe, reuse};
use lazuli_fs as fs;
use lazuli_layout::manifest::{FORMAT, Full, Hex32, Manifest, Recipe, Root, Target, Uki};
use lazuli_layout::{Architecture, Version};
use lazuli_verity::Salt;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tough::TargetName;
use tough::schema::{Hashes, Target as TufTarget, Targets};

/// An image to be published. As JSON it is the `release.json` of a directory with the files of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {
    /// The product (`IMAGE_ID`).
    pub product: String,
    /// The version (`IMAGE_VERSION`).
    pub version: Version,
    /// The architecture.
    pub architecture: Architecture,
    /// The oldest version that a host which ran this one may ever run again.
    pub minimum_version: Version,
    /// The root image: erofs, whole blocks.
    pub root: PathBuf,
    /// The signed UKI.
    pub uki: PathBuf,
    /// Its file name on the ESP, without a boot counter.
    pub uki_file: String,
    /// The signed boot loader, if the release brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_boot: Option<PathBuf>,
}

impl Release {
    /// The name of the file that describes an image's directory.
    pub const FILE: &str = "release.json";

    /// Reads `release.json` of a directory. Relative paths in it are below the directory.
    pub fn load(directory: &Path) -> Result<Self> {
        let path = directory.join(Self::FILE);
        let mut release: Self = serde_json::from_slice(&fs::read(&path)?)
            .map_err(|e| Error::Publish(format!("{}: {e}", path.display())))?;
        release.root = directory.join(&release.root);
        release.uki = directory.join(&release.uki);
        release.systemd_boot = release.systemd_boot.map(|path| directory.join(path));
        Ok(release)
    }
}

/// The name of the target with the rollout plan of a release.
pub fn plan_name(product: &str, architecture: Architecture, version: &Version) -> String {
    format!("{product}-{architecture}-{version}.rollout.json")
}

/// How images are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From how many of the newest older releases recipes are made.
    pub recipes: usize,
    /// Blocks in a frame of the full image.
    pub frame_blocks: u64,
    /// zstd's level for the full image.
    pub level: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { recipes: 5, frame_blocks: frames::FRAME_BLOCKS, level: 19 }
    }
}

impl Publisher {
    /// Publishes releases: packs them, makes recipes from the last releases of the same product and architecture
    /// that the repository has, writes the targets, and then the metadata. Until the last write hosts see
    /// nothing of it; a call that was interrupted leaves targets that nothing lists. Returns the manifests.
    ///
    /// A release that is there already is an error: what a version is never changes.
    pub fn publish(&self, releases: &[Release], roles: &Roles, settings: &Settings) -> Result<Vec<Manifest>> {
        self.publish_with(releases, &[], roles, settings)
    }

    /// [`Publisher::publish`], and in the same write files that no manifest names: rollout plans under their
    /// [`plan_name`]. Those of the same name are replaced.
    pub fn publish_with(
        &self,
        releases: &[Release],
        files: &[(String, Vec<u8>)],
        roles: &Roles,
        settings: &Settings,
    ) -> Result<Vec<Manifest>> {
        let (mut targets, versions) = self.current(SignedBy::Newest)?;
        let mut releases: Vec<&Release> = releases.iter().collect();
        releases.sort_by(|a, b| a.version.cmp(&b.version));
        let manifests = releases
            .iter()
            .map(|release| self.add(release, &mut targets, settings))
            .collect::<Result<Vec<_>>>()?;
        for (name, bytes) in files {
            self.put(&mut targets, name, bytes)?;
        }
        targets.version = next(targets.version)?;
        targets.expires = self.expires(roles.targets.days)?;
        self.write_all(targets, Some(versions), roles)?;
        Ok(manifests)
    }

    /// Publishes any file under any name. No manifest names it, so hosts do not look at it by themselves; for
    /// metadata of other programs (a rollout's state), and for tests.
    pub fn publish_raw(&self, name: &str, bytes: &[u8], roles: &Roles) -> Result<Target> {
        let (mut targets, versions) = self.current(SignedBy::Newest)?;
        let target = self.put(&mut targets, name, bytes)?;
        targets.version = next(targets.version)?;
        targets.expires = self.expires(roles.targets.days)?;
        self.write_all(targets, Some(versions), roles)?;
        Ok(target)
    }

    /// Takes a release out of the metadata, so that no host takes it any more. Its files stay.
    pub fn withdraw(&self, name: &str, roles: &Roles) -> Result<()> {
        let (mut targets, versions) = self.current(SignedBy::Newest)?;
        let target = TargetName::new(name).map_err(|e| Error::Publish(format!("{name}: {e}")))?;
        if targets.remove_target(&target).is_none() {
            return Err(Error::Publish(format!("there is no manifest {name}")));
        }
        targets.version = next(targets.version)?;
        targets.expires = self.expires(roles.targets.days)?;
        self.write_all(targets, Some(versions), roles)
    }

    /// The manifests of the repository for a product and an architecture, oldest first.
    pub fn manifests(&self, product: &str, architecture: Architecture) -> Result<Vec<Manifest>> {
        let (targets, _) = self.current(SignedBy::Newest)?;
        self.manifests_in(&targets, product, architecture)
    }

    fn manifests_in(
        &self,
        targets: &Targets,
        product: &str,
        architecture: Architecture,
    ) -> Result<Vec<Manifest>> {
        let prefix = format!("{product}-{architecture}-");
        let mut manifests = Vec::new();
        for (name, target) in &targets.targets {
            let version =
                name.raw().strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".manifest.json"));
            if version.is_some_and(|version| version.parse::<Version>().is_ok()) {
                let mut digest = [0; 32];
                digest.copy_from_slice(target.hashes.sha256.get(..32).unwrap_or(&[0; 32]));
                let file = format!("{}.{}", Hex32(digest), name.raw());
                let path = self.directory.join("targets").join(file);
                let bytes = fs::read(&path)?;
                if sha256(&bytes) != Hex32(digest) {
                    return Err(Error::Publish(format!("{} is not what was signed", path.display())));
                }
                manifests.push(Manifest::parse(&bytes)?);
            }
        }
        manifests.sort_by(|a, b| a.version.cmp(&b.version));
        Ok(manifests)
    }

    fn add(&self, release: &Release, targets: &mut Targets, settings: &Settings) -> Result<Manifest> {
        let older = self.manifests_in(targets, &release.product, release.architecture)?;
        if older.iter().any(|manifest| manifest.version == release.version) {
            return Err(Error::Publish(format!(
                "{} {} is published already; a changed image needs a version of its own",
                release.product, release.version
            )));
        }
        let stem = format!("{}-{}-{}", release.product, release.architecture, release.version);
        let salt = Salt::of_product(&release.product);
        let bytes = fs::read(&release.root)?;
        let image = recipe::Image::new(&bytes, &salt)?;
        let (index, full) = frames::pack(&bytes, settings.frame_blocks, settings.level)?;
        let mut recipes = Vec::new();
        let bases = older.iter().filter(|m| m.version < release.version).rev().take(settings.recipes);
        for base in bases.filter(|base| base.root.salt.0 == *salt.as_bytes()) {
            let old_bytes = self.unpack(base)?;
            let old = recipe::Image::new(&old_bytes, &salt)?;
            if *old.root() != base.root.root_hash.0 {
                return Err(Error::Publish(format!("the published image of {} is damaged", base.version)));
            }
            let made = match recipe::build(&old, &image) {
                Ok(made) => made,
                // Hosts on that image reuse blocks, or take the full one.
                Err(lazuli_delta::Error::Image(reason)) => {
                    tracing::warn!(from = %base.version, reason, "no recipe");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let size = made.index.len() + made.payload.len();
            if size as u64 >= full.len() as u64 || old.root() == image.root() {
                continue;
            }
            let (index_size, index_sha256) = (made.index.len() as u64, sha256(&made.index));
            let name = format!("{stem}.from-{}.recipe", base.version);
            let file = [made.index, made.payload].concat();
            let target = self.put(targets, &name, &file)?;
            recipes.push(Recipe { base: base.root.root_hash, target, index_size, index_sha256 });
        }
        let mut salt_bytes = [0; 32];
        salt_bytes.copy_from_slice(salt.as_bytes().get(..32).unwrap_or(&[0; 32]));
        let manifest = Manifest {
            format: FORMAT,
            product: release.product.clone(),
            version: release.version.clone(),
            architecture: release.architecture,
            minimum_version: release.minimum_version.clone(),
            root: Root {
                size: bytes.len() as u64,
                blocks: image.blocks(),
                salt: Hex32(salt_bytes),
                root_hash: Hex32(*image.root()),
                sha256: sha256(&bytes),
            },
            uki: Uki {
                file: release.uki_file.clone(),
                target: self.put(targets, &format!("{stem}.uki.efi"), &fs::read(&release.uki)?)?,
            },
            systemd_boot: match &release.systemd_boot {
                Some(path) => {
                    Some(self.put(targets, &format!("{stem}.systemd-boot.efi"), &fs::read(path)?)?)
                }
                None => None,
            },
            full: Full {
                image: self.put(targets, &format!("{stem}.root.zst"), &full)?,
                index: self.put(targets, &format!("{stem}.root.index"), &index.to_bytes())?,
            },
            leaves: self.put(targets, &format!("{stem}.leaves"), &reuse::list(image.leaves()))?,
            recipes,
        };
        self.put(targets, &manifest.target_name(), &manifest.to_bytes()?)?;
        Ok(manifest)
    }

    /// Writes a target under its consistent name and lists it. It is on the disk when this returns.
    fn put(&self, targets: &mut Targets, name: &str, bytes: &[u8]) -> Result<Target> {
        let digest = sha256(bytes);
        let directory = self.directory.join("targets");
        fs::create_dir_all(&directory)?;
        fs::write_atomic(directory.join(format!("{digest}.{name}")), bytes, 0o644)?;
        let hashes = Hashes { sha256: digest.0.to_vec().into(), _extra: HashMap::new() };
        let target =
            TufTarget { length: bytes.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
        targets
            .add_target(TargetName::new(name).map_err(|e| Error::Publish(format!("{name}: {e}")))?, target);
        Ok(Target { name: name.to_owned(), size: bytes.len() as u64, sha256: digest })
    }

    /// The root image of a published release.
    fn unpack(&self, manifest: &Manifest) -> Result<Vec<u8>> {
        let file = |target: &Target| -> Result<Vec<u8>> {
            let path = self.directory.join("targets").join(format!("{}.{}", target.sha256, target.name));
            let bytes = fs::read(&path)?;
            if sha256(&bytes) == target.sha256 { Ok(bytes) } else { Err(damaged(&path)) }
        };
        let index = frames::Index::parse(&file(&manifest.full.index)?)?;
        Ok(index.unpack_all(&file(&manifest.full.image)?)?)
    }
}

fn damaged(path: &Path) -> Error {
    Error::Publish(format!("{} is damaged: restore it before publishing", path.display()))
}

// The manifest and the recipes count the same blocks.
const _: () = assert!(BLOCK == 4096);
