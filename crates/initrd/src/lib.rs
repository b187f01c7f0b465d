//! The initrd: what runs between the kernel and systemd when an image is started by its second profile.
//!
//! ```text
//! kernel ──> /init ── devtmpfs, proc, sysfs
//!              │      modules for the devices that there are   (modules, glob)
//!              │      partitions of the root, by their GUIDs   (devices, gpt)
//!              │      dm-verity, by the table of the kernel's command line   (command_line, table, dm)
//!              ▼
//!            erofs, read-only ──> /sbin/init
//! ```
//!
//! The default profile has no initrd: the kernel maps the root itself, and panics if its partitions are not there when
//! its drivers have probed. This program does the same later and more patiently: it loads modules that the kernel has not
//! built in, and waits for devices that need long.
//!
//! # Rules
//!
//! - It ends in one of two ways: the verified root's `/sbin/init` runs, or the machine restarts, so that a boot try is
//!   used up. There is no shell, no prompt and no waiting without a limit. What hangs in a system call is ended by a
//!   second thread ([`boot`]), and what hangs in the kernel by the watchdog, which runs since before this program.
//! - Nothing is mounted but the verity device that the signed command line describes; whether its signature is good is
//!   decided by the kernel.
//! - What it reads (command line, partition tables, sysfs, module index) is taken for hostile. Parsers take bytes and have
//!   limits; no sum, index or length from outside can make it panic, and a panic would end in a restart, too.
//! - It has no dependency but `rustix`, and is linked statically: there is no library in an initrd.
//!
//! The composer of images uses [`modules`] to choose the modules, and [`INIT`] and [`command_line`] for names.

pub mod boot;
pub mod command_line;
mod console;
pub mod devices;
pub mod dm;
mod error;
mod file;
pub mod glob;
pub mod gpt;
pub mod modules;
mod switch;
pub mod table;

pub use error::{Error, Result};

/// Where a package puts the program, for the composer to find.
pub const INIT: &str = "usr/lib/lazuli/initrd";
/// Where the modules of a kernel are, in the root as in the initrd: `lib/modules/RELEASE`.
pub const MODULES: &str = "lib/modules";
