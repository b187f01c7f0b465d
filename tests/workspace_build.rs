//! A component compiled from a Cargo workspace around `distro/`: what its source is, what the binary is like,
//! and that two builds are identical. The workspace here is a small one without crates of a registry; the
//! tool root is the real one, from the store of whoever runs the tests.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_store::Digest;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use user::{assert_fine, checkout, keys, lazuli, store};

const SPEC: &str = r"
Name: hello
Version: %{workspace_version}
Release: 1
Summary: Says hello
License: MIT
%description
Says hello.
%install
install -D -m 0755 %{_lazuli_binaries}/hello %{buildroot}/usr/bin/hello
%check
%{buildroot}/usr/bin/hello
readelf -W -l -d %{buildroot}/usr/bin/hello
%files
/usr/bin/hello
";

/// A checkout with a workspace of three crates, one of them of no use to the component.
struct Checkout {
    dir: PathBuf,
}

impl Checkout {
    fn new(dir: PathBuf) -> Self {
        let here = Self { dir };
        let member = |name: &str, more: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\n{more}")
        };
        here.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"3\"\n\
             [workspace.dependencies]\ngreet = { path = \"crates/greet\" }\nother = { path = \"crates/other\" }\n",
        );
        here.write(
            "Cargo.lock",
            "version = 4\n[[package]]\nname = \"greet\"\nversion = \"1.2.3\"\n\
             [[package]]\nname = \"hello\"\nversion = \"1.2.3\"\ndependencies = [\"greet\", \"other\"]\n\
             [[package]]\nname = \"other\"\nversion = \"1.2.3\"\n",
        );
        here.write(
            "crates/hello/Cargo.toml",
            member(
                "hello",
                "[dependencies]\ngreet.workspace = true\n[dev-dependencies]\nother.workspace = true\n",
            ),
        );
        here.write("crates/hello/src/main.rs", "fn main() { println!(\"{}\", greet::text(7)) }\n");
        here.write("crates/greet/Cargo.toml", member("greet", ""));
        // A panic names its file: a path of the build would be in the binary.
        here.write(
            "crates/greet/src/lib.rs",
            "pub fn text(n: usize) -> String {\n    assert!(n > 3, \"too small\");\n    format!(\"hello from {}\", file!())\n}\n",
        );
        here.write("crates/other/Cargo.toml", member("other", ""));
        here.write("crates/other/src/lib.rs", "\n");
        for name in ["lazuli.toml", "keys", "macros"] {
            here.copy(&checkout().join("distro").join(name), &format!("distro/{name}"));
        }
        here.copy(&checkout().join("lazuli.lock"), "lazuli.lock");
        here.write(
            "distro/components/hello/component.toml",
            "kind = \"built\"\nspec = \"hello.spec\"\npackages = [\"hello\"]\nsource-date-epoch = 1735689600\n\
             [workspace]\ncrates = [\"hello\"]\nbinaries = [\"hello\"]\n",
        );
        here.write("distro/components/hello/hello.spec", SPEC);
        here
    }

    fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.join(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }

    fn copy(&self, from: &Path, below: &str) {
        if from.is_dir() {
            for entry in fs::read_dir(from).expect("a directory") {
                let name = entry.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
                self.copy(&entry, &format!("{below}/{name}"));
            }
        } else {
            self.write(below, fs::read(from).expect("a file"));
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
        command
            .args(["--locked", "component", "build", "hello", "--output", "out"])
            .current_dir(&self.dir)
            .env("LAZULI_STORE", store())
            .env("LAZULI_KEYS", keys());
        command
    }

    /// Builds; returns the digest of the package and whether something was compiled.
    fn build(&self) -> (Digest, bool) {
        let output = self.command().output().expect("lazuli starts");
        assert_fine(&output, "build");
        let text = stderr(&output);
        let package = fs::read_dir(self.dir.join("out")).expect("results").pop().expect("a package");
        (Digest::of(fs::read(package).expect("a package")), text.contains("compile hello"))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn log() -> String {
    fs::read_to_string(store().join("logs/hello.log")).expect("the log")
}

/// One test: the builds share the store's log, and two at a time would be no faster.
#[test]
fn crates_of_the_workspace_are_compiled_as_a_component() {
    // What is pinned is in the store after this.
    lazuli(&["tool-root", "build"]);
    // On the file system of the store, so that its downloads can be linked into another one.
    let scratch = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
    let first = Checkout::new(scratch.path().join("first"));
    // Source and spec of this run's own, so that nothing comes from the cache.
    let nonce = scratch.path().file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
    let make_own = |checkout: &Checkout| {
        let path = checkout.dir.join("crates/greet/src/lib.rs");
        let text = fs::read_to_string(&path).expect("a file");
        checkout.write("crates/greet/src/lib.rs", format!("{text}// {nonce}\n"));
        checkout.write("distro/components/hello/hello.spec", format!("{SPEC}# {nonce}\n"));
    };
    make_own(&first);
    let (package, compiled) = first.build();
    assert!(compiled);

    // The binary ran in the tool root, without a path of the build, and is hardened.
    let log_text = log();
    assert!(log_text.contains("hello from crates/greet/src/lib.rs"), "{log_text}");
    for property in ["GNU_RELRO", "BIND_NOW", "PIE"] {
        assert!(log_text.contains(property), "no {property}: {log_text}");
    }

    // Nothing that the component does not use is its source.
    first.write("crates/other/src/lib.rs", "pub fn other() {}\n");
    first.write("crates/hello/tests/more.rs", "#[test]\nfn fine() {}\n");
    first.write("crates/hello/src/.main.rs.swp", "scratch");
    assert_eq!(first.build(), (package, false));

    // Packaging is not compiling.
    first.write("distro/components/hello/hello.spec", format!("{SPEC}# {nonce} again\n"));
    assert!(!first.build().1);

    // What a crate that it depends on says, is.
    let text = format!("pub fn text(n: usize) -> String {{ format!(\"goodbye {{n}}\") }} // {nonce}\n");
    first.write("crates/greet/src/lib.rs", text);
    let (changed, compiled) = first.build();
    assert!(compiled && changed != package);
    assert!(log().contains("goodbye 7"));

    // With the C library linked in it needs neither a loader nor a library.
    assert!(log().contains("program interpreter") && log().contains("(NEEDED)"));
    let component = first.dir.join("distro/components/hello/component.toml");
    let text = fs::read_to_string(component).expect("a file");
    first.write("distro/components/hello/component.toml", format!("{text}static = true\n"));
    let (linked, compiled) = first.build();
    assert!(compiled && linked != changed);
    let log_text = log();
    assert!(log_text.contains("goodbye 7") && log_text.contains("PIE"), "{log_text}");
    assert!(!log_text.contains("program interpreter") && !log_text.contains("(NEEDED)"), "{log_text}");

    // Another directory, and a store that knows nothing of the first build's result.
    let second = Checkout::new(scratch.path().join("a second one"));
    make_own(&second);
    let fresh = scratch.path().join("store");
    seed(&fresh);
    let output = second.command().env("LAZULI_STORE", &fresh).output().expect("lazuli starts");
    assert_fine(&output, "build with a fresh store");
    assert!(stderr(&output).contains("compile hello"), "{}", stderr(&output));
    let again = fs::read_dir(second.dir.join("out")).expect("results").pop().expect("a package");
    assert_eq!(Digest::of(fs::read(again).expect("a package")), package);

    // Without a toolchain the error says what to do.
    second.write("crates/greet/src/lib.rs", "pub fn text(_: usize) -> String { String::new() }\n");
    let output = second.command().env("RUSTC", "/nonexistent/rustc").output().expect("lazuli starts");
    let text = stderr(&output);
    assert!(!output.status.success() && text.contains("no Rust toolchain"), "{text}");
    assert!(text.contains("/nonexistent/rustc") && text.contains("install Rust"), "{text}");
}

/// The pinned downloads, without which a fresh store would need the archive.
fn seed(to: &Path) {
    let lock = fs::read_to_string(checkout().join("lazuli.lock")).expect("the lock");
    let digests = lock.split('"').filter(|w| w.len() == 64 && w.bytes().all(|b| b.is_ascii_hexdigit()));
    for digest in digests {
        let below = format!("blobs/{}/{digest}", &digest[..2]);
        let (from, to) = (store().join(&below), to.join(&below));
        if from.exists() && !to.exists() {
            fs::create_dir_all(to.parent().expect("a parent")).expect("a directory");
            fs::hard_link(from, to).expect("a blob");
        }
    }
}
