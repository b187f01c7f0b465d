//! dm-verity: the hash tree that proves every block of a read-only partition.
//!
//! Specification: `Documentation/admin-guide/device-mapper/verity.rst` of the kernel, and the on-disk format of
//! cryptsetup's `veritysetup`, version 1, hash type 1 (salt first), SHA-256, data and hash blocks of 4096 bytes.
//!
//! # On disk
//!
//! ```text
//! block 0      superblock, 512 bytes, then zeros       (the kernel never reads it)
//! block 1      the top of the tree: one block
//! ...          the levels below it, each in whole blocks
//! last level   the leaves: one digest for each data block
//! ```
//!
//! A digest is SHA-256(salt, block). A hash block holds 128 digests; the last block of a level is filled up with
//! zeros. The root hash is the digest of the top block, and is not stored. So a tree adds 1/127 to the data.
//!
//! # What is fixed here
//!
//! The salt is constant for a product ([`Salt::of_product`]), not drawn for each image. A salt would hinder
//! tables of digests made beforehand, which a product of its own already does; a constant one keeps the leaves of
//! two releases comparable, so that an update can tell by digest which blocks a machine has.
//!
//! The tree is never sent anywhere: who has the data makes it again and compares the root.
//!
//! This crate reads through [`ReadBlocks`] and writes nothing.

mod digest;
mod superblock;
mod table;
mod tree;

pub use digest::{Digest, ParseDigestError, Salt};
pub use superblock::{Superblock, SuperblockError};
pub use table::Table;
pub use tree::{ReadBlocks, Tree, hash_block, tree_blocks};

/// The size of data and hash blocks in bytes.
pub const BLOCK: usize = 4096;

/// Digests in one hash block.
pub const FANOUT: usize = BLOCK / Digest::LEN;
