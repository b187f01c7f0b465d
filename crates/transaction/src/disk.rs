//! Small operations on a root that take several effects: directories with their parents, metadata.

use crate::files::Kind;
use crate::plan::Meta;
use crate::root::{Root, split};
use crate::{Error, Ownership, effect};
use lazuli_fs::Context as _;
use lazuli_tree::Accounts;
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;
use std::io::Read as _;

/// The most bytes of passwd(5) and group(5) that are read.
const MAX_ACCOUNTS: u64 = 64 << 20;

/// The most symbolic links that one path may lead through.
const MAX_LINKS: usize = 40;

/// Makes a directory and its parents, all of them root's with mode 0755, unless they are there.
/// Where a symbolic link stands in for one of them, what it leads to is made.
pub(crate) fn make_directories(root: &Root, path: &str) -> Result<(), Error> {
    make(root, path, 0)
}

fn make(root: &Root, path: &str, links: usize) -> Result<(), Error> {
    if path.is_empty() || root.directory(path)?.is_some() {
        return Ok(());
    }
    let (parent, name) = split(path);
    make(root, parent, links)?;
    let Some(directory) = root.directory(parent)? else { return Ok(()) };
    let label = root.label(path);
    let link = stat(directory.as_fd(), name, &label)?.is_some_and(|s| Kind::of(s.st_mode) == Kind::Symlink);
    if link && links < MAX_LINKS {
        let target = root.read_link(path)?;
        let target = match target.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None if parent.is_empty() => target,
            None => format!("{parent}/{target}"),
        };
        return make(root, target.trim_end_matches('/'), links + 1);
    }
    effect::mkdir(directory.as_fd(), name, 0o755, &label)?;
    // Whatever the umask is.
    Ok(effect::chmod(directory.as_fd(), name, 0o755, &label)?)
}

/// The users and groups of the root.
pub(crate) fn accounts(root: &Root) -> Result<Accounts, Error> {
    let read = |path: &str| -> Result<String, Error> {
        if root.stat(path)?.is_none() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        root.read(path)?.take(MAX_ACCOUNTS).read_to_end(&mut bytes).at("read", root.label(path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Accounts::from_passwd_group(&read("etc/passwd")?, &read("etc/group")?))
}

/// The numbers of a file's user and group. RPM gives root what belongs to nobody it knows.
pub(crate) struct Owner<'a> {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A name that is not known.
    pub(crate) unknown: Option<&'a str>,
}

impl<'a> Owner<'a> {
    pub(crate) fn of(meta: &'a Meta, accounts: &Accounts) -> Self {
        let number = |name: &str, number: Option<u32>| if name.is_empty() { Some(0) } else { number };
        let uid = number(&meta.user, accounts.uid(&meta.user));
        let gid = number(&meta.group, accounts.gid(&meta.group));
        let unknown = match (uid, gid) {
            (None, _) => Some(&meta.user[..]),
            (_, None) => Some(&meta.group[..]),
            _ => None,
        };
        Self { uid: uid.unwrap_or(0), gid: gid.unwrap_or(0), unknown }
    }
}

/// Sets owner, mode, capabilities and time, in this order: a new owner clears the set-user-id bit and the
/// capabilities. Someone whose name is not known gets no set-user-id program. Says whether the owner
/// could be set.
pub(crate) fn set_meta(
    directory: BorrowedFd<'_>,
    name: &str,
    meta: &Meta,
    owner: &Owner<'_>,
    ownership: Ownership,
    label: &str,
) -> Result<bool, Error> {
    let allowed = |result: lazuli_fs::Result<()>| match result {
        Ok(()) => Ok(true),
        Err(e) if ownership == Ownership::Caller && is(&e, &[Errno::PERM, Errno::INVAL, Errno::NOTSUP]) => {
            Ok(false)
        }
        Err(e) => Err(e),
    };
    let mut owned = allowed(effect::chown(directory, name, owner.uid, owner.gid, label))?;
    if meta.mode & 0o170_000 != 0o120_000 {
        let dangerous = if owner.unknown.is_some() || !owned { 0o6000 } else { 0 };
        effect::chmod(directory, name, meta.mode & 0o7777 & !dangerous, label)?;
        if let Some(value) = &meta.capabilities {
            owned &= allowed(effect::set_capabilities(directory, name, value, label))?;
        }
    }
    effect::set_time(directory, name, meta.mtime, label)?;
    Ok(owned)
}

/// Whether an error has one of these numbers.
pub(crate) fn is(error: &lazuli_fs::Error, numbers: &[Errno]) -> bool {
    error.source.raw_os_error().is_some_and(|n| numbers.iter().any(|e| e.raw_os_error() == n))
}

/// What is under a name of a directory.
pub(crate) fn stat(directory: BorrowedFd<'_>, name: &str, label: &str) -> Result<Option<Stat>, Error> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e).at("stat", label).map_err(Error::from),
    }
}
