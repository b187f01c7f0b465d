//! distro/ and lazuli.lock: components, adopted or built, and everything they pin.
//!
//! A *component* is one upstream source that yields one or more RPMs: either adopted from a Debian
//! binary package ([`adopt`]) or built from an RPM spec. This crate reads their description
//! ([`schema`]), pins what they need from outside, and turns each into RPM files. It must not know
//! what an image is.

pub mod adopt;
pub mod build;
pub mod distro;
pub mod keys;
pub mod lock;
pub mod resolve;
pub mod rust;
pub mod schema;
pub mod toml_file;
pub mod tool_root;
