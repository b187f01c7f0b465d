//! Why a virtual machine did not do its work.

use std::path::PathBuf;

/// Why a virtual machine did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU could not be run in the sandbox.
    #[error(transparent)]
    Sandbox(#[from] lazuli_sandbox::Error),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] lazuli_fs::Error),
    /// KVM was demanded and does not work.
    #[error("KVM does not work here: {why}\n  Leave out `--accel kvm` to use software emulation.")]
    NoKvm {
        /// What the probe saw.
        why: String,
    },
    /// The time was up.
    #[error("{what} within {seconds} s{}", console_text(.console))]
    Timeout {
        /// What did not happen.
        what: String,
        /// The limit in seconds.
        seconds: u64,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// QEMU ended before the guest had answered.
    #[error("the virtual machine ended before {what}{}{}", lines_text("QEMU said", .stderr), console_text(.console))]
    Ended {
        /// What was waited for.
        what: String,
        /// The last lines of QEMU's standard error.
        stderr: Vec<String>,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The TPM in software did not come up.
    #[error("the TPM in software (swtpm, state in {}) {what}{}", .state.display(), lines_text("it said", .said))]
    Tpm {
        /// What happened.
        what: String,
        /// The directory of its state.
        state: PathBuf,
        /// The last lines of its standard error.
        said: Vec<String>,
    },
    /// The configuration contradicts itself or cannot be expressed.
    #[error("{0}")]
    Config(String),
}

fn lines_text(title: &str, lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("\n  {title}:\n    {}", lines.join("\n    ")) }
}

fn console_text(lines: &[String]) -> String {
    lines_text("the console's last lines", lines)
}
