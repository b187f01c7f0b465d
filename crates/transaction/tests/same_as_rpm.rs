//! The same packages in the same order, by the real `rpm` and by this crate: tree and database must be
//! the same.

#![allow(clippy::unwrap_used)] // A test may fail.

mod support;

use lazuli_fs as fs;
use lazuli_rpm::FileFlags;
use lazuli_rpmdb::{Access, Database};
use lazuli_transaction::{Element, Error, Options, Problem};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::{Path, PathBuf};
use support::{Lab, Log, open, packages, rpm, run, tree};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One file of a package: which path, what it is, and which of a few contents.
#[derive(Debug, Clone)]
struct File {
    path: usize,
    kind: usize,
    content: usize,
}

const PATHS: [&str; 10] = [
    "/etc/one.conf",
    "/etc/two.conf",
    "/usr/share/d/f",
    "/usr/share/d/g",
    "/usr/share/d/e/h",
    "/usr/share/shared",
    "/opt/x",
    "/opt/y",
    "/var/log/ghost",
    "/usr/share/d",
];

/// One version of a package.
#[derive(Debug, Clone)]
struct Version {
    name: usize,
    files: Vec<File>,
}

#[derive(Debug, Clone)]
enum Action {
    /// Install or change to these packages, which are positions in the list of versions.
    Upgrade(Vec<usize>),
    /// Remove these names.
    Erase(Vec<usize>),
    /// Somebody writes into a file, or makes it.
    Edit(usize),
    /// Somebody removes a file.
    Delete(usize),
}

#[derive(Debug, Clone)]
struct Story {
    versions: Vec<Version>,
    actions: Vec<Action>,
}

fn story() -> impl Strategy<Value = Story> {
    let file = (0..PATHS.len(), 0_usize..8, 0_usize..2).prop_map(|(path, kind, content)| File {
        path,
        kind,
        content,
    });
    let version = (0..NAMES.len(), prop::collection::vec(file, 1..6)).prop_map(|(name, mut files)| {
        files.sort_by_key(|f| f.path);
        files.dedup_by_key(|f| f.path);
        Version { name, files }
    });
    let action = prop_oneof![
        5 => prop::collection::vec(0_usize..6, 1..3).prop_map(Action::Upgrade),
        2 => prop::collection::vec(0..NAMES.len(), 1..3).prop_map(Action::Erase),
        2 => (0..PATHS.len()).prop_map(Action::Edit),
        1 => (0..PATHS.len()).prop_map(Action::Delete),
    ];
    (prop::collection::vec(version, 6), prop::collection::vec(action, 2..8))
        .prop_map(|(versions, actions)| Story { versions, actions })
}

/// Builds a version; its number is its place, so that the same name has different ones.
fn build(lab: &Lab, at: usize, version: &Version) -> PathBuf {
    let mut spec = lab.spec(NAMES[version.name], &format!("{}", at + 1));
    for file in &version.files {
        let path = PATHS[file.path];
        let text = format!("content {}", file.content);
        let node = spec.node(&text);
        spec = match (path, file.kind) {
            // Always the same: a directory that goes with one element and is needed by a later one is made
            // anew here, while RPM removes old files last and still finds it.
            ("/usr/share/d", _) => spec.directory(path),
            ("/var/log/ghost", 0..=3) => spec.ghost(path),
            ("/etc/one.conf", _) => spec.config(path, &text, false),
            ("/etc/two.conf", _) => spec.config(path, &text, true),
            // Configuration in one version and not in another, but of one package only: of two owners that
            // do not agree RPM believes the one that its order makes the last.
            ("/usr/share/d/e/h", kind) => {
                let path = format!("{path}-{}", version.name);
                match kind {
                    0..=2 => spec.config(&path, &text, false),
                    3..=4 => spec.config(&path, &text, true),
                    _ => spec.file(&path, &text),
                }
            }
            ("/opt/x", 2) => spec.symlink(path, ["y", "z"][file.content]),
            // No fifos: RPM waits for ever when it opens one to compare it.
            // Nobody else has these: which of two packages comes last decides who has the links.
            ("/opt/y", 2 | 3) => {
                let (one, two) = (format!("/srv/{}-1", version.name), format!("/srv/{}-2", version.name));
                spec.file(&one, &text).link(&two, &one)
            }
            (_, 4) => spec.entry(path, node.with_mode(0o755), FileFlags::NONE),
            (_, 5) => spec.entry(path, node, FileFlags::DOC),
            _ => spec.file(path, &text),
        };
    }
    spec.build()
}

fn prepare_root(root: &Path) {
    for directory in
        ["usr/lib/sysimage/rpm", "var/lib/lapis/txn", "etc", "usr/share", "opt", "var/log", "tmp"]
    {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_mode(root, 0o755).unwrap();
}

fn installed(root: &Path, name: &str) -> Vec<u32> {
    let database = Database::open(root, Access::Read).unwrap();
    database.named(name).unwrap().iter().map(|p| p.hnum).collect()
}

/// What both did; the text of refusals is not compared.
fn step(
    story: &Story,
    files: &[PathBuf],
    ours: &Path,
    theirs: &Path,
    action: &Action,
) -> Result<bool, TestCaseError> {
    let (refused, rpm_refused, text);
    match action {
        Action::Upgrade(wanted) => {
            let mut wanted = wanted.clone();
            wanted.sort_unstable();
            wanted.dedup_by_key(|at| story.versions[*at].name);
            let mut seen = Vec::new();
            wanted.retain(|at| {
                let name = story.versions[*at].name;
                let new = !seen.contains(&name);
                seen.push(name);
                new
            });
            let elements = wanted
                .iter()
                .map(|at| {
                    Element::replace(open(&files[*at]), installed(ours, NAMES[story.versions[*at].name]))
                })
                .collect();
            let result = run(ours, elements, Options::default(), &mut Log::none());
            let mut args = vec!["-U", "--nodeps", "--noscripts", "--oldpackage", "--replacepkgs"];
            args.extend(wanted.iter().map(|at| files[*at].to_str().unwrap()));
            let (ok, said) = rpm(theirs, &args).unwrap();
            (refused, rpm_refused, text) = (result.err(), !ok, said);
        }
        Action::Erase(names) => {
            let mut names = names.clone();
            names.sort_unstable();
            names.dedup();
            let there: Vec<&str> =
                names.iter().map(|n| NAMES[*n]).filter(|n| !installed(ours, n).is_empty()).collect();
            if there.is_empty() {
                return Ok(true);
            }
            let elements =
                there.iter().flat_map(|n| installed(ours, n)).map(Element::erase).collect::<Vec<_>>();
            let result = run(ours, elements, Options::default(), &mut Log::none());
            let mut args = vec!["-e", "--nodeps", "--noscripts"];
            args.extend(there);
            let (ok, said) = rpm(theirs, &args).unwrap();
            (refused, rpm_refused, text) = (result.err(), !ok, said);
        }
        Action::Edit(path) | Action::Delete(path) => {
            for root in [ours, theirs] {
                // Of those that each package has for itself, the first one's.
                let path = PATHS[*path].trim_start_matches('/');
                let path = root.join(if path.ends_with("/h") { format!("{path}-0") } else { path.into() });
                // In the place of a directory it would stop RPM in the midst of a package.
                if path.is_dir() || path.ends_with("usr/share/d") {
                    continue;
                }
                let there = fs::symlink_metadata(&path).is_ok();
                if matches!(action, Action::Edit(_)) {
                    if there {
                        fs::remove_file(&path).unwrap();
                    }
                    if path.parent().unwrap().is_dir() {
                        fs::write(&path, "somebody's").unwrap();
                        let times = rustix::fs::Timestamps {
                            last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
                            last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
                        };
                        let flags = rustix::fs::AtFlags::empty();
                        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).unwrap();
                    }
                } else if there {
                    fs::remove_file(&path).unwrap();
                }
            }
            return Ok(true);
        }
    }
    if let Some(error) = &refused {
        prop_assert!(matches!(error, Error::Problems(_)), "{error}");
    }
    // RPM lets two packages of one transaction bring different versions of a configuration file if that of
    // the first is not written, because somebody has changed the one on the disk. That is refused here.
    let stricter = |problem: &Problem| matches!(problem, Problem::Conflict { installed: false, .. });
    if let Some(Error::Problems(problems)) = &refused
        && !rpm_refused
        && story.actions.iter().any(|a| matches!(a, Action::Edit(_) | Action::Delete(_)))
        && problems.0.iter().all(stricter)
    {
        return Ok(false);
    }
    prop_assert_eq!(refused.is_some(), rpm_refused, "{:?}: {:?}, rpm says {}", action, refused, text);
    prop_assert_eq!(packages(ours), packages(theirs), "{:?}: rpm says {}", action, text);
    prop_assert_eq!(tree(ours), tree(theirs), "{:?}: rpm says {}", action, text);
    Ok(true)
}

fn tell(story: &Story) -> Result<(), TestCaseError> {
    let lab = Lab::new();
    let files: Vec<PathBuf> = story.versions.iter().enumerate().map(|(at, v)| build(&lab, at, v)).collect();
    let (ours, theirs) = (lab.root(), lab.dir.path().join("theirs"));
    prepare_root(&ours);
    prepare_root(&theirs);
    for action in &story.actions {
        if !step(story, &files, &ours, &theirs, action)? {
            return Ok(());
        }
    }
    // The real one finds nothing wrong in what this crate wrote that it does not find in its own.
    let verify = |root: &Path| rpm(root, &["-Va", "--nodeps", "--noscripts"]).unwrap().1;
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    prop_assert_eq!(lines(verify(&ours)), lines(verify(&theirs)));
    Ok(())
}

#[test]
fn the_same_as_rpm_whatever_happens() {
    let usable = rustix::process::geteuid().is_root() && support::program("rpm", &["--version"]).is_some();
    if !usable {
        println!("skipped: needs rpm and root");
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new(config).run(&story(), |story| tell(&story)).unwrap();
    println!("{cases} sequences did the same as rpm");
}
