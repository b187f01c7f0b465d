//! What can go wrong.

use std::path::PathBuf;

/// Why there is no boot entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// `depmod`.
    #[error("the modules of kernel {release} have no index, so none of them can be loaded: {source}")]
    Index {
        /// The kernel.
        release: String,
        /// What `depmod` said.
        source: lazuli_fs::process::Error,
    },
    /// Somebody else is at it.
    #[error("boot entries are being changed by somebody else, who has {path} locked; run `lapis boot-entries` later",
        path = .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No EFI system partition.
    #[error(
        "no EFI system partition with a boot loader is mounted at {looked}, and the firmware's variables do not lead to \
         one; mount it at /efi and run `lapis boot-entries`"
    )]
    NoEsp {
        /// Where one was looked for.
        looked: String,
    },
    /// No space.
    #[error(
        "the EFI system partition at {esp} has {available} MiB left and kernel {release} needs {needed} MiB; \
         `lapis remove --oldinstallonly` removes older kernels, `lapis boot-entries` then tries again", esp = .esp.display()
    )]
    Space {
        /// Where it is.
        esp: PathBuf,
        /// The kernel.
        release: String,
        /// MiB needed.
        needed: u64,
        /// MiB there are.
        available: u64,
    },
    /// Nothing says how to start a kernel.
    #[error(
        "no kernel command line: neither /etc/kernel/cmdline nor /usr/lib/kernel/cmdline is there, and \
         /proc/cmdline has no root="
    )]
    NoCommandLine,
    /// The system does not say what it is.
    #[error("{path} has no {key}; it is needed to name boot entries", path = .path.display())]
    OsRelease {
        /// The file.
        path: PathBuf,
        /// What is missing.
        key: &'static str,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
