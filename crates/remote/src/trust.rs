//! Whether metadata may be believed.
//!
//! In this order, for metadata from the network and from the cache alike:
//!
//! 1. `repomd.xml` is signed by a key of this repository, and is of the snapshot that was asked for, if one was;
//! 2. its version is a number, not lower than the highest one seen, and one version has one content;
//! 3. it has an expiry date that has not passed.
//!
//! The parts are bound to it by size and SHA-256 (see [`lazuli_repo::Verified`]), so parts of two states
//! cannot be mixed. A protection is left out only where [`lazuli_repo::RepoConfig::lacks`] names it.

use crate::error::{Error, Result};
use crate::state::State;
use lazuli_repo::{Lack, RepoConfig, Repomd, Verified};
use lazuli_rpm::KeyRing;
use lazuli_store::Digest;
use std::path::Path;

/// Judges `repomd.xml` and its signature. `state` is brought up to date; the caller saves it before it uses
/// what this returns.
pub fn check(
    config: &RepoConfig,
    keys: &KeyRing,
    repomd: &[u8],
    signature: Option<&[u8]>,
    state: &mut State,
    state_dir: &Path,
    now: i64,
) -> Result<Verified> {
    let repository = || config.id.clone();
    let lacks = |what, lack| Error::Lacks { repository: repository(), what, lack };
    let metadata = |source| Error::Metadata { repository: repository(), source: Box::new(source) };
    // 1.
    let verified = match signature {
        Some(signature) if config.requires(Lack::MetadataSignature) => {
            Verified::check(repomd, signature, keys).map_err(metadata)?
        }
        None if config.requires(Lack::MetadataSignature) => {
            return Err(lacks("does not sign its metadata", Lack::MetadataSignature));
        }
        _ => Verified::unsigned(repomd).map_err(metadata)?,
    };
    let content: &Repomd = verified.repomd();
    if let Some(wanted) = config.snapshot
        && content.snapshot != Some(wanted)
    {
        let found = content.snapshot.map_or_else(|| "none".to_owned(), |id| id.to_string());
        return Err(Error::OtherSnapshot { repository: repository(), wanted, found });
    }
    // 2.
    let digest = Digest::of(repomd);
    match content.version() {
        // A fixed snapshot is old on purpose, and says nothing about what is newest.
        Some(version) if config.snapshot.is_none() => {
            let path = || State::path(state_dir, &config.id);
            if let Some(seen) = state.version.filter(|_| config.requires(Lack::Version)) {
                if version < seen {
                    return Err(Error::Replayed {
                        repository: repository(),
                        served: version,
                        seen,
                        state: path(),
                    });
                }
                if version == seen && state.repomd.is_some_and(|known| known != digest) {
                    return Err(Error::Forked { repository: repository(), version, state: path() });
                }
            }
            (state.version, state.repomd) = (Some(version), Some(digest));
        }
        None if config.requires(Lack::Version) => {
            return Err(lacks("gives its metadata no version", Lack::Version));
        }
        Some(_) | None => {}
    }
    // 3.
    match content.expires {
        Some(expires) if now >= expires && config.snapshot.is_none() => {
            return Err(Error::Expired { repository: repository(), seconds: now - expires });
        }
        None if config.requires(Lack::Expiry) => {
            return Err(lacks("gives its metadata no expiry date", Lack::Expiry));
        }
        _ => {}
    }
    Ok(verified)
}
