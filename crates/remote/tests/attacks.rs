//! Metadata with a good signature that is hostile nevertheless, and keys that must not count.

#[allow(dead_code, reason = "each test uses a part of it")]
mod support;

use lazuli_fs as fs;
use lazuli_remote::Freshness;
use lazuli_repo::{Lack, SnapshotId};
use std::io::Read as _;
use support::{NOW, World};

#[test]
fn a_location_outside_of_the_repository_is_refused() {
    for href in ["../../x.rpm", "/etc/x.rpm", "https://example.org/x.rpm", "a/%2e%2e/x.rpm"] {
        let world = World::new();
        let primary = world.part("primary").replace("packages/a-1.rpm", href);
        world.replace_part("primary", "xml", primary.as_bytes(), "");
        world.refuses(&world.config(), NOW, &[href, "location"]);
    }
    let world = World::new();
    world.resign(|text| text.replace("href=\"repodata/", "href=\"../repodata/"));
    world.refuses(&world.config(), NOW, &["../repodata/", "location"]);
}

#[test]
fn metadata_that_unpacks_to_more_than_it_says_is_refused() {
    let world = World::new();
    let bomb = zstd::encode_all(std::io::repeat(0).take(64 << 20), 1).expect("zstd");
    world.replace_part("primary", "xml.zst", &bomb, "<open-size>1000</open-size>");
    world.refuses(&world.config(), NOW, &["primary", "1000"]);
    world.replace_part("primary", "xml.zst", &bomb, "");
    world.refuses(&world.config(), NOW, &["open-size"]);
    world.replace_part("primary", "xml.zst", &bomb, "<open-size>99999999999999</open-size>");
    world.refuses(&world.config(), NOW, &["99999999999999"]);
}

#[test]
fn file_lists_of_another_date_are_refused() {
    let world = World::new();
    let old = world.part("filelists");
    world.publish(2, &[("a", "2"), ("b", "2")]);
    world.replace_part("filelists", "xml", old.as_bytes(), "");
    let remote = world.remote(NOW);
    let repository = remote.open(&world.config(), Freshness::Now).expect("fine so far");
    let error = repository.want_files(&remote).expect_err("of another date").to_string();
    assert!(error.contains("filelists"), "{error}");
}

#[test]
fn file_lists_belong_to_their_packages_even_when_they_stay_the_same() {
    let world = World::new();
    let config = world.config();
    let remote = world.remote(NOW);
    let open = || {
        let repository = remote.open(&config, Freshness::Now).expect("fine");
        repository.want_files(&remote).expect("file lists");
        repository
    };
    let words = |summary: &str| {
        let all = open();
        let record = all.index().package(lazuli_solve::PackageId(0)).expect("a package");
        assert_eq!(record.summary, summary);
    };
    words("");
    let primary = world.part("primary");
    let primary = primary.replacen("<summary/>", "<summary>new</summary>", 1).replacen(
        "<summary></summary>",
        "<summary>new</summary>",
        1,
    );
    world.replace_part("primary", "xml", primary.as_bytes(), "");
    world.resign(|text| text.replace("<revision>1</revision>", "<revision>2</revision>"));
    words("new");
}

#[test]
fn a_revoked_key_counts_for_nothing() {
    let world = World::new();
    fs::write(world.path("key.asc"), include_str!("../../rpm/tests/keys/revoked.asc")).expect("a file");
    world.refuses(&world.config(), NOW, &["revoked"]);
}

#[test]
fn a_key_of_another_repository_counts_for_nothing() {
    let (ours, theirs) = (World::new(), World::new());
    let mut config = ours.config();
    config.gpg_keys = theirs.config().gpg_keys;
    ours.refuses(&config, NOW, &["not signed by a key this repository is trusted with"]);
}

#[test]
fn another_snapshot_than_the_wanted_one_is_refused() {
    let world = World::new();
    let mut config = world.config();
    config.snapshot = Some(SnapshotId::new(7));
    let place = world.path("repo/snapshots/7");
    fs::create_dir_all(&place).expect("a directory");
    fs::rename(world.path("repo/repodata"), place.join("repodata")).expect("a directory");
    world.refuses(&config, NOW, &["snapshot 7 was asked for", "of snapshot none"]);
}

#[test]
fn an_id_cannot_leave_its_directories() {
    let world = World::new();
    let mut config = world.config();
    config.id = "../test".into();
    world.refuses(&config, NOW, &["../test", "cannot be the id"]);
}

#[test]
fn unsigned_metadata_still_has_its_checksums() {
    let world = World::new();
    let mut config = world.config();
    config.lacks.insert(Lack::MetadataSignature);
    fs::remove_file(world.path("repo/repodata/repomd.xml.asc")).expect("a file");
    let paths = fs::read_dir(world.path("repo/repodata")).expect("a directory");
    let primary = paths.into_iter().find(|p| p.to_string_lossy().contains("primary")).expect("primary");
    support::edit(&primary, |bytes| bytes[20] ^= 1);
    world.refuses(&config, NOW, &["primary", "sha256"]);
}
