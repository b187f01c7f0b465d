//! Unpacking a payload, frames in parallel.

use super::{BATCH, Error, MAX_FRAME};
use rayon::prelude::*;
use std::io::{self, BufRead, Read};

/// The uncompressed payload as a stream.
pub(super) fn unpack<'a>(compressor: &str, payload: &'a [u8]) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(match compressor {
        "zstd" => match frames(payload) {
            Some(frames) if frames.len() > 1 => {
                Box::new(ParallelFrames { frames, next: 0, batch: Vec::new(), at: (0, 0) })
            }
            _ => Box::new(zstd::stream::read::Decoder::new(payload)?),
        },
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(payload)),
        "xz" | "lzma" => Box::new(liblzma::read::XzDecoder::new_stream(payload, xz()?)),
        "none" | "identity" => Box::new(payload),
        other => return Err(Error::Compressor(other.to_owned())),
    })
}

/// The same from a stream, on one thread.
pub(super) fn unpack_stream<'a>(
    compressor: &str,
    payload: impl BufRead + 'a,
) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(match compressor {
        "zstd" => Box::new(zstd::stream::read::Decoder::with_buffer(payload)?),
        "gzip" => Box::new(flate2::bufread::MultiGzDecoder::new(payload)),
        "xz" | "lzma" => Box::new(liblzma::bufread::XzDecoder::new_stream(payload, xz()?)),
        "none" | "identity" => Box::new(payload),
        other => return Err(Error::Compressor(other.to_owned())),
    })
}

/// A decoder that asks for no more memory than `xz -9` needs (a dictionary of 64 MiB), whatever the stream says.
fn xz() -> io::Result<liblzma::stream::Stream> {
    const MEMORY: u64 = 96 << 20;
    Ok(liblzma::stream::Stream::new_stream_decoder(MEMORY, liblzma::stream::CONCATENATED)?)
}

/// The frames of a zstd stream that say how large they are unpacked; `None` if one does not.
fn frames(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let mut frames = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let len = zstd::zstd_safe::find_frame_compressed_size(rest).ok()?;
        let (frame, after) = rest.split_at_checked(len)?;
        let size = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
        if size > MAX_FRAME {
            return None;
        }
        frames.push(frame);
        rest = after;
    }
    Some(frames)
}

/// Reads frames in order, unpacking a batch of them in parallel ahead of the reader.
struct ParallelFrames<'a> {
    frames: Vec<&'a [u8]>,
    next: usize,
    batch: Vec<Vec<u8>>,
    /// Frame of the batch and byte in it.
    at: (usize, usize),
}

impl Read for ParallelFrames<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = self.batch.get(self.at.0) {
                let rest = &frame[self.at.1..];
                if rest.is_empty() {
                    self.at = (self.at.0 + 1, 0);
                    continue;
                }
                let n = rest.len().min(out.len());
                out[..n].copy_from_slice(&rest[..n]);
                self.at.1 += n;
                return Ok(n);
            }
            if self.next == self.frames.len() {
                return Ok(0);
            }
            let end = (self.next + BATCH).min(self.frames.len());
            self.batch = self.frames[self.next..end]
                .par_iter()
                .map(|frame| zstd::stream::decode_all(*frame))
                .collect::<io::Result<_>>()?;
            (self.next, self.at) = (end, (0, 0));
        }
    }
}
