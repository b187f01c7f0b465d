//! What fuzz targets need of the private parsers.

use crate::commands::automatic::Automatic;
use lazuli_solve::Lock;

/// The lines of a version lock.
pub fn locks(text: &str) -> Vec<Lock> {
    crate::locks::parse(text)
}

/// `automatic.conf`: whether it is understood, and whether now is a time for it.
pub fn automatic(text: &str, now: i64) -> Option<bool> {
    toml::from_str::<Automatic>(text).ok()?.is_open(now).ok()
}
