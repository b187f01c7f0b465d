//! RPM headers and package files: what is read must not panic, and what is written from it must be
//! read again.
#![no_main]

use lazuli_rpm::header::{self, Header};
use lazuli_rpm::{Dependency, KeyRing, PackageFile, order, payload_tree, rich::Rich, tag};
use lazuli_store::Store;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn store() -> &'static (tempfile::TempDir, Store) {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    STORE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a store");
        (dir, store)
    })
}

fn look(header: &Header) {
    for entry in header.entries() {
        assert_eq!(header.data(entry).len(), entry.len);
        assert!(header.strings(entry.tag).len() <= entry.len);
        assert!(header.numbers(entry.tag).len() <= entry.len);
        let _ = header.binary(entry.tag);
    }
    for dependency in header.requires().iter().chain(&header.conflicts()) {
        let _ = (dependency.to_string(), Dependency::parse(&dependency.name));
        if let Ok(rich) = Rich::parse(&dependency.name)
            && !matches!(rich, Rich::Simple(_))
        {
            assert_eq!(Rich::parse(&rich.to_string()).as_ref(), Ok(&rich));
        }
    }
    let _ = (header.paths(), header.file_sizes(), header.changelog());
    if let Ok(nevra) = header.nevra() {
        let item = order::Item {
            nevra,
            provides: header.provides(),
            files: header.paths(),
            requires: header.requires(),
        };
        assert_eq!(order::order(&[item]), [0]);
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse(bytes) {
        look(&header);
        let mut added = header::HeaderBuilder::new();
        added.number(tag::INSTALLTIME, 1).string(tag::SHA1HEADER, "x");
        let free = !header.has(tag::INSTALLTIME) && !header.has(tag::SHA1HEADER);
        if free && header.entries().len() < 1000 {
            let both = Header::parse(&added.append_to(&header)).expect("a header with something added");
            assert_eq!(both.entries().len(), header.entries().len() + 2);
            assert_eq!(&both.store()[..header.store().len()], header.store());
        }
    }
    if let Ok(package) = PackageFile::parse(bytes) {
        look(&package.header);
        look(&package.signature);
        assert!(package.verify(&KeyRing::default()).is_err());
        let _ = package.verify_digests();
        let total = package.header.file_sizes().iter().try_fold(0_u64, |sum, size| sum.checked_add(*size));
        if total.is_some_and(|total| total < 1 << 20) {
            let _ = payload_tree(&package.header, package.payload(), &store().1);
        }
    }
});
