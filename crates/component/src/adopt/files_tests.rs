//! Where files go and what is said of them.

use super::*;
use crate::schema::{DropFiles, PackageOverlay};

struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
    data: Tree,
    overlay: PackageOverlay,
    conffiles: Vec<String>,
    alternatives: Vec<Alternative>,
    capabilities: Vec<(String, String)>,
}

impl Fixture {
    fn new(files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let mut data = Tree::new();
        for file in files {
            let path = TreePath::new(file).unwrap();
            data.put_file(&store, path, file.as_bytes()).unwrap().mtime = 2000;
        }
        data.ensure_parents();
        let overlay = PackageOverlay::default();
        let (conffiles, alternatives, capabilities) = (Vec::new(), Vec::new(), Vec::new());
        Self { directory, store, data, overlay, conffiles, alternatives, capabilities }
    }

    fn overlay(mut self, toml: &str) -> Self {
        self.overlay = toml::from_str(toml).unwrap();
        self
    }

    fn put(&mut self, path: &str, node: Node) {
        self.data.insert(TreePath::new(path).unwrap(), node);
    }

    fn try_arrange(&self) -> Result<Arranged, Error> {
        let input = Input {
            name: "hello",
            data: &self.data,
            conffiles: &self.conffiles,
            overlay: &self.overlay,
            folder: self.directory.path(),
            alternatives: &self.alternatives,
            capabilities: &self.capabilities,
            timestamp: 1000,
        };
        arrange(&input, &self.store)
    }

    fn arrange(&self) -> Arranged {
        let arranged = self.try_arrange().unwrap();
        assert!(arranged.problems.is_empty(), "{:?}", arranged.problems);
        arranged
    }

    fn problems(&self) -> String {
        self.try_arrange().unwrap().problems.join("\n")
    }
}

fn paths(arranged: &Arranged) -> Vec<&str> {
    arranged.entries.keys().map(TreePath::as_str).collect()
}

fn entry<'a>(arranged: &'a Arranged, path: &str) -> &'a Entry {
    &arranged.entries[path]
}

#[test]
fn usr_is_merged_and_directories_of_filesystem_are_left_to_it() {
    let mut fixture = Fixture::new(&["/bin/a", "/usr/lib/x/b", "/lib/x/c", "/sbin/d"]);
    fixture.put("/lib/x/hard", Node::new(Kind::HardLink { to: TreePath::new("/bin/a").unwrap() }, 0o755));
    fixture.put("/lib64", Node::symlink("usr/lib64"));
    let arranged = fixture.arrange();
    assert_eq!(
        paths(&arranged),
        ["usr/bin/a", "usr/lib/x", "usr/lib/x/b", "usr/lib/x/c", "usr/lib/x/hard", "usr/sbin/d"]
    );
    let Kind::HardLink { to } = &entry(&arranged, "usr/lib/x/hard").node.kind else { panic!() };
    assert_eq!(to.as_str(), "usr/bin/a");
    // No file is newer than the package.
    assert_eq!(entry(&arranged, "usr/bin/a").node.mtime, 1000);
}

#[test]
fn two_different_files_in_one_place_are_an_error() {
    let clash = Fixture::new(&["/bin/a", "/usr/bin/a"]);
    assert!(matches!(clash.try_arrange(), Err(Error::Merge(_))));
}

#[test]
fn licences_stay_when_documentation_goes() {
    let mut fixture = Fixture::new(&[
        "/usr/share/doc/hello/copyright",
        "/usr/share/doc/hello/NEWS",
        "/usr/share/man/man1/x.1",
    ]);
    fixture.put("/usr/share/doc/hello-data", Node::symlink("hello"));
    let arranged = fixture.arrange();
    let license = entry(&arranged, "usr/share/licenses/hello/copyright").marks;
    assert!(license.license && !license.documentation);
    assert!(!arranged.entries.contains_key("usr/share/doc/hello/copyright"));
    for path in ["usr/share/doc/hello", "usr/share/doc/hello/NEWS", "usr/share/man/man1/x.1"] {
        assert!(entry(&arranged, path).marks.documentation, "{path}");
    }

    // All documentation in another package's directory.
    let mut linked = Fixture::new(&["/usr/bin/x"]);
    linked.put("/usr/share/doc/hello", Node::symlink("hello-common"));
    let arranged = linked.arrange();
    let Kind::Symlink { target } = &entry(&arranged, "usr/share/licenses/hello").node.kind else { panic!() };
    assert_eq!(target, "hello-common");
}

#[test]
fn ballast_and_dropped_files_go_with_their_directories() {
    let fixture = Fixture::new(&[
        "/usr/bin/a",
        "/etc/init.d/a",
        "/usr/share/lintian/overrides/a",
        "/usr/share/x/y/z",
        "/usr/share/x2/keep",
    ])
    .overlay("drop-files = [{ glob = \"/usr/share/x/**\", reason = \"no\" }]");
    let arranged = fixture.arrange();
    assert_eq!(paths(&arranged), ["usr/bin/a", "usr/share/x2", "usr/share/x2/keep"]);
    assert_eq!(arranged.changes.dropped["/usr/share/x/**: no"], 1);
    assert_eq!(arranged.changes.dropped.values().sum::<usize>(), 3);
}

#[test]
fn a_hard_link_outlives_the_file_that_was_dropped() {
    let mut fixture =
        Fixture::new(&["/usr/bin/a"]).overlay("drop-files = [{ glob = \"/usr/bin/a\", reason = \"no\" }]");
    let to = TreePath::new("/usr/bin/a").unwrap();
    for name in ["/usr/bin/b", "/usr/bin/c"] {
        fixture.put(name, Node::new(Kind::HardLink { to: to.clone() }, 0o755));
    }
    let arranged = fixture.arrange();
    assert_eq!(entry(&arranged, "usr/bin/b").node.size(), Some(10));
    let Kind::HardLink { to } = &entry(&arranged, "usr/bin/c").node.kind else { panic!() };
    assert_eq!(to.as_str(), "usr/bin/b");
}

#[test]
fn the_overlay_adds_and_changes() {
    let mut fixture = Fixture::new(&["/etc/a", "/etc/b", "/usr/bin/p"]).overlay(
        "config = [\"/etc/b\"]\nowners = { \"/usr/bin/p\" = \"root:x\" }\nmodes = { \"/bin/p\" = \"2755\" }\n\
         capabilities = { \"/usr/bin/p\" = \"cap_net_raw=ep\" }\n\
         [[add-files]]\npath = \"/etc/a\"\ncontent = \"ours\"\nmode = \"0600\"\nconfig = true\n\
         [[add-files]]\npath = \"/etc/new\"\ndirectory = true\nuser = \"x\"\n\
         [[add-files]]\npath = \"/usr/bin/link\"\nsymlink = \"p\"\n\
         [[add-files]]\npath = \"/usr/lib/f\"\nsource = \"files/f\"\n",
    );
    fixture.conffiles.push("/etc/gone".into());
    fs::create_dir_all(fixture.directory.path().join("files")).unwrap();
    fs::write(fixture.directory.path().join("files/f"), "from a file").unwrap();
    let arranged = fixture.arrange();
    let a = entry(&arranged, "etc/a");
    assert_eq!((a.node.size(), a.node.mode, a.node.mtime, a.marks.config), (Some(4), 0o600, 1000, true));
    assert!(entry(&arranged, "etc/b").marks.config);
    let p = entry(&arranged, "usr/bin/p");
    assert_eq!((p.node.group.as_str(), p.node.mode), ("x", 0o2755));
    assert_eq!(p.capabilities.as_deref(), Some("cap_net_raw=ep"));
    assert_eq!(entry(&arranged, "etc/new").node.user, "x");
    assert_eq!(entry(&arranged, "usr/lib/f").node.size(), Some(11));
    assert_eq!(arranged.changes.replaced, ["/etc/a"]);
    assert_eq!(arranged.changes.added.len(), 4);
}

#[test]
fn an_overlay_that_does_not_fit_says_so_and_what_was_meant() {
    let fixture = Fixture::new(&["/usr/bin/program"]).overlay(
        "config = [\"/etc/x\"]\nmodes = { \"/usr/bin/progam\" = \"0755\" }\n\
         drop-files = [{ glob = \"/usr/share/nothing/*\", reason = \"no\" }, { glob = \"usr/bin/*\", reason = \"no\" }]\n\
         capabilities = { \"/usr/bin/program\" = \"cap_nonsense\" }\nowners = { \"/usr/bin/program\" = \"root\" }\n\
         [[add-files]]\npath = \"/etc/a\"\nsource = \"../secret\"\n",
    );
    let problems = fixture.problems();
    for part in [
        "config `/etc/x`: the package has no such file",
        "did you mean `/usr/bin/program`?",
        "`/usr/share/nothing/*` matches no file",
        "it begins with `/`",
        "`cap_nonsense` is not like",
        "`root` is not user:group",
        "leaves the component's folder",
    ] {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
    // `*` stays inside one directory.
    let mut narrow = Fixture::new(&["/usr/share/x/y"]);
    narrow.overlay.drop_files.push(DropFiles { glob: "/usr/*".into(), reason: "no".into() });
    assert_eq!(paths(&narrow.try_arrange().unwrap()), ["usr/share/x", "usr/share/x/y"]);
}

#[test]
fn alternatives_become_links_unless_they_are_a_role() {
    let mut fixture = Fixture::new(&[
        "/usr/bin/mt-gnu",
        "/usr/sbin/tables-nft",
        "/usr/bin/less",
        "/usr/share/man/man1/mt-gnu.1",
    ]);
    let one = |name: &str, priority, links: &[(&str, &str)]| Alternative {
        name: name.into(),
        priority,
        links: links.iter().map(|(l, t)| ((*l).to_owned(), (*t).to_owned())).collect(),
    };
    fixture.alternatives = vec![
        one(
            "mt",
            10,
            &[("/usr/bin/mt", "/bin/mt-gnu"), ("/usr/share/man/man1/mt.1", "/usr/share/man/man1/mt-gnu.1")],
        ),
        one("tables", 10, &[("/usr/sbin/tables", "/usr/sbin/tables-legacy")]),
        one("tables", 20, &[("/usr/sbin/tables", "/usr/sbin/tables-nft")]),
        one("pager", 77, &[("/usr/bin/pager", "/usr/bin/less")]),
    ];
    let arranged = fixture.arrange();
    assert_eq!(
        arranged.changes.linked,
        [
            "/usr/bin/mt -> /usr/bin/mt-gnu",
            "/usr/sbin/tables -> /usr/sbin/tables-nft",
            "/usr/share/man/man1/mt.1 -> /usr/share/man/man1/mt-gnu.1"
        ]
    );
    assert_eq!(arranged.changes.not_linked.len(), 1, "{:?}", arranged.changes.not_linked);
    assert!(arranged.changes.not_linked[0].contains("role"));
    assert!(!arranged.entries.contains_key("usr/bin/pager"));

    // The overlay's own file wins.
    let fixture = Fixture {
        overlay: toml::from_str("[[add-files]]\npath = \"/usr/bin/mt\"\nsymlink = \"mine\"\n").unwrap(),
        ..fixture
    };
    let arranged = fixture.arrange();
    let Kind::Symlink { target } = &entry(&arranged, "usr/bin/mt").node.kind else { panic!() };
    assert_eq!(target, "mine");
}

#[test]
fn conffiles_and_capabilities_of_scripts_are_found_where_they_moved() {
    let mut fixture = Fixture::new(&["/etc/a", "/bin/ping"]);
    fixture.conffiles = vec!["/etc/a".into()];
    fixture.capabilities =
        vec![("/bin/ping".into(), "cap_net_raw+ep".into()), ("/bin/gone".into(), "cap_net_raw+ep".into())];
    let arranged = fixture.arrange();
    assert!(entry(&arranged, "etc/a").marks.config);
    assert_eq!(arranged.changes.capabilities, ["/usr/bin/ping cap_net_raw+ep"]);
}
