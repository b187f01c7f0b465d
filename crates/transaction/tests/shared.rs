//! Paths that several packages have: of two ELF classes, and directories.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_transaction::{Element, Error, Options};
use std::path::PathBuf;
use support::{Lab, Log, hnum, open, packages, run, tree};

/// The first bytes of a program: 32-bit or 64-bit, for a machine that has both.
fn elf(wide: bool) -> String {
    let class = if wide { '\x02' } else { '\x01' };
    format!("\x7fELF{class}\x01\x01{}\x02\0\x3e\0 {}", "\0".repeat(9), if wide { "wide" } else { "narrow" })
}

/// Two packages with a program of the same path, of different classes and with a file of their own.
fn both(lab: &Lab) -> (PathBuf, PathBuf) {
    let narrow = lab.spec("narrow", "1").file("/usr/bin/tool", &elf(false)).file("/usr/lib/n", "n").build();
    let wide = lab.spec("wide", "1").file("/usr/bin/tool", &elf(true)).file("/usr/lib64/w", "w").build();
    (narrow, wide)
}

fn tool(lab: &Lab) -> Option<String> {
    let content = fs::read_to_string(lab.root().join("usr/bin/tool")).ok()?;
    content.rsplit(' ').next().map(str::to_owned)
}

#[test]
fn of_two_classes_the_wide_one_wins_in_any_order_and_outlives_the_other() {
    for order in 0..4 {
        let lab = Lab::new();
        let (narrow, wide) = both(&lab);
        let (n, w) = (|| Element::install(open(&narrow)), || Element::install(open(&wide)));
        match order {
            0 => drop(lab.run(vec![n(), w()]).unwrap()),
            1 => drop(lab.run(vec![w(), n()]).unwrap()),
            2 => {
                lab.run(vec![n()]).unwrap();
                assert_eq!(tool(&lab).as_deref(), Some("narrow"));
                lab.run(vec![w()]).unwrap();
            }
            _ => {
                lab.run(vec![w()]).unwrap();
                lab.run(vec![n()]).unwrap();
            }
        }
        assert_eq!(tool(&lab).as_deref(), Some("wide"), "order {order}");
        // 4 is RPM's mark for a file of the wrong colour.
        assert_eq!(
            packages(&lab.root()),
            ["narrow-1-1.noarch [40]", "wide-1-1.noarch [00]"],
            "order {order}"
        );
        lab.run(vec![Element::erase(hnum(&lab.root(), "narrow"))]).unwrap();
        assert_eq!(tool(&lab).as_deref(), Some("wide"), "order {order}");
        lab.run(vec![Element::erase(hnum(&lab.root(), "wide"))]).unwrap();
        assert_eq!(tool(&lab), None, "order {order}");
    }
}

#[test]
fn the_same_class_conflicts_and_a_class_that_the_machine_lacks_is_left_out() {
    let lab = Lab::new();
    let (narrow, wide) = both(&lab);
    let other = lab.spec("other", "1").file("/usr/bin/tool", &(elf(true) + "!")).build();
    lab.run(vec![Element::install(open(&wide))]).unwrap();
    let refused = lab.run(vec![Element::install(open(&other))]);
    assert!(matches!(refused, Err(Error::Problems(_))), "{refused:?}");
    let lab = Lab::new();
    let options = Options { color: 2, ..Options::default() };
    run(&lab.root(), vec![Element::install(open(&narrow))], options, &mut Log::none()).unwrap();
    assert_eq!(tool(&lab), None);
    assert_eq!(packages(&lab.root()), ["narrow-1-1.noarch [40]"]);
    assert!(tree(&lab.root()).contains_key("/usr/lib/n"));
}

#[test]
fn a_directory_goes_with_its_last_owner_unless_somebody_has_files_in_it() {
    let lab = Lab::new();
    let package = |name: &str| {
        let spec = lab.spec(name, "1").directory("/srv/shared").directory("/srv/shared/deep");
        spec.file(&format!("/srv/shared/deep/{name}"), name).directory("/srv/mine").build()
    };
    let (a, b) = (package("a"), package("b"));
    lab.run(vec![Element::install(open(&a)), Element::install(open(&b))]).unwrap();
    fs::write(lab.root().join("srv/mine/note"), "of the owner").unwrap();
    lab.run(vec![Element::erase(hnum(&lab.root(), "a"))]).unwrap();
    let left = tree(&lab.root());
    assert!(left.contains_key("/srv/shared/deep/b") && !left.contains_key("/srv/shared/deep/a"));
    lab.run(vec![Element::erase(hnum(&lab.root(), "b"))]).unwrap();
    let left = tree(&lab.root());
    assert!(!left.contains_key("/srv/shared"), "{left:?}");
    assert!(left.contains_key("/srv/mine/note"), "{left:?}");
}
