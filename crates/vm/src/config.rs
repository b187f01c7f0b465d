//! What a caller asks of a virtual machine.

use std::path::PathBuf;
use std::time::Duration;

/// The format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's own format.
    Qcow2,
    /// Azure's fixed VHD.
    Vhd,
}

impl Format {
    /// QEMU's name of the format.
    pub fn driver(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vpc",
        }
    }
}

/// Which accelerator is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acceleration {
    /// KVM if a probe shows that guests live, else emulation.
    #[default]
    Auto,
    /// KVM; an error if the probe fails.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What happens to the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// Writes go to a scratch overlay and are lost afterwards.
    #[default]
    Discard,
    /// Writes go to the image.
    Persist,
}

/// The machine's firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Firmware {
    /// OVMF without Secure Boot.
    #[default]
    Plain,
    /// OVMF with Secure Boot enforced.
    SecureBoot {
        /// The content of the flash chip with the variables: [`firmware_variables`](crate::firmware_variables) with keys
        /// enrolled. Each run begins with it anew.
        variables: Vec<u8>,
    },
}

/// A virtual machine to be run.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// The tool root directory with QEMU, OVMF and the SSH client.
    pub tools: PathBuf,
    /// The disk image.
    pub image: PathBuf,
    /// Its format.
    pub format: Format,
    /// What happens to it.
    pub writes: Writes,
    /// Grow the disk that the guest sees to this many bytes, if it is smaller. Only with
    /// [`Writes::Discard`]: the image itself is never resized.
    pub disk_size: Option<u64>,
    /// Its firmware.
    pub firmware: Firmware,
    /// What its firmware says is the machine's UUID, as text; without one it says none, and each start is another machine.
    pub uuid: Option<String>,
    /// A TPM 2.0 in software, whose state is in this directory (made if it is not there).
    pub tpm: Option<PathBuf>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// The wanted accelerator.
    pub acceleration: Acceleration,
    /// An existing directory for this run's scratch files: overlay, firmware variables, sockets, keys.
    pub work: PathBuf,
    /// Where the result of the KVM probe is remembered until the next boot of the host.
    pub cache: PathBuf,
    /// Give up after this time.
    pub timeout: Option<Duration>,
    /// TCP ports of 127.0.0.1 on the host that lead to ports of the guest: (host, guest).
    pub forward: Vec<(u16, u16)>,
    /// Files that the guest writes early in its boot, over what the image has.
    pub files: Vec<GuestFile>,
    /// systemd credentials for the guest: name and value.
    pub credentials: Vec<(String, Vec<u8>)>,
    /// A kernel, its command line and the initial RAM disk to boot instead of what the disk holds.
    pub direct_kernel: Option<DirectKernel>,
}

/// A small file for the guest. It travels in the firmware's tables, which hold some 40 kB in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute path, without blanks.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// A kernel handed to QEMU instead of booting from the disk.
#[derive(Debug, Clone)]
pub struct DirectKernel {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
}

impl VmConfig {
    /// A machine with 2 processors and 2 GiB of memory that discards writes.
    pub fn new(
        tools: impl Into<PathBuf>,
        image: impl Into<PathBuf>,
        format: Format,
        work: impl Into<PathBuf>,
        cache: impl Into<PathBuf>,
    ) -> Self {
        Self {
            tools: tools.into(),
            image: image.into(),
            format,
            writes: Writes::Discard,
            disk_size: None,
            firmware: Firmware::Plain,
            uuid: None,
            tpm: None,
            memory_mib: 2048,
            cpus: 2,
            acceleration: Acceleration::Auto,
            work: work.into(),
            cache: cache.into(),
            timeout: None,
            forward: Vec::new(),
            files: Vec::new(),
            credentials: Vec::new(),
            direct_kernel: None,
        }
    }
}
