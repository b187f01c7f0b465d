use super::*;
use lazuli_layout::{Architecture, PartitionType};
use lazuli_rpm::keys::NewKey;
use lazuli_rpm::{Builder, FileEntry, FileFlags, KeyRing, Nevra, Scriptlet, Signer};
use lazuli_store::Store;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const TIME: i64 = 1_700_000_000;

fn p(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// One key for all tests: packages of two runs shall be the same.
static KEY: LazyLock<NewKey> = LazyLock::new(|| Signer::generate("Test <test@example.org>", TIME).unwrap());

fn package(store: &Store, name: &str, files: &[(&str, &str)]) -> InstalledRpm {
    save(store, name, &tree(store, files))
}

fn tree(store: &Store, files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, content) in files {
        if let Some(target) = content.strip_prefix("-> ") {
            tree.insert(p(path), Node::symlink(target));
        } else {
            tree.put_file(store, p(path), content.as_bytes()).unwrap().mtime = 1_600_000_000;
        }
    }
    tree
}

/// A package of ours with these files.
fn save(store: &Store, name: &str, tree: &Tree) -> InstalledRpm {
    let rpm = write_rpm(store, name, tree, None);
    InstalledRpm::read(store, &rpm, &KeyRing::from_armored(&KEY.public).unwrap(), false).unwrap()
}

fn write_rpm(store: &Store, name: &str, tree: &Tree, post: Option<&str>) -> Digest {
    let mut builder = Builder {
        nevra: Nevra { name: name.into(), evr: "1-1".parse().unwrap(), arch: "noarch".into() },
        summary: "A package".into(),
        license: "MIT".into(),
        build_time: TIME,
        ..Builder::default()
    };
    builder.scriptlets.post =
        post.map(|body| Scriptlet { interpreter: vec!["/usr/bin/sh".into()], body: body.into() });
    builder.files = tree
        .iter()
        .map(|(path, node)| FileEntry {
            path: path.clone(),
            node: node.clone(),
            capabilities: path.as_str().contains("ping").then(|| "cap_net_raw=ep".into()),
            flags: FileFlags::default(),
        })
        .collect();
    let mut rpm = Vec::new();
    let signer = Signer::from_armored(&KEY.secret).unwrap();
    builder.write(store, Some(&signer), &mut rpm).unwrap();
    store.put(&rpm).unwrap()
}

fn image(dir: &Path, store: &Store, more: &str) -> Image {
    let file = dir.join("core.toml");
    let text = format!(
        "packages = [\"base\"]\nhostname = \"lazuli\"\nkernel-command-line = [\"ro\", \"quiet\"]\n{more}\n\
         [disk]\nesp = \"260MiB\"\nroot = {{ size = \"512MiB\" }}\nformats = [\"raw\", \"qcow2\", \"vhd\"]\n"
    );
    lazuli_fs::write(&file, text).unwrap();
    Image::read(&file, store).unwrap()
}

const BASE: [(&str, &str); 12] = [
    ("lib", "-> usr/lib"),
    (
        "usr/lib/os-release",
        "NAME=\"Lazuli Linux\"\nID=lazuli\nVERSION_ID=1.0\nHOME_URL=\"https://lazuli.example\"\n",
    ),
    (
        "usr/lib/sysusers.d/basic.conf",
        "u root 0 \"Super user\" /root /bin/bash\ng shadow 42\nu _d - \"A daemon\"\n",
    ),
    ("usr/lib/systemd/system/a.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("usr/lib/systemd/system/b.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
    ("usr/lib/systemd/system-preset/10.preset", "enable a.service\ndisable *\n"),
    ("usr/share/doc/base/README", "read me"),
    ("usr/share/licenses/base/LICENSE", "licence"),
    ("usr/lib/udev/hwdb.d/20-x.hwdb", "evdev:name:x:*\n KEYBOARD_KEY_1=a\n"),
    ("usr/lib/systemd/catalog/systemd.catalog", "-- 0123456789abcdef0123456789abcdef\nSubject: x\n\nText\n"),
    ("etc/ld.so.conf", "/usr/lib\n"),
];

/// The tool root for tests with the real tools, if the machine has one.
fn tool_root() -> Option<PathBuf> {
    std::env::var_os("LAZULI_TEST_IMAGE_TOOLS").map(PathBuf::from)
}

fn context<'a>(store: &'a Store, tool_root: &'a Path) -> Context<'a> {
    Context { store, tool_root, source_date_epoch: TIME, progress: &|_| () }
}

#[test]
fn two_packages_with_different_content_at_one_path_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let image = image(dir.path(), &store, "");
    let packages = [package(&store, "one", &[("etc/x", "1")]), package(&store, "two", &[("etc/x", "2")])];
    let error =
        compose(&context(&store, Path::new("/nonexistent")), &packages, &image).unwrap_err().to_string();
    assert!(error.contains("/etc/x is in both one-1-1.noarch and two-1-1.noarch"), "{error}");
}

#[test]
fn a_package_that_no_trusted_key_signed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let rpm = write_rpm(&store, "one", &tree(&store, &[("etc/x", "1")]), None);
    let other = Signer::generate("Other <other@example.org>", TIME).unwrap();
    let keys = KeyRing::from_armored(&other.public).unwrap();
    let error = InstalledRpm::read(&store, &rpm, &keys, false).unwrap_err().to_string();
    assert!(error.starts_with("one-1-1.noarch: "), "{error}");
    // That it was read with the right key does not help it.
    InstalledRpm::read(&store, &rpm, &KeyRing::from_armored(&KEY.public).unwrap(), false).unwrap();
    InstalledRpm::read(&store, &rpm, &keys, false).unwrap_err();
}

#[test]
fn a_file_below_a_link_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let image = image(dir.path(), &store, "");
    let packages = [package(&store, "base", &BASE), package(&store, "old", &[("lib/x", "1")])];
    let error =
        compose(&context(&store, Path::new("/nonexistent")), &packages, &image).unwrap_err().to_string();
    assert!(error.contains("/lib/x cannot be there: /lib is a symbolic link"), "{error}");
}

#[test]
fn what_no_package_brought_has_the_time_of_the_image() {
    let node = |mtime| Node::file(Digest::of(b"x"), 1).with_mtime(mtime);
    let packages: Tree =
        [(p("usr"), Node::directory().with_mtime(5)), (p("usr/a"), node(6)), (p("b"), node(7))]
            .into_iter()
            .collect();
    let mut tree = packages.clone();
    tree.insert(p("b"), Node::file(Digest::of(b"y"), 1));
    tree.insert(p("c"), node(0));
    stamp(&mut tree, &packages, TIME);
    let times: Vec<i64> = tree.iter().map(|(_, n)| n.mtime).collect();
    assert_eq!(times, [TIME, TIME, TIME, 6]);
}

/// The whole way with the real tools, twice, in two stores.
#[test]
fn an_image_is_made_and_made_again_with_the_same_bytes() {
    let Some(tools) = tool_root() else { return };
    let make = |more: &str| {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let image = image(dir.path(), &store, more);
        let ctx = context(&store, &tools);
        let mut kernel = Tree::new();
        let vmlinuz = crate::uki::tests::pe(true);
        kernel.put_file(&store, p("usr/lib/modules/6.12.0-1/vmlinuz"), &vmlinuz).unwrap();
        kernel.put_file(&store, p("usr/lib/modules/6.12.0-1/modules.order"), b"").unwrap();
        let mut tree = tree(&store, &BASE);
        tree.insert(p("var/lib/d"), Node::directory().with_owner("_d", "_d").with_mode(0o2750));
        let ping = tree.put_file(&store, p("usr/bin/ping"), b"#!/bin/sh\n").unwrap();
        ping.mode = 0o755;
        ping.xattrs.insert("security.capability".into(), CAP_NET_RAW.to_vec());
        tree.insert(p("usr/bin/ping4"), Node::new(Kind::HardLink { to: p("usr/bin/ping") }, 0o755));
        let script =
            "echo \"made with $1\" > /etc/made; rm /etc/old; echo x >> /etc/changed; chmod 600 /etc/secret";
        let shell = write_rpm(&store, "shell", &shell(&store, &tools), Some(script));
        let keys = KeyRing::from_armored(&KEY.public).unwrap();
        let packages = [
            save(&store, "base", &tree),
            save(&store, "kernel", &kernel),
            InstalledRpm::read(&store, &shell, &keys, true).unwrap(),
        ];
        let root = compose(&ctx, &packages, &image).unwrap();
        assert!(!root.cached);
        assert!(compose(&ctx, &packages, &image).unwrap().cached);
        let disk = crate::build_disk(&ctx, &root, &image, &image.spec.disk.formats, None).unwrap();
        let again = crate::build_disk(&ctx, &root, &image, &image.spec.disk.formats, None).unwrap();
        assert!(again.files.iter().all(|f| f.cached));
        let tree = root.load(&store).unwrap();
        check_tree(&tree, &store);
        check_disk(&disk, dir.path(), &tools);
        let bytes: Vec<Digest> = disk.files.iter().map(|f| store.put_file(&f.path).unwrap().0).collect();
        // A file that was touched is not taken for a finished one.
        let qcow2 = disk.file(crate::Format::Qcow2).unwrap().path.clone();
        lazuli_fs::set_mode(&qcow2, 0o644).unwrap();
        lazuli_fs::write(&qcow2, "damage").unwrap();
        let repaired = crate::build_disk(&ctx, &root, &image, &[crate::Format::Qcow2], None).unwrap();
        assert_eq!(store.put_file(&repaired.files[0].path).unwrap().0, bytes[1]);
        (root.digest, bytes)
    };
    let first = make("");
    assert_eq!(first, make(""));
    assert_ne!(first.0, make("documentation = true").0);
}

/// A shell and what it needs, from the tool root, and files for a scriptlet to change.
fn shell(store: &Store, tools: &Path) -> Tree {
    let mut shell = tree(
        store,
        &[("etc/old", "old"), ("etc/changed", "1\n"), ("etc/secret", "s"), ("lib64", "-> usr/lib64")],
    );
    for (path, from) in [
        ("usr/bin/sh", "usr/bin/dash"),
        ("usr/bin/rm", "usr/bin/rm"),
        ("usr/bin/chmod", "usr/bin/chmod"),
        ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("usr/lib/x86_64-linux-gnu/libselinux.so.1", "usr/lib/x86_64-linux-gnu/libselinux.so.1"),
        ("usr/lib/x86_64-linux-gnu/libpcre2-8.so.0", "usr/lib/x86_64-linux-gnu/libpcre2-8.so.0"),
    ] {
        let (digest, size) = store.put_file(tools.join(from)).unwrap();
        shell.insert(p(path), Node::file(digest, size).with_mode(0o755));
    }
    shell
}

/// `cap_net_raw=ep` as the kernel keeps it (VFS_CAP_REVISION_2).
const CAP_NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn check_tree(tree: &Tree, store: &Store) {
    let text =
        |path: &str| String::from_utf8(tree.read(store, &p(path)).unwrap().unwrap_or_default()).unwrap();
    assert!(text("etc/passwd").contains("_d:x:999:999:A daemon:"), "{}", text("etc/passwd"));
    assert_eq!(text("etc/machine-id"), "uninitialized\n");
    assert_eq!(text("etc/hostname"), "lazuli\n");
    let wants = "etc/systemd/system/multi-user.target.wants";
    assert!(
        tree.contains(&p(&format!("{wants}/a.service"))) && !tree.contains(&p(&format!("{wants}/b.service")))
    );
    assert!(tree.contains(&p("usr/share/licenses/base/LICENSE")));
    assert_eq!(tree.get(&p("etc/passwd")).unwrap().mtime, TIME);
    assert_eq!(tree.get(&p("etc/ld.so.conf")).unwrap().mtime, 1_600_000_000);
    for made in [
        "etc/ld.so.cache",
        "usr/lib/modules/6.12.0-1/modules.dep.bin",
        "usr/lib/udev/hwdb.bin",
        "var/lib/systemd/catalog/database",
        "etc/.updated",
    ] {
        assert!(tree.contains(&p(made)), "{made}");
    }
    assert!(!tree.contains(&p("var/cache/ldconfig/aux-cache")));
    // What the foreign package's scriptlet did, and nothing else.
    assert_eq!((text("etc/made"), text("etc/changed")), ("made with 1\n".into(), "1\nx\n".into()));
    assert!(!tree.contains(&p("etc/old")) && !tree.contains(&p("etc/changed~")));
    assert_eq!(tree.get(&p("etc/secret")).unwrap().mode, 0o600);
    assert_eq!(tree.get(&p("etc/changed")).unwrap().mode, 0o644);
    assert!(tree.contains(&p("usr/lib/sysimage/rpm/rpmdb.sqlite")));
    let link = Kind::Symlink { target: "../../usr/lib/sysimage/rpm".into() };
    assert_eq!(tree.get(&p("var/lib/rpm")).unwrap().kind, link);
}

fn check_disk(disk: &crate::DiskImage, dir: &Path, tools: &Path) {
    let raw = disk.file(crate::Format::Raw).unwrap();
    assert_eq!(raw.len, 774 << 20);
    let table = crate::read_table(&raw.path).unwrap();
    let root = &table.partitions[1];
    assert_eq!(root.kind, PartitionType::Root(Architecture::X86_64).guid());
    assert!(disk.command_line.starts_with(&format!("root=PARTUUID={} rootfstype=ext4", root.guid)));
    assert!(disk.command_line.ends_with(" ro quiet"));
    let sandbox = lazuli_sandbox::Sandbox::new(tools).bind(dir, "/build", lazuli_sandbox::Access::ReadOnly);
    let run = |program: &str, args: &[&str]| {
        String::from_utf8(sandbox.command(program).args(args).run(|_| ()).unwrap()).unwrap()
    };
    let esp = &table.partitions[0];
    let part = dir.join("part");
    let file = lazuli_fs::open(&raw.path).unwrap();
    let mut bytes = vec![0; esp.len as usize];
    file.read_exact_at(&mut bytes, esp.start).unwrap();
    lazuli_fs::write(&part, bytes).unwrap();
    run("fsck.vfat", &["-n", "-v", "/build/part"]);
    let mut bytes = vec![0; root.len as usize];
    file.read_exact_at(&mut bytes, root.start).unwrap();
    lazuli_fs::write(&part, bytes).unwrap();
    run("e2fsck", &["-fn", "/build/part"]);
    let stat = run("debugfs", &["-R", "stat /var/lib/d", "/build/part"]);
    assert!(stat.contains("Mode:  02750") && stat.contains("User:   999   Group:   999"), "{stat}");
    let ping = run("debugfs", &["-R", "ea_list /usr/bin/ping", "/build/part"]);
    assert!(ping.contains("security.capability (20) = 01 00 00 02 00 20"), "{ping}");
    assert!(run("debugfs", &["-R", "stat /usr/bin/ping4", "/build/part"]).contains("Links: 2"));
    lazuli_fs::remove_file(&part).unwrap();
}
