//! Attacks on the update repository, one test each, over HTTP on loopback: refused with words that say what was
//! wrong, and nothing that the host remembers has changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use jiff::Timestamp as Time;
use lazuli_delta::Held;
use lazuli_fs as fs;
use lazuli_layout::manifest::Manifest;
use lazuli_release::client::{Catalogue, Client};
use lazuli_release::key::Key;
use lazuli_release::publisher::{Publisher, Roles};
use lazuli_release::update::{self, Base};
use lazuli_release::{Error, Refusal};
use std::sync::atomic::Ordering;
use support::{Fault, SETTINGS, World, image};

const DAY: i64 = 86_400;

/// Refreshes, which must be refused for this reason, in these words, with nothing changed.
fn refused(world: &World, client: &Client, reason: Refusal, words: &str) {
    let before = world.remembered();
    let error = client.refresh().expect_err("it was taken");
    assert_refusal(&error, reason, words);
    assert_eq!(world.remembered(), before, "something that is remembered has changed");
}

fn assert_refusal(error: &Error, reason: Refusal, words: &str) {
    assert_eq!(error.refusal(), Some(reason), "{error}");
    assert!(error.to_string().contains(words), "{error}\nshould say: {words}");
}

/// The catalogue as a host on 1.0 sees it, and the manifest of 1.1.
fn offered(world: &World) -> (Catalogue, Manifest) {
    let catalogue = world.client("1.0").refresh().unwrap();
    let manifest = catalogue.newest().unwrap().unwrap();
    assert_eq!(manifest.version.as_str(), "1.1");
    (catalogue, manifest)
}

/// Takes the release from the image of 1.0; the error must be this.
fn stage_refused(world: &World, known_base: bool, reason: Refusal, words: &str) {
    let (catalogue, manifest) = offered(world);
    let old = image(0);
    let leaves = || Ok(vec![]);
    let base = Base { root_hash: manifest.recipes[0].base.0, blocks: 264, leaves: &leaves };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slot");
    fs::write(&path, vec![0; old.len()]).unwrap();
    let slot = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let result = update::plan(&catalogue, &manifest, known_base.then_some(&base))
        .and_then(|plan| plan.run(&catalogue, &old, &slot, Held::Nothing));
    assert_refusal(&result.expect_err("it was taken"), reason, words);
}

#[test]
fn a_wrong_key() {
    let (world, hostile) = (World::new(), World::new());
    world.client("1.0").refresh().unwrap();
    let anchor = world.anchor();
    // Somebody else's repository, all of it well signed, by keys of their own.
    fs::remove_dir_all(world.path("repository")).unwrap();
    fs::rename(hostile.path("repository"), world.path("repository")).unwrap();
    let client = world.client_of(&world.server.url(), "1.0", anchor);
    refused(&world, &client, Refusal::Signature, "not signed by enough trusted keys");
}

#[test]
fn under_the_threshold() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    // Two root keys must sign; one does.
    let path = world.path("repository/metadata/2.root.json");
    assert!(world.publisher().rotate(&world.roles).unwrap());
    let mut root: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    root["signatures"].as_array_mut().unwrap().pop();
    fs::write(&path, root.to_string()).unwrap();
    refused(&world, &world.client("1.0"), Refusal::Signature, "threshold");
}

#[test]
fn expired_metadata_is_a_freeze() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    let then = Time::from_second(Time::now().as_second() - 8 * DAY).unwrap();
    world.publisher_at(then).refresh_timestamp(&world.roles).unwrap();
    refused(&world, &world.client("1.0"), Refusal::Freeze, "expired");
}

#[test]
fn replayed_metadata() {
    let world = World::new();
    world.save("old");
    world.publish("1.2", 2);
    world.client("1.0").refresh().unwrap();
    // All of it is well signed and still valid, but this host has seen newer.
    world.restore("old");
    refused(&world, &world.client("1.0"), Refusal::Rollback, "older");
}

#[test]
fn mixed_metadata() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    let old = fs::read(world.path("repository/metadata/3.targets.json")).unwrap();
    world.publish("1.2", 2);
    // The old list of targets under the name of the new one.
    world.server.fault("/4.targets.json", Fault::Replace(old));
    refused(&world, &world.client("1.0"), Refusal::Altered, "not what was signed");
}

#[test]
fn mixed_manifests() {
    let world = World::new();
    // A publisher's slip or worse: one manifest, well signed, under the name of another.
    let (catalogue, _) = offered(&world);
    drop(catalogue);
    let manifest = fs::read(world.target("1.0.manifest.json")).unwrap();
    world.republish("lazuli-test-x86-64-9.0.manifest.json", &manifest);
    let catalogue = world.client("1.0").refresh().unwrap();
    let error = catalogue.newest().expect_err("it was taken");
    assert_refusal(&error, Refusal::MixAndMatch, "is the manifest of");
}

#[test]
fn truncated_metadata_and_data() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    world.server.fault("/timestamp.json", Fault::Truncate(100));
    refused(&world, &world.client("1.0"), Refusal::Damaged, "damaged or cut off");
    world.server.heal();
    world.server.fault(".recipe", Fault::Truncate(200));
    stage_refused(&world, true, Refusal::Damaged, "ended after");
}

#[test]
fn endless_metadata_and_data() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    world.server.fault("/timestamp.json", Fault::Endless);
    let before = world.server.sent.load(Ordering::Relaxed);
    refused(&world, &world.client("1.0"), Refusal::EndlessData, "more than was promised");
    let sent = world.server.sent.load(Ordering::Relaxed) - before;
    assert!(sent < 16 << 20, "{sent} bytes were sent");
    world.server.heal();
    let (catalogue, _) = offered(&world);
    world.server.fault("1.1.manifest.json", Fault::Endless);
    let error = catalogue.newest().expect_err("it was taken");
    assert_refusal(&error, Refusal::EndlessData, "more than was promised");
}

#[test]
fn a_renamed_target() {
    let world = World::new();
    // The image of one version in the place of another's.
    let old = fs::read(world.target("1.0.root.zst")).unwrap();
    world.server.fault("1.1.root.zst", Fault::Replace(old));
    stage_refused(&world, false, Refusal::Altered, "was altered");
    // A recipe in the place of a manifest.
    let recipe = fs::read(world.target(".recipe")).unwrap();
    let (catalogue, _) = offered(&world);
    world.server.fault("1.1.manifest.json", Fault::Replace(recipe));
    assert!(matches!(
        catalogue.newest().unwrap_err().refusal(),
        Some(Refusal::Altered | Refusal::EndlessData)
    ));
}

#[test]
fn an_altered_chunk() {
    let world = World::new();
    let mut file = fs::read(world.target("1.1.root.zst")).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    world.server.fault("1.1.root.zst", Fault::Replace(file));
    stage_refused(&world, false, Refusal::Altered, "was altered");

    let mut file = fs::read(world.target(".recipe")).unwrap();
    let end = file.len() - 1;
    file[end] ^= 1;
    world.server.fault(".recipe", Fault::Replace(file));
    stage_refused(&world, true, Refusal::Altered, "was altered");
}

#[test]
fn an_altered_index() {
    let world = World::new();
    for (end, known) in [("1.1.root.index", false), (".recipe", true)] {
        let mut file = fs::read(world.target(end)).unwrap();
        file[20] ^= 1;
        world.server.fault(end, Fault::Replace(file));
        stage_refused(&world, known, Refusal::Altered, "does not have the SHA-256");
    }
}

#[test]
fn an_altered_list_of_leaf_hashes() {
    let world = World::new();
    let (catalogue, manifest) = offered(&world);
    let mut file = fs::read(world.target("1.1.leaves")).unwrap();
    file[9] ^= 1;
    world.server.fault("1.1.leaves", Fault::Replace(file));
    let leaves = || Ok(vec![]);
    let base = Base { root_hash: [9; 32], blocks: 264, leaves: &leaves };
    let error = update::plan(&catalogue, &manifest, Some(&base)).expect_err("it was taken");
    assert_refusal(&error, Refusal::Altered, "does not have the SHA-256");
}

#[test]
fn an_altered_manifest() {
    let world = World::new();
    let (catalogue, _) = offered(&world);
    let text = String::from_utf8(fs::read(world.target("1.1.manifest.json")).unwrap()).unwrap();
    let altered = text.replacen("\"minimum-version\": \"1.0\"", "\"minimum-version\": \"0.1\"", 1);
    assert_ne!(text, altered);
    world.server.fault("1.1.manifest.json", Fault::Replace(altered.into_bytes()));
    assert_refusal(&catalogue.newest().expect_err("it was taken"), Refusal::Altered, "not what was signed");
}

#[test]
fn a_downgrade_by_edited_state() {
    let world = World::new();
    world.save("old");
    world.publish("1.2", 2);
    let client = world.client("1.1");
    client.refresh().unwrap();
    client.raise_minimum(&"1.1".parse().unwrap()).unwrap();
    world.restore("old");

    // The versions in it set back, so that old metadata would look new.
    let path = world.path("state/trusted.json");
    let good = fs::read(&path).unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&good).unwrap();
    for role in ["timestamp", "snapshot", "targets"] {
        state[role]["signed"]["version"] = 1.into();
    }
    for bad in [state.to_string().into_bytes(), good[..good.len() / 2].to_vec(), vec![], b"{}".to_vec()] {
        fs::write(&path, bad).unwrap();
        let before = world.remembered();
        let error = client.refresh().expect_err("it was taken");
        assert!(matches!(error, Error::State { .. }), "{error}");
        assert!(error.to_string().contains("remembered state of updates"), "{error}");
        assert_eq!(world.remembered(), before);
    }

    // Removed as a whole: the old metadata is taken, but no release below the floors.
    fs::remove_file(&path).unwrap();
    let catalogue = client.refresh().unwrap();
    assert_refusal(
        &catalogue.manifest(&"1.0".parse().unwrap()).unwrap_err(),
        Refusal::BelowMinimum,
        "oldest",
    );
    // The stored floor edited into nonsense.
    fs::write(world.path("state/minimum-version.json"), "{\"format\":1}").unwrap();
    assert!(matches!(client.refresh().unwrap_err(), Error::State { .. }));
}

#[test]
fn a_rotation_to_a_hostile_root() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    // A new root with keys of somebody else, signed by them, and everything after it.
    let hostile_keys = world.path("hostile");
    for name in world.roles.names() {
        Key::generate(&hostile_keys, &name).unwrap();
    }
    let scratch = world.path("scratch");
    let hostile = Publisher::new(&scratch, Key::load_all(&hostile_keys).unwrap(), Time::now());
    hostile.create(&world.roles).unwrap();
    hostile.rotate(&world.roles).unwrap();
    let root = fs::read(scratch.join("metadata/2.root.json")).unwrap();
    fs::write(world.path("repository/metadata/2.root.json"), root).unwrap();
    refused(&world, &world.client("1.0"), Refusal::Signature, "not signed by enough trusted keys");
}

#[test]
fn one_stolen_key_of_a_role_does_not_change_other_roles() {
    let world = World::new();
    world.client("1.0").refresh().unwrap();
    // The key of the timestamp role signs a list of targets of its own making.
    let mut roles = Roles::development();
    roles.targets.keys = vec!["timestamp".into()];
    let thief = Publisher::new(
        &world.path("repository"),
        world.keys().into_iter().filter(|key| key.name() == "timestamp").collect(),
        Time::now(),
    );
    let error = thief.publish(&[world.release("6.6", 6)], &roles, &SETTINGS).unwrap_err();
    assert!(error.to_string().contains("cannot sign"), "{error}");
    assert!(!thief.rotate(&roles).is_ok_and(|done| done));
}

/// Who can write to the repository's directory has no key, and must not borrow the publisher's.
#[test]
fn what_somebody_edited_is_not_signed_anew() {
    let world = World::new();
    let first = fs::read(world.path("repository/metadata/1.root.json")).unwrap();
    let publisher = || world.publisher().anchored(&first).unwrap();
    let metadata = |name: &str| world.path(&format!("repository/metadata/{name}"));
    let edit = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(metadata(name)).unwrap();
        assert!(text.contains(from), "{name}: {text}");
        fs::write(metadata(name), text.replacen(from, to, 1)).unwrap();
    };
    let refused = |what: &str, words: &str| {
        let before = fs::read(metadata("timestamp.json")).unwrap();
        for result in [
            publisher().publish_raw("x", b"x", &world.roles).map(drop),
            publisher().refresh(&world.roles),
            publisher().withdraw("demo.manifest.json", &world.roles),
        ] {
            let error = result.expect_err(what).to_string();
            assert!(error.contains(words), "{what}: {error}");
        }
        assert_eq!(fs::read(metadata("timestamp.json")).unwrap(), before, "{what}");
    };
    world.save("honest");
    let targets = fs::read_dir(world.path("repository/metadata")).unwrap().into_iter();
    let newest =
        targets.filter_map(|p| p.file_name()?.to_str()?.strip_suffix(".targets.json")?.parse::<u64>().ok());
    let newest = newest.max().unwrap();

    // Targets: a product that nobody published. An older file that was signed, in the place of the newest.
    edit(
        &format!("{newest}.targets.json"),
        "\"targets\":{",
        "\"targets\":{\"evil\":{\"hashes\":{\"sha256\":\"00\"},\"length\":1},",
    );
    refused("edited targets", "is not the file that is named");
    world.restore("honest");
    fs::copy(metadata(&format!("{}.targets.json", newest - 1)), metadata(&format!("{newest}.targets.json")))
        .unwrap();
    refused("older targets", "is not the file that is named");
    world.restore("honest");

    // The timestamp: a version after which no other comes.
    let text = fs::read_to_string(metadata("timestamp.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let version = &value["signed"]["version"];
    edit("timestamp.json", &format!("\"version\":{version}}}"), "\"version\":18446744073709551614}");
    refused("an edited timestamp", "is not signed as the root metadata says");
    let error = publisher().refresh_timestamp(&world.roles).unwrap_err().to_string();
    assert!(error.contains("is not signed as the root metadata says"), "{error}");
    world.restore("honest");

    // A root of somebody's own, with the publisher's keys named in it too.
    let text = fs::read_to_string(metadata("1.root.json")).unwrap();
    fs::write(metadata("2.root.json"), text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    refused("a root that nobody signed", "2.root.json");
    world.restore("honest");
    publisher().refresh(&world.roles).unwrap();
    world.client("1.0").refresh().unwrap();
}
