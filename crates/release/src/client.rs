//! A host's view of a repository.

use crate::state::Files;
use crate::transport::{MAX_ROOT, Passing, Roots};
use crate::{Error, Origin, Refusal, Result, block_on, sha256};
use jiff::Timestamp as Time;
use lazuli_fetch::Stream;
use lazuli_fs as fs;
use lazuli_layout::manifest::{Hex32, MAX_MANIFEST, Manifest, Target};
use lazuli_layout::{Architecture, Version};
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use tough::schema::{Root, Signed};
use tough::{IntoVec as _, Limits, Repository, RepositoryLoader, TargetName};

/// Root metadata that may follow on the one in the image.
const MAX_ROOT_UPDATES: u64 = 256;
/// The largest `timestamp.json` in bytes.
const MAX_TIMESTAMP: u64 = 64 << 10;
/// The largest `snapshot.json` in bytes.
const MAX_SNAPSHOT: u64 = 1 << 20;
/// The largest `targets.json` in bytes.
const MAX_TARGETS: u64 = 16 << 20;

/// What the names of scratch directories begin with.
const SCRATCH: &str = ".verify-";

/// Who asks. All of it comes from the running image, which dm-verity protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The product (`IMAGE_ID`).
    pub product: String,
    /// The architecture.
    pub architecture: Architecture,
    /// The running version (`IMAGE_VERSION`).
    pub running: Version,
    /// The minimum version that the running image brings.
    pub minimum: Version,
}

/// A repository as one host follows it.
#[derive(Debug)]
pub struct Client {
    origin: Origin,
    directory: PathBuf,
    files: Files,
    anchor: Vec<u8>,
    host: Host,
}

impl Client {
    /// Follows `origin`. `directory` keeps what is remembered (`/var/lib/lazuli/update`); `anchor` is the root
    /// metadata that the image brings.
    pub fn new(origin: Origin, directory: &Path, anchor: Vec<u8>, host: Host) -> Self {
        Self { origin, directory: directory.to_owned(), files: Files::new(directory), anchor, host }
    }

    /// The oldest version that may be taken: what the image brings, or what was stored if that is higher.
    pub fn minimum(&self) -> Result<Version> {
        let stored = self.files.minimum()?;
        Ok(stored.map_or_else(|| self.host.minimum.clone(), |stored| stored.max(self.host.minimum.clone())))
    }

    /// See [`raise_minimum`].
    pub fn raise_minimum(&self, version: &Version) -> Result<()> {
        self.files.raise_minimum(version)
    }

    /// Removes scratch directories that a killed process left behind. Only one process may follow a repository
    /// with the same directory at a time; the agent sees to that.
    fn clear_scratch(&self) -> Result<()> {
        for path in fs::read_dir(&self.directory)? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SCRATCH)) {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Fetches and verifies the metadata (section 5), remembers it, and returns what it lists. On any error
    /// nothing that is remembered has changed.
    pub fn refresh(&self) -> Result<Catalogue> {
        let minimum = self.minimum()?;
        let anchor: Signed<Root> = serde_json::from_slice(&self.anchor)
            .map_err(|e| Error::Other(format!("the root metadata of the image cannot be read: {e}")))?;
        let state = self.files.load(&anchor)?;
        fs::create_dir_all(&self.directory)?;
        // `tough` works in a directory of its own, which is thrown away: it writes in place, and takes what it
        // cannot read there for absent.
        self.clear_scratch()?;
        let scratch = tempfile::Builder::new()
            .prefix(SCRATCH)
            .tempdir_in(&self.directory)
            .map_err(|e| fs::Error::new("make a directory in", &self.directory, e))?;
        let json = |e: serde_json::Error| Error::Other(format!("metadata cannot be written: {e}"));
        let mut trusted = self.anchor.clone();
        let mut roots = Vec::new();
        if let Some(state) = &state {
            fs::write(
                scratch.path().join("timestamp.json"),
                serde_json::to_vec(&state.timestamp).map_err(json)?,
            )?;
            fs::write(
                scratch.path().join("snapshot.json"),
                serde_json::to_vec(&state.snapshot).map_err(json)?,
            )?;
            fs::write(
                scratch.path().join("targets.json"),
                serde_json::to_vec(&state.targets).map_err(json)?,
            )?;
            fs::write(
                scratch.path().join("latest_known_time.json"),
                serde_json::to_vec(&state.time).map_err(json)?,
            )?;
            roots.clone_from(&state.roots);
            if let Some(newest) = roots.last().filter(|newest| newest.signed.version > anchor.signed.version)
            {
                trusted = serde_json::to_vec(newest).map_err(json)?;
            }
        }
        let passed = Roots::default();
        let transport = Passing { origin: self.origin.clone(), roots: passed.clone() };
        let (metadata, targets) = (self.origin.directory("metadata")?, self.origin.directory("targets")?);
        let limits = Limits {
            max_root_size: MAX_ROOT,
            max_targets_size: MAX_TARGETS,
            max_timestamp_size: MAX_TIMESTAMP,
            max_snapshot_size: MAX_SNAPSHOT,
            max_root_updates: MAX_ROOT_UPDATES,
        };
        let loading = RepositoryLoader::new(&trusted, metadata, targets)
            .transport(transport)
            .limits(limits)
            .datastore(scratch.path())
            .load();
        let repository = block_on(loading)??;

        // The roots on the way to the newest, for the state to verify itself by.
        // The anchor is one of them: the image before, to which this host may return, has an older one.
        if roots.last().is_none_or(|newest| newest.signed.version < anchor.signed.version) {
            let follows = |root: &Signed<Root>| root.signed.version.get() + 1 == anchor.signed.version.get();
            if !roots.last().is_some_and(follows) {
                roots.clear();
            }
            roots.push(anchor.clone());
        }
        let mut version = roots.last().unwrap_or(&anchor).signed.version.get();
        while version < repository.root().signed.version.get() {
            version += 1;
            let passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = passed.get(&format!("{version}.root.json")).map_or(&[][..], Vec::as_slice);
            let root = serde_json::from_slice(bytes)
                .map_err(|e| Error::refused(Refusal::Damaged, format!("root metadata {version}: {e}")))?;
            roots.push(root);
        }
        self.files.save(
            roots,
            repository.timestamp().clone(),
            repository.snapshot().clone(),
            repository.targets().clone(),
            Time::now(),
        )?;
        Ok(Catalogue {
            repository,
            origin: self.origin.clone(),
            host: self.host.clone(),
            minimum,
            _scratch: scratch,
        })
    }
}

/// Raises the minimum version that `directory` remembers: to be called once a release is kept (blessed), with the one that
/// its manifest or its image says. A lower one changes nothing.
pub fn raise_minimum(directory: &Path, version: &Version) -> Result<()> {
    Files::new(directory).raise_minimum(version)
}

/// What a repository lists, verified.
#[derive(Debug)]
pub struct Catalogue {
    repository: Repository,
    origin: Origin,
    host: Host,
    minimum: Version,
    /// Where `tough` keeps the time between two looks; goes with the catalogue.
    _scratch: tempfile::TempDir,
}

impl Catalogue {
    /// The releases for this host's product and architecture, oldest first.
    pub fn versions(&self) -> Vec<Version> {
        let prefix = format!("{}-{}-", self.host.product, self.host.architecture);
        let mut versions: Vec<Version> = self
            .repository
            .all_targets()
            .filter_map(|(name, _)| {
                name.raw().strip_prefix(&prefix)?.strip_suffix(".manifest.json")?.parse().ok()
            })
            .collect();
        versions.sort();
        versions
    }

    /// The newest release, if it is newer than the running one.
    pub fn newest(&self) -> Result<Option<Manifest>> {
        let Some(newest) = self.versions().pop() else {
            return Err(Error::Nothing(format!(
                "{} has no release of {} for {}",
                self.origin, self.host.product, self.host.architecture
            )));
        };
        if newest > self.host.running {
            self.manifest(&newest).map(Some)
        } else {
            self.floor(&newest).map(|()| None)
        }
    }

    /// Refuses what is below the minimum version.
    fn floor(&self, version: &Version) -> Result<()> {
        if *version < self.minimum {
            let detail = format!("it offers {version}, and {} is the oldest that may be run", self.minimum);
            return Err(Error::refused(Refusal::BelowMinimum, detail));
        }
        Ok(())
    }

    /// The manifest of a release.
    pub fn manifest(&self, version: &Version) -> Result<Manifest> {
        self.floor(version)?;
        let name = format!("{}-{}-{version}.manifest.json", self.host.product, self.host.architecture);
        let target = TargetName::new(&name).map_err(Error::from)?;
        let length = self
            .repository
            .targets()
            .signed
            .find_target(&target, false)
            .map_err(|_| Error::Nothing(format!("{} does not have version {version}", self.origin)))?
            .length;
        if length > MAX_MANIFEST {
            return Err(Error::refused(Refusal::EndlessData, format!("{name} has {length} bytes")));
        }
        let bytes = block_on(async {
            match self.repository.read_target(&target).await? {
                Some(stream) => stream.into_vec().await.map(Some),
                None => Ok(None),
            }
        })?
        .map_err(Error::from)?
        .unwrap_or_default();
        if (bytes.len() as u64) < length {
            let detail = format!("{name} ended after {} of {length} bytes", bytes.len());
            return Err(Error::refused(Refusal::Damaged, detail));
        }
        let manifest = Manifest::parse(&bytes)?;
        if manifest.target_name() != name {
            let detail = format!("{name} is the manifest of {}", manifest.target_name());
            return Err(Error::refused(Refusal::MixAndMatch, detail));
        }
        for target in manifest.targets() {
            self.listed(target)?;
        }
        Ok(manifest)
    }

    /// A file that no manifest names, verified: the rollout plan of a release
    /// ([`plan_name`](crate::publisher::plan_name)). `None` if the metadata does not list it.
    pub fn file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let target = TargetName::new(name).map_err(Error::from)?;
        let Ok(found) = self.repository.targets().signed.find_target(&target, false) else { return Ok(None) };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(found.hashes.sha256.get(..32).unwrap_or(&[0; 32]));
        let target = Target { name: name.to_owned(), size: found.length, sha256: Hex32(sha256) };
        self.read(&target, limit).map(Some)
    }

    /// Refuses a target that the metadata lists otherwise than the manifest, or not at all.
    fn listed(&self, target: &Target) -> Result<()> {
        let mixed = |what: String| Err(Error::refused(Refusal::MixAndMatch, what));
        let name = TargetName::new(&target.name).map_err(Error::from)?;
        match self.repository.targets().signed.find_target(&name, false) {
            Ok(found) if found.length == target.size && found.hashes.sha256[..] == target.sha256.0 => Ok(()),
            Ok(_) => mixed(format!("{} is another file in the metadata than in the manifest", target.name)),
            Err(_) => mixed(format!("{} is in the manifest and not in the metadata", target.name)),
        }
    }

    /// Opens a part of a target. What arrives is not verified.
    pub(crate) fn open(&self, target: &Target, range: Range<u64>) -> Result<Stream> {
        self.origin.open_target(&format!("{}.{}", target.sha256, target.name), range)
    }

    /// Reads a target of at most `limit` bytes as a whole, verified.
    pub fn read(&self, target: &Target, limit: u64) -> Result<Vec<u8>> {
        if target.size > limit {
            let detail = format!("{} has {} bytes, above the limit {limit}", target.name, target.size);
            return Err(Error::refused(Refusal::EndlessData, detail));
        }
        self.read_part(target, 0..target.size, &target.sha256)
    }

    /// Reads a part of a target whose SHA-256 is known.
    pub(crate) fn read_part(
        &self,
        target: &Target,
        range: Range<u64>,
        digest: &lazuli_layout::manifest::Hex32,
    ) -> Result<Vec<u8>> {
        let size = range.end - range.start;
        // One more tells whether there is more than was promised.
        let whole = range.end == target.size;
        let mut bytes = Vec::new();
        self.open(target, range.start..range.end + u64::from(whole))?
            .take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::Other(format!("{}: {e}", target.name)))?;
        let name = &target.name;
        if bytes.len() as u64 > size {
            return Err(Error::refused(Refusal::EndlessData, format!("{name} goes on after {size} bytes")));
        }
        if (bytes.len() as u64) < size {
            let detail = format!("{name} ended after {} of {size} bytes", bytes.len());
            return Err(Error::refused(Refusal::Damaged, detail));
        }
        if sha256(&bytes) != *digest {
            return Err(Error::refused(
                Refusal::Altered,
                format!("{name} does not have the SHA-256 that was signed"),
            ));
        }
        Ok(bytes)
    }
}
