//! The keys of a repository: those that its `gpgkey` names and no others.
//!
//! Keys from this machine are as trustworthy as its other files. Keys from the network have to come over
//! HTTPS, and their fingerprints are pinned when they are first seen: a server that shows others later is
//! refused until somebody says otherwise.

use crate::error::{Error, Result};
use crate::state::State;
use lazuli_fetch::Fetcher;
use lazuli_repo::RepoConfig;
use lazuli_rpm::KeyRing;

/// The largest file of keys in bytes.
const MAX_KEYS: u64 = 1 << 20;

/// Reads the keys; `state` remembers those from the network. `cached` holds the armored text of a former
/// call, which is used instead of the network where `offline`, and where the network does not answer.
pub fn load(
    config: &RepoConfig,
    fetcher: &Fetcher<'_>,
    state: &mut State,
    cached: Option<String>,
    offline: bool,
) -> Result<(KeyRing, String)> {
    let fail = |address: &str, reason: String| Error::Key {
        repository: config.id.clone(),
        address: address.to_owned(),
        reason,
    };
    let (mut local, mut remote) = (String::new(), String::new());
    let cached = cached.filter(|text| !text.is_empty());
    let mut use_cached = offline;
    for address in &config.gpg_keys {
        let lower = address.to_ascii_lowercase();
        let from_network = !lower.starts_with("file:") && !lower.starts_with('/');
        if from_network && !lower.starts_with("https://") {
            let reason = "it must be a file (file://) or come over https://".to_owned();
            return Err(fail(address, reason));
        }
        if from_network && use_cached {
            continue;
        }
        let bytes = match fetcher.get_unpinned(address, MAX_KEYS) {
            Ok(bytes) => bytes,
            Err(error) if from_network && cached.is_some() => {
                tracing::warn!("repository {}: {error}; its keys of last time are used", config.id);
                use_cached = true;
                continue;
            }
            Err(error) => return Err(fail(address, error.to_string())),
        };
        let text = String::from_utf8(bytes).map_err(|_| fail(address, "it is not armored".to_owned()))?;
        if from_network { &mut remote } else { &mut local }.push_str(&text);
    }
    if use_cached {
        remote = cached.unwrap_or_default();
    }
    if local.is_empty() && remote.is_empty() {
        if config.checks_metadata() || config.checks_packages() {
            let reason = "it has no gpgkey, so no signature of it can be checked".to_owned();
            return Err(fail("(none)", reason));
        }
        return Ok((KeyRing::default(), String::new()));
    }
    if !remote.is_empty() {
        let ring = KeyRing::from_armored(&remote).map_err(|e| fail("from the network", e.to_string()))?;
        let found = ring.fingerprints();
        if state.pinned_keys.is_empty() {
            state.pinned_keys = found;
        } else if let Some(new) = found.iter().find(|f| !state.pinned_keys.contains(f)) {
            let reason = format!(
                "the server shows a key that it did not show before ({new}); if its owner says that this \
                 is right, remove `pinned_keys` from the state of this repository"
            );
            return Err(fail("from the network", reason));
        }
    }
    let ring = KeyRing::from_armored(&format!("{local}\n{remote}"))
        .map_err(|e| fail(&config.gpg_keys.join(" "), e.to_string()))?;
    Ok((ring, remote))
}
