//! `lapis` beside dnf, zypper and rpm: the same work on the same machine in one run.
//!
//!     cargo bench -p lazuli --bench peers [-- QUESTION...]
//!
//! The peers come from the tool roots `peers` (Debian stable) and `peers-bookworm` and run in a chroot of
//! them, `lapis` in the first, so root is needed. Two repositories are served over HTTP on loopback: one has
//! the metadata of every package of the pinned suites, the other the real packages of `core`. Each
//! measurement is repeated, peers taking turns, and its median reported: wall time in seconds, and the
//! largest resident set of any process of the command in MiB.

#[path = "../tests/support/user.rs"]
mod user;

#[path = "support/mod.rs"]
mod support;

use lazuli_fs as fs;
use std::collections::BTreeMap;
use std::path::Path;
use support::{Bench, Peer, Run};
use user::lazuli;

/// How often each is measured.
const REPEAT: usize = 5;

/// What is asked, and by which script for which peer. `None`: the peer has no such command.
struct Question {
    name: &'static str,
    text: &'static str,
    /// What is run before, unmeasured.
    prepare: fn(Peer) -> Option<String>,
    measured: fn(Peer) -> Option<String>,
}

/// The beginning of each command, with everything it keeps below /build.
fn command(peer: Peer, repository: &str) -> Option<String> {
    let (cache, root) = (format!("/build/{peer}/cache"), format!("/build/{peer}/root"));
    Some(match peer {
        Peer::Lapis => format!(
            "/build/lapis -y --installroot {root} --setopt=reposdir=/build/repos/{repository} \
             --setopt=cachedir={cache} --releasever=1"
        ),
        Peer::Dnf | Peer::DnfBookworm => format!(
            "dnf -q -y --disableplugin='*' --setopt=pluginpath=/none --setopt=logdir=/build/{peer} \
             --installroot={root} --releasever=1 --setopt=reposdir=/build/repos/{repository} \
             --setopt=cachedir={cache} --setopt=keepcache=1 --setopt=install_weak_deps=0"
        ),
        Peer::Zypper => format!(
            "zypper -q --non-interactive --gpg-auto-import-keys --root {root} \
             --reposd-dir /build/repos/{repository}-zypper --cache-dir {cache}"
        ),
        Peer::Rpm => return None,
    })
}

/// An empty root, empty caches.
fn clean(peer: Peer) -> String {
    format!("rm -rf /build/{peer}; mkdir -p /build/{peer}/root /build/{peer}/cache;")
}

fn refresh(peer: Peer) -> &'static str {
    if peer == Peer::Zypper { "refresh --force" } else { "makecache" }
}

/// The command with all metadata in its cache.
fn warm(peer: Peer, repository: &str) -> Option<String> {
    Some(format!("{} {} {}", clean(peer), command(peer, repository)?, refresh(peer)))
}

const QUESTIONS: [Question; 7] = [
    Question {
        name: "makecache",
        text: "metadata of the whole suite, nothing cached",
        prepare: |peer| Some(clean(peer)),
        measured: |peer| Some(format!("{} {}", command(peer, "all")?, refresh(peer))),
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
    },
    Question {
        name: "solve",
        text: "solving the installation of 100 packages from the whole suite",
        prepare: |peer| warm(peer, "all"),
        measured: |peer| {
            let command = command(peer, "all")?.replace(" -y ", " ");
            Some(match peer {
                Peer::Zypper => format!(
                    "{command} --no-refresh install --no-recommends --dry-run $(cat /build/hundred) > /build/{peer}/plan"
                ),
                // An answer of no is a failure to dnf.
                _ => format!(
                    "{command} -C --assumeno install $(cat /build/hundred) > /build/{peer}/plan; \
                     [ $? -le 1 ] && grep -q zlib1g /build/{peer}/plan"
                ),
            })
        },
    },
    Question {
        name: "install-cold",
        text: "`core` into an empty root, nothing cached",
        prepare: |peer| Some(clean(peer)),
        measured: |peer| Some(install(peer)),
    },
    Question {
        name: "install-warm",
        text: "`core` into an empty root, packages downloaded before",
        prepare: |peer| {
            let Some(command) = command(peer, "core") else { return Some(clean(peer)) };
            let warm = warm(peer, "core")?;
            Some(match peer {
                Peer::Zypper => {
                    format!("{warm}; {command} install --no-recommends --download-only $(cat /build/core)")
                }
                _ => format!("{warm}; {command} install --downloadonly $(cat /build/core)"),
            })
        },
        measured: |peer| Some(install(peer)),
    },
    Question {
        name: "update",
        text: "50 packages of 60 files to their next version",
        prepare: |peer| {
            let first = match command(peer, "update") {
                None => format!(
                    "rpm --root /build/{peer}/root --dbpath /usr/lib/sysimage/rpm -i /build/old/*.rpm"
                ),
                Some(command) if peer == Peer::Zypper => {
                    format!("{command} install $(sed 's/$/=1-1/' /build/fifty)")
                }
                Some(command) => format!("{command} install $(sed 's/$/-1-1/' /build/fifty)"),
            };
            Some(format!("{} {first}", clean(peer)))
        },
        measured: |peer| {
            Some(match command(peer, "update") {
                None => format!(
                    "rpm --root /build/{peer}/root --dbpath /usr/lib/sysimage/rpm -U /build/new/*.rpm"
                ),
                Some(command) if peer == Peer::Zypper => format!("{command} update"),
                Some(command) => format!("{command} upgrade"),
            })
        },
    },
];

fn install(peer: Peer) -> String {
    match command(peer, "core") {
        // rpm has no downloads: it begins with the files.
        None => format!(
            "rpm --root /build/{peer}/root --dbpath /usr/lib/sysimage/rpm --nosignature -i \
             $(sed 's|^|/repo-core/packages/|; s|$|-[0-9]*.rpm|' /build/core)"
        ),
        Some(command) if peer == Peer::Zypper => {
            format!("{command} install --no-recommends $(cat /build/core)")
        }
        Some(command) => format!("{command} install $(cat /build/core)"),
    }
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
    fs::write(bench.work().join("core"), names.join("\n")).expect("a file");
    println!("| what | peer | seconds | times lapis | MiB |\n|---|---|---|---|---|");
    for question in QUESTIONS.iter().filter(|q| wanted.is_empty() || wanted.iter().any(|w| w == q.name)) {
        let mut runs: BTreeMap<Peer, Vec<Run>> = BTreeMap::new();
        for _ in 0..REPEAT {
            for peer in Peer::ALL {
                let Some(measured) = (question.measured)(peer) else { continue };
                let prepare = (question.prepare)(peer).unwrap_or_default();
                match bench.measure(peer, &prepare, &measured) {
                    Ok(run) => runs.entry(peer).or_default().push(run),
                    Err(error) => eprintln!("{} {peer}: {error}", question.name),
                }
            }
        }
        let lapis = runs.get(&Peer::Lapis).and_then(|r| median(r)).map(|m| m.seconds);
        for (peer, runs) in &runs {
            let Some(middle) = median(runs) else { continue };
            let ratio = lapis.map_or_else(String::new, |l| format!("{:.1}", middle.seconds / l));
            let text = question.text;
            println!("| {text} | {peer} | {:.3} | {ratio} | {} |", middle.seconds, middle.kib >> 10);
        }
    }
}

/// The run whose time is in the middle.
fn median(runs: &[Run]) -> Option<Run> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    sorted.get(sorted.len() / 2).copied()
}
