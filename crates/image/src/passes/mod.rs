//! Passes over a root file system: each takes a tree and gives a tree.
//!
//! Most are pure functions; those of [`tools`] run the real tool in a sandbox.

mod ca_bundle;
mod database;
mod presets;
mod sysusers;
pub mod tools;
mod trim;

pub use ca_bundle::ca_bundle;
pub use database::package_database;
pub use presets::presets;
pub use sysusers::sysusers;
pub use trim::{Trim, trim};

use lazuli_store::Store;
use lazuli_tree::{Kind, PathError, Tree, TreePath};
use std::collections::BTreeMap;

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file in the tree.
    #[error("{path}:{line}: {reason}")]
    Config {
        /// The file.
        path: TreePath,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Users and groups that cannot be made.
    #[error("users and groups: {0}")]
    Accounts(String),
    /// A certificate that is not one.
    #[error("{path}: {reason}")]
    Certificate {
        /// The file.
        path: TreePath,
        /// What is wrong.
        reason: String,
    },
    /// A path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The tree.
    #[error(transparent)]
    Tree(#[from] lazuli_tree::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
}

/// The result of a pass.
pub type Result<T> = std::result::Result<T, Error>;

/// The `*.conf` files of a `NAME.d` folder as systemd reads them: of files with one name the one in
/// `/etc` counts, then `/run`, then `/usr/lib`; a link to `/dev/null` masks; sorted by name.
fn config_files(tree: &Tree, store: &Store, folder: &str) -> Result<Vec<(TreePath, String)>> {
    config_files_with(tree, store, folder, ".conf")
}

fn config_files_with(
    tree: &Tree,
    store: &Store,
    folder: &str,
    suffix: &str,
) -> Result<Vec<(TreePath, String)>> {
    let mut files: BTreeMap<String, TreePath> = BTreeMap::new();
    for top in ["usr/lib", "etc"] {
        let dir = TreePath::new(&format!("{top}/{folder}"))?;
        for (path, node) in tree.below(&dir) {
            let direct = path.parent().as_ref() == Some(&dir);
            if direct && !node.is_directory() && path.file_name().ends_with(suffix) {
                files.insert(path.file_name().to_owned(), path.clone());
            }
        }
    }
    let mut texts = Vec::new();
    for path in files.into_values() {
        if matches!(tree.get(&path).map(|n| &n.kind), Some(Kind::Symlink { target }) if target == "/dev/null")
        {
            continue;
        }
        if let Some(content) = tree.read(store, &path)? {
            texts.push((path, String::from_utf8_lossy(&content).into_owned()));
        }
    }
    Ok(texts)
}
