//! Unit presets: `systemd.preset(5)` applied to a tree, as `systemctl preset-all` does on a host.
//!
//! For every unit with an `[Install]` section the first matching line of the preset files says whether
//! its links under `/etc/systemd/system` are made or taken away. Without a match it is enabled, which
//! is systemd's own rule; a distribution ends its presets with `disable *`.

use super::{Error, Result};
use lazuli_store::Store;
use lazuli_tree::{Kind, Node, Tree, TreePath};
use std::collections::{BTreeMap, BTreeSet};

/// What presets say of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Enable(Vec<String>),
    Disable,
    Ignore,
}

/// One line of a preset file.
#[derive(Debug, Clone)]
struct Rule {
    verdict: Verdict,
    pattern: String,
}

/// What an `[Install]` section asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Install {
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    upheld_by: Vec<String>,
    alias: Vec<String>,
    also: Vec<String>,
    default_instance: Option<String>,
}

/// Where units are, the first one that has a name counts.
const UNIT_DIRS: [&str; 2] = ["etc/systemd/system", "usr/lib/systemd/system"];
/// Where links are made.
const LINK_DIR: &str = "etc/systemd/system";

/// Applies the presets.
pub fn presets(tree: &mut Tree, store: &Store) -> Result<()> {
    let mut rules = Vec::new();
    for (path, text) in super::config_files_with(tree, store, "systemd/system-preset", ".preset")? {
        for (number, line) in text.lines().enumerate() {
            let fail = |reason: String| Error::Config { path: path.clone(), line: number + 1, reason };
            rules.extend(parse_rule(line).map_err(fail)?);
        }
    }
    let units = units(tree, store)?;
    let mut enabled: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    let mut disabled: BTreeSet<String> = BTreeSet::new();
    for (name, install) in &units {
        if *install == Install::default() {
            continue;
        }
        match verdict(&rules, name) {
            Verdict::Enable(instances) if is_template(name) => {
                // A template without instances in its preset is enabled by its default instance.
                let instances = if instances.is_empty() {
                    install.default_instance.iter().cloned().collect()
                } else {
                    instances
                };
                enabled.extend(instances.into_iter().map(|i| (name.clone(), Some(i))));
            }
            Verdict::Enable(_) => drop(enabled.insert((name.clone(), None))),
            Verdict::Disable => drop(disabled.insert(name.clone())),
            Verdict::Ignore => {}
        }
    }
    // Also= enables what it names too, unless that has a preset of its own.
    let also: Vec<String> = enabled
        .iter()
        .filter_map(|(name, _)| units.get(name))
        .flat_map(|install| install.also.iter().cloned())
        .collect();
    for name in also {
        if units.contains_key(&name) && !disabled.contains(&name) {
            enabled.insert((name, None));
        }
    }
    remove_links(tree, &disabled)?;
    for (name, instance) in &enabled {
        if let Some(install) = units.get(name) {
            make_links(tree, name, instance.as_deref(), install)?;
        }
    }
    Ok(())
}

fn parse_rule(line: &str) -> std::result::Result<Option<Rule>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (verb, pattern) = (words.next().unwrap_or_default(), words.next());
    let pattern = pattern.ok_or_else(|| format!("`{verb}` needs the name of a unit"))?.to_owned();
    let verdict = match verb {
        "enable" => Verdict::Enable(words.map(str::to_owned).collect()),
        "disable" => Verdict::Disable,
        "ignore" => Verdict::Ignore,
        other => return Err(format!("unknown verb `{other}` (known: enable, disable, ignore)")),
    };
    Ok(Some(Rule { verdict, pattern }))
}

fn verdict(rules: &[Rule], unit: &str) -> Verdict {
    rules
        .iter()
        .find(|rule| glob(&rule.pattern, unit))
        .map_or(Verdict::Enable(Vec::new()), |rule| rule.verdict.clone())
}

/// Shell patterns as fnmatch(3) knows them, without character classes by name.
fn glob(pattern: &str, text: &str) -> bool {
    globset::GlobBuilder::new(pattern).build().is_ok_and(|g| g.compile_matcher().is_match(text))
}

fn is_template(unit: &str) -> bool {
    unit.split_once('@').is_some_and(|(_, rest)| rest.starts_with('.'))
}

/// All unit files with their `[Install]` sections; links (aliases and masks) are not units.
fn units(tree: &Tree, store: &Store) -> Result<BTreeMap<String, Install>> {
    const KINDS: [&str; 8] = ["service", "socket", "target", "path", "timer", "mount", "swap", "slice"];
    let mut units = BTreeMap::new();
    for dir in UNIT_DIRS {
        let dir = TreePath::new(dir)?;
        for (path, node) in tree.below(&dir) {
            let name = path.file_name();
            let is_unit = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
            if path.parent().as_ref() != Some(&dir) || !is_unit || units.contains_key(name) {
                continue;
            }
            if let Kind::File { .. } = node.kind
                && let Some(content) = tree.read(store, path)?
            {
                units.insert(name.to_owned(), parse_install(&String::from_utf8_lossy(&content)));
            } else if matches!(node.kind, Kind::Symlink { .. }) {
                units.insert(name.to_owned(), Install::default());
            }
        }
    }
    Ok(units)
}

fn parse_install(text: &str) -> Install {
    let mut install = Install::default();
    let mut section = "";
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = if name == "Install" { "Install" } else { "" };
            continue;
        }
        let (Some((key, value)), "Install") = (line.split_once('='), section) else { continue };
        let words = || value.split_whitespace().map(str::to_owned);
        let list = match key.trim() {
            "WantedBy" => &mut install.wanted_by,
            "RequiredBy" => &mut install.required_by,
            "UpheldBy" => &mut install.upheld_by,
            "Alias" => &mut install.alias,
            "Also" => &mut install.also,
            "DefaultInstance" => {
                install.default_instance = words().next();
                continue;
            }
            _ => continue,
        };
        // An empty assignment empties the list.
        if value.trim().is_empty() {
            list.clear();
        } else {
            list.extend(words());
        }
    }
    install
}

fn make_links(tree: &mut Tree, unit: &str, instance: Option<&str>, install: &Install) -> Result<()> {
    let name = match (instance, unit.split_once('@')) {
        (Some(instance), Some((stem, rest))) => format!("{stem}@{instance}{rest}"),
        _ => unit.to_owned(),
    };
    let target = format!("/usr/lib/systemd/system/{unit}");
    let expand = |text: &str| text.replace("%i", instance.unwrap_or_default()).replace("%%", "%");
    let mut links = Vec::new();
    for (list, kind) in
        [(&install.wanted_by, "wants"), (&install.required_by, "requires"), (&install.upheld_by, "upholds")]
    {
        links.extend(list.iter().map(|by| format!("{}.{kind}/{name}", expand(by))));
    }
    links.extend(install.alias.iter().map(|alias| expand(alias)));
    for link in links {
        let path = TreePath::new(&format!("{LINK_DIR}/{link}"))?;
        if let Some(dir) = path.parent()
            && !tree.contains(&dir)
        {
            tree.insert(dir, Node::directory());
        }
        tree.insert(path, Node::symlink(target.clone()));
    }
    Ok(())
}

/// Takes away the links in `/etc` that lead to a disabled unit, and folders that are empty then.
fn remove_links(tree: &mut Tree, disabled: &BTreeSet<String>) -> Result<()> {
    let dir = TreePath::new(LINK_DIR)?;
    let template = |unit: &str| match unit.split_once('@') {
        Some((stem, rest)) => rest.rsplit_once('.').map(|(_, kind)| format!("{stem}@.{kind}")),
        None => None,
    };
    let leads_to_disabled = |path: &TreePath, node: &Node| {
        let Kind::Symlink { target } = &node.kind else { return false };
        // A mask stays: whoever put it there wanted more than a preset can say.
        if target == "/dev/null" || !path.starts_with(&dir) {
            return false;
        }
        let unit = target.rsplit('/').next().unwrap_or_default();
        disabled.contains(unit) || template(unit).is_some_and(|t| disabled.contains(&t))
    };
    tree.retain(|path, node| !leads_to_disabled(path, node));
    let filled: BTreeSet<TreePath> = tree.below(&dir).filter_map(|(path, _)| path.parent()).collect();
    tree.retain(|path, node| {
        let links = [".wants", ".requires", ".upholds"].iter().any(|s| path.file_name().ends_with(s));
        !(node.is_directory() && links && path.starts_with(&dir) && !filled.contains(path))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(files: &[(&str, &str)]) -> (tempfile::TempDir, Store, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tree = Tree::new();
        for (path, text) in files {
            tree.put_file(&store, TreePath::new(path).unwrap(), text.as_bytes()).unwrap();
        }
        tree.ensure_parents();
        (dir, store, tree)
    }

    fn links(tree: &Tree) -> Vec<String> {
        tree.iter()
            .filter(|(_, n)| matches!(n.kind, Kind::Symlink { .. }))
            .map(|(p, _)| p.as_str().trim_start_matches("etc/systemd/system/").to_owned())
            .collect()
    }

    const UNITS: &[(&str, &str)] = &[
        (
            "usr/lib/systemd/system/ssh.service",
            "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\nAlso=keys.service\n",
        ),
        ("usr/lib/systemd/system/keys.service", "[Install]\nRequiredBy=ssh.service\n"),
        ("usr/lib/systemd/system/other.timer", "[Install]\nWantedBy=timers.target\n"),
        ("usr/lib/systemd/system/getty@.service", "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"),
        ("usr/lib/systemd/system/static.service", "[Service]\nWantedBy=x\n"),
        (
            "usr/lib/systemd/system-preset/90-default.preset",
            "enable ssh.service\nenable key*\nenable getty@.service ttyS0\ndisable *\n",
        ),
    ];

    #[test]
    fn enabled_units_get_their_links_and_nothing_else_does() {
        let (_dir, store, mut tree) = build(UNITS);
        tree.insert(
            TreePath::new("etc/systemd/system/timers.target.wants/other.timer").unwrap(),
            Node::symlink("/usr/lib/systemd/system/other.timer"),
        );
        tree.ensure_parents();
        presets(&mut tree, &store).unwrap();
        let expected = [
            "getty.target.wants/getty@ttyS0.service",
            "multi-user.target.wants/ssh.service",
            "ssh.service.requires/keys.service",
            "sshd.service",
        ];
        assert_eq!(links(&tree), expected);
        assert!(!tree.contains(&TreePath::new("etc/systemd/system/timers.target.wants").unwrap()));
    }

    #[test]
    fn an_administrators_preset_comes_first_and_applying_twice_changes_nothing() {
        let mut files = UNITS.to_vec();
        files.push(("etc/systemd/system-preset/10-mine.preset", "disable ssh.service\nenable other.timer\n"));
        let (_dir, store, mut tree) = build(&files);
        presets(&mut tree, &store).unwrap();
        let once = tree.clone();
        presets(&mut tree, &store).unwrap();
        assert_eq!(tree, once);
        assert!(!links(&tree).iter().any(|l| l.contains("multi-user")), "{:?}", links(&tree));
        assert!(links(&tree).contains(&"timers.target.wants/other.timer".to_owned()));
    }

    #[test]
    fn a_bad_line_is_named() {
        let (_dir, store, mut tree) = build(&[("usr/lib/systemd/system-preset/1.preset", "\nenabel x\n")]);
        let error = presets(&mut tree, &store).unwrap_err().to_string();
        assert!(
            error.starts_with("/usr/lib/systemd/system-preset/1.preset:2: unknown verb `enabel`"),
            "{error}"
        );
    }
}
