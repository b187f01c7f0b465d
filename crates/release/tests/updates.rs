//! Publishing and taking releases, over HTTP on loopback and from a folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use jiff::Timestamp as Time;
use lazuli_delta::choose::Way;
use lazuli_delta::reuse::{LEAF, short};
use lazuli_delta::{BLOCK, Held};
use lazuli_fs as fs;
use lazuli_release::client::Client;
use lazuli_release::key::Key;
use lazuli_release::publisher::Publisher;
use lazuli_release::update::{self, Base};
use lazuli_verity::{Salt, Tree};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use support::{PRODUCT, SETTINGS, World, image};

fn tree(image: &[u8]) -> Tree {
    Tree::build(image, (image.len() / BLOCK) as u64, &Salt::of_product(PRODUCT)).unwrap()
}

fn leaves(tree: &Tree) -> Vec<[u8; LEAF]> {
    tree.leaves().map(|leaf| short(leaf.as_bytes())).collect()
}

/// Takes the newest release from an image into a slot that holds `before`; the way, what was promised, and the
/// bytes that the server sent.
fn take(world: &World, client: &Client, old: Option<&[u8]>, before: &[u8], held: Held) -> (Way, u64, u64) {
    let catalogue = client.refresh().unwrap();
    let manifest = catalogue.newest().unwrap().unwrap();
    let old_tree = old.map(tree);
    let known = || Ok(old_tree.as_ref().map(leaves).unwrap_or_default());
    let base = old_tree.as_ref().map(|tree| Base {
        root_hash: *tree.root().as_bytes(),
        blocks: tree.leaves().len() as u64,
        leaves: &known,
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slot");
    fs::write(&path, before).unwrap();
    let slot = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let sent = world.server.sent.load(Ordering::Relaxed);
    let mut plan = update::plan(&catalogue, &manifest, base.as_ref()).unwrap();
    if held == Held::Something {
        plan.resume(&catalogue, &manifest, &slot).unwrap();
    }
    plan.run(&catalogue, &old.unwrap_or_default().to_vec(), &slot, held).unwrap();
    let sent = world.server.sent.load(Ordering::Relaxed) - sent;
    let mut written = vec![0; manifest.root.size as usize];
    slot.read_exact_at(&mut written, 0).unwrap();
    assert_eq!(tree(&written).root().as_bytes(), &manifest.root.root_hash.0, "another image was written");
    let uki = catalogue.read(&manifest.uki.target, 1 << 20).unwrap();
    assert_eq!(uki, format!("UKI of {}", manifest.version).into_bytes());
    (plan.way, plan.bytes, sent)
}

#[test]
fn the_cheapest_way_is_taken_and_costs_what_it_says() {
    let world = World::new();
    let client = world.client("1.0");
    let (old, empty) = (image(0), vec![0xAA; image(0).len()]);
    let (way, promised, sent) = take(&world, &client, Some(&old), &empty, Held::Nothing);
    assert_eq!((way, promised), (Way::Recipe, sent));
    let recipe = sent;

    // An image that nobody has a recipe for.
    let mut unknown = old.clone();
    unknown[200 * BLOCK] ^= 1;
    let (way, promised, sent) = take(&world, &client, Some(&unknown), &empty, Held::Nothing);
    assert_eq!((way, promised), (Way::Reuse, sent));
    assert!(sent > recipe, "{sent} against {recipe}");
    let reuse = sent;

    // One that has nothing in common with it: then the list would be a waste, but nobody knows before.
    let (way, _, full) = take(&world, &client, None, &empty, Held::Nothing);
    assert_eq!(way, Way::Full);
    assert!(full > reuse && full > 1 << 20, "{full} against {reuse}");
}

#[test]
fn what_the_slot_holds_is_not_fetched_again() {
    let world = World::new();
    let client = world.client("1.0");
    let old = image(0);
    // Interrupted after a bit more than half; the rest is something else.
    let mut half = image(1);
    let middle = 140 * BLOCK;
    half[middle..].fill(0x55);
    let (_, full, sent) = take(&world, &client, None, &half, Held::Something);
    assert!(sent < full * 2 / 3, "{sent} of {full}");
    // With a recipe that was all followed, only its index is fetched.
    let (way, _, sent) = take(&world, &client, Some(&old), &image(1), Held::Something);
    assert_eq!(way, Way::Recipe);
    assert!(sent < 200, "{sent} bytes for nothing");
}

#[test]
fn a_folder_serves_as_well() {
    let world = World::new();
    let stick = world.path("repository");
    let client = world.client_of(stick.to_str().unwrap(), "1.0", world.anchor());
    let (way, _, sent) = take(&world, &client, Some(&image(0)), &vec![0; image(0).len()], Held::Nothing);
    assert_eq!((way, sent), (Way::Recipe, 0));
}

#[test]
fn keys_rotate_and_hosts_follow() {
    let world = World::new();
    let client = world.client("1.0");
    client.refresh().unwrap();
    // Another root key and another targets key; one old root key is gone for good.
    let mut roles = world.roles.clone();
    roles.root.keys = vec!["root-1".into(), "root-3".into(), "root-2".into()];
    roles.targets.keys = vec!["targets-2".into()];
    Key::generate(&world.path("keys"), "root-3").unwrap();
    Key::generate(&world.path("keys"), "targets-2").unwrap();
    assert!(world.publisher().rotate(&roles).unwrap());
    world.publisher().publish(&[world.release("1.2", 2)], &roles, &SETTINGS).unwrap();
    assert_eq!(client.refresh().unwrap().newest().unwrap().unwrap().version.as_str(), "1.2");
    // And again, over two rotations at once, from the very anchor.
    assert!(world.publisher().rotate(&roles).unwrap());
    assert!(world.publisher().rotate(&roles).unwrap());
    client.refresh().unwrap();
    client.refresh().unwrap();
    fs::remove_file(world.path("state/trusted.json")).unwrap();
    client.refresh().unwrap();
}

#[test]
fn a_host_goes_back_to_an_image_with_an_older_root() {
    let world = World::new();
    let before = world.anchor();
    world.client("1.0").refresh().unwrap();
    let root =
        |version: u64| fs::read(world.path(&format!("repository/metadata/{version}.root.json"))).unwrap();
    // The next image brings root 2, whose keys are others; meanwhile there is root 3.
    let mut roles = world.roles.clone();
    roles.targets.keys = vec!["targets-2".into()];
    Key::generate(&world.path("keys"), "targets-2").unwrap();
    assert!(world.publisher().rotate(&roles).unwrap());
    let newer = |running| world.client_of(&world.server.url(), running, root(2));
    newer("1.1").refresh().unwrap();
    assert!(world.publisher().rotate(&roles).unwrap());
    newer("1.1").refresh().unwrap();
    // Back to the image before, and to the newer one again.
    world.client_of(&world.server.url(), "1.0", before).refresh().unwrap();
    newer("1.1").refresh().unwrap();
}

#[test]
fn a_root_is_signed_in_two_places() {
    let world = World::new();
    // The second root key is in a vault: only its owner can use it, and only by hand.
    let vault = Key::load(&world.path("keys/root-2.ed25519")).unwrap();
    let id = vault.id().unwrap();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::rename(world.path("keys/root-2.ed25519"), world.path("vault")).unwrap();
    let mut roles = world.roles.clone();
    roles.root.keys = vec!["root-1".into(), id.clone()];
    let publisher = world.publisher();
    assert!(!publisher.rotate(&roles).unwrap(), "one signature was enough");
    assert!(publisher.commit_root().unwrap_err().to_string().contains("lacks signatures"));
    let (version, bytes, signed) = publisher.pending_root().unwrap();
    assert_eq!((version, signed.len()), (2, 1));
    assert!(publisher.attach(&id, vec![0; 64]).is_err());
    publisher.attach(&id, vault.sign(&bytes).unwrap()).unwrap();
    publisher.commit_root().unwrap();
    world.client("1.0").refresh().unwrap();
}

#[test]
fn a_key_signs_through_a_command() {
    let world = World::new();
    let here = Key::load(&world.path("keys/targets.ed25519")).unwrap();
    fs::write(world.path("signature"), here.sign(b"hello").unwrap()).unwrap();
    let external = |public: &[u8]| {
        let public: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "{{\"public\": \"{public}\", \"command\": [\"cat\", \"{}\"]}}",
            world.path("signature").display()
        );
        fs::write(world.path("hsm.external"), text).unwrap();
        Key::load(&world.path("hsm.external")).unwrap()
    };
    let key = external(here.public());
    assert_eq!(key.id().unwrap(), here.id().unwrap());
    assert_eq!(key.sign(b"hello").unwrap(), here.sign(b"hello").unwrap());
    // A command that returns something else is noticed here, and not by hosts.
    for error in [key.sign(b"other").unwrap_err(), external(&[0; 32]).sign(b"hello").unwrap_err()] {
        assert!(error.to_string().contains("not one of this key"), "{error}");
    }
}

#[test]
fn a_release_is_published_once_and_can_be_withdrawn() {
    let world = World::new();
    let again = world.publisher().publish(&[world.release("1.1", 5)], &world.roles, &SETTINGS).unwrap_err();
    assert!(again.to_string().contains("published already"), "{again}");
    world.publisher().withdraw("lazuli-test-x86-64-1.1.manifest.json", &world.roles).unwrap();
    let catalogue = world.client("1.0").refresh().unwrap();
    assert!(catalogue.newest().unwrap().is_none());
    assert_eq!(catalogue.versions().len(), 1);
}

#[test]
fn the_same_release_has_the_same_bytes() {
    let (one, two) = (World::new(), World::new());
    for end in ["1.1.manifest.json", ".recipe", "1.1.root.zst", "1.1.root.index", "1.1.leaves"] {
        let (a, b) = (one.target(end), two.target(end));
        assert_eq!(a.file_name(), b.file_name());
        assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap(), "{end}");
    }
}

#[test]
fn validity_is_renewed_without_publishing() {
    let world = World::new();
    let client = world.client("1.0");
    let soon = Time::from_second(Time::now().as_second() + 3 * 86_400).unwrap();
    let publisher = Publisher::new(&world.path("repository"), world.keys(), soon);
    publisher.refresh_timestamp(&world.roles).unwrap();
    publisher.refresh(&world.roles).unwrap();
    assert_eq!(client.refresh().unwrap().versions().len(), 2);
}
