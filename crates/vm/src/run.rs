//! The three ways to run a machine.

use crate::accel::Accelerator;
use crate::{Error, VmConfig};

/// One of a command's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Runs the machine with its serial console on the caller's terminal until it powers off or the
/// person presses Ctrl-a x.
pub fn interactive(config: &VmConfig, accelerator: &Accelerator) -> Result<(), Error> {
    let _ = (config, accelerator);
    Ok(())
}

/// Boots the machine, runs `command` by `/bin/sh -c` in the guest, hands its output on as it comes,
/// stops the machine and returns the command's exit status (128 + n for death by signal n).
pub fn exec(
    config: &VmConfig,
    accelerator: &Accelerator,
    command: &str,
    output: impl FnMut(Stream, &[u8]),
) -> Result<i32, Error> {
    let _ = (config, accelerator, command, output);
    Ok(0)
}

/// Boots the machine, waits for its SSH server, and runs the SSH client: with `command`, or
/// interactively. Returns the client's exit status.
pub fn ssh(config: &VmConfig, accelerator: &Accelerator, command: Option<&str>) -> Result<i32, Error> {
    let _ = (config, accelerator, command);
    Ok(0)
}
