//! Putting trees over one another, and telling them apart.

use crate::{Kind, Node, Tree, TreePath};

/// Two trees that cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two parts own different things at one path.
    #[error(
        "{path} is in both {first} and {second} with different {what}; drop it from one of them \
         (drop-files in its overlay) or let the packages conflict"
    )]
    Conflict {
        /// The path.
        path: TreePath,
        /// The part that came first.
        first: String,
        /// The part that came second.
        second: String,
        /// What differs.
        what: &'static str,
    },
}

/// Merges named parts. A directory may be in several parts: the last one's owner, mode and time are
/// kept, as RPM does. Anything else may be in several parts only if it is identical (times aside).
pub fn merge<'a>(parts: impl IntoIterator<Item = (&'a str, &'a Tree)>) -> Result<Tree, MergeError> {
    let mut merged = Tree::new();
    let mut owner: std::collections::HashMap<&TreePath, &str> = std::collections::HashMap::new();
    for (name, part) in parts {
        for (path, node) in part.iter() {
            if let Some(there) = merged.get(path) {
                if let Some(what) = difference(there, node) {
                    return Err(MergeError::Conflict {
                        path: path.clone(),
                        first: owner.get(path).copied().unwrap_or_default().to_owned(),
                        second: name.to_owned(),
                        what,
                    });
                }
                if !node.is_directory() {
                    continue;
                }
            }
            owner.insert(path, name);
            merged.insert(path.clone(), node.clone());
        }
    }
    Ok(merged)
}

/// What keeps two nodes from sharing a path; `None` if they may.
fn difference(a: &Node, b: &Node) -> Option<&'static str> {
    match (&a.kind, &b.kind) {
        (Kind::Directory, Kind::Directory) => None,
        (Kind::File { .. }, Kind::File { .. })
        | (Kind::Symlink { .. }, Kind::Symlink { .. })
        | (Kind::HardLink { .. }, Kind::HardLink { .. })
            if a.kind != b.kind =>
        {
            Some("content")
        }
        _ if a.kind != b.kind => Some("kinds"),
        _ if (&a.user, &a.group) != (&b.user, &b.group) => Some("owners"),
        _ if a.mode != b.mode => Some("permissions"),
        _ if a.xattrs != b.xattrs => Some("extended attributes"),
        _ => None,
    }
}

/// One difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only the new tree has it.
    Added(&'a TreePath, &'a Node),
    /// Only the old tree has it.
    Removed(&'a TreePath, &'a Node),
    /// Both have it, not the same.
    Changed(&'a TreePath, &'a Node, &'a Node),
}

/// The differences from `old` to `new`, in path order.
pub fn diff<'a>(old: &'a Tree, new: &'a Tree) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    let mut left = old.iter().peekable();
    let mut right = new.iter().peekable();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return changes,
        };
        match order {
            std::cmp::Ordering::Less => changes.extend(left.next().map(|(p, n)| Change::Removed(p, n))),
            std::cmp::Ordering::Greater => changes.extend(right.next().map(|(p, n)| Change::Added(p, n))),
            std::cmp::Ordering::Equal => {
                if let (Some((path, a)), Some((_, b))) = (left.next(), right.next())
                    && a != b
                {
                    changes.push(Change::Changed(path, a, b));
                }
            }
        }
    }
}
