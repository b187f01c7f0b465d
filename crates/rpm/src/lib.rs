//! RPM package files: headers, versions, dependencies, payloads and signatures.
//!
//! Packages are written in format version 4, which RPM 4.18 to 6.x read. The header serialiser and the
//! payload writer are our own (`docs/design/rpm-writer.md` says why); versions are compared by
//! `rpm-version`, OpenPGP is the `pgp` crate's. This crate must not know where a package came from.

pub mod base64;
pub mod builder;
pub mod caps;
pub mod dependency;
pub mod elf;
pub mod evr;
pub mod header;
pub mod keys;
pub mod order;
pub mod package;
pub mod payload;
pub mod rich;
pub mod sign;
pub mod tag;

pub use builder::{
    Builder, ChangelogEntry, FileEntry, FileFlags, FileTrigger, Scriptlet, Scriptlets, Trigger, TriggerKind,
};
pub use dependency::{Dependency, DependencyFlags, ParseDependencyError};
pub use evr::{Evr, Nevra};
pub use header::Header;
pub use keys::{KeyRing, Signer};
pub use package::{PackageFile, Verified};
pub use payload::payload_tree;
