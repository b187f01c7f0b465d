//! Archives as trees: a tree that was read can be written and read again.
#![no_main]

use lazuli_store::Store;
use lazuli_tree::{Accounts, Kind, Limits, Node, Tree, TreePath, read_tar, write_tar};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn store() -> &'static (tempfile::TempDir, Store) {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    STORE.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a store");
        (dir, store)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { entries: 64, file_size: 64 << 10, total_size: 256 << 10 };
    let store = &store().1;
    let Ok(tree) = read_tar(bytes, store, &limits) else { return };
    for (path, _) in tree.iter() {
        assert!(path.components().all(|part| !matches!(part, "" | "." | "..")) || path.is_root());
        let _ = (tree.resolve(path), tree.read(store, path));
    }
    // Owners have no numbers here.
    let owned = |(path, node): (TreePath, Node)| {
        (
            path,
            Node { user: "root".into(), group: "root".into(), mtime: node.mtime.clamp(0, 1 << 32), ..node },
        )
    };
    let mut tree: Tree = tree.into_iter().map(owned).collect();
    tree.ensure_parents();
    // A record of the pax format that has a newline in its value is refused by the reader, whoever wrote it.
    let newline = |(path, node): (&TreePath, &Node)| {
        let link = match &node.kind {
            Kind::Symlink { target } => target.contains('\n'),
            Kind::HardLink { to } => to.as_str().contains('\n'),
            _ => false,
        };
        link || path.as_str().contains('\n') || node.xattrs.values().any(|value| value.contains(&b'\n'))
    };
    if tree.iter().any(newline) {
        return;
    }
    let mut written = Vec::new();
    if write_tar(&tree, store, &Accounts::root_only(), &mut written).is_ok() {
        let limits = Limits { entries: 1000, ..limits };
        let again = read_tar(&written[..], store, &limits).expect("what was written can be read");
        assert_eq!(again, tree);
    }
});
