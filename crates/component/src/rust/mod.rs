//! Components compiled from the Cargo workspace that surrounds `distro/`.
//!
//! What comes out must depend neither on the build host nor on edits elsewhere in the workspace:
//!
//! - [`Inputs`] are the crates that a component names and those of the workspace that they depend on,
//!   reduced to what a build reads: no tests, benches, lint tables, no other members. Their digest is
//!   the source's part of the action key.
//! - [`fetch`] gets the crates of the registry beforehand, through the caller's own Cargo configuration.
//!   What was fetched is kept in the store, named by the manifests and the part of `Cargo.lock` that
//!   count; Cargo checks every file against the checksums of `Cargo.lock` once more when it builds.
//! - [`Toolchain`] is the caller's Rust toolchain. It is mounted read-only at a fixed place into a tool
//!   root that has the C compiler, the linker and the C library of the target, and no network.
//! - [`Build`] ties the three together: binaries in the store, which specs find in `%{_lazuli_binaries}`.

mod build;
mod fetch;
mod inputs;
mod manifest;
mod toolchain;

pub use build::Build;
pub use fetch::{Fetched, fetch};
pub use inputs::Inputs;
pub use toolchain::Toolchain;

use std::path::PathBuf;

/// Why the workspace's crates could not be made ready for a build.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A manifest or the lock file.
    #[error(transparent)]
    Toml(#[from] crate::toml_file::Error),
    /// No Cargo workspace around the distribution.
    #[error(
        "{path} is in no Cargo workspace, but a component has [workspace]; run lazuli inside a checkout",
        path = .0.display()
    )]
    NoWorkspace(PathBuf),
    /// A crate that the workspace does not have.
    #[error("{root}: the Cargo workspace has no package `{name}`{hint}", root = .root.display())]
    NoCrate {
        /// The workspace.
        root: PathBuf,
        /// What was asked for.
        name: String,
        /// A near name.
        hint: String,
    },
    /// No Rust compiler.
    #[error(
        "no Rust toolchain: {reason}\n  lapis is compiled with yours: install Rust {at_least} or newer (rustup or \
         the packages of your distribution) so that `rustc` and `cargo` are in PATH, or set RUSTC"
    )]
    NoToolchain {
        /// What failed.
        reason: String,
        /// The oldest version that the workspace accepts.
        at_least: String,
    },
    /// A toolchain that cannot be used.
    #[error("the Rust toolchain in {sysroot} cannot be used: {reason}", sysroot = .sysroot.display())]
    Toolchain {
        /// Where it is.
        sysroot: PathBuf,
        /// What is wrong and what to try.
        reason: String,
    },
    /// Compiling failed.
    #[error("compiling crates of the workspace: {source}\n  the whole log: {log}", log = .log.display())]
    Build {
        /// How Cargo ended.
        #[source]
        source: lazuli_sandbox::Error,
        /// Where its output is kept.
        log: PathBuf,
    },
    /// Fetching failed.
    #[error(
        "fetching the crates that Cargo.lock names: {0}\n  Cargo's own configuration decides where they come from \
         (for a mirror: [source] in ~/.cargo/config.toml)"
    )]
    Fetch(#[source] lazuli_fs::process::Error),
}
