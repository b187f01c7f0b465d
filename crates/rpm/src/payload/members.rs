//! The archive member by member, for whoever unpacks to a disk of their own.

use super::cpio::{self, skip_padding};
use super::files::FileList;
use super::{Error, MAX_FILE, frames};
use crate::header::Header;
use crate::tag;
use std::collections::HashMap;
use std::io::{self, BufRead, Read};

/// One member of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which file it is: its number in the header.
    pub file: usize,
    /// Bytes that follow. Of the links to one file all but the last have none.
    pub size: u64,
}

/// A payload that is read from its start to its end. [`Read`] gives the content of the current member.
///
/// Nothing is believed that the header does not say: a member is one of its files, has the size that it
/// says, or, of a hard link, none. The digest is for the caller to check.
pub struct Members<'a> {
    input: Box<dyn Read + 'a>,
    files: FileList,
    /// Links of each inode that are still to come.
    left: HashMap<(u64, u64), usize>,
    /// Bytes of the current member that were not read yet, and its size.
    rest: u64,
    size: u64,
    number: usize,
}

impl<'a> Members<'a> {
    /// A payload in memory, whose frames are unpacked in parallel.
    pub fn in_memory(header: &Header, payload: &'a [u8]) -> Result<Self, Error> {
        Self::new(header, frames::unpack(&compressor(header, payload), payload)?)
    }

    /// A payload as a stream.
    pub fn stream(header: &Header, mut payload: impl BufRead + 'a) -> Result<Self, Error> {
        let name = compressor(header, payload.fill_buf()?);
        Self::new(header, frames::unpack_stream(&name, payload)?)
    }

    fn new(header: &Header, input: Box<dyn Read + 'a>) -> Result<Self, Error> {
        let files = FileList::read(header)?;
        let mut left: HashMap<(u64, u64), usize> = HashMap::new();
        for file in files.shipped().filter(|f| f.regular()) {
            *left.entry(file.inode).or_default() += 1;
        }
        Ok(Self { input, files, left, rest: 0, size: 0, number: 0 })
    }

    /// Goes to the next member; nothing at the end.
    pub fn next_member(&mut self) -> Result<Option<Entry>, Error> {
        io::copy(&mut (&mut self.input).take(self.rest), &mut io::sink())?;
        skip_padding(&mut self.input, self.size)?;
        (self.rest, self.size) = (0, 0);
        self.number += 1;
        let number = self.number;
        let fail = |reason: String| Error::Archive { member: number, reason };
        let Some((file, size)) = cpio::next(&mut self.input, &self.files, &fail)? else { return Ok(None) };
        let index = self.files.index(file);
        let size = if file.regular() {
            let left = self.left.entry(file.inode).or_default();
            let last = match *left {
                0 => return Err(fail(format!("{} comes more often than the header says", file.path))),
                left => left == 1,
            };
            *left -= 1;
            let size = size.unwrap_or(if last { file.size } else { 0 });
            if size != file.size && (size != 0 || last) || size > MAX_FILE {
                return Err(fail(format!("{} has {size} bytes, not {}", file.path, file.size)));
            }
            size
        } else {
            let size = size.unwrap_or(if file.link.is_empty() { 0 } else { file.size });
            if size > 4096 {
                return Err(fail(format!("{} has {size} bytes of data", file.path)));
            }
            size
        };
        (self.rest, self.size) = (size, size);
        Ok(Some(Entry { file: index, size }))
    }
}

impl Read for Members<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let want = out.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        match self.input.read(&mut out[..want])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.rest -= n as u64;
                Ok(n)
            }
        }
    }
}

/// Without the tag it is gzip in old packages, and in new ones not compressed.
pub(super) fn compressor(header: &Header, payload: &[u8]) -> String {
    let usual = if payload.starts_with(b"0707") { "none" } else { "gzip" };
    header.string(tag::PAYLOADCOMPRESSOR).unwrap_or_else(|| usual.to_owned())
}
