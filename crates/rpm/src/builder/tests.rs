use super::*;
use crate::package::{self, PackageFile};
use crate::{DependencyFlags, Evr, KeyRing, payload_tree, tag};
use lazuli_tree::{Kind, Node, Tree};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Bytes that do not compress, the same on every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// One of everything.
fn tree(store: &Store) -> Tree {
    let file =
        |bytes: &[u8]| Node::file(store.put(bytes).unwrap(), bytes.len() as u64).with_mtime(1_600_000_000);
    let link = |to: &str| Node::new(Kind::HardLink { to: path(to) }, 0o644).with_mtime(1_600_000_000);
    let mut ping = file(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0ping").with_mode(0o755);
    ping.xattrs.insert("security.capability".into(), crate::caps::parse("cap_net_raw=ep").unwrap());
    [
        ("etc", Node::directory()),
        ("etc/one.conf", file(b"one").with_mode(0o600).with_owner("root", "adm")),
        ("usr/bin/a-link", link("usr/bin/file")),
        ("usr/bin/empty", file(b"")),
        ("usr/bin/empty-link", link("usr/bin/empty")),
        ("usr/bin/file", file(b"content")),
        ("usr/bin/ping", ping),
        ("usr/bin/z-link", link("usr/bin/file")),
        ("usr/lib/\u{e9}", Node::symlink("../bin/file")),
        ("usr/share/large", file(&noise(9 << 20))),
        ("dev/null", Node::new(Kind::CharDevice { major: 1, minor: 3 }, 0o666)),
        ("dev/sda", Node::new(Kind::BlockDevice { major: 8, minor: 0 }, 0o660)),
        ("run/fifo", Node::new(Kind::Fifo, 0o600)),
    ]
    .into_iter()
    .map(|(at, node)| (path(at), node))
    .collect()
}

fn builder(tree: &Tree) -> Builder {
    let entry = |(path, node): (&TreePath, &Node)| FileEntry {
        path: path.clone(),
        node: Node { xattrs: [].into(), ..node.clone() },
        flags: if path.as_str() == "etc/one.conf" {
            FileFlags::CONFIG | FileFlags::NOREPLACE
        } else {
            FileFlags::NONE
        },
        capabilities: node.xattrs.get("security.capability").map(|_| "cap_net_raw=ep".into()),
    };
    Builder {
        nevra: Nevra { name: "sample".into(), evr: Evr::new(Some(1), "2.0~rc1", "3"), arch: "x86_64".into() },
        summary: "A sample".into(),
        license: "MIT".into(),
        build_host: "lazuli".into(),
        build_time: 1_600_000_000,
        files: tree.iter().map(entry).collect(),
        ..Builder::default()
    }
}

fn write(builder: &Builder, store: &Store, signer: Option<&Signer>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let digest = builder.write(store, signer, &mut bytes).unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    bytes
}

/// The tree as it comes back: of several hard links the last is the file.
fn expected(tree: &Tree) -> Tree {
    let mut expected = tree.clone();
    let swap = |tree: &mut Tree, from: &str, to: &str, all: &[&str]| {
        let file = tree.get(&path(from)).unwrap().clone();
        for link in all {
            let node = Node { kind: Kind::HardLink { to: path(to) }, ..file.clone() };
            tree.insert(path(link), node);
        }
        tree.insert(path(to), file);
    };
    swap(&mut expected, "usr/bin/file", "usr/bin/z-link", &["usr/bin/a-link", "usr/bin/file"]);
    swap(&mut expected, "usr/bin/empty", "usr/bin/empty-link", &["usr/bin/empty"]);
    expected
}

#[test]
fn what_is_packed_is_unpacked_whatever_the_form_of_the_archive() {
    let (_dir, store) = store();
    let tree = tree(&store);
    for stripped in [false, true] {
        let mut bytes = Vec::new();
        builder(&tree).write_as(&store, None, &mut bytes, stripped).unwrap();
        let (_dir, fresh) = self::store();
        let package = PackageFile::parse(&bytes).unwrap();
        package.verify_digests().unwrap();
        assert_eq!(payload_tree(&package.header, package.payload(), &fresh).unwrap(), expected(&tree));
        assert_eq!(package.header.has(tag::LONGFILESIZES), stripped);
    }
}

#[test]
fn the_payload_is_in_several_frames_and_the_order_of_files_does_not_matter() {
    let (_dir, store) = store();
    let mut builder = builder(&tree(&store));
    let first = write(&builder, &store, None);
    let package = PackageFile::parse(&first).unwrap();
    let frame = zstd::zstd_safe::find_frame_compressed_size(package.payload()).unwrap();
    assert!(frame < package.payload().len() / 2);
    builder.files.reverse();
    assert!(first == write(&builder, &store, None), "the same input gave other bytes");
}

#[test]
fn the_header_says_what_rpm_looks_for() {
    let (_dir, store) = store();
    let mut builder = builder(&tree(&store));
    builder.scriptlets.post =
        Some(Scriptlet { interpreter: vec!["/sbin/ldconfig".into()], body: String::new() });
    builder.scriptlets.pretrans = Some(Scriptlet { interpreter: vec!["<lua>".into()], body: "x()".into() });
    builder.recommends = vec![Dependency::parse("(a if b)").unwrap()];
    let bytes = write(&builder, &store, None);
    let header = PackageFile::parse(&bytes).unwrap().header;
    let provides: Vec<String> = header.provides().iter().map(ToString::to_string).collect();
    assert_eq!(
        provides,
        ["config(sample) = 1:2.0~rc1-3", "sample = 1:2.0~rc1-3", "sample(x86-64) = 1:2.0~rc1-3"]
    );
    let requires: Vec<String> = header.requires().iter().map(|d| d.name.clone()).collect();
    for name in [
        "/sbin/ldconfig",
        "config(sample)",
        "rpmlib(BuiltinLuaScripts)",
        "rpmlib(FileCaps)",
        "rpmlib(PayloadIsZstd)",
        "rpmlib(RichDependencies)",
        "rpmlib(TildeInVersions)",
    ] {
        assert!(requires.iter().any(|r| r == name), "{name} is not among {requires:?}");
    }
    let ldconfig = header.requires().into_iter().find(|d| d.name == "/sbin/ldconfig").unwrap();
    assert!(ldconfig.flags.contains(DependencyFlags::SCRIPT_POST));
    assert_eq!(header.string(tag::SOURCERPM).unwrap(), "sample-2.0~rc1-3.src.rpm");
    let at = header.paths().iter().position(|p| p == "/usr/bin/ping").unwrap();
    assert_eq!(header.numbers(tag::FILECOLORS)[at], 2);
    let class = header.numbers(tag::FILECLASS)[at] as usize;
    assert_eq!(header.strings(tag::CLASSDICT)[class], "ELF 64-bit shared object");
}

#[test]
fn nothing_can_be_changed_after_signing() {
    let (_dir, store) = store();
    let key = Signer::generate("test", 1_500_000_000).unwrap();
    let signer = Signer::from_armored(&key.secret).unwrap();
    let ring = KeyRing::from_armored(&key.public).unwrap();
    let bytes = write(&builder(&tree(&store)), &store, Some(&signer));
    let verify = |bytes: &[u8], ring: &KeyRing| PackageFile::parse(bytes)?.verify(ring);
    assert_eq!(verify(&bytes, &ring).unwrap().signer, signer.fingerprint());

    let package = PackageFile::parse(&bytes).unwrap();
    let (header, payload) = (package.header_offset, package.payload_offset);
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    // A letter of the summary, in the header's store.
    let summary = bytes.windows(8).rposition(|w| w == b"A sample").unwrap();
    assert!(header < summary && summary < payload);
    assert!(matches!(verify(&changed(summary), &ring), Err(package::Error::Signature(_))));
    for at in [payload, payload + 1000, bytes.len() - 1] {
        let error = verify(&changed(at), &ring);
        assert!(matches!(error, Err(package::Error::Digest { what: "payload", .. })), "{error:?}");
    }
    let cut = verify(&bytes[..bytes.len() - 1], &ring);
    assert!(matches!(cut, Err(package::Error::Digest { what: "payload", .. })));
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(verify(&longer, &ring).is_err());

    let unsigned = write(&builder(&tree(&store)), &store, None);
    assert_eq!(verify(&unsigned, &ring), Err(package::Error::Unsigned));
    let other = KeyRing::from_armored(&Signer::generate("other", 0).unwrap().public).unwrap();
    let error = verify(&bytes, &other).unwrap_err();
    assert!(matches!(error, package::Error::Signature(keys::Error::Unknown { .. })), "{error}");
    // Signing afterwards is the same as signing at once.
    assert!(sign::sign_package(&unsigned, &signer, 1_600_000_000).unwrap() == bytes);
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let (_dir, store) = store();
    let whole = builder(&tree(&store));
    let fails = |builder: &Builder| builder.write(&store, None, &mut Vec::new()).unwrap_err().to_string();
    let with_file = |entry: FileEntry| {
        let mut builder = whole.clone();
        builder.files.push(entry);
        builder
    };
    let twice = with_file(whole.files[0].clone());
    assert!(fails(&twice).ends_with("it is in the package twice"));
    let node = Node::new(Kind::HardLink { to: path("usr/nothing") }, 0o644);
    let dangling = FileEntry { path: path("usr/x"), node, flags: FileFlags::NONE, capabilities: None };
    assert_eq!(
        fails(&with_file(dangling)),
        "/usr/x: it is a hard link to /usr/nothing, which is not a file of the package"
    );
    let gone = Node::file(Digest::of(b"never stored"), 12);
    let missing = FileEntry { path: path("usr/x"), node: gone, flags: FileFlags::NONE, capabilities: None };
    assert!(fails(&with_file(missing)).contains("is not in the store"));
    for (version, release) in [("1-2", "1"), ("", "1"), ("1", "a b"), ("1:1", "1")] {
        let mut builder = whole.clone();
        builder.nevra.evr = Evr::new(None, version, release);
        assert!(fails(&builder).contains("a character it cannot have"));
    }
}

#[test]
fn ghosts_are_owned_but_not_shipped() {
    let (_dir, store) = store();
    let mut builder = builder(&Tree::new());
    builder.files.push(FileEntry {
        path: path("var/log/sample"),
        node: Node::file(Digest::of(b""), 0),
        flags: FileFlags::GHOST,
        capabilities: None,
    });
    let bytes = write(&builder, &store, None);
    let package = PackageFile::parse(&bytes).unwrap();
    assert_eq!(package.header.paths(), ["/var/log/sample"]);
    assert!(payload_tree(&package.header, package.payload(), &store).unwrap().is_empty());
}

#[test]
fn triggers_are_numbered_and_sorted() {
    let (_dir, store) = store();
    let mut builder = builder(&Tree::new());
    let file_trigger = |prefixes: &[&str], priority| FileTrigger {
        kind: TriggerKind::In,
        prefixes: prefixes.iter().map(ToString::to_string).collect(),
        script: Scriptlet::shell("run"),
        priority,
    };
    builder.file_triggers = vec![file_trigger(&["/usr/lib", "/lib"], 7), file_trigger(&["/etc"], 9)];
    builder.transaction_file_triggers = vec![file_trigger(&["/usr"], FileTrigger::PRIORITY)];
    builder.triggers = vec![Trigger {
        kind: TriggerKind::PostUn,
        on: vec![Dependency::parse("zsh").unwrap(), Dependency::parse("bash < 4").unwrap()],
        script: Scriptlet::shell("run"),
    }];
    let bytes = write(&builder, &store, None);
    let header = PackageFile::parse(&bytes).unwrap().header;
    assert_eq!(header.strings(tag::FILETRIGGERNAME), ["/etc", "/lib", "/usr/lib"]);
    assert_eq!(header.numbers(tag::FILETRIGGERINDEX), [1, 0, 0]);
    assert_eq!(header.numbers(tag::FILETRIGGERPRIORITIES), [7, 9]);
    assert_eq!(header.numbers(tag::TRANSFILETRIGGERPRIORITIES), [1_000_000]);
    assert_eq!(header.strings(tag::TRIGGERNAME), ["bash", "zsh"]);
    assert_eq!(header.numbers(tag::TRIGGERFLAGS), [1 << 18 | 2, 1 << 18]);
    builder.file_triggers[0].kind = TriggerKind::PreIn;
    assert!(builder.write(&store, None, &mut Vec::new()).is_err());
}
