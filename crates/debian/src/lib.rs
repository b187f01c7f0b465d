//! Debian archive indices, .deb and .dsc files: reading and verifying.
//!
//! From the outside in: [`mirror`] finds where the archive is, [`release`] verifies the signature of a
//! suite's `InRelease` against keys that we keep, [`index`] reads the package lists whose digests it
//! gives, and [`deb`] and [`dsc`] read the files whose digests those give. [`closure`] answers which
//! packages a set of packages needs.
//!
//! Parsers take bytes. This crate must not know how bytes get here (see `lazuli-fetch`), nor RPM.
//!
//! Formats: deb822(5), deb-control(5), deb(5), dsc(5), deb-version(7), Debian Policy chapters 5 and 7,
//! sources.list(5); RFC 9580 for signatures.

pub mod closure;
pub mod control;
pub mod deb;
pub mod dsc;
pub mod index;
pub mod mirror;
mod openpgp;
pub mod relation;
pub mod release;
pub mod version;

mod ar;
mod date;
