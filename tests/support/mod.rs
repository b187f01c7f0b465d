//! A small distribution with a small signed archive, on disk, for tests of the command line.

use lazuli_fs as fs;
use lazuli_store::Digest;
use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::types::Password;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The date of the archive, as its `InRelease` has it.
const DATE: &str = "Wed, 01 Jan 2025 00:00:00 UTC";
/// A date that has not passed.
pub const LATER: &str = "Fri, 01 Jan 2100 00:00:00 UTC";

/// A Debian package to be made.
pub struct Package {
    name: &'static str,
    fields: &'static str,
    script: Option<&'static str>,
    files: Vec<(&'static str, &'static str)>,
}

impl Package {
    /// A package with one file.
    pub fn new(name: &'static str) -> Self {
        Self { name, fields: "", script: None, files: Vec::new() }
    }

    /// More control fields, each line ended.
    pub fn fields(mut self, fields: &'static str) -> Self {
        self.fields = fields;
        self
    }

    /// A postinst.
    pub fn postinst(mut self, script: &'static str) -> Self {
        self.script = Some(script);
        self
    }

    /// One more file.
    pub fn file(mut self, path: &'static str, content: &'static str) -> Self {
        self.files.push((path, content));
        self
    }

    fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: A <a@example.org>\n{}\
             Description: small package\n It is small.\n",
            self.name, self.fields
        )
    }

    /// The .deb: an ar archive of three members.
    fn deb(&self) -> Vec<u8> {
        let mut control = vec![("./control".to_owned(), self.control())];
        control.extend(self.script.map(|s| ("./postinst".to_owned(), s.to_owned())));
        let document = (format!("./usr/share/doc/{}/copyright", self.name), "License: MIT\n".to_owned());
        let data: Vec<(String, String)> = std::iter::once(document)
            .chain(self.files.iter().map(|(p, c)| (format!(".{p}"), (*c).to_owned())))
            .collect();
        let mut ar = b"!<arch>\n".to_vec();
        for (name, content) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", tar_of(&control)),
            ("data.tar.xz", xz(&tar_of(&data))),
        ] {
            let size = content.len();
            writeln!(ar, "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`", 1_735_689_600, 0, 0, "100644")
                .expect("memory");
            ar.extend(content);
            if size % 2 == 1 {
                ar.push(b'\n');
            }
        }
        ar
    }
}

fn tar_of(files: &[(String, String)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_735_689_600);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, path, content.as_bytes()).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

/// A key that signs archives.
pub struct Key(SignedSecretKey);

impl Key {
    /// A new one.
    pub fn new() -> Self {
        let params = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("Archive <archive@example.org>".into())
            .build()
            .expect("valid parameters");
        Self(params.generate(rand::thread_rng()).expect("a key"))
    }

    fn public(&self) -> Vec<u8> {
        self.0.to_public_key().to_armored_bytes(ArmorOptions::default()).expect("armor")
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        CleartextSignedMessage::sign(rand::thread_rng(), text, &self.0.primary_key, &Password::empty())
            .and_then(|m| m.to_armored_bytes(ArmorOptions::default()))
            .expect("a signature")
    }
}

/// A distribution, its archive, a store and keys below one temporary directory.
pub struct World {
    dir: tempfile::TempDir,
    key: Key,
    packages: Vec<String>,
}

impl World {
    /// One adopted component for each package, an image `small` of `hello`, and an archive that has
    /// the packages and a tool.
    pub fn new(packages: &[Package]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let names = packages.iter().map(|p| p.name.to_owned()).collect();
        let world = Self { dir, key: Key::new(), packages: names };
        world.write(
            "distro/lazuli.toml",
            "name = \"Small\"\nid = \"small\"\nversion = \"1\"\nhome = \"https://small.example\"\n\n\
             [[suite]]\nname = \"stable\"\narchive = \"debian\"\ncomponents = [\"main\"]\n\
             keys = [\"keys/archive.asc\"]\n\n[tool-root.image]\npackages = [\"tool\"]\n",
        );
        world.write("distro/keys/archive.asc", world.key.public());
        world.write("distro/images/small.toml", "packages = [\"hello\"]\n");
        for package in packages {
            world.write(
                &format!("distro/components/{}/component.toml", package.name),
                format!("kind = \"adopted\"\npackages = [\"{}\"]\nlicense = \"MIT\"\n", package.name),
            );
        }
        let mut index = String::new();
        for package in packages.iter().chain([&Package::new("tool")]) {
            let (name, deb) = (package.name, package.deb());
            let path = format!("pool/main/{name}.deb");
            world.write(&format!("mirror/debian/{path}"), &deb);
            let control = package.control();
            writeln!(index, "{control}Filename: {path}\nSize: {}\nSHA256: {}\n", deb.len(), Digest::of(&deb))
                .expect("memory");
        }
        world.write(Self::INDEX, xz(index.as_bytes()));
        world.release(&world.key, LATER);
        world
    }

    /// The package index below the world.
    pub const INDEX: &str = "mirror/debian/dists/stable/main/binary-amd64/Packages.xz";

    /// Writes `InRelease` for the index as it is now.
    pub fn release(&self, key: &Key, valid_until: &str) {
        let index = fs::read(self.path(Self::INDEX)).expect("the index");
        let text = format!(
            "Origin: Small\nLabel: Small\nSuite: stable\nCodename: stable\nDate: {DATE}\n\
             Valid-Until: {valid_until}\nArchitectures: amd64\nComponents: main\nSHA256:\n {} {} \
             main/binary-amd64/Packages.xz",
            Digest::of(&index),
            index.len()
        );
        self.write("mirror/debian/dists/stable/InRelease", key.sign(&text));
    }

    /// A path below the world.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Writes a file below the world.
    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }

    /// Replaces `from` by `to` in a file below the world.
    pub fn edit(&self, below: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(below)).expect("a file");
        assert!(text.contains(from), "{below} has no `{from}`");
        self.write(below, text.replacen(from, to, 1));
    }

    /// Changes one bit in the middle of a file below the world.
    pub fn flip(&self, below: &str) {
        flip(&self.path(below));
    }

    /// `lazuli`, with everything it could touch below the world.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_lazuli"), args)
    }

    /// Another program in the same environment.
    pub fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.dir.path())
            .env("LAZULI_STORE", self.path("store"))
            .env("LAZULI_KEYS", self.path("secret"))
            .env("LAZULI_MIRROR", self.path("mirror"));
        command
    }

    /// Runs `lazuli`.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("lazuli starts")
    }

    /// Runs `lazuli`, which must succeed.
    pub fn fine(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "lazuli {args:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `lazuli`, which must fail with an error that has all these words.
    pub fn fails(&self, args: &[&str], words: &[&str]) {
        assert_failed(&self.run(args), words);
    }

    /// Nothing was pinned and no content got a name in the store.
    pub fn nothing_was_written(&self) {
        assert!(!self.path("lazuli.lock").exists(), "a lock was left behind");
        assert_eq!(self.blobs(), Vec::<PathBuf>::new(), "blobs were left behind");
        self.nothing_is_unfinished();
    }

    /// Every blob is what its name says, and neither store, lock nor results have half-written files.
    pub fn nothing_is_unfinished(&self) {
        for blob in self.blobs() {
            let digest = Digest::of(fs::read(&blob).expect("a blob")).to_string();
            assert_eq!(blob.file_name().and_then(|n| n.to_str()), Some(digest.as_str()));
        }
        assert_eq!(files(&self.path("store/tmp")), Vec::<PathBuf>::new());
        let beside: Vec<String> = names(self.dir.path());
        let known = ["distro", "mirror", "store", "secret", "lazuli.lock", "build"];
        assert!(beside.iter().all(|n| known.contains(&n.as_str())), "{beside:?}");
        assert!(names(&self.path("build")).iter().all(|n| !n.starts_with('.')));
    }

    /// The files of the store's blobs.
    pub fn blobs(&self) -> Vec<PathBuf> {
        files(&self.path("store/blobs"))
    }

    /// The blob of a file of the archive.
    pub fn blob_of(&self, below: &str) -> PathBuf {
        let digest = Digest::of(fs::read(self.path(below)).expect("a file")).to_string();
        self.path(&format!("store/blobs/{}/{digest}", &digest[..2]))
    }

    /// The key that the distribution trusts.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The names of the packages that are components.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }
}

/// The run failed, with an error on stderr that has all these words and none of a crash.
pub fn assert_failed(output: &Output, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("lazuli: ") && !text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

/// What a command wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Changes one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut content = fs::read(path).expect("a file");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::set_mode(path, 0o644).expect("a file");
    fs::write(path, content).expect("a file");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = if dir.is_dir() { fs::read_dir(dir).expect("a directory") } else { Vec::new() };
    entries.iter().map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
}

/// All files below a directory that may be absent.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in if dir.is_dir() { fs::read_dir(dir).expect("a directory") } else { Vec::new() } {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}
