//! File-system trees as values: merge, diff, tar in and out.
//!
//! A [`Tree`] is a sorted map from path to [`Node`]; file contents are blobs of a
//! [`lazuli_store::Store`] and appear here as digests. Owners are names, because packages name them
//! and numbers exist only once the users of a whole root file system are known: a serialiser resolves
//! them through [`Accounts`]. Nothing here needs privileges: owners, devices and capabilities are data.
//!
//! This crate must not know what the files mean (packages, units, users files).

mod accounts;
mod disk;
mod merge;
mod node;
mod path;
mod tar_read;
mod tar_write;

pub use accounts::Accounts;
pub use disk::{Materialise, materialise, scan};
pub use merge::{Change, MergeError, diff, merge};
pub use node::{Kind, Node};
pub use path::{PathError, TreePath};
pub use tar_read::{Limits, read_tar};
pub use tar_write::write_tar;

use lazuli_store::{Digest, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An error of a tree operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path on disk could not be used.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// An entry has a name that cannot be in a tree.
    #[error("entry {entry}: {source}")]
    Path {
        /// The number of the archive entry, from 1, or the name on disk.
        entry: String,
        /// What is wrong with the name.
        #[source]
        source: PathError,
    },
    /// An archive is damaged or has something that a tree cannot hold.
    #[error("archive entry {entry}: {reason}")]
    Archive {
        /// The number of the entry, from 1, and its name as far as known.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// Something lies below what is neither a directory nor a link to one.
    #[error("{path} lies below {parent}, which is neither a directory nor a link to one in the tree")]
    Parent {
        /// The path.
        path: TreePath,
        /// What should be a directory.
        parent: TreePath,
    },
    /// A user or group name has no number.
    #[error(
        "{path} belongs to {what} `{name}`, which the image does not define; add a sysusers.d line for it"
    )]
    UnknownOwner {
        /// The path.
        path: TreePath,
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A stored tree could not be decoded.
    #[error("tree {digest} in the store is not readable: {reason}")]
    Decode {
        /// The blob.
        digest: Digest,
        /// The decoder's words.
        reason: String,
    },
    /// Writing the output failed.
    #[error("cannot write the archive: {0}")]
    Output(#[source] std::io::Error),
}

/// The result of a tree operation.
pub type Result<T> = std::result::Result<T, Error>;

/// How many symbolic links [`Tree::resolve`] follows before it gives up; Linux's own limit.
const MAX_LINKS: usize = 40;

/// A file-system tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(BTreeMap<TreePath, Node>);

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The node at `path`.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.0.get(path)
    }

    /// The node at `path`, to change it.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node> {
        self.0.get_mut(path)
    }

    /// Whether something is at `path`.
    pub fn contains(&self, path: &TreePath) -> bool {
        self.0.contains_key(path)
    }

    /// Puts a node at `path` and returns what was there.
    pub fn insert(&mut self, path: TreePath, node: Node) -> Option<Node> {
        self.0.insert(path, node)
    }

    /// Takes the node at `path` out (not what is below it).
    pub fn remove(&mut self, path: &TreePath) -> Option<Node> {
        self.0.remove(path)
    }

    /// Keeps the nodes for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreePath, &Node) -> bool) {
        self.0.retain(|path, node| keep(path, node));
    }

    /// All nodes in path order; a directory comes before what is in it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&TreePath, &Node)> {
        self.0.iter()
    }

    /// All nodes in path order, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&TreePath, &mut Node)> {
        self.0.iter_mut()
    }

    /// Everything strictly below the directory `path`, in path order.
    pub fn below<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        let prefix = if path.is_root() { String::new() } else { format!("{}/", path.as_str()) };
        let start = prefix.clone();
        self.0
            .range::<str, _>((std::ops::Bound::Included(start.as_str()), std::ops::Bound::Unbounded))
            .take_while(move |(p, _)| p.as_str().starts_with(&prefix))
            .filter(|(p, _)| !p.is_root())
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of the sizes of all files in bytes; hard links count once.
    pub fn content_size(&self) -> u64 {
        self.0.values().filter_map(Node::size).sum()
    }

    /// Puts all nodes of `other` over this tree.
    pub fn extend(&mut self, other: Tree) {
        self.0.extend(other.0);
    }

    /// Adds every missing parent directory, `root:root` and 0755.
    pub fn ensure_parents(&mut self) {
        let mut missing = Vec::new();
        for path in self.0.keys() {
            let mut parent = path.parent();
            while let Some(dir) = parent {
                if self.0.contains_key(&dir) {
                    break;
                }
                parent = dir.parent();
                missing.push(dir);
            }
        }
        for dir in missing {
            self.0.entry(dir).or_insert_with(Node::directory);
        }
    }

    /// Follows symbolic links inside the tree, in every component, and returns the path and node that
    /// `path` leads to. `None` if it leads nowhere or in circles.
    pub fn resolve(&self, path: &TreePath) -> Option<(TreePath, &Node)> {
        let mut links = 0;
        let mut todo: Vec<String> = path.components().rev().map(str::to_owned).collect();
        let mut at = TreePath::root();
        while let Some(component) = todo.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = at.join(&component).ok()?;
            match self.0.get(&next).map(|node| &node.kind) {
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with('/') {
                        at = TreePath::root();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                None if todo.is_empty() => return None,
                // A directory that no package lists still exists when something is below it.
                Some(_) | None => at = next,
            }
        }
        self.0.get_key_value(&at).map(|(path, node)| (path.clone(), node))
    }

    /// Reads the content of the file that `path` leads to (through links).
    pub fn read(&self, store: &Store, path: &TreePath) -> Result<Option<Vec<u8>>> {
        let Some((_, node)) = self.resolve(path) else { return Ok(None) };
        match &node.kind {
            Kind::File { digest, .. } => Ok(Some(store.read(digest)?)),
            Kind::HardLink { to } => self.read(store, &to.clone()),
            _ => Ok(None),
        }
    }

    /// Puts a `root:root` 0644 file with this content at `path`.
    pub fn put_file(&mut self, store: &Store, path: TreePath, content: &[u8]) -> Result<&mut Node> {
        let digest = store.put(content)?;
        let node = Node::file(digest, content.len() as u64);
        let slot = self.0.entry(path).or_insert_with(Node::directory);
        *slot = node;
        Ok(slot)
    }

    /// The canonical form that [`Tree::digest`] hashes and the store keeps.
    fn encode(&self) -> Vec<u8> {
        // Serialising maps with string keys, strings and numbers to memory has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The digest of the whole tree, contents included.
    pub fn digest(&self) -> Digest {
        Digest::of(self.encode())
    }

    /// Keeps the tree in the store; the result is [`Tree::digest`].
    pub fn save(&self, store: &Store) -> Result<Digest> {
        Ok(store.put(&self.encode())?)
    }

    /// Reads a tree that [`Tree::save`] kept.
    pub fn load(store: &Store, digest: &Digest) -> Result<Self> {
        serde_json::from_slice(&store.read(digest)?)
            .map_err(|e| Error::Decode { digest: *digest, reason: e.to_string() })
    }
}

impl FromIterator<(TreePath, Node)> for Tree {
    fn from_iter<I: IntoIterator<Item = (TreePath, Node)>>(nodes: I) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl IntoIterator for Tree {
    type Item = (TreePath, Node);
    type IntoIter = std::collections::btree_map::IntoIter<TreePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests;
