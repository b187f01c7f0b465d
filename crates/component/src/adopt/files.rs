//! The files of a package: where they go in Lazuli, and what RPM should know about each.
//!
//! In this order:
//!
//! 1. `/bin`, `/sbin`, `/lib` and `/lib64` are links to directories of `/usr`, so what a package ships
//!    there moves to `/usr`.
//! 2. `/usr/share/doc/NAME/copyright` moves to `/usr/share/licenses/NAME/copyright` and is marked as a
//!    licence, so that an image without documentation still carries it.
//! 3. The overlay's `drop-files` and the rules of `places::BALLAST` take files out.
//! 4. Directories that `filesystem` owns (`places::is_shared`) are not owned again.
//! 5. Links that `update-alternatives` would have made are added, then the overlay's `add-files`.
//! 6. Owners, modes and capabilities of the overlay are set; configuration files, documentation and
//!    licences are marked.

use super::places::{BALLAST, is_documentation, is_license, is_shared, merged};
use super::script::Alternative;
use crate::schema::{AddFile, PackageOverlay, nearest, parse_mode, suggestion};
use globset::{GlobBuilder, GlobMatcher};
use lazuli_fs as fs;
use lazuli_store::Store;
use lazuli_tree::{Kind, Node, Tree, TreePath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What RPM should know about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// `%config(noreplace)`.
    pub config: bool,
    /// `%doc`.
    pub documentation: bool,
    /// `%license`.
    pub license: bool,
}

/// One entry of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is there.
    pub node: Node,
    /// What RPM should know about it.
    pub marks: Marks,
    /// File capabilities, as setcap(8) writes them.
    pub capabilities: Option<String>,
}

/// What was changed, for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Changes {
    /// Files taken out: why, and how many.
    pub dropped: BTreeMap<String, usize>,
    /// Files of the overlay.
    pub added: Vec<String>,
    /// Paths of the package that the overlay's files replace.
    pub replaced: Vec<String>,
    /// Links made for alternatives, as `LINK -> TARGET`.
    pub linked: Vec<String>,
    /// Alternatives that no link was made for, with the reason.
    pub not_linked: Vec<String>,
    /// Configuration files.
    pub config: Vec<String>,
    /// File capabilities, as `PATH CAPABILITIES`.
    pub capabilities: Vec<String>,
}

/// Files that could not be arranged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two files meet in one place of a merged /usr.
    #[error("{0} and the same path below /usr are different files; drop one of them in the overlay")]
    Merge(TreePath),
    /// A file of the overlay cannot be read.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// A path.
    #[error(transparent)]
    Path(#[from] lazuli_tree::PathError),
}

/// What the files are arranged from.
pub struct Input<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The package's files as shipped.
    pub data: &'a Tree,
    /// Its configuration files, absolute.
    pub conffiles: &'a [String],
    /// The overlay.
    pub overlay: &'a PackageOverlay,
    /// The folder of `component.toml`.
    pub folder: &'a Path,
    /// Links that its scripts would have made.
    pub alternatives: &'a [Alternative],
    /// File capabilities that its scripts would have set.
    pub capabilities: &'a [(String, String)],
    /// SOURCE_DATE_EPOCH: no file is newer, and files of ours have this time.
    pub timestamp: i64,
}

/// A package's files, arranged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arranged {
    /// The entries of the RPM.
    pub entries: BTreeMap<TreePath, Entry>,
    /// What was changed.
    pub changes: Changes,
    /// Where the overlay names what the package does not have, or says what cannot be. Not to be ignored.
    pub problems: Vec<String>,
}

/// The entries of the package and what was changed.
pub fn arrange(input: &Input<'_>, store: &Store) -> Result<Arranged, Error> {
    let mut arranger =
        Arranger { input, nodes: merge_usr(input.data)?, changes: Changes::default(), problems: Vec::new() };
    arranger.move_copyright()?;
    let before = arranger.nodes.clone();
    arranger.drop_files();
    arranger.add_links();
    let added = arranger.add_files(store)?;
    let config = arranger.config(&added);
    arranger.owners_and_modes();
    let capabilities = arranger.capabilities();
    arranger.mend_hard_links(&before);
    arranger.drop_directories(&before);
    let Arranger { nodes, changes, problems, .. } = arranger;
    let entries = nodes
        .into_iter()
        .map(|(path, mut node)| {
            node.mtime = node.mtime.clamp(0, input.timestamp.max(0));
            let license = is_license(&path);
            let marks = Marks {
                config: config.contains(&path),
                documentation: !license && is_documentation(&path),
                license,
            };
            let capabilities = capabilities.get(&path).cloned();
            (path, Entry { node, marks, capabilities })
        })
        .collect();
    Ok(Arranged { entries, changes, problems })
}

fn merge_usr(data: &Tree) -> Result<BTreeMap<TreePath, Node>, Error> {
    let mut nodes: BTreeMap<TreePath, Node> = BTreeMap::new();
    for (path, node) in data.iter() {
        let to = merged(path);
        let moved = to != *path;
        // The links of the merged /usr themselves belong to `filesystem`.
        if path.is_root() || (moved && !path.as_str().contains('/')) {
            continue;
        }
        let mut node = node.clone();
        if let Kind::HardLink { to } = &mut node.kind {
            *to = merged(to);
        }
        match nodes.get(&to) {
            Some(there) if !(there.is_directory() && node.is_directory()) && there.kind != node.kind => {
                return Err(Error::Merge(path.clone()));
            }
            Some(_) => {}
            None => {
                nodes.insert(to, node);
            }
        }
    }
    Ok(nodes)
}

struct Arranger<'a> {
    input: &'a Input<'a>,
    nodes: BTreeMap<TreePath, Node>,
    changes: Changes,
    problems: Vec<String>,
}

impl Arranger<'_> {
    fn move_copyright(&mut self) -> Result<(), Error> {
        let licenses = |name: &str, rest: &str| TreePath::new(&format!("usr/share/licenses/{name}{rest}"));
        let moving: Vec<TreePath> = self
            .nodes
            .keys()
            .filter(|p| {
                p.as_str()
                    .strip_prefix("usr/share/doc/")
                    .and_then(|rest| rest.strip_suffix("/copyright"))
                    .is_some_and(|n| !n.contains('/'))
            })
            .cloned()
            .collect();
        for path in moving {
            let name = path.parent().map(|p| p.file_name().to_owned()).unwrap_or_default();
            if let Some(node) = self.nodes.remove(&path) {
                self.nodes.insert(licenses(&name, "/copyright")?, node);
            }
        }
        // A documentation directory that is a link to another package's: so are the licences.
        let documentation = TreePath::new(&format!("usr/share/doc/{}", self.input.name))?;
        if let Some(node @ Node { kind: Kind::Symlink { .. }, .. }) = self.nodes.get(&documentation) {
            let node = node.clone();
            self.nodes.insert(licenses(self.input.name, "")?, node);
        }
        Ok(())
    }

    fn drop_files(&mut self) {
        let mut dropped: BTreeSet<TreePath> = BTreeSet::new();
        for drop in &self.input.overlay.drop_files {
            let matcher = match glob(&drop.glob) {
                Ok(matcher) => matcher,
                Err(reason) => {
                    self.problems.push(format!("drop-files `{}`: {reason}", drop.glob));
                    continue;
                }
            };
            let matching: Vec<&TreePath> =
                self.nodes.keys().filter(|p| matcher.is_match(p.to_string())).collect();
            if matching.is_empty() {
                self.problems.push(format!("drop-files `{}` matches no file of the package", drop.glob));
            }
            let fresh: Vec<TreePath> =
                matching.into_iter().filter(|p| !dropped.contains(*p)).cloned().collect();
            let files = fresh.iter().filter(|p| !self.nodes[*p].is_directory()).count();
            *self.changes.dropped.entry(format!("{}: {}", drop.glob, drop.reason)).or_default() += files;
            dropped.extend(fresh);
        }
        for (directory, why) in BALLAST {
            let fresh: Vec<TreePath> = self
                .nodes
                .keys()
                .filter(|p| {
                    p.as_str().strip_prefix(directory).is_some_and(|r| r.is_empty() || r.starts_with('/'))
                })
                .filter(|p| !dropped.contains(*p))
                .cloned()
                .collect();
            let files = fresh.iter().filter(|p| !self.nodes[*p].is_directory()).count();
            if files > 0 {
                *self.changes.dropped.entry(format!("/{directory}: {why}")).or_default() += files;
            }
            dropped.extend(fresh);
        }
        self.nodes.retain(|path, _| !dropped.contains(path));
    }

    /// Links of alternatives. A link that is named like its target (`mt` -> `mt-gnu`) is the package's
    /// own; any other (`pager`, `editor`, `awk`) is a role that only one package of the distribution can
    /// have, and which one is said by `add-files`.
    fn add_links(&mut self) {
        let overlay: BTreeSet<TreePath> = self
            .input
            .overlay
            .add_files
            .iter()
            .filter_map(|f| TreePath::new(&f.path).ok())
            .map(|p| merged(&p))
            .collect();
        let mut by_priority: Vec<&Alternative> = self.input.alternatives.iter().collect();
        by_priority.sort_by_key(|a| std::cmp::Reverse(a.priority));
        for alternative in by_priority {
            let paths: Option<Vec<(TreePath, TreePath)>> = alternative
                .links
                .iter()
                .map(|(link, target)| {
                    Some((merged(&TreePath::new(link).ok()?), merged(&TreePath::new(target).ok()?)))
                })
                .collect();
            let Some(paths) = paths else { continue };
            let Some((link, target)) = paths.first().cloned() else { continue };
            if overlay.contains(&link) || self.nodes.contains_key(&link) {
                continue;
            }
            if !self.nodes.contains_key(&target) {
                self.changes.not_linked.push(format!("{link} -> {target}: the target is not in the package"));
                continue;
            }
            if !target.file_name().starts_with(link.file_name()) && !is_documentation(&link) {
                self.changes.not_linked.push(format!(
                    "{link} -> {target}: a role that only one package can have; add-files says which"
                ));
                continue;
            }
            for (link, target) in paths {
                if self.nodes.contains_key(&target)
                    && !self.nodes.contains_key(&link)
                    && !overlay.contains(&link)
                {
                    self.changes.linked.push(format!("{link} -> {target}"));
                    let node = Node::symlink(target.to_string()).with_mtime(self.input.timestamp);
                    self.nodes.insert(link, node);
                }
            }
        }
        self.changes.linked.sort();
        self.changes.not_linked.sort();
    }

    fn add_files(&mut self, store: &Store) -> Result<BTreeSet<TreePath>, Error> {
        let mut config = BTreeSet::new();
        for file in &self.input.overlay.add_files {
            let path = merged(&TreePath::new(&file.path)?);
            let node = self.overlay_node(file, store)?.with_mtime(self.input.timestamp);
            if file.config {
                config.insert(path.clone());
            }
            if self.nodes.insert(path.clone(), node).is_some() {
                self.changes.replaced.push(path.to_string());
            }
            self.changes.added.push(path.to_string());
        }
        Ok(config)
    }

    fn overlay_node(&mut self, file: &AddFile, store: &Store) -> Result<Node, Error> {
        let node = if let Some(source) = &file.source {
            if TreePath::new(source).is_err() || source.starts_with('/') {
                self.problems.push(format!(
                    "add-files {}: source `{source}` leaves the component's folder",
                    file.path
                ));
                return Ok(Node::directory());
            }
            let (digest, size) = store.put_file(self.input.folder.join(source))?;
            Node::file(digest, size)
        } else if let Some(content) = &file.content {
            Node::file(store.put(content.as_bytes())?, content.len() as u64)
        } else if let Some(target) = &file.symlink {
            Node::symlink(target)
        } else {
            Node::directory()
        };
        let mode = match &file.mode {
            Some(mode) => parse_mode(mode).unwrap_or_else(|error| {
                self.problems.push(format!("add-files {}: {error}", file.path));
                node.mode
            }),
            None => node.mode,
        };
        let owner = |name: &Option<String>| name.clone().unwrap_or_else(|| "root".into());
        Ok(node.with_mode(mode).with_owner(owner(&file.user), owner(&file.group)))
    }

    /// The path that an overlay's key means; a problem if the package does not have it.
    fn existing(&mut self, key: &str, text: &str) -> Option<TreePath> {
        let path = TreePath::new(text).ok().map(|p| merged(&p));
        if let Some(path) = path.filter(|p| self.nodes.contains_key(p)) {
            return Some(path);
        }
        let all: Vec<String> = self.nodes.keys().map(ToString::to_string).collect();
        let near = suggestion(nearest(text, all.iter().map(String::as_str)));
        self.problems.push(format!("{key} `{text}`: the package has no such file{near}"));
        None
    }

    fn config(&mut self, added: &BTreeSet<TreePath>) -> BTreeSet<TreePath> {
        let mut config = added.clone();
        for conffile in self.input.conffiles {
            if let Ok(path) = TreePath::new(conffile).map(|p| merged(&p))
                && matches!(
                    self.nodes.get(&path),
                    Some(Node { kind: Kind::File { .. } | Kind::HardLink { .. }, .. })
                )
            {
                config.insert(path);
            }
        }
        for text in &self.input.overlay.config {
            config.extend(self.existing("config", text));
        }
        self.changes.config = config.iter().map(ToString::to_string).collect();
        config
    }

    fn owners_and_modes(&mut self) {
        let overlay = self.input.overlay;
        for (text, owner) in &overlay.owners {
            let Some(path) = self.existing("owners", text) else { continue };
            let Some((user, group)) = owner.split_once(':').filter(|(u, g)| !u.is_empty() && !g.is_empty())
            else {
                self.problems.push(format!("owners `{text}`: `{owner}` is not user:group"));
                continue;
            };
            if let Some(node) = self.nodes.get_mut(&path) {
                (node.user, node.group) = (user.to_owned(), group.to_owned());
            }
        }
        for (text, mode) in &overlay.modes {
            let Some(path) = self.existing("modes", text) else { continue };
            match (parse_mode(mode), self.nodes.get_mut(&path)) {
                (Ok(mode), Some(node)) => node.mode = mode,
                (Err(error), _) => self.problems.push(format!("modes `{text}`: {error}")),
                (Ok(_), None) => {}
            }
        }
    }

    fn capabilities(&mut self) -> BTreeMap<TreePath, String> {
        let mut capabilities = BTreeMap::new();
        for (text, value) in self.input.capabilities {
            // The overlay may have dropped the program; then nothing is left to set.
            if let Ok(path) = TreePath::new(text).map(|p| merged(&p))
                && self.nodes.contains_key(&path)
            {
                capabilities.insert(path, value.clone());
            }
        }
        for (text, value) in &self.input.overlay.capabilities {
            let Some(path) = self.existing("capabilities", text) else { continue };
            if !matches!(self.nodes[&path].kind, Kind::File { .. }) {
                let word = self.nodes[&path].kind.word();
                self.problems
                    .push(format!("capabilities `{text}`: only files have capabilities, not a {word}"));
            }
            if lazuli_rpm::caps::parse(value).is_none() {
                self.problems.push(format!("capabilities `{text}`: `{value}` is not like `cap_net_raw=ep`"));
            }
            capabilities.insert(path, value.clone());
        }
        self.changes.capabilities = capabilities.iter().map(|(p, c)| format!("{p} {c}")).collect();
        capabilities
    }

    /// A hard link whose file was taken out becomes the file; the others follow it.
    fn mend_hard_links(&mut self, before: &BTreeMap<TreePath, Node>) {
        let mut heirs: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        let links: Vec<(TreePath, TreePath)> = self
            .nodes
            .iter()
            .filter_map(|(path, node)| match &node.kind {
                Kind::HardLink { to } => Some((path.clone(), to.clone())),
                _ => None,
            })
            .collect();
        for (path, to) in links {
            // Replaced by a file of the overlay counts as taken out too.
            let intact =
                self.nodes.get(&to).is_some_and(|n| before.get(&to).is_some_and(|b| b.kind == n.kind));
            if intact {
                continue;
            }
            let kind = match heirs.get(&to) {
                Some(heir) => Kind::HardLink { to: heir.clone() },
                None => match before.get(&to) {
                    Some(original) => {
                        heirs.insert(to, path.clone());
                        original.kind.clone()
                    }
                    None => continue,
                },
            };
            if let Some(node) = self.nodes.get_mut(&path) {
                node.kind = kind;
            }
        }
    }

    /// Directories of `filesystem`, and those that lost everything that was in them.
    fn drop_directories(&mut self, before: &BTreeMap<TreePath, Node>) {
        let with_content = |nodes: &BTreeMap<TreePath, Node>| {
            let parents = nodes.iter().filter(|(_, n)| !n.is_directory()).filter_map(|(p, _)| p.parent());
            let mut all = BTreeSet::new();
            for mut directory in parents {
                while all.insert(directory.clone()) {
                    let Some(parent) = directory.parent() else { break };
                    directory = parent;
                }
            }
            all
        };
        let (had, has) = (with_content(before), with_content(&self.nodes));
        let added: BTreeSet<&String> = self.changes.added.iter().collect();
        self.nodes.retain(|path, node| {
            !node.is_directory()
                || added.contains(&path.to_string())
                || !(is_shared(path.as_str()) || (had.contains(path) && !has.contains(path)))
        });
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    if !pattern.starts_with(['/', '{']) {
        return Err("a pattern is absolute, it begins with `/`".into());
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|e| e.kind().to_string())?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
