//! .deb files: container, decompressors, control archive, data archive.
#![no_main]

use lazuli_debian::deb::{Deb, Limits};
use lazuli_store::Store;
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use std::sync::OnceLock;

fn store() -> &'static (tempfile::TempDir, Store) {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    STORE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a store");
        (dir, store)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        control_file: 64 << 10,
        control_total: 256 << 10,
        control_entries: 64,
        data: lazuli_tree::Limits { entries: 256, file_size: 64 << 10, total_size: 256 << 10 },
        memory: 16 << 20,
    };
    if let Ok(deb) = Deb::read(Cursor::new(bytes), &store().1, &limits) {
        assert!(deb.data.len() <= 256);
        assert!(deb.control.get("Package").is_some());
    }
});
