//! Boot entries of the kernels that are installed as packages.
//!
//! An image is made with one kernel, inside a unified kernel image on the EFI system partition. Kernels that
//! come later as packages lie in `/usr/lib/modules/RELEASE`, where no boot loader looks. This crate gives
//! each of them an entry of the Boot Loader Specification (UAPI.1, type 1), and takes entries away whose
//! kernel is gone:
//!
//! ```text
//! /usr/lib/modules/RELEASE/vmlinuz    what the package ships
//! ESP/lazuli/RELEASE/linux.efi        a copy; the kernel is its own EFI program
//! ESP/loader/entries/lazuli-RELEASE.conf
//! ESP/EFI/Linux/lazuli-1.0.efi        of the image: stays while the kernel in it is installed
//! ```
//!
//! # Which kernel is started
//!
//! systemd-boot takes the first entry in its own order: by sort key, then by version, newest first. The sort
//! key is os-release's ID, as for the unified kernel image. The version is that of the system, a dash, and
//! the kernel's release: newer than the image's own (`1.0` < `1.0-6.12.9`), and among packages the newest
//! kernel first. Entries have no machine ID, because the unified kernel image has none and the ID is compared
//! before the version.
//!
//! # Power cuts
//!
//! FAT knows no journal, so every step leaves a system that starts ([`plan`] has the order): a kernel is
//! complete and flushed before an entry names it, an entry is gone before its kernel goes, and nothing is
//! taken away before all that is new is there; or, if there is no space for both, before something that stays can
//! be started. Each file is written under another name, flushed and renamed.
//! A step that did not happen happens at the next run: what is to be done is always found by looking.
//!
//! This crate knows nothing of packages: what is in `/usr/lib/modules` is installed. Loading modules takes an
//! index that no package has either: see [`modules`].

mod carry;
mod error;
mod esp;
mod lock;
pub mod modules;
mod pe;
mod plan;
mod scan;

pub use carry::{carry_out, carry_out_within};
pub use error::{Error, Result};
pub use esp::{Esp, is_chroot};
pub use lock::Lock;
pub use plan::{Step, plan};
pub use scan::{Entry, Kernel, State, Unified, scan};

use std::path::Path;

/// Makes the entries on `esp` match the kernels in `root`; returns what was done. Whoever calls it for a running
/// system has the [`Lock`].
pub fn update(root: &Path, esp: &Path) -> Result<Vec<Step>> {
    let state = scan(root, esp)?;
    let steps = plan(&state);
    carry_out(root, esp, &state, &steps)?;
    Ok(steps)
}
