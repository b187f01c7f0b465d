//! PE images, PKCS#7 messages and signature lists: whatever is accepted keeps its digest through signing.
#![no_main]

use lazuli_secureboot::{Key, authenticode, esl, pe, pkcs7};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::generate("fuzz").expect("a key"));

fuzz_target!(|bytes: &[u8]| {
    let trusted = [KEY.certificate().clone()];
    // Nobody but the key's owner can make these.
    assert!(pkcs7::verify_detached(bytes, b"content", &trusted).is_err());
    assert!(pkcs7::verify_attached(bytes, &trusted).is_err());
    assert!(authenticode::verify(bytes, &trusted).is_err());
    let _ = esl::decode(bytes);
    if let Ok(image) = pe::Image::parse(bytes) {
        let _ = image.signatures();
        if let Ok(signed) = authenticode::sign(&KEY, bytes) {
            authenticode::verify(&signed, &trusted).expect("what we sign verifies");
            let again = pe::Image::parse(&signed).expect("it stays an image");
            assert_eq!(again.digest(), image.digest());
            assert_eq!(again.unsigned(), image.unsigned());
        }
    }
});
