//! Files of the configuration, changed line by line, so that comments and order stay as their owner wrote them.
//!
//! Whatever a change makes of a file is read before it is written: a mistake must not keep the next command, which
//! would mend it, from starting.

use crate::error::{Error, Result};
use crate::session::Session;
use lazuli_fs as fs;
use lazuli_repo::config::{Config, Notice, ini};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Changes to files, written together or not at all.
pub(super) struct Changes<'s> {
    session: &'s Session<'s>,
    /// What a file says now, and what it is to say.
    files: BTreeMap<PathBuf, (String, String)>,
}

impl<'s> Changes<'s> {
    pub(super) fn new(session: &'s Session<'_>) -> Self {
        Self { session, files: BTreeMap::new() }
    }

    /// Sets a key of a section.
    pub(super) fn set(&mut self, file: &Path, section: &str, key: &str, value: &str) -> Result<()> {
        check_line(key, value)?;
        if !self.files.contains_key(file) {
            let text = if file.exists() { fs::read_to_string(file)? } else { String::new() };
            self.files.insert(file.to_owned(), (text.clone(), text));
        }
        if let Some((_, new)) = self.files.get_mut(file) {
            *new = changed(new, section, key, value);
        }
        Ok(())
    }

    /// Writes the files, unless one of them could not be read, or a repository not be used, afterwards.
    pub(super) fn write(self) -> Result<()> {
        for (file, (old, new)) in &self.files {
            let before = read(self.session, file, old).ok();
            let after = read(self.session, file, new)?;
            if let Some(notice) = new_warning(before.as_ref(), &after) {
                return Err(Error::Config(format!("{notice}; nothing was written")));
            }
            let usable = |config: &Config, id: &str| {
                config.repository(id).is_none_or(|r| !r.enabled || r.problem().is_none())
            };
            for repository in after.repositories.iter().filter(|r| r.enabled) {
                if let Some(problem) = repository.problem()
                    && before.as_ref().is_none_or(|before| usable(before, &repository.id))
                {
                    return Err(Error::Config(format!(
                        "{}: repository {}: {problem}; every command would stop at it, so nothing was written \
                         (several keys can be set at once: setopt {id}.KEY=VALUE {id}.enabled=1)",
                        file.display(),
                        repository.id,
                        id = repository.id,
                    )));
                }
            }
        }
        self.files.iter().try_for_each(|(file, (_, new))| write(self.session, file, new))
    }
}

/// What a file means.
pub(super) fn read(session: &Session<'_>, file: &Path, text: &str) -> Result<Config> {
    let mut config = Config::new(session.settings.variables.clone());
    config.main = session.settings.main.clone();
    if file.extension().is_none_or(|extension| extension != "repo") {
        config.add_main(file, text.as_bytes())?;
    }
    config.add_repositories(file, text.as_bytes())?;
    Ok(config)
}

/// A warning that was not there before.
pub(super) fn new_warning<'c>(before: Option<&Config>, after: &'c Config) -> Option<&'c Notice> {
    let known = |notice: &Notice| {
        let mut old = before.iter().flat_map(|before| &before.notices);
        old.any(|old| old.section == notice.section && old.kind == notice.kind)
    };
    after.notices.iter().find(|notice| notice.kind.is_warning() && !known(notice))
}

/// Refuses what would become more than one line, or another one.
pub(super) fn check_line(key: &str, value: &str) -> Result<()> {
    let one_line = |text: &str| !text.contains(['\n', '\r']);
    if !one_line(key)
        || !one_line(value)
        || key.trim().is_empty()
        || key != key.trim()
        || key.contains(['=', '[', '#', ';'])
    {
        let key = key.escape_debug();
        return Err(Error::Usage(format!("`{key}`: expected KEY=VALUE, on one line and without a comment")));
    }
    Ok(())
}

/// Writes a file where it really is. Who may read it stays as it was; a new one with a password is its owner's
/// alone.
pub(super) fn write(session: &Session<'_>, file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let secret = has_secret(text);
    if fs::symlink_metadata(file).is_err() {
        let mode = if secret { 0o600 } else { 0o644 };
        return Ok(fs::write_atomic(file, text, mode)?);
    }
    let failed = |reason: String| Error::File { path: file.to_owned(), reason };
    let path = file.canonicalize().map_err(|e| failed(format!("the link leads nowhere ({e}); remove it")))?;
    let root = session.root.canonicalize().map_err(|e| failed(e.to_string()))?;
    if !session.is_running_system() && file.starts_with(&session.root) && !path.starts_with(&root) {
        return Err(failed(format!(
            "it is a link to {}, outside of {}; nothing was written",
            path.display(),
            session.root.display()
        )));
    }
    let old = fs::metadata(&path)?;
    let mode = old.permissions().mode() & 0o7777;
    fs::write_atomic(&path, text, mode)?;
    let new = fs::metadata(&path)?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::chown(&path, Some(old.uid()), Some(old.gid()))
            .map_err(|e| failed(format!("its owner could not be kept: {e}")))?;
    }
    if secret && mode & 0o004 != 0 {
        session.out.warn(format!(
            "Warning: {} holds a password and everybody may read it; `chmod 600` keeps it to its owner",
            path.display()
        ));
    }
    Ok(())
}

fn has_secret(text: &str) -> bool {
    text.lines().filter_map(|line| line.split_once(['=', ':'])).any(|(key, value)| {
        matches!(key.trim().to_ascii_lowercase().as_str(), "password" | "proxy_password")
            && !value.trim().is_empty()
    })
}

/// A file with a key of a section set: its line is changed if there is one, otherwise added at the end of
/// the section.
pub(super) fn changed(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let heading = |line: &str| {
        line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name.trim().to_owned())
    };
    let new = format!("{key}={value}");
    if let Some(at) = last_line(text, section, key).filter(|at| *at < lines.len()) {
        lines[at] = new;
        // Lines that continued the old value go with it; comments may stand between them.
        let mut next = at + 1;
        while let Some(line) = lines.get(next) {
            if line.trim().is_empty() || line.starts_with(['#', ';']) {
                next += 1;
            } else if line.starts_with([' ', '\t']) {
                lines.remove(next);
            } else {
                break;
            }
        }
    } else if let Some(start) = lines.iter().rposition(|line| heading(line).as_deref() == Some(section)) {
        let end = lines[start + 1..].iter().position(|l| l.starts_with('['));
        let end = end.map_or(lines.len(), |n| start + 1 + n);
        let last = (start..end).rev().find(|at| !lines[*at].trim().is_empty()).unwrap_or(start);
        lines.insert(last + 1, new);
    } else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return format!("{text}{gap}[{section}]\n{new}\n");
    }
    lines.join("\n") + "\n"
}

/// The place of the line that counts for a key, from 0: of several the last one.
fn last_line(text: &str, section: &str, key: &str) -> Option<usize> {
    let sections = ini::parse(Path::new(""), text.as_bytes()).ok()?;
    let entries = sections.iter().filter(|s| s.name == section).flat_map(|s| &s.entries);
    entries.filter(|e| e.key.eq_ignore_ascii_case(key)).map(|e| e.line - 1).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_changes_and_the_rest_stays() {
        let text = "# mine\n[a]\nname=A\nenabled = 0\n\n[b]\nenabled=0\nbaseurl=x\n y\n";
        assert_eq!(
            changed(text, "a", "enabled", "1"),
            "# mine\n[a]\nname=A\nenabled=1\n\n[b]\nenabled=0\nbaseurl=x\n y\n"
        );
        assert_eq!(
            changed(text, "a", "priority", "5"),
            "# mine\n[a]\nname=A\nenabled = 0\npriority=5\n\n[b]\nenabled=0\nbaseurl=x\n y\n"
        );
        assert_eq!(
            changed(text, "b", "baseurl", "z"),
            "# mine\n[a]\nname=A\nenabled = 0\n\n[b]\nenabled=0\nbaseurl=z\n"
        );
    }

    #[test]
    fn the_line_that_counts_is_the_one_that_changes() {
        let text = "[a]\ncost: 1\n[b]\nx=1\n[a]\ncost=2\n# why\n 3";
        assert_eq!(changed(text, "a", "cost", "5"), "[a]\ncost: 1\n[b]\nx=1\n[a]\ncost=5\n# why\n");
        assert_eq!(changed("[a]\ncost: 1\n", "a", "cost", "5"), "[a]\ncost=5\n");
        assert_eq!(changed("[a]", "b", "cost", "5"), "[a]\n[b]\ncost=5\n");
        assert!(has_secret("[a]\nPassword : x\n") && !has_secret("password=\nname=x"));
    }
}
