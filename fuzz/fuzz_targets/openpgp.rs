//! Keys and signatures: whatever they hold, they vouch for nothing that was not signed.
#![no_main]

use lazuli_debian::release::{Expiry, Keyring, verify_inrelease};
use lazuli_rpm::KeyRing;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn keys() -> &'static KeyRing {
    static KEYS: OnceLock<KeyRing> = OnceLock::new();
    KEYS.get_or_init(|| {
        KeyRing::from_armored(include_str!("../../crates/rpm/tests/keys/sub.asc")).expect("a key")
    })
}

const SIGNATURE: &str = include_str!("../../crates/rpm/tests/keys/sub-sig.asc");

fuzz_target!(|bytes: &[u8]| {
    assert!(keys().verify(b"not what was signed", bytes).is_err());
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(keys().verify_detached(b"not what was signed", text).is_err());
        if let Ok(ring) = KeyRing::from_armored(text) {
            assert!(!ring.fingerprints().is_empty());
            assert!(ring.verify_detached(b"not what was signed", SIGNATURE).is_err());
            // A ring that accepts this has the very key that made it.
            if let Ok(signer) = ring.verify_detached(b"data", SIGNATURE) {
                assert_eq!(keys().fingerprints(), [signer]);
            }
        }
    }
    if let Ok(ring) = Keyring::from_keys([bytes]) {
        assert!(!ring.fingerprints().is_empty());
        assert!(verify_inrelease(bytes, &ring, 1_800_000_000, Expiry::Accepted).is_err());
    }
});
