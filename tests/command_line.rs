//! What a person or a script meets on the command line besides errors in files: a host where nothing was built
//! yet, results that nobody reads to the end, numbers that cannot be meant, JSON.

#[allow(dead_code)] // Made for several test programs.
mod support;

use lazuli_fs as fs;
use std::process::Stdio;
use support::{Package, World, stderr};

fn hello() -> World {
    World::new(&[Package::new("hello").file("/usr/lib/hello/word", "hello\n")])
}

#[test]
fn doctor_is_content_with_a_host_where_nothing_was_built_yet() {
    let world = hello();
    assert!(!world.path("store").exists());
    let output = world.run(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("cannot make a directory"), "{text}");
    assert!(text.contains("user namespaces"), "{text}");
}

#[test]
fn doctor_names_a_store_that_cannot_be() {
    let world = hello();
    world.write("file", "");
    let output = world.run(&["--store", "file/store", "doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL  store") && text.contains("set LAZULI_STORE"), "{text}");
    assert!(!text.contains("check the network"), "the mirror is not to blame: {text}");
}

#[test]
fn results_that_nobody_reads_end_the_run_without_a_crash() {
    let world = hello();
    world.fine(&["lock"]);
    for args in [["component", "list"], ["image", "list"]] {
        let mut command = world.command(&args);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("lazuli starts");
        assert_eq!(output.status.code(), Some(141), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn results_that_cannot_be_written_are_an_error() {
    let world = hello();
    world.fine(&["lock"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = world.command(&["component", "list"]).stdout(full).output().expect("lazuli starts");
    support::assert_failed(&output, &["cannot write to standard output", "No space left"]);
}

#[test]
fn numbers_that_cannot_be_meant_are_refused_before_anything_is_built() {
    let world = hello();
    for args in [
        ["run", "small", "--memory", "0"],
        ["run", "small", "--cpus", "0"],
        ["run", "small", "--disk", "99999999999"],
        ["run", "small", "--timeout", "0"],
        ["store", "gc", "--days", "99999999999999999"],
    ] {
        let output = world.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("is not in"), "{args:?}: {}", stderr(&output));
    }
    assert!(!world.path("store").exists());
}

#[test]
fn json_where_a_script_would_want_it() {
    let world = hello();
    world.fine(&["lock"]);
    let json = |args: &[&str]| {
        let text = world.fine(args);
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    };
    assert_eq!(json(&["image", "list", "--json"])[0]["name"], "small");
    assert_eq!(json(&["component", "list", "--json"])[0]["name"], "hello");
    assert!(json(&["store", "gc", "--json"])["removed"].is_u64());
    assert_eq!(json(&["store", "verify", "--json"])["damaged"], serde_json::json!([]));
}

#[test]
fn a_download_that_came_to_nothing_is_not_reported_as_one() {
    let world = hello();
    world.fine(&["lock"]);
    let deb = world.path("mirror/debian/pool/main/hello.deb");
    fs::remove_file(deb).expect("the package goes from the mirror");
    let output = world.run(&["--locked", "build"]);
    support::assert_failed(&output, &["no longer carries"]);
    assert!(!stderr(&output).contains("1 files"), "{}", stderr(&output));
}

/// The README's first command is `cargo run --release -- run core`, whatever other programs the workspace has.
#[test]
fn cargo_run_in_the_checkout_means_lazuli() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo starts");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let run = metadata["workspace_default_members"].as_array().expect("a list");
    assert!(run.len() == 1 && run[0].as_str().is_some_and(|id| id.contains("crates/lazuli#")), "{run:?}");
}
