//! The files of a package: their list in the header.

use super::Error;
use super::class::Class;
use crate::header::{HeaderBuilder, Value};
use crate::tag;
use lazuli_store::Digest;
use lazuli_tree::{Kind, Node, TreePath};
use std::collections::{HashMap, HashSet};

/// What RPM does with a file besides installing it; RPMFILE bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFlags(pub u32);

impl FileFlags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `%config`.
    pub const CONFIG: Self = Self(1);
    /// `%doc`.
    pub const DOC: Self = Self(1 << 1);
    /// `missingok`: `rpm --verify` does not mind if it is gone.
    pub const MISSINGOK: Self = Self(1 << 3);
    /// `noreplace`, with [`FileFlags::CONFIG`].
    pub const NOREPLACE: Self = Self(1 << 4);
    /// `%ghost`: owned, but not shipped.
    pub const GHOST: Self = Self(1 << 6);
    /// `%license`.
    pub const LICENSE: Self = Self(1 << 7);
    /// `%readme`.
    pub const README: Self = Self(1 << 8);
    /// `%artifact`: a by-product of the build.
    pub const ARTIFACT: Self = Self(1 << 12);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for FileFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One path of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where.
    pub path: TreePath,
    /// What; contents are in the store.
    pub node: Node,
    /// How RPM treats it.
    pub flags: FileFlags,
    /// File capabilities as setcap(8) writes them.
    pub capabilities: Option<String>,
}

/// `rpm --verify` checks everything.
const VERIFY_ALL: u32 = 0xffff_ffff;
/// Of a ghost it cannot check digest, size, link target and time.
const VERIFY_GHOST: u32 = !(1 | 1 << 1 | 1 << 2 | 1 << 5);
/// The digest of files is SHA-256 (RFC 9580, section 9.5).
pub(super) const SHA256: u32 = 8;

/// A file with what has to be known about the others for it.
pub(super) struct Item<'a> {
    pub(super) path: &'a TreePath,
    pub(super) flags: FileFlags,
    /// Of a hard link, the node of the file that it is a link to: they have one inode.
    pub(super) node: &'a Node,
    pub(super) capabilities: Option<&'a str>,
    /// Inode number from 1 and how many links of the package it has.
    pub(super) inode: u32,
    pub(super) links: u32,
    /// Whether its content comes with it: of several links, with the last.
    pub(super) carrier: bool,
    pub(super) class: Class,
}

impl Item<'_> {
    pub(super) fn ghost(&self) -> bool {
        self.flags.contains(FileFlags::GHOST)
    }

    /// File type and permission bits.
    pub(super) fn mode(&self) -> u32 {
        let kind = match self.node.kind {
            Kind::Directory => 0o040_000,
            Kind::File { .. } | Kind::HardLink { .. } => 0o100_000,
            Kind::Symlink { .. } => 0o120_000,
            Kind::CharDevice { .. } => 0o020_000,
            Kind::BlockDevice { .. } => 0o060_000,
            Kind::Fifo => 0o010_000,
        };
        kind | self.node.mode & 0o7777
    }

    pub(super) fn rdev(&self) -> (u32, u32) {
        match self.node.kind {
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => (major, minor),
            _ => (0, 0),
        }
    }

    pub(super) fn content(&self) -> Option<(Digest, u64)> {
        match self.node.kind {
            Kind::File { digest, size } => Some((digest, size)),
            _ => None,
        }
    }

    pub(super) fn target(&self) -> Option<&str> {
        match &self.node.kind {
            Kind::Symlink { target } => Some(target),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match (self.content(), self.target()) {
            (Some((_, size)), _) => size,
            (_, Some(target)) => target.len() as u64,
            _ => 0,
        }
    }

    pub(super) fn mtime(&self) -> u32 {
        super::seconds(self.node.mtime)
    }
}

/// The files in the order of their paths, hard links resolved.
pub(super) fn arrange(files: &[FileEntry]) -> Result<Vec<Item<'_>>, Error> {
    let mut sorted: Vec<&FileEntry> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let fail = |path: &TreePath, reason: String| Error::File { path: path.clone(), reason };
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(fail(&pair[0].path, "it is in the package twice".into()));
    }
    let by_path: HashMap<&TreePath, &FileEntry> = sorted.iter().map(|f| (&f.path, *f)).collect();
    let mut inodes: HashMap<&TreePath, u32> = HashMap::new();
    let mut items = Vec::with_capacity(sorted.len());
    for file in sorted {
        let owner = match &file.node.kind {
            Kind::HardLink { to } => match by_path.get(to) {
                Some(owner) if matches!(owner.node.kind, Kind::File { .. }) => *owner,
                _ => {
                    let reason = format!("it is a hard link to {to}, which is not a file of the package");
                    return Err(fail(&file.path, reason));
                }
            },
            _ => file,
        };
        let next = inodes.len() as u32 + 1;
        items.push(Item {
            path: &file.path,
            flags: file.flags,
            node: &owner.node,
            capabilities: owner.capabilities.as_deref(),
            inode: *inodes.entry(&owner.path).or_insert(next),
            links: 1,
            carrier: false,
            class: Class::of(&owner.node),
        });
    }
    let mut links: HashMap<u32, u32> = HashMap::new();
    for item in items.iter_mut().rev().filter(|i| !i.ghost()) {
        let count = links.entry(item.inode).or_default();
        *count += 1;
        item.carrier = *count == 1;
    }
    for item in &mut items {
        item.links = links.get(&item.inode).copied().unwrap_or(1);
    }
    Ok(items)
}

/// Whether sizes need 64 bits, and the archive its form without sizes.
pub(super) fn large(items: &[Item<'_>]) -> bool {
    items.iter().any(|item| u32::try_from(item.size()).is_err())
}

/// Writes the tags of the file list.
pub(super) fn tags<'a>(h: &mut HeaderBuilder, items: &[Item<'a>], large: bool) {
    let mut counted = HashSet::new();
    let total: u64 = items.iter().filter(|i| !i.ghost() && counted.insert(i.inode)).map(Item::size).sum();
    match u32::try_from(total) {
        Ok(total) => h.number(tag::SIZE, total),
        Err(_) => h.set(tag::LONGSIZE, Value::Int64(vec![total])),
    };
    if items.is_empty() {
        return;
    }
    let mut dirs: Vec<String> = Vec::new();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut indexes = Vec::new();
    for item in items {
        let parent = item.path.parent().unwrap_or_default();
        let dir = if parent.is_root() { "/".to_owned() } else { format!("/{}/", parent.as_str()) };
        indexes.push(*known.entry(dir.clone()).or_insert_with(|| {
            dirs.push(dir);
            dirs.len() as u32 - 1
        }));
    }
    let numbers = |f: &dyn Fn(&Item<'a>) -> u32| Value::Int32(items.iter().map(f).collect());
    let shorts = |f: &dyn Fn(&Item<'a>) -> u32| Value::Int16(items.iter().map(|i| f(i) as u16).collect());
    let strings = |f: &dyn Fn(&Item<'a>) -> String| Value::StringArray(items.iter().map(f).collect());
    h.set(tag::DIRNAMES, Value::StringArray(dirs)).set(tag::DIRINDEXES, Value::Int32(indexes));
    h.set(tag::BASENAMES, strings(&|i| i.path.file_name().to_owned()));
    if large {
        h.set(tag::LONGFILESIZES, Value::Int64(items.iter().map(Item::size).collect()));
    } else {
        h.set(tag::FILESIZES, numbers(&|i| i.size() as u32));
    }
    h.set(tag::FILEMODES, shorts(&Item::mode));
    h.set(tag::FILERDEVS, shorts(&|i| i.rdev().0 << 8 | i.rdev().1 & 0xff));
    h.set(tag::FILEMTIMES, numbers(&Item::mtime));
    h.set(
        tag::FILEDIGESTS,
        strings(&|i| match i.content() {
            Some((digest, _)) if !i.ghost() => digest.to_string(),
            _ => String::new(),
        }),
    );
    h.number(tag::FILEDIGESTALGO, SHA256);
    h.set(tag::FILELINKTOS, strings(&|i| i.target().unwrap_or_default().to_owned()));
    h.set(tag::FILEFLAGS, numbers(&|i| i.flags.0));
    h.set(tag::FILEUSERNAME, strings(&|i| i.node.user.clone()));
    h.set(tag::FILEGROUPNAME, strings(&|i| i.node.group.clone()));
    h.set(tag::FILEVERIFYFLAGS, numbers(&|i| if i.ghost() { VERIFY_GHOST } else { VERIFY_ALL }));
    h.set(tag::FILEDEVICES, numbers(&|_| 1));
    h.set(tag::FILEINODES, numbers(&|i| i.inode));
    h.set(tag::FILELANGS, strings(&|_| String::new()));
    if items.iter().any(|i| i.capabilities.is_some()) {
        h.set(tag::FILECAPS, strings(&|i| i.capabilities.unwrap_or_default().to_owned()));
    }
    super::class::tags(h, items);
}
