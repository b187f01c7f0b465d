//! What a root looks like: its tree, what is installed by its package database, and what must not be there.

use lazuli_fs as fs;
use lazuli_rpmdb::{Access, Database};
use lazuli_store::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Directories with files that differ from run to run; they are looked at by other means.
const OWN: [&str; 3] = ["/usr/lib/sysimage/rpm", "/var/cache/lapis", "/var/lib/lapis"];

/// A root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Everything by path: kind, mode, owner, and of all but directories time and content.
    pub tree: BTreeMap<String, String>,
    /// Installed packages, sorted.
    pub packages: Vec<String>,
}

impl State {
    /// Looks at a root; paths in `except` are left out.
    pub fn of(root: &Path, except: &[&str]) -> Self {
        let mut tree = BTreeMap::new();
        let mut links = BTreeMap::new();
        walk(root, root, except, &mut tree, &mut links);
        for names in links.values().filter(|names| names.len() > 1) {
            for name in names {
                let text = tree.get_mut(name).expect("a path");
                *text = format!("{text} = {}", names.join(" "));
            }
        }
        Self { tree, packages: packages(root) }
    }

    /// The first differences, for people.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let paths: BTreeSet<&String> = self.tree.keys().chain(other.tree.keys()).collect();
        for path in paths {
            let (left, right) = (self.tree.get(path), other.tree.get(path));
            if left != right {
                found.push(format!("{path}: {left:?} and {right:?}"));
            }
        }
        let of = |packages: &[String]| packages.iter().cloned().collect::<BTreeSet<_>>();
        let changed =
            of(&self.packages).symmetric_difference(&of(&other.packages)).cloned().collect::<Vec<_>>();
        found.extend(changed.into_iter().map(|p| format!("package {p}")));
        found.truncate(12);
        found
    }
}

/// Installed packages.
pub fn packages(root: &Path) -> Vec<String> {
    let database = Database::open(root, Access::Read).expect("the package database can be read");
    let mut all: Vec<String> =
        database.list().expect("a list").into_iter().map(|p| p.nevra.to_string()).collect();
    assert_eq!(database.unreadable().len(), 0, "rows that cannot be read");
    all.sort();
    all
}

fn walk(
    root: &Path,
    directory: &Path,
    except: &[&str],
    tree: &mut BTreeMap<String, String>,
    links: &mut BTreeMap<u64, Vec<String>>,
) {
    for path in fs::read_dir(directory).expect("a directory") {
        let name = format!("/{}", path.strip_prefix(root).expect("below the root").display());
        if except.contains(&&name[1..]) {
            continue;
        }
        let stat = fs::symlink_metadata(&path).expect("a file");
        let kind = stat.file_type();
        let mut text = format!("{:o} {}:{}", stat.mode(), stat.uid(), stat.gid());
        if kind.is_dir() {
            // Directories that only these are in may be made for them.
            if !OWN.iter().any(|own| own.starts_with(&format!("{name}/")) || *own == name) {
                tree.insert(name.clone(), text);
            }
            if !OWN.contains(&&name[..]) {
                walk(root, &path, except, tree, links);
            }
            continue;
        }
        text.push_str(&format!(" at {}", stat.mtime()));
        if kind.is_symlink() {
            let target = rustix::fs::readlink(&path, Vec::new()).expect("a link");
            text.push_str(&format!(" -> {}", target.to_string_lossy()));
        } else if kind.is_file() {
            let content = fs::read(&path).expect("a file");
            text.push_str(&format!(" {} {}", content.len(), Digest::of(&content)));
            let mut value = [0; 256];
            if let Ok(length) = rustix::fs::getxattr(&path, "security.capability", &mut value) {
                text.push_str(&format!(" {:?}", &value[..length]));
            }
            links.entry(stat.ino()).or_default().push(name.clone());
        } else {
            assert!(kind.is_fifo() || kind.is_char_device() || kind.is_block_device(), "{name}");
            text.push_str(&format!(" device {:x}", stat.rdev()));
        }
        tree.insert(name, text);
    }
}

/// Everything below a directory, by path; nothing if it is not there.
pub fn names(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for path in fs::read_dir(&next).unwrap_or_default() {
            found.insert(path.strip_prefix(directory).expect("below").display().to_string());
            if fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_dir()) {
                left.push(path);
            }
        }
    }
    found
}
