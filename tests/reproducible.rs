//! The same inputs and keys make the same bytes: packages, repository, root file systems, signatures and disks.
//!
//! Two copies of the distribution in two directories are built one after the other into two stores, under
//! two umasks, user ids, time zones and languages, with two threads and with one. Both stores begin
//! with the pinned downloads, fetched crates and, from the user's own store, what takes too long to build twice here:
//! the kernel, and the binaries that are compiled from this workspace (`workspace_build.rs` compiles such a binary in
//! two stores). Everything else is made anew, the packages of those binaries too. With `LAZULI_REPRODUCE_ALL=1` only
//! the kernel is taken over. Neither build has a network.
//!
//! `cargo test -p lazuli --test reproducible -- --ignored`

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use user::{assert_fine, checkout, keys, lazuli, store};

/// What is different from one build to the other.
struct Circumstances {
    directory: &'static str,
    umask: &'static str,
    user: &'static str,
    zone: &'static str,
    language: &'static str,
    threads: &'static str,
}

const FIRST: Circumstances =
    Circumstances { directory: "a", umask: "022", user: "1000", zone: "UTC", language: "C", threads: "2" };
const SECOND: Circumstances = Circumstances {
    directory: "another directory/with-a-longer-name",
    umask: "077",
    user: "4321",
    zone: "Asia/Kathmandu",
    language: "de_DE.UTF-8",
    threads: "1",
};

/// Binaries that are taken over.
const COMPILED: [&str; 6] =
    ["lapis", "lazuli-cri", "lazuli-exec-guard", "lazuli-initrd", "lazuli-state", "lazuli-update"];

/// Puts what both builds may share into a fresh store: pinned downloads, the kernel, which has to be there, and
/// compiled binaries.
fn seed(to: &Path) {
    let from = store();
    let share = |path: &str| {
        let (from, to) = (from.join(path), to.join(path));
        if from.exists() && !to.exists() {
            fs::create_dir_all(to.parent().expect("a parent")).expect("a directory");
            fs::hard_link(from, to).expect("a blob");
        }
    };
    let blob = |digest: &str| share(&format!("blobs/{}/{digest}", &digest[..2]));
    let lock = fs::read_to_string(checkout().join("lazuli.lock")).expect("the lock");
    digests(&lock).for_each(blob);
    for crates in fs::read_dir(from.join("dirs/crates")).expect("fetched crates") {
        copy_links(&crates, &to.join(crates.strip_prefix(&from).expect("in the store")));
    }
    let mut kernels = 0;
    let all = std::env::var_os("LAZULI_REPRODUCE_ALL").is_some();
    let compiled: &[&str] = if all { &[] } else { &COMPILED };
    for part in fs::read_dir(from.join("actions")).expect("actions") {
        for action in fs::read_dir(&part).expect("actions") {
            let text = fs::read_to_string(&action).expect("an action");
            let kernel = text.contains("\"kernel-") && text.contains(".rpm\"");
            if kernel || compiled.iter().any(|name| text.contains(&format!("\"{name}\":{{"))) {
                kernels += usize::from(kernel);
                digests(&text).for_each(blob);
                share(action.strip_prefix(&from).expect("in the store").to_str().expect("a path in UTF-8"));
            }
        }
    }
    assert!(kernels > 0, "there is no kernel in {}", from.display());
}

/// A directory again, with hard links to its files.
fn copy_links(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for path in fs::read_dir(from).expect("a directory") {
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_links(&path, &target);
        } else {
            fs::hard_link(&path, &target).expect("a file");
        }
    }
}

/// The Rust compiler itself, which needs nothing of the environment that a wrapper would.
fn rustc() -> PathBuf {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(checkout()).output();
    let output = output.expect("rustc starts");
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/rustc")
}

/// The SHA-256 digests in a text, in quotation marks.
fn digests(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|w| w.len() == 64 && w.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Builds repository and images; returns the directory of the results.
fn build(work: &Path, how: &Circumstances) -> PathBuf {
    let here = work.join(how.directory);
    fs::create_dir_all(&here).expect("a directory");
    let store = here.join("store");
    seed(&store);
    let script = "umask \"$1\"; cp -r \"$2/distro\" \"$2/lazuli.lock\" \"$2/Cargo.toml\" \"$2/Cargo.lock\" \"$2/crates\" . && \
                  \"$3\" --locked build --output out && \
                  \"$3\" --locked build core container-host --format raw,qcow2 --output out --json > report.json";
    let map = [format!("--map-user={}", how.user), format!("--map-group={}", how.user)];
    let output = Command::new("unshare")
        .args(["--user", &map[0], &map[1], "sh", "-c", script, "sh", how.umask])
        .arg(checkout().canonicalize().expect("the checkout"))
        .arg(env!("CARGO_BIN_EXE_lazuli"))
        .current_dir(&here)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &here)
        .env("USER", format!("user{}", how.user))
        .env("TZ", how.zone)
        .env("LANG", how.language)
        .env("LC_ALL", how.language)
        .env("RAYON_NUM_THREADS", how.threads)
        .env("RUSTC", rustc())
        .env("LAZULI_STORE", &store)
        .env("LAZULI_KEYS", keys())
        .env("LAZULI_MIRROR", "http://127.0.0.1:1/")
        .output()
        .expect("unshare starts");
    assert_fine(&output, how.directory);
    here.join("out")
}

/// All files below a directory, by their path there.
fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(dir).expect("a directory") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, path)| (format!("{name}/{below}"), path)));
        } else {
            found.insert(name, path);
        }
    }
    found
}

/// The first byte at which two files differ.
fn difference(first: &Path, second: &Path) -> Option<u64> {
    let mut files = [first, second].map(|p| fs::open(p).expect("a file"));
    let mut parts = [Vec::new(), Vec::new()];
    let mut offset = 0;
    loop {
        for (file, part) in files.iter_mut().zip(&mut parts) {
            part.clear();
            file.take(1 << 20).read_to_end(part).expect("a file");
        }
        if parts[0] != parts[1] {
            let same = parts[0].iter().zip(&parts[1]).take_while(|(a, b)| a == b).count();
            return Some(offset + same as u64);
        }
        if parts[0].is_empty() {
            return None;
        }
        offset += parts[0].len() as u64;
    }
}

#[test]
#[ignore = "builds both images twice"]
fn two_builds_under_different_circumstances_are_identical() {
    // Whatever is pinned and the kernel are in the user's store after this.
    let scratch = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
    let warm = scratch.path().join("warm");
    lazuli(&[
        "build",
        "core",
        "container-host",
        "--format",
        "raw",
        "--output",
        warm.to_str().expect("a path in UTF-8"),
    ]);
    fs::remove_dir_all(&warm).expect("a directory");

    let first = files(&build(scratch.path(), &FIRST));
    let second = files(&build(scratch.path(), &SECOND));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    let kinds: BTreeSet<&str> = first.keys().filter_map(|n| n.rsplit('.').next()).collect();
    for kind in ["rpm", "zst", "xml", "asc", "raw", "qcow2"] {
        assert!(kinds.contains(kind), "there is no {kind} among {kinds:?}");
    }
    let differ: Vec<String> = first
        .iter()
        .filter_map(|(name, path)| Some(format!("{name} from byte {}", difference(path, &second[name])?)))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}
