//! A tar stream as a tree: ustar, pax and GNU archives, as packages contain them.

use crate::{Error, Kind, Node, Result, Tree, TreePath};
use lazuli_store::{Digest, Store};
use std::io::{Read, Write as _};

/// What an archive from outside may cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of entries.
    pub entries: usize,
    /// Size of one file in bytes.
    pub file_size: u64,
    /// Sum of the sizes of all files in bytes.
    pub total_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, file_size: 8 << 30, total_size: 32 << 30 }
    }
}

/// Reads an archive; contents go into the store. Names that would lead out of the tree, entries of
/// unknown kind and archives beyond the limits are errors. Owners become names; where the archive has
/// none, number 0 is `root` and others stay numbers.
pub fn read_tar<R: Read>(input: R, store: &Store, limits: &Limits) -> Result<Tree> {
    let mut archive = tar::Archive::new(input);
    let mut tree = Tree::new();
    let mut total = 0_u64;
    let damaged = |entry: String, e: &std::io::Error| Error::Archive { entry, reason: e.to_string() };
    let entries = archive.entries().map_err(|e| damaged("1".into(), &e))?;
    for (number, entry) in entries.enumerate() {
        let number = number + 1;
        let mut entry = entry.map_err(|e| damaged(number.to_string(), &e))?;
        if number > limits.entries {
            let reason = format!("more than {} entries", limits.entries);
            return Err(Error::Archive { entry: number.to_string(), reason });
        }
        let path = TreePath::from_bytes(&entry.path_bytes())
            .map_err(|source| Error::Path { entry: number.to_string(), source })?;
        let label = format!("{number} ({path})");
        let fail = |reason: String| Error::Archive { entry: label.clone(), reason };
        let io = |e: std::io::Error| damaged(label.clone(), &e);
        let mut xattrs = std::collections::BTreeMap::new();
        if let Some(extensions) = entry.pax_extensions().map_err(io)? {
            for extension in extensions {
                let extension = extension.map_err(io)?;
                if let Ok(key) = extension.key()
                    && let Some(name) = key.strip_prefix("SCHILY.xattr.")
                {
                    xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
                }
            }
        }
        let header = entry.header();
        let mode = header.mode().map_err(io)? & 0o7777;
        let mtime = i64::try_from(header.mtime().map_err(io)?).unwrap_or(0);
        let owner = |name: Option<&[u8]>, id: u64| match name {
            Some(name) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            _ if id == 0 => "root".to_owned(),
            _ => id.to_string(),
        };
        let user = owner(header.username_bytes(), header.uid().map_err(io)?);
        let group = owner(header.groupname_bytes(), header.gid().map_err(io)?);
        let device = || -> Result<(u32, u32)> {
            Ok((
                header.device_major().map_err(io)?.unwrap_or(0),
                header.device_minor().map_err(io)?.unwrap_or(0),
            ))
        };
        let link = || -> Result<String> {
            let bytes = entry.link_name_bytes().ok_or_else(|| fail("a link without a target".into()))?;
            String::from_utf8(bytes.into_owned()).map_err(|_| fail("a link target that is not UTF-8".into()))
        };
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Symlink { target: link()? },
            tar::EntryType::Link => {
                let to =
                    TreePath::new(&link()?).map_err(|source| Error::Path { entry: label.clone(), source })?;
                if !matches!(tree.get(&to).map(|n| &n.kind), Some(Kind::File { .. })) {
                    return Err(fail(format!("a hard link to {to}, which is not a file before it")));
                }
                Kind::HardLink { to }
            }
            tar::EntryType::Char => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
            tar::EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
            tar::EntryType::Fifo => Kind::Fifo,
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let size = entry.size();
                total = total.saturating_add(size);
                if size > limits.file_size || total > limits.total_size {
                    return Err(fail(format!("{size} bytes are more than the limit allows")));
                }
                let digest = store_content(&mut entry, size, store, &label)?;
                Kind::File { digest, size }
            }
            other => return Err(fail(format!("an entry of unsupported type {other:?}"))),
        };
        tree.insert(path, Node { kind, mode, user, group, mtime, xattrs });
    }
    Ok(tree)
}

/// Files up to this size are read whole and skipped when the store has them already.
const SMALL: u64 = 1 << 20;

fn store_content<R: Read>(entry: &mut R, size: u64, store: &Store, label: &str) -> Result<Digest> {
    let io = |e: std::io::Error| Error::Archive { entry: label.to_owned(), reason: e.to_string() };
    let truncated =
        || Error::Archive { entry: label.to_owned(), reason: "the archive ends inside it".into() };
    if size <= SMALL {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(io)?;
        if content.len() as u64 != size {
            return Err(truncated());
        }
        return Ok(store.put(&content)?);
    }
    let mut writer = store.writer()?;
    let mut buffer = vec![0; 128 << 10];
    let mut copied = 0;
    loop {
        let n = entry.read(&mut buffer).map_err(io)?;
        if n == 0 {
            break;
        }
        writer
            .write_all(&buffer[..n])
            .map_err(|e| Error::Fs(lazuli_fs::Error::new("write", writer.path(), e)))?;
        copied += n as u64;
    }
    if copied != size {
        return Err(truncated());
    }
    Ok(writer.finish()?.0)
}
