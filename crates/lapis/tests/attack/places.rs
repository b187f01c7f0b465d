//! Servers that have no end, this machine's own files, and repositories that compete.

use super::{Attack, HONEST, Plain, change, edit_repo, files, forged, leak, refused, second, signer, stage};
use crate::server::{Answer, Asked, Server};
use crate::support::{World, package};
use lazuli_fs as fs;
use lazuli_rpm::Signer;
use std::path::Path;
use std::time::Duration;

/// The repository over a server that answers as `decide` says, with little patience.
fn serve(world: &World, decide: impl Fn(&Path, &Asked) -> Answer + Send + Sync + 'static) {
    let root = world.repository("base");
    let server = Server::start(move |asked| decide(&root, asked));
    let text = format!(
        "[base]\nname=base\nbaseurl={}\ngpgkey=file:///etc/pki/key\nmetadata_expire=0\nretries=1\ntimeout=1\n\
         minrate=1000\n",
        server.url
    );
    fs::write(world.root().join("etc/yum.repos.d/base.repo"), text).expect("a file");
}

fn file(root: &Path, asked: &Asked) -> Answer {
    fs::read(root.join(asked.path.trim_start_matches('/'))).map_or(Answer::Status(404), Answer::Content)
}

#[test]
fn servers() {
    refused(&[
        Attack {
            what: "a list of the metadata without end",
            words: &["repomd.xml", "more"],
            arm: |world| {
                serve(world, |root, asked| {
                    if asked.path.ends_with("repomd.xml") { Answer::Endless } else { file(root, asked) }
                });
                HONEST
            },
        },
        Attack {
            what: "package records without end",
            words: &["primary", "more"],
            arm: |world| {
                serve(world, |root, asked| {
                    if asked.path.contains("primary") { Answer::Endless } else { file(root, asked) }
                });
                world.run(&["clean", "all"]).ok();
                HONEST
            },
        },
        Attack {
            what: "a package without end",
            words: &["app-1-1.noarch", "more"],
            arm: |world| {
                serve(
                    world,
                    |root, asked| {
                        if asked.path.contains(".rpm") { Answer::Endless } else { file(root, asked) }
                    },
                );
                HONEST
            },
        },
        Attack {
            what: "a server that hardly moves",
            words: &["cannot reach", "stalled"],
            arm: |world| {
                serve(world, |_, _| Answer::Trickle(vec![b' '; 1000], Duration::from_millis(50)));
                HONEST
            },
        },
        Attack {
            what: "a server that says nothing",
            words: &["cannot reach", "timed out"],
            arm: |world| {
                serve(world, |_, _| Answer::Silent(vec![b' '; 1000], 10));
                HONEST
            },
        },
    ]);
}

#[test]
fn what_lies_on_this_machine() {
    let mut attacks = vec![
        Attack {
            what: "a package that changed between its download and its use",
            words: &["app-1-1.noarch"],
            arm: |world| {
                world.yes(&["--downloadonly", "install", "app"]).ok();
                let blobs = world.root().join("var/cache/lapis/store/blobs");
                let rpm = files(&blobs)
                    .into_iter()
                    .find(|path| fs::read(path).expect("a file").starts_with(&[0xed, 0xab, 0xee, 0xdb]));
                let rpm = rpm.expect("the package");
                let times = fs::metadata(&rpm).expect("a file").modified().expect("a time");
                fs::set_mode(&rpm, 0o644).expect("a mode");
                change(&rpm, |bytes| *bytes.last_mut().unwrap() ^= 1);
                let file = std::fs::File::options().write(true).open(&rpm).expect("a file");
                file.set_modified(times).expect("a time");
                &["-C", "install", "app"]
            },
        },
        Attack {
            what: "an unsigned package file",
            words: &["evil-1-1.noarch.rpm", "the package is not signed"],
            arm: |world| {
                let rpm = world.rpm(package("evil", "1"), false);
                fs::write(world.root().join("evil-1-1.noarch.rpm"), rpm).expect("a file");
                leak(vec!["install".into(), file_name(world, "evil-1-1.noarch.rpm")])
            },
        },
        Attack {
            what: "a package file that somebody else signed",
            words: &["evil-1-1.noarch.rpm", "not among the trusted keys"],
            arm: |world| {
                let rpm = forged(&world.rpm(package("evil", "1"), true), Some(&signer()), |_| {});
                fs::write(world.root().join("evil-1-1.noarch.rpm"), rpm).expect("a file");
                leak(vec!["install".into(), file_name(world, "evil-1-1.noarch.rpm")])
            },
        },
        Attack {
            what: "the id of a repository that leads out of the cache",
            words: &["../../x"],
            arm: |world| {
                let path = format!("../../x,file://{}", world.repository("base").display());
                leak(vec!["--repofrompath".into(), path, "install".into(), "app".into()])
            },
        },
    ];
    if rustix::process::geteuid().is_root() {
        attacks.push(Attack {
            what: "a directory on the way that a user made a link of",
            words: &["/usr/share/app", "1234"],
            arm: |world| {
                let victim = world.root().join("victim");
                fs::create_dir_all(&victim).expect("a folder");
                let link = world.root().join("usr/share/app");
                fs::symlink("../../victim", &link).expect("a link");
                let uid = Some(rustix::fs::Uid::from_raw(1234));
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(rustix::fs::CWD, &link, uid, None, flags).expect("an owner");
                HONEST
            },
        });
    } else {
        println!("skipped: links of other users need root");
    }
    refused(&attacks);
}

fn file_name(world: &World, name: &str) -> String {
    world.root().join(name).display().to_string()
}

#[test]
fn another_repository_does_not_take_a_name_away() {
    let world = stage();
    second(&world, &[]);
    let theirs = {
        let rpm = |signer: &Signer| forged(&world.rpm(package("app", "9"), true), Some(signer), |_| {});
        let theirs = signer();
        let plain = Plain { world: &world, id: "evil" };
        plain.publish(2, &[("app-9-1.noarch.rpm", rpm(&theirs))], &theirs);
        theirs
    };
    fs::write(world.root().join("etc/pki/evil"), theirs.public_armored().expect("a key")).expect("a file");
    // The repository that matters says so; the other one has the higher version.
    edit_repo(&world, |text| text + "priority=10\n");
    world.yes(&["install", "app"]).ok();
    assert_eq!(world.installed(), "app-1-1.noarch lib-1-1.noarch");
    world.yes(&["upgrade"]).ok();
    assert_eq!(world.installed(), "app-1-1.noarch lib-1-1.noarch");
    // It is there nevertheless for who asks for it.
    world.yes(&["--repo", "evil", "install", "app"]).ok();
    assert!(world.installed().starts_with("app-9-1.noarch"), "{}", world.installed());
}
