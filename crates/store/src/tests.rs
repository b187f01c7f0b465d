use super::*;
use proptest::prelude::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

#[test]
fn a_flipped_byte_makes_a_blob_absent() {
    let (_dir, store) = store();
    let digest = store.put(b"content").unwrap();
    fs::set_mode(store.path(&digest), 0o644).unwrap();
    fs::write(store.path(&digest), b"c0ntent").unwrap();
    assert!(store.get(&digest).unwrap().is_none());
    assert!(!store.path(&digest).exists(), "the damaged file must be gone");
}

#[test]
fn a_touched_but_intact_blob_is_kept() {
    let (_dir, store) = store();
    let digest = store.put(b"content").unwrap();
    fs::set_mode(store.path(&digest), 0o644).unwrap();
    fs::write(store.path(&digest), b"content").unwrap();
    assert!(store.contains(&digest).unwrap());
}

#[test]
fn damage_that_keeps_the_time_is_caught_by_a_full_read() {
    let (_dir, store) = store();
    let digest = store.put(b"content").unwrap();
    let path = store.path(&digest);
    fs::set_mode(&path, 0o644).unwrap();
    fs::write(&path, b"c0ntent").unwrap();
    seal(&path).unwrap();
    assert!(matches!(store.read(&digest), Err(Error::Missing { .. })));
}

#[test]
fn verification_finds_and_removes_damage_that_keeps_the_time() {
    let (_dir, store) = store();
    let (good, bad) = (store.put(b"good").unwrap(), store.put(b"content").unwrap());
    fs::set_mode(store.path(&bad), 0o644).unwrap();
    fs::write(store.path(&bad), b"c0ntent").unwrap();
    seal(&store.path(&bad)).unwrap();
    let report = store.verify().unwrap();
    assert_eq!((report.blobs, report.damaged), (2, vec![bad]));
    assert!(store.contains(&good).unwrap() && !store.contains(&bad).unwrap());
}

#[test]
fn after_a_power_cut_a_blob_that_did_not_reach_the_disk_is_absent() {
    let (dir, store) = store();
    let (good, lost) = (store.put(b"good").unwrap(), store.put(b"content").unwrap());
    let made = store.tempdir().unwrap();
    let root = store.publish_dir("root", &good, made.path()).unwrap();
    // Name and times are in the file system's journal, the content is not.
    fs::set_mode(store.path(&lost), 0o644).unwrap();
    fs::write(store.path(&lost), b"").unwrap();
    seal(&store.path(&lost)).unwrap();
    let again = Store::open(dir.path().join("store")).unwrap();
    assert!(root.is_dir(), "the same boot: nothing was lost, and hashing all again would take long");
    again.after_restart("another-boot\n").unwrap();
    assert!(again.contains(&good).unwrap() && !again.contains(&lost).unwrap());
    assert_eq!(again.dir("root", &good), None);
    // Once is enough.
    let root = again.publish_dir("root", &good, again.tempdir().unwrap().path()).unwrap();
    again.after_restart("another-boot").unwrap();
    assert!(root.is_dir());
}

#[test]
fn a_note_of_the_boot_that_was_cut_off_itself_means_that_nothing_is_trusted() {
    let (_dir, store) = store();
    let blob = store.put(b"content").unwrap();
    fs::write(store.root().join("boot"), b"").unwrap();
    store.after_restart("another-boot").unwrap();
    assert_ne!(fs::metadata(store.path(&blob)).unwrap().modified().unwrap(), verified());
}

#[test]
fn an_action_with_a_lost_output_runs_again() {
    let (_dir, store) = store();
    let key = ActionKey::new("test", 1).field("a", "b").finish();
    let run = |store: &Store| {
        store.cached::<Error>(&key, || {
            let digest = store.put(b"out")?;
            Ok(ActionResult::default().with("out", digest, 3))
        })
    };
    assert!(!run(&store).unwrap().1);
    let (result, cached) = run(&store).unwrap();
    assert!(cached);
    fs::remove_file(store.path(&result.output("out").unwrap())).unwrap();
    assert!(!run(&store).unwrap().1);
}

#[test]
fn wrong_content_never_gets_its_name() {
    let (_dir, store) = store();
    let wanted = Digest::of(b"wanted");
    let mut writer = store.writer().unwrap();
    writer.write_all(b"other").unwrap();
    let error = writer.finish_expecting(&wanted, "a.deb").unwrap_err().to_string();
    assert!(error.starts_with("a.deb: expected sha256 "), "{error}");
    assert!(!store.contains(&wanted).unwrap() && !store.contains(&Digest::of(b"other")).unwrap());
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().len(), 0);
}

#[test]
fn collection_refuses_while_another_user_is_there() {
    let (dir, store) = store();
    let other = Store::open(dir.path().join("store")).unwrap();
    assert!(matches!(store.collect(Duration::ZERO), Err(Error::Busy { .. })));
    other.put(b"x").unwrap();
    assert!(other.collect(Duration::ZERO).unwrap().removed >= 1);
}

proptest! {
    #[test]
    fn a_digest_survives_its_text_form(bytes in any::<[u8; 32]>()) {
        let digest = Digest::from_bytes(bytes);
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn fields_of_a_key_do_not_run_together(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}", d in ".{0,8}") {
        prop_assume!((a.as_str(), b.as_str()) != (c.as_str(), d.as_str()));
        let one = ActionKey::new("k", 1).field(&a, &b).finish();
        let two = ActionKey::new("k", 1).field(&c, &d).finish();
        prop_assert_ne!(one, two);
    }
}
