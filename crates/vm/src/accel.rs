//! Which accelerator QEMU uses, found by trying.
//!
//! That /dev/kvm can be opened says little: there are hosts (virtual machines without nested
//! virtualisation among them) where it opens and every guest dies or hangs. So two tiny guests are run, with
//! the same processor model as the real one. The first is a boot sector that enters 64-bit mode with paging,
//! fills and sums half a megabyte of memory, and ends QEMU with a status of its own. The second is the real
//! firmware without a disk, which must say on the serial console that there is nothing to start: it runs from
//! flash, on several processors and in every mode, and there are hosts on which only the first one lives.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lazuli_sandbox::{Access, Network, Output, Sandbox};
use serde::{Deserialize, Serialize};

use crate::{Acceleration, Error, VmConfig, command_line};

/// The accelerator of a run and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerator {
    /// Whether it is KVM.
    pub kvm: bool,
    /// One sentence for people: which, and why.
    pub why: String,
}

/// QEMU's exit status when the test guest writes 0x31 to the debug exit port: `value << 1 | 1`.
const ALIVE: i32 = 0x31 << 1 | 1;
/// The test guest needs a third of a second; a broken one may hang for ever.
const LIMIT: Duration = Duration::from_secs(8);
/// The firmware needs two or three seconds until it has found nothing to start.
const FIRMWARE_LIMIT: Duration = Duration::from_secs(20);
/// How often what it says is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The word for a guest that did not end.
const HUNG: &str = "hung";

/// Change when the probe looks at something else.
const PROBE: u32 = 2;

/// What is remembered of a probe until the host boots again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// [`PROBE`]; what an earlier version of this code found does not count.
    #[serde(default)]
    probe: u32,
    boot_id: String,
    tools: String,
    /// Why KVM does not work; `None` if it does.
    failure: Option<String>,
    /// How long the answer holds, in seconds since 1970: a guest that hung may have been on a busy host.
    #[serde(default)]
    until: Option<u64>,
}

/// How long a hung guest is remembered, in seconds.
const HUNG_FOR: u64 = 3600;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Decides on the accelerator: KVM only after a guest has been seen to live on it.
pub fn choose(config: &VmConfig) -> Result<Accelerator, Error> {
    if config.acceleration == Acceleration::Tcg {
        return Ok(Accelerator { kvm: false, why: "software emulation, as asked".to_owned() });
    }
    match (probe(&config.tools, &config.cache)?, config.acceleration) {
        (None, _) => Ok(Accelerator { kvm: true, why: "KVM: a test guest ran on it".to_owned() }),
        (Some(why), Acceleration::Kvm) => Err(Error::NoKvm { why }),
        (Some(why), _) => Ok(Accelerator { kvm: false, why: format!("software emulation: {why}") }),
    }
}

/// Why KVM cannot be used, or `None` if a test guest ran on it. The result is remembered in the
/// directory `cache` until the host boots again.
pub fn probe(tools: &Path, cache: &Path) -> Result<Option<String>, Error> {
    // Permissions change without a boot, so this is looked at each time.
    if let Some(why) = device_trouble() {
        return Ok(Some(why));
    }
    let boot_id = lazuli_fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let tools_name = tools.display().to_string();
    let file = cache.join("kvm-probe.json");
    let known: Option<Remembered> =
        lazuli_fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let holds = |known: &Remembered| {
        known.probe == PROBE
            && known.boot_id == boot_id
            && known.tools == tools_name
            && known.until.is_none_or(|until| now() < until)
    };
    if let Some(known) = known.filter(holds) {
        return Ok(known.failure);
    }
    let failure = match run_test_guest(tools, true)? {
        None => run_firmware(tools, true)?,
        failure => failure,
    };
    let until = failure.as_ref().filter(|why| why.contains(HUNG)).map(|_| now() + HUNG_FOR);
    let result = Remembered { probe: PROBE, boot_id, tools: tools_name, failure, until };
    lazuli_fs::create_dir_all(cache)?;
    if let Ok(text) = serde_json::to_vec(&result) {
        lazuli_fs::write_atomic(&file, text, 0o644)?;
    }
    Ok(result.failure)
}

/// What is wrong with /dev/kvm before anything runs, in words that say what to do.
pub fn device_trouble() -> Option<String> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    match rustix::fs::open(c"/dev/kvm", flags, rustix::fs::Mode::empty()) {
        Ok(_) => None,
        Err(rustix::io::Errno::NOENT) => Some("there is no /dev/kvm".to_owned()),
        Err(rustix::io::Errno::ACCESS) => Some(
            "/dev/kvm is not open to this user (become a member of the group it belongs to, often `kvm`)"
                .to_owned(),
        ),
        Err(errno) => Some(format!("/dev/kvm cannot be opened: {errno}")),
    }
}

/// Runs the test guest; `None` if it lived, else what happened.
pub fn run_test_guest(tools: &Path, kvm: bool) -> Result<Option<String>, Error> {
    let work = tempfile::tempdir().map_err(|e| lazuli_fs::Error::new("make a directory in", "/tmp", e))?;
    lazuli_fs::write(work.path().join("disk"), boot_disk())?;
    let mut sandbox =
        Sandbox::new(tools).bind(work.path(), "/work", Access::ReadWrite).network(Network::None);
    if kvm {
        sandbox = sandbox.device("/dev/kvm");
    }
    let mut child = sandbox
        .command("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "64"])
        .args(command_line::accelerator(kvm))
        .args(["-drive", "file=/work/disk,format=raw,if=ide", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .stdout(Output::Null)
        .stderr(Output::File(lazuli_fs::create(work.path().join("stderr"))?))
        .spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    child.kill();
    let said = lazuli_fs::read(work.path().join("stderr")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().lines().next().unwrap_or_default().to_owned();
    let said = if said.is_empty() { said } else { format!(" ({said})") };
    Ok(match status {
        None => Some(format!("/dev/kvm is there, but a test guest {HUNG} on it{said}")),
        Some(status) if status.code() == Some(ALIVE) => None,
        Some(_) => Some(format!("/dev/kvm is there, but a test guest died on it{said}")),
    })
}

/// Runs the firmware without anything to start; `None` if it said so, else what happened.
pub fn run_firmware(tools: &Path, kvm: bool) -> Result<Option<String>, Error> {
    let work = tempfile::tempdir().map_err(|e| lazuli_fs::Error::new("make a directory in", "/tmp", e))?;
    let variables = lazuli_fs::read(tools.join(command_line::FIRMWARE_VARIABLES))?;
    lazuli_fs::write(work.path().join("vars.fd"), variables)?;
    let mut sandbox =
        Sandbox::new(tools).bind(work.path(), command_line::WORK, Access::ReadWrite).network(Network::None);
    if kvm {
        sandbox = sandbox.device("/dev/kvm");
    }
    let mut child = sandbox
        .command("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
            "-m",
            "256",
            "-smp",
            "2",
        ])
        .args(command_line::accelerator(kvm))
        .args(command_line::firmware(&crate::Firmware::Plain))
        .args(["-serial", &format!("file:{}/serial", command_line::WORK), "-no-reboot"])
        .stdout(Output::Null)
        .stderr(Output::Null)
        .spawn()?;
    let end = Instant::now() + FIRMWARE_LIMIT;
    let result = loop {
        let ended = child.wait_timeout(POLL)?;
        // It is not there before QEMU has opened it.
        let said = lazuli_fs::read(work.path().join("serial")).unwrap_or_default();
        if said.windows(SIGN.len()).any(|text| text == SIGN) {
            break None;
        }
        if ended.is_some() {
            break Some("/dev/kvm is there, but the firmware died on it".to_owned());
        }
        if Instant::now() > end {
            break Some(format!("/dev/kvm is there, but the firmware {HUNG} on it"));
        }
    };
    child.kill();
    Ok(result)
}

/// How the firmware begins what it says of the things that it tries to start.
const SIGN: &[u8] = b"BdsDxe";

/// A disk of 1 MiB (firmware does not read from smaller ones) whose first sector is the test guest.
fn boot_disk() -> Vec<u8> {
    let mut disk: Vec<u8> = TEST_GUEST.concat();
    disk.resize(510, 0);
    disk.extend_from_slice(&[0x55, 0xaa]);
    disk.resize(1 << 20, 0);
    disk
}

/// The test guest's machine code; the firmware loads it at 0x7c00 and starts it in 16-bit mode.
#[rustfmt::skip]
const TEST_GUEST: [&[u8]; 53] = [
    &[0xfa],             // cli
    &[0x31, 0xc0],       // xor ax, ax
    &[0x8e, 0xd8],       // mov ds, ax
    &[0x8e, 0xc0],       // mov es, ax
    &[0x8e, 0xd0],       // mov ss, ax
    &[0xbc, 0x00, 0x7c], // mov sp, 0x7c00
    // Page tables at 0x1000, 0x2000 and 0x3000: the first 4 MiB, each address as it is.
    &[0xbf, 0x00, 0x10],                                     // mov di, 0x1000
    &[0x66, 0x31, 0xc0],                                     // xor eax, eax
    &[0xb9, 0x00, 0x0c],                                     // mov cx, 0xc00
    &[0xfc],                                                 // cld
    &[0x66, 0xf3, 0xab],                                     // rep stosd
    &[0x66, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, 0x00, 0x00], // mov dword [0x1000], 0x2003
    &[0x66, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, 0x00, 0x00], // mov dword [0x2000], 0x3003
    &[0x66, 0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0x00, 0x00], // mov dword [0x3000], 0x83
    &[0x66, 0xc7, 0x06, 0x08, 0x30, 0x83, 0x00, 0x20, 0x00], // mov dword [0x3008], 0x200083
    // Long mode: PAE, the tables' address, EFER.LME, protection and paging.
    &[0x0f, 0x01, 0x16, 0xd8, 0x7c],                   // lgdt [0x7cd8]
    &[0x66, 0xb8, 0x20, 0x00, 0x00, 0x00],             // mov eax, 0x20
    &[0x0f, 0x22, 0xe0],                               // mov cr4, eax
    &[0x66, 0xb8, 0x00, 0x10, 0x00, 0x00],             // mov eax, 0x1000
    &[0x0f, 0x22, 0xd8],                               // mov cr3, eax
    &[0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0],             // mov ecx, 0xc0000080
    &[0x0f, 0x32],                                     // rdmsr
    &[0x66, 0x0f, 0xba, 0xe8, 0x08],                   // bts eax, 8
    &[0x0f, 0x30],                                     // wrmsr
    &[0x66, 0xb8, 0x01, 0x00, 0x00, 0x80],             // mov eax, 0x80000001
    &[0x0f, 0x22, 0xc0],                               // mov cr0, eax
    &[0x66, 0xea, 0x74, 0x7c, 0x00, 0x00, 0x08, 0x00], // jmp 8:0x7c74
    // 64-bit from here (0x7c74).
    &[0xb8, 0x10, 0x00, 0x00, 0x00], // mov eax, 0x10
    &[0x8e, 0xd0],                   // mov ss, eax
    &[0x8e, 0xd8],                   // mov ds, eax
    &[0x8e, 0xc0],                   // mov es, eax
    &[0xbf, 0x00, 0x00, 0x10, 0x00], // mov edi, 0x100000
    &[0xb9, 0x00, 0x00, 0x01, 0x00], // mov ecx, 0x10000
    &[0x48, 0x89, 0x0f],             // store: mov [rdi], rcx
    &[0x48, 0x83, 0xc7, 0x08],       // add rdi, 8
    &[0xe2, 0xf7],                   // loop store
    &[0x31, 0xc0],                   // xor eax, eax
    &[0xb9, 0x00, 0x00, 0x01, 0x00], // mov ecx, 0x10000
    &[0x48, 0x83, 0xef, 0x08],       // sum: sub rdi, 8
    &[0x48, 0x03, 0x07],             // add rax, [rdi]
    &[0xe2, 0xf7],                   // loop sum
    // 1 + 2 + ... + 65536; the status is 1 if it is something else.
    &[0x48, 0xbb, 0x00, 0x80, 0x00, 0x80, 0, 0, 0, 0], // mov rbx, 0x80008000
    &[0xb2, 0x01],                                     // mov dl, 1
    &[0x48, 0x39, 0xd8],                               // cmp rax, rbx
    &[0x75, 0x04],                                     // jne end
    &[0x0f, 0xa2],                                     // cpuid
    &[0xb2, 0x31],                                     // mov dl, 0x31
    &[0x88, 0xd0],                                     // end: mov al, dl
    &[0xe6, 0xf4],                                     // out 0xf4, al
    &[0xf4, 0xeb, 0xfd, 0x66, 0x90],                   // halt: hlt; jmp halt; padding
    // Segments (0x7cc0): none, 64-bit code, data; then their limit and address (0x7cd8).
    &[0, 0, 0, 0, 0, 0, 0, 0],
    &[0, 0, 0, 0, 0x00, 0x9a, 0x20, 0x00, 0, 0, 0, 0, 0x00, 0x92, 0x00, 0x00],
    &[0x17, 0x00, 0xc0, 0x7c, 0x00, 0x00],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_guest_is_a_boot_sector_with_its_tables_in_place() {
        let disk = boot_disk();
        assert_eq!(disk.len(), 1 << 20);
        assert_eq!(disk.get(510..512), Some([0x55, 0xaa].as_slice()));
        // Where the code looks for them.
        assert_eq!(disk.get(0x74..0x76), Some([0xb8, 0x10].as_slice()), "64-bit entry");
        assert_eq!(
            disk.get(0xd8..0xde),
            Some([0x17, 0x00, 0xc0, 0x7c, 0x00, 0x00].as_slice()),
            "GDT register"
        );
        assert_eq!(disk.get(0xcd), Some(&0x9a), "code segment");
        assert_eq!(TEST_GUEST.concat().len(), 222);
    }

    #[test]
    fn emulation_on_request_needs_no_probe() {
        let mut config = VmConfig::new("/no/tools", "/image", crate::Format::Raw, "/w", "/c");
        config.acceleration = Acceleration::Tcg;
        assert!(!choose(&config).expect("no probe").kvm);
    }

    #[test]
    fn a_remembered_probe_of_another_boot_does_not_count() {
        let remembered = Remembered {
            probe: PROBE,
            boot_id: "a".into(),
            tools: "/t".into(),
            failure: Some("x".into()),
            until: Some(7),
        };
        let text = serde_json::to_string(&remembered).expect("serialises");
        assert_eq!(serde_json::from_str::<Remembered>(&text).expect("parses"), remembered);
    }
}
