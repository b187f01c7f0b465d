//! The real distribution with the store and keys of whoever runs the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `lazuli` in the checkout; it must succeed. Returns what it prints.
pub fn lazuli(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    command.args(args).current_dir(checkout());
    let output = command.output().expect("lazuli starts");
    assert_fine(&output, args);
    String::from_utf8(output.stdout).expect("text")
}

/// The command was successful.
pub fn assert_fine(output: &Output, what: impl std::fmt::Debug) {
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The directory of the development keys.
#[allow(dead_code)] // Not every test that has this module looks at the keys.
pub fn keys() -> PathBuf {
    place("LAZULI_KEYS", "XDG_DATA_HOME", ".local/share", "lazuli/keys")
}

/// The store.
#[allow(dead_code)] // Not every test that has this module looks into the store.
pub fn store() -> PathBuf {
    place("LAZULI_STORE", "XDG_CACHE_HOME", ".cache", "lazuli")
}

fn place(variable: &str, base: &str, home: &str, below: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set(variable).unwrap_or_else(|| {
        let base = set(base).or_else(|| Some(set("HOME")?.join(home)));
        base.expect("HOME is set").join(below)
    })
}

/// The program `lapis` of this workspace, compiled if it is not there: it belongs to another package, so Cargo
/// does not see to it. Building one package alone would compile what it depends on once more, with other features; as a part
/// of the tests of the workspace it is there already when all of them run.
#[allow(dead_code)] // Not every test that has this module runs it.
pub fn lapis() -> PathBuf {
    static BUILT: std::sync::Once = std::sync::Once::new();
    let beside = Path::new(env!("CARGO_BIN_EXE_lazuli")).with_file_name("lapis");
    BUILT.call_once(|| {
        let release = beside.components().any(|part| part.as_os_str() == "release");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What Cargo says of the package under test; build scripts (ring's) that look at it would run again.
        for (name, _) in std::env::vars_os() {
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if of_package.iter().any(|part| name.as_encoded_bytes().starts_with(part.as_bytes())) {
                cargo.env_remove(name);
            }
        }
        let cargo = cargo
            .args(["test", "--quiet", "--workspace", "--no-run", "--test", "habits"])
            .args(release.then_some("--release"))
            .current_dir(checkout())
            .stdout(std::process::Stdio::null())
            .status()
            .expect("cargo starts");
        assert!(cargo.success(), "lapis does not compile");
    });
    beside
}
