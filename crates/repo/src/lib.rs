//! RPM repository metadata: writing, signing, reading and verifying.
//!
//! A repository is a directory with RPM files anywhere in it and `repodata` beside them:
//!
//! ```text
//! repodata/repomd.xml                    sizes and SHA-256 of the parts; see [`repomd`]
//! repodata/repomd.xml.asc                detached signature over it
//! repodata/repomd.xml.key                the public key, for people and tools that import it
//! repodata/SHA256-primary.xml.zst        packages: identity, dependencies, usual paths
//! repodata/SHA256-filelists.xml.zst      all paths
//! repodata/SHA256-other.xml.zst          changelogs
//! repodata/SHA256-updateinfo.xml.zst     what updates are for; see [`updateinfo`]
//! ```
//!
//! [`publish`] describes the directory that a web server serves; [`config`] reads what a client knows about
//! repositories.
//!
//! The XML has no written standard; this crate follows what createrepo_c writes and what libsolv, dnf and
//! zypper read. Two deliberate differences: times of files are build times, so that copying a package does
//! not change metadata, and `Requires` are complete, where createrepo_c leaves out those that the package
//! itself or a higher glibc symbol version meets.
//!
//! Reading checks signature, sizes and digests, always; see [`Verified`].

mod compress;
pub mod comps;
pub mod config;
mod date;
mod describe;
mod entry;
mod error;
mod href;
mod lists;
mod package;
mod primary;
pub mod publish;
mod read;
pub mod repomd;
mod signature;
mod snapshot;
pub mod updateinfo;
mod write;
mod xml;

pub use config::{Config, Lack, MainConfig, RepoConfig};
pub use describe::{describe_directory, describe_files};
pub use error::{Error, Result};
pub use href::{Href, HrefError, MAX_HREF};
pub use package::{Change, File, FileKind, Package, is_primary_path};
pub use read::{Detail, GetError, Repository, Verified, parse_packages, read_directory, read_repository};
pub use repomd::{Part, Repomd};
pub use snapshot::{SnapshotId, SnapshotIdError};
pub use updateinfo::{Advisories, Advisory, AdvisoryKind, AdvisoryPackage, Reference, Severity};
pub use write::{Options, write_repository};

#[cfg(test)]
mod tests;
