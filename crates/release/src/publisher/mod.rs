//! Making a repository, signing it, rotating its keys. Publishing images is in [`Publisher::publish`].
//!
//! Who may sign what is in the root metadata and nowhere else: a [`Roles`] says it once, when the repository is made
//! or when keys are rotated. Each call signs with those of the keys at hand that the role names, and fails, with
//! nothing written, if they are fewer than its threshold.
//!
//! # Root metadata
//!
//! A new root takes signatures of the threshold of the old root and of its own (section 6.1). It is collected in
//! `pending/N.root.json` beside `metadata/`, so that keys that are in different places, or that no program
//! reaches, can sign it one after the other: [`Publisher::pending_root`] says which bytes to sign, and
//! [`Publisher::attach`] takes the signatures. [`Publisher::commit_root`] puts it in its place once there are
//! enough.

mod images;

pub use images::{Release, Settings, plan_name};

use crate::key::{Key, verifies};
use crate::{Error, Result, SPEC_VERSION};
use jiff::Timestamp as Time;
use lazuli_fs as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{
    Hashes, Metafile, Role, RoleKeys, RoleType, Root, Signature, Signed, Snapshot, Targets, Timestamp,
};

const DAY: i64 = 86_400;

/// The roles of a repository (section 2.1).
pub const ROLES: [RoleType; 4] = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];

/// Which keys sign for one role, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RolePolicy {
    /// The names of the keys: of files, or identities in hexadecimal of keys that are elsewhere and that the root
    /// metadata has already.
    pub keys: Vec<String>,
    /// How many must sign.
    pub threshold: u64,
    /// For how many days what they sign is valid.
    pub days: i64,
}

/// Who may sign what. As JSON it is what `roles.json` holds beside the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Roles {
    /// Root: who may say who may sign.
    pub root: RolePolicy,
    /// Targets: which files there are.
    pub targets: RolePolicy,
    /// Snapshot: which targets metadata is current.
    pub snapshot: RolePolicy,
    /// Timestamp: that all this is still current.
    pub timestamp: RolePolicy,
}

impl Roles {
    /// For development: two root keys that must both sign, and one for each other role. A host hears within a
    /// week that somebody withholds updates from it.
    pub fn development() -> Self {
        let role = |keys: &[&str], days| RolePolicy {
            keys: keys.iter().map(ToString::to_string).collect(),
            threshold: keys.len() as u64,
            days,
        };
        Self {
            root: role(&["root-1", "root-2"], 365),
            targets: role(&["targets"], 90),
            snapshot: role(&["snapshot"], 90),
            timestamp: role(&["timestamp"], 7),
        }
    }

    fn of(&self, role: RoleType) -> &RolePolicy {
        match role {
            RoleType::Root => &self.root,
            RoleType::Snapshot => &self.snapshot,
            RoleType::Timestamp => &self.timestamp,
            _ => &self.targets,
        }
    }

    /// The names of all keys, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = ROLES.iter().flat_map(|role| self.of(*role).keys.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A time from seconds since 1970.
pub fn time(seconds: i64) -> Result<Time> {
    Time::from_second(seconds).map_err(|e| Error::Publish(format!("{seconds} is no time: {e}")))
}

/// Somebody who publishes.
#[derive(Debug)]
pub struct Publisher {
    directory: PathBuf,
    keys: Vec<Key>,
    now: Time,
    /// Root metadata that is trusted because it lies elsewhere than the repository.
    anchor: Option<Signed<Root>>,
}

/// By which root metadata what a repository has must be signed before it is signed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignedBy {
    /// The newest.
    Newest,
    /// Or the one before: a rotation puts the new root in its place before the rest is signed by its keys, and may
    /// be cut there.
    NewestOrBefore,
}

/// The versions of metadata that come after the targets.
#[derive(Debug, Clone, Copy)]
struct Versions {
    timestamp: NonZeroU64,
    snapshot: NonZeroU64,
}

impl Publisher {
    /// Works on the repository in `directory` with the keys that are at hand. `now` is the time from which
    /// validity is counted.
    pub fn new(directory: &Path, keys: Vec<Key>, now: Time) -> Self {
        Self { directory: directory.to_owned(), keys, now, anchor: None }
    }

    /// With root metadata that the publisher keeps beside the keys. The repository lies where others may write (a web
    /// server, a bucket): what is in it is signed anew only if its signatures lead back to this root.
    pub fn anchored(mut self, root: &[u8]) -> Result<Self> {
        let root: Signed<Root> =
            serde_json::from_slice(root).map_err(|e| Error::Publish(format!("the anchor: {e}")))?;
        self.anchor = Some(root);
        Ok(self)
    }

    /// Makes an empty repository: root, targets, snapshot, timestamp. There must not be one.
    pub fn create(&self, roles: &Roles) -> Result<()> {
        if self.newest_root()?.is_some() {
            return Err(Error::Publish(format!("{} is a repository already", self.directory.display())));
        }
        self.stage_root(&self.root_of(roles, one(1))?)?;
        self.commit_root()?;
        let targets = Targets::new(SPEC_VERSION.into(), one(1), self.expires(roles.targets.days)?);
        self.write_all(targets, None, roles)
    }

    /// Makes an empty repository that begins with root metadata that was made before: what images trust already.
    pub fn create_from(&self, root: &[u8], roles: &Roles) -> Result<()> {
        if self.newest_root()?.is_some() {
            return Err(Error::Publish(format!("{} is a repository already", self.directory.display())));
        }
        let root: Signed<Root> =
            serde_json::from_slice(root).map_err(|e| Error::Publish(format!("root metadata: {e}")))?;
        self.check_pending(&root)?;
        self.write(&format!("{}.root.json", root.signed.version), &root)?;
        let targets = Targets::new(SPEC_VERSION.into(), one(1), self.expires(roles.targets.days)?);
        self.write_all(targets, None, roles)
    }

    /// The newest root metadata, verified from the anchor on, or from the oldest that is there: each is signed by the
    /// one before and by itself.
    pub fn root(&self) -> Result<Signed<Root>> {
        self.roots().map(|(newest, _)| newest)
    }

    /// The newest root metadata and the one before, if that is not older than where the way begins.
    fn roots(&self) -> Result<(Signed<Root>, Option<Signed<Root>>)> {
        let versions = self.root_versions()?;
        let (Some(oldest), Some(newest)) = (versions.iter().min(), versions.iter().max()) else {
            return Err(Error::Publish(format!("{} is not a repository yet", self.directory.display())));
        };
        let read = |version: u64| self.read::<Signed<Root>>(&format!("{version}.root.json"));
        let checked = |root: &Signed<Root>, by: &Root, version: u64| {
            by.verify_role(root).map_err(|e| {
                Error::Publish(format!("{}: {e}", self.path(&format!("{version}.root.json")).display()))
            })
        };
        let mut root = match &self.anchor {
            Some(anchor) if anchor.signed.version.get() > *newest => {
                return Err(Error::Publish(format!(
                    "{} ends with root metadata {newest}, and the keys know {}: copy the missing N.root.json there",
                    self.directory.display(),
                    anchor.signed.version
                )));
            }
            Some(anchor) => anchor.clone(),
            None => {
                let first = read(*oldest)?;
                checked(&first, &first.signed, *oldest)?;
                first
            }
        };
        // Only one that was passed on the way counts as the one before: nothing vouches for an older file.
        let mut before = None;
        while root.signed.version.get() < *newest {
            let version = root.signed.version.get() + 1;
            let next = read(version)?;
            checked(&next, &root.signed, version)?;
            checked(&next, &next.signed, version)?;
            if next.signed.version.get() != version {
                return Err(Error::Publish(format!(
                    "{version}.root.json says version {}",
                    next.signed.version
                )));
            }
            before = Some(std::mem::replace(&mut root, next));
        }
        Ok((root, before))
    }

    /// Writes new root metadata with other keys, thresholds or dates, signed by what is at hand, and puts it in its
    /// place if that is enough; then everything else is signed by its new keys. Returns whether it was enough.
    pub fn rotate(&self, roles: &Roles) -> Result<bool> {
        let version = next(self.root()?.signed.version)?;
        self.stage_root(&self.root_of(roles, version)?)?;
        if !self.pending_is_complete()? {
            return Ok(false);
        }
        self.commit_root()?;
        self.refresh(roles)?;
        Ok(true)
    }

    /// Signs targets, snapshot and timestamp again with new dates; nothing that they list changes.
    pub fn refresh(&self, roles: &Roles) -> Result<()> {
        let (mut targets, versions) = self.current(SignedBy::NewestOrBefore)?;
        targets.version = next(targets.version)?;
        targets.expires = self.expires(roles.targets.days)?;
        self.write_all(targets, Some(versions), roles)
    }

    /// Signs the timestamp again with a new date, and nothing else: what a machine with one key does every day.
    pub fn refresh_timestamp(&self, roles: &Roles) -> Result<()> {
        let mut timestamp: Signed<Timestamp> = self.verified("timestamp.json", SignedBy::Newest)?;
        timestamp.signed.version = next(timestamp.signed.version)?;
        timestamp.signed.expires = self.expires(roles.timestamp.days)?;
        let signed = self.sign(&self.root()?.signed, timestamp.signed)?;
        self.write("timestamp.json", &signed).map(drop)
    }

    /// The root metadata that is being signed: its version, the bytes to sign, and the identities of the keys
    /// that have signed.
    pub fn pending_root(&self) -> Result<(u64, Vec<u8>, Vec<String>)> {
        let root = self.pending()?;
        let bytes = root.signed.canonical_form().map_err(json)?;
        let signed = root.signatures.iter().map(|s| hex(&s.keyid)).collect();
        Ok((root.signed.version.get(), bytes, signed))
    }

    /// Adds a signature that was made elsewhere to the pending root metadata. `key` is the key's identity in
    /// hexadecimal.
    pub fn attach(&self, key: &str, signature: Vec<u8>) -> Result<()> {
        let keyid: Decoded<Hex> =
            key.parse().map_err(|e| Error::Publish(format!("`{key}` is no identity: {e}")))?;
        let mut root = self.pending()?;
        let bytes = root.signed.canonical_form().map_err(json)?;
        let known = match self.newest_root()? {
            Some(_) => self.root()?.signed.keys.get(&keyid).cloned(),
            None => None,
        }
        .or_else(|| root.signed.keys.get(&keyid).cloned());
        match known {
            Some(public) if verifies(&public, &bytes, &signature) => {}
            Some(_) => return Err(Error::Publish(format!("that is not a signature of key {key}"))),
            None => {
                return Err(Error::Publish(format!(
                    "neither the old nor the new root metadata has a key {key}"
                )));
            }
        }
        root.signatures.retain(|s| s.keyid != keyid);
        root.signatures.push(Signature { keyid, sig: signature.into() });
        self.write_pending(&root)
    }

    /// Puts the pending root metadata in its place. It must have the signatures of both thresholds.
    pub fn commit_root(&self) -> Result<()> {
        let root = self.pending()?;
        self.check_pending(&root)?;
        let name = format!("{}.root.json", root.signed.version);
        self.write(&name, &root)?;
        fs::remove_file(self.pending_path())?;
        Ok(())
    }

    fn pending_is_complete(&self) -> Result<bool> {
        Ok(self.check_pending(&self.pending()?).is_ok())
    }

    fn check_pending(&self, root: &Signed<Root>) -> Result<()> {
        let enough = |by: &Root, which: &str| {
            by.verify_role(root).map_err(|e| {
                Error::Publish(format!("the new root metadata lacks signatures of the {which} root: {e}"))
            })
        };
        enough(&root.signed, "new")?;
        if self.newest_root()?.is_some() { enough(&self.root()?.signed, "old") } else { Ok(()) }
    }

    fn root_of(&self, roles: &Roles, version: NonZeroU64) -> Result<Root> {
        let (mut keys, mut role_keys) = (HashMap::new(), HashMap::new());
        // Keys that are not at hand may be known from before.
        let before = match self.newest_root()? {
            Some(_) => Some(self.root()?.signed),
            None => None,
        };
        for role in ROLES {
            let policy = roles.of(role);
            let mut keyids = Vec::new();
            for name in &policy.keys {
                let (id, key) = match self.keys.iter().find(|key| key.name() == name) {
                    Some(key) => (key.id()?, key.tuf()),
                    None => name
                        .parse::<Decoded<Hex>>()
                        .ok()
                        .and_then(|id| before.as_ref()?.keys.get(&id).map(|key| (id, key.clone())))
                        .ok_or_else(|| Error::Key {
                            name: name.clone(),
                            reason: "it is neither at hand nor in the root metadata".into(),
                        })?,
                };
                keys.insert(id.clone(), key);
                keyids.push(id);
            }
            let threshold = NonZeroU64::new(policy.threshold)
                .filter(|threshold| threshold.get() <= keyids.len() as u64)
                .ok_or_else(|| {
                    let count = keyids.len();
                    Error::Publish(format!("a threshold of {} of {count} keys of {role}", policy.threshold))
                })?;
            role_keys.insert(role, RoleKeys { keyids, threshold, _extra: HashMap::new() });
        }
        Ok(Root {
            spec_version: SPEC_VERSION.into(),
            consistent_snapshot: true,
            version,
            expires: self.expires(roles.root.days)?,
            keys,
            roles: role_keys,
            _extra: HashMap::new(),
        })
    }

    /// Signs new root metadata with every key at hand that the old or the new one names for it.
    fn stage_root(&self, root: &Root) -> Result<()> {
        let bytes = root.canonical_form().map_err(json)?;
        let mut may: Vec<Decoded<Hex>> =
            root.roles.get(&RoleType::Root).map(|r| r.keyids.clone()).unwrap_or_default();
        if self.newest_root()?.is_some() {
            may.extend(
                self.root()?.signed.roles.get(&RoleType::Root).map(|r| r.keyids.clone()).unwrap_or_default(),
            );
        }
        let signatures = self.signatures(&bytes, &may)?;
        self.write_pending(&Signed { signed: root.clone(), signatures })
    }

    fn signatures(&self, bytes: &[u8], may: &[Decoded<Hex>]) -> Result<Vec<Signature>> {
        let mut signatures = Vec::new();
        for key in &self.keys {
            let keyid = key.id()?;
            if may.contains(&keyid) && signatures.iter().all(|s: &Signature| s.keyid != keyid) {
                signatures.push(Signature { keyid, sig: key.sign(bytes)?.into() });
            }
        }
        Ok(signatures)
    }

    /// Signs metadata other than root with the keys at hand; too few are an error.
    fn sign<T: Role>(&self, root: &Root, role: T) -> Result<Signed<T>> {
        let bytes = role.canonical_form().map_err(json)?;
        let may = root.roles.get(&T::TYPE).map(|r| r.keyids.clone()).unwrap_or_default();
        let signed = Signed { signatures: self.signatures(&bytes, &may)?, signed: role };
        root.verify_role(&signed)
            .map_err(|e| Error::Publish(format!("the keys at hand cannot sign {}: {e}", T::TYPE)))?;
        Ok(signed)
    }

    /// Signs and writes targets, then snapshot, then timestamp. All are signed before the first is written.
    /// `before`: the versions that are there.
    fn write_all(&self, targets: Targets, before: Option<Versions>, roles: &Roles) -> Result<()> {
        let root = self.root()?.signed;
        let (timestamp_version, snapshot_version) = match before {
            Some(versions) => (next(versions.timestamp)?, next(versions.snapshot)?),
            None => (one(1), one(1)),
        };
        let targets_version = targets.version;
        let targets = self.sign(&root, targets)?;
        let mut snapshot =
            Snapshot::new(SPEC_VERSION.into(), snapshot_version, self.expires(roles.snapshot.days)?);
        snapshot.meta.insert("targets.json".into(), described(&bytes_of(&targets)?, targets_version));
        let snapshot = self.sign(&root, snapshot)?;
        let mut timestamp =
            Timestamp::new(SPEC_VERSION.into(), timestamp_version, self.expires(roles.timestamp.days)?);
        timestamp.meta.insert("snapshot.json".into(), described(&bytes_of(&snapshot)?, snapshot_version));
        let timestamp = self.sign(&root, timestamp)?;
        self.write(&format!("{targets_version}.targets.json"), &targets)?;
        self.write(&format!("{snapshot_version}.snapshot.json"), &snapshot)?;
        // The last write: until it is there, hosts see the old state as a whole.
        self.write("timestamp.json", &timestamp).map(drop)
    }

    /// The current targets metadata, as timestamp and snapshot name it, all of it verified: what is signed next is
    /// made of it.
    fn current(&self, by: SignedBy) -> Result<(Targets, Versions)> {
        let timestamp: Signed<Timestamp> = self.verified("timestamp.json", by)?;
        let missing = |what| Error::Publish(format!("{} does not name {what}", self.directory.display()));
        let meta = timestamp.signed.meta.get("snapshot.json").ok_or_else(|| missing("a snapshot"))?;
        let versions = Versions { timestamp: timestamp.signed.version, snapshot: meta.version };
        let snapshot: Signed<Snapshot> = self.named(&format!("{}.snapshot.json", meta.version), meta, by)?;
        let meta = snapshot.signed.meta.get("targets.json").ok_or_else(|| missing("targets"))?;
        let targets: Signed<Targets> = self.named(&format!("{}.targets.json", meta.version), meta, by)?;
        Ok((targets.signed, versions))
    }

    /// Metadata whose signatures hold.
    fn verified<T: Role + DeserializeOwned>(&self, name: &str, by: SignedBy) -> Result<Signed<T>> {
        let signed: Signed<T> = self.read(name)?;
        let (newest, before) = self.roots()?;
        let error = match newest.signed.verify_role(&signed) {
            Ok(()) => return Ok(signed),
            Err(error) => error,
        };
        let before = before.filter(|_| by == SignedBy::NewestOrBefore);
        if before.is_some_and(|root| root.signed.verify_role(&signed).is_ok()) {
            return Ok(signed);
        }
        Err(Error::Publish(format!(
            "{} is not signed as the root metadata says, and is not signed anew: {error}; after a rotation that was cut, \
             refresh",
            self.path(name).display()
        )))
    }

    /// The same, and it is the file that other metadata names.
    fn named<T: Role + DeserializeOwned>(
        &self,
        name: &str,
        meta: &Metafile,
        by: SignedBy,
    ) -> Result<Signed<T>> {
        let bytes = fs::read(self.path(name))?;
        let sha256 = meta.hashes.as_ref().map(|hashes| &hashes.sha256[..]);
        if sha256 != Some(&Sha256::digest(&bytes)[..]) {
            return Err(Error::Publish(format!(
                "{} is not the file that is named",
                self.path(name).display()
            )));
        }
        self.verified(name, by)
    }

    fn root_versions(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(self.directory.join("metadata")) {
            Err(e) if e.is_not_found() => return Ok(Vec::new()),
            entries => entries?,
        };
        let version = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".root.json")?.parse().ok();
        Ok(entries.iter().filter_map(version).collect())
    }

    fn newest_root(&self) -> Result<Option<u64>> {
        Ok(self.root_versions()?.into_iter().max())
    }

    fn expires(&self, days: i64) -> Result<Time> {
        time(self.now.as_second().saturating_add(days.saturating_mul(DAY)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("metadata").join(name)
    }

    fn pending_path(&self) -> PathBuf {
        self.directory.join("pending").join("root.json")
    }

    fn pending(&self) -> Result<Signed<Root>> {
        let path = self.pending_path();
        let bytes = fs::read(&path).map_err(|e| {
            if e.is_not_found() {
                Error::Publish("no root metadata is waiting for signatures".into())
            } else {
                e.into()
            }
        })?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Publish(format!("{}: {e}", path.display())))
    }

    fn write_pending(&self, root: &Signed<Root>) -> Result<()> {
        fs::create_dir_all(self.directory.join("pending"))?;
        Ok(fs::write_atomic(self.pending_path(), bytes_of(root)?, 0o644)?)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path(name);
        serde_json::from_slice(&fs::read(&path)?)
            .map_err(|e| Error::Publish(format!("{}: {e}", path.display())))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<Vec<u8>> {
        fs::create_dir_all(self.directory.join("metadata"))?;
        let bytes = bytes_of(value)?;
        fs::write_atomic(self.path(name), &bytes, 0o644)?;
        Ok(bytes)
    }
}

/// Metadata as a file: the same bytes each time, because the maps of `Value` are sorted.
fn bytes_of<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let value = serde_json::to_value(value).map_err(|e| Error::Publish(format!("metadata: {e}")))?;
    serde_json::to_vec(&value).map_err(|e| Error::Publish(format!("metadata: {e}")))
}

fn described(bytes: &[u8], version: NonZeroU64) -> Metafile {
    let sha256 = Sha256::digest(bytes).to_vec().into();
    Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(Hashes { sha256, _extra: HashMap::new() }),
        version,
        _extra: HashMap::new(),
    }
}

fn one(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
}

fn next(version: NonZeroU64) -> Result<NonZeroU64> {
    version.checked_add(1).ok_or_else(|| Error::Publish("there are no higher versions of metadata".into()))
}

fn json(error: impl std::fmt::Display) -> Error {
    Error::Publish(format!("metadata cannot be written: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
