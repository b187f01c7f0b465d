//! What every step of making an image needs.

use lazuli_store::{ActionKey, Digest, Store};
use std::path::Path;

/// The surroundings of an image build.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where contents, results and finished images are.
    pub store: &'a Store,
    /// The tool root named `image`. Its directory name must change when its content does, as those do
    /// that the store publishes: it stands for the tools in the keys of actions.
    pub tool_root: &'a Path,
    /// The time that is written wherever a format wants one, in seconds since 1970.
    pub source_date_epoch: i64,
    /// Told what is being done, one short line at a time.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("store", &self.store.root())
            .field("tool_root", &self.tool_root)
            .field("source_date_epoch", &self.source_date_epoch)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// The beginning of the key of an action that uses the tools.
    pub(crate) fn tools_key(&self, kind: &str, version: u32) -> ActionKey {
        let tools = self.tool_root.file_name().unwrap_or(self.tool_root.as_os_str());
        ActionKey::new(kind, version).field("tools", tools.as_encoded_bytes())
    }

    /// The beginning of the key of an action that uses the tools and the time.
    pub(crate) fn key(&self, kind: &str, version: u32) -> ActionKey {
        self.tools_key(kind, version).field("time", self.source_date_epoch.to_string())
    }

    pub(crate) fn progress(&self, line: &str) {
        tracing::debug!("{line}");
        (self.progress)(line);
    }
}

/// 16 bytes for an identifier with this purpose, derived from what it identifies.
pub(crate) fn derive(purpose: &str, seed: &Digest) -> [u8; 16] {
    let digest = ActionKey::new("identifier", 1).field("purpose", purpose).input("of", seed).finish();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes
}
