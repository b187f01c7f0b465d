//! Metadata: signatures, versions, dates, sizes, and parts that do not belong together.

use super::{Attack, HONEST, Plain, app, change, copy, honest, now, refused_and_forgotten, second, signer};
use crate::support::package;
use lazuli_fs as fs;
use lazuli_repo::Options;
use std::io::Read as _;

#[test]
fn metadata() {
    refused_and_forgotten(&[
        Attack {
            what: "metadata without a signature",
            words: &["repository base", "does not sign its metadata", "lapis_trust"],
            arm: |world| {
                fs::remove_file(world.repository("base").join("repodata/repomd.xml.asc")).expect("gone");
                HONEST
            },
        },
        Attack {
            what: "metadata that somebody else signed",
            words: &["repository base", "not signed by a key this repository is trusted with"],
            arm: |world| {
                Plain::base(world).publish(11, &[("app-1-1.noarch.rpm", app(world))], &signer());
                HONEST
            },
        },
        Attack {
            what: "metadata with the key of another repository, which is enabled",
            words: &["repository base", "not signed by a key this repository is trusted with"],
            arm: |world| {
                let theirs = second(world, &[]);
                Plain::base(world).publish(11, &[("app-1-1.noarch.rpm", app(world))], &theirs);
                HONEST
            },
        },
        Attack {
            what: "a changed list of the metadata",
            words: &["repository base", "not signed"],
            arm: |world| {
                Plain::base(world)
                    .edit("repodata/repomd.xml", |text| text.replace("<revision>10", "<revision>99"));
                HONEST
            },
        },
        Attack {
            what: "changed package records under a good signature",
            words: &["primary"],
            arm: |world| {
                let base = Plain::base(world);
                base.publish(
                    11,
                    &[("app-2-1.noarch.rpm", world.rpm(package("app", "2"), true))],
                    &world.signer,
                );
                change(&base.part_file("primary"), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                });
                HONEST
            },
        },
        Attack {
            what: "package records of another day",
            words: &["primary"],
            arm: |world| {
                let base = Plain::base(world);
                let old = fs::read(base.part_file("primary")).expect("a file");
                base.publish(
                    11,
                    &[("app-2-1.noarch.rpm", world.rpm(package("app", "2"), true))],
                    &world.signer,
                );
                fs::write(base.part_file("primary"), old).expect("a file");
                HONEST
            },
        },
        Attack {
            what: "the signature of another day",
            words: &["repository base", "not signed"],
            arm: |world| {
                let base = Plain::base(world);
                let path = base.dir().join("repodata/repomd.xml.asc");
                let old = fs::read(&path).expect("a file");
                base.publish(11, &honest(world), &world.signer);
                fs::write(path, old).expect("a file");
                HONEST
            },
        },
        Attack {
            what: "an older state",
            words: &["repository base", "version 10", "version 20 was seen", "replays an old state"],
            arm: |world| {
                let base = Plain::base(world);
                copy(&base.dir(), &world.path().join("old"));
                base.publish(20, &honest(world), &world.signer);
                world.run(&["makecache"]).ok();
                fs::remove_dir_all(base.dir()).expect("gone");
                fs::rename(world.path().join("old"), base.dir()).expect("a move");
                // Nor does it help that the cache is gone.
                world.run(&["clean", "all"]).ok();
                HONEST
            },
        },
        Attack {
            what: "two states under one version",
            words: &["repository base", "other metadata under version 10"],
            arm: |world| {
                let evil = world.rpm(package("app", "666"), true);
                Plain::base(world).publish(10, &[("app-666-1.noarch.rpm", evil)], &world.signer);
                HONEST
            },
        },
        Attack {
            what: "a state that is held back until it is past its date",
            words: &["repository base", "expired", "holds back"],
            arm: |world| {
                let options = Options { revision: 11, expires: Some(now() - 1), ..Options::default() };
                Plain::base(world).publish_with(&options, &honest(world), &world.signer);
                HONEST
            },
        },
        Attack {
            what: "a state without a date after which it counts no more",
            words: &["repository base", "no expiry date", "no-expiry"],
            arm: |world| {
                let options = Options { revision: 11, ..Options::default() };
                Plain::base(world).publish_with(&options, &honest(world), &world.signer);
                HONEST
            },
        },
        Attack {
            what: "a state without a version",
            words: &["repository base", "no version", "no-version"],
            arm: |world| {
                Plain::base(world).resign(|text| text.replace("<revision>10</revision>", ""));
                HONEST
            },
        },
        Attack {
            what: "a memory of versions that was destroyed",
            words: &["base.json", "cannot be read"],
            arm: |world| {
                let state = world.root().join("var/lib/lapis/base.json");
                assert!(state.exists());
                fs::write(state, "{").expect("a file");
                HONEST
            },
        },
        Attack {
            what: "a location above the repository",
            words: &["../../../etc/passwd", "location"],
            arm: |world| {
                let base = Plain::base(world);
                let text = base.part("primary").replace("packages/app-1-1.noarch.rpm", "../../../etc/passwd");
                base.replace_part("primary", "xml", text.as_bytes(), "");
                HONEST
            },
        },
        Attack {
            what: "a part of the metadata that lies somewhere else",
            words: &["https://example.org/primary", "location"],
            arm: |world| {
                Plain::base(world).resign(|text| {
                    text.replacen("href=\"repodata/", "href=\"https://example.org/primary/", 1)
                });
                HONEST
            },
        },
        Attack {
            what: "metadata that unpacks to more than it says",
            words: &["primary", "1000"],
            arm: |world| {
                let bomb = zstd::encode_all(std::io::repeat(0).take(64 << 20), 1).expect("zstd");
                Plain::base(world).replace_part("primary", "xml.zst", &bomb, "<open-size>1000</open-size>");
                HONEST
            },
        },
        Attack {
            what: "metadata that does not say how much it unpacks to",
            words: &["open-size"],
            arm: |world| {
                let bomb = zstd::encode_all(std::io::repeat(0).take(64 << 20), 1).expect("zstd");
                Plain::base(world).replace_part("primary", "xml.zst", &bomb, "");
                HONEST
            },
        },
        Attack {
            what: "metadata that says it is enormous",
            words: &["99999999999999"],
            arm: |world| {
                let bomb = zstd::encode_all(std::io::repeat(0).take(64 << 20), 1).expect("zstd");
                let size = "<open-size>99999999999999</open-size>";
                Plain::base(world).replace_part("primary", "xml.zst", &bomb, size);
                HONEST
            },
        },
    ]);
}
