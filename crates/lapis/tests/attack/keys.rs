//! Keys whose time is over, or that came the wrong way.

use super::{Attack, HONEST, Plain, app, edit_repo, forged, refused, stage};
use crate::support::{BUILT, World};
use lazuli_fs as fs;
use lazuli_rpm::Signer;

/// Signs everything with a key that holds for `lifetime` seconds, and trusts that.
fn with_key(world: &World, lifetime: u32) -> Signer {
    let key =
        Signer::generate_expiring("Tests <tests@example.org>", BUILT - 1000, Some(lifetime)).expect("a key");
    let signer = Signer::from_armored(&key.secret).expect("a key");
    fs::write(world.root().join("etc/pki/key"), key.public).expect("a file");
    let rpm = forged(&app(world), Some(&signer), |_| {});
    Plain::base(world).publish(11, &[("app-1-1.noarch.rpm", rpm)], &signer);
    signer
}

#[test]
fn keys() {
    refused(&[
        Attack {
            what: "a key that was revoked",
            words: &["repository base", "is revoked"],
            arm: |world| {
                let key = include_str!("../../../rpm/tests/keys/revoked.asc");
                fs::write(world.root().join("etc/pki/key"), key).expect("a file");
                HONEST
            },
        },
        Attack {
            what: "a package by a key that had expired when it signed",
            words: &["app-1-1.noarch", "had expired"],
            arm: |world| {
                // Until 1000 s after the packages were made.
                with_key(world, 2000);
                HONEST
            },
        },
        Attack {
            what: "metadata by a key that had expired when it signed",
            words: &["repository base", "had expired"],
            arm: |world| {
                let signer = with_key(world, 2000);
                Plain::base(world).resign_with(&signer, |text| text);
                HONEST
            },
        },
        Attack {
            what: "a subkey that the primary key did not bind",
            words: &["repository base", "key"],
            arm: |world| {
                let key = include_str!("../../../rpm/tests/keys/sub-unbound.asc");
                fs::write(world.root().join("etc/pki/key"), key).expect("a file");
                HONEST
            },
        },
        Attack {
            what: "a key that came over http",
            words: &["http://127.0.0.1:1/key", "https"],
            arm: |world| {
                edit_repo(world, |text| {
                    text.replace("gpgkey=file:///etc/pki/key", "gpgkey=http://127.0.0.1:1/key")
                });
                HONEST
            },
        },
        Attack {
            what: "a key over https from whoever answers",
            words: &["https://127.0.0.1:1/key", "sslverify"],
            arm: |world| {
                edit_repo(world, |text| {
                    text.replace("gpgkey=file:///etc/pki/key", "gpgkey=https://127.0.0.1:1/key\nsslverify=0")
                });
                HONEST
            },
        },
        Attack {
            what: "a repository without a key",
            words: &["base", "gpgkey"],
            arm: |world| {
                edit_repo(world, |text| text.replace("gpgkey=file:///etc/pki/key\n", ""));
                HONEST
            },
        },
        Attack {
            what: "a repository that nothing vouches for, over http",
            words: &["neither metadata nor packages are signed", "http://127.0.0.1:1/x"],
            arm: |world| {
                let text = "[base]\nname=base\nbaseurl=http://127.0.0.1:1/x\n\
                            lapis_trust=no-metadata-signature no-package-signature\n";
                fs::write(world.root().join("etc/yum.repos.d/base.repo"), text).expect("a file");
                HONEST
            },
        },
    ]);
}

#[test]
fn a_key_that_expired_later_still_vouches_for_what_it_signed() {
    let world = stage();
    with_key(&world, 1_000_000_000);
    world.yes(HONEST).ok();
}
