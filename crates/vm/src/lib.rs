//! Running an image in QEMU: interactively, for one command, or over SSH.
//!
//! QEMU, its firmware and the SSH client come from a tool root and run in the sandbox, with the host's
//! network. KVM is used only after a test guest has been seen to live on it ([`accel`]). What a run
//! places in the guest (a command, keys) goes in as systemd credentials through firmware tables, so the
//! image is the same with and without it, and its writes are discarded unless they are asked to stay.
//!
//! This crate knows nothing of how an image is made.

pub mod accel;
mod base64;
mod command_line;
mod config;
mod console;
mod credentials;
mod error;
mod run;
mod tpm;

pub use config::{Acceleration, DirectKernel, Firmware, Format, GuestFile, VmConfig, Writes};
pub use error::Error;
pub use run::{Stream, exec, firmware_variables, interactive, ssh};
