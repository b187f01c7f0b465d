//! Roots, packages and snapshots for tests.

#![allow(dead_code, clippy::unwrap_used)] // Not every test uses all of it; a test may fail.

use lazuli_fs as fs;
use lazuli_rpm::{Builder, Dependency, Evr, FileEntry, FileFlags, Nevra, Scriptlet};
use lazuli_rpmdb::{Access, Database};
use lazuli_store::Store;
use lazuli_transaction::{
    Check, Element, Ended, Error, Options, Package, Report, Scripts, Silent, Stored, Transaction,
};
use lazuli_tree::{Kind, Node, TreePath};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Time of all files of packages, in seconds since 1970.
pub const MTIME: i64 = 1_600_000_000;
/// Where programs that are tested together agree that the database is.
pub const DBPATH: &str = "/usr/lib/sysimage/rpm";

/// A directory with a store, packages, and a root.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub store: Store,
}

impl Lab {
    pub fn new() -> Self {
        // A file system in memory flushes at once.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        fs::create_dir_all(dir.path().join("root")).unwrap();
        fs::set_mode(dir.path().join("root"), 0o755).unwrap();
        Self { dir, store }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A package; `fill` puts files and the rest into it.
    pub fn spec(&self, name: &str, version: &str) -> Spec<'_> {
        Spec {
            store: &self.store,
            dir: self.dir.path(),
            builder: Builder {
                nevra: Nevra { name: name.into(), evr: Evr::new(None, version, "1"), arch: "noarch".into() },
                summary: name.into(),
                license: "MIT".into(),
                build_time: MTIME,
                build_host: "localhost".into(),
                level: 1,
                ..Builder::default()
            },
        }
    }

    pub fn run(&self, elements: Vec<Element>) -> Result<Report, Error> {
        run(&self.root(), elements, Options::default(), &mut Log::none())
    }
}

/// A package in the making.
pub struct Spec<'a> {
    store: &'a Store,
    dir: &'a Path,
    pub builder: Builder,
}

impl Spec<'_> {
    pub fn entry(mut self, path: &str, node: Node, flags: FileFlags) -> Self {
        let path = TreePath::new(path).unwrap();
        let node = node.with_mtime(MTIME);
        self.builder.files.push(FileEntry { path, node, flags, capabilities: None });
        self
    }

    pub fn node(&self, content: &str) -> Node {
        Node::file(self.store.put(content.as_bytes()).unwrap(), content.len() as u64)
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        let node = self.node(content);
        self.entry(path, node, FileFlags::NONE)
    }

    pub fn config(self, path: &str, content: &str, noreplace: bool) -> Self {
        let node = self.node(content);
        let flags = if noreplace { FileFlags::CONFIG | FileFlags::NOREPLACE } else { FileFlags::CONFIG };
        self.entry(path, node, flags)
    }

    pub fn directory(self, path: &str) -> Self {
        self.entry(path, Node::directory(), FileFlags::NONE)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, Node::symlink(target), FileFlags::NONE)
    }

    pub fn link(self, path: &str, to: &str) -> Self {
        let kind = Kind::HardLink { to: TreePath::new(to).unwrap() };
        self.entry(path, Node::new(kind, 0o644), FileFlags::NONE)
    }

    pub fn ghost(self, path: &str) -> Self {
        let node = self.node("");
        self.entry(path, node, FileFlags::GHOST)
    }

    pub fn requires(mut self, name: &str) -> Self {
        self.builder.requires.push(Dependency::any(name));
        self
    }

    pub fn provides(mut self, name: &str) -> Self {
        self.builder.provides.push(Dependency::any(name));
        self
    }

    pub fn all_scripts(mut self) -> Self {
        let script = |text: &str| Some(Scriptlet::shell(text));
        let scripts = &mut self.builder.scriptlets;
        scripts.pretrans = script("true");
        scripts.pre = script("true");
        scripts.post = script("true");
        scripts.preun = script("true");
        scripts.postun = script("true");
        scripts.posttrans = script("true");
        self
    }

    /// Writes the package file.
    pub fn build(self) -> PathBuf {
        let path = self.dir.join(format!("{}.rpm", self.builder.nevra));
        let mut bytes = Vec::new();
        self.builder.write(self.store, None, &mut bytes).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

pub fn open(path: &Path) -> Package {
    Package::open(path, Check::DigestsOnly).unwrap()
}

/// Runs a transaction in a root.
pub fn run(
    root: &Path,
    elements: Vec<Element>,
    options: Options,
    scripts: &mut dyn Scripts,
) -> Result<Report, Error> {
    let mut database = Database::open(root, Access::Write)?;
    Transaction::prepare(root, &mut database, elements, options)?.run_with(scripts, &mut Silent)
}

/// The number of an installed package's row.
pub fn hnum(root: &Path, name: &str) -> u32 {
    let database = Database::open(root, Access::Read).unwrap();
    let rows = database.named(name).unwrap();
    assert_eq!(rows.len(), 1, "{name} is installed {} times", rows.len());
    rows[0].hnum
}

/// Names, versions and file states of all installed packages.
pub fn packages(root: &Path) -> Vec<String> {
    let database = Database::open(root, Access::Read).unwrap();
    let mut list: Vec<String> = database
        .packages()
        .unwrap()
        .iter()
        .map(|p| {
            let states: Vec<String> = p.states.iter().map(|s| (*s as u8).to_string()).collect();
            format!("{} [{}]", p.nevra(), states.join(""))
        })
        .collect();
    assert!(database.unreadable().is_empty(), "{:?}", database.unreadable());
    list.sort();
    list
}

/// Everything below a root but the database and the package manager's own state: path, kind, mode,
/// content, and for files the set of paths with which they share an inode.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    walk(root, root, &mut found, &mut inodes);
    for links in inodes.values().filter(|l| l.len() > 1) {
        for path in links {
            let entry = found.get_mut(path).unwrap();
            *entry = format!("{entry} = {}", links.join(" "));
        }
    }
    found
}

fn walk(
    root: &Path,
    directory: &Path,
    found: &mut BTreeMap<String, String>,
    inodes: &mut BTreeMap<u64, Vec<String>>,
) {
    for path in fs::read_dir(directory).unwrap() {
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if name == DBPATH || name == "/var/lib/lapis" {
            continue;
        }
        let stat = fs::symlink_metadata(&path).unwrap();
        let mode = stat.mode() & 0o7777;
        let owner = format!("{}:{}", stat.uid(), stat.gid());
        let kind = stat.file_type();
        let text = if kind.is_symlink() {
            format!("-> {} {owner}", rustix::fs::readlink(&path, Vec::new()).unwrap().to_string_lossy())
        } else if kind.is_dir() {
            walk(root, &path, found, inodes);
            format!("directory {mode:o} {owner}")
        } else if kind.is_file() {
            inodes.entry(stat.ino()).or_default().push(name.clone());
            let content = fs::read(&path).unwrap();
            format!("{mode:o} {owner} {} {}", stat.mtime(), String::from_utf8_lossy(&content))
        } else {
            format!("special {mode:o} {owner} {}", stat.rdev())
        };
        found.insert(name, text);
    }
}

/// Fails if a transaction left anything behind.
pub fn assert_no_strays(root: &Path) {
    let strays: Vec<String> = tree(root).into_keys().filter(|p| p.contains("/.lapis")).collect();
    assert!(strays.is_empty(), "{strays:?}");
    assert!(!lazuli_transaction::pending(root));
}

/// Runs no script, and remembers them in a file outside of the root.
pub struct Log {
    path: Option<PathBuf>,
    pub fail: Option<String>,
}

impl Log {
    pub fn none() -> Self {
        Self { path: None, fail: None }
    }

    pub fn to(path: PathBuf) -> Self {
        Self { path: Some(path), fail: None }
    }

    pub fn failing(script: &str) -> Self {
        Self { path: None, fail: Some(script.to_owned()) }
    }
}

impl Scripts for Log {
    fn run(&mut self, script: &Stored, _: &mut dyn FnMut(&str)) -> Result<Ended, Error> {
        let label = format!("{}({}) {:?}", script.kind, script.package, script.args);
        if let Some(path) = &self.path {
            let mut text = fs::read_to_string(path).unwrap_or_default();
            text.push_str(&label);
            text.push('\n');
            fs::write(path, text)?;
        }
        match &self.fail {
            Some(fail) if label.starts_with(&fail[..]) => Ok(Ended::Failed("as the test wants".into())),
            _ => Ok(Ended::Success),
        }
    }
}

/// Runs a program; `None` if it is not on this machine.
pub fn program(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let mut command = std::process::Command::new(program);
    match command.args(args).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => panic!("{program}: {e}"),
    }
}

/// Runs the real `rpm` on a root; `None` if it is not on this machine.
pub fn rpm(root: &Path, args: &[&str]) -> Option<(bool, String)> {
    let define = format!("_dbpath {DBPATH}");
    let mut all = vec!["--root", root.to_str().unwrap(), "--define", &define];
    all.extend(["--define", "_tmppath /tmp", "--nosignature"]);
    all.extend(args);
    program("rpm", &all)
}
