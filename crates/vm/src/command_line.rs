//! QEMU's command line, as a function of the configuration.
//!
//! The machine is q35 with OVMF, virtio devices, and nothing that is not asked for. All paths are those
//! inside the sandbox.

use crate::accel::Accelerator;
use crate::credentials::Credentials;
use crate::{Error, Firmware, Format, VmConfig, Writes, tpm};

/// Where the run's scratch directory is inside.
pub(crate) const WORK: &str = "/work";
/// Where the image is inside.
pub(crate) const IMAGE: &str = "/image";
/// Where a kernel that is booted directly is inside.
pub(crate) const KERNEL: &str = "/kernel";
/// Where its initial RAM disk is inside.
pub(crate) const INITRD: &str = "/initrd";
/// The firmware's code without Secure Boot, in the tool root.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/// The firmware's code with Secure Boot. It keeps its variables from the guest by system management mode.
const FIRMWARE_SECURE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
/// The firmware's initial variables, in the tool root.
pub(crate) const FIRMWARE_VARIABLES: &str = "usr/share/OVMF/OVMF_VARS_4M.fd";

/// What the run's streams are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Console {
    /// The serial console is the caller's terminal; Ctrl-a x ends QEMU.
    Terminal,
    /// It goes to a file only.
    Log,
}

/// QEMU's options that give the machine its firmware, with variables in the run's directory.
pub(crate) fn firmware(firmware: &Firmware) -> [String; 4] {
    let code = match firmware {
        Firmware::Plain => FIRMWARE,
        Firmware::SecureBoot { .. } => FIRMWARE_SECURE,
    };
    [
        "-drive".to_owned(),
        format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        "-drive".to_owned(),
        format!("if=pflash,unit=1,format=raw,file={WORK}/vars.fd"),
    ]
}

/// QEMU's options that say how the guest's processor runs.
pub(crate) fn accelerator(kvm: bool) -> Vec<String> {
    let words = if kvm {
        ["-accel", "kvm", "-cpu", "host"]
    } else {
        // Without cmpxchg16b and five-level paging: QEMU 7.2 emulated the former wrongly.
        ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,cx16=off,la57=off"]
    };
    words.map(str::to_owned).into()
}

/// The arguments of `qemu-system-x86_64`.
pub(crate) fn arguments(
    config: &VmConfig,
    accel: &Accelerator,
    console: Console,
    credentials: &Credentials,
) -> Result<Vec<String>, Error> {
    let mut line = Line(Vec::new());
    line.add("-nodefaults").add("-no-user-config").option("-display", "none");
    let secure = matches!(config.firmware, Firmware::SecureBoot { .. });
    line.option("-machine", format!("q35,smm={},vmport=off", if secure { "on" } else { "off" }));
    if secure {
        // Only code in system management mode may write to the flash chip with the variables.
        line.option("-global", "driver=cfi.pflash01,property=secure,value=on");
        line.option("-global", "ICH9-LPC.disable_s3=1");
    }
    line.0.extend(accelerator(accel.kvm));
    line.option("-smp", config.cpus.to_string()).option("-m", config.memory_mib.to_string());
    if let Some(uuid) = &config.uuid {
        line.option("-uuid", uuid);
    }
    for pair in firmware(&config.firmware).chunks_exact(2) {
        line.option(&pair[0], pair[1].clone());
    }
    // What is thrown away afterwards needs no flush to the disk.
    let (file, format, cache) = match config.writes {
        Writes::Discard => (format!("{WORK}/disk.qcow2"), Format::Qcow2.driver(), "unsafe"),
        Writes::Persist => (IMAGE.to_owned(), config.format.driver(), "writeback"),
    };
    line.option("-drive", format!("if=none,id=disk,file={file},format={format},cache={cache},discard=unmap"));
    line.option("-device", "virtio-blk-pci,drive=disk,bootindex=1");
    let mut network = "user,id=net".to_owned();
    for (host, guest) in &config.forward {
        network = format!("{network},hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    }
    line.option("-netdev", network).option("-device", "virtio-net-pci,netdev=net,romfile=");
    line.option("-device", "virtio-rng-pci");
    if config.tpm.is_some() {
        line.option("-chardev", format!("socket,id=tpm,path={}", tpm::SOCKET));
        line.option("-tpmdev", "emulator,id=tpm,chardev=tpm").option("-device", "tpm-crb,tpmdev=tpm");
    }
    line.option("-device", "virtio-serial-pci");
    match console {
        Console::Terminal => {
            line.option("-chardev", format!("stdio,id=console,mux=on,signal=off,logfile={WORK}/console.log"));
            line.option("-mon", "chardev=console,mode=readline");
        }
        Console::Log => {
            line.option("-chardev", format!("file,id=console,path={WORK}/console.log"));
            // A guest that panics and restarts has ended; nobody watches it.
            line.add("-no-reboot");
            for port in ["stdout", "stderr", "status"] {
                line.option("-chardev", format!("file,id={port},path={WORK}/{port}"));
                line.option("-device", format!("virtserialport,chardev={port},name=org.lazuli.{port}"));
            }
        }
    }
    line.option("-serial", "chardev:console");
    for string in credentials.smbios()? {
        line.option("-smbios", format!("type=11,value={string}"));
    }
    if let Some(direct) = &config.direct_kernel {
        line.option("-kernel", KERNEL).option("-append", &direct.command_line);
        if direct.initrd.is_some() {
            line.option("-initrd", INITRD);
        }
    }
    Ok(line.0)
}

struct Line(Vec<String>);

impl Line {
    fn add(&mut self, word: &str) -> &mut Self {
        self.0.push(word.to_owned());
        self
    }

    fn option(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.0.push(name.to_owned());
        self.0.push(value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectKernel;

    fn shown(config: &VmConfig, kvm: bool, console: Console, credentials: &Credentials) -> String {
        let accel = Accelerator { kvm, why: String::new() };
        let words = arguments(config, &accel, console, credentials).expect("fits");
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_throw_away_run_by_emulation() {
        let config = VmConfig::new("/tools", "/core.raw", Format::Raw, "/w", "/c");
        let mut credentials = Credentials::default();
        credentials.add("x", "y");
        insta::assert_snapshot!(shown(&config, false, Console::Log, &credentials));
    }

    #[test]
    fn with_secure_boot_only_the_firmware_may_change_its_variables() {
        let mut config = VmConfig::new("/tools", "/core.raw", Format::Raw, "/w", "/c");
        config.firmware = Firmware::SecureBoot { variables: Vec::new() };
        let line = shown(&config, false, Console::Log, &Credentials::default());
        for part in ["smm=on", "OVMF_CODE_4M.secboot.fd", "cfi.pflash01,property=secure,value=on"] {
            assert!(line.contains(part), "{part}\n{line}");
        }
    }

    #[test]
    fn a_tpm_is_spoken_to_over_a_socket_of_the_run_and_an_identity_is_passed_on() {
        let mut config = VmConfig::new("/tools", "/core.raw", Format::Raw, "/w", "/c");
        config.tpm = Some("/state".into());
        config.uuid = Some("0e2d8f4e-9d3c-4c0b-8a55-0d5b8ab7c101".into());
        let line = shown(&config, false, Console::Log, &Credentials::default());
        for part in [
            "socket,id=tpm,path=/work/tpm/socket",
            "-tpmdev emulator,id=tpm,chardev=tpm",
            "tpm-crb",
            "-uuid 0e2d8f4e-",
        ] {
            assert!(line.contains(part), "{part}\n{line}");
        }
    }

    #[test]
    fn an_interactive_run_on_kvm_that_changes_the_image() {
        let mut config = VmConfig::new("/tools", "/core.vhd", Format::Vhd, "/w", "/c");
        config.writes = Writes::Persist;
        config.forward = vec![(2222, 22), (8080, 80)];
        config.direct_kernel = Some(DirectKernel {
            kernel: "/k".into(),
            initrd: None,
            command_line: "console=ttyS0 quiet".to_owned(),
        });
        insta::assert_snapshot!(shown(&config, true, Console::Terminal, &Credentials::default()));
    }
}
