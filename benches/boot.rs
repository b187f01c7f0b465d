//! How long `container-host` takes to boot, what it then holds in memory and how large it is, beside an image of
//! Debian stable with like content in the same QEMU in one run.
//!
//!     cargo bench -p lazuli --bench boot [-- STATE...]
//!
//! Debian is installed by the bench, by its own tools from its own packages ([`debian`]). Both disks have 8 GiB and start
//! in the same machine: processors, memory, devices, firmware with Secure Boot and the same keys. They take turns,
//! five times each, and begin each time with the same disk, which is in the page cache. Medians are compared; the
//! smallest and the largest value stand beside them.
//!
//! STATE is `second`, the start of a machine that has started once and was powered off in order (that of every
//! day), or `first`, the start of a disk as it was built; by default both are measured. Times are systemd's own:
//! from the start of the kernel's clock until every job of the boot has finished, which makes the system
//! `running`; a system that is `degraded` has not booted and ends the bench. An initial RAM disk without
//! systemd, as Debian has it, is part of the kernel's time. The time from outside runs from the start of QEMU, firmware
//! and boot loader included, until the guest says `running`. Memory is read 20 seconds later.
//!
//! It uses the store and the keys of whoever runs it and needs no privileges; with an empty store it builds the
//! kernel first. Installing Debian takes some 1.5 GiB of memory for a minute.

#[path = "../tests/support/user.rs"]
mod user;

#[path = "support/archive.rs"]
mod archive;

#[path = "boot_support/debian.rs"]
mod debian;

#[path = "boot_support/guest.rs"]
mod guest;

#[path = "boot_support/table.rs"]
mod table;

use archive::Archive;
use guest::{Laboratory, Run};
use lazuli_fs as fs;
use lazuli_secureboot::{KeySet, Role};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use user::{keys, lazuli};

type Error = Box<dyn std::error::Error>;

/// How often each is measured.
const REPEAT: usize = 5;
/// The size of both disks as the guests see them.
const DISK: u64 = 8 << 30;
/// The share of the host's processors that others may take while times are measured.
const BUSY: f64 = 0.1;

/// What is started.
struct Image {
    name: &'static str,
    /// The disk as it was built.
    raw: PathBuf,
    packages: usize,
    /// Bytes in the files of its root.
    root_bytes: u64,
    /// Bytes of the disk that are not in a hole.
    disk_bytes: u64,
    qcow2_bytes: u64,
}

/// What the disk has lived through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// One start.
    Second,
    /// Nothing.
    First,
}

impl State {
    const ALL: [Self; 2] = [Self::Second, Self::First];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::First => "first",
        })
    }
}

fn main() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|w| !State::ALL.iter().any(|s| s.to_string() == **w)) {
        eprintln!("there is no state `{unknown}`; there are second, first");
        std::process::exit(2);
    }
    let states: Vec<State> = State::ALL
        .into_iter()
        .filter(|state| wanted.is_empty() || wanted.iter().any(|w| *w == state.to_string()))
        .collect();

    let archive = Archive::open()?;
    let work = archive.store.tempdir()?;
    let ours = container_host(work.path())?;
    // They are there now: the image is signed with them.
    let keys = KeySet::open(&keys().join("secureboot"))?;
    let debian = debian::make(&archive, keys.key(Role::Db))?;
    let what = format!("Debian {}, Linux {}", debian.facts.version, debian.facts.kernel);
    let peer = Image {
        name: "debian",
        disk_bytes: guest::data(&debian.raw)?,
        raw: debian.raw,
        packages: debian.facts.packages,
        root_bytes: debian.facts.root_bytes,
        qcow2_bytes: debian.facts.qcow2_bytes,
    };
    let images = [ours, peer];

    let laboratory = Laboratory::new(PathBuf::from(lazuli(&["tool-root", "vm"]).trim()), &archive, &keys)?;
    println!("{}; {what}", laboratory.describe()?);
    let mut runs: BTreeMap<State, [Vec<Run>; 2]> = BTreeMap::new();
    for &state in &states {
        let disks = match state {
            State::First => images.each_ref().map(|image| image.raw.clone()),
            State::Second => {
                let mut started = Vec::new();
                for image in &images {
                    eprintln!("{}: a first start, which is kept", image.name);
                    started.push(laboratory.start_once(&image.raw, &work.path().join(image.name))?);
                }
                started.try_into().map_err(|_| "two images")?
            }
        };
        for round in 1..=REPEAT {
            for (place, disk) in disks.iter().enumerate() {
                let name = images[place].name;
                busy()?;
                let run = laboratory.measure(disk).map_err(|e| format!("{name}, {state} start: {e}"))?;
                eprintln!("{name}, {state} start, round {round} of {REPEAT}: {run}");
                runs.entry(state).or_default()[place].push(run);
            }
        }
    }
    print!("{}", table::render(&images, &runs));
    Ok(())
}

/// The image as the toolkit builds it.
fn container_host(work: &Path) -> Result<Image, Error> {
    let name = "container-host";
    let output = work.to_str().ok_or("a path that is not text")?;
    lazuli(&["build", name, "--format", "raw,qcow2", "--output", output]);
    let packages = lazuli(&["image", "show", name]).lines().count();
    let files: Vec<serde_json::Value> =
        serde_json::from_str(&lazuli(&["--json", "image", "show", name, "--files"]))?;
    let root_bytes = files.iter().filter_map(|file| file["size"].as_u64()).sum();
    let raw = work.join("container-host.raw");
    let qcow2_bytes = fs::metadata(work.join("container-host.qcow2"))?.len();
    let disk_bytes = guest::data(&raw)?;
    Ok(Image { name, raw, packages, root_bytes, disk_bytes, qcow2_bytes })
}

/// Says so if something else keeps the host at work.
fn busy() -> Result<(), Error> {
    /// Ticks of all processors since the start, and those of them that nothing was done in.
    fn ticks() -> Result<(f64, f64), Error> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        Ok((ticks.iter().take(8).sum(), ticks.iter().skip(3).take(2).sum()))
    }
    let before = ticks()?;
    std::thread::sleep(Duration::from_secs(1));
    let after = ticks()?;
    let share = 1.0 - (after.1 - before.1) / (after.0 - before.0).max(1.0);
    if share > BUSY {
        eprintln!("something else takes {:.0} % of this host: the next time will be too long", share * 100.0);
    }
    Ok(())
}
