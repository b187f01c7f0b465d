//! `repomd.xml` with its signature, mirror lists, and parts that are unpacked within what it promises.
#![no_main]

use lazuli_repo::{Repomd, SnapshotId, Verified};
use lazuli_rpm::KeyRing;
use lazuli_store::Digest;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

const SIGNATURE: &[u8] = include_bytes!("../../crates/rpm/tests/keys/sub-sig.asc");

fn keys() -> &'static KeyRing {
    static KEYS: OnceLock<KeyRing> = OnceLock::new();
    KEYS.get_or_init(|| {
        KeyRing::from_armored(include_str!("../../crates/rpm/tests/keys/sub.asc")).expect("a key")
    })
}

/// A list with one part.
fn with_part(suffix: &str, part: &[u8], open: usize) -> Verified {
    let text = format!(
        "<repomd><revision>1</revision><data type=\"primary\"><checksum type=\"sha256\">{}</checksum>\
         <location href=\"repodata/primary.{suffix}\"/><size>{}</size><open-size>{open}</open-size></data></repomd>",
        Digest::of(part),
        part.len()
    );
    Verified::unsigned(text.as_bytes()).expect("a list")
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(repomd) = Repomd::parse(bytes) {
        let _ = (repomd.version(), repomd.is_expired(0));
    }
    // Nobody signed this.
    assert!(Verified::check(bytes, SIGNATURE, keys()).is_err());
    assert!(Verified::check(bytes, bytes, keys()).is_err());
    assert!(Verified::check(b"other data", bytes, keys()).is_err());
    if let Ok(text) = std::str::from_utf8(bytes) {
        for mirror in lazuli_remote::fuzzing::mirrors(text) {
            assert!(mirror.starts_with("http://") || mirror.starts_with("https://"));
        }
        if let Ok(id) = text.parse::<SnapshotId>() {
            assert_eq!(id.to_string().parse::<SnapshotId>().ok(), Some(id));
        }
    }
    if let Some((&how, part)) = bytes.split_first() {
        let suffix = ["xml.zst", "xml.gz", "xml.xz", "xml"][usize::from(how & 3)];
        let open = usize::from(how >> 2) << 8;
        if let Ok(opened) = with_part(suffix, part, open).open("primary", part) {
            assert_eq!(opened.len(), open);
        }
    }
});
