//! `lazuli-update`: keeps a host with two slots up to date, keeps what proves itself, and goes back from what does not.
//!
//! The parts, and what each may be asked:
//!
//! - [`lazuli_layout::assess`] decides, `lazuli-slots` does it to the disk in its order;
//! - [`host`] brings both together with what is remembered and with the history;
//! - [`loader`] is the systemd-boot that the running image brings;
//! - [`health`] looks whether the system is well, [`watch`] for how long;
//! - [`remote`] follows a repository, over HTTP or in a folder, and fetches a release by the way with the fewest bytes;
//! - [`identity`] is who asks: product, trusted keys, host id;
//! - [`inquire`] answers an operator's questions about it;
//! - [`run`] is what happens without somebody asking: waves, windows, restarts;
//! - [`reports`] tells what became of a release;
//! - [`folder`] is an image that the operator vouches for by its root hash. Both it and [`remote`] implement [`Offer`]: a
//!   release whose description was verified, and the source of its content.
//!
//! # Files
//!
//! ```text
//! /usr/lib/lazuli/update.toml, /etc/lazuli/update.toml
//!                                         settings of the image and of the machine
//! /etc/lazuli/health.d, /usr/lib/lazuli/health.d
//!                                         checks: executables, and *.units with names of units
//! /var/lib/lazuli/update/state.json       what is remembered; replaced atomically, fails closed
//! /var/lib/lazuli/update/history.jsonl    what happened, a line each; nothing depends on it
//! /var/lib/lazuli/update/trusted.json, minimum-version.json
//!                                         see `lazuli-release`
//! /var/lib/lazuli/update/outbox           reports that wait
//! /run/lazuli/update.lock                 one at a time
//! /run/lazuli/update-next                 when `run` looks again
//! ```

pub mod cli;
mod error;
pub mod folder;
pub mod health;
pub mod history;
pub mod host;
pub mod identity;
pub mod inquire;
pub mod loader;
pub mod remote;
pub mod reports;
pub mod run;
pub mod settings;
pub mod status;
pub mod watch;

pub use error::{Error, Result};

use lazuli_slots::{Release, Source};

/// A release that may be taken: its description was verified by whoever made this, and its content is verified by
/// the engine against that.
pub trait Offer {
    /// What it is.
    fn release(&self) -> &Release;
    /// Where its content comes from.
    fn source(&mut self) -> &mut dyn Source;
}
