//! `lazuli run`: an image, built if needed, in a virtual machine.

use crate::cli::RunArgs;
use crate::images::export;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_image::Format;
use lazuli_layout::Guid;
use lazuli_store::Digest;
use lazuli_vm::{Acceleration, GuestFile, Stream, VmConfig, Writes, accel};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Builds, boots, and returns the exit status.
pub fn run(workspace: &Workspace, args: &RunArgs) -> Result<u8> {
    let built = workspace.build_image(&args.image, &[Format::Raw])?;
    let tools = workspace.tool_root("vm")?;
    let work = workspace.store.tempdir()?;
    let image = match (&args.persist, built.disk.file(Format::Raw)) {
        (Some(path), Some(raw)) => {
            if !path.exists() {
                export(&raw.path, path)?;
                // The image itself never grows; this copy belongs to the person.
                let file = std::fs::OpenOptions::new().write(true).open(path)?;
                file.set_len(file.metadata()?.len().max(args.disk << 30))?;
            }
            path.clone()
        }
        (None, Some(raw)) => raw.path.clone(),
        (_, None) => anyhow::bail!("the image has no raw disk"),
    };
    let mut config =
        VmConfig::new(&tools, image, lazuli_vm::Format::Raw, work.path(), workspace.store.root());
    config.writes = if args.persist.is_some() { Writes::Persist } else { Writes::Discard };
    config.disk_size = args.persist.is_none().then_some(args.disk << 30);
    config.firmware = workspace.firmware(&built, &tools)?;
    config.uuid = args.persist.as_deref().map(machine_uuid).transpose()?;
    config.tpm =
        args.tpm.then(|| args.persist.as_deref().map_or_else(|| work.path().join("tpm-state"), tpm_state));
    config
        .credentials
        .extend(args.credential.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())));
    config.memory_mib = args.memory;
    config.cpus = args.cpus;
    config.forward.extend(&args.forward);
    config.timeout = args.timeout.map(Duration::from_secs);
    config.files.extend(args.repository.as_deref().map(|url| repository(workspace, url)).transpose()?);
    config.acceleration = match args.accel.as_str() {
        "kvm" => Acceleration::Kvm,
        "tcg" => Acceleration::Tcg,
        _ => Acceleration::Auto,
    };
    let accelerator = accel::choose(&config)?;
    workspace.ui.line(format!("starting {} with {}", args.image, accelerator.why));
    let verbose = workspace.global.verbose > 0;
    let status = if let Some(command) = &args.exec {
        lazuli_vm::exec(&config, &accelerator, command, |stream, bytes| {
            // A closed pipe on our side must not kill the guest in the middle of its work.
            let _closed = match stream {
                Stream::Stdout => std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()),
                Stream::Stderr => std::io::stderr().write_all(bytes),
                Stream::Console if verbose => std::io::stderr().write_all(bytes),
                Stream::Console => Ok(()),
            };
        })?
    } else if args.ssh {
        lazuli_vm::ssh(&config, &accelerator, None, |bytes| {
            if verbose {
                let _closed = std::io::stderr().write_all(bytes);
            }
        })?
    } else {
        workspace.ui.line("console of the guest; Ctrl-a x ends it");
        lazuli_vm::interactive(&config, &accelerator)?;
        0
    };
    Ok(u8::try_from(status).unwrap_or(1))
}

/// The UUID of the machine that a disk belongs to: the same at every start. Its version is 8 (RFC 9562, section 5.8).
fn machine_uuid(disk: &Path) -> Result<String> {
    let disk = std::fs::canonicalize(disk).with_context(|| format!("cannot find {}", disk.display()))?;
    let digest = Digest::of(disk.as_os_str().as_encoded_bytes());
    let mut number = [0; 16];
    number.copy_from_slice(&digest.as_bytes()[..16]);
    number[6] = number[6] & 0x0f | 0x80;
    number[8] = number[8] & 0x3f | 0x80;
    Ok(Guid::from_u128(u128::from_be_bytes(number)).to_string())
}

/// Where the state of the TPM that belongs to a disk is kept.
fn tpm_state(disk: &Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".tpm");
    name.into()
}

/// The distribution's repository file with another address: everything that it checks stays checked.
fn repository(workspace: &Workspace, url: &str) -> Result<GuestFile> {
    let well_formed = ["http://", "https://", "file:///"].iter().any(|scheme| url.starts_with(scheme))
        && !url.contains(char::is_whitespace);
    anyhow::ensure!(well_formed, "`{url}` is not the address of a repository, such as http://10.0.2.2:8000/");
    let distro = &workspace.source.distro;
    let content = format!(
        "# Written by `lazuli run --repository`.\n[{}]\nname={}\nbaseurl={url}\nenabled=1\ngpgcheck=1\n\
         repo_gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-lazuli\n",
        distro.id, distro.name
    );
    Ok(GuestFile {
        path: "/etc/yum.repos.d/lazuli.repo".to_owned(),
        mode: 0o644,
        content: content.into_bytes(),
    })
}
