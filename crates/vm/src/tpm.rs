//! A TPM 2.0 for the machine: swtpm, in a sandbox of its own.
//!
//! QEMU hands commands to it over a socket in a directory that only this run has, and that is all the two share: swtpm
//! sees its state and the socket, not the disk and not the network. What a guest stores in its TPM is on the disk of the
//! host as soon as the TPM says so, so swtpm may be killed at any time. It ends when QEMU hangs up, when its [`Child`] is
//! dropped, and when the thread that started it ends, whatever that one died of.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lazuli_sandbox::{Access, Child, Network, Output, Sandbox};

use crate::console::Tail;
use crate::{Error, VmConfig};

/// The directory of the socket, below the run's scratch directory.
const DIRECTORY: &str = "tpm";
/// The socket in QEMU's sandbox.
pub(crate) const SOCKET: &str = "/work/tpm/socket";
/// How long swtpm may take until its socket is there; it needs milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
/// How often that is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Starts the TPM that the configuration asks for, and waits until QEMU can speak to it. What is returned has to
/// outlive QEMU; dropping it ends swtpm.
pub(crate) fn start(config: &VmConfig) -> Result<Option<Child>, Error> {
    let Some(state) = &config.tpm else { return Ok(None) };
    let socket = config.work.join(DIRECTORY);
    for directory in [state, &socket] {
        lazuli_fs::create_dir_all(directory)?;
        // Whoever reads the state has every key of this TPM.
        lazuli_fs::set_mode(directory, 0o700)?;
    }
    let errors = config.work.join("swtpm-stderr");
    let mut child = Sandbox::new(&config.tools)
        .bind(state, "/state", Access::ReadWrite)
        .bind(&socket, "/tpm", Access::ReadWrite)
        .network(Network::None)
        .command("swtpm")
        .args(["socket", "--tpm2", "--tpmstate", "dir=/state,mode=0600"])
        .args(["--ctrl", "type=unixio,path=/tpm/socket,mode=0600", "--terminate"])
        .stdout(Output::Null)
        .stderr(Output::File(lazuli_fs::create(&errors)?))
        .spawn()?;
    let socket = socket.join("socket");
    let end = Instant::now() + LIMIT;
    while !is_socket(&socket) {
        let ended = child.wait_timeout(POLL)?;
        if ended.is_some() || Instant::now() > end {
            let mut said = Tail::default();
            said.push(&lazuli_fs::read(&errors).unwrap_or_default());
            let what = ended.map_or_else(
                || format!("did not open its socket within {} s", LIMIT.as_secs()),
                |status| format!("ended at once ({status})"),
            );
            return Err(Error::Tpm { what, state: state.clone(), said: said.into_lines() });
        }
    }
    Ok(Some(child))
}

fn is_socket(path: &Path) -> bool {
    lazuli_fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}
