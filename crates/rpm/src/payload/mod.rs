//! Payloads: a cpio archive ("new ASCII", 070701), compressed.
//!
//! What we write is a single valid zstd stream of several frames of about 4 MiB each, so that frames
//! can be compressed and unpacked in parallel. What we read may also be gzip, xz or nothing, and the
//! archive may be RPM's stripped form (07070X), whose members are numbers of files in the header, and
//! which packages with files of 4 GiB and more have.
//!
//! The header says everything about a file but its content, and is signed; the archive is believed only
//! where it agrees.

mod cpio;
mod files;
mod frames;
mod members;
mod write;

pub use members::{Entry, Members};
pub(crate) use write::{FrameWriter, Member, TRAILER, pad, write_member, write_stripped};

use crate::header::Header;
use files::FileList;
use lazuli_store::Store;
use lazuli_tree::{Kind, Tree};
use std::io;

/// Uncompressed bytes in one frame.
const FRAME: usize = 4 << 20;
/// Frames that are compressed or unpacked at once.
const BATCH: usize = 8;
/// The most uncompressed bytes of one frame that are unpacked in memory.
const MAX_FRAME: u64 = 64 << 20;
/// The most bytes that one file of a payload may have.
const MAX_FILE: u64 = 64 << 30;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unpacking.
    #[error("payload: {0}")]
    Io(#[from] io::Error),
    /// The archive.
    #[error("payload, member {member}: {reason}")]
    Archive {
        /// Number of the member from 1.
        member: usize,
        /// What is wrong.
        reason: String,
    },
    /// A compression that is not known.
    #[error("payload: it is compressed with `{0}`, which is none of zstd, gzip, xz")]
    Compressor(String),
    /// The header's file list.
    #[error("file list of the header: {0}")]
    Files(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
}

/// The files of a package as a tree; contents go into the store. Each content is checked against the
/// digest that the header has for it. Ghosts are not in the tree: they are not in the payload.
pub fn payload_tree(header: &Header, payload: &[u8], store: &Store) -> Result<Tree, Error> {
    let files = FileList::read(header)?;
    let mut tree = Tree::new();
    for file in files.shipped() {
        let kind = match file.mode & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink { target: file.link.clone() },
            0o020_000 => Kind::CharDevice { major: file.rdev.0, minor: file.rdev.1 },
            0o060_000 => Kind::BlockDevice { major: file.rdev.0, minor: file.rdev.1 },
            0o010_000 => Kind::Fifo,
            // Filled in below, from the payload.
            0o100_000 => continue,
            mode => return Err(Error::Files(format!("{}: unknown file type {mode:o}", file.path))),
        };
        tree.insert(file.path.clone(), file.node(kind));
    }
    let mut input = frames::unpack(&members::compressor(header, payload), payload)?;
    cpio::read(&mut input, &files, store, &mut tree)?;
    match files.shipped().find(|file| !tree.contains(&file.path)) {
        Some(file) => Err(Error::Files(format!("{} is not in the payload", file.path))),
        None => Ok(tree),
    }
}
