//! A tree as a tar stream: POSIX.1-2001 pax interchange format.
//!
//! Deterministic: entries in path order, nothing but the tree and the accounts goes in. Long names and
//! extended attributes are pax records (`path`, `linkpath`, `SCHILY.xattr.NAME`), which GNU tar,
//! libarchive (`mke2fs -d`) and `mkfs.erofs --tar` read alike.

use crate::{Accounts, Error, Kind, Node, Result, Tree, TreePath};
use lazuli_store::Store;
use std::io::{Read as _, Write};

/// Writes the tree; owners are resolved through `accounts`. Every file's content is verified while it
/// is copied.
pub fn write_tar<W: Write>(tree: &Tree, store: &Store, accounts: &Accounts, out: W) -> Result<()> {
    let mut builder = tar::Builder::new(out);
    // A hard link can only follow the file it names.
    for (path, node) in tree.iter() {
        if !matches!(node.kind, Kind::HardLink { .. }) {
            append(&mut builder, path, node, store, accounts)?;
        }
    }
    for (path, node) in tree.iter() {
        if matches!(node.kind, Kind::HardLink { .. }) {
            append(&mut builder, path, node, store, accounts)?;
        }
    }
    builder.into_inner().map_err(Error::Output)?.flush().map_err(Error::Output)
}

/// What fits into the ustar header fields for names; longer ones go into pax records.
const USTAR_NAME: usize = 100;

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &TreePath,
    node: &Node,
    store: &Store,
    accounts: &Accounts,
) -> Result<()> {
    let unknown = |what, name: &str| Error::UnknownOwner { path: path.clone(), what, name: name.to_owned() };
    let mut header = tar::Header::new_ustar();
    let mut pax: Vec<(String, Vec<u8>)> = Vec::new();
    let mut name = format!("./{}", path.as_str());
    if node.is_directory() && !path.is_root() {
        name.push('/');
    }
    if name.len() > USTAR_NAME {
        pax.push(("path".into(), name.clone().into_bytes()));
    }
    set_name(&mut header, &name);
    header.set_mode(node.mode & 0o7777);
    header.set_uid(accounts.uid(&node.user).ok_or_else(|| unknown("user", &node.user))?.into());
    header.set_gid(accounts.gid(&node.group).ok_or_else(|| unknown("group", &node.group))?.into());
    header.set_mtime(u64::try_from(node.mtime).unwrap_or(0));
    header.set_size(0);
    let set_link = |header: &mut tar::Header, pax: &mut Vec<_>, target: &str| {
        let field = &mut header.as_old_mut().linkname;
        if target.len() > field.len() {
            pax.push(("linkpath".to_owned(), target.as_bytes().to_vec()));
        }
        let len = target.len().min(field.len());
        field.fill(0);
        field[..len].copy_from_slice(&target.as_bytes()[..len]);
    };
    let mut content = None;
    match &node.kind {
        Kind::Directory => header.set_entry_type(tar::EntryType::Directory),
        Kind::File { digest, size } => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(*size);
            content = Some((digest, *size));
        }
        Kind::Symlink { target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            set_link(&mut header, &mut pax, target);
        }
        Kind::HardLink { to } => {
            header.set_entry_type(tar::EntryType::Link);
            set_link(&mut header, &mut pax, &format!("./{}", to.as_str()));
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            header.set_entry_type(if matches!(node.kind, Kind::CharDevice { .. }) {
                tar::EntryType::Char
            } else {
                tar::EntryType::Block
            });
            header.set_device_major(*major).map_err(Error::Output)?;
            header.set_device_minor(*minor).map_err(Error::Output)?;
        }
        Kind::Fifo => header.set_entry_type(tar::EntryType::Fifo),
    }
    if !matches!(node.kind, Kind::HardLink { .. }) {
        pax.extend(node.xattrs.iter().map(|(k, v)| (format!("SCHILY.xattr.{k}"), v.clone())));
    }
    if !pax.is_empty() {
        builder
            .append_pax_extensions(pax.iter().map(|(k, v)| (k.as_str(), v.as_slice())))
            .map_err(Error::Output)?;
    }
    header.set_cksum();
    match content {
        // Small files dominate: read them whole, which also verifies them.
        Some((digest, size)) if size <= 1 << 20 => {
            let bytes = store.read(digest)?;
            builder.append(&header, bytes.as_slice()).map_err(Error::Output)
        }
        Some((digest, size)) => {
            let mut file = store.open_blob(digest)?.take(size);
            builder.append(&header, &mut file).map_err(Error::Output)
        }
        None => builder.append(&header, std::io::empty()).map_err(Error::Output),
    }
}

fn set_name(header: &mut tar::Header, name: &str) {
    let field = &mut header.as_old_mut().name;
    let len = name.len().min(field.len());
    field.fill(0);
    field[..len].copy_from_slice(&name.as_bytes()[..len]);
}
