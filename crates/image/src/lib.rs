//! Composing package trees into root file systems, UKIs and disk images.
//!
//! ```text
//! packages ──merge──> tree ──passes──> root tree ──mke2fs -d──> ext4 ─┐
//!                                          │                          ├─ GPT ──> raw ──> qcow2, VHD
//!                                          └─ kernel, os-release ─UKI─> ESP ─┘
//!
//! with slots:  root tree ──mkfs.erofs──> erofs ──> hash tree ──root hash, signed──> UKI, signed
//!                  └─ program, modules ──cpio──> initrd of the second profile ───────┘
//! ```
//!
//! - [`compose`] merges the packages of an image and applies the passes ([`passes`]): users, presets,
//!   caches, package database. The result is a [`Tree`](lazuli_tree::Tree) in the store.
//! - [`build_disk`] serialises that tree: file system, unified kernel image ([`uki`]), EFI system
//!   partition ([`esp`]), partition table ([`gpt`]), formats ([`qcow2`], [`vhd`]).
//!
//! Every step is an action: its result is kept in the store under the digest of what it depends on.
//! Identifiers (GUIDs, serial numbers, hash seeds) are derived from the content, times from
//! SOURCE_DATE_EPOCH; nothing is drawn and no clock is read. Nothing here needs privileges.
//!
//! This crate must not know how packages are built, found or chosen.

mod boot_files;
mod compose;
mod context;
mod cpio;
mod disk;
pub mod disk_spec;
pub mod erofs;
mod error;
pub mod esp;
pub mod ext4;
pub mod gpt;
mod initrd;
mod installed;
pub mod passes;
pub mod qcow2;
mod scriptlets;
mod signing;
pub mod slots;
pub mod sparse;
pub mod spec;
#[cfg(test)]
mod testing;
pub mod uki;
pub mod vhd;

pub use compose::{Root, compose};
pub use context::Context;
pub use disk::{DiskFile, DiskImage, build_disk, read_table};
pub use disk_spec::{Compression, DiskSpec, FileSystem, Format, RootSpec, Size};
pub use error::{Error, Result};
pub use installed::InstalledRpm;
pub use signing::{Part, Signatures, Signing};
pub use slots::{Release, ToSign, to_sign};
pub use spec::{Image, ImageSpec};
