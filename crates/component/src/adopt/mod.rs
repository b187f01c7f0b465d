//! Adopting a Debian binary package as an RPM.

pub mod script;
pub mod suggest;
