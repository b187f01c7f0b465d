//! What those who serve and those who read a published repository may rely on.

use super::*;
use crate::read::{Detail, read_directory};
use crate::repomd::Repomd;
use crate::updateinfo::AdvisoryKind;
use lazuli_rpm::{Evr, KeyRing, Nevra};
use lazuli_store::Digest;
use std::collections::BTreeMap;

const NOW: i64 = 1_795_300_000;

struct World {
    dir: tempfile::TempDir,
    signer: Signer,
    keys: KeyRing,
}

impl World {
    fn new() -> Self {
        let new = Signer::generate("Test <test@example.org>", 1_700_000_000).expect("a key");
        Self {
            dir: tempfile::tempdir().expect("tempdir"),
            signer: Signer::from_armored(&new.secret).expect("secret"),
            keys: KeyRing::from_armored(&new.public).expect("public"),
        }
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("web")
    }

    /// A package file with this content. What is in it does not matter to publishing.
    fn package(&self, name: &str, version: &str) -> (Package, PathBuf) {
        let content = format!("{name} {version}");
        let evr = Evr { epoch: None, version: version.to_owned(), release: "1".to_owned() };
        let nevra = Nevra { name: name.to_owned(), evr, arch: "noarch".to_owned() };
        let file = self.dir.path().join(nevra.file_name());
        fs::write(&file, &content).expect("writes");
        fs::set_mode(&file, 0o644).expect("mode");
        let location = Href::new(&nevra.file_name()).expect("href");
        let mut package = Package::new(nevra, Digest::of(&content), location);
        package.package_size = content.len() as u64;
        (package, file)
    }

    fn publish(&self, packages: &[(&str, &str)], now: i64) -> Result<Published> {
        let publication = Publication {
            packages: packages.iter().map(|(name, version)| self.package(name, version)).collect(),
            advisories: vec![Advisory::new("EX-1", AdvisoryKind::Bugfix)],
            content_tags: Vec::new(),
            distro_tags: Vec::new(),
            now,
            lifetime: 86_400,
            lock: Some("format = 1\n"),
        };
        publish(&self.base(), publication, &self.signer)
    }

    /// The packages that a client finds at this place, each of which must be there as the metadata says.
    fn served(&self, path: &str) -> Vec<String> {
        let place = self.base().join(path);
        let found = read_directory(&place, &self.keys, Detail::Everything).expect("signed and whole");
        for package in &found.packages {
            let bytes = fs::read(place.join(package.location.as_str())).expect("the package is there");
            assert_eq!(Digest::of(bytes), package.checksum);
        }
        found.packages.iter().map(|p| format!("{} {}", p.nevra.name, p.nevra.evr.version)).collect()
    }
}

/// Everything below a directory that is not a directory: path, and content or target.
fn all_files(dir: &Path, prefix: &str, all: &mut BTreeMap<String, Vec<u8>>) {
    for path in fs::read_dir(dir).expect("lists") {
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_symlink() {
            all.insert(name, path.read_link().expect("a target").into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            all_files(&path, &format!("{name}/"), all);
        } else {
            all.insert(name, fs::read(&path).expect("reads"));
        }
    }
}

#[test]
fn a_snapshot_stays_as_it_is_whatever_is_published_later() {
    let world = World::new();
    let first = world.publish(&[("a", "1"), ("b", "1")], NOW).expect("publishes");
    assert_eq!((first.packages, first.added), (2, 2));
    assert_eq!(first.expires, NOW + 86_400);
    let mut before = BTreeMap::new();
    let old = format!("snapshots/{}", first.snapshot);
    all_files(&world.base().join(&old), "", &mut before);
    let second = world.publish(&[("a", "2"), ("b", "1")], NOW + 60).expect("publishes");
    assert_eq!(second.added, 1, "what is there is shared");
    let mut after = BTreeMap::new();
    all_files(&world.base().join(&old), "", &mut after);
    assert_eq!(before, after);
    assert_eq!(world.served(&old), ["a 1", "b 1"]);
    assert_eq!(world.served(""), ["a 2", "b 1"]);
    assert_eq!(world.served(&format!("snapshots/{}", second.snapshot)), ["a 2", "b 1"]);
    let index = fs::read_to_string(world.base().join("snapshots/index.json")).expect("reads");
    for id in [first.snapshot, second.snapshot] {
        assert!(index.contains(&id.to_string()), "{index}");
    }
}

#[test]
fn the_signed_metadata_names_its_snapshot_version_and_expiry_and_carries_the_advisories() {
    let world = World::new();
    let published = world.publish(&[("a", "1")], NOW).expect("publishes");
    let found = read_directory(&world.base(), &world.keys, Detail::Primary).expect("reads").repomd;
    assert_eq!(found.version(), Some(published.snapshot));
    assert_eq!(found.snapshot, Some(SnapshotId::new(published.snapshot)));
    assert_eq!(found.expires, Some(NOW + 86_400));
    assert!(found.parts.contains_key("updateinfo"));
    assert_eq!(current(&world.base()).expect("reads"), found.snapshot);
    let carried = advisories(&world.base(), SnapshotId::new(published.snapshot)).expect("reads");
    assert_eq!(carried.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["EX-1"]);
}

#[test]
fn the_version_grows_even_if_the_clock_stands_still_or_goes_back() {
    let world = World::new();
    let versions =
        [NOW, NOW, NOW - 1000].map(|now| world.publish(&[("a", "1")], now).expect("publishes").snapshot);
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn the_same_version_with_other_content_does_not_disturb_older_snapshots() {
    let world = World::new();
    let first = world.publish(&[("a", "1")], NOW).expect("publishes").snapshot;
    let (mut package, file) = world.package("a", "1");
    fs::write(&file, "rebuilt").expect("writes");
    package.checksum = Digest::of("rebuilt");
    package.package_size = 7;
    let publication = Publication {
        packages: vec![(package, file)],
        advisories: Vec::new(),
        content_tags: Vec::new(),
        distro_tags: Vec::new(),
        now: NOW + 5,
        lifetime: 60,
        lock: None,
    };
    publish(&world.base(), publication, &world.signer).expect("publishes");
    assert_eq!(world.served(""), ["a 1"]);
    assert_eq!(world.served(&format!("snapshots/{first}")), ["a 1"]);
}

#[test]
fn a_package_that_is_not_what_its_record_says_is_not_published() {
    let world = World::new();
    world.publish(&[("a", "1")], NOW).expect("publishes");
    let (package, file) = world.package("b", "1");
    fs::write(&file, "b x").expect("writes");
    let publication = Publication {
        packages: vec![(package, file)],
        advisories: Vec::new(),
        content_tags: Vec::new(),
        distro_tags: Vec::new(),
        now: NOW,
        lifetime: 60,
        lock: None,
    };
    let error = publish(&world.base(), publication, &world.signer).expect_err("refused");
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert_eq!(world.served(""), ["a 1"]);
}

#[test]
fn what_an_interrupted_run_leaves_behind_is_not_served_and_goes() {
    let world = World::new();
    world.publish(&[("a", "1")], NOW).expect("publishes");
    // As if the power had failed after the snapshot had its name, before the pointer moved; and earlier.
    let id = world.publish(&[("a", "2")], NOW + 1).expect("publishes").snapshot;
    let pointer = world.base().join("repodata");
    fs::remove_file(&pointer).expect("removes");
    fs::symlink(format!("snapshots/{NOW}/repodata"), &pointer).expect("links");
    for name in [".new-repodata", ".new-feed", "snapshots/.new-abc"] {
        fs::write(world.base().join(name), "half").expect("writes");
    }
    assert_eq!(world.served(""), ["a 1"]);
    let next = world.publish(&[("a", "3")], NOW + 1).expect("publishes");
    assert!(next.snapshot > id, "a version that had a name is never used again");
    assert_eq!(world.served(""), ["a 3"]);
    let mut all = BTreeMap::new();
    all_files(&world.base(), "", &mut all);
    assert!(!all.keys().any(|name| name.contains(".new-")), "{:?}", all.keys());
}

#[test]
fn pruning_keeps_what_is_named_and_nothing_else() {
    let world = World::new();
    let ids: Vec<u64> = (0..4)
        .map(|n| world.publish(&[("a", &n.to_string()), ("b", "1")], NOW + n).expect("publishes").snapshot)
        .collect();
    let young = prune(&world.base(), Keep { count: 1, since: NOW }).expect("prunes");
    assert_eq!(young, Pruned::default(), "all are younger than that");
    let pruned = prune(&world.base(), Keep { count: 2, since: NOW + 1000 }).expect("prunes");
    assert_eq!(pruned.snapshots, ids[..2]);
    assert_eq!((pruned.packages, pruned.bytes), (2, 6), "a 0 and a 1");
    assert_eq!(world.served(&format!("snapshots/{}", ids[2])), ["a 2", "b 1"]);
    assert_eq!(world.served(""), ["a 3", "b 1"]);
    let mut pool = BTreeMap::new();
    all_files(&world.base().join(POOL), "", &mut pool);
    assert_eq!(pool.len(), 3);
    let last = prune(&world.base(), Keep { count: 0, since: NOW + 1000 }).expect("prunes");
    assert_eq!(last.snapshots, ids[2..3], "the newest always stays");
    assert_eq!(world.served(""), ["a 3", "b 1"]);
}

#[test]
fn nothing_is_removed_from_the_pool_while_a_snapshot_cannot_be_read() {
    let world = World::new();
    let first = world.publish(&[("a", "1")], NOW).expect("publishes").snapshot;
    world.publish(&[("a", "2")], NOW + 1).expect("publishes");
    fs::write(world.base().join(format!("snapshots/{first}/repodata/repomd.xml")), "damaged")
        .expect("writes");
    prune(&world.base(), Keep { count: 2, since: NOW + 1000 }).expect_err("it says so");
    let mut pool = BTreeMap::new();
    all_files(&world.base().join(POOL), "", &mut pool);
    assert_eq!(pool.len(), 2);
}

#[test]
fn a_repository_of_another_making_is_not_overwritten() {
    let world = World::new();
    fs::create_dir_all(world.base().join("repodata")).expect("creates");
    let error = world.publish(&[("a", "1")], NOW).expect_err("refused").to_string();
    assert!(error.contains("empty directory"), "{error}");
    fs::remove_dir_all(world.base().join("repodata")).expect("removes");
    fs::symlink("elsewhere/repodata", world.base().join("repodata")).expect("links");
    let error = current(&world.base()).expect_err("not ours").to_string();
    assert!(error.contains("empty directory"), "{error}");
}

/// A client that reads while others publish: it follows the id in `repomd.xml`, and must never see metadata and
/// signature that do not belong together.
#[test]
fn readers_who_follow_the_snapshot_never_see_a_mixture() {
    let world = World::new();
    world.publish(&[("a", "0")], NOW).expect("publishes");
    let base = world.base();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..200 {
                let repomd = fs::read(base.join("repodata/repomd.xml")).expect("always there");
                let id = Repomd::parse(&repomd).expect("whole").snapshot.expect("a snapshot");
                let signature =
                    fs::read(base.join(id.path()).join("repodata/repomd.xml.asc")).expect("there");
                crate::read::Verified::check(&repomd, &signature, &world.keys).expect("fits");
            }
        });
        for version in 1..20 {
            world.publish(&[("a", &version.to_string())], NOW + version).expect("publishes");
        }
        reader.join().expect("reads");
    });
}
