//! What a host remembers of a repository.
//!
//! ```text
//! DIR/trusted.json           newest verified metadata: roots since the one in the first image, timestamp, snapshot,
//!                            targets, and the time at which that was
//! DIR/minimum-version.json   the oldest version that this host may run again; only ever raised
//! ```
//!
//! Each is one file that is replaced at once (temporary file, fsync, rename, fsync of the directory), so that
//! after a power cut it is the old or the new one as a whole.
//!
//! It is remembered with its signatures and verified anew each time it is read, starting from the root metadata
//! in the image, which dm-verity protects. So whoever edits it, to make an old release look new, has to forge
//! signatures; a state that does not verify is an error and not an absent state. An absent state is that of a new
//! host, and of one whose state was removed: then the floor that the running image brings still holds.

use crate::{Error, Result};
use jiff::Timestamp as Time;
use lazuli_fs as fs;
use lazuli_layout::Version;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tough::schema::{Root, Signed, Snapshot, Targets, Timestamp};

const FORMAT: u32 = 1;
/// The largest state that is read, in bytes.
const MAX_STATE: u64 = 32 << 20;

/// Metadata that was verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    pub(crate) roots: Vec<Signed<Root>>,
    pub(crate) timestamp: Signed<Timestamp>,
    pub(crate) snapshot: Signed<Snapshot>,
    pub(crate) targets: Signed<Targets>,
    pub(crate) time: Time,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Minimum {
    format: u32,
    minimum_version: Version,
}

/// The files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The state, verified from `anchor` on. The roots in it are all since the oldest anchor that this host had.
    pub(crate) fn load(&self, anchor: &Signed<Root>) -> Result<Option<State>> {
        let Some((path, bytes)) = self.read("trusted.json")? else { return Ok(None) };
        let corrupt = |reason: String| Error::State { path: path.clone(), reason };
        let state: State =
            serde_json::from_slice(&bytes).map_err(|e| corrupt(format!("it cannot be read: {e}")))?;
        if state.format != FORMAT {
            return Err(corrupt(format!("its format is {}, and {FORMAT} is known", state.format)));
        }
        // The image may have brought a newer anchor than the one that the roots began with. The older ones are kept:
        // the image before, to which this host may return, begins with them.
        let mut root = anchor;
        for next in state.roots.iter().filter(|root| root.signed.version > anchor.signed.version) {
            if next.signed.version.get() != root.signed.version.get() + 1 {
                return Err(corrupt("its root metadata has gaps".into()));
            }
            for signer in [&root.signed, &next.signed] {
                signer
                    .verify_role(next)
                    .map_err(|e| corrupt(format!("its root metadata was edited or damaged: {e}")))?;
            }
            root = next;
        }
        let root = &root.signed;
        let verified = root
            .verify_role(&state.timestamp)
            .and_then(|()| root.verify_role(&state.snapshot))
            .and_then(|()| root.verify_role(&state.targets));
        match verified {
            Ok(()) => Ok(Some(state)),
            // A new image brought a root with other keys than this was signed by. The specification (5.3.11) forgets
            // such metadata too.
            Err(_) if state.roots.last().is_some_and(|last| last.signed.version < anchor.signed.version) => {
                tracing::info!("the image brings newer root metadata than what is remembered");
                Ok(None)
            }
            Err(e) => Err(corrupt(format!("it was edited or damaged: {e}"))),
        }
    }

    /// Replaces the state.
    pub(crate) fn save(
        &self,
        roots: Vec<Signed<Root>>,
        timestamp: Signed<Timestamp>,
        snapshot: Signed<Snapshot>,
        targets: Signed<Targets>,
        time: Time,
    ) -> Result<()> {
        self.write("trusted.json", &State { format: FORMAT, roots, timestamp, snapshot, targets, time })
    }

    /// The minimum version, if one was stored.
    pub(crate) fn minimum(&self) -> Result<Option<Version>> {
        let Some((path, bytes)) = self.read("minimum-version.json")? else { return Ok(None) };
        match serde_json::from_slice::<Minimum>(&bytes) {
            Ok(minimum) if minimum.format == FORMAT => Ok(Some(minimum.minimum_version)),
            Ok(other) => {
                let reason = format!("its format is {}, and {FORMAT} is known", other.format);
                Err(Error::State { path, reason })
            }
            Err(e) => Err(Error::State { path, reason: format!("it cannot be read: {e}") }),
        }
    }

    /// Raises the minimum version; a lower one changes nothing.
    pub(crate) fn raise_minimum(&self, version: &Version) -> Result<()> {
        if self.minimum()?.is_some_and(|stored| stored >= *version) {
            return Ok(());
        }
        self.write("minimum-version.json", &Minimum { format: FORMAT, minimum_version: version.clone() })
    }

    fn read(&self, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let path = self.directory.join(name);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if size > MAX_STATE {
            return Err(Error::State { path, reason: format!("it is larger than {MAX_STATE} bytes") });
        }
        let bytes = fs::read(&path)?;
        Ok(Some((path, bytes)))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        let bytes = serde_json::to_vec(value).map_err(|e| Error::Other(format!("{name}: {e}")))?;
        fs::write_atomic(self.directory.join(name), bytes, 0o600)?;
        Ok(())
    }
}
