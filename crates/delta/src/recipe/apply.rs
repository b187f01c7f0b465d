//! Following a recipe.

use super::control::{self, Operation};
use super::index::{Group, Index};
use super::{MAX_CONTROL, WHAT, WINDOW_LOG};
use crate::io::Writer;
use crate::{BLOCK, Error, Held, ReadAt, Report, Result, WriteAt, short_digest};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::ops::Range;

/// Where the bytes of a file come from that is fetched in parts.
pub trait Parts {
    /// The bytes of `range`, as they arrive. They need not be the right ones, nor as many as were asked for:
    /// what they are used for checks that.
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>>;
}

impl<F: FnMut(Range<u64>) -> io::Result<Box<dyn Read>>> Parts for F {
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        self(range)
    }
}

/// Makes the new image in `slot` from the old one. `parts` is the file after its index (see
/// [`Index::parse`]). With [`Held::Something`] groups whose blocks are there already are not fetched.
///
/// Nothing is flushed, and nothing is proved: see the crate.
pub fn run(
    index: &Index,
    parts: &mut dyn Parts,
    old: &dyn ReadAt,
    slot: &dyn WriteAt,
    held: Held,
) -> Result<Report> {
    let mut wanted = Vec::new();
    let mut report = Report::default();
    for (number, group) in index.groups.iter().enumerate() {
        if held == Held::Something && is_made(group, slot)? {
            report.kept += group.blocks;
            report.skipped_parts += 1;
        } else {
            wanted.push(number);
        }
    }
    let mut payload = Vec::new();
    // Groups that follow each other are asked for at once.
    for run in wanted.chunk_by(|a, b| a + 1 == *b) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let range = index.groups[*first].range().start..index.groups[*last].range().end;
        let mut stream = parts.open(range).map_err(Error::io("fetch the recipe"))?;
        for number in run {
            let range = index.groups[*number].range();
            payload.clear();
            // No more memory than bytes that arrived.
            (&mut stream)
                .take(range.end - range.start)
                .read_to_end(&mut payload)
                .map_err(Error::io("fetch the recipe"))?;
            report += apply(index, *number, &payload, old, slot, held)?;
        }
    }
    Ok(report)
}

/// Whether the slot holds the blocks of a group already.
pub fn is_made(group: &Group, slot: &dyn ReadAt) -> Result<bool> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = group.first * BLOCK as u64;
    let end = at + group.blocks * BLOCK as u64;
    while at < end {
        let count = (end - at).min(buffer.len() as u64) as usize;
        let read = Error::io(format!("read the idle slot at byte {at}"));
        slot.read_at(at, &mut buffer[..count]).map_err(read)?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(hasher.finalize()[..16] == group.output)
}

/// Follows one group, of which `payload` is the payload.
pub fn apply(
    index: &Index,
    number: usize,
    payload: &[u8],
    old: &dyn ReadAt,
    slot: &dyn WriteAt,
    held: Held,
) -> Result<Report> {
    let group =
        index.groups.get(number).ok_or_else(|| Error::format(WHAT, format!("there is no group {number}")))?;
    let range = group.range();
    if payload.len() as u64 != range.end - range.start {
        let reason =
            format!("group {number} ended after {} of {} bytes", payload.len(), range.end - range.start);
        return Err(Error::format(WHAT, reason));
    }
    if short_digest([payload]) != group.payload {
        return Err(Error::Altered { what: WHAT, part: number });
    }
    let (control, rest) = payload.split_at(group.sizes[0] as usize);
    let (differences, literals) = rest.split_at(group.sizes[1] as usize);
    let operations = control::decode(&unpacked_control(control)?, index.old_blocks, group.blocks)?;
    let mut differences = Stream::new(differences)?;
    let mut literals = Stream::new(literals)?;
    let mut scratch = Vec::new();
    let mut writer = Writer::new(slot, held, group.first);
    for operation in operations {
        let length = operation.blocks() * BLOCK as u64;
        match operation {
            Operation::Copy { source, .. } => {
                let mut at = source * BLOCK as u64;
                writer.put(length, |room| {
                    read_old(old, at, room)?;
                    at += room.len() as u64;
                    Ok(())
                })?;
            }
            Operation::Zero { .. } => writer.put(length, |room| {
                room.fill(0);
                Ok(())
            })?,
            Operation::Data { .. } => writer.put(length, |room| literals.fill(room))?,
            Operation::Patch { steps, .. } => {
                for step in steps {
                    let mut at = step.source;
                    writer.put(step.add, |room| {
                        read_old(old, at, room)?;
                        scratch.resize(room.len(), 0);
                        differences.fill(&mut scratch)?;
                        for (byte, difference) in room.iter_mut().zip(&scratch) {
                            *byte = byte.wrapping_add(*difference);
                        }
                        at += room.len() as u64;
                        Ok(())
                    })?;
                    writer.put(step.literal, |room| literals.fill(room))?;
                }
            }
        }
    }
    differences.end()?;
    literals.end()?;
    writer.finish()
}

fn read_old(old: &dyn ReadAt, at: u64, room: &mut [u8]) -> Result<()> {
    old.read_at(at, room).map_err(Error::io(format!("read the running slot at byte {at}")))
}

fn unpacked_control(frame: &[u8]) -> Result<Vec<u8>> {
    let mut control = Vec::new();
    if let Some(decoder) = Stream::new(frame)?.decoder {
        decoder
            .take(MAX_CONTROL as u64 + 1)
            .read_to_end(&mut control)
            .map_err(|e| Error::format(WHAT, format!("its control cannot be unpacked: {e}")))?;
    }
    if control.len() > MAX_CONTROL {
        return Err(Error::format(WHAT, format!("its control is larger than {MAX_CONTROL} bytes")));
    }
    Ok(control)
}

/// A compressed stream that must hold exactly what is asked of it.
struct Stream<'a> {
    decoder: Option<zstd::stream::read::Decoder<'static, &'a [u8]>>,
}

impl<'a> Stream<'a> {
    fn new(frame: &'a [u8]) -> Result<Self> {
        if frame.is_empty() {
            return Ok(Self { decoder: None });
        }
        let make = || {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)?.single_frame();
            decoder.window_log_max(WINDOW_LOG)?;
            Ok(decoder)
        };
        let decoder = make().map_err(|e: io::Error| Error::format(WHAT, e.to_string()))?;
        Ok(Self { decoder: Some(decoder) })
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<()> {
        let result = match &mut self.decoder {
            Some(decoder) => decoder.read_exact(room),
            None if room.is_empty() => Ok(()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        result.map_err(|e| Error::format(WHAT, format!("a stream cannot be unpacked: {e}")))
    }

    fn end(mut self) -> Result<()> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        match decoder.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(Error::format(WHAT, "a stream holds more than its operations use")),
        }
    }
}
