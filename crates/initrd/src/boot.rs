//! The start itself.
//!
//! ```text
//! order (command line) ──> look: modules for new devices, disks ──both partitions──> verity ──> mount ──> init
//!                           ▲        │ not yet                                          │
//!                           └────────┤                                                  │ any error
//!                                    └──time is over──> say what is missing ────────────┴──> restart
//! ```

use crate::command_line::Order;
use crate::console::{Level, say};
use crate::devices::{self, Disks};
use crate::modules::{self, Index};
use crate::{Error, MODULES, Result, dm, file, switch};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time between two looks at what is there.
const PAUSE: Duration = Duration::from_millis(200);
/// After this time people are told what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a message stands on the console before the machine restarts.
const READING: Duration = Duration::from_secs(10);
/// What everything beside waiting may take, with a module that initialises slowly or a disk that answers late.
const WORK: Duration = Duration::from_secs(120);

/// Starts the system. Returns only with an error.
pub fn start(arguments: &[OsString]) -> Result<Infallible> {
    let began = Instant::now();
    switch::mount_kernel()?;
    let line = file::text(Path::new("/proc/cmdline"), 1 << 16)?;
    let order = Order::parse(&line)?;
    if let Some(complaint) = &order.complaint {
        say(Level::Error, complaint);
    }
    guard(order.wait + WORK);
    let (data, hashes) = partitions(&order, began)?;
    let device = dm::make(&order.mapping, data, hashes)?;
    say(Level::Info, &format!("root on {data}, its hashes on {hashes}, after {:.1?}", began.elapsed()));
    switch::mount_root(device)?;
    switch::into_root(arguments)
}

/// Says why, and restarts the machine.
pub fn restart(why: &str) -> ! {
    say(Level::Error, why);
    say(Level::Error, &format!("the machine restarts in {} seconds", READING.as_secs()));
    std::thread::sleep(READING);
    restart_now()
}

fn restart_now() -> ! {
    // Nothing was written: nothing has to be flushed.
    let error = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    say(Level::Error, &format!("cannot restart: {error:?}"));
    // The end of the first process makes the kernel panic, and that restarts the machine, too (panic=).
    std::process::exit(1)
}

/// Restarts the machine if the start has not succeeded by then, whatever this program hangs in. The threads of a program
/// end when another one takes its place.
fn guard(limit: Duration) {
    let end = move || {
        std::thread::sleep(limit);
        say(
            Level::Error,
            &format!("no root after {} seconds: something hangs; the machine restarts", limit.as_secs()),
        );
        restart_now()
    };
    if let Err(error) = std::thread::Builder::new().spawn(end) {
        // The watchdog is there still.
        say(Level::Error, &format!("cannot watch the time: {error}"));
    }
}

/// Waits for both partitions, and loads modules for what appears.
fn partitions(
    order: &Order,
    began: Instant,
) -> Result<(crate::table::DeviceNumber, crate::table::DeviceNumber)> {
    let sys = Path::new("/sys");
    let mut drivers = Drivers::new(Path::new("/"));
    let mut disks = Disks::new(sys, Path::new("/dev"));
    let mapping = &order.mapping;
    let mut told = false;
    loop {
        drivers.load_for(devices::modaliases(sys));
        disks.look();
        let found = (disks.find(mapping.data), disks.find(mapping.hashes));
        if let (Some(data), Some(hashes)) = found {
            return Ok((data, hashes));
        }
        let waited = began.elapsed();
        let missing = || {
            let wanted = [("data", mapping.data, found.0), ("hash tree", mapping.hashes, found.1)];
            let missing = wanted.into_iter().filter(|(.., found)| found.is_none());
            missing.map(|(what, guid, _)| format!("{what} of the root, PARTUUID={guid}")).collect()
        };
        if waited >= order.wait {
            return Err(Error::Missing {
                seconds: order.wait.as_secs(),
                partitions: missing(),
                seen: disks.seen(),
            });
        }
        if !told && waited >= PATIENCE {
            told = true;
            let missing: Vec<String> = missing();
            let most = order.wait.as_secs();
            say(Level::Error, &format!("waiting, for {most} seconds at most: {}", missing.join(", ")));
        }
        std::thread::sleep(PAUSE.min(order.wait.saturating_sub(waited)));
    }
}

/// Loading modules.
struct Drivers {
    index: Index,
    /// The directory of the running kernel's modules.
    directory: PathBuf,
    /// Devices that were looked after.
    asked: BTreeSet<String>,
    /// Modules that were loaded, or cannot be.
    done: BTreeSet<String>,
}

impl Drivers {
    /// Those of the running kernel. An initrd without any is one for a kernel that has all of them built in.
    fn new(root: &Path) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let directory = root.join(MODULES).join(release);
        let read = |name: &str| file::text(&directory.join(name), modules::LIMIT).unwrap_or_default();
        let index = Index::parse(&read("modules.dep"), &read("modules.alias"));
        Self { index, directory, asked: BTreeSet::new(), done: BTreeSet::new() }
    }

    /// Loads what drives these devices, as far as that was not done.
    fn load_for(&mut self, modaliases: BTreeSet<String>) {
        for alias in modaliases {
            if self.asked.contains(&alias) {
                continue;
            }
            for module in self.index.matching(&alias) {
                for (name, path) in self.index.load_order(module) {
                    if self.done.insert(name.to_owned()) {
                        load(name, &self.directory.join(path));
                    }
                }
            }
            self.asked.insert(alias);
        }
    }
}

/// Loads one module. One that cannot be loaded does not end a start: the disk may well be behind another one.
fn load(name: &str, path: &Path) {
    let loaded = file::open(path).and_then(|module| {
        rustix::system::finit_module(&module, c"", 0)
            .map_err(Error::system("load the module", path.display().to_string()))
    });
    match loaded {
        Ok(()) => say(Level::Info, &format!("loaded {name}")),
        Err(Error::System { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => say(Level::Error, &error.to_string()),
    }
}
