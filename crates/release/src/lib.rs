//! The update repository: what is published for hosts, and how a host comes to trust it.
//!
//! Specification: The Update Framework 1.0, <https://theupdateframework.github.io/specification/>; section numbers
//! in this crate are its. Verification is that of the crate `tough`; what is added is durable state that cannot
//! be edited unnoticed, floors below which no version is taken, bounds on every size, and one transport for
//! HTTP(S) and folders.
//!
//! # A repository
//!
//! Files that any static web server can serve, and that work from a USB stick as well:
//!
//! ```text
//! metadata/N.root.json         who may sign what; each signed by the threshold of its predecessor too
//! metadata/N.targets.json      size and SHA-256 of every target
//! metadata/N.snapshot.json     which targets.json is current
//! metadata/timestamp.json      which snapshot.json is current, for a few days: the only file that is replaced
//! targets/SHA256.NAME          manifests, images, recipes
//! ```
//!
//! Consistent snapshots (section 6.2): nothing that a client may be reading changes. A publisher writes targets
//! first, then `targets`, `snapshot` and last `timestamp`, each whole and flushed before the next; until the
//! last rename hosts see the old state.
//!
//! # Parts
//!
//! - [`key`]: keys that sign, kept in files or elsewhere;
//! - [`publisher`]: making, signing, rotating a repository, and publishing into it;
//! - [`client`]: a host's view: [`Client::refresh`](client::Client::refresh), then a
//!   [`Catalogue`](client::Catalogue) of verified releases;
//! - [`update`]: which way a host takes to a release, and taking it.
//!
//! This crate must not know how slots and boot loaders work (their files are targets like others), nor policies of
//! rollout; it writes into whatever is [`WriteAt`](lazuli_delta::WriteAt).

pub mod client;
mod error;
pub mod key;
mod origin;
pub mod publisher;
mod state;
mod transport;
pub mod update;

pub use error::{Error, Refusal, Result};
pub use origin::Origin;

use sha2::{Digest as _, Sha256};

/// The version of the TUF specification that metadata says to follow.
const SPEC_VERSION: &str = "1.0.0";

/// The SHA-256 of some bytes.
fn sha256(bytes: &[u8]) -> lazuli_layout::manifest::Hex32 {
    lazuli_layout::manifest::Hex32(Sha256::digest(bytes).into())
}

/// Runs what `tough` does to its end, on this thread.
fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .map_err(|e| Error::Other(format!("cannot start the verifier: {e}")))?;
    Ok(runtime.block_on(future))
}
