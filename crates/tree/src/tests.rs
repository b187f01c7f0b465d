use super::*;
use proptest::prelude::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn paths_cannot_lead_out() {
    for bad in ["../etc/passwd", "usr/../../etc", "a//b", "a/./b", "a\0b", "/.."] {
        assert!(TreePath::new(bad).is_err(), "{bad:?}");
    }
    assert_eq!(path("./usr/bin/").as_str(), "usr/bin");
    assert_eq!(path("/").as_str(), "");
    assert!(TreePath::new(&"x".repeat(256)).is_err());
}

#[test]
fn links_are_followed_in_every_component() {
    let mut tree = Tree::new();
    tree.insert(path("bin"), Node::symlink("usr/bin"));
    tree.insert(path("usr/bin/awk"), Node::symlink("/etc/alternatives/awk"));
    tree.insert(path("etc/alternatives/awk"), Node::symlink("../../bin/mawk"));
    tree.insert(path("usr/bin/mawk"), Node::file(Digest::of(b""), 0));
    tree.insert(path("loop"), Node::symlink("loop"));
    assert_eq!(tree.resolve(&path("/bin/awk")).unwrap().0.as_str(), "usr/bin/mawk");
    assert!(tree.resolve(&path("loop")).is_none());
    assert!(tree.resolve(&path("bin/none")).is_none());
}

#[test]
fn a_link_in_a_tree_never_leads_out_of_the_directory_it_is_written_to() {
    let (dir, store) = store();
    let outside = dir.path().join("outside");
    lazuli_fs::create_dir_all(&outside).unwrap();
    let file = || Node::file(store.put(b"x").unwrap(), 1);
    let mut tree = Tree::new();
    tree.insert(path("run"), Node::directory());
    tree.insert(path("var"), Node::directory());
    // As base-files and a package with a file in the old place have it.
    tree.insert(path("var/run"), Node::symlink("/run"));
    tree.insert(path("var/run/x/y"), file());
    let inside = dir.path().join("inside");
    materialise(&tree, &store, &inside, Materialise::HardLink).unwrap();
    assert_eq!(lazuli_fs::read(inside.join("run/x/y")).unwrap(), b"x");
    // A link that leads nowhere inside the tree, but somewhere on this machine.
    tree.insert(path("out"), Node::symlink(outside.to_str().unwrap()));
    tree.insert(path("out/x"), file());
    let error = materialise(&tree, &store, &dir.path().join("second"), Materialise::Copy).unwrap_err();
    assert!(error.to_string().starts_with("/out/x lies below /out, "), "{error}");
    assert_eq!(lazuli_fs::read_dir(&outside).unwrap(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn two_owners_of_different_content_are_named() {
    let one: Tree = [(path("etc/x"), Node::file(Digest::of(b"1"), 1))].into_iter().collect();
    let two: Tree = [(path("etc/x"), Node::file(Digest::of(b"2"), 1))].into_iter().collect();
    let error = merge([("a-1.rpm", &one), ("b-1.rpm", &two)]).unwrap_err().to_string();
    assert!(error.starts_with("/etc/x is in both a-1.rpm and b-1.rpm with different content"), "{error}");
    assert_eq!(merge([("a", &one), ("b", &one)]).unwrap(), one);
}

#[test]
fn a_tar_that_leads_out_is_refused() {
    let (_dir, store) = store();
    for (name, link) in [("../escape", None), ("a", Some("../../b"))] {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        if let Some(link) = link {
            header.set_entry_type(tar::EntryType::Link);
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(bytes.len() + 1024, 0);
        assert!(
            matches!(read_tar(&bytes[..], &store, &Limits::default()), Err(Error::Path { .. })),
            "{name}"
        );
    }
}

/// The tar reader we use splits pax records at newlines. That must be loud, never a lost attribute.
#[test]
fn an_attribute_that_cannot_be_read_back_is_an_error() {
    let (_dir, store) = store();
    let mut node = Node::directory();
    node.xattrs.insert("user.a".into(), vec![b'x', 10, b'y']);
    let tree: Tree = [(path("d"), node)].into_iter().collect();
    let mut bytes = Vec::new();
    write_tar(&tree, &store, &Accounts::root_only(), &mut bytes).unwrap();
    assert!(matches!(read_tar(&bytes[..], &store, &Limits::default()), Err(Error::Archive { .. })));
}

#[test]
fn an_owner_without_a_number_is_an_error_that_names_both() {
    let (_dir, store) = store();
    let tree: Tree = [(path("var/x"), Node::directory().with_owner("_chrony", "root"))].into_iter().collect();
    let error = write_tar(&tree, &store, &Accounts::root_only(), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("/var/x belongs to user `_chrony`"), "{error}");
}

#[test]
fn a_directory_and_back() {
    let (dir, store) = store();
    let mut tree = Tree::new();
    let digest = store.put(b"hello").unwrap();
    tree.insert(path("a"), Node::directory());
    tree.insert(path("a/f"), Node::file(digest, 5).with_mode(0o750));
    tree.insert(path("a/l"), Node::symlink("f"));
    let out = dir.path().join("out");
    materialise(&tree, &store, &out, Materialise::Copy).unwrap();
    let mut back = scan(&out, &store).unwrap();
    for (_, node) in back.iter_mut() {
        node.mtime = 0;
    }
    assert_eq!(back, tree);
}

fn arb_node(files: Vec<Digest>) -> impl Strategy<Value = Node> {
    let kind = prop_oneof![
        Just(Kind::Directory),
        (0..files.len()).prop_map(move |i| Kind::File { digest: files[i], size: i as u64 * 40 }),
        "[a-z/.]{1,150}".prop_map(|target| Kind::Symlink { target }),
        (0_u32..4000, 0_u32..200_000).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        Just(Kind::Fifo),
    ];
    let xattrs =
        prop::collection::btree_map("user\\.[a-z]{1,8}", prop::collection::vec(11_u8.., 0..40), 0..3);
    (kind, 0_u32..0o10000, 0_i64..4_000_000_000, xattrs, prop::bool::ANY).prop_map(
        |(kind, mode, mtime, xattrs, other)| {
            let xattrs =
                if matches!(kind, Kind::Symlink { .. }) { std::collections::BTreeMap::new() } else { xattrs };
            let owner = if other { "1000" } else { "root" };
            Node { kind, mode, user: owner.into(), group: owner.into(), mtime, xattrs }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tree_survives_tar(entries in prop::collection::btree_map(
        "[a-zé]{1,60}(/[a-z]{1,90}){0,2}", arb_node((0..4).map(|i| Digest::of(vec![b'x'; i * 40])).collect()), 0..12))
    {
        let (_dir, store) = store();
        for i in 0..4 {
            store.put(&vec![b'x'; i * 40]).unwrap();
        }
        let tree: Tree = entries.into_iter().map(|(p, n)| (path(&p), n)).collect();
        let mut bytes = Vec::new();
        write_tar(&tree, &store, &Accounts::root_only(), &mut bytes).unwrap();
        prop_assert_eq!(&read_tar(&bytes[..], &store, &Limits::default()).unwrap(), &tree);
        let saved = tree.save(&store).unwrap();
        prop_assert_eq!(saved, tree.digest());
        prop_assert_eq!(Tree::load(&store, &saved).unwrap(), tree);
    }

    #[test]
    fn merging_disjoint_parts_does_not_depend_on_order(a in "[a-m]{1,5}", b in "[n-z]{1,5}") {
        let one: Tree = [(path(&a), Node::directory())].into_iter().collect();
        let two: Tree = [(path(&b), Node::symlink("x"))].into_iter().collect();
        prop_assert_eq!(merge([("1", &one), ("2", &two)]).unwrap(), merge([("2", &two), ("1", &one)]).unwrap());
    }

    #[test]
    fn diff_is_empty_only_for_equal_trees(a in prop::collection::btree_set("[a-c]{1,2}", 0..6), b in prop::collection::btree_set("[a-c]{1,2}", 0..6)) {
        let make = |names: &std::collections::BTreeSet<String>| names.iter().map(|n| (path(n), Node::directory())).collect::<Tree>();
        let (one, two) = (make(&a), make(&b));
        prop_assert_eq!(diff(&one, &two).is_empty(), one == two);
        prop_assert_eq!(diff(&one, &two).len(), a.symmetric_difference(&b).count());
    }
}
