//! From one root image to the next with as few bytes as possible.
//!
//! A root image is a file system of 4096-byte blocks ([`BLOCK`]) whose dm-verity root hash is known and signed.
//! This crate makes and follows three ways to a new image, of which a host takes the one that costs it the
//! fewest bytes ([`choose`]):
//!
//! | way | what the host needs | what is fetched |
//! |---|---|---|
//! | [`recipe`] | the very image that the recipe starts from | the recipe |
//! | [`reuse`] | any image of the product, and its leaf hashes | the list of short leaf hashes, and the frames with missing blocks |
//! | [`frames`] | nothing | the whole image |
//!
//! All three write each block of the slot at its place, in ascending order, without temporary space, and leave
//! alone what is right already. None of them proves anything about the result: whoever applies them must read
//! the slot back and compare its verity root with the signed one before anything points at it. Checks in here
//! (digests of what is decoded, short leaf hashes) serve to say early and exactly what was altered, and to keep
//! unauthenticated bytes away from decoders.
//!
//! This crate knows bytes only. It must not know where they come from (HTTP, a folder), what a slot is, or who
//! signs: see `lazuli-release` and `lazuli-slots`.

pub mod choose;
pub mod erofs;
mod error;
pub mod frames;
mod io;
mod matcher;
mod pair;
pub mod recipe;
pub mod reuse;
mod varint;

pub use error::{Error, Result};
pub use io::{Held, ReadAt, Report, WriteAt};

use sha2::{Digest as _, Sha256};

/// The size of a block in bytes: that of erofs, of dm-verity's data and hash blocks, and of everything here.
pub const BLOCK: usize = 4096;

/// The largest image in blocks: 64 GiB. Everything from outside that counts blocks is held against it.
pub const MAX_BLOCKS: u64 = 1 << 24;

/// The first 16 bytes of the SHA-256 of some parts: enough against accident and, as nothing that passes is
/// trusted without the verity root, against malice.
fn short_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let full = hasher.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}
