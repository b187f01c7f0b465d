//! Adopting a Debian binary package as an RPM.
//!
//! [`adopt`] turns a package that [`lazuli_debian`] has read, and the overlay that says what we change,
//! into everything that [`lazuli_rpm::Builder`] writes, and an [`AdoptReport`] of what was done. It is
//! a function of its arguments alone: no clock, no network, nothing of the package is run.
//!
//! [`names`] maps names and versions, [`relations`] the relations between packages, [`files`] arranges
//! the files, [`generated`] finds sonames and interpreters, [`script`] decides what becomes of maintainer
//! scripts (its list of recognised debhelper blocks is the one to look at when writing an overlay),
//! [`license`] and [`changelog`] read the two documents that RPM wants in its header. [`suggest`] writes
//! the first version of a `component.toml`.

pub mod changelog;
mod control;
mod dependencies;
pub mod files;
pub mod generated;
pub mod license;
pub mod names;
mod package;
mod places;
pub mod relations;
pub mod report;
pub mod script;
pub mod suggest;

pub use package::{Error, Request, adopt, changelog_of};
pub use report::{AdoptReport, DependencyChange, Origin};
