//! Trees to and from directories on disk, as an ordinary user.
//!
//! Owners, capabilities and devices do not survive the way to disk; they need not, because nothing is
//! ever packed from there except what a tool wrote itself.

use crate::{Error, Kind, Node, Result, Tree, TreePath};
use lazuli_fs as fs;
use lazuli_store::Store;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// How file contents get to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialise {
    /// Hard links to the store's blobs: fast and without space, but with the blobs' permissions (0555)
    /// and never to be written to. For tools that only read; mount it read-only.
    HardLink,
    /// Copies with the right permission bits.
    Copy,
}

/// Writes the tree below the directory `dir`. Devices are left out; setuid bits too.
///
/// A path below a symbolic link of the tree (`/var/run/x` where `/var/run` is a link to `/run`) goes where
/// the link leads inside the tree. The link on disk is never followed: it would lead out of `dir`.
pub fn materialise(tree: &Tree, store: &Store, dir: &Path, how: Materialise) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut modes = Vec::new();
    for (path, node) in tree.iter() {
        let to = dir.join(place(tree, path)?.as_str());
        if let Some(parent) = to.parent() {
            // Cheap when it exists, which it nearly always does: parents sort first.
            if !parent.is_dir() {
                fs::create_dir_all(parent)?;
            }
        }
        match &node.kind {
            Kind::Directory => {
                fs::create_dir_all(&to)?;
                modes.push((to, node.mode & 0o777 | 0o700));
            }
            Kind::File { digest, .. } => {
                // `get` verifies a blob that was touched, and drops a damaged one.
                if store.get(digest)?.is_none() {
                    return Err(
                        lazuli_store::Error::Missing { digest: *digest, path: store.path(digest) }.into()
                    );
                }
                let blob = store.path(digest);
                if how == Materialise::HardLink {
                    match fs::hard_link(&blob, &to) {
                        Ok(()) => continue,
                        // A file system with few links per inode: fall through to a copy.
                        Err(e) if e.source.raw_os_error() == Some(rustix_emlink()) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                fs::copy(&blob, &to)?;
                fs::set_mode(&to, node.mode & 0o777)?;
            }
            Kind::Symlink { target } => fs::symlink(target, &to)?,
            Kind::HardLink { .. } | Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {}
            Kind::Fifo => {
                fs::write(&to, "")?;
            }
        }
    }
    for (path, node) in tree.iter() {
        if let Kind::HardLink { to } = &node.kind {
            fs::hard_link(dir.join(place(tree, to)?.as_str()), dir.join(place(tree, path)?.as_str()))?;
        }
    }
    for (path, mode) in modes {
        fs::set_mode(path, mode)?;
    }
    Ok(())
}

/// Where `path` lies once the links among its parents are followed inside the tree.
fn place(tree: &Tree, path: &TreePath) -> Result<TreePath> {
    let parents = std::iter::successors(path.parent(), TreePath::parent);
    // The outermost one. Parents that the tree does not list are directories.
    let Some(odd) = parents.filter(|p| tree.get(p).is_some_and(|n| !n.is_directory())).last() else {
        return Ok(path.clone());
    };
    let wrong = || Error::Parent { path: path.clone(), parent: odd.clone() };
    let (target, node) = tree.resolve(&odd).ok_or_else(wrong)?;
    if !node.is_directory() {
        return Err(wrong());
    }
    let rest = path.as_str()[odd.as_str().len()..].trim_start_matches('/');
    let moved = target.join(rest).map_err(|source| Error::Path { entry: path.to_string(), source })?;
    // `target` has no link in it, so what is left to look at becomes shorter each time.
    place(tree, &moved)
}

/// EMLINK, the same number on every Linux architecture.
fn rustix_emlink() -> i32 {
    31
}

/// Reads a directory into a tree; contents go into the store, everything belongs to `root:root`.
/// Sockets are passed over; they have no content to keep.
pub fn scan(dir: &Path, store: &Store) -> Result<Tree> {
    let mut tree = Tree::new();
    walk(dir, &TreePath::root(), store, &mut tree)?;
    Ok(tree)
}

fn walk(dir: &Path, at: &TreePath, store: &Store, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let bad = |source| Error::Path { entry: entry.display().to_string(), source };
        let name = entry.file_name().unwrap_or_default();
        let path = TreePath::from_bytes(name.as_encoded_bytes())
            .and_then(|name| at.join(name.as_str()))
            .map_err(bad)?;
        let meta = fs::symlink_metadata(&entry)?;
        let file_type = meta.file_type();
        let (major, minor) = (dev_major(meta.rdev()), dev_minor(meta.rdev()));
        let kind = if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_symlink() {
            let target = std::fs::read_link(&entry)
                .map_err(|e| fs::Error::new("read the symbolic link", &entry, e))?;
            let target = target
                .into_os_string()
                .into_string()
                .map_err(|raw| bad(crate::PathError::Encoding(raw.to_string_lossy().into_owned())))?;
            Kind::Symlink { target }
        } else if file_type.is_file() {
            let (digest, size) = store.put_file(&entry)?;
            Kind::File { digest, size }
        } else if file_type.is_char_device() {
            Kind::CharDevice { major, minor }
        } else if file_type.is_block_device() {
            Kind::BlockDevice { major, minor }
        } else if file_type.is_fifo() {
            Kind::Fifo
        } else {
            continue;
        };
        let is_dir = kind == Kind::Directory;
        let node = Node::new(kind, meta.permissions().mode() & 0o7777).with_mtime(meta.mtime());
        tree.insert(path.clone(), node);
        if is_dir {
            walk(&entry, &path, store, tree)?;
        }
    }
    Ok(())
}

/// The major part of a Linux device number.
fn dev_major(dev: u64) -> u32 {
    ((dev >> 32) as u32 & 0xffff_f000) | ((dev >> 8) as u32 & 0xfff)
}

/// The minor part of a Linux device number.
fn dev_minor(dev: u64) -> u32 {
    ((dev >> 12) as u32 & 0xffff_ff00) | (dev as u32 & 0xff)
}
