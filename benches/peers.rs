//! `lapis` beside dnf, dnf5, zypper and rpm: the same work on the same machine in one run.
//!
//!     cargo bench -p lazuli --bench peers [-- QUESTION...]
//!
//! The peers come from the tool roots `peers` (Debian stable), `peers-bookworm` and `peers-sid` and run in a
//! chroot of them, `lapis` in the first, so root is needed, and `mkfs.ext4`. Repositories are served over HTTP on loopback: one
//! has the metadata of every package of the pinned suites, another the real packages of `core`, the third two
//! versions of fifty packages. Metadata and packages are signed, and everybody has the key. Nobody installs
//! what is only recommended.
//!
//! Each measurement is repeated, peers taking turns, and its median reported: wall time in seconds, and the
//! largest resident set of any process of the command in MiB. Standard output is two tables in Markdown; who
//! fails is told once, with its last words, on standard error. rpm fetches nothing and solves nothing, so it
//! takes part where the packages are there already.

#[path = "../tests/support/user.rs"]
mod user;

#[path = "support/mod.rs"]
mod support;

#[path = "support/table.rs"]
mod table;

use lazuli_fs as fs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::{Bench, Peer, Run};
use user::lazuli;

/// How often each is measured.
const REPEAT: usize = 5;
/// How many lines of a failure are shown.
const LAST_WORDS: usize = 12;

/// What is asked, and by which script for which peer. `None`: the peer has no such command.
struct Question {
    name: &'static str,
    text: &'static str,
    /// What is run before, unmeasured.
    prepare: fn(Peer) -> Option<String>,
    measured: fn(Peer) -> Option<String>,
    /// What is looked at after the clock has stopped: a command that did nothing was not fast.
    check: fn(Peer) -> String,
}

/// Whether the answer has a word.
fn says(word: &str) -> String {
    format!("[[ $(< /build/measured.log) == *{word}* ]]")
}

/// Whether the first and the last package of `core` are there.
fn has_core(peer: Peer) -> String {
    format!("[[ -x /build/{peer}/root/usr/bin/bash && -d /build/{peer}/root/usr/lib/modules ]]")
}

/// The beginning of each command, with everything it keeps below /build. `$T` is how it is measured.
fn command(peer: Peer, repository: &str) -> Option<String> {
    let (cache, root) = (format!("/build/{peer}/cache"), format!("/build/{peer}/root"));
    let options = format!(
        "--installroot={root} --releasever=1 --setopt=reposdir=/build/repos/{repository} \
         --setopt=cachedir={cache} --setopt=keepcache=1 --setopt=install_weak_deps=0"
    );
    Some(match peer {
        Peer::Lapis => format!("$T /build/bin/lapis -y {options}"),
        Peer::Dnf | Peer::DnfBookworm => format!(
            "$T dnf -q -y --disableplugin='*' --setopt=pluginpath=/none --setopt=logdir=/build/{peer} {options}"
        ),
        Peer::Dnf5 => format!("$T dnf5 -q -y --setopt=plugins=0 --setopt=logdir=/build/{peer} {options}"),
        Peer::Zypper => format!(
            "$T zypper -q --non-interactive --gpg-auto-import-keys --root {root} \
             --reposd-dir /build/repos/{repository}-zypper --cache-dir {cache}"
        ),
        Peer::Rpm418 | Peer::Rpm420 | Peer::Rpm6 => return None,
    })
}

/// rpm with a root of its own. It refuses what is not signed by a key that it has, as the others do.
fn rpm(peer: Peer) -> String {
    format!(
        "$T rpm --root /build/{peer}/root --dbpath /usr/lib/sysimage/rpm --define '_pkgverify_level all' \
         --define '_pkgverify_flags 0'"
    )
}

/// A database with the key.
fn with_key(peer: Peer) -> String {
    format!("{} {rpm} --initdb; {rpm} --import /build/key.asc", clean(peer), rpm = rpm(peer))
}

/// An empty root, empty caches, on a file system that is empty before each run.
fn clean(peer: Peer) -> String {
    format!("mkdir -p /build/{peer}/root /build/{peer}/cache;")
}

fn refresh(peer: Peer) -> &'static str {
    if peer == Peer::Zypper { "refresh --force" } else { "makecache" }
}

/// The command with all metadata in its cache.
fn warm(peer: Peer, repository: &str) -> Option<String> {
    Some(format!("{} {} {}", clean(peer), command(peer, repository)?, refresh(peer)))
}

/// A command that prints a plan, which is looked at: the time of one that found no solution says nothing.
fn planned(peer: Peer, command: &str) -> String {
    format!(
        "{command} > /build/{peer}/plan; plan=$(< /build/{peer}/plan); \
         [[ $plan == *zlib1g* && $plan == *emacs-nox* ]]"
    )
}

const QUESTIONS: [Question; 7] = [
    Question {
        name: "makecache",
        text: "metadata of the whole suite, nothing cached",
        prepare: |peer| Some(clean(peer)),
        measured: |peer| Some(format!("{} {}", command(peer, "all")?, refresh(peer))),
        check: |peer| format!("[[ -n $(echo /build/{peer}/cache/*) ]]"),
    },
    Question {
        name: "query-name",
        text: "a package by its name, metadata cached",
        prepare: |peer| warm(peer, "all"),
        measured: |peer| {
            let command = command(peer, "all")?;
            Some(match peer {
                Peer::Zypper => format!("{command} --no-refresh search --match-exact bash"),
                _ => format!("{command} -C repoquery bash"),
            })
        },
        check: |_| says("bash"),
    },
    Question {
        name: "query-requires",
        text: "who requires a package, metadata cached",
        prepare: |peer| warm(peer, "all"),
        measured: |peer| {
            let command = command(peer, "all")?;
            Some(match peer {
                Peer::Zypper => format!("{command} --no-refresh search --requires-pkg libzstd1"),
                _ => format!("{command} -C repoquery --whatrequires libzstd1"),
            })
        },
        check: |_| says("btrfs-progs"),
    },
    Question {
        name: "solve",
        text: "solving the installation of 100 packages from the whole suite",
        prepare: |peer| warm(peer, "all"),
        measured: |peer| {
            let command = command(peer, "all")?.replace(" -q -y ", " ").replace(" -y ", " ");
            Some(match peer {
                Peer::Zypper => planned(
                    peer,
                    &format!("{command} --no-refresh install --no-recommends --dry-run $(< /build/hundred)"),
                ),
                // An answer of no is a failure to dnf.
                _ => planned(peer, &format!("{command} -C --assumeno install $(< /build/hundred)")),
            })
        },
        // The plan was.
        check: |_| ":".to_owned(),
    },
    Question {
        name: "install-cold",
        text: "`core` into an empty root, nothing cached",
        prepare: |peer| Some(clean(peer)),
        measured: |peer| install(peer, ""),
        check: has_core,
    },
    Question {
        name: "install-warm",
        text: "`core` into an empty root, packages downloaded before",
        prepare: |peer| {
            if peer.is_rpm() {
                return Some(with_key(peer));
            }
            Some(format!("{} && {}", warm(peer, "core")?, install(peer, download_only(peer))?))
        },
        measured: |peer| {
            if peer.is_rpm() {
                return Some(format!("{} -i $(< /build/core-files)", rpm(peer)));
            }
            install(peer, "")
        },
        check: has_core,
    },
    Question {
        name: "update",
        text: "50 packages of 60 files to their next version, nothing downloaded",
        prepare: |peer| {
            if peer.is_rpm() {
                return Some(format!("{}; {} -i $(< /build/old-files)", with_key(peer), rpm(peer)));
            }
            let list = if peer == Peer::Zypper { "fifty-first-zypper" } else { "fifty-first" };
            Some(format!("{} {} install $(< /build/{list})", clean(peer), command(peer, "update")?))
        },
        measured: |peer| {
            if peer.is_rpm() {
                return Some(format!("{} -U $(< /build/new-files)", rpm(peer)));
            }
            let verb = if peer == Peer::Zypper { "update" } else { "upgrade" };
            Some(format!("{} {verb}", command(peer, "update")?))
        },
        check: |peer| format!("[[ $(< /build/{peer}/root/usr/share/bench49/version) == 2 ]]"),
    },
];

fn download_only(peer: Peer) -> &'static str {
    if peer == Peer::Zypper { "--download-only" } else { "--downloadonly" }
}

fn install(peer: Peer, option: &str) -> Option<String> {
    let command = command(peer, "core")?;
    let weak = if peer == Peer::Zypper { "--no-recommends" } else { "" };
    Some(format!("{command} install {weak} {option} $(< /build/core)"))
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let unknown = wanted.iter().find(|w| !QUESTIONS.iter().any(|q| q.name == *w));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = QUESTIONS.iter().map(|q| q.name).collect();
        eprintln!("there is no question `{unknown}`; there are {}", known.join(", "));
        std::process::exit(2);
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("the peers change owners of files in a chroot: run this as root");
        std::process::exit(2);
    }
    let bench = Bench::new();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/hundred.txt"));
    fs::write(bench.work().join("hundred"), text.expect("the list of packages")).expect("a file");
    let core = lazuli(&["image", "show", "core"]);
    let names: Vec<&str> = core.lines().filter_map(|l| l.rsplitn(3, '-').nth(2)).collect();
    assert!(names.contains(&"bash"), "`lazuli image show core` lists no packages: {core}");
    fs::write(bench.work().join("core"), names.join("\n")).expect("a file");
    let mut answers = Vec::new();
    for question in QUESTIONS.iter().filter(|q| wanted.is_empty() || wanted.iter().any(|w| w == q.name)) {
        answers.push((question, ask(&bench, question)));
    }
    print!("{}", table::summary(&answers));
    print!("{}", table::details(&answers));
    if answers.iter().any(|(_, runs)| !runs.contains_key(&Peer::Lapis)) {
        eprintln!("lapis itself failed a question");
        std::process::exit(1);
    }
}

/// Measures all peers that can answer; one that fails once is not asked again.
fn ask(bench: &Bench, question: &Question) -> BTreeMap<Peer, Vec<Run>> {
    let mut runs: BTreeMap<Peer, Vec<Run>> = BTreeMap::new();
    let mut failed: BTreeSet<Peer> = BTreeSet::new();
    for round in 1..=REPEAT {
        eprintln!("{}, round {round} of {REPEAT}", question.name);
        for peer in Peer::ALL {
            if failed.contains(&peer) {
                continue;
            }
            let Some(measured) = (question.measured)(peer) else { continue };
            let prepare = (question.prepare)(peer).unwrap_or_default();
            match bench.measure(peer, &prepare, &measured, &(question.check)(peer)) {
                Ok(run) => runs.entry(peer).or_default().push(run),
                Err(error) => {
                    let lines: Vec<&str> = error.lines().collect();
                    let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n    ");
                    eprintln!("{}: {peer} failed and takes no further part:\n    {last}", question.name);
                    runs.remove(&peer);
                    failed.insert(peer);
                }
            }
        }
    }
    runs
}
