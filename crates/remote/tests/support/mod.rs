//! A repository on disk, its key, and a client of it.

use lazuli_fetch::Silent;
use lazuli_fs as fs;
use lazuli_remote::{Error, Freshness, Remote};
use lazuli_repo::config::MainConfig;
use lazuli_repo::{Href, Options, Package, RepoConfig, write_repository};
use lazuli_rpm::{Builder, Evr, Nevra, PackageFile, Signer};
use lazuli_solve::{PackageId, Universe as _};
use lazuli_store::{Digest, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const NOW: i64 = 1_800_000_000;
pub const BORN: i64 = 1_600_000_000;

pub struct World {
    pub dir: tempfile::TempDir,
    pub signer: Signer,
}

pub fn signer() -> Signer {
    let key = Signer::generate("Test <test@example.org>", BORN).expect("a key");
    Signer::from_armored(&key.secret).expect("a key")
}

pub fn rpm(name: &str, version: &str, signer: &Signer, store: &Store) -> Vec<u8> {
    let nevra = Nevra { name: name.into(), evr: Evr::new(None, version, "1"), arch: "noarch".into() };
    let builder = Builder { nevra, license: "MIT".into(), build_time: BORN, ..Builder::default() };
    let mut bytes = Vec::new();
    builder.write(store, Some(signer), &mut bytes).expect("a package");
    bytes
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().expect("a directory"), signer: signer() };
        fs::write(world.path("key.asc"), world.signer.public_armored().expect("a key")).expect("a file");
        world.publish(1, &[("a", "1"), ("b", "1")]);
        world
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn options(revision: i64) -> Options {
        Options { revision, expires: Some(NOW + 1000), ..Options::default() }
    }

    pub fn publish(&self, revision: i64, packages: &[(&str, &str)]) {
        self.publish_with(&Self::options(revision), packages, &self.signer);
    }

    pub fn publish_with(&self, options: &Options, packages: &[(&str, &str)], signer: &Signer) {
        let store = Store::open(self.path("build")).expect("a store");
        let repo = self.path("repo");
        fs::create_dir_all(repo.join("packages")).expect("a directory");
        let mut records = Vec::new();
        for (name, version) in packages {
            let bytes = rpm(name, version, &self.signer, &store);
            let file = format!("packages/{name}-{version}.rpm");
            fs::write(repo.join(&file), &bytes).expect("a file");
            let package = PackageFile::parse(&bytes).expect("a package");
            let href = Href::new(&file).expect("a location");
            let record = Package::from_headers(
                &package.signature,
                &package.header,
                bytes.len() as u64,
                Digest::of(&bytes),
                href,
            );
            records.push(record.expect("a package"));
        }
        write_repository(&repo, &records, options, signer).expect("a repository");
    }

    pub fn config(&self) -> RepoConfig {
        let mut config = RepoConfig::new("test", &MainConfig::default());
        config.base_urls = vec![format!("file://{}", self.path("repo").display())];
        config.gpg_keys = vec![format!("file://{}", self.path("key.asc").display())];
        config
    }

    pub fn remote(&self, now: i64) -> Remote {
        Remote::new(&self.path("cache"), &self.path("state"), now, Arc::new(Silent)).expect("a cache")
    }

    pub fn names(&self, config: &RepoConfig, now: i64, freshness: Freshness) -> Result<Vec<String>, Error> {
        let repository = self.remote(now).open(config, freshness)?;
        let index = repository.index();
        Ok((0..index.count()).map(|id| index.nevra(PackageId(id)).to_string()).collect())
    }

    /// Opening is refused with these words, and neither memory nor cache is another one afterwards.
    pub fn refuses(&self, config: &RepoConfig, now: i64, words: &[&str]) {
        let before = (snapshot(&self.path("state")), snapshot(&self.path("cache/test")));
        let error = self.names(config, now, Freshness::Now).expect_err("refused").to_string();
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
        let after = (snapshot(&self.path("state")), snapshot(&self.path("cache/test")));
        assert_eq!(before, after, "a refusal changed something: {error}");
    }
}

impl World {
    /// Changes `repomd.xml` and signs it again: what a publisher could do who was broken into.
    pub fn resign(&self, change: impl FnOnce(String) -> String) {
        let path = self.path("repo/repodata/repomd.xml");
        let text = change(fs::read_to_string(&path).expect("a file"));
        let signature = self.signer.sign_detached(text.as_bytes(), NOW).expect("a signature");
        fs::write(&path, text).expect("a file");
        fs::write(self.path("repo/repodata/repomd.xml.asc"), signature).expect("a file");
    }

    /// The decompressed content of a part.
    pub fn part(&self, kind: &str) -> String {
        let paths = fs::read_dir(self.path("repo/repodata")).expect("a directory");
        let path = paths.into_iter().find(|p| p.to_string_lossy().contains(&format!("-{kind}.xml")));
        let bytes = fs::read(path.expect("a part")).expect("a file");
        String::from_utf8(zstd::decode_all(&bytes[..]).expect("zstd")).expect("text")
    }

    /// Puts other bytes in the place of a part, with `more` elements in its description, and signs that.
    pub fn replace_part(&self, kind: &str, suffix: &str, bytes: &[u8], more: &str) {
        let (digest, size) = (Digest::of(bytes), bytes.len());
        let href = format!("repodata/{digest}-{kind}.{suffix}");
        fs::write(self.path("repo").join(&href), bytes).expect("a file");
        self.resign(|text| {
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

pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = if dir.is_dir() { fs::read_dir(dir).expect("a directory") } else { Vec::new() };
    paths.into_iter().filter(|p| p.is_file()).map(|p| (p.clone(), fs::read(&p).expect("a file"))).collect()
}

pub fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("a file");
}
