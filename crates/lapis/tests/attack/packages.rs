//! Packages: who signed them, what they are, what is in them.

use super::{
    Attack, HONEST, Plain, app, change_app, edit_repo, forged, member, publish_app, record, refused, second,
    signature_header, signer, with_payload,
};
use crate::support::package;
use lazuli_fs as fs;
use lazuli_rpm::header::{HeaderBuilder, Value};
use lazuli_rpm::package::LEAD;
use lazuli_rpm::{Evr, PackageFile, tag};
use lazuli_store::Digest;

#[test]
fn packages() {
    refused(&[
        Attack {
            what: "an unsigned package",
            words: &["app-1-1.noarch", "the package is not signed"],
            arm: |world| {
                publish_app(world, world.rpm(package("app", "1"), false));
                HONEST
            },
        },
        Attack {
            what: "an unsigned package, and an old habit in the configuration",
            words: &["app-1-1.noarch", "the package is not signed"],
            arm: |world| {
                publish_app(world, world.rpm(package("app", "1"), false));
                edit_repo(world, |text| text + "gpgcheck=0\nrepo_gpgcheck=0\nlocalpkg_gpgcheck=0\n");
                HONEST
            },
        },
        Attack {
            what: "an unsigned package, and a yes to everything",
            words: &["nogpgcheck"],
            arm: |world| {
                publish_app(world, world.rpm(package("app", "1"), false));
                &["--nogpgcheck", "install", "app"]
            },
        },
        Attack {
            what: "a package that somebody else signed",
            words: &["app-1-1.noarch", "not among the trusted keys"],
            arm: |world| {
                publish_app(world, forged(&app(world), Some(&signer()), |_| {}));
                HONEST
            },
        },
        Attack {
            what: "a package of this repository with the key of another one, which is enabled",
            words: &["app-1-1.noarch", "not among the trusted keys"],
            arm: |world| {
                let theirs = second(world, &[]);
                publish_app(world, forged(&app(world), Some(&theirs), |_| {}));
                HONEST
            },
        },
        Attack {
            what: "an old package of this repository in another one",
            words: &["app-2-1.noarch", "not among the trusted keys"],
            arm: |world| {
                second(world, &[("app-2-1.noarch.rpm", world.rpm(package("app", "2"), true))]);
                HONEST
            },
        },
        Attack {
            what: "a payload that was changed on the way",
            words: &["app-1-1.noarch", "sha256"],
            arm: |world| {
                change_app(world, |bytes| *bytes.last_mut().unwrap() ^= 1);
                HONEST
            },
        },
        Attack {
            what: "a changed payload that the metadata agrees with",
            words: &["app-1-1.noarch", "the payload of the package is damaged"],
            arm: |world| {
                let mut bytes = app(world);
                *bytes.last_mut().unwrap() ^= 1;
                publish_app(world, bytes);
                HONEST
            },
        },
        Attack {
            what: "a changed header that the metadata agrees with",
            words: &["app-1-1.noarch", "changed after it was signed"],
            arm: |world| {
                let mut bytes = app(world);
                let at = bytes.windows(12).position(|w| w == b"The app of t").expect("the summary");
                bytes[at] = b't';
                publish_app(world, bytes);
                HONEST
            },
        },
        Attack {
            what: "a package that ends early",
            words: &["app-1-1.noarch"],
            arm: |world| {
                change_app(world, |bytes| bytes.truncate(bytes.len() / 2));
                HONEST
            },
        },
        Attack {
            what: "a package that does not end where it should",
            words: &["app-1-1.noarch"],
            arm: |world| {
                change_app(world, |bytes| bytes.resize(bytes.len() + (64 << 20), 0));
                HONEST
            },
        },
        Attack {
            what: "another package under the wanted name, well signed",
            words: &["app-1-1.noarch", "old-1-1.noarch"],
            arm: |world| {
                let bytes = world.rpm(package("old", "1"), true);
                let mut record = record(world, "base", "app-1-1.noarch.rpm", &bytes);
                record.nevra.name = "app".to_owned();
                record.provides.clear();
                Plain::base(world).publish_records(11, &[record], &world.signer);
                HONEST
            },
        },
        Attack {
            what: "another version under the wanted one, well signed",
            words: &["app-7-1.noarch", "app-1-1.noarch"],
            arm: |world| {
                let mut record = record(world, "base", "app-7-1.noarch.rpm", &app(world));
                record.nevra.evr = Evr::new(None, "7", "1");
                Plain::base(world).publish_records(11, &[record], &world.signer);
                HONEST
            },
        },
    ]);
}

/// What only the holder of the key could make: mistakes and old tools of a publisher, and what somebody did who
/// found them.
#[test]
fn headers_and_payloads() {
    refused(&[
        Attack {
            what: "file lists of another day, well signed",
            words: &["filelists", "no package matches"],
            arm: |world| {
                let base = Plain::base(world);
                let old = base.part("filelists");
                base.publish(
                    11,
                    &[("app-2-1.noarch.rpm", world.rpm(package("app", "2"), true))],
                    &world.signer,
                );
                base.replace_part("filelists", "xml", old.as_bytes(), "");
                &["install", "/usr/share/app/version/of/another/day"]
            },
        },
        Attack {
            what: "a payload that only MD5 and SHA-1 vouch for",
            words: &["app-1-1.noarch", "no SHA-256 digest of its payload"],
            arm: |world| {
                let weak = forged(&app(world), Some(&world.signer), |header| {
                    header.retain(|tag, _| ![tag::PAYLOADSHA256, tag::PAYLOADSHA256ALT].contains(tag));
                });
                publish_app(world, weak);
                HONEST
            },
        },
        Attack {
            what: "a header that only SHA-1 vouches for",
            words: &["app-1-1.noarch", "no SHA-256 digest of its header"],
            arm: |world| {
                let bytes = app(world);
                let weak = signature_header(&bytes, |entries| {
                    entries.retain(|tag, _| *tag != tag::SHA256HEADER);
                });
                publish_app(world, weak);
                HONEST
            },
        },
        Attack {
            what: "entries behind the region of the header, which no signature covers",
            words: &["base", "HEADERIMMUTABLE does not end where the header ends"],
            arm: |world| {
                let bytes = app(world);
                let package = PackageFile::parse(&bytes).expect("a package");
                let mut more = HeaderBuilder::new();
                more.string(tag::PREIN, "touch /owned");
                let header = more.append_to(&package.header);
                let evil =
                    [&bytes[..package.header_offset], &header, &bytes[package.payload_offset..]].concat();
                let mut record = record(world, "base", "app-1-1.noarch.rpm", &bytes);
                (record.checksum, record.package_size) = (Digest::of(&evil), evil.len() as u64);
                fs::write(world.repository("base").join("packages/app-1-1.noarch.rpm"), &evil)
                    .expect("a file");
                Plain::base(world).publish_records(11, &[record], &world.signer);
                HONEST
            },
        },
        Attack {
            what: "entries behind the region of the signature header",
            words: &["signature header", "does not"],
            arm: |world| {
                let bytes = app(world);
                let package = PackageFile::parse(&bytes).expect("a package");
                let mut more = HeaderBuilder::new();
                more.number(tag::INSTALLTIME, 1);
                let mut signature = more.append_to(&package.signature);
                signature.resize(signature.len().next_multiple_of(8), 0);
                let evil = [&bytes[..LEAD], &signature, &bytes[package.header_offset..]].concat();
                let mut record = record(world, "base", "app-1-1.noarch.rpm", &bytes);
                (record.checksum, record.package_size) = (Digest::of(&evil), evil.len() as u64);
                fs::write(world.repository("base").join("packages/app-1-1.noarch.rpm"), &evil)
                    .expect("a file");
                Plain::base(world).publish_records(11, &[record], &world.signer);
                HONEST
            },
        },
        Attack {
            what: "a tag of the signature header that is of another type than it must be",
            words: &["app-1-1.noarch", "signature header", "not what it should be"],
            arm: |world| {
                let evil = signature_header(&app(world), |entries| {
                    entries.insert(tag::SHA1HEADER, Value::Bin(vec![1; 40]));
                });
                publish_app(world, evil);
                HONEST
            },
        },
        Attack {
            what: "a tag of the database in the signature header",
            words: &["app-1-1.noarch"],
            arm: |world| {
                let evil = forged(&app(world), Some(&world.signer), |header| {
                    header.insert(tag::SHA256HEADER, Value::String("0".repeat(64)));
                });
                publish_app(world, evil);
                HONEST
            },
        },
        Attack {
            what: "a file list that leads out of the root",
            words: &["app-1-1.noarch", ".."],
            arm: |world| {
                let evil = forged(&app(world), Some(&world.signer), |header| {
                    let up = vec!["/usr/share/".to_owned(), "/usr/share/../../../../owned/".to_owned()];
                    header.insert(tag::DIRNAMES, Value::StringArray(up));
                });
                let mut record = record(world, "base", "app-1-1.noarch.rpm", &app(world));
                (record.checksum, record.package_size) = (Digest::of(&evil), evil.len() as u64);
                fs::write(world.repository("base").join("packages/app-1-1.noarch.rpm"), &evil)
                    .expect("a file");
                Plain::base(world).publish_records(11, &[record], &world.signer);
                HONEST
            },
        },
        Attack {
            what: "a member of the archive that is larger than the header says",
            words: &["app-1-1.noarch", "4294967295 bytes"],
            arm: |world| {
                let payload = member("./usr/share/app/version", 0o100_644, u32::MAX);
                publish_app(world, with_payload(world, &app(world), &payload));
                HONEST
            },
        },
        Attack {
            what: "a member of the archive that the header does not have",
            words: &["app-1-1.noarch", "etc/cron.d/evil is not in the header"],
            arm: |world| {
                let payload = member("./etc/cron.d/evil", 0o100_644, 0);
                publish_app(world, with_payload(world, &app(world), &payload));
                HONEST
            },
        },
    ]);
}
