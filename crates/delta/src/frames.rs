//! The whole image as zstd that can be fetched in parts.
//!
//! # Format
//!
//! The image file is one zstd frame for each [`Index::frame_blocks`] blocks (the last may be shorter), one after
//! the other, then the seek table of zstd's seekable format as a skippable frame: `zstd -d` unpacks it, and so
//! do tools that seek in it.
//!
//! Hosts use an index of ours, in a file of its own, because it is authenticated and says what to expect of each
//! frame. Numbers are LEB128, digests are the first 8 bytes of a SHA-256 of the compressed frame:
//!
//! ```text
//! "LZFR" | u8 version = 1 | blocks of the image | blocks of a frame | for each frame: size in bytes | 8 bytes digest
//! ```
//!
//! The signed manifest has the SHA-256 of the index, so nothing reaches the decoder that was not authenticated.

use crate::varint::{Cursor, put};
use crate::{BLOCK, Error, MAX_BLOCKS, Result};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::ops::Range;

const MAGIC: &[u8; 4] = b"LZFR";
const VERSION: u8 = 1;
const WHAT: &str = "the index of the full image";

/// The usual number of blocks in a frame: 128 KiB. Smaller ones compress worse, larger ones hold more that is
/// fetched for one missing block.
pub const FRAME_BLOCKS: u64 = 32;
/// The largest number of blocks in a frame that is read: 4 MiB.
pub const MAX_FRAME_BLOCKS: u64 = 1 << 10;
/// The largest index that is read, in bytes: an image of 64 GiB.
pub const MAX_INDEX: u64 = 8 << 20;

/// Where the frames lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The size of the image in blocks.
    pub blocks: u64,
    /// How many blocks a frame holds; the last may hold fewer.
    pub frame_blocks: u64,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    offset: u64,
    size: u64,
    digest: [u8; 8],
}

impl Index {
    /// Reads an index. It must be the whole of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, WHAT);
        if cursor.take(4)? != MAGIC {
            return Err(cursor.error("it does not begin like one"));
        }
        let version = cursor.take(1)?[0];
        if version != VERSION {
            return Err(cursor.error(format!("its format is {version}, and {VERSION} is known")));
        }
        let blocks = cursor.number(MAX_BLOCKS)?;
        let frame_blocks = cursor.number(MAX_FRAME_BLOCKS)?;
        if frame_blocks == 0 {
            return Err(cursor.error("a frame has no blocks"));
        }
        let limit = zstd::zstd_safe::compress_bound(frame_blocks as usize * BLOCK) as u64;
        let (mut frames, mut offset) = (Vec::new(), 0);
        for _ in 0..blocks.div_ceil(frame_blocks) {
            let size = cursor.number(limit)?;
            frames.push(Frame { offset, size, digest: cursor.array()? });
            offset += size;
        }
        if !cursor.is_empty() {
            return Err(cursor.error("something follows its frames"));
        }
        Ok(Self { blocks, frame_blocks, frames })
    }

    /// The bytes of the index.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put(&mut out, self.blocks);
        put(&mut out, self.frame_blocks);
        for frame in &self.frames {
            put(&mut out, frame.size);
            out.extend_from_slice(&frame.digest);
        }
        out
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether the image is empty.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The blocks that a frame holds.
    pub fn blocks_of(&self, frame: usize) -> Range<u64> {
        let start = frame as u64 * self.frame_blocks;
        start.min(self.blocks)..(start + self.frame_blocks).min(self.blocks)
    }

    /// The frame that holds a block.
    pub fn frame_of(&self, block: u64) -> usize {
        (block / self.frame_blocks) as usize
    }

    /// Where a frame lies in the image file, in bytes.
    pub fn range(&self, frame: usize) -> Range<u64> {
        self.frames.get(frame).map_or(0..0, |f| f.offset..f.offset + f.size)
    }

    /// The size of all frames in bytes, without the seek table.
    pub fn size(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.offset + f.size)
    }

    /// Unpacks the whole image file.
    pub fn unpack_all(&self, file: &[u8]) -> Result<Vec<u8>> {
        let numbers: Vec<usize> = (0..self.len()).collect();
        let parts: Vec<Vec<u8>> = numbers
            .into_par_iter()
            .map(|number| {
                let range = self.range(number);
                let bytes = file.get(range.start as usize..range.end as usize).unwrap_or_default();
                let mut room = Vec::new();
                self.unpack(number, bytes, &mut room)?;
                Ok(room)
            })
            .collect::<Result<_>>()?;
        Ok(parts.concat())
    }

    /// Checks a frame and unpacks it.
    pub(crate) fn unpack(&self, number: usize, bytes: &[u8], room: &mut Vec<u8>) -> Result<()> {
        let frame = self.frames.get(number).ok_or_else(|| Error::format(WHAT, "there is no such frame"))?;
        if bytes.len() as u64 != frame.size {
            let reason = format!("frame {number} ended after {} of {} bytes", bytes.len(), frame.size);
            return Err(Error::format("the full image", reason));
        }
        if digest(bytes) != frame.digest {
            return Err(Error::Altered { what: "the full image", part: number });
        }
        let blocks = self.blocks_of(number);
        let expected = (blocks.end - blocks.start) as usize * BLOCK;
        room.resize(expected, 0);
        match zstd::bulk::decompress_to_buffer(bytes, room.as_mut_slice()) {
            Ok(count) if count == expected => Ok(()),
            Ok(count) => {
                let reason = format!("frame {number} holds {count} bytes instead of {expected}");
                Err(Error::format("the full image", reason))
            }
            Err(e) => Err(Error::format("the full image", format!("frame {number} cannot be unpacked: {e}"))),
        }
    }
}

fn digest(bytes: &[u8]) -> [u8; 8] {
    let full = Sha256::digest(bytes);
    let mut short = [0; 8];
    short.copy_from_slice(&full[..8]);
    short
}

/// Packs an image: the index and the bytes of the image file. Frames are packed in parallel with zstd's `level`;
/// the bytes are the same each time.
pub fn pack(image: &[u8], frame_blocks: u64, level: i32) -> Result<(Index, Vec<u8>)> {
    let blocks = (image.len() / BLOCK) as u64;
    if !image.len().is_multiple_of(BLOCK) || blocks > MAX_BLOCKS {
        return Err(Error::Image(format!(
            "an image of {} bytes is not whole blocks of {BLOCK}",
            image.len()
        )));
    }
    if frame_blocks == 0 || frame_blocks > MAX_FRAME_BLOCKS {
        return Err(Error::Image(format!("frames of {frame_blocks} blocks are not possible")));
    }
    let packed: Vec<Vec<u8>> = image
        .par_chunks(frame_blocks as usize * BLOCK)
        .map_init(
            || zstd::bulk::Compressor::new(level),
            |compressor, chunk| match compressor {
                Ok(compressor) => compressor.compress(chunk),
                Err(e) => Err(std::io::Error::new(e.kind(), e.to_string())),
            },
        )
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("compress the image"))?;
    let mut index = Index { blocks, frame_blocks, frames: Vec::with_capacity(packed.len()) };
    let mut offset = 0;
    for frame in &packed {
        let size = frame.len() as u64;
        index.frames.push(Frame { offset, size, digest: digest(frame) });
        offset += size;
    }
    let mut out = packed.concat();
    out.extend_from_slice(&seek_table(&index));
    Ok((index, out))
}

/// The seek table of zstd's seekable format (contrib/seekable_format, 0.1.1) without checksums, little-endian:
/// a skippable frame (magic 184D2A5E, size) of one entry a frame (u32 packed size, u32 size), u32 number of
/// frames, u8 descriptor = 0, magic 8F92EAB1.
fn seek_table(index: &Index) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, frame) in index.frames.iter().enumerate() {
        let blocks = index.blocks_of(number);
        body.extend_from_slice(&(frame.size as u32).to_le_bytes());
        body.extend_from_slice(&((blocks.end - blocks.start) as u32 * BLOCK as u32).to_le_bytes());
    }
    body.extend_from_slice(&(index.len() as u32).to_le_bytes());
    body.push(0);
    body.extend_from_slice(&0x8F92_EAB1_u32.to_le_bytes());
    let mut out = 0x184D_2A5E_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_and_frames_unpack() {
        let image: Vec<u8> = (0..10 * BLOCK).map(|i| (i / 97) as u8).collect();
        let (index, file) = pack(&image, 4, 3).unwrap();
        assert_eq!(Index::parse(&index.to_bytes()).unwrap(), index);
        assert_eq!((index.len(), index.blocks_of(2)), (3, 8..10));
        let mut room = Vec::new();
        for frame in 0..3 {
            let range = index.range(frame);
            index.unpack(frame, &file[range.start as usize..range.end as usize], &mut room).unwrap();
            let blocks = index.blocks_of(frame);
            assert_eq!(room, image[blocks.start as usize * BLOCK..blocks.end as usize * BLOCK]);
        }
        // Others unpack it too.
        assert_eq!(zstd::stream::decode_all(&*file).unwrap(), image);
    }

    #[test]
    fn an_altered_frame_is_named() {
        let image = vec![7; 8 * BLOCK];
        let (index, mut file) = pack(&image, 4, 3).unwrap();
        let range = index.range(1);
        file[range.start as usize + 5] ^= 1;
        let bytes = &file[range.start as usize..range.end as usize];
        let error = index.unpack(1, bytes, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Altered { part: 1, .. }), "{error}");
    }
}
