//! Small files: sysfs, procfs, the module index.

// `lazuli_fs`, which these are reserved for, needs a procedural macro. Errors name their path here, too.
#![allow(clippy::disallowed_methods)]

use crate::{Error, Result};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Reads at most `limit` bytes; what is longer is cut. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    open(path)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(Error::system("read", path.display().to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An attribute of sysfs without its line feed; `None` if it is not there or cannot be read.
pub(crate) fn attribute(path: &Path) -> Option<String> {
    text(path, 4096).ok().map(|text| text.trim_end_matches('\n').to_owned())
}

/// A number in sysfs.
pub(crate) fn number(path: &Path) -> Option<u64> {
    attribute(path)?.parse().ok()
}

/// The names in a directory in their order; none if it is not there. Names that are not UTF-8 are left out: neither
/// sysfs nor an initrd of ours has any.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Opens for reading.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::system("open", path.display().to_string()))
}
