//! What an attacker needs: a repository whose every file can be replaced, packages that no builder makes, and the
//! proof that it was for nothing.

mod keys;
mod metadata;
mod packages;
mod places;

use crate::support::{BUILT, World, package};
use lazuli_fs as fs;
use lazuli_repo::{Href, Options, Package, write_repository};
use lazuli_rpm::header::{Entry, Header, HeaderBuilder, Value};
use lazuli_rpm::package::LEAD;
use lazuli_rpm::tag::Type;
use lazuli_rpm::{PackageFile, Signer, base64, tag};
use lazuli_store::Digest;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a refusal may take: nothing that has no end is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const HISTORY: &str = "var/lib/lapis/history.sqlite";

/// What the victim does.
pub const HONEST: &[&str] = &["install", "app"];

/// One attack.
pub struct Attack {
    pub what: &'static str,
    /// The refusal has all of these.
    pub words: &'static [&'static str],
    /// Prepares it, and says what the victim does then.
    pub arm: fn(&World) -> &'static [&'static str],
}

/// Words of a command that are made in the test.
pub fn leak(words: Vec<String>) -> &'static [&'static str] {
    let words: Vec<&'static str> = words.into_iter().map(|word| &*word.leak()).collect();
    words.leak()
}

pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs() as i64
}

/// The packages of the honest repository.
pub fn honest(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let rpm = |name| world.rpm(package(name, "1"), true);
    vec![("app-1-1.noarch.rpm", rpm("app")), ("lib-1-1.noarch.rpm", rpm("lib"))]
}

/// A root with `lib` installed from an honest repository.
pub fn stage() -> World {
    let world = World::new();
    Plain::base(&world).publish(10, &honest(&world), &world.signer);
    world.add_repo("base");
    world.yes(&["install", "lib"]).ok();
    world
}

/// Carries each attack out and fails unless it is refused: see the head of the file.
pub fn refused(attacks: &[Attack]) {
    carry_out(attacks, &|path| path.extension().is_some_and(|e| e == "json") || path.ends_with(HISTORY));
}

/// The same for attacks on metadata, of which nothing may be remembered. Of metadata that is fine but for what a
/// package of it holds, the version is; and an attempt that failed while files were unpacked is in the history.
pub fn refused_and_forgotten(attacks: &[Attack]) {
    carry_out(attacks, &|path| path.ends_with("var/lib/lapis/evil.json"));
}

fn carry_out(attacks: &[Attack], may_change: &dyn Fn(&Path) -> bool) {
    let memory = |path: &Path| path.to_string_lossy().contains("/var/lib/lapis/") && may_change(path);
    for Attack { what, words, arm } in attacks {
        let world = stage();
        let etc = world.path().join("etc");
        copy(&world.root().join("etc"), &etc);
        let command = arm(&world);
        let before = snapshot(&world.root());
        let start = Instant::now();
        let run = world.yes(command);
        assert!(start.elapsed() < PATIENCE, "{what}: {:?}", start.elapsed());
        assert!(
            run.status > 0 && !run.err.contains("panicked"),
            "{what}: status {}\n{}{}",
            run.status,
            run.out,
            run.err
        );
        for word in *words {
            assert!(run.err.contains(word), "{what}: no `{word}` in: {}", run.err);
        }
        let mut after = snapshot(&world.root());
        after.retain(|path, _| !memory(path));
        let same = |path: &PathBuf| before.get(path) == after.get(path);
        let changed: Vec<_> = after.keys().filter(|path| !same(path)).collect();
        assert!(changed.is_empty(), "{what}: changed {changed:?}");
        let gone: Vec<_> = before.keys().filter(|path| !path.exists()).collect();
        assert!(gone.is_empty(), "{what}: gone {gone:?}");
        // The publisher goes on; the victim's own files are as they should be again.
        fs::remove_dir_all(world.root().join("etc")).expect("gone");
        copy(&etc, &world.root().join("etc"));
        for file in ["usr/share/app", "var/lib/lapis/base.json"].map(|file| world.root().join(file)) {
            if file.is_symlink() || fs::read(&file).is_ok_and(|bytes| bytes == b"{") {
                fs::remove_file(&file).expect("gone");
            }
        }
        Plain::base(&world).publish(100, &honest(&world), &world.signer);
        let run = world.yes(HONEST);
        assert_eq!(run.status, 0, "after {what}: {}{}", run.out, run.err);
        assert_eq!(world.installed(), "app-1-1.noarch lib-1-1.noarch", "after {what}");
        println!("refused: {what}");
    }
}

/// Everything in a root but what may be removed at any time and what the database keeps beside itself.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let passing = |path: &Path| {
        let name = path.to_string_lossy();
        name.contains("/var/cache/")
            || name.ends_with("-shm")
            || name.ends_with("-wal")
            || name.ends_with(".lock")
    };
    let state = |path: PathBuf| {
        let about = fs::symlink_metadata(&path).expect("a file");
        let content = if path.is_symlink() { Vec::new() } else { fs::read(&path).expect("a file") };
        (path, (about.mode(), about.uid(), content))
    };
    files(root).into_iter().filter(|path| !passing(path)).map(state).collect()
}

/// All files below a directory, links included.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).expect("a folder") {
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp").success());
}

pub fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("a file");
}

/// Changes how the repository is configured.
pub fn edit_repo(world: &World, change: impl FnOnce(String) -> String) {
    let path = world.root().join("etc/yum.repos.d/base.repo");
    let text = change(fs::read_to_string(&path).expect("a file"));
    fs::write(path, text).expect("a file");
}

/// The record of a package that lies in a repository.
pub fn record(world: &World, id: &str, file: &str, bytes: &[u8]) -> Package {
    let href = format!("packages/{file}");
    let path = world.repository(id).join(&href);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
    Package::from_rpm(bytes, Href::new(&href).expect("a location")).expect("a package")
}

/// A repository without snapshots: its files can be replaced one by one.
pub struct Plain<'w> {
    pub world: &'w World,
    pub id: &'static str,
}

impl<'w> Plain<'w> {
    pub fn base(world: &'w World) -> Self {
        Self { world, id: "base" }
    }

    pub fn dir(&self) -> PathBuf {
        self.world.repository(self.id)
    }

    pub fn publish(&self, revision: i64, packages: &[(&str, Vec<u8>)], signer: &Signer) {
        let options = Options { revision, expires: Some(now() + 86_400), ..Options::default() };
        self.publish_with(&options, packages, signer);
    }

    pub fn publish_with(&self, options: &Options, packages: &[(&str, Vec<u8>)], signer: &Signer) {
        let records: Vec<Package> =
            packages.iter().map(|(file, bytes)| record(self.world, self.id, file, bytes)).collect();
        fs::create_dir_all(self.dir()).expect("a folder");
        write_repository(&self.dir(), &records, options, signer).expect("a repository");
    }

    pub fn publish_records(&self, revision: i64, records: &[Package], signer: &Signer) {
        let options = Options { revision, expires: Some(now() + 86_400), ..Options::default() };
        write_repository(&self.dir(), records, &options, signer).expect("a repository");
    }

    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.dir().join(file);
        let text = change(fs::read_to_string(&path).expect("a file"));
        fs::write(&path, text).expect("a file");
    }

    /// Changes the list of the metadata and signs it: what a publisher could do who was broken into.
    pub fn resign(&self, change: impl FnOnce(String) -> String) {
        self.resign_with(&self.world.signer, change);
    }

    /// The same with another key.
    pub fn resign_with(&self, signer: &Signer, change: impl FnOnce(String) -> String) {
        self.edit("repodata/repomd.xml", change);
        let text = fs::read(self.dir().join("repodata/repomd.xml")).expect("a file");
        let signature = signer.sign_detached(&text, now()).expect("a signature");
        fs::write(self.dir().join("repodata/repomd.xml.asc"), signature).expect("a file");
    }

    /// Where a part of the metadata lies.
    pub fn part_file(&self, kind: &str) -> PathBuf {
        let name = format!("-{kind}.xml");
        let paths = fs::read_dir(self.dir().join("repodata")).expect("a folder");
        paths.into_iter().find(|path| path.to_string_lossy().contains(&name)).expect("a part")
    }

    /// The decompressed content of a part.
    pub fn part(&self, kind: &str) -> String {
        let bytes = fs::read(self.part_file(kind)).expect("a file");
        String::from_utf8(zstd::decode_all(&bytes[..]).expect("zstd")).expect("text")
    }

    /// Puts other bytes in the place of a part, with `more` in its description, and signs that.
    pub fn replace_part(&self, kind: &str, suffix: &str, bytes: &[u8], more: &str) {
        let (digest, size) = (Digest::of(bytes), bytes.len());
        let href = format!("repodata/{digest}-{kind}.{suffix}");
        fs::write(self.dir().join(&href), bytes).expect("a file");
        self.resign(|text| {
            let text = text.replace("<revision>10</revision>", "<revision>11</revision>");
            let start = text.find(&format!("<data type=\"{kind}\">")).expect("the part");
            let end = start + text[start..].find("</data>").expect("its end");
            let data = format!(
                "<data type=\"{kind}\"><checksum type=\"sha256\">{digest}</checksum>\
                 <location href=\"{href}\"/><size>{size}</size>{more}"
            );
            format!("{}{data}{}", &text[..start], &text[end..])
        });
    }
}

pub fn signer() -> Signer {
    let key = Signer::generate("Mallory <mallory@example.org>", BUILT - 1000).expect("a key");
    Signer::from_armored(&key.secret).expect("a key")
}

/// What a test publishes in place of the package `app`.
pub fn publish_app(world: &World, app: Vec<u8>) {
    Plain::base(world).publish(11, &[("app-1-1.noarch.rpm", app)], &world.signer);
}

/// A second repository with a key of its own, enabled.
pub fn second(world: &World, packages: &[(&str, Vec<u8>)]) -> Signer {
    let theirs = signer();
    Plain { world, id: "evil" }.publish(1, packages, &theirs);
    fs::write(world.root().join("etc/pki/evil"), theirs.public_armored().expect("a key")).expect("a file");
    let text = format!(
        "[evil]\nname=evil\nbaseurl=file://{}\ngpgkey=file:///etc/pki/evil\nmetadata_expire=0\n",
        world.repository("evil").display()
    );
    fs::write(world.root().join("etc/yum.repos.d/evil.repo"), text).expect("a file");
    theirs
}

/// Changes the file of `app` on the server, and nothing else.
pub fn change_app(world: &World, change: impl FnOnce(&mut Vec<u8>)) {
    let path = world.repository("base").join("packages/app-1-1.noarch.rpm");
    let mut bytes = fs::read(&path).expect("a file");
    change(&mut bytes);
    fs::write(&path, bytes).expect("a file");
}

pub fn app(world: &World) -> Vec<u8> {
    world.rpm(package("app", "1"), true)
}

type Entries = BTreeMap<u32, Value>;

fn value(header: &Header, entry: &Entry) -> Value {
    let numbers = || header.numbers(entry.tag).into_iter();
    match entry.kind {
        Type::Char => Value::Char(header.data(entry).to_vec()),
        Type::Int16 => Value::Int16(numbers().map(|n| n as u16).collect()),
        Type::Int32 => Value::Int32(numbers().map(|n| n as u32).collect()),
        Type::Int64 => Value::Int64(numbers().collect()),
        Type::String => Value::String(header.string(entry.tag).unwrap_or_default()),
        Type::StringArray => Value::StringArray(header.strings(entry.tag)),
        Type::I18nString => Value::I18n(header.strings(entry.tag)),
        _ => Value::Bin(header.data(entry).to_vec()),
    }
}

/// What a header says, less its region.
fn entries(header: &Header) -> Entries {
    header.entries()[1..].iter().map(|entry| (entry.tag, value(header, entry))).collect()
}

fn finish(entries: Entries, region: u32) -> Vec<u8> {
    let mut builder = HeaderBuilder::new();
    for (tag, value) in entries {
        builder.set(tag, value);
    }
    builder.finish(region)
}

/// The package with another header, signed by `signer` as every package is.
pub fn forged(bytes: &[u8], signer: Option<&Signer>, change: impl FnOnce(&mut Entries)) -> Vec<u8> {
    let package = PackageFile::parse(bytes).expect("a package");
    let mut header = entries(&package.header);
    change(&mut header);
    let header = finish(header, tag::HEADERIMMUTABLE);
    let mut signature = Entries::new();
    signature.insert(tag::SHA256HEADER, Value::String(Digest::of(&header).to_string()));
    if let Some(signer) = signer {
        let packet = signer.sign(&header, now()).expect("a signature");
        signature.insert(tag::OPENPGP, Value::StringArray(vec![base64::encode(&packet)]));
        signature.insert(tag::DSAHEADER, Value::Bin(packet));
    }
    let mut signature = finish(signature, tag::HEADERSIGNATURES);
    signature.resize(signature.len().next_multiple_of(8), 0);
    [&bytes[..LEAD], &signature, &header, package.payload()].concat()
}

/// The package with another signature header; that is not signed by anybody.
pub fn signature_header(bytes: &[u8], change: impl FnOnce(&mut Entries)) -> Vec<u8> {
    let package = PackageFile::parse(bytes).expect("a package");
    let mut signature = entries(&package.signature);
    change(&mut signature);
    let mut signature = finish(signature, tag::HEADERSIGNATURES);
    signature.resize(signature.len().next_multiple_of(8), 0);
    [&bytes[..LEAD], &signature, &bytes[package.header_offset..]].concat()
}

/// The package with another payload, not compressed, which its header vouches for, signed.
pub fn with_payload(world: &World, bytes: &[u8], payload: &[u8]) -> Vec<u8> {
    let package = PackageFile::parse(bytes).expect("a package");
    let bytes = [&bytes[..package.payload_offset], payload].concat();
    forged(&bytes, Some(&world.signer), |header| {
        let digest = vec![Digest::of(payload).to_string()];
        header.insert(tag::PAYLOADSHA256, Value::StringArray(digest));
        header.remove(&tag::PAYLOADSHA256ALT);
        header.insert(tag::PAYLOADCOMPRESSOR, Value::String("none".to_owned()));
    })
}

/// An archive whose only member says this of itself, and has no content.
pub fn member(name: &str, mode: u32, size: u32) -> Vec<u8> {
    let length = name.len() as u32 + 1;
    let fields = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
    let mut bytes = b"070701".to_vec();
    for field in fields {
        bytes.extend(format!("{field:08x}").bytes());
    }
    bytes.extend(name.bytes());
    bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
    bytes
}
