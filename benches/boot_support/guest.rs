//! The machine that both disks start in, and what it says of itself.

use super::archive::Archive;
use super::{DISK, Error};
use lazuli_fs as fs;
use lazuli_image::sparse;
use lazuli_sandbox::Sandbox;
use lazuli_secureboot::{KeySet, varstore};
use lazuli_store::Store;
use lazuli_vm::accel::{self, Accelerator};
use lazuli_vm::{Firmware, Format, GuestFile, Stream, VmConfig, Writes};
use std::fmt;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The guest's processors and memory.
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 2048;
/// Longer than any emulated boot that goes well.
const LIMIT: Duration = Duration::from_secs(1200);

/// What the guest runs when it has reached multi-user.target. Its first line is the state of the system.
const ASK: &str = "systemctl is-system-running --wait\n\
    systemctl show -p UserspaceTimestampMonotonic -p FinishTimestampMonotonic\n\
    systemctl --failed --no-legend --plain | sed 's/^/failed: /'\n\
    systemd-analyze time | head -n 1\n\
    sleep 20\n\
    cat /proc/meminfo\n";

/// What is kept when a disk is started for the first time.
const START: &str = "systemctl is-system-running --wait";

/// One start.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Kernel with its initial RAM disk, in seconds.
    pub kernel: f64,
    /// From the start of systemd on the root to the end of the last job.
    pub userspace: f64,
    /// From the start of QEMU until the guest said that it is running.
    pub outside: f64,
    /// Total less available memory, in MiB.
    pub unavailable: f64,
    /// What kernel and processes hold, the page cache not counted, in MiB.
    pub used: f64,
}

impl Run {
    /// From the kernel's start to `running`.
    pub fn boot(&self) -> f64 {
        self.kernel + self.userspace
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, userspace, outside, unavailable, used } = self;
        write!(
            f,
            "kernel {kernel:.2} s, userspace {userspace:.2} s, from outside {outside:.2} s; memory {unavailable:.0} MiB, \
             {used:.0} MiB without the page cache"
        )
    }
}

/// Where guests run.
pub struct Laboratory<'a> {
    store: &'a Store,
    tools: PathBuf,
    firmware: Firmware,
    accelerator: Accelerator,
}

impl<'a> Laboratory<'a> {
    pub fn new(tools: PathBuf, archive: &'a Archive, keys: &KeySet) -> Result<Self, Error> {
        let variables = varstore::enrol(&lazuli_vm::firmware_variables(&tools)?, keys)?;
        let store = &archive.store;
        let accelerator = accel::choose(&VmConfig::new(&tools, "", Format::Raw, "", store.root()))?;
        Ok(Self { store, tools, firmware: Firmware::SecureBoot { variables }, accelerator })
    }

    /// The machine in words.
    pub fn describe(&self) -> Result<String, Error> {
        let said = Sandbox::new(&self.tools).command("qemu-system-x86_64").arg("--version").run(|_| ())?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said.split_whitespace().nth(3).unwrap_or("of unknown version");
        Ok(format!(
            "QEMU {version}, {CPUS} processors, {MEMORY_MIB} MiB, Secure Boot, {}",
            self.accelerator.why
        ))
    }

    fn config(&self, disk: &Path, work: &Path) -> VmConfig {
        let mut config = VmConfig::new(&self.tools, disk, Format::Raw, work, self.store.root());
        config.firmware = self.firmware.clone();
        config.cpus = CPUS;
        config.memory_mib = MEMORY_MIB;
        config.timeout = Some(LIMIT);
        // Ours starts no SSH server before somebody has a key; Debian's always runs.
        config.files.push(GuestFile {
            path: "/etc/ssh/authorized_keys.d/root".to_owned(),
            mode: 0o644,
            content: b"# No key: that there is a file makes the server start.\n".to_vec(),
        });
        config
    }

    /// Starts a copy of `disk` at `to` and powers it off in order; what it wrote stays in the copy.
    pub fn start_once(&self, disk: &Path, to: &Path) -> Result<PathBuf, Error> {
        let to = to.with_extension("started");
        sparse::copy_file(disk, &to)?;
        std::fs::OpenOptions::new().write(true).open(&to)?.set_len(DISK)?;
        let work = self.store.tempdir()?;
        let mut config = self.config(&to, work.path());
        config.writes = Writes::Persist;
        let said = self.ask(&config, START)?.0;
        if said.trim() == "running" {
            Ok(to)
        } else {
            Err(format!("{}: the first start ended in `{}`", to.display(), said.trim()).into())
        }
    }

    /// Starts `disk`, forgets what it writes, and measures.
    pub fn measure(&self, disk: &Path) -> Result<Run, Error> {
        warm(disk)?;
        let work = self.store.tempdir()?;
        let mut config = self.config(disk, work.path());
        config.disk_size = Some(DISK);
        let (said, outside) = self.ask(&config, ASK)?;
        parse(&said, outside).ok_or_else(|| format!("it is not running, or does not say when: {said}").into())
    }

    /// What the guest answers, and when the first line of it came.
    fn ask(&self, config: &VmConfig, question: &str) -> Result<(String, Duration), Error> {
        let start = Instant::now();
        let (mut said, mut first) = (Vec::new(), None);
        lazuli_vm::exec(config, &self.accelerator, question, |stream, bytes| {
            if stream == Stream::Stdout {
                said.extend_from_slice(bytes);
                if first.is_none() && said.contains(&b'\n') {
                    first = Some(start.elapsed());
                }
            }
        })?;
        Ok((String::from_utf8_lossy(&said).into_owned(), first.ok_or("the guest said nothing")?))
    }
}

/// Understands the answer to [`ASK`]; `None` if the system was not running.
fn parse(said: &str, outside: Duration) -> Option<Run> {
    let (state, rest) = said.split_once('\n')?;
    if state != "running" {
        return None;
    }
    let micros = |key: &str| {
        let text = rest.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        text.trim().parse::<f64>().ok().filter(|micros| *micros > 0.0)
    };
    let mib = |key: &str| {
        let text = rest.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(text.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
    };
    // Both count from the start of the kernel's clock.
    let (started, finished) = (micros("UserspaceTimestampMonotonic")?, micros("FinishTimestampMonotonic")?);
    let total = mib("MemTotal")?;
    Some(Run {
        kernel: started / 1e6,
        userspace: (finished - started) / 1e6,
        outside: outside.as_secs_f64(),
        unavailable: total - mib("MemAvailable")?,
        used: total - mib("MemFree")? - mib("Buffers")? - mib("Cached")? - mib("SReclaimable")?,
    })
}

/// Reads what is on a disk, so that it is in the page cache.
fn warm(disk: &Path) -> Result<(), Error> {
    let file = fs::open(disk)?;
    let mut buffer = vec![0; 1 << 20];
    for extent in sparse::data_extents(&file, disk)? {
        let mut at = extent.start;
        while at < extent.end {
            let len = usize::try_from(extent.end - at)?.min(buffer.len());
            file.read_exact_at(&mut buffer[..len], at)?;
            at += len as u64;
        }
    }
    Ok(())
}

/// The bytes of a disk that are not in a hole.
pub fn data(disk: &Path) -> Result<u64, Error> {
    let extents = sparse::data_extents(&fs::open(disk)?, disk)?;
    Ok(extents.iter().map(|extent| extent.end - extent.start).sum())
}
