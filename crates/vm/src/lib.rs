//! Running an image in QEMU: interactively, for one command, or over SSH.

pub mod accel;
mod config;
mod error;
mod run;

pub use config::{Acceleration, DirectKernel, Format, VmConfig, Writes};
pub use error::Error;
pub use run::{Stream, exec, interactive, ssh};
