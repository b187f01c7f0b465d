//! From a configuration to a repository that can be asked.
//!
//! ```text
//! CACHE/ID/repomd.xml          as it was last believed, with its signature beside it
//! CACHE/ID/origin.json         where it came from and when it was last compared
//! CACHE/ID/DIGEST.index        see `index`
//! CACHE/ID/DIGEST.files        the same with every path
//! CACHE/store                  metadata parts and packages by content
//! STATE/ID.json                see `state`
//! ```
//!
//! Everything below CACHE may be removed at any time. What is found there is verified again each time: the
//! signature, the version and the expiry date of `repomd.xml`, which the index is bound to by digest.

use crate::error::{Error, Result};
use crate::index::Index;
use crate::lock::Lock;
use crate::repository::{Repository, reopen, with_part};
use crate::state::State;
use crate::{Remote, keys, mirrors, primary, trust};
use lazuli_fetch::Fetcher;
use lazuli_fs as fs;
use lazuli_repo::config::Expire;
use lazuli_repo::repomd::{MAX_REPOMD, MAX_SIGNATURE, PATH, SIGNATURE_PATH};
use lazuli_repo::{Lack, RepoConfig, Repomd, Verified};
use lazuli_rpm::KeyRing;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::OnceLock;

/// When the server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// When what is cached is older than `metadata_expire` says.
    IfOld,
    /// Now.
    Now,
    /// Not at all: what is cached must do.
    Cached,
}

/// Where cached metadata came from. Nothing depends on it but where to ask next.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Origin {
    checked: i64,
    bases: Vec<String>,
    #[serde(default)]
    keys: String,
}

/// `repomd.xml` and its signature.
struct Pair {
    repomd: Vec<u8>,
    signature: Option<Vec<u8>>,
}

/// Opens a repository.
pub(crate) fn open(remote: &Remote, config: &RepoConfig, freshness: Freshness) -> Result<Repository> {
    if !RepoConfig::is_id(&config.id) {
        return Err(Error::Id { id: config.id.clone() });
    }
    let dir = remote.cache.join(&config.id);
    fs::create_dir_all(&dir)?;
    let mut state = State::load(&remote.state, &config.id)?;
    let origin = origin(&dir);
    let cached = read_pair(&dir)?;
    let young = match config.metadata_expire {
        Expire::Never => true,
        Expire::After(limit) => {
            let age = remote.now - origin.checked;
            (0..i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)).contains(&age)
        }
    };
    let offline = remote.offline || freshness == Freshness::Cached;
    let (fetcher, key_fetcher) = (remote.fetcher(config), remote.key_fetcher(config));
    if let Some(pair) = &cached
        && (offline || (freshness == Freshness::IfOld && young))
    {
        let (keys, _) = keys::load(config, &key_fetcher, &mut state, Some(origin.keys.clone()), true)?;
        let judged = judge(remote, config, &keys, pair, &mut state);
        match judged {
            Ok(verified) => {
                let bases = origin.bases.clone();
                return finish(remote, config, keys, verified, bases, &dir, origin.checked);
            }
            // It is too old or was damaged: the server has better.
            Err(error) if !offline => tracing::debug!(%error, "cached metadata is not used"),
            Err(error) => return Err(error),
        }
    }
    if offline {
        return Err(Error::NotCached { repository: config.id.clone(), what: "its metadata".to_owned() });
    }
    let _lock = Lock::take(&remote.cache, &config.id)?;
    // Another process may have seen a newer version meanwhile.
    let mut state = State::load(&remote.state, &config.id)?;
    let (keys, from_network) = keys::load(config, &key_fetcher, &mut state, Some(origin.keys), false)?;
    let mut bases = mirrors::bases(config, &fetcher)?;
    let mut failure = None;
    for place in 0..bases.len() {
        match refresh(remote, config, &fetcher, &keys, &bases[place], &mut state) {
            Ok((pair, verified, base)) => {
                bases.remove(place);
                bases.insert(0, base);
                let repository = finish(remote, config, keys, verified, bases.clone(), &dir, remote.now)?;
                // Its parts are whole: now it counts, and is remembered before anybody uses it.
                state.save(&remote.state, &config.id)?;
                write_pair(&dir, &pair, &Origin { checked: remote.now, bases, keys: from_network })?;
                return Ok(repository);
            }
            Err(error) => {
                // The last failure is returned; of the others somebody should hear too.
                if place + 1 < bases.len() {
                    tracing::warn!("{}: {error}", bases[place]);
                }
                // What somebody tried to make us believe says more than that a mirror is down.
                let better = !matches!(error, Error::Fetch { .. });
                if failure.is_none() || better {
                    failure = Some(error);
                }
            }
        }
    }
    Err(failure.unwrap_or(Error::NoAddress { repository: config.id.clone() }))
}

/// Asks one mirror. Returns the base that parts and packages lie below as well.
fn refresh(
    remote: &Remote,
    config: &RepoConfig,
    fetcher: &Fetcher<'_>,
    keys: &KeyRing,
    base: &str,
    state: &mut State,
) -> Result<(Pair, Verified, String)> {
    let fetch = |source| Error::Fetch { repository: config.id.clone(), source };
    let get = |url: String, limit| fetcher.get_unpinned(&url, limit).map_err(fetch);
    let base = match config.snapshot {
        Some(id) => format!("{base}/{}", id.path()),
        None => base.to_owned(),
    };
    let mut attempt = 0;
    loop {
        let repomd = get(format!("{base}/{PATH}"), MAX_REPOMD)?;
        // Where the publisher keeps snapshots, signature and parts are taken from there: they never change,
        // so they fit, whatever is published meanwhile. Before the signature was checked this is a hint.
        let hint = Repomd::parse(&repomd).ok().and_then(|r| r.snapshot).filter(|_| config.snapshot.is_none());
        let home = hint.map_or_else(|| base.clone(), |id| format!("{base}/{}", id.path()));
        let signature = if config.requires(Lack::MetadataSignature) {
            match fetcher.get_unpinned(&format!("{home}/{SIGNATURE_PATH}"), MAX_SIGNATURE) {
                Ok(signature) => Some(signature),
                Err(lazuli_fetch::Error::NotFound(_)) => None,
                Err(source) => return Err(fetch(source)),
            }
        } else {
            None
        };
        let pair = Pair { repomd, signature };
        match judge(remote, config, keys, &pair, state) {
            Ok(verified) => return Ok((pair, verified, home)),
            // A publication between the two requests; once more.
            Err(Error::Metadata { source, .. })
                if attempt == 0 && matches!(*source, lazuli_repo::Error::Signature { .. }) =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn judge(
    remote: &Remote,
    config: &RepoConfig,
    keys: &KeyRing,
    pair: &Pair,
    state: &mut State,
) -> Result<Verified> {
    // Only what was believed changes what is remembered.
    let mut next = state.clone();
    let signature = pair.signature.as_deref();
    let verified = trust::check(config, keys, &pair.repomd, signature, &mut next, &remote.state, remote.now)?;
    *state = next;
    Ok(verified)
}

/// The repository with its index, which is made if it is not there.
fn finish(
    remote: &Remote,
    config: &RepoConfig,
    keys: KeyRing,
    verified: Verified,
    bases: Vec<String>,
    dir: &Path,
    checked: i64,
) -> Result<Repository> {
    let metadata = |source| Error::Metadata { repository: config.id.clone(), source: Box::new(source) };
    let digest = verified.repomd().part("primary").map_err(metadata)?.checksum;
    let path = dir.join(format!("{digest}.index"));
    let index = if let Some(index) = Index::open(&path, &digest)? {
        index
    } else {
        with_part(remote, config, &verified, &bases, "primary", |bytes| {
            primary::index(&verified, bytes, &config.id, &path, &digest)
        })?;
        let index = reopen(&path, &digest, &config.id)?;
        forget(dir, &verified);
        index
    };
    Ok(Repository {
        config: config.clone(),
        keys,
        verified,
        bases,
        dir: dir.to_owned(),
        checked,
        index,
        full: OnceLock::new(),
    })
}

/// Removes indices of older metadata.
fn forget(dir: &Path, verified: &Verified) {
    let keep: Vec<String> = verified.repomd().parts.values().map(|p| p.checksum.to_string()).collect();
    for path in fs::read_dir(dir).unwrap_or_default() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".index").or_else(|| name.strip_suffix(".files"));
        if stem.is_some_and(|stem| !keep.iter().any(|k| k == stem)) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn origin(dir: &Path) -> Origin {
    let bytes = fs::read(dir.join("origin.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn read_pair(dir: &Path) -> Result<Option<Pair>> {
    let read = |name: &str| match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    };
    let Some(repomd) = read("repomd.xml")? else { return Ok(None) };
    Ok(Some(Pair { repomd, signature: read("repomd.xml.asc")? }))
}

/// The signature first: if only one of the two gets there, they do not fit, and the server is asked again.
fn write_pair(dir: &Path, pair: &Pair, origin: &Origin) -> Result<()> {
    match &pair.signature {
        Some(signature) => fs::write_atomic(dir.join("repomd.xml.asc"), signature, 0o644)?,
        None => match fs::remove_file(dir.join("repomd.xml.asc")) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        },
    }
    fs::write_atomic(dir.join("repomd.xml"), &pair.repomd, 0o644)?;
    let text = serde_json::to_string(origin).unwrap_or_default();
    fs::write_atomic(dir.join("origin.json"), text, 0o644)?;
    Ok(())
}
