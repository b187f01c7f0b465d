//! PE32+ images as Authenticode sees them: which bytes are signed, and where signatures are.
//!
//! (PE/COFF specification, "Process for Generating the Authenticode PE Image Hash" of Microsoft's note of 2008.)
//! Hashed are: the headers without CheckSum and without the entry of the certificate table in the data
//! directories; the sections in the order of their place in the file; what follows them, up to the
//! certificate table. The table is at the end of the file and begins at a multiple of 8:
//!
//! ```text
//! WIN_CERTIFICATE   u32 length with this header, u16 0x0200 (revision), u16 0x0002 (PKCS#7), message,
//!                   zeroes up to a multiple of 8
//! ```
//!
//! All numbers are little-endian. Images with gaps or overlaps between headers and sections are refused: bytes in a gap
//! would be signed by nobody, and bytes of two sections are read in two ways.

use crate::{Error, Result};
use sha2::{Digest as _, Sha256};

/// Where the entry of the certificate table is in the optional header of PE32+: after 112 bytes of
/// fields, entry number 4 of 8 bytes each.
const CERTIFICATE_ENTRY: usize = 112 + 4 * 8;
/// Where CheckSum is in the optional header.
const CHECKSUM: usize = 64;
const SECTION_HEADER: usize = 40;
/// What the certificate table and each entry of it are aligned to.
const ALIGNMENT: usize = 8;
/// WIN_CERTIFICATE up to the message.
const CERTIFICATE_HEADER: usize = 8;
const REVISION: u16 = 0x0200;
const TYPE_PKCS7: u16 = 0x0002;

/// The parts of an image that matter here; offsets into the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    bytes: &'a [u8],
    checksum: usize,
    entry: usize,
    /// Where the hashed content ends: the beginning of the certificate table, or the end of the file.
    end: usize,
    table_len: usize,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let short = || Error::Pe("it ends in the middle of a header");
        if bytes.get(..2) != Some(b"MZ") {
            return Err(Error::Pe("no MZ signature"));
        }
        let start = read_u32(bytes, 0x3c).ok_or_else(short)?;
        let coff = start.checked_add(4).ok_or_else(short)?;
        if bytes.get(start..coff) != Some(b"PE\0\0") {
            return Err(Error::Pe("no PE signature"));
        }
        let optional = coff + 20;
        let count = read_u16(bytes, coff + 2).ok_or_else(short)?;
        let optional_len = read_u16(bytes, coff + 16).ok_or_else(short)?;
        if read_u16(bytes, optional) != Some(0x20b) {
            return Err(Error::Pe("it is not PE32+"));
        }
        let directories = read_u32(bytes, optional + 108).ok_or_else(short)?;
        if directories < 5 || optional_len < CERTIFICATE_ENTRY + 8 {
            return Err(Error::Pe("it has no place for a signature in its data directories"));
        }
        let headers = read_u32(bytes, optional + 60).ok_or_else(short)?;
        let sections = optional + optional_len;
        if headers > bytes.len() || sections + count * SECTION_HEADER > headers {
            return Err(short());
        }
        let mut places = Vec::with_capacity(count);
        for at in (0..count).map(|i| sections + i * SECTION_HEADER) {
            let (len, offset) =
                (read_u32(bytes, at + 16).ok_or_else(short)?, read_u32(bytes, at + 20).ok_or_else(short)?);
            if len > 0 {
                places.push((offset, len));
            }
        }
        places.sort_unstable();
        let mut next = headers;
        for (offset, len) in places {
            if offset != next {
                return Err(Error::Pe("there are gaps or overlaps between its sections"));
            }
            next = offset.checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(short)?;
        }
        let entry = optional + CERTIFICATE_ENTRY;
        let (table, table_len) =
            (read_u32(bytes, entry).ok_or_else(short)?, read_u32(bytes, entry + 4).ok_or_else(short)?);
        let end = if table_len == 0 {
            bytes.len()
        } else if table < next
            || !table.is_multiple_of(ALIGNMENT)
            || table.checked_add(table_len) != Some(bytes.len())
        {
            return Err(Error::Pe("its certificate table is not at its end"));
        } else {
            table
        };
        Ok(Self { bytes, checksum: optional + CHECKSUM, entry, end, table_len })
    }

    /// SHA-256 of what a signature covers, as if the file were padded to a multiple of 8, which signing does.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(&self.bytes[..self.checksum]);
        hash.update(&self.bytes[self.checksum + 4..self.entry]);
        hash.update(&self.bytes[self.entry + 8..self.end]);
        hash.update(&[0; ALIGNMENT][..self.end.next_multiple_of(ALIGNMENT) - self.end]);
        hash.finalize().into()
    }

    /// The PKCS#7 messages of its certificate table.
    pub fn signatures(&self) -> Result<Vec<&'a [u8]>> {
        let mut table = &self.bytes[self.bytes.len() - self.table_len..];
        let mut found = Vec::new();
        while !table.is_empty() {
            let broken = || Error::Pe("its certificate table is damaged");
            let len = read_u32(table, 0).filter(|len| *len > CERTIFICATE_HEADER).ok_or_else(broken)?;
            let message = table.get(CERTIFICATE_HEADER..len).ok_or_else(broken)?;
            if read_u16(table, 4) == Some(REVISION as usize)
                && read_u16(table, 6) == Some(TYPE_PKCS7 as usize)
            {
                found.push(message);
            }
            table = table.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
        }
        Ok(found)
    }

    /// The image without any signature, padded to a multiple of 8 bytes: what a signer is given.
    pub fn unsigned(&self) -> Vec<u8> {
        let mut bytes = self.bytes[..self.end].to_vec();
        bytes.resize(self.end.next_multiple_of(ALIGNMENT), 0);
        bytes[self.entry..self.entry + 8].fill(0);
        self.update_checksum(&mut bytes);
        bytes
    }

    /// The image with this PKCS#7 message as its only signature.
    pub fn with_signature(&self, message: &[u8]) -> Result<Vec<u8>> {
        let large = |_| Error::Pe("it would be larger than 4 GiB");
        let mut bytes = self.unsigned();
        let start = u32::try_from(bytes.len()).map_err(large)?;
        let len = u32::try_from(CERTIFICATE_HEADER + message.len()).map_err(large)?;
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&REVISION.to_le_bytes());
        bytes.extend_from_slice(&TYPE_PKCS7.to_le_bytes());
        bytes.extend_from_slice(message);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let table_len = u32::try_from(bytes.len()).map_err(large)? - start;
        bytes[self.entry..self.entry + 4].copy_from_slice(&start.to_le_bytes());
        bytes[self.entry + 4..self.entry + 8].copy_from_slice(&table_len.to_le_bytes());
        self.update_checksum(&mut bytes);
        Ok(bytes)
    }

    fn update_checksum(&self, bytes: &mut [u8]) {
        bytes[self.checksum..self.checksum + 4].fill(0);
        let sum = checksum(bytes);
        bytes[self.checksum..self.checksum + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// The PE checksum: ones' complement sum of all 16-bit words, plus the length. The field itself must be 0.
fn checksum(image: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for word in image.chunks(2) {
        sum += u32::from(word[0]) | u32::from(word.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum.wrapping_add(image.len() as u32)
}

fn read_u16(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([field[0], field[1]])))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<usize> {
    Some(read_u16(bytes, at)? | read_u16(bytes, at.checked_add(2)?)? << 16)
}

#[cfg(test)]
#[path = "pe_tests.rs"]
pub(crate) mod tests;
