//! Publishing: a directory that any static web server can serve, in which metadata and signature are never
//! caught in the middle of a change.
//!
//! ```text
//! pool/0123456789ab/bash-5.2-1.x86_64.rpm    packages of all snapshots, named by content; never changed
//! snapshots/1795300000/repodata/             one state of the metadata, signed; never changed
//! snapshots/1795300000/pool -> ../../pool    so that a snapshot is a whole repository by itself
//! snapshots/1795300000/lazuli.lock           what it was made from, if the publisher says so
//! snapshots/index.json                       which snapshots there are; for people, signed by nobody
//! repodata -> snapshots/1795300000/repodata  the pointer: the newest state
//! ```
//!
//! A client that knows nothing of this uses the directory (newest state) or `snapshots/ID` (that state, for
//! ever) as an ordinary repository. Between its two requests for `repodata/repomd.xml` and
//! `repodata/repomd.xml.asc` the pointer may move; then the signature does not fit and it has to try again.
//! A client that knows reads `repodata/repomd.xml`, takes the id of the snapshot from it (as a hint; nothing is
//! verified yet), and gets signature and parts below `snapshots/ID`, where nothing ever changes.
//!
//! # Crash rule
//!
//! Under a lock: packages first, then the snapshot under a temporary name, then its rename; then the file
//! system is flushed, and only then one rename moves the pointer, which is flushed in turn. At whatever point
//! the power fails the pointer leads to a whole snapshot, and what was left over is removed by the next run.
//! Pruning goes the other way round: a snapshot loses its name before its files go, packages go last.

use crate::error::{Error, Result};
use crate::href::Href;
use crate::package::Package;
use crate::read::{read_own, read_own_advisories};
use crate::snapshot::SnapshotId;
use crate::updateinfo::Advisory;
use crate::write::{Options, write_repository};
use lazuli_fs::{self as fs, Context as _};
use lazuli_rpm::Signer;
use rayon::prelude::*;
use rustix::fs::FlockOperation;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The directory of snapshots below the repository.
pub const SNAPSHOTS: &str = "snapshots";
/// The directory of packages below the repository and below each snapshot.
pub const POOL: &str = "pool";
/// The lock that a snapshot was made from, below the snapshot.
pub const LOCK: &str = "lazuli.lock";
/// Names that nobody uses yet or any more; removed by the next run.
const TEMPORARY: &str = ".new-";
/// How many digits of a package's digest name its directory. 48 bits: no two of a repository are alike.
const POOL_DIGITS: usize = 12;

/// What to publish.
pub struct Publication<'a> {
    /// The packages and the files they are in. Locations are given here, whatever the records say.
    pub packages: Vec<(Package, PathBuf)>,
    /// What the updates are for.
    pub advisories: Vec<Advisory>,
    /// What holds for the whole repository; see [`Options::content_tags`].
    pub content_tags: Vec<String>,
    /// See [`Options::distro_tags`].
    pub distro_tags: Vec<(Option<String>, String)>,
    /// The present, in seconds since the epoch.
    pub now: i64,
    /// How many seconds from now on the metadata may be believed. Publish again before they are over.
    pub lifetime: u64,
    /// The text of the lock that the packages were made from.
    pub lock: Option<&'a str>,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The id of the snapshot.
    pub snapshot: u64,
    /// When its metadata expires, in seconds since the epoch.
    pub expires: i64,
    /// All packages.
    pub packages: usize,
    /// Those that the pool did not have.
    pub added: usize,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Snapshots.
    pub snapshots: Vec<u64>,
    /// Packages that no snapshot names any more.
    pub packages: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Which snapshots stay. The newest and the one that the pointer leads to always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At least so many.
    pub count: usize,
    /// All that were made at this second since the epoch or later.
    pub since: i64,
}

/// Publishes a new snapshot below `base` and makes it the newest.
pub fn publish(base: &Path, publication: Publication<'_>, signer: &Signer) -> Result<Published> {
    for dir in [base.to_owned(), base.join(POOL), base.join(SNAPSHOTS)] {
        fs::create_dir_all(&dir)?;
    }
    let _lock = lock(base)?;
    sweep(base)?;
    let pointer = base.join("repodata");
    if pointer.is_dir() && !pointer.is_symlink() {
        return Err(Error::NotPublished { path: base.to_owned() });
    }
    // A revision is never used twice, not even if the clock goes back.
    let last = snapshots(base)?.last().map_or(0, |id| id.revision());
    let id = SnapshotId::new(u64::try_from(publication.now).unwrap_or(0).max(last + 1));
    let lifetime = i64::try_from(publication.lifetime).unwrap_or(i64::MAX);
    let expires = publication.now.saturating_add(lifetime);

    let (packages, added) = fill_pool(base, publication.packages)?;
    let parent = base.join(SNAPSHOTS);
    let fresh = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempdir_in(&parent)
        .at("create a temporary directory in", &parent)?;
    let options = Options {
        revision: i64::try_from(id.revision()).unwrap_or(i64::MAX),
        expires: Some(expires),
        snapshot: Some(id),
        content_tags: publication.content_tags,
        distro_tags: publication.distro_tags,
        advisories: publication.advisories,
    };
    write_repository(fresh.path(), &packages, &options, signer)?;
    fs::symlink(format!("../../{POOL}"), fresh.path().join(POOL))?;
    if let Some(lock) = publication.lock {
        fs::write(fresh.path().join(LOCK), lock)?;
        fs::set_mode(fresh.path().join(LOCK), 0o644)?;
    }
    fs::set_mode(fresh.path(), 0o755)?;
    fs::rename(fresh.path(), base.join(id.path()))?;
    let _now_named = fresh.keep();
    flush(base)?;

    let next = base.join(format!("{TEMPORARY}repodata"));
    fs::symlink(format!("{}/repodata", id.path()), &next)?;
    fs::rename(&next, &pointer)?;
    fs::sync_dir(base)?;
    write_index(base)?;
    tracing::debug!(snapshot = %id, packages = packages.len(), added, "published");
    Ok(Published { snapshot: id.revision(), expires, packages: packages.len(), added })
}

/// The snapshots below `base`, oldest first.
pub fn snapshots(base: &Path) -> Result<Vec<SnapshotId>> {
    let dir = base.join(SNAPSHOTS);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&dir)?;
    let names = entries.iter().filter_map(|path| path.file_name()?.to_str());
    let mut ids: Vec<SnapshotId> = names.filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The snapshot that the pointer leads to.
pub fn current(base: &Path) -> Result<Option<SnapshotId>> {
    let pointer = base.join("repodata");
    if !pointer.is_symlink() {
        return Ok(None);
    }
    let target = pointer.read_link().at("read", &pointer)?;
    let id = target.parent().and_then(|dir| dir.strip_prefix(SNAPSHOTS).ok()?.to_str()?.parse().ok());
    id.map(Some).ok_or_else(|| Error::NotPublished { path: base.to_owned() })
}

/// The advisories of a snapshot, to be carried over to the next one.
pub fn advisories(base: &Path, id: SnapshotId) -> Result<Vec<Advisory>> {
    read_own_advisories(&base.join(id.path()))
}

/// Removes old snapshots, and packages that none of the remaining ones names. If one of those cannot be read
/// no package is removed.
pub fn prune(base: &Path, keep: Keep) -> Result<Pruned> {
    let _lock = lock(base)?;
    sweep(base)?;
    let current = current(base)?;
    let mut pruned = Pruned::default();
    let all = snapshots(base)?;
    let old = all.iter().rev().skip(keep.count.max(1)).filter(|id| {
        Some(**id) != current && i64::try_from(id.revision()).is_ok_and(|made| made < keep.since)
    });
    for id in old {
        let gone = base.join(SNAPSHOTS).join(format!("{TEMPORARY}old-{id}"));
        fs::rename(base.join(id.path()), &gone)?;
        fs::sync_dir(base.join(SNAPSHOTS))?;
        fs::remove_dir_all(&gone)?;
        pruned.snapshots.push(id.revision());
    }
    pruned.snapshots.sort_unstable();
    write_index(base)?;
    let used: Vec<BTreeSet<Href>> = snapshots(base)?
        .par_iter()
        .map(|id| Ok(read_own(&base.join(id.path()))?.packages.into_iter().map(|p| p.location).collect()))
        .collect::<Result<_>>()?;
    for dir in fs::read_dir(base.join(POOL))? {
        let files = fs::read_dir(&dir)?;
        let mut left = files.len();
        for file in files {
            let names =
                [dir.file_name(), file.file_name()].map(|n| n.and_then(|n| n.to_str()).unwrap_or_default());
            let href = Href::new(&format!("{POOL}/{}/{}", names[0], names[1]))?;
            if !used.iter().any(|used| used.contains(&href)) {
                pruned.bytes += fs::symlink_metadata(&file)?.len();
                pruned.packages += 1;
                left -= 1;
                fs::remove_file(&file)?;
            }
        }
        if left == 0 {
            fs::remove_dir_all(&dir)?;
        }
    }
    Ok(pruned)
}

/// Waits for, and takes, the right to change what is below `base`; it ends with the value.
fn lock(base: &Path) -> Result<std::fs::File> {
    let path = base.join(".lock");
    let file = match fs::create_new(&path, 0o600) {
        Ok(file) => file,
        Err(_) => fs::open(&path)?,
    };
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(std::io::Error::from)
        .at("lock", &path)?;
    Ok(file)
}

/// Removes what an interrupted run left behind.
fn sweep(base: &Path) -> Result<()> {
    for dir in [base.to_owned(), base.join(SNAPSHOTS)] {
        for path in fs::read_dir(&dir)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(TEMPORARY) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// Sees to it that the pool has all packages, and tells the records where they are. Returns them and how many
/// were added.
fn fill_pool(base: &Path, packages: Vec<(Package, PathBuf)>) -> Result<(Vec<Package>, usize)> {
    let filled: Vec<(Package, bool)> = packages
        .into_par_iter()
        .map(|(mut package, file)| {
            let digest = package.checksum.to_string();
            let dir = format!("{POOL}/{}", &digest[..POOL_DIGITS]);
            package.location = Href::new(&format!("{dir}/{}", package.nevra.file_name()))?;
            let place = base.join(package.location.as_str());
            if fs::metadata(&place).is_ok_and(|there| there.len() == package.package_size) {
                return Ok((package, false));
            }
            let dir = base.join(dir);
            fs::create_dir_all(&dir)?;
            fs::set_mode(&dir, 0o755)?;
            place_file(base, &file, &place, &package)?;
            Ok((package, true))
        })
        .collect::<Result<_>>()?;
    let added = filled.iter().filter(|(_, added)| *added).count();
    Ok((filled.into_iter().map(|(package, _)| package).collect(), added))
}

/// Puts a package into the pool: as a hard link if nobody may write to the file (so is a blob of a store), a
/// web server may read it, and it is on the same file system; else as a copy. Either way it has its name only
/// when it is whole, and its content is checked.
fn place_file(base: &Path, file: &Path, place: &Path, package: &Package) -> Result<()> {
    let temporary = base.join(format!("{TEMPORARY}{}", package.checksum));
    let fit_to_share = fs::metadata(file)?.permissions().mode() & 0o666 == 0o444;
    if !fit_to_share || fs::hard_link(file, &temporary).is_err() {
        fs::copy(file, &temporary)?;
        fs::set_mode(&temporary, 0o644)?;
    }
    let mut bytes = Vec::new();
    fs::open(&temporary)?.read_to_end(&mut bytes).at("read", &temporary)?;
    let actual = lazuli_store::Digest::of(&bytes);
    if actual != package.checksum {
        let href = file.display().to_string();
        return Err(Error::Checksum { href, open: false, expected: package.checksum, actual });
    }
    Ok(fs::rename(&temporary, place)?)
}

/// Waits until everything on the file system below `base` would survive a power cut.
fn flush(base: &Path) -> Result<()> {
    let dir = fs::open(base)?;
    rustix::fs::syncfs(&dir).map_err(std::io::Error::from).at("flush the file system of", base)?;
    Ok(())
}

/// `snapshots/index.json`.
#[derive(Serialize)]
struct Index {
    format: u32,
    current: Option<u64>,
    /// Oldest first. An id is the second since the epoch at which the snapshot was made, or one more than its
    /// predecessor's.
    snapshots: Vec<u64>,
}

fn write_index(base: &Path) -> Result<()> {
    let index = Index {
        format: 1,
        current: current(base)?.map(SnapshotId::revision),
        snapshots: snapshots(base)?.into_iter().map(SnapshotId::revision).collect(),
    };
    let text = serde_json::to_string_pretty(&index).map_err(|e| Error::Serialise { source: e.into() })?;
    Ok(fs::write_atomic(base.join(SNAPSHOTS).join("index.json"), format!("{text}\n"), 0o644)?)
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
