//! Adopting a Debian binary package as an RPM.
