//! `rpm.glob`: names of files that match a pattern.

use globset::GlobBuilder;
use std::path::{Path, PathBuf};

/// The most alternatives that braces may make.
const MAX: usize = 10_000;

/// The files that match, in order; the pattern itself if there are none.
pub(super) fn glob(pattern: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for pattern in braces(pattern)? {
        let mut matches = expand(&pattern)?;
        matches.sort();
        found.extend(matches);
    }
    if found.is_empty() {
        found.push(pattern.to_owned());
    }
    Ok(found)
}

/// `a{b,c}d` is `abd` and `acd`.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        if done.len() + open.len() > MAX {
            return Err(format!("the pattern has more than {MAX} alternatives"));
        }
        match alternatives(&pattern) {
            Some(more) => open.extend(more.into_iter().rev()),
            None => done.push(pattern),
        }
    }
    Ok(done)
}

fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let start = pattern.find('{')?;
    let (mut depth, mut parts, mut from) = (0, Vec::new(), start + 1);
    for (i, c) in pattern.char_indices().skip_while(|(i, _)| *i < start) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                parts.push(&pattern[from..i]);
                from = i + 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    parts.push(&pattern[from..i]);
                    let (before, after) = (&pattern[..start], &pattern[i + 1..]);
                    return Some(parts.into_iter().map(|part| format!("{before}{part}{after}")).collect());
                }
            }
            _ => {}
        }
    }
    None
}

/// One level of directories after the other.
fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let start = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![PathBuf::from(start)];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '?', '[', '\\']) {
            for path in &mut found {
                path.push(part);
            }
            found.retain(|path| lazuli_fs::symlink_metadata(path).is_ok());
            continue;
        }
        let matcher = GlobBuilder::new(part).backslash_escape(true).build();
        let matcher = matcher.map_err(|error| error.to_string())?.compile_matcher();
        let mut next = Vec::new();
        for directory in &found {
            let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            for entry in lazuli_fs::read_dir(here).unwrap_or_default() {
                let Some(name) = entry.file_name() else { continue };
                let hidden = name.as_encoded_bytes().starts_with(b".") && !part.starts_with('.');
                if !hidden && matcher.is_match(name) {
                    next.push(directory.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| !path.as_os_str().is_empty());
    Ok(found.into_iter().map(|path| path.to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_match() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        for name in ["a1.conf", "a2.conf", "b.conf", ".hidden.conf"] {
            lazuli_fs::write(at(name), "").unwrap();
        }
        assert_eq!(glob(&at("a*.conf")).unwrap(), [at("a1.conf"), at("a2.conf")]);
        assert_eq!(glob(&at("{b,a1}.conf")).unwrap(), [at("b.conf"), at("a1.conf")]);
        assert_eq!(glob(&at("*.conf")).unwrap().len(), 3);
        assert_eq!(glob(&at("none*")).unwrap(), [at("none*")]);
        assert!(glob(&"{a,b}".repeat(40)).is_err());
    }
}
