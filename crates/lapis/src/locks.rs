//! Versions that stay: `versionlock`.
//!
//! Our list is `/etc/lapis/versionlock.list`; those of dnf 4 and tdnf (`/etc/dnf/plugins/versionlock.list`,
//! `/etc/tdnf/locks.d/*.conf`) are read too, and not written. A line is a package with its version as a
//! pattern, `name-epoch:version-release.arch`; `!` in front of it makes it the one version that is not
//! wanted; `#` starts a comment.

use crate::error::Result;
use crate::spec::Pattern;
use lazuli_fs as fs;
use lazuli_rpm::Nevra;
use lazuli_solve::Lock;
use std::path::{Path, PathBuf};

const OURS: &str = "etc/lapis/versionlock.list";
const OTHERS: [&str; 2] = ["etc/dnf/plugins/versionlock.list", "etc/yum/pluginconf.d/versionlock.list"];
const FOLDERS: [&str; 2] = ["etc/tdnf/locks.d", "etc/lapis/locks.d"];

/// Locks and the file that each is from.
pub fn read(root: &Path) -> Result<Vec<(PathBuf, Lock)>> {
    let mut files: Vec<PathBuf> = [OURS].iter().chain(&OTHERS).map(|file| root.join(file)).collect();
    for folder in FOLDERS {
        let mut found = fs::read_dir(root.join(folder)).unwrap_or_default();
        found.sort();
        files.extend(found);
    }
    let mut locks = Vec::new();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => locks.extend(parse(&text).into_iter().map(|lock| (file.clone(), lock))),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(locks)
}

pub(crate) fn parse(text: &str) -> Vec<Lock> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix('!') {
            Some(package) => Lock { package: package.trim().to_owned(), exclude: true },
            None => Lock { package: line.to_owned(), exclude: false },
        })
        .collect()
}

/// What locks mean for what is installed: a bare name, as tdnf's `locks.d` has it, means the installed version.
/// Returns also the names that must not be removed, which tdnf's locks mean too.
pub fn effective(locks: Vec<(PathBuf, Lock)>, installed: &[Nevra]) -> (Vec<Lock>, Vec<String>) {
    let mut effective = Vec::new();
    let mut protected = Vec::new();
    for (file, lock) in locks {
        let name = Pattern::new(&lock.package);
        let named: Vec<&Nevra> = installed.iter().filter(|n| name.matches_text(&n.name)).collect();
        if lock.exclude || named.is_empty() {
            effective.push(lock);
            continue;
        }
        if file.parent().is_some_and(|folder| folder.ends_with("locks.d")) {
            protected.extend(named.iter().map(|n| n.name.clone()));
        }
        effective.extend(named.into_iter().map(|n| Lock { package: pattern(n), exclude: false }));
    }
    (effective, protected)
}

/// How a lock is written and shown.
pub fn text(lock: &Lock) -> String {
    format!("{}{}", if lock.exclude { "!" } else { "" }, lock.package)
}

/// The pattern for a package at its version, in any architecture.
pub fn pattern(nevra: &Nevra) -> String {
    format!("{}-{}:{}.*", nevra.name, nevra.evr.epoch.unwrap_or(0), nevra.evr.version_release())
}

/// Adds locks to our list; returns those that were not there.
pub fn add(root: &Path, locks: &[Lock]) -> Result<Vec<Lock>> {
    let file = root.join(OURS);
    let mut content = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => String::new(),
        Err(error) => return Err(error.into()),
    };
    let known = parse(&content);
    let new: Vec<Lock> = locks.iter().filter(|lock| !known.contains(lock)).cloned().collect();
    if new.is_empty() {
        return Ok(new);
    }
    if !content.is_empty() && !content.ends_with('\n') {
        content.push('\n');
    }
    content.extend(new.iter().map(|lock| text(lock) + "\n"));
    write(&file, &content)?;
    Ok(new)
}

/// Removes the locks that `which` selects from our list; returns them.
pub fn remove(root: &Path, which: impl Fn(&Lock) -> bool) -> Result<Vec<Lock>> {
    let file = root.join(OURS);
    let content = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut gone = Vec::new();
    let mut kept = String::new();
    for line in content.lines() {
        match parse(line).pop() {
            Some(lock) if which(&lock) => gone.push(lock),
            // Comments stay where they are.
            _ => kept.push_str(&format!("{line}\n")),
        }
    }
    if !gone.is_empty() {
        write(&file, &kept)?;
    }
    Ok(gone)
}

fn write(file: &Path, content: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write_atomic(file, content, 0o644)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_kept_and_comments_stay() {
        let root = tempfile::tempdir().unwrap();
        let lock = |package: &str, exclude| Lock { package: package.into(), exclude };
        let both = [lock("a-0:1-1.*", false), lock("b-0:2-1.*", true)];
        assert_eq!(add(root.path(), &both).unwrap(), both);
        assert_eq!(add(root.path(), &both).unwrap(), [], "they are there already");
        let file = root.path().join(OURS);
        let content = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("# why\n{content}")).unwrap();
        let found: Vec<Lock> = read(root.path()).unwrap().into_iter().map(|(_, lock)| lock).collect();
        assert_eq!(found, both);
        assert_eq!(remove(root.path(), |l| l.exclude).unwrap(), both[1..]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "# why\na-0:1-1.*\n");
    }
}
