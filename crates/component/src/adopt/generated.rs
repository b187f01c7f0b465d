//! Dependencies found in the files: sonames of ELF files, interpreters of scripts, users and groups.
//!
//! Users and groups have the form of RPM 4.19 and later: a line of `sysusers.d` becomes a provide whose
//! version is the line in base64, so that whoever installs the package makes the user before the files
//! arrive; the owner of a file becomes a requirement, so that who brings the owner comes first.

use super::files::Entry;
use super::places::{is_documentation, merged};
use lazuli_rpm::{Dependency, DependencyFlags, elf};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Kind, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

/// What the files offer and need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generated {
    /// Sonames offered.
    pub provides: BTreeSet<Dependency>,
    /// Sonames needed that the package does not offer itself.
    pub requires: BTreeSet<Dependency>,
    /// Interpreters needed that are not in the package, each with the first file that names it.
    pub interpreters: BTreeMap<String, TreePath>,
}

/// The longest `#!` line that Linux reads, in bytes.
const MAX_LINE: u64 = 256;

/// The loader: where it is, programs with a GNU hash table run.
const LOADERS: [&str; 2] = ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];

/// Programs that other packages know by their place before /usr was merged.
const ALIASES: [(&str, &str); 3] =
    [("usr/bin/sh", "/bin/sh"), ("usr/bin/bash", "/bin/bash"), ("usr/sbin/ldconfig", "/sbin/ldconfig")];

/// Looks into every file.
pub fn generate(
    entries: &BTreeMap<TreePath, Entry>,
    store: &Store,
) -> Result<Generated, lazuli_store::Error> {
    let mut found = Generated::default();
    let mut owners = BTreeSet::new();
    for (path, entry) in entries {
        if let Some((_, alias)) = ALIASES.iter().find(|(file, _)| path.as_str() == *file) {
            found.provides.insert(Dependency::any(*alias));
        }
        for (kind, name) in [("user", &entry.node.user), ("group", &entry.node.group)] {
            if name != "root" {
                owners.insert(Dependency::any(format!("{kind}({name})")));
            }
        }
        let Kind::File { digest, size } = &entry.node.kind else { continue };
        if path.as_str().starts_with(SYSUSERS)
            && path.file_name().rsplit_once('.').is_some_and(|(_, e)| e == "conf")
        {
            let text = store.read(digest)?;
            found.provides.extend(String::from_utf8_lossy(&text).lines().flat_map(accounts));
        }
        if *size < 4 || is_documentation(path) {
            continue;
        }
        let start = head(store, digest)?;
        if elf::is_elf(&start) {
            // Separate debugging information has the dynamic section of the original.
            if path.as_str().starts_with("usr/lib/debug/") {
                continue;
            }
            if let Some(dependencies) = elf::dependencies(&store.read(digest)?) {
                found.provides.extend(dependencies.provides);
                found.requires.extend(dependencies.requires);
            }
            if LOADERS.contains(&path.file_name()) {
                found.provides.insert(Dependency::any("rtld(GNU_HASH)"));
            }
        } else if entry.node.mode & 0o111 != 0
            && let Some(program) = interpreter(&start)
        {
            let own = TreePath::new(&program).is_ok_and(|p| entries.contains_key(&p));
            if !own {
                found.interpreters.entry(program).or_insert_with(|| path.clone());
            }
        }
    }
    let own = |d: &Dependency| found.provides.iter().any(|p| p.name == d.name);
    owners.retain(|owner| !own(owner));
    found.requires = &found.requires - &found.provides;
    found.requires.extend(owners);
    Ok(found)
}

/// Where packages put lists of users.
const SYSUSERS: &str = "usr/lib/sysusers.d/";

/// What a line of a `sysusers.d` file (sysusers.d(5)) provides.
fn accounts(line: &str) -> Vec<Dependency> {
    let line = line.trim();
    let mut words = line.split_whitespace();
    let (Some(kind), Some(name)) = (words.next(), words.next()) else { return Vec::new() };
    // Padded with zeros to whole groups: a version cannot have the `=` that base64 ends with otherwise.
    let mut bytes = line.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(3), 0);
    let encoded = lazuli_rpm::base64::encode(&bytes);
    let with_line = |what: String| Dependency::versioned(what, DependencyFlags::EQUAL, encoded.clone());
    match kind {
        // A user has a group of its name.
        "u" | "u!" => vec![with_line(format!("user({name})")), Dependency::any(format!("group({name})"))],
        "g" => vec![with_line(format!("group({name})"))],
        "m" => {
            words.next().map(|group| with_line(format!("groupmember({name}/{group})"))).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn head(store: &Store, digest: &Digest) -> Result<Vec<u8>, lazuli_store::Error> {
    let mut start = Vec::new();
    let file = store.open_blob(digest)?;
    let read = file.take(MAX_LINE).read_to_end(&mut start);
    match read {
        Ok(_) => Ok(start),
        // Reading the whole blob names it in the error.
        Err(_) => store.read(digest),
    }
}

/// The interpreter that a `#!` line names, in a merged /usr; behind `env` the program that it looks for.
fn interpreter(start: &[u8]) -> Option<String> {
    let line = start.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let program = merged(&TreePath::new(words.next()?.strip_prefix('/')?).ok()?);
    if program.file_name() != "env" {
        return Some(program.to_string());
    }
    let name = words.find(|w| !w.starts_with('-') && !w.contains('='))?;
    let path = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
    Some(merged(&TreePath::new(&path).ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_tree::Node;

    #[test]
    fn interpreters_are_named_by_their_place_in_a_merged_usr() {
        for (line, program) in [
            ("#!/bin/sh\n", Some("/usr/bin/sh")),
            ("#! /usr/bin/perl -w\nuse x;", Some("/usr/bin/perl")),
            ("#!/usr/bin/env python3\n", Some("/usr/bin/python3")),
            ("#!/usr/bin/env -S A=b perl -w\n", Some("/usr/bin/perl")),
            ("#!relative\n", None),
            ("#!\n", None),
            ("plain", None),
        ] {
            assert_eq!(interpreter(line.as_bytes()).as_deref(), program, "{line}");
        }
    }

    #[test]
    fn users_are_provided_with_their_line_and_required_by_what_they_own() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let text = "# comment\nu _chrony - \"Chrony daemon\" /var/lib/chrony\ng spool 77\nm _chrony spool\n";
        let list = Node::file(store.put(text.as_bytes()).unwrap(), text.len() as u64);
        let file = Node::file(store.put(b"content").unwrap(), 7);
        let entry = |node| Entry { node, marks: super::super::files::Marks::default(), capabilities: None };
        let entries: BTreeMap<TreePath, Entry> = [
            ("usr/lib/sysusers.d/chrony.conf", entry(list)),
            ("var/lib/chrony/x", entry(file.clone().with_owner("_chrony", "spool"))),
            ("etc/shadow-like", entry(file.with_owner("root", "shadow"))),
        ]
        .map(|(path, entry)| (TreePath::new(path).unwrap(), entry))
        .into();
        let found = generate(&entries, &store).unwrap();
        let names: Vec<&str> = found.provides.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["group(_chrony)", "group(spool)", "groupmember(_chrony/spool)", "user(_chrony)"]);
        assert_eq!(found.requires, [Dependency::any("group(shadow)")].into());
        for provide in found.provides.iter().filter(|p| !p.evr.is_empty()) {
            let line = lazuli_rpm::base64::decode(&provide.evr).unwrap();
            let line = String::from_utf8(line).unwrap();
            assert!(text.lines().any(|l| l == line.trim_end_matches('\0')), "{line}");
            assert!(!provide.evr.contains('='));
        }
    }

    #[test]
    fn only_executables_need_an_interpreter_and_not_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut entries = BTreeMap::new();
        let mut put = |path: &str, content: &str, mode: u32| {
            let node =
                Node::file(store.put(content.as_bytes()).unwrap(), content.len() as u64).with_mode(mode);
            let entry = Entry { node, marks: super::super::files::Marks::default(), capabilities: None };
            entries.insert(TreePath::new(path).unwrap(), entry);
        };
        put("usr/bin/a", "#!/bin/sh\n", 0o755);
        put("usr/bin/b", "#!/usr/bin/own\n", 0o755);
        put("usr/bin/own", "\x7fnot elf", 0o755);
        put("usr/share/x/c", "#!/usr/bin/perl\n", 0o644);
        put("usr/share/doc/x/d", "#!/usr/bin/python3\n", 0o755);
        put("usr/bin/sh", "not a script", 0o755);
        let found = generate(&entries, &store).unwrap();
        assert!(found.interpreters.is_empty(), "{:?}", found.interpreters);
        assert_eq!(found.provides, [Dependency::any("/bin/sh")].into());
        entries.remove("usr/bin/sh");
        let found = generate(&entries, &store).unwrap();
        assert_eq!(found.interpreters.keys().collect::<Vec<_>>(), ["/usr/bin/sh"]);
    }
}
