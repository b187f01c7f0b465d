//! What the header says about the files of a package.

use super::Error;
use crate::builder::FileFlags;
use crate::header::Header;
use crate::tag;
use lazuli_tree::{Kind, Node, TreePath};
use std::collections::{BTreeMap, HashMap};

/// One file.
pub(super) struct File {
    pub(super) path: TreePath,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Of the content, in hexadecimal; SHA-256 if it has 64 digits.
    pub(super) digest: String,
    pub(super) link: String,
    pub(super) rdev: (u32, u32),
    /// Device and inode number, equal for the links of one file.
    pub(super) inode: (u64, u64),
    pub(super) ghost: bool,
    mtime: i64,
    user: String,
    group: String,
    /// `security.capability`.
    capabilities: Option<Vec<u8>>,
}

impl File {
    pub(super) fn regular(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub(super) fn node(&self, kind: Kind) -> Node {
        let mut xattrs = BTreeMap::new();
        if let Some(value) = &self.capabilities {
            xattrs.insert("security.capability".into(), value.clone());
        }
        Node {
            kind,
            mode: self.mode & 0o7777,
            user: self.user.clone(),
            group: self.group.clone(),
            mtime: self.mtime,
            xattrs,
        }
    }
}

/// All of them, in the header's order.
pub(super) struct FileList {
    files: Vec<File>,
    by_path: HashMap<TreePath, usize>,
}

impl FileList {
    pub(super) fn read(header: &Header) -> Result<Self, Error> {
        let modes = header.numbers(tag::FILEMODES);
        let mtimes = header.numbers(tag::FILEMTIMES);
        let users = header.strings(tag::FILEUSERNAME);
        let groups = header.strings(tag::FILEGROUPNAME);
        let links = header.strings(tag::FILELINKTOS);
        let digests = header.strings(tag::FILEDIGESTS);
        let flags = header.numbers(tag::FILEFLAGS);
        let devices = header.numbers(tag::FILEDEVICES);
        let inodes = header.numbers(tag::FILEINODES);
        let rdevs = header.numbers(tag::FILERDEVS);
        let caps = header.strings(tag::FILECAPS);
        let sizes = header.file_sizes();
        let (mut files, mut by_path) = (Vec::new(), HashMap::new());
        for (i, path) in header.paths().iter().enumerate() {
            let path = TreePath::new(path).map_err(|e| Error::Files(e.to_string()))?;
            let need = |list: &[u64], what: &str| {
                list.get(i).copied().ok_or_else(|| Error::Files(format!("{path} has no {what}")))
            };
            let text = |list: &[String]| list.get(i).cloned().unwrap_or_default();
            let caps = text(&caps);
            let capabilities = match &caps[..] {
                "" => None,
                text => Some(crate::caps::parse(text).ok_or_else(|| {
                    Error::Files(format!("{path}: the capabilities `{text}` are not understood"))
                })?),
            };
            let rdev = rdevs.get(i).copied().unwrap_or(0);
            files.push(File {
                mode: need(&modes, "mode")? as u32,
                mtime: i64::try_from(need(&mtimes, "time")?).unwrap_or(i64::MAX),
                user: text(&users),
                group: text(&groups),
                link: text(&links),
                digest: text(&digests),
                size: need(&sizes, "size")?,
                inode: (devices.get(i).copied().unwrap_or(0), inodes.get(i).copied().unwrap_or(i as u64 + 1)),
                rdev: ((rdev >> 8) as u32 & 0xff, rdev as u32 & 0xff),
                ghost: flags.get(i).is_some_and(|f| FileFlags(*f as u32).contains(FileFlags::GHOST)),
                capabilities,
                path: path.clone(),
            });
            if by_path.insert(path, i).is_some() {
                return Err(Error::Files(format!("{} is there twice", files[i].path)));
            }
        }
        Ok(Self { files, by_path })
    }

    /// Those that are in the payload.
    pub(super) fn shipped(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !file.ghost)
    }

    pub(super) fn at(&self, path: &TreePath) -> Option<&File> {
        self.by_path.get(path).map(|i| &self.files[*i])
    }

    /// The number of one of these files.
    pub(super) fn index(&self, file: &File) -> usize {
        self.by_path.get(&file.path).copied().unwrap_or(usize::MAX)
    }

    pub(super) fn number(&self, number: usize) -> Option<&File> {
        self.files.get(number)
    }
}
