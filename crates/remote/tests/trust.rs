//! Repositories on disk, honest and hostile: what is believed, what is refused with which words, and that a
//! refusal changes nothing.

#[allow(dead_code, reason = "each test uses a part of it")]
mod support;

use lazuli_fs as fs;
use lazuli_remote::{Freshness, Wanted};
use lazuli_repo::{Href, Lack, Options, Package, write_repository};
use lazuli_rpm::{Evr, Nevra};
use lazuli_solve::{PackageId, Universe as _};
use lazuli_store::{Digest, Store};
use std::path::Path;
use support::{NOW, World, edit, rpm, signer, snapshot};

#[test]
fn an_honest_repository_is_believed_and_cached() {
    let world = World::new();
    let config = world.config();
    let expected = ["a-1-1.noarch", "b-1-1.noarch"];
    assert_eq!(world.names(&config, NOW, Freshness::IfOld).expect("fine"), expected);
    // Without the server.
    fs::rename(world.path("repo"), world.path("gone")).expect("a directory");
    assert_eq!(world.names(&config, NOW + 1, Freshness::IfOld).expect("cached"), expected);
    assert_eq!(world.names(&config, NOW + 1, Freshness::Cached).expect("cached"), expected);
    assert!(world.names(&config, NOW + 1, Freshness::Now).is_err());
}

#[test]
fn a_newer_state_is_seen_and_the_older_one_never_again() {
    let world = World::new();
    let config = world.config();
    world.names(&config, NOW, Freshness::Now).expect("fine");
    let old = snapshot(&world.path("repo/repodata"));
    world.publish(2, &[("a", "2")]);
    assert_eq!(world.names(&config, NOW, Freshness::Now).expect("fine"), ["a-2-1.noarch"]);
    for path in fs::read_dir(world.path("repo/repodata")).expect("a directory") {
        fs::remove_file(path).expect("a file");
    }
    for (path, bytes) in old {
        fs::write(path, bytes).expect("a file");
    }
    world.refuses(&config, NOW, &["version 1", "version 2 was seen", "replays"]);
}

#[test]
fn two_states_with_one_version_are_refused() {
    let world = World::new();
    let config = world.config();
    world.names(&config, NOW, Freshness::Now).expect("fine");
    world.publish(1, &[("evil", "1")]);
    world.refuses(&config, NOW, &["other metadata under version 1"]);
}

#[test]
fn frozen_metadata_is_refused_from_server_and_cache() {
    let world = World::new();
    let config = world.config();
    world.names(&config, NOW, Freshness::Now).expect("fine");
    world.refuses(&config, NOW + 1000, &["expired", "holds back"]);
    let cached = world.names(&config, NOW + 1000, Freshness::Cached).expect_err("expired");
    assert!(cached.to_string().contains("expired"), "{cached}");
}

#[test]
fn metadata_signed_by_another_key_or_by_none_is_refused() {
    let world = World::new();
    world.publish_with(&World::options(2), &[("a", "2")], &signer());
    world.refuses(&world.config(), NOW, &["not signed by a key", "gpgkey"]);
    fs::remove_file(world.path("repo/repodata/repomd.xml.asc")).expect("a file");
    world.refuses(&world.config(), NOW, &["does not sign its metadata", "lapis_trust"]);
}

#[test]
fn changed_metadata_is_refused_in_list_and_parts() {
    let world = World::new();
    let repodata = world.path("repo/repodata");
    let primary = fs::read_dir(&repodata).expect("a directory");
    let primary = primary.into_iter().find(|p| p.to_string_lossy().contains("primary")).expect("primary");
    edit(&primary, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    world.refuses(&world.config(), NOW, &["primary"]);
    edit(&repodata.join("repomd.xml"), |bytes| {
        let at = bytes.windows(10).position(|w| w == b"<revision>").expect("a revision");
        bytes[at + 10] = b'9';
    });
    world.refuses(&world.config(), NOW, &["not signed"]);
}

#[test]
fn parts_of_two_dates_cannot_be_mixed() {
    let world = World::new();
    let old = snapshot(&world.path("repo/repodata"));
    world.publish(2, &[("a", "2")]);
    let part = |name: &Path| name.to_string_lossy().contains("primary");
    let new = snapshot(&world.path("repo/repodata"));
    let (old, new) = (old.iter().find(|(n, _)| part(n)), new.keys().find(|n| part(n)));
    fs::write(new.expect("primary"), old.expect("primary").1).expect("a file");
    world.refuses(&world.config(), NOW, &["primary"]);
}

#[test]
fn what_a_repository_lacks_must_be_said() {
    let world = World::new();
    world.publish_with(&Options { revision: 5, ..Options::default() }, &[("a", "1")], &world.signer);
    world.refuses(&world.config(), NOW, &["no expiry date", "lapis_trust = no-expiry"]);
    let mut config = world.config();
    config.lacks.insert(Lack::Expiry);
    assert_eq!(world.names(&config, NOW, Freshness::Now).expect("accepted"), ["a-1-1.noarch"]);
}

#[test]
fn a_memory_that_cannot_be_read_fails_closed() {
    let world = World::new();
    world.names(&world.config(), NOW, Freshness::Now).expect("fine");
    fs::write(world.path("state/test.json"), "{").expect("a file");
    world.refuses(&world.config(), NOW, &["cannot be read", "test.json"]);
}

#[test]
fn endless_metadata_is_cut_off() {
    let world = World::new();
    let endless = vec![b' '; (lazuli_repo::repomd::MAX_REPOMD + 1) as usize];
    fs::write(world.path("repo/repodata/repomd.xml"), endless).expect("a file");
    world.refuses(&world.config(), NOW, &["repomd.xml"]);
}

#[test]
fn a_revoked_or_missing_key_is_named() {
    let world = World::new();
    let mut config = world.config();
    config.gpg_keys.clear();
    world.refuses(&config, NOW, &["gpgkey"]);
    config.gpg_keys = vec!["http://127.0.0.1:1/key".into()];
    world.refuses(&config, NOW, &["https://"]);
    config.gpg_keys = vec![format!("file://{}", world.path("none").display())];
    world.refuses(&config, NOW, &["none"]);
}

#[test]
fn packages_are_what_the_metadata_says_or_refused() {
    let world = World::new();
    let config = world.config();
    let remote = world.remote(NOW);
    let repository = remote.open(&config, Freshness::Now).expect("fine");
    let id = repository.index().named("a")[0];
    let wanted = [Wanted { repository: &repository, package: id }];
    // Changed on the server.
    let file = world.path("repo/packages/a-1.rpm");
    let good = fs::read(&file).expect("a file");
    edit(&file, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    assert!(remote.fetch(&wanted).is_err());
    fs::write(&file, &good).expect("a file");
    let fetched = remote.fetch(&wanted).expect("a package");
    assert_eq!(fetched[0].record.nevra.name, "a");
    assert_eq!(fs::read(&fetched[0].path).expect("a file"), good);
}

#[test]
fn a_signed_package_under_another_name_is_refused() {
    let world = World::new();
    let store = Store::open(world.path("build")).expect("a store");
    let bytes = rpm("old", "1", &world.signer, &store);
    fs::write(world.path("repo/packages/wanted.rpm"), &bytes).expect("a file");
    let nevra = Nevra { name: "wanted".into(), evr: Evr::new(None, "9", "1"), arch: "noarch".into() };
    let mut record =
        Package::new(nevra, Digest::of(&bytes), Href::new("packages/wanted.rpm").expect("a location"));
    record.package_size = bytes.len() as u64;
    write_repository(&world.path("repo"), &[record], &World::options(2), &world.signer).expect("metadata");
    let config = world.config();
    let remote = world.remote(NOW);
    let repository = remote.open(&config, Freshness::Now).expect("fine");
    let error = remote.fetch(&[Wanted { repository: &repository, package: PackageId(0) }]);
    let error = error.expect_err("another package").to_string();
    assert!(error.contains("wanted-9-1.noarch") && error.contains("old-1-1.noarch"), "{error}");
}

#[test]
fn a_damaged_index_is_made_again() {
    let world = World::new();
    let config = world.config();
    world.names(&config, NOW, Freshness::Now).expect("fine");
    let index = fs::read_dir(world.path("cache/test")).expect("a directory");
    let index = index.into_iter().find(|p| p.extension().is_some_and(|e| e == "index")).expect("an index");
    for length in [0, 10, 64, 300] {
        edit(&index, |bytes| bytes.truncate(length));
        let names = world.names(&config, NOW, Freshness::Cached).expect("made again");
        assert_eq!(names, ["a-1-1.noarch", "b-1-1.noarch"]);
    }
}
