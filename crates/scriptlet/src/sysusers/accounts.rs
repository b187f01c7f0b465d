//! The account files of a root: `etc/passwd`, `etc/group`, `etc/shadow`, `etc/gshadow`.
//!
//! What is there is kept as it stands, byte for byte; new accounts are added at the end (before a line
//! that starts with `+`, which must be last), with the password locked. The files are replaced one by one,
//! groups first, each written in full and synced before it takes the place of the old one; the lock of
//! `lckpwdf` is held meanwhile.

use super::Error;
use super::line::{Id, Line};
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The largest account file in bytes.
const MAX: u64 = 64 << 20;
/// Numbers of accounts that nobody chose: the highest free one of these is taken, as systemd does.
const SYSTEM: (u32, u32) = (1, 999);
/// The files, in the order in which they are replaced, with the mode of a new one.
const FILES: [(&str, u32); 4] = [("group", 0o644), ("gshadow", 0), ("passwd", 0o644), ("shadow", 0)];

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A user.
    User {
        /// Name.
        name: String,
        /// Number.
        uid: u32,
        /// Number of its group.
        gid: u32,
    },
    /// A group.
    Group {
        /// Name.
        name: String,
        /// Number.
        gid: u32,
    },
    /// A member of a group.
    Member {
        /// User.
        user: String,
        /// Group.
        group: String,
    },
}

/// One file as it was read.
#[derive(Debug, Default)]
struct Table {
    lines: Vec<String>,
    /// Mode and owner, if the file exists.
    like: Option<(u32, u32, u32)>,
    changed: bool,
}

impl Table {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self { lines: text.lines().map(str::to_owned).collect(), like: None, changed: false }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.split(':').next() == Some(name))
    }

    fn field(&self, line: usize, field: usize) -> Option<&str> {
        self.lines.get(line)?.split(':').nth(field)
    }

    fn number(&self, name: &str, field: usize) -> Option<u32> {
        self.field(self.find(name)?, field)?.parse().ok()
    }

    fn has_number(&self, number: u32) -> bool {
        let number = number.to_string();
        self.lines.iter().any(|line| line.split(':').nth(2) == Some(&number))
    }

    fn add(&mut self, line: String) {
        let at = self.lines.iter().position(|line| line.starts_with('+')).unwrap_or(self.lines.len());
        self.lines.insert(at, line);
        self.changed = true;
    }

    /// Adds a name to the list in a field; false if it was there.
    fn add_member(&mut self, group: &str, field: usize, user: &str) -> bool {
        let Some(line) = self.find(group).and_then(|at| self.lines.get_mut(at)) else { return false };
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if fields.len() <= field {
            fields.resize(field + 1, String::new());
        }
        let members = &mut fields[field];
        if members.split(',').any(|member| member == user) {
            return false;
        }
        if !members.is_empty() {
            members.push(',');
        }
        members.push_str(user);
        *line = fields.join(":");
        self.changed = true;
        true
    }
}

/// The accounts of a root.
#[derive(Debug)]
pub struct Accounts {
    root: PathBuf,
    directory: Option<(OwnedFd, OwnedFd)>,
    tables: BTreeMap<&'static str, Table>,
    range: (u32, u32),
    /// Days since 1970.
    today: u64,
    changes: Vec<Change>,
}

fn at(root: &Path, name: &str, op: &'static str) -> impl Fn(Errno) -> lazuli_fs::Error {
    let path = root.join("etc").join(name);
    move |errno| lazuli_fs::Error::new(op, path.clone(), errno.into())
}

impl Accounts {
    /// Reads the files; those that are not there are empty. The lock is taken and held until this is
    /// written or dropped.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(root, flags, Mode::empty()).map_err(at(root, "", "open"))?;
        match rustix::fs::mkdirat(&top, "etc", Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(at(root, "", "create")(errno).into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let etc = rustix::fs::openat2(&top, "etc", flags, Mode::empty(), ResolveFlags::IN_ROOT)
            .map_err(at(root, "", "open"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = rustix::fs::openat(&etc, ".pwd.lock", flags, Mode::from_raw_mode(0o600)).map_err(at(
            root,
            ".pwd.lock",
            "open",
        ))?;
        rustix::fs::fcntl_lock(&lock, FlockOperation::LockExclusive).map_err(at(
            root,
            ".pwd.lock",
            "lock",
        ))?;
        let mut tables = BTreeMap::new();
        for (name, _) in FILES {
            tables.insert(name, read(root, &etc, name)?);
        }
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
        let now = || std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
        let mut accounts = Self::from_tables(tables, epoch.unwrap_or_else(now) / (24 * 60 * 60));
        accounts.root = root.to_path_buf();
        accounts.directory = Some((etc, lock));
        Ok(accounts)
    }

    fn from_tables(tables: BTreeMap<&'static str, Table>, today: u64) -> Self {
        Self { root: PathBuf::new(), directory: None, tables, range: SYSTEM, today, changes: Vec::new() }
    }

    /// Accounts from the contents of `passwd` and `group`, for tests and previews; they cannot be written.
    pub fn from_texts(passwd: &str, group: &str, today: u64) -> Self {
        let mut tables: BTreeMap<_, _> = FILES.map(|(name, _)| (name, Table::default())).into();
        tables.insert("passwd", Table::parse(passwd.as_bytes()));
        tables.insert("group", Table::parse(group.as_bytes()));
        Self::from_tables(tables, today)
    }

    fn table(&mut self, name: &'static str) -> &mut Table {
        self.tables.entry(name).or_default()
    }

    /// The lines of a file as they are now.
    pub fn lines(&self, file: &str) -> &[String] {
        self.tables.get(file).map_or(&[], |table| &table.lines)
    }

    /// What was added so far.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Does what a line asks for, if it is not so already.
    pub fn apply(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::User { name, id, description, home, shell, locked } => {
                if self.table("passwd").find(name).is_some() {
                    return Ok(());
                }
                let (uid, gid) = self.user_ids(name, id)?;
                let home = home.as_deref().unwrap_or("/");
                let shell =
                    shell.as_deref().unwrap_or(if uid == 0 { "/bin/sh" } else { "/usr/sbin/nologin" });
                self.table("passwd").add(format!("{name}:x:{uid}:{gid}:{description}:{home}:{shell}"));
                if self.table("shadow").find(name).is_none() {
                    let expires = if *locked { "1" } else { "" };
                    let today = self.today;
                    self.table("shadow").add(format!("{name}:!*:{today}:::::{expires}:"));
                }
                self.changes.push(Change::User { name: name.clone(), uid, gid });
            }
            Line::Group { name, id } => {
                let wanted = match id {
                    Id::Number(gid) | Id::Both(_, gid) => Some(*gid),
                    Id::File(path) => self.owner(path).map(|(_, gid)| gid),
                    Id::Any | Id::Group(..) => None,
                };
                self.group(name, wanted)?;
            }
            Line::Member { user, group } => {
                self.apply(&Line::Group { name: group.clone(), id: Id::Any })?;
                if self.table("passwd").find(user).is_none() {
                    let (name, id) = (user.clone(), Id::Any);
                    let description = String::new();
                    self.apply(&Line::User {
                        name,
                        id,
                        description,
                        home: None,
                        shell: None,
                        locked: false,
                    })?;
                }
                if self.table("group").add_member(group, 3, user) {
                    self.table("gshadow").add_member(group, 3, user);
                    self.changes.push(Change::Member { user: user.clone(), group: group.clone() });
                }
            }
            Line::Range { from, to } => self.range = (*from, *to),
        }
        Ok(())
    }

    /// The numbers of a new user and of its group, which is made if it is missing.
    fn user_ids(&mut self, name: &str, id: &Id) -> Result<(u32, u32), String> {
        let free = |accounts: &mut Self, uid: u32| !accounts.table("passwd").has_number(uid);
        let owner = match id {
            Id::File(path) => self.owner(path),
            _ => None,
        };
        let (wanted, gid) = match id {
            Id::Group(uid, group) => {
                let gid = self.table("group").number(group, 2);
                (*uid, gid.ok_or_else(|| format!("user {name} wants the group {group}, which is not there"))?)
            }
            Id::Both(uid, gid) => {
                if !self.table("group").has_number(*gid) {
                    self.group(name, Some(*gid))?;
                }
                (Some(*uid), *gid)
            }
            Id::Number(id) => (Some(*id), self.group(name, Some(*id))?),
            Id::Any | Id::File(_) => {
                let gid = self.group(name, owner.map(|(_, gid)| gid))?;
                (owner.map(|(uid, _)| uid), gid)
            }
        };
        let candidates = [wanted, Some(gid).filter(|_| !matches!(id, Id::Group(..)))];
        for uid in candidates.into_iter().flatten() {
            if free(self, uid) {
                return Ok((uid, gid));
            }
        }
        let (from, to) = self.range;
        let uid = (from..=to).rev().find(|uid| free(self, *uid) && !self.table("group").has_number(*uid));
        let uid =
            uid.ok_or_else(|| format!("there is no free number from {from} to {to} for user {name}"))?;
        Ok((uid, gid))
    }

    /// The number of a group, which is made if it is missing.
    fn group(&mut self, name: &str, wanted: Option<u32>) -> Result<u32, String> {
        if let Some(gid) = self.table("group").number(name, 2) {
            return Ok(gid);
        }
        let wanted = wanted.filter(|gid| !self.table("group").has_number(*gid));
        let gid = match (wanted, self.table("passwd").number(name, 2)) {
            (Some(gid), _) => gid,
            (None, Some(uid)) if !self.table("group").has_number(uid) => uid,
            _ => {
                let (from, to) = self.range;
                let free = |gid: &u32| {
                    !self.tables["group"].has_number(*gid) && !self.tables["passwd"].has_number(*gid)
                };
                (from..=to)
                    .rev()
                    .find(free)
                    .ok_or_else(|| format!("there is no free number from {from} to {to} for group {name}"))?
            }
        };
        self.table("group").add(format!("{name}:x:{gid}:"));
        if self.table("gshadow").find(name).is_none() {
            self.table("gshadow").add(format!("{name}:!*::"));
        }
        self.changes.push(Change::Group { name: name.to_owned(), gid });
        Ok(gid)
    }

    /// Who owns a file of the root.
    fn owner(&self, path: &str) -> Option<(u32, u32)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(&self.root, flags, Mode::empty()).ok()?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&top, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
        let stat = rustix::fs::fstat(file).ok()?;
        Some((stat.st_uid, stat.st_gid))
    }

    /// Replaces the files that changed. What was added is on the disk when this returns.
    pub fn write(self) -> Result<Vec<Change>, Error> {
        let Some((etc, lock)) = self.directory else { return Ok(self.changes) };
        let mut any = false;
        for (name, mode) in FILES {
            let Some(table) = self.tables.get(name).filter(|table| table.changed) else { continue };
            replace(&self.root, &etc, name, table, mode)?;
            any = true;
        }
        if any {
            rustix::fs::fsync(&etc).map_err(at(&self.root, "", "sync"))?;
        }
        drop(lock);
        Ok(self.changes)
    }
}

fn read(root: &Path, etc: &OwnedFd, name: &str) -> Result<Table, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(etc, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Table::default()),
        Err(errno) => return Err(at(root, name, "open")(errno).into()),
    };
    let stat = rustix::fs::fstat(&file).map_err(at(root, name, "stat"))?;
    let mut bytes = Vec::new();
    let fail = |error| lazuli_fs::Error::new("read", root.join("etc").join(name), error);
    File::from(file).take(MAX).read_to_end(&mut bytes).map_err(fail)?;
    let mut table = Table::parse(&bytes);
    table.like = Some((stat.st_mode & 0o7777, stat.st_uid, stat.st_gid));
    Ok(table)
}

fn replace(root: &Path, etc: &OwnedFd, name: &str, table: &Table, mode: u32) -> Result<(), Error> {
    // The name that `passwd` and its like use for theirs: a leftover is theirs to replace too.
    let new = format!("{name}+");
    match rustix::fs::unlinkat(etc, &new, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(at(root, &new, "remove")(errno).into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd =
        rustix::fs::openat(etc, &new, flags, Mode::from_raw_mode(0o600)).map_err(at(root, &new, "create"))?;
    let mut file = File::from(fd);
    let mut text = table.lines.join("\n");
    text.push('\n');
    file.write_all(text.as_bytes())
        .map_err(|error| lazuli_fs::Error::new("write", root.join("etc").join(&new), error))?;
    let (mode, uid, gid) = table.like.map_or((mode, None, None), |(mode, uid, gid)| {
        (mode, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    });
    match rustix::fs::fchown(&file, uid, gid) {
        // An ordinary user in a namespace of one has no other owner to give.
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
        Err(errno) => return Err(at(root, &new, "chown")(errno).into()),
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(at(root, &new, "chmod"))?;
    rustix::fs::fsync(&file).map_err(at(root, &new, "sync"))?;
    rustix::fs::renameat(etc, &new, etc, name).map_err(at(root, name, "replace"))?;
    Ok(())
}
