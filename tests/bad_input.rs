//! Bad input ends with a clear message and a status that is not zero, and leaves nothing half-written.
//!
//! Every test has a distribution, an archive, a store and keys of its own below a temporary directory;
//! no test needs a network.

mod support;

use lazuli_fs as fs;
use std::process::Stdio;
use support::{Key, LATER, Package, World, assert_failed, flip, stderr};

fn hello() -> World {
    World::new(&[Package::new("hello").file("/usr/lib/hello/word", "hello\n")])
}

#[test]
fn good_input_is_accepted() {
    let world = hello();
    assert_eq!(world.packages(), ["hello"]);
    world.fine(&["lock"]);
    world.fine(&["lock", "--check"]);
    world.fine(&["build"]);
    assert!(world.path("build/repo/packages/hello-1.0-1.x86_64.rpm").exists());
    world.fine(&["repo", "verify", "build/repo"]);
    world.nothing_is_unfinished();
}

#[test]
fn an_unknown_key_is_named_with_file_line_and_nearest_key() {
    let cases = [
        ("distro/lazuli.toml", "home = ", "hmoe = ", "distro/lazuli.toml:4: ", "`home`"),
        ("distro/lazuli.toml", "components = ", "component = ", "distro/lazuli.toml:9: ", "`components`"),
        ("distro/lazuli.toml", "packages = ", "package = ", "distro/lazuli.toml:13: ", "`packages`"),
        ("distro/components/hello/component.toml", "license", "licence", "component.toml:3: ", "`license`"),
    ];
    for (file, from, to, place, near) in cases {
        let world = hello();
        world.edit(file, from, to);
        let key = to.trim_end_matches(" = ");
        world.fails(&["lock"], &[place, &format!("unknown key `{key}`"), "did you mean", near]);
        world.nothing_was_written();
    }
}

#[test]
fn an_unknown_key_of_an_image_or_the_lock_is_named_too() {
    let world = hello();
    world.fine(&["lock"]);
    world.edit("distro/images/small.toml", "packages", "weak-dependencys = true\npackages");
    world.fails(
        &["build", "small"],
        &["images/small.toml:1: unknown key", "did you mean `weak-dependencies`?"],
    );
    world.edit("distro/images/small.toml", "weak-dependencys = true\n", "");
    let lock = fs::read_to_string(world.path("lazuli.lock")).expect("a lock");
    let line = lock.lines().position(|l| l.starts_with("size = ")).expect("a size") + 1;
    world.edit("lazuli.lock", "\nsize = ", "\nsise = ");
    world.fails(&["build"], &[&format!("lazuli.lock:{line}: unknown key `sise`"), "did you mean `size`?"]);
    assert!(!world.path("build").exists());
}

#[test]
fn a_wrong_type_is_named_with_file_and_line() {
    let world = hello();
    world.edit("distro/lazuli.toml", "version = \"1\"", "version = 1");
    world.fails(&["lock"], &["distro/lazuli.toml:3: ", "integer `1`, expected a string"]);
    let world = hello();
    world.edit("distro/components/hello/component.toml", "[\"hello\"]", "\"hello\"");
    world.fails(&["lock"], &["components/hello/component.toml:2: ", "string \"hello\", expected a sequence"]);
    world.nothing_was_written();
    let world = hello();
    world.fine(&["lock"]);
    world.write("distro/images/small.toml", "packages = []\n[disk]\nesp = 5\n");
    world.fails(&["build", "small"], &["images/small.toml:3: ", "integer `5`"]);
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    let world = hello();
    world.edit("distro/components/hello/component.toml", "packages = [", "packages = ");
    world.fails(&["lock"], &["components/hello/component.toml:2: "]);
    world.nothing_was_written();
}

#[test]
fn a_name_that_leads_nowhere_is_an_error() {
    let built = "kind = \"built\"\npackages = [\"own\"]\nspec = \"own.spec\"\nversion = \"1\"\n\
                 source-date-epoch = 1\ntool-root = \"imgae\"\n";
    let world = hello();
    world.write("distro/components/own/component.toml", built);
    world.fails(&["lock"], &["own/component.toml:3: ", "`own.spec` is not in the component's folder"]);
    world.write("distro/components/own/own.spec", "");
    world.fails(&["lock"], &["own/component.toml:6: ", "no tool root `imgae`", "did you mean `image`?"]);

    let world = hello();
    world.edit("distro/lazuli.toml", "archive.asc", "archief.asc");
    world.fails(&["lock"], &["lazuli.toml:10: ", "`keys/archief.asc` of suite `stable` does not exist"]);

    let world = hello();
    world.edit("distro/lazuli.toml", "packages = [\"tool\"]", "packages = [\"tool\"]\nsuites = [\"stabel\"]");
    world.fails(&["lock"], &["lazuli.toml:14: ", "`stabel`", "did you mean `stable`?"]);

    let world = hello();
    let file = "distro/components/hello/component.toml";
    world.edit(file, "packages = [\"hello\"]", "packages = [\"helo\"]");
    world.fails(&["lock"], &["component `hello`", "`helo`, which no suite has", "did you mean `hello`?"]);
    assert!(!world.path("lazuli.lock").exists());

    let world = hello();
    world.edit("distro/lazuli.toml", "packages = [\"tool\"]", "packages = [\"tol\"]");
    world.fails(&["lock"], &["tool root `image`", "tol"]);
    assert!(!world.path("lazuli.lock").exists());

    let world = hello();
    world.fails(&["build"], &["lazuli.lock does not exist", "run `lazuli lock`"]);
    world.fine(&["lock"]);
    world.fails(&["build", "smal"], &["no image `smal`", "did you mean `small`?"]);
    world.fails(&["component", "show", "helo"], &["no component", "did you mean `hello`?"]);
    world.fails(&["lock", "--update", "helo"], &["`helo`", "did you mean `hello`?"]);
}

#[test]
fn a_mirror_that_cannot_be_reached_is_named() {
    let world = hello();
    let output =
        world.command(&["lock"]).env("LAZULI_MIRROR", "http://127.0.0.1:1/").output().expect("starts");
    assert_failed(
        &output,
        &[
            "cannot reach http://127.0.0.1:1/debian/dists/stable/InRelease",
            "set LAZULI_MIRROR",
            "`lazuli doctor`",
        ],
    );
    world.nothing_was_written();
}

#[test]
fn a_release_signed_by_another_key_is_refused() {
    let world = hello();
    world.release(&Key::new(), LATER);
    world.fails(&["lock"], &["dists/stable/InRelease: signed by ", "only these keys are trusted"]);
    world.nothing_was_written();
}

#[test]
fn a_release_that_was_changed_after_signing_is_refused() {
    let world = hello();
    world.edit("mirror/debian/dists/stable/InRelease", "Codename: stable", "Codename: stablE");
    world.fails(&["lock"], &["dists/stable/InRelease: ", "does not match the text", "LAZULI_MIRROR"]);
    world.nothing_was_written();
}

#[test]
fn an_expired_release_is_refused_with_its_date() {
    let world = World::new(&[Package::new("hello")]);
    world.release(world.key(), "Wed, 08 Jan 2025 00:00:00 UTC");
    world.fails(&["lock"], &["dists/stable/InRelease: stable was valid until 2025-01-08", "LAZULI_MIRROR"]);
    world.nothing_was_written();
}

#[test]
fn an_expired_release_is_accepted_for_nothing_that_is_shipped() {
    let accept = "keys = [\"keys/archive.asc\"]\naccept-expired = \"for a test\"\n";
    let keys = "keys = [\"keys/archive.asc\"]\n";
    let world = hello();
    world.edit("distro/lazuli.toml", keys, accept);
    world.fails(&["lock"], &["lazuli.toml:", "`accept-expired` is not for it"]);
    // Not a default suite any more, but the tools that make images come from it.
    world.edit("distro/lazuli.toml", keys, &format!("default = false\n{keys}"));
    world.edit("distro/lazuli.toml", "packages = [\"tool\"]", "packages = [\"tool\"]\nsuites = [\"stable\"]");
    world.fails(&["lock"], &["lazuli.toml:", "tool root `image` takes part in making images"]);
    world.nothing_was_written();
}

#[test]
fn a_damaged_index_is_thrown_away() {
    let world = hello();
    world.flip(World::INDEX);
    world.fails(
        &["lock"],
        &["Packages.xz: expected sha256 ", "the download was thrown away", "LAZULI_MIRROR"],
    );
    world.nothing_was_written();
}

#[test]
fn a_damaged_package_is_thrown_away() {
    let world = hello();
    world.fine(&["lock"]);
    let deb = "mirror/debian/pool/main/hello.deb";
    world.flip(deb);
    world.fails(&["build"], &["pool/main/hello.deb: expected sha256 ", "LAZULI_MIRROR"]);
    assert!(!world.path("build").exists());
    assert!(!world.blob_of(deb).exists());
    world.nothing_is_unfinished();
    // The same command goes on once the mirror is repaired.
    world.flip(deb);
    world.fine(&["build"]);
}

#[test]
fn a_missing_dependency_is_explained_with_the_image() {
    let world = World::new(&[Package::new("hello").fields("Depends: greeter (>= 2)\n")]);
    world.fine(&["lock"]);
    world.fails(&["build", "small"], &["image `small`", "hello", "greeter"]);
    world.edit("distro/images/small.toml", "\"hello\"", "\"helo\"");
    world.fails(&["build", "small"], &["image `small`", "helo"]);
    assert!(!world.path("build").exists());
    world.nothing_is_unfinished();
}

#[test]
fn a_script_that_nobody_has_read_stops_the_build() {
    let script = "#!/bin/sh\nset -e\nadduser --system hello\n";
    let world = World::new(&[Package::new("hello").postinst(script)]);
    world.fine(&["lock"]);
    let digest = lazuli_store::Digest::of(script).to_string();
    world.fails(&["build"], &["hello", "component.toml", "postinst", &digest, "adduser --system hello"]);
    assert!(!world.path("build").exists());
    world.nothing_is_unfinished();
    // What the message asks for is enough, for this script and no other.
    let file = "distro/components/hello/component.toml";
    let add = format!(
        "license = \"MIT\"\n[[package.hello.script]]\nname = \"postinst\"\nsha256 = \"{digest}\"\n\
         reason = \"the user comes with sysusers.d\"\n"
    );
    world.edit(file, "license = \"MIT\"\n", &add);
    world.fine(&["build"]);
    world.edit(file, &digest[..4], "0000");
    world.fails(&["build"], &["hello", "postinst"]);
}

#[test]
fn two_packages_that_own_one_path_are_both_named() {
    let world = World::new(&[
        Package::new("hello").file("/usr/lib/word", "hello\n"),
        Package::new("goodbye").file("/usr/lib/word", "goodbye\n"),
    ]);
    world.edit("distro/images/small.toml", "\"hello\"", "\"hello\", \"goodbye\"");
    world.fine(&["lock"]);
    world.fails(&["build", "small"], &["/usr/lib/word", "hello", "goodbye", "drop-files"]);
    assert!(!world.path("build").exists());
    world.nothing_is_unfinished();
}

#[test]
fn a_damaged_blob_is_fetched_again_and_never_used() {
    let world = hello();
    world.fine(&["lock"]);
    world.fine(&["build"]);
    let repo = fs::read(world.path("build/repo/packages/hello-1.0-1.x86_64.rpm")).expect("a package");
    let blob = world.blob_of("mirror/debian/pool/main/hello.deb");
    flip(&blob);
    fs::remove_dir_all(world.path("store/actions")).expect("actions");
    world.fine(&["build"]);
    world.nothing_is_unfinished();
    assert_eq!(fs::read(world.path("build/repo/packages/hello-1.0-1.x86_64.rpm")).expect("a package"), repo);
    flip(&blob);
    assert_eq!(world.run(&["store", "verify"]).status.code(), Some(1));
    assert!(!blob.exists());
    world.fine(&["store", "verify"]);
}

/// Runs all of these at the same time; every one must succeed.
fn at_once(world: &World, runs: &[&[&str]]) {
    let children: Vec<_> = runs
        .iter()
        .map(|args| {
            let mut command = world.command(args);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("lazuli starts")
        })
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|c| c.wait_with_output().expect("it ends")).collect();
    for (output, args) in outputs.iter().zip(runs) {
        assert!(output.status.success(), "{args:?}: {}", stderr(output));
    }
    world.nothing_is_unfinished();
}

#[test]
fn several_at_once_do_not_harm_each_other() {
    let world = hello();
    at_once(&world, &[["lock"].as_slice(); 4]);
    at_once(&world, &[&["build", "-o", "build/a"], &["build", "-o", "build/b"], &["lock", "--check"]]);
    world.fine(&["lock", "--check"]);
    world.fine(&["repo", "verify", "build/a/repo"]);
    world.fine(&["repo", "verify", "build/b/repo"]);
}

#[test]
fn several_builds_into_one_directory_do_not_harm_each_other() {
    let world = hello();
    world.fine(&["lock"]);
    at_once(&world, &[["build"].as_slice(); 4]);
    world.fine(&["repo", "verify", "build/repo"]);
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_half_written() {
    let size = String::leak(noise(256 << 10));
    let world = World::new(&[Package::new("hello").file("/usr/lib/hello/noise", size)]);
    world.fine(&["lock"]);
    // A file system of a few blocks in namespaces of its own: really full, and gone with the command.
    let script = "mount -t tmpfs -o size=96k none \"$LAZULI_STORE\" || exit 77; \
                  \"$0\" build; status=$?; find \"$LAZULI_STORE/blobs\" -type f -size +64k; exit $status";
    let args = ["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_lazuli")];
    let output = world.command_of("unshare", &args).output().expect("unshare starts");
    assert_ne!(output.status.code(), Some(77), "no file system for the test: {}", stderr(&output));
    assert_failed(&output, &["No space left on device", "cannot ", "lazuli store gc"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "a blob has its name before it is whole");
    assert!(!world.path("build").exists());
    // With room it goes on.
    world.fine(&["build"]);
    world.nothing_is_unfinished();
}

/// Text that does not compress: a linear congruential generator's.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    (0..length).map(|_| next()).collect()
}
