//! The action cache: what a build step produced, by the digest of everything it depends on.

use crate::{Digest, Hasher, Result, Store};
use lazuli_fs as fs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The digest of everything that an action depends on. Built field by field; each field is stored
/// with its name and length, so that no two different inputs run together into the same key.
#[derive(Debug, Clone)]
pub struct ActionKey(Hasher);

impl ActionKey {
    /// A key for the action `kind`. Change `version` when the code of the action changes what it
    /// produces from the same inputs.
    pub fn new(kind: &str, version: u32) -> Self {
        Self(Hasher::new()).field("kind", kind).field("version", version.to_string())
    }

    /// Adds a named input.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        for part in [name.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds an input by its digest.
    #[must_use]
    pub fn input(self, name: &str, digest: &Digest) -> Self {
        self.field(name, digest.as_bytes())
    }

    /// The finished key.
    pub fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// One output of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// What an action produced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionResult {
    /// Blobs by the name that the action gave them.
    pub outputs: BTreeMap<String, Output>,
    /// Small facts that need no blob of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// How long the action took when it ran, in milliseconds.
    #[serde(default)]
    pub millis: u64,
}

impl ActionResult {
    /// Adds an output.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, digest: Digest, size: u64) -> Self {
        self.outputs.insert(name.into(), Output { digest, size });
        self
    }

    /// The digest of the output `name`.
    pub fn output(&self, name: &str) -> Option<Digest> {
        self.outputs.get(name).map(|o| o.digest)
    }
}

impl Store {
    /// The recorded result for `key`, if every blob it names is still there and intact.
    pub fn action(&self, key: &Digest) -> Result<Option<ActionResult>> {
        let path = self.action_path(key);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let Ok(result) = serde_json::from_slice::<ActionResult>(&text) else {
            tracing::warn!(path = %path.display(), "removed an unreadable action result from the store");
            fs::remove_file(&path)?;
            return Ok(None);
        };
        for output in result.outputs.values() {
            if !self.contains(&output.digest)? {
                return Ok(None);
            }
        }
        Ok(Some(result))
    }

    /// Records the result of an action. Its outputs must already be in the store.
    pub fn record(&self, key: &Digest, result: &ActionResult) -> Result<()> {
        let path = self.action_path(key);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let text = serde_json::to_vec(result)
            .map_err(|e| fs::Error::new("encode", &path, std::io::Error::other(e)))?;
        let tmp = self.tempdir()?;
        let from = tmp.path().join("action");
        fs::write(&from, text)?;
        fs::rename(&from, &path)?;
        Ok(())
    }

    /// The recorded result for `key`, or what `run` produces, which is then recorded.
    /// The second value says whether it came from the cache.
    pub fn cached<E: From<crate::Error>>(
        &self,
        key: &Digest,
        run: impl FnOnce() -> std::result::Result<ActionResult, E>,
    ) -> std::result::Result<(ActionResult, bool), E> {
        if let Some(result) = self.action(key)? {
            return Ok((result, true));
        }
        let start = std::time::Instant::now();
        let mut result = run()?;
        result.millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.record(key, &result)?;
        Ok((result, false))
    }

    fn action_path(&self, key: &Digest) -> std::path::PathBuf {
        let hex = key.to_string();
        self.root.join("actions").join(&hex[..2]).join(hex)
    }
}
