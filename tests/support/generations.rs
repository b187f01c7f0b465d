//! Packages of `core` in two generations, in a signed repository: as they are built, and the same with some
//! files changed and a higher release. Besides them a few small packages have what those of `core` lack:
//! scripts, triggers, something obsoleted.

use crate::user::{keys, lazuli};
use lazuli_fs as fs;
use lazuli_repo::publish::{Publication, publish};
use lazuli_repo::{Href, Package};
use lazuli_rpm::{
    Builder, Dependency, DependencyFlags, Evr, FileEntry, FileFlags, FileTrigger, Nevra, PackageFile,
    Scriptlet, Scriptlets, Signer, TriggerKind, payload_tree, tag,
};
use lazuli_store::Store;
use lazuli_tree::{Kind, Node, Tree, TreePath};
use std::path::{Path, PathBuf};

/// What is built.
const COMPONENTS: [&str; 11] = [
    "acl",
    "attr",
    "bash",
    "dash",
    "debianutils",
    "filesystem",
    "gcc-14",
    "glibc",
    "hostname",
    "ncurses",
    "netbase",
];
/// Packages that have a second generation.
const CHANGED: [&str; 6] = ["bash", "debianutils", "hostname", "libacl1", "libattr1", "netbase"];
/// When the small packages were made, in seconds since 1970.
const TIME: i64 = 1_700_000_000;
/// What scripts write to, below the root.
pub const LOG: &str = "var/log/lab.log";

/// Packages, and the repository they are published in.
pub struct Generations {
    dir: PathBuf,
    store: Store,
    signer: Signer,
    now: i64,
}

impl Generations {
    /// Builds what is needed of `core`.
    pub fn new(dir: &Path) -> Self {
        let output = dir.join("core");
        let text = output.to_str().expect("a path in UTF-8");
        let mut args = vec!["component", "build"];
        args.extend(COMPONENTS);
        args.extend(["--output", text]);
        lazuli(&args);
        let secret = fs::read_to_string(keys().join("repo.secret.asc")).expect("the key");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        Self {
            store: Store::open(dir.join("store")).expect("a store"),
            signer: Signer::from_armored(&secret).expect("a key"),
            now: now.as_secs() as i64,
            dir: dir.to_owned(),
        }
    }

    /// Writes the configuration of the repository into a root.
    pub fn configure(&self, root: &Path) {
        fs::create_dir_all(root.join("etc/yum.repos.d")).expect("a directory");
        fs::create_dir_all(root.join("etc/pki")).expect("a directory");
        fs::copy(keys().join("repo.asc"), root.join("etc/pki/core")).expect("the key");
        let text = format!(
            "[core]\nname=Packages of core\nbaseurl=file://{}\ngpgkey=file:///etc/pki/core\n\
             metadata_expire=0\n",
            self.repository().display()
        );
        fs::write(root.join("etc/yum.repos.d/core.repo"), text).expect("a file");
    }

    fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// Publishes the first or the second generation.
    pub fn publish(&self, generation: u8) {
        let mut files = Vec::new();
        for path in fs::read_dir(self.dir.join("core")).expect("packages") {
            let bytes = fs::read(&path).expect("a package");
            let name = PackageFile::parse(&bytes).expect("a package").header.nevra().expect("a name").name;
            let second = generation == 2 && CHANGED.contains(&&name[..]);
            files.push(if second { self.changed(&bytes) } else { bytes });
        }
        for builder in self.small(generation) {
            files.push(self.write(&builder));
        }
        let packages = files.iter().enumerate().map(|(number, bytes)| {
            let path = self.dir.join(format!("{generation}-{number}.rpm"));
            fs::write(&path, bytes).expect("a file");
            (Package::from_rpm(bytes, Href::new("unused").expect("a location")).expect("a package"), path)
        });
        let publication = Publication {
            packages: packages.collect(),
            advisories: Vec::new(),
            content_tags: Vec::new(),
            distro_tags: Vec::new(),
            now: self.now + i64::from(generation),
            lifetime: 86_400,
            lock: None,
        };
        publish(&self.repository(), publication, &self.signer).expect("a repository");
    }

    fn write(&self, builder: &Builder) -> Vec<u8> {
        let mut bytes = Vec::new();
        builder.write(&self.store, Some(&self.signer), &mut bytes).expect("a package");
        bytes
    }

    /// The second generation of a package: every third file has one byte more, one file is gone, and there is a
    /// new directory with a file.
    fn changed(&self, bytes: &[u8]) -> Vec<u8> {
        let package = PackageFile::parse(bytes).expect("a package");
        let header = &package.header;
        let mut nevra = header.nevra().expect("a name");
        let own = [nevra.name.clone(), format!("{}(x86-64)", nevra.name), format!("config({})", nevra.name)];
        let given = |list: Vec<Dependency>| -> Vec<Dependency> {
            list.into_iter()
                .filter(|d| !own.contains(&d.name) && !d.flags.contains(DependencyFlags::RPMLIB))
                .collect()
        };
        let tree = payload_tree(header, package.payload(), &self.store).expect("a payload");
        let paths = header.paths();
        let flags = header.numbers(tag::FILEFLAGS);
        let capabilities = header.strings(tag::FILECAPS);
        assert_eq!(tree.len(), paths.len(), "{nevra}: there are ghosts, which would get lost");
        assert!(
            header.string(tag::PREIN).is_none() && header.string(tag::POSTIN).is_none(),
            "{nevra}: scripts"
        );
        let mut files = Vec::new();
        let mut gone = false;
        let mut regular = 0;
        for (path, text) in paths.iter().enumerate() {
            let name = TreePath::new(text).expect("a path");
            let mut node = tree.get(&name).expect("a file").clone();
            if let Kind::File { .. } = node.kind {
                regular += 1;
                // A manual page in another language is missed by nobody.
                if !gone && text.contains("/man/") && !is_linked(&tree, &name) {
                    gone = true;
                    continue;
                }
                if regular % 3 == 1 {
                    self.extend(&tree, &name, &mut node);
                }
            }
            files.push(FileEntry {
                path: name,
                node,
                flags: FileFlags(flags[path] as u32),
                capabilities: capabilities.get(path).filter(|c| !c.is_empty()).cloned(),
            });
        }
        let added = format!("/usr/share/lab/{}", nevra.name);
        files.push(entry(&added, Node::directory().with_mtime(TIME)));
        files.push(self.file(&format!("{added}/new"), "new in the second generation\n"));
        nevra.evr.release.push_str(".2");
        let builder = Builder {
            nevra,
            summary: header.string(tag::SUMMARY).unwrap_or_default(),
            license: "MIT".to_owned(),
            build_time: TIME,
            build_host: "lazuli".to_owned(),
            provides: given(header.provides()),
            requires: given(header.requires()),
            conflicts: header.conflicts(),
            obsoletes: header.obsoletes(),
            files,
            level: 1,
            ..Builder::default()
        };
        self.write(&builder)
    }

    /// One byte more, a day later.
    fn extend(&self, tree: &Tree, path: &TreePath, node: &mut Node) {
        let mut content = tree.read(&self.store, path).expect("the store").expect("a file");
        content.push(b'\n');
        let digest = self.store.put(&content).expect("the store");
        node.kind = Kind::File { digest, size: content.len() as u64 };
        node.mtime += 86_400;
    }

    fn file(&self, path: &str, content: &str) -> FileEntry {
        let digest = self.store.put(content.as_bytes()).expect("the store");
        entry(path, Node::file(digest, content.len() as u64).with_mtime(TIME))
    }

    /// Packages that are ours.
    fn small(&self, generation: u8) -> Vec<Builder> {
        let mut lab = small("lab", generation);
        let of = |text: &str| format!("lab {generation}: {text}\n");
        let config = |path: &str, flags| FileEntry { flags, ..self.file(path, &of("setting")) };
        lab.files = vec![
            self.file("/usr/lib/lab/one", &of("one")),
            self.file("/usr/lib/lab/linked", &of("linked")),
            entry(
                "/usr/lib/lab/link",
                Node::new(Kind::HardLink { to: at("/usr/lib/lab/linked") }, 0o644).with_mtime(TIME),
            ),
            config("/etc/lab.conf", FileFlags::CONFIG | FileFlags::NOREPLACE),
            config("/etc/lab.saved", FileFlags::CONFIG),
            entry("/usr/lib/lab", Node::directory().with_mtime(TIME)),
        ];
        let mut set = self.file("/usr/lib/lab/set", &of("with a set-user-id bit"));
        set.node.mode = 0o4755;
        lab.files.push(set);
        let mut able = self.file("/usr/lib/lab/able", &of("with a capability"));
        able.node.mode = 0o755;
        able.capabilities = Some("cap_net_raw=ep".to_owned());
        lab.files.push(able);
        let target = if generation == 1 { "one" } else { "sub/two" };
        lab.files.push(entry("/usr/lib/lab/current", Node::symlink(target).with_mtime(TIME)));
        if generation == 1 {
            lab.files.push(self.file("/usr/lib/lab/goes", "goes\n"));
        } else {
            lab.files.push(entry("/usr/lib/lab/sub", Node::directory().with_mtime(TIME)));
            lab.files.push(self.file("/usr/lib/lab/sub/two", &of("two")));
        }
        lab.requires = vec![Dependency::any("filesystem"), Dependency::any("/bin/sh")];
        lab.scriptlets = scripts(generation);
        // No program to count with is needed but the shell.
        let count = |kind, prefix: &str, name: &str| FileTrigger {
            kind,
            prefixes: vec![prefix.to_owned()],
            script: say(
                generation,
                &format!("{name} $(n=0; while read -r path; do n=$((n+1)); done; echo $n)"),
            ),
            priority: FileTrigger::PRIORITY,
        };
        lab.file_triggers = vec![count(TriggerKind::In, "/usr/lib/lab", "file trigger")];
        lab.transaction_file_triggers = vec![count(TriggerKind::In, "/usr/share/doc", "transaction trigger")];
        if generation == 1 {
            let mut old = small("lab-old", 1);
            old.files = vec![
                entry("/srv/lab", Node::directory().with_mtime(TIME)),
                self.file("/srv/lab/old", "old\n"),
                self.file("/srv/lab/moves", "moves\n"),
            ];
            return vec![lab, old];
        }
        let mut new = small("lab-new", 1);
        new.obsoletes = vec![Dependency::any("lab-old")];
        new.files = vec![
            entry("/srv/lab", Node::directory().with_mtime(TIME)),
            self.file("/srv/lab/moves", "moved\n"),
        ];
        vec![lab, new]
    }
}

fn at(path: &str) -> TreePath {
    TreePath::new(path).expect("a path")
}

fn entry(path: &str, node: Node) -> FileEntry {
    FileEntry { path: at(path), node, flags: FileFlags::NONE, capabilities: None }
}

/// Whether another path of the package is a link to this one.
fn is_linked(tree: &Tree, path: &TreePath) -> bool {
    tree.iter().any(|(_, node)| matches!(&node.kind, Kind::HardLink { to } if to == path))
}

fn small(name: &str, version: u8) -> Builder {
    Builder {
        nevra: Nevra {
            name: name.to_owned(),
            evr: Evr::new(None, version.to_string(), "1"),
            arch: "noarch".to_owned(),
        },
        summary: format!("{name} of a test"),
        license: "MIT".to_owned(),
        build_time: TIME,
        build_host: "lazuli".to_owned(),
        level: 1,
        ..Builder::default()
    }
}

/// A script that adds a line to the log; no line is written twice by the scripts of one transaction.
fn say(generation: u8, what: &str) -> Scriptlet {
    Scriptlet::shell(format!("echo \"lab {generation}: {what}\" >>/{LOG}\n"))
}

fn scripts(generation: u8) -> Scriptlets {
    let script = |name: &str| Some(say(generation, &format!("{name} $1")));
    let lua = format!(
        "local log = io.open('/{LOG}', 'a')\nlog:write('lab {generation}: posttrans\\n')\nlog:close()\n"
    );
    Scriptlets {
        pretrans: (generation == 2).then(|| say(generation, "pretrans")),
        pre: script("pre"),
        post: script("post"),
        preun: script("preun"),
        postun: script("postun"),
        posttrans: Some(Scriptlet { interpreter: vec!["<lua>".to_owned()], body: lua }),
        preuntrans: script("preuntrans"),
        postuntrans: script("postuntrans"),
        verify: None,
    }
}
