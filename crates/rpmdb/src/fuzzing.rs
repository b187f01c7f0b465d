//! What fuzz targets need of the private parsers.

use crate::blob::View;
use crate::query::{installed, listed};
use crate::{Installed, Listed};

/// A row of `Packages`, read in both ways: taken apart, and looked at.
pub fn row(blob: &[u8]) -> (Result<Installed, String>, Result<Listed, String>) {
    (installed(1, blob), listed(1, blob))
}

/// The package's own header in a row.
pub fn region(blob: &[u8]) -> Option<Vec<u8>> {
    View::new(blob).ok()?.region()
}
