//! A repository made for a test, an empty root, and the real binary run on it.

#![allow(dead_code, reason = "not every test needs all of it")]

use lazuli_fs as fs;
use lazuli_repo::publish::{Publication, publish};
use lazuli_repo::updateinfo::{Advisory, AdvisoryKind, AdvisoryPackage, Reference, Severity};
use lazuli_repo::{Href, Package};
use lazuli_rpm::builder::{Builder, ChangelogEntry, FileEntry, FileFlags};
use lazuli_rpm::{Dependency, Evr, Nevra, Signer};
use lazuli_store::Store;
use lazuli_tree::{Node, TreePath};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A time at which everything was made; keys are older.
pub const BUILT: i64 = 1_700_000_000;

/// A directory with a root, repositories and keys.
pub struct World {
    dir: TempDir,
    pub store: Store,
    pub signer: Signer,
    published: std::cell::Cell<i64>,
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless the command failed.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert_ne!(self.status, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// The JSON value that was printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// A package to be built.
pub struct Recipe(pub Builder);

impl Recipe {
    /// With a requirement.
    pub fn requires(mut self, text: &str) -> Self {
        self.0.requires.push(Dependency::parse(text).expect("a dependency"));
        self
    }

    /// With something provided.
    pub fn provides(mut self, text: &str) -> Self {
        self.0.provides.push(Dependency::parse(text).expect("a dependency"));
        self
    }

    /// With something that it replaces.
    pub fn obsoletes(mut self, text: &str) -> Self {
        self.0.obsoletes.push(Dependency::parse(text).expect("a dependency"));
        self
    }

    /// With something that it does not go with.
    pub fn conflicts(mut self, text: &str) -> Self {
        self.0.conflicts.push(Dependency::parse(text).expect("a dependency"));
        self
    }

    /// With something recommended.
    pub fn recommends(mut self, text: &str) -> Self {
        self.0.recommends.push(Dependency::parse(text).expect("a dependency"));
        self
    }

    /// With so many files.
    pub fn files(mut self, store: &Store, count: usize) -> Self {
        for n in 0..count {
            let content = format!("{} {} {n}\n", self.0.nevra, "x".repeat(n % 100));
            let digest = store.put(content.as_bytes()).expect("a blob");
            let path = TreePath::new(&format!("/usr/share/{}/{n}", self.0.nevra.name)).expect("a path");
            let node = Node::file(digest, content.len() as u64).with_mtime(BUILT);
            self.0.files.push(FileEntry { path, node, flags: FileFlags::NONE, capabilities: None });
        }
        self
    }

    /// With a changelog entry.
    pub fn change(mut self, time: i64, text: &str) -> Self {
        let author = "Ada <ada@example.org>".to_owned();
        self.0.changelog.insert(0, ChangelogEntry { time, author, text: text.to_owned() });
        self
    }
}

/// `name-version-1.noarch` with one file that says so.
pub fn package(name: &str, version: &str) -> Recipe {
    let evr = Evr::new(None, version, "1");
    Recipe(Builder {
        nevra: Nevra { name: name.to_owned(), evr, arch: "noarch".to_owned() },
        summary: format!("The {name} of tests"),
        description: format!("It is there so that\n{name} can be installed."),
        license: "MIT".to_owned(),
        url: format!("https://example.org/{name}"),
        build_time: BUILT,
        build_host: "build.example.org".to_owned(),
        ..Builder::default()
    })
}

impl World {
    /// An empty root and a key.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = Signer::generate("Tests <tests@example.org>", BUILT - 1000).expect("a key");
        let signer = Signer::from_armored(&key.secret).expect("a key");
        let store = Store::open(dir.path().join("store")).expect("a store");
        let world = Self { dir, store, signer, published: std::cell::Cell::new(0) };
        fs::create_dir_all(world.root().join("etc/yum.repos.d")).expect("a folder");
        fs::create_dir_all(world.root().join("etc/pki")).expect("a folder");
        fs::write(world.root().join("etc/pki/key"), key.public).expect("a key");
        world
    }

    /// A world with the repository `base`.
    pub fn with(recipes: Vec<Recipe>) -> Self {
        let world = Self::new();
        world.publish("base", recipes, Vec::new());
        world.add_repo("base");
        world
    }

    /// The root.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The bytes of a package.
    pub fn rpm(&self, recipe: Recipe, signed: bool) -> Vec<u8> {
        let mut builder = recipe.0;
        let nevra = &builder.nevra;
        // Kernels stand side by side, so their files have names of their own.
        let version = if nevra.name == "kernel" { nevra.evr.version.as_str() } else { "" };
        let file = TreePath::new(&format!("/usr/share/{}{version}/version", nevra.name)).expect("a path");
        let content = format!("{} {}\n", nevra.name, nevra.evr);
        let digest = self.store.put(content.as_bytes()).expect("a blob");
        let node = Node::file(digest, content.len() as u64).with_mtime(BUILT);
        let entry = |path, node| FileEntry { path, node, flags: FileFlags::NONE, capabilities: None };
        let folder = file.parent().expect("a folder");
        builder.files.push(entry(folder, Node::directory().with_mtime(BUILT)));
        builder.files.push(entry(file, node));
        let mut bytes = Vec::new();
        let signer = signed.then_some(&self.signer);
        builder.write(&self.store, signer, &mut bytes).expect("a package");
        bytes
    }

    /// Publishes a repository, in place of what it had.
    pub fn publish(&self, id: &str, recipes: Vec<Recipe>, advisories: Vec<Advisory>) {
        let incoming = self.dir.path().join("incoming");
        fs::create_dir_all(&incoming).expect("a folder");
        let mut packages = Vec::new();
        for recipe in recipes {
            let name = recipe.0.nevra.file_name();
            let bytes = self.rpm(recipe, true);
            let path = incoming.join(&name);
            fs::write(&path, &bytes).expect("a file");
            let href = Href::new(&name).expect("a location");
            packages.push((Package::from_rpm(&bytes, href).expect("a package"), path));
        }
        // Later than anything before it, and now.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let now = (now.as_secs() as i64).max(self.published.get() + 1);
        self.published.set(now);
        let publication = Publication {
            packages,
            advisories,
            content_tags: Vec::new(),
            distro_tags: Vec::new(),
            now,
            lifetime: 86_400,
            lock: None,
        };
        publish(&self.repository(id), publication, &self.signer).expect("a repository");
    }

    /// Adds a file of groups to a repository that was published, as `createrepo_c --groupfile` does, and signs
    /// it anew.
    pub fn add_groups(&self, id: &str, comps: &str) {
        fn below(dir: &Path, found: &mut Vec<PathBuf>) {
            for path in fs::read_dir(dir).expect("a folder") {
                if fs::symlink_metadata(&path).expect("a file").is_dir() {
                    below(&path, found);
                } else if path.ends_with("repodata/repomd.xml") {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        below(&self.repository(id), &mut found);
        assert!(!found.is_empty(), "nothing is published");
        let digest = lazuli_store::Digest::of(comps.as_bytes());
        let data = format!(
            "<data type=\"group\"><checksum type=\"sha256\">{digest}</checksum>\
             <location href=\"repodata/{digest}-comps.xml\"/><size>{}</size></data></repomd>",
            comps.len()
        );
        for path in found {
            fs::set_mode(&path, 0o644).expect("a mode");
            let folder = path.parent().expect("a folder");
            fs::set_mode(folder, 0o755).expect("a mode");
            fs::write(folder.join(format!("{digest}-comps.xml")), comps).expect("a file");
            let text = fs::read_to_string(&path).expect("metadata").replace("</repomd>", &data);
            let signature =
                self.signer.sign_detached(text.as_bytes(), self.published.get()).expect("a signature");
            let place = folder.join("repomd.xml.asc");
            for (path, content) in [(&path, &text), (&place, &signature)] {
                fs::remove_file(path).expect("a file");
                fs::write(path, content).expect("a file");
            }
        }
    }

    /// Where a repository lies.
    pub fn repository(&self, id: &str) -> PathBuf {
        self.dir.path().join("repos").join(id)
    }

    /// Configures a repository.
    pub fn add_repo(&self, id: &str) {
        let text = format!(
            "[{id}]\nname=Packages of {id}\nbaseurl=file://{}\ngpgkey=file:///etc/pki/key\n\
             metadata_expire=0\n",
            self.repository(id).display()
        );
        fs::write(self.root().join(format!("etc/yum.repos.d/{id}.repo")), text).expect("a file");
    }

    /// Starts `lapis` without waiting for it.
    pub fn start(&self, args: &[&str]) -> std::process::Child {
        Command::new(env!("CARGO_BIN_EXE_lapis"))
            .arg("--installroot")
            .arg(self.root())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program")
    }

    /// Runs `lapis`.
    pub fn run(&self, args: &[&str]) -> Run {
        self.run_as("lapis", args, "")
    }

    /// Runs `lapis -y`.
    pub fn yes(&self, args: &[&str]) -> Run {
        self.run(&[&["-y"], args].concat())
    }

    /// Runs the binary under another name, with text on its standard input.
    pub fn run_as(&self, name: &str, args: &[&str], input: &str) -> Run {
        let program = self.dir.path().join("bin").join(name);
        if !program.exists() {
            fs::create_dir_all(self.dir.path().join("bin")).expect("a folder");
            fs::symlink(env!("CARGO_BIN_EXE_lapis"), &program).expect("a link");
        }
        let mut child = Command::new(program)
            .arg("--installroot")
            .arg(self.root())
            .args(args)
            .env_remove("NO_COLOR")
            .env_remove("SUDO_UID")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        // It may end without reading.
        drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("an end");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Run { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What is installed.
    #[track_caller]
    pub fn installed(&self) -> String {
        let run = self.run(&["repoquery", "--installed"]).ok();
        run.out.lines().collect::<Vec<_>>().join(" ")
    }

    /// What the file of a package says, if it is there.
    pub fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root().join(format!("usr/share/{name}/version"))).ok()
    }

    /// Text with what changes from run to run made constant.
    pub fn clean(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), "WORLD")
    }
}

/// An advisory for a package.
pub fn advisory(id: &str, severity: Severity, cve: &str, name: &str, version: &str) -> Advisory {
    let mut advisory = Advisory::new(id, AdvisoryKind::Security);
    advisory.severity = Some(severity);
    advisory.title = format!("{name}: security update");
    "A hole is closed.".clone_into(&mut advisory.description);
    advisory.issued = Some(BUILT);
    advisory.references.push(Reference {
        kind: "cve".to_owned(),
        id: cve.to_owned(),
        href: format!("https://example.org/{cve}"),
        title: cve.to_owned(),
    });
    let evr = Evr::new(None, version, "1");
    let nevra = Nevra { name: name.to_owned(), evr, arch: "noarch".to_owned() };
    advisory.packages.push(AdvisoryPackage {
        filename: nevra.file_name(),
        source: nevra.file_name(),
        nevra,
        checksum: None,
        reboot: false,
        restart: false,
        relogin: false,
    });
    advisory
}
