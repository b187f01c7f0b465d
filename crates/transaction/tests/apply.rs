//! What becomes of files.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_rpm::FileFlags;
use lazuli_rpmdb::{Access, Change, Database};
use lazuli_transaction::{Element, Ended, Error, Note, Options, Problem, Scripts, Silent, Stored};
use lazuli_tree::{Kind, Node};
use support::{Lab, Log, assert_no_strays, hnum, open, packages, run, tree};

fn content(lab: &Lab, path: &str) -> Option<String> {
    fs::read_to_string(lab.root().join(path.trim_start_matches('/'))).ok()
}

fn problems(result: Result<lazuli_transaction::Report, Error>) -> Vec<Problem> {
    match result {
        Err(Error::Problems(problems)) => problems.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn install_upgrade_erase() {
    let lab = Lab::new();
    let one = lab
        .spec("a", "1")
        .directory("/usr/share/a")
        .file("/usr/share/a/old", "old")
        .file("/usr/share/a/both", "one")
        .file("/usr/share/a/x", "linked")
        .link("/usr/share/a/y", "/usr/share/a/x")
        .symlink("/usr/share/a/s", "both")
        .entry("/usr/share/a/suid", lab.spec("", "").node("s").with_mode(0o4755), FileFlags::NONE)
        .ghost("/var/log/a")
        .build();
    let two = lab.spec("a", "2").directory("/usr/share/a").file("/usr/share/a/both", "two").build();
    lab.run(vec![Element::install(open(&one))]).unwrap();
    let first = tree(&lab.root());
    assert_eq!(first["/usr/share/a/x"], "644 0:0 1600000000 linked = /usr/share/a/x /usr/share/a/y");
    assert_eq!(first["/usr/share/a/s"], "-> both 0:0");
    assert_eq!(first["/usr/share/a/suid"], "4755 0:0 1600000000 s");
    assert_eq!(first["/usr/share"], "directory 755 0:0");
    assert!(!first.contains_key("/var/log/a"));
    let report = lab.run(vec![Element::replace(open(&two), vec![hnum(&lab.root(), "a")])]).unwrap();
    assert_eq!(report.elements[0].removed[0].0, "a-1-1.noarch");
    let second = tree(&lab.root());
    assert_eq!(second["/usr/share/a/both"], "644 0:0 1600000000 two");
    assert!(!second.contains_key("/usr/share/a/old") && !second.contains_key("/usr/share/a/y"));
    assert_eq!(packages(&lab.root()), ["a-2-1.noarch [00]"]);
    lab.run(vec![Element::erase(hnum(&lab.root(), "a"))]).unwrap();
    assert!(!tree(&lab.root()).keys().any(|p| p.starts_with("/usr/share/a")));
    assert!(packages(&lab.root()).is_empty());
    assert_no_strays(&lab.root());
}

#[test]
fn config_files_keep_what_people_wrote() {
    for (noreplace, suffix, winner) in [(true, "rpmnew", "mine"), (false, "rpmsave", "two")] {
        let lab = Lab::new();
        let one = lab.spec("a", "1").config("/etc/a", "one", noreplace).config("/etc/b", "b", noreplace);
        let two = lab.spec("a", "2").config("/etc/a", "two", noreplace).config("/etc/b", "b", noreplace);
        let (one, two) = (one.build(), two.build());
        lab.run(vec![Element::install(open(&one))]).unwrap();
        fs::write(lab.root().join("etc/a"), "mine").unwrap();
        fs::write(lab.root().join("etc/b"), "mine too").unwrap();
        let report = lab.run(vec![Element::replace(open(&two), vec![hnum(&lab.root(), "a")])]).unwrap();
        assert_eq!(content(&lab, "/etc/a").as_deref(), Some(winner));
        let other = if noreplace { "two" } else { "mine" };
        assert_eq!(content(&lab, &format!("/etc/a.{suffix}")).as_deref(), Some(other));
        // The packages did not change it.
        assert_eq!(content(&lab, "/etc/b").as_deref(), Some("mine too"));
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
        let report = lab.run(vec![Element::erase(hnum(&lab.root(), "a"))]).unwrap();
        assert_eq!(content(&lab, "/etc/b.rpmsave").as_deref(), Some("mine too"));
        assert_eq!(content(&lab, "/etc/b"), None);
        assert!(report.notes.iter().any(|n| matches!(n, Note::Saved { path, .. } if path == "/etc/b")));
        assert_no_strays(&lab.root());
    }
}

#[test]
fn a_config_file_that_nobody_owned_becomes_rpmorig() {
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join("etc")).unwrap();
    fs::write(lab.root().join("etc/a"), "mine").unwrap();
    fs::write(lab.root().join("etc/plain"), "mine").unwrap();
    let package = lab.spec("a", "1").config("/etc/a", "one", false).file("/etc/plain", "theirs").build();
    lab.run(vec![Element::install(open(&package))]).unwrap();
    assert_eq!(content(&lab, "/etc/a").as_deref(), Some("one"));
    assert_eq!(content(&lab, "/etc/a.rpmorig").as_deref(), Some("mine"));
    assert_eq!(content(&lab, "/etc/plain").as_deref(), Some("theirs"));
}

#[test]
fn conflicts_are_refused_and_equal_files_are_shared() {
    let lab = Lab::new();
    let a = lab.spec("a", "1").file("/usr/f", "same").file("/usr/g", "a").build();
    let b = lab.spec("b", "1").file("/usr/f", "same").build();
    let c = lab.spec("c", "1").file("/usr/g", "c").build();
    let found = problems(lab.run(vec![Element::install(open(&a)), Element::install(open(&c))]));
    assert!(matches!(&found[0], Problem::Conflict { path, installed: false, .. } if path == "/usr/g"));
    lab.run(vec![Element::install(open(&a)), Element::install(open(&b))]).unwrap();
    let before = tree(&lab.root());
    let found = problems(lab.run(vec![Element::install(open(&c))]));
    assert!(matches!(&found[0], Problem::Conflict { path, installed: true, .. } if path == "/usr/g"));
    assert_eq!(tree(&lab.root()), before, "a refused transaction changed something");
    // A shared file stays until its last owner goes.
    lab.run(vec![Element::erase(hnum(&lab.root(), "a"))]).unwrap();
    assert_eq!(content(&lab, "/usr/f").as_deref(), Some("same"));
    lab.run(vec![Element::erase(hnum(&lab.root(), "b"))]).unwrap();
    assert_eq!(content(&lab, "/usr/f"), None);
}

#[test]
fn a_replaced_file_is_not_removed_with_its_first_owner() {
    let lab = Lab::new();
    let a = lab.spec("a", "1").file("/usr/f", "a").file("/usr/g", "a").build();
    let b = lab.spec("b", "1").file("/usr/f", "b").build();
    lab.run(vec![Element::install(open(&a))]).unwrap();
    let options = Options { replace_files: true, ..Options::default() };
    run(&lab.root(), vec![Element::install(open(&b))], options, &mut Log::none()).unwrap();
    assert_eq!(packages(&lab.root()), ["a-1-1.noarch [10]", "b-1-1.noarch [0]"]);
    lab.run(vec![Element::erase(hnum(&lab.root(), "a"))]).unwrap();
    assert_eq!(content(&lab, "/usr/f").as_deref(), Some("b"));
}

#[test]
fn merged_usr_is_one_place() {
    let lab = Lab::new();
    let base =
        lab.spec("base", "1").directory("/usr/bin").symlink("/bin", "usr/bin").directory("/var/run2").build();
    // Its path leads through a link that comes with another package.
    let shell = lab.spec("shell", "1").file("/bin/sh", "shell").requires("base").build();
    lab.run(vec![Element::install(open(&shell)), Element::install(open(&base))]).unwrap();
    assert_eq!(content(&lab, "/usr/bin/sh").as_deref(), Some("shell"));
    let other = lab.spec("other", "1").file("/usr/bin/sh", "another shell").build();
    let found = problems(lab.run(vec![Element::install(open(&other))]));
    assert!(matches!(&found[0], Problem::Conflict { other, .. } if other == "shell-1-1.noarch"));
    // An upgrade that says the other name of the place keeps the file.
    let moved = lab.spec("shell", "2").file("/usr/bin/sh", "new shell").build();
    lab.run(vec![Element::replace(open(&moved), vec![hnum(&lab.root(), "shell")])]).unwrap();
    assert_eq!(content(&lab, "/usr/bin/sh").as_deref(), Some("new shell"));
}

#[test]
fn a_link_that_a_user_made_is_not_followed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join("srv/target")).unwrap();
    fs::symlink("target", lab.root().join("srv/link")).unwrap();
    let uid = Some(rustix::fs::Uid::from_raw(1234));
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(rustix::fs::CWD, lab.root().join("srv/link"), uid, None, flags).unwrap();
    let a = lab.spec("a", "1").file("/srv/link/f", "a").build();
    let found = problems(lab.run(vec![Element::install(open(&a))]));
    assert!(matches!(&found[0], Problem::Link { owner: 1234, .. }), "{found:?}");
}

#[test]
fn links_do_not_lead_out_of_the_root() {
    let lab = Lab::new();
    fs::symlink(lab.dir.path().join("outside"), lab.root().join("out")).unwrap();
    fs::symlink("../../..", lab.root().join("up")).unwrap();
    fs::create_dir_all(lab.dir.path().join("outside")).unwrap();
    let a = lab.spec("a", "1").file("/up/f", "a").build();
    lab.run(vec![Element::install(open(&a))]).unwrap();
    assert_eq!(content(&lab, "/f").as_deref(), Some("a"));
    let b = lab.spec("b", "1").file("/out/f", "a").build();
    lab.run(vec![Element::install(open(&b))]).unwrap();
    assert!(!lab.dir.path().join("outside/f").exists());
    // The target of a link is a path in the root, whatever there is outside.
    let inside = lab.dir.path().join("outside");
    let inside = lab.root().join(inside.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(inside.join("f")).unwrap(), "a");
}

#[test]
fn a_directory_is_not_replaced_by_a_link_without_a_script() {
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join("srv/d/of-mine")).unwrap();
    let plain = lab.spec("a", "1").symlink("/srv/d", "elsewhere").build();
    let found = problems(lab.run(vec![Element::install(open(&plain))]));
    assert!(matches!(&found[0], Problem::Directory { path, .. } if path == "/srv/d"));
    // With a script that would have to make room, and did not, nothing is lost either.
    let scripted = lab.spec("b", "1").symlink("/srv/d", "elsewhere").all_scripts().build();
    lab.run(vec![Element::install(open(&scripted))]).unwrap();
    assert_eq!(tree(&lab.root())["/srv/d"], "-> elsewhere 0:0");
    assert!(lab.root().join("srv/d.rpmmoved/of-mine").is_dir());
}

#[test]
fn a_failed_pre_leaves_its_package_out() {
    let lab = Lab::new();
    let one = lab.spec("a", "1").file("/usr/a", "one").build();
    let two = lab.spec("a", "2").file("/usr/a", "two").all_scripts().build();
    let other = lab.spec("b", "1").file("/usr/b", "b").build();
    lab.run(vec![Element::install(open(&one))]).unwrap();
    let elements =
        vec![Element::replace(open(&two), vec![hnum(&lab.root(), "a")]), Element::install(open(&other))];
    let report = run(&lab.root(), elements, Options::default(), &mut Log::failing("%pre(")).unwrap();
    assert_eq!(report.elements.len(), 1);
    assert!(report.notes.iter().any(|n| matches!(n, Note::ElementSkipped { .. })));
    assert_eq!(content(&lab, "/usr/a").as_deref(), Some("one"));
    assert_eq!(packages(&lab.root()), ["a-1-1.noarch [0]", "b-1-1.noarch [0]"]);
    assert_no_strays(&lab.root());
}

#[test]
fn a_failed_pre_of_the_only_package_leaves_a_new_database_as_it_is() {
    let lab = Lab::new();
    drop(Database::open(&lab.root(), Access::Write).unwrap());
    let a = lab.spec("a", "1").file("/usr/a", "a").all_scripts().build();
    let elements = vec![Element::install(open(&a))];
    let report = run(&lab.root(), elements, Options::default(), &mut Log::failing("%pre(")).unwrap();
    assert!(report.elements.is_empty());
    assert!(!lazuli_transaction::pending(&lab.root()));
    assert!(fs::metadata(lab.root().join("usr/lib/sysimage/rpm/rpmdb.sqlite-wal")).is_err());
    // Bytes 18 and 19 of a database are 2 in write-ahead mode.
    let bytes = fs::read(lab.root().join("usr/lib/sysimage/rpm/rpmdb.sqlite")).unwrap();
    assert_eq!(bytes[18..20], [1, 1]);
}

/// Stops with an error at a script, as a process that is killed there.
struct Stop(&'static str);

impl Scripts for Stop {
    fn run(&mut self, script: &Stored, _: &mut dyn FnMut(&str)) -> Result<Ended, Error> {
        if script.package == self.0 {
            let reason = "stopped".to_owned();
            return Err(Error::Script { script: script.kind.clone(), reason });
        }
        Ok(Ended::Success)
    }
}

#[test]
fn a_row_that_was_lost_after_its_package_was_done_comes_again() {
    let lab = Lab::new();
    let a = lab.spec("a", "1").file("/usr/a", "a").build();
    let mut b = lab.spec("b", "1").file("/usr/b", "b").requires("a");
    b.builder.scriptlets.pre = Some(lazuli_rpm::Scriptlet::shell("true"));
    let elements = vec![Element::install(open(&a)), Element::install(open(&b.build()))];
    run(&lab.root(), elements, Options::default(), &mut Stop("b-1-1.noarch")).unwrap_err();
    assert_eq!(packages(&lab.root()), ["a-1-1.noarch [0]"]);
    // The journal says that a is done.
    let mut database = Database::open(&lab.root(), Access::Write).unwrap();
    let remove = vec![database.named("a").unwrap()[0].hnum];
    database.apply(&Change { remove, ..Change::default() }).unwrap();
    drop(database);
    fs::remove_file(lab.root().join("usr/a")).unwrap();
    lazuli_transaction::recover_with(&lab.root(), &mut Log::none(), &mut Silent).unwrap();
    assert_eq!(packages(&lab.root()), ["a-1-1.noarch [0]", "b-1-1.noarch [0]"]);
    assert_no_strays(&lab.root());
}

#[test]
fn documentation_and_excluded_paths_are_left_out() {
    let lab = Lab::new();
    let doc = lab.spec("", "").node("doc");
    let a = lab
        .spec("a", "1")
        .file("/usr/bin/a", "a")
        .entry("/usr/share/doc/a", doc, FileFlags::DOC)
        .file("/usr/share/locale/de", "de")
        .build();
    let options =
        Options { nodocs: true, exclude_paths: vec!["/usr/share/locale".into()], ..Options::default() };
    run(&lab.root(), vec![Element::install(open(&a))], options, &mut Log::none()).unwrap();
    assert_eq!(packages(&lab.root()), ["a-1-1.noarch [022]"]);
    assert!(!tree(&lab.root()).keys().any(|p| p.starts_with("/usr/share")));
}

#[test]
fn owners_are_those_of_the_root() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join("etc")).unwrap();
    fs::write(lab.root().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nweb:x:333:0::/:/bin/sh\n").unwrap();
    fs::write(lab.root().join("etc/group"), "root:x:0:\nweb:x:444:\n").unwrap();
    let node = lab.spec("", "").node("w");
    let a = lab
        .spec("a", "1")
        .entry("/srv/web", node.clone().with_owner("web", "web").with_mode(0o2755), FileFlags::NONE)
        .entry("/srv/no", node.with_owner("nobody-knows", "web").with_mode(0o4755), FileFlags::NONE)
        .entry("/srv/dir", Node::directory().with_owner("web", "root"), FileFlags::NONE)
        .build();
    let report = lab.run(vec![Element::install(open(&a))]).unwrap();
    let tree = tree(&lab.root());
    assert_eq!(tree["/srv/web"], "2755 333:444 1600000000 w");
    // What belongs to nobody is not a program that gives root's rights.
    assert_eq!(tree["/srv/no"], "755 0:444 1600000000 w");
    assert_eq!(tree["/srv/dir"], "directory 755 333:0");
    assert!(report.notes.iter().any(|n| matches!(n, Note::Owner { name, .. } if name == "nobody-knows")));
}

#[test]
fn a_package_that_was_changed_since_it_was_verified_changes_nothing() {
    let lab = Lab::new();
    let noise: String = (0_u64..4000).map(|i| (i * i * 7919 % 104_729).to_string()).collect();
    let path = lab.spec("a", "1").file("/usr/f", &noise).build();
    let package = open(&path);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2000;
    bytes[last..last + 500].iter_mut().for_each(|b| *b ^= 0xff);
    // The same file, not another one under its name.
    fs::write(&path, &bytes).unwrap();
    lab.run(vec![Element::install(package)]).unwrap_err();
    assert!(!tree(&lab.root()).contains_key("/usr/f") && packages(&lab.root()).is_empty());
    assert_no_strays(&lab.root());
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused_unless_the_package_brings_the_directory() {
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join("srv")).unwrap();
    fs::write(lab.root().join("srv/d"), "mine").unwrap();
    let without = lab.spec("a", "1").file("/srv/d/f", "a").build();
    let found = problems(lab.run(vec![Element::install(open(&without))]));
    assert!(matches!(&found[0], Problem::Obstacle { obstacle, .. } if obstacle == "/srv/d"));
    let with = lab.spec("a", "2").directory("/srv/d").file("/srv/d/f", "a").build();
    lab.run(vec![Element::install(open(&with))]).unwrap();
    assert_eq!(content(&lab, "/srv/d/f").as_deref(), Some("a"));
    assert_eq!(content(&lab, "/srv/d.rpmorig").as_deref(), Some("mine"));
}

#[test]
fn fifos_devices_and_capabilities() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let lab = Lab::new();
    let mut spec = lab
        .spec("a", "1")
        .entry("/run/fifo", Node::new(Kind::Fifo, 0o600), FileFlags::NONE)
        .entry("/dev/null", Node::new(Kind::CharDevice { major: 1, minor: 3 }, 0o666), FileFlags::NONE)
        .file("/usr/bin/ping", "ping");
    spec.builder.files[2].capabilities = Some("cap_net_raw=ep".into());
    let package = spec.build();
    let report = lab.run(vec![Element::install(open(&package))]).unwrap();
    assert!(tree(&lab.root())["/run/fifo"].starts_with("special 600"));
    // A sandbox may forbid devices: then it is said.
    let device = tree(&lab.root()).contains_key("/dev/null");
    let said = report.notes.iter().any(|n| matches!(n, Note::Skipped { path, .. } if path == "/dev/null"));
    assert_ne!(device, said);
    let mut value = [0_u8; 64];
    let path = lab.root().join("usr/bin/ping");
    let size = rustix::fs::getxattr(&path, "security.capability", &mut value).unwrap();
    assert_eq!(Some(value[..size].to_vec()), lazuli_rpm::caps::parse("cap_net_raw=ep"));
}

#[test]
fn a_signature_is_asked_for() {
    let lab = Lab::new();
    let path = lab.spec("a", "1").file("/usr/f", "f").build();
    let keys = lazuli_rpm::KeyRing::default();
    let refused = lazuli_transaction::Package::open(&path, lazuli_transaction::Check::Signature(&keys));
    assert!(refused.unwrap_err().to_string().contains("not signed"));
}

#[test]
fn nothing_happens_while_a_transaction_is_interrupted() {
    let lab = Lab::new();
    let path = lab.spec("a", "1").file("/usr/f", "f").build();
    fs::create_dir_all(lab.root().join("var/lib/lapis/txn/0000000001-000000000")).unwrap();
    let refused = lab.run(vec![Element::install(open(&path))]);
    assert!(matches!(refused, Err(Error::Pending { .. })), "{refused:?}");
    // It had not come as far as a journal: there is nothing to do but to forget it.
    lazuli_transaction::recover(&lab.root(), &mut lazuli_transaction::Silent).unwrap();
    lab.run(vec![Element::install(open(&path))]).unwrap();
}
