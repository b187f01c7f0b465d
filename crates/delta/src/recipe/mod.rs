//! Recipes: how a new image is made of an old one.
//!
//! A recipe is made by the publisher for one pair of images ([`build`]) and followed by hosts that run the old
//! one ([`run`]). It refers to the old image by place, so it is of use on exactly the image that it names.
//!
//! # Format
//!
//! One file: the index, then the payloads of the groups without gaps. The signed manifest has size and SHA-256
//! of the index; the index has a digest of each payload. So nothing reaches a decoder that was not
//! authenticated, and yet everything is used as it arrives. Numbers are LEB128 ([varint](crate)); digests are the
//! first 16 bytes of a SHA-256.
//!
//! ```text
//! index    "LZRC" | u8 version = 1 | blocks of the old image | blocks of the new image
//!          | 32 bytes root hash of the old image | 32 bytes root hash of the new image
//!          | number of groups | the groups
//! group    blocks | size of control | size of differences | size of literals    (bytes, compressed)
//!          | 16 bytes digest of the payload | 16 bytes digest of the blocks that it makes
//! payload  control | differences | literals                                     (a zstd frame each)
//! ```
//!
//! The groups make the new image from its first block to its last. Each stands alone: a host that was
//! interrupted hashes what the slot holds for a group, compares, and need not fetch the group if it is right.
//! That is the whole of resuming; there is no journal. A group with nothing in a stream has size 0 for it, and no
//! frame.
//!
//! Control, unpacked, is a table by columns: the number of its columns' bytes, then the columns.
//!
//! ```text
//! kinds      one byte for each operation
//! blocks     one number for each operation: how many blocks it makes
//! sources    for each COPY, signed: first block of the old image, less the block after the place where the last
//!            COPY or PATCH stopped reading (rounded up)
//! counts     for each PATCH: the number of its steps
//! adds       for each step: bytes of the old image to which differences are added
//! literals   for each step: bytes of the literals after that
//! seeks      for each step, signed: first byte of the old image, less the place where reading stopped last
//! ```
//!
//! | kind | operation | makes |
//! |---|---|---|
//! | 0 | COPY | blocks of the old image as they are |
//! | 1 | ZERO | blocks of zeros |
//! | 2 | DATA | blocks from the literals |
//! | 3 | PATCH | blocks from steps: each byte is one of the old image plus one of the differences, modulo 256; or a literal |
//!
//! Differences of all PATCHes of a group are one stream, and so are the literals: hundreds of small patches
//! share what the compressor learns. The old image is the running slot and is never written, so that its
//! blocks may be read in any order while the other slot changes.
//!
//! # Limits
//!
//! A reader needs at most [`MAX_PAYLOAD`] bytes for a payload, [`MAX_CONTROL`] for its control, and twice
//! 2^[`WINDOW_LOG`] for the two streams.

mod apply;
mod control;
mod index;
mod make;
mod plan;

pub use apply::{Parts, apply, is_made, run};
pub use index::{Group, Index};
pub use make::{Image, Recipe, build};

/// The largest index that is read, in bytes.
pub const MAX_INDEX: u64 = 1 << 20;
/// The largest payload of one group that is read, in bytes.
pub const MAX_PAYLOAD: u64 = 48 << 20;
/// The largest unpacked control of one group that is read, in bytes.
pub const MAX_CONTROL: usize = 16 << 20;
/// The base-2 logarithm of the window of the streams, in bytes.
pub const WINDOW_LOG: u32 = 24;

/// What errors call it.
const WHAT: &str = "the recipe";
