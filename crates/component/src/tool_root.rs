//! Tool roots: pinned Debian packages unpacked into one directory of the store.
//!
//! No maintainer script runs: what one would have made and a tool needs is listed under `links` in
//! `lazuli.toml`. Files are hard links to blobs, so a tool root costs little space beside its packages;
//! it is only ever mounted read-only.

use lazuli_debian::deb::{self, Deb};
use lazuli_store::{ActionKey, ActionResult, Digest, Store};
use lazuli_tree::{Kind, Materialise, Node, Tree, TreePath, materialise};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Why a tool root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A tree.
    #[error(transparent)]
    Tree(#[from] lazuli_tree::Error),
    /// A package that cannot be read.
    #[error("{package}: {source}")]
    Deb {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: Box<deb::Error>,
    },
    /// A link with a path that is not one.
    #[error("tool root link `{path}`: {source}")]
    Link {
        /// The path.
        path: String,
        /// What is wrong.
        #[source]
        source: lazuli_tree::PathError,
    },
}

/// Change when what is made from the same packages changes.
const VERSION: u32 = 1;

/// The file tree of a .deb in the store, cached.
pub fn deb_tree(store: &Store, name: &str, deb: &Digest) -> Result<Tree, Error> {
    let key = ActionKey::new("deb-tree", VERSION).input("deb", deb).finish();
    let (result, _) = store.cached::<Error>(&key, || {
        let file = store.open_blob(deb)?;
        let deb = Deb::read(file, store, &deb::Limits::default())
            .map_err(|source| Error::Deb { package: name.to_owned(), source: Box::new(source) })?;
        let tree = deb.data.save(store)?;
        Ok(ActionResult::default().with("tree", tree, 0))
    })?;
    let digest = result.output("tree").unwrap_or(*deb);
    let tree = Tree::load(store, &digest)?;
    // The action result vouches for the tree, not for each of its files.
    for (_, node) in tree.iter() {
        if let Kind::File { digest, .. } = &node.kind
            && !store.contains(digest)?
        {
            let file = store.open_blob(deb)?;
            let fresh = Deb::read(file, store, &deb::Limits::default())
                .map_err(|source| Error::Deb { package: name.to_owned(), source: Box::new(source) })?;
            return Ok(fresh.data);
        }
    }
    Ok(tree)
}

/// The directory of a tool root made from these packages (name and digest) and links.
pub fn tool_root(
    store: &Store,
    debs: &[(String, Digest)],
    links: &BTreeMap<String, String>,
) -> Result<PathBuf, Error> {
    let mut key = ActionKey::new("tool-root", VERSION);
    for (name, digest) in debs {
        key = key.input(name, digest);
    }
    for (path, target) in links {
        key = key.field(path, target);
    }
    let key = key.finish();
    if let Some(dir) = store.dir("root", &key) {
        return Ok(dir);
    }
    let trees: Vec<Tree> =
        debs.par_iter().map(|(name, digest)| deb_tree(store, name, digest)).collect::<Result<_, _>>()?;
    let mut root = Tree::new();
    for tree in trees {
        for (path, node) in tree {
            let path = usr_merged(path);
            // A directory never replaces a link to one (base-files' /bin against an old /bin/x).
            if node.is_directory() && root.contains(&path) {
                continue;
            }
            root.insert(path, node);
        }
    }
    for (path, target) in links {
        let path = TreePath::new(path).map_err(|source| Error::Link { path: path.clone(), source })?;
        root.insert(path, Node::symlink(target.clone()));
    }
    for mount_point in ["proc", "sys", "dev", "run", "tmp", "build", "root"] {
        if let Ok(path) = TreePath::new(mount_point) {
            root.insert(path, Node::directory());
        }
    }
    for name in ["passwd", "group"] {
        if let Ok(path) = TreePath::new(&format!("etc/{name}")) {
            let line: &[u8] =
                if name == "passwd" { b"root:x:0:0:root:/root:/bin/sh\n" } else { b"root:x:0:\n" };
            root.put_file(store, path, line)?;
        }
    }
    root.ensure_parents();
    let tmp = store.tempdir()?;
    let dir = tmp.path().join("root");
    materialise(&root, store, &dir, Materialise::HardLink)?;
    Ok(store.publish_dir("root", &key, &dir)?)
}

/// `/bin/x` as `/usr/bin/x`: Debian ships the top-level names as links into `/usr`.
pub fn usr_merged(path: TreePath) -> TreePath {
    let moved = ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|top| path.as_str().starts_with(top));
    if moved { TreePath::new(&format!("usr/{}", path.as_str())).unwrap_or(path) } else { path }
}
