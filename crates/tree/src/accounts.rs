//! User and group names to numbers.

use std::collections::BTreeMap;

/// The users and groups of a root file system, from the text of its passwd(5) and group(5) files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Only `root`, number 0.
    pub fn root_only() -> Self {
        Self::from_passwd_group("root:x:0:0::/root:/bin/sh", "root:x:0:")
    }

    /// From the text of `/etc/passwd` and `/etc/group`. Lines that are not entries are passed over, as
    /// the C library does.
    pub fn from_passwd_group(passwd: &str, group: &str) -> Self {
        let parse = |text: &str| {
            text.lines()
                .filter_map(|line| {
                    let mut fields = line.split(':');
                    let name = fields.next()?;
                    let id = fields.nth(1)?.parse().ok()?;
                    (!name.is_empty()).then(|| (name.to_owned(), id))
                })
                .collect()
        };
        Self { users: parse(passwd), groups: parse(group) }
    }

    /// The number of a user. A name that is a number stands for itself.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied().or_else(|| name.parse().ok())
    }

    /// The number of a group. A name that is a number stands for itself.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied().or_else(|| name.parse().ok())
    }
}
