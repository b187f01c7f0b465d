//! Keys that GnuPG made, and whose time is over in the ways that OpenPGP knows.

use lazuli_rpm::{KeyRing, keys};

fn ring(armored: &str) -> Result<KeyRing, keys::Error> {
    KeyRing::from_armored(armored)
}

#[test]
fn an_expired_key_vouches_for_what_it_signed_before_only() {
    let ring = ring(include_str!("keys/expired.asc")).expect("a key");
    ring.verify_detached(b"data", include_str!("keys/early.asc")).expect("signed in time");
    let late = ring.verify_detached(b"data", include_str!("keys/late.asc")).expect_err("signed too late");
    assert!(matches!(late, keys::Error::Time { why: "had expired", .. }), "{late}");
    assert!(ring.verify_detached(b"datA", include_str!("keys/early.asc")).is_err());
}

#[test]
fn a_revoked_key_is_refused_as_a_whole() {
    let error = ring(include_str!("keys/revoked.asc")).expect_err("revoked").to_string();
    assert!(error.contains("is revoked"), "{error}");
}

#[test]
fn a_revoked_subkey_signs_no_more() {
    let signature = include_str!("keys/sub-sig.asc");
    let good = ring(include_str!("keys/sub.asc")).expect("a key");
    good.verify_detached(b"data", signature).expect("signed by a subkey");
    let revoked = ring(include_str!("keys/sub-revoked.asc")).expect("a key");
    revoked.verify_detached(b"data", signature).expect_err("the subkey is revoked");
}

#[test]
fn an_expired_subkey_vouches_for_what_it_signed_before_only() {
    let ring = ring(include_str!("keys/sub-expired.asc")).expect("a key");
    ring.verify_detached(b"data", include_str!("keys/sub-early.asc")).expect("signed in time");
    let late = ring.verify_detached(b"data", include_str!("keys/sub-late.asc")).expect_err("signed too late");
    assert!(matches!(late, keys::Error::Time { why: "had expired", .. }), "{late}");
}

#[test]
fn a_key_that_is_for_certifying_alone_signs_nothing() {
    let ring = ring(include_str!("keys/certify-only.asc")).expect("a key");
    let error =
        ring.verify_detached(b"data", include_str!("keys/certify-sig.asc")).expect_err("not for signing");
    assert!(matches!(error, keys::Error::NotForSigning { .. }), "{error}");
}

#[test]
fn a_subkey_that_nobody_bound_signs_nothing() {
    let signature = include_str!("keys/sub-sig.asc");
    let accepted =
        ring(include_str!("keys/sub-unbound.asc")).and_then(|ring| ring.verify_detached(b"data", signature));
    accepted.expect_err("nobody says whose subkey it is");
}
