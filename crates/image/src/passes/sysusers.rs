//! Users and groups from `sysusers.d(5)`: `/etc/passwd`, `group`, `shadow` and `gshadow`.
//!
//! Our own implementation rather than `systemd-sysusers`, because numbers must not depend on the order
//! in which files are found nor on the clock: fixed numbers are given out first, then free ones from
//! 999 downwards in the order of names. Nobody gets a password.

use super::{Error, Result};
use lazuli_store::Store;
use lazuli_tree::{Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};

/// The highest number for system users and groups that are allocated here.
const LAST_SYSTEM: u32 = 999;
/// The lowest one.
const FIRST_SYSTEM: u32 = 100;

/// What one line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    User {
        name: String,
        uid: Option<u32>,
        group: Option<GroupRef>,
        gecos: String,
        home: String,
        shell: String,
        locked: bool,
    },
    Group {
        name: String,
        gid: Option<u32>,
    },
    Member {
        user: String,
        group: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GroupRef {
    Id(u32),
    Name(String),
}

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    gecos: String,
    home: String,
    shell: String,
    locked: bool,
}

/// Makes the account files from all `usr/lib/sysusers.d/*.conf` and `etc/sysusers.d/*.conf`. Accounts
/// that the tree's own files already have are kept with their numbers.
pub fn sysusers(tree: &mut Tree, store: &Store) -> Result<()> {
    let mut lines = Vec::new();
    for (path, text) in super::config_files(tree, store, "sysusers.d")? {
        for (number, line) in text.lines().enumerate() {
            let fail = |reason: String| Error::Config { path: path.clone(), line: number + 1, reason };
            if let Some(line) = parse(line).map_err(fail)? {
                lines.push(line);
            }
        }
    }
    let accounts = allocate(lines, existing(tree, store)?).map_err(Error::Accounts)?;
    for (name, text, mode, group) in accounts.files() {
        let path = TreePath::new(&format!("etc/{name}")).map_err(Error::Path)?;
        let node = tree.put_file(store, path, text.as_bytes())?;
        node.mode = mode;
        group.clone_into(&mut node.group);
    }
    Ok(())
}

/// The accounts of a whole system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, u32>,
    members: BTreeMap<String, BTreeSet<String>>,
}

fn existing(tree: &Tree, store: &Store) -> Result<Accounts> {
    let mut accounts = Accounts::default();
    let read = |name: &str| -> Result<String> {
        let path = TreePath::new(&format!("etc/{name}")).map_err(Error::Path)?;
        Ok(tree.read(store, &path)?.map(|c| String::from_utf8_lossy(&c).into_owned()).unwrap_or_default())
    };
    for line in read("group")?.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, gid, members] = fields[..]
            && let Ok(gid) = gid.parse()
        {
            accounts.groups.insert(name.to_owned(), gid);
            let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned);
            accounts.members.entry(name.to_owned()).or_default().extend(members);
        }
    }
    for line in read("passwd")?.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, uid, gid, gecos, home, shell] = fields[..]
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            let user = User {
                uid,
                gid,
                gecos: gecos.to_owned(),
                home: home.to_owned(),
                shell: shell.to_owned(),
                locked: false,
            };
            accounts.users.insert(name.to_owned(), user);
        }
    }
    Ok(accounts)
}

/// Splits a line into words; double quotes keep spaces.
fn words(line: &str) -> std::result::Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = line.trim().chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        if first == '"' {
            chars.next();
            loop {
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => word.extend(chars.next()),
                    Some(c) => word.push(c),
                    None => return Err("a quote is not closed".into()),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(c);
            }
        }
        words.push(word);
    }
    Ok(words)
}

fn parse(line: &str) -> std::result::Result<Option<Line>, String> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words = words(line)?;
    let Some(kind) = words.first() else { return Ok(None) };
    let field = |i: usize| words.get(i).map(String::as_str).filter(|w| *w != "-").unwrap_or_default();
    let name = field(1).to_owned();
    let valid = |name: &str| {
        !name.is_empty()
            && name.len() <= 31
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
            && !name.starts_with(['-', '.'])
    };
    if kind != "r" && !valid(&name) {
        return Err(format!("`{name}` is not the name of a user or group"));
    }
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a number"));
    match kind.as_str() {
        "u" | "u!" => {
            // `ID`, `ID:GID`, `ID:GROUP`, `-:GROUP`, `/path` (a file's owner; not known here).
            let id = field(2);
            let (uid, group) = match id.split_once(':') {
                Some((uid, group)) => {
                    let group = group.parse().map_or_else(|_| GroupRef::Name(group.to_owned()), GroupRef::Id);
                    (uid, Some(group))
                }
                None => (id, None),
            };
            let uid = match uid {
                "" | "-" => None,
                path if path.starts_with('/') => None,
                uid => Some(number(uid)?),
            };
            Ok(Some(Line::User {
                uid,
                group,
                gecos: field(3).replace(':', " "),
                home: if field(4).is_empty() { "/".into() } else { field(4).to_owned() },
                shell: field(5).to_owned(),
                locked: kind == "u!",
                name,
            }))
        }
        "g" => {
            let gid = match field(2) {
                "" => None,
                path if path.starts_with('/') => None,
                gid => Some(number(gid)?),
            };
            Ok(Some(Line::Group { name, gid }))
        }
        "m" => {
            let group = field(2).to_owned();
            if !valid(&group) {
                return Err(format!("`{group}` is not the name of a group"));
            }
            Ok(Some(Line::Member { user: name, group }))
        }
        // Ranges only matter to later allocations on the host.
        "r" => Ok(None),
        other => Err(format!("unknown type `{other}` (known: u, u!, g, m, r)")),
    }
}

/// Gives out numbers: fixed ones first, then from 999 downwards in the order of names.
fn allocate(lines: Vec<Line>, mut accounts: Accounts) -> std::result::Result<Accounts, String> {
    let mut users: BTreeMap<String, Line> = BTreeMap::new();
    let mut groups: BTreeMap<String, Option<u32>> = BTreeMap::new();
    let mut members: BTreeSet<(String, String)> = BTreeSet::new();
    for line in lines {
        match line {
            // The first definition of a name counts, as in sysusers.d(5).
            Line::User { ref name, .. } => drop(users.entry(name.clone()).or_insert(line)),
            Line::Group { name, gid } => {
                let known = groups.entry(name).or_insert(gid);
                *known = known.or(gid);
            }
            Line::Member { user, group } => drop(members.insert((user, group))),
        }
    }
    for (user, group) in &members {
        groups.entry(group.clone()).or_insert(None);
        if !users.contains_key(user) && !accounts.users.contains_key(user) {
            users.insert(
                user.clone(),
                Line::User {
                    name: user.clone(),
                    uid: None,
                    group: None,
                    gecos: String::new(),
                    home: "/".into(),
                    shell: String::new(),
                    locked: false,
                },
            );
        }
    }
    // A user without a group of its own choice has one of its own name and, if free, its own number.
    for (name, line) in &users {
        if let Line::User { uid, group, .. } = line {
            match group {
                None => {
                    let known = groups.entry(name.clone()).or_insert(*uid);
                    *known = known.or(*uid);
                }
                Some(GroupRef::Name(group)) => drop(groups.entry(group.clone()).or_insert(None)),
                Some(GroupRef::Id(_)) => {}
            }
        }
    }
    groups.retain(|name, _| !accounts.groups.contains_key(name));
    users.retain(|name, _| !accounts.users.contains_key(name));
    let mut taken: BTreeSet<u32> =
        accounts.groups.values().copied().chain(accounts.users.values().map(|u| u.uid)).collect();
    let mut by_gid: BTreeMap<u32, String> = accounts.groups.iter().map(|(n, g)| (*g, n.clone())).collect();
    for (name, gid) in &groups {
        if let Some(gid) = gid {
            if let Some(other) = by_gid.insert(*gid, name.clone()) {
                return Err(format!("groups `{other}` and `{name}` both want number {gid}"));
            }
            taken.insert(*gid);
            accounts.groups.insert(name.clone(), *gid);
        }
    }
    for line in users.values() {
        if let Line::User { uid: Some(uid), .. } = line {
            taken.insert(*uid);
        }
    }
    // A user and its group share a number, so numbers are given to names, not to either.
    let names: BTreeSet<&String> = users
        .iter()
        .filter(|(name, line)| {
            matches!(line, Line::User { uid: None, .. }) && !accounts.groups.contains_key(*name)
        })
        .map(|(name, _)| name)
        .chain(groups.iter().filter(|(_, gid)| gid.is_none()).map(|(name, _)| name))
        .collect();
    let mut free = (FIRST_SYSTEM..=LAST_SYSTEM).rev().filter(|id| !taken.contains(id));
    let mut given: BTreeMap<&String, u32> = BTreeMap::new();
    for name in names {
        given.insert(name, free.next().ok_or("all numbers for system users are taken")?);
    }
    for name in groups.keys() {
        if let Some(gid) = given.get(name) {
            accounts.groups.insert(name.clone(), *gid);
        }
    }
    let mut uids: BTreeMap<u32, String> = accounts.users.iter().map(|(n, u)| (u.uid, n.clone())).collect();
    for (name, line) in &users {
        let Line::User { uid, group, gecos, home, shell, locked, .. } = line else { continue };
        let own_group = accounts.groups.get(name).copied();
        let uid = uid
            .or_else(|| given.get(name).copied())
            .or(own_group)
            .ok_or_else(|| format!("no number for user `{name}`"))?;
        if let Some(other) = uids.insert(uid, name.clone()) {
            return Err(format!("users `{other}` and `{name}` both want number {uid}"));
        }
        let gid = match group {
            Some(GroupRef::Id(gid)) => *gid,
            Some(GroupRef::Name(group)) => {
                *accounts.groups.get(group).ok_or_else(|| format!("user `{name}`: no group `{group}`"))?
            }
            None => own_group.unwrap_or(uid),
        };
        let shell = match shell.as_str() {
            "" if uid == 0 => "/bin/bash",
            "" => "/usr/sbin/nologin",
            shell => shell,
        };
        let user = User {
            uid,
            gid,
            gecos: gecos.clone(),
            home: home.clone(),
            shell: shell.to_owned(),
            locked: *locked,
        };
        accounts.users.insert(name.clone(), user);
    }
    for (user, group) in members {
        accounts.members.entry(group).or_default().insert(user);
    }
    Ok(accounts)
}

impl Accounts {
    /// The four files: name, text, permission bits, group.
    fn files(&self) -> [(&'static str, String, u32, &'static str); 4] {
        let mut users: Vec<(&String, &User)> = self.users.iter().collect();
        users.sort_by_key(|(_, u)| u.uid);
        let mut groups: Vec<(&String, &u32)> = self.groups.iter().collect();
        groups.sort_by_key(|(_, gid)| **gid);
        let members = |group: &String| {
            self.members
                .get(group)
                .map(|m| m.iter().cloned().collect::<Vec<_>>().join(","))
                .unwrap_or_default()
        };
        let (mut passwd, mut shadow) = (String::new(), String::new());
        for (name, u) in users {
            lines(
                &mut passwd,
                format_args!("{name}:x:{}:{}:{}:{}:{}\n", u.uid, u.gid, u.gecos, u.home, u.shell),
            );
            // No password matches `*`; `!` locks the account as a whole. The day of the last change is
            // left out, because a date would say that a password expires from then on.
            // An account from `u!` also has expired, on the first day there is.
            let expiry = if u.locked { "1" } else { "" };
            lines(&mut shadow, format_args!("{name}:!*::::::{expiry}:\n"));
        }
        let (mut group, mut gshadow) = (String::new(), String::new());
        for (name, gid) in groups {
            lines(&mut group, format_args!("{name}:x:{gid}:{}\n", members(name)));
            lines(&mut gshadow, format_args!("{name}:!*::{}\n", members(name)));
        }
        [
            ("passwd", passwd, 0o644, "root"),
            ("group", group, 0o644, "root"),
            ("shadow", shadow, 0o640, "shadow"),
            ("gshadow", gshadow, 0o640, "shadow"),
        ]
    }
}

/// Adds formatted text; a `String` has no way to fail.
fn lines(text: &mut String, more: std::fmt::Arguments<'_>) {
    use std::fmt::Write as _;
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accounts(text: &str) -> std::result::Result<Accounts, String> {
        let lines =
            text.lines().filter_map(|l| parse(l).transpose()).collect::<std::result::Result<_, _>>()?;
        allocate(lines, Accounts::default())
    }

    const TEXT: &str = "# comment\nu root 0 \"Super User\" /root /bin/bash\ng shadow 42\n\
         u _chrony - \"Chrony daemon\" /var/lib/chrony\nu! sshd -:nogroup - /run/sshd\ng nogroup 65534\n\
         m _chrony adm\n";

    #[test]
    fn numbers_groups_members_and_shells() {
        let accounts = accounts(TEXT).unwrap();
        let [(_, passwd, ..), (_, group, ..), (_, shadow, mode, owner), _] = accounts.files();
        assert!(passwd.starts_with("root:x:0:0:Super User:/root:/bin/bash\n"), "{passwd}");
        assert!(
            passwd.contains("_chrony:x:999:999:Chrony daemon:/var/lib/chrony:/usr/sbin/nologin\n"),
            "{passwd}"
        );
        assert!(passwd.contains(":65534::/run/sshd:"), "{passwd}");
        assert!(group.contains("adm:x:998:_chrony\n") && group.contains("shadow:x:42:\n"), "{group}");
        assert!(shadow.contains("root:!*:::::::\n") && (mode, owner) == (0o640, "shadow"), "{shadow}");
        for line in shadow.lines() {
            assert_eq!(line.matches(':').count(), 8, "{line}");
        }
    }

    #[test]
    fn two_names_with_one_number_are_an_error() {
        let error = accounts("u a 5\nu b 5:a\n").unwrap_err();
        assert_eq!(error, "users `a` and `b` both want number 5");
        assert!(accounts("x a\n").unwrap_err().contains("unknown type `x`"));
    }

    proptest! {
        #[test]
        fn every_number_is_given_once_whatever_the_order(names in prop::collection::btree_set("[a-z]{1,6}", 1..20), seed in any::<u64>()) {
            let mut lines: Vec<String> = names.iter().map(|n| format!("u {n} -")).collect();
            let sorted = accounts(&lines.join("\n")).unwrap();
            let len = lines.len();
            for i in 0..len {
                lines.swap(i, (seed as usize).wrapping_mul(i + 1) % len);
            }
            let shuffled = accounts(&lines.join("\n")).unwrap();
            prop_assert_eq!(&sorted, &shuffled);
            let uids: BTreeSet<u32> = sorted.users.values().map(|u| u.uid).collect();
            prop_assert_eq!(uids.len(), names.len());
        }
    }
}
