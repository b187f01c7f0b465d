//! Debian's signed text: taking it apart, and the text itself, which the signature protects, but not from
//! a publisher's mistakes.
#![no_main]

use lazuli_debian::release::{self, Expiry, Keyring, verify_inrelease};
use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};
use std::sync::OnceLock;

fn keys() -> &'static Keyring {
    static KEYS: OnceLock<Keyring> = OnceLock::new();
    KEYS.get_or_init(|| {
        Keyring::from_keys([include_str!("../../crates/rpm/tests/keys/sub.asc")]).expect("a key")
    })
}

fuzz_target!(|bytes: &[u8]| {
    assert!(verify_inrelease(bytes, keys(), 1_800_000_000, Expiry::Accepted).is_err());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(release) = release::parse(text) {
        for path in release.files.keys() {
            assert!(Path::new(path).components().all(|part| matches!(part, Component::Normal(_))), "{path}");
        }
        let _ = release.expect_suite("trixie");
    }
});
