//! The file list of a package, as much of it as installing needs.

use lazuli_rpm::builder::FileFlags;
use lazuli_rpm::{Header, caps, tag};
use lazuli_tree::TreePath;
use std::collections::HashSet;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Regular,
    Symlink,
    Character,
    Block,
    Fifo,
    Other,
}

impl Kind {
    pub(crate) fn of(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::Character,
            0o060_000 => Self::Block,
            0o010_000 => Self::Fifo,
            _ => Self::Other,
        }
    }
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct FileInfo {
    /// Relative to the root, without a slash at its start; the root itself is empty.
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// In hexadecimal; empty for anything but a regular file, and for ghosts.
    pub(crate) digest: String,
    /// RFC 9580, section 9.5; 1 is MD5, which is what packages without the tag have.
    pub(crate) algorithm: u32,
    pub(crate) link: String,
    pub(crate) rdev: (u32, u32),
    pub(crate) mtime: i64,
    pub(crate) flags: FileFlags,
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) capabilities: Option<Vec<u8>>,
    pub(crate) inode: (u64, u64),
    pub(crate) color: u32,
}

impl FileInfo {
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.mode)
    }

    pub(crate) fn is(&self, flag: FileFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Whether two packages may own this path together; RPM's rule.
    pub(crate) fn same(&self, other: &Self) -> bool {
        if self.is(FileFlags::GHOST) || other.is(FileFlags::GHOST) {
            return true;
        }
        if self.kind() != other.kind() {
            return false;
        }
        let content = match self.kind() {
            // The permission bits of a link mean nothing.
            Kind::Symlink => return self.link == other.link,
            Kind::Regular => {
                self.size == other.size && self.algorithm == other.algorithm && self.digest == other.digest
            }
            Kind::Character | Kind::Block => self.rdev == other.rdev,
            _ => true,
        };
        content && self.mode == other.mode && self.user == other.user && self.group == other.group
    }
}

/// All files of a package, in the header's order, or what is wrong with the list.
pub(crate) fn read(header: &Header) -> Result<Vec<FileInfo>, String> {
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
    let colors = header.numbers(tag::FILECOLORS);
    let capabilities = header.strings(tag::FILECAPS);
    let sizes = header.file_sizes();
    let algorithm = header.number(tag::FILEDIGESTALGO).map_or(1, |a| a as u32);
    let paths = header.paths();
    let mut seen = HashSet::with_capacity(paths.len());
    let mut files = Vec::with_capacity(paths.len());
    for (i, path) in paths.iter().enumerate() {
        let path = TreePath::new(path).map_err(|e| e.to_string())?.as_str().to_owned();
        if !seen.insert(path.clone()) {
            return Err(format!("/{path} is in the package twice"));
        }
        let need =
            |list: &[u64], what: &str| list.get(i).copied().ok_or_else(|| format!("/{path} has no {what}"));
        let text = |list: &[String]| list.get(i).cloned().unwrap_or_default();
        let rdev = rdevs.get(i).copied().unwrap_or(0);
        let caps_text = text(&capabilities);
        let capabilities = match &caps_text[..] {
            "" => None,
            text => Some(
                caps::parse(text)
                    .ok_or_else(|| format!("/{path}: the capabilities `{text}` are not understood"))?,
            ),
        };
        files.push(FileInfo {
            mode: need(&modes, "mode")? as u32 & 0o177_777,
            size: need(&sizes, "size")?,
            mtime: i64::try_from(need(&mtimes, "time")?).unwrap_or(i64::MAX),
            digest: text(&digests),
            algorithm,
            link: text(&links),
            rdev: ((rdev >> 8) as u32 & 0xff, rdev as u32 & 0xff),
            flags: FileFlags(flags.get(i).copied().unwrap_or(0) as u32),
            user: text(&users),
            group: text(&groups),
            capabilities,
            inode: (devices.get(i).copied().unwrap_or(0), inodes.get(i).copied().unwrap_or(i as u64 + 1)),
            color: colors.get(i).copied().unwrap_or(0) as u32,
            path,
        });
    }
    Ok(files)
}
