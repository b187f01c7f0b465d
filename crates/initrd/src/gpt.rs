//! Which partition has which GUID (UEFI 2.10, chapter 5.3).
//!
//! The kernel makes devices of partitions, but tells nobody their GUIDs once user space runs; so the table is read
//! here again. As the kernel does with `gpt` on its command line, the backup at the disk's end is taken if the primary
//! table is torn. Both are taken only if all checksums hold.
//!
//! ```text
//! LBA 1   header: signature, its length (12), checksum (16), its own place (24), place of entries (72),
//!         their number (80), length of one (84), their checksum (88)
//! entry   type GUID (0), own GUID (16), first LBA (32), last LBA (40), ...
//! ```
//!
//! All numbers are little-endian.

use std::fmt;
use std::str::FromStr;

/// The GUID of a partition, in the order of bytes on the disk: the first three groups are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// Which byte of the text's digits is at which place on the disk.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
/// Where the text has dashes, in bytes.
const DASHES: [usize; 4] = [4, 6, 8, 10];

impl FromStr for Guid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(());
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for (index, place) in ORDER.into_iter().enumerate() {
            if DASHES.contains(&index) {
                if text[at] != b'-' {
                    return Err(());
                }
                at += 1;
            }
            let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(());
            bytes[place] = (digit(text[at])? << 4 | digit(text[at + 1])?) as u8;
            at += 2;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in ORDER.into_iter().enumerate() {
            let dash = if DASHES.contains(&index) { "-" } else { "" };
            write!(f, "{dash}{:02x}", self.0[place])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its GUID.
    pub guid: Guid,
    /// Its first byte on the disk.
    pub start: u64,
}

/// A disk without a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It cannot be read.
    Read(String),
    /// There is none, or both copies are damaged.
    NoTable(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(reason) => write!(f, "cannot be read: {reason}"),
            Self::NoTable(reason) => write!(f, "no partition table: {reason}"),
        }
    }
}

/// The header without its padding.
const HEADER: usize = 92;
/// An entry; the kernel takes no other length.
const ENTRY: usize = 128;
/// The most entries that are read: 1 MiB of them.
const MOST_ENTRIES: u32 = 8192;

/// A disk, as far as it has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Its length in bytes.
    pub size: u64,
    /// The length of its logical blocks.
    pub block: u32,
}

/// The partitions of a disk. `read` fills a buffer from an offset in bytes.
pub fn partitions(
    disk: Geometry,
    mut read: impl FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> Result<Vec<Partition>, Error> {
    if !disk.block.is_power_of_two() || !(512..=65_536).contains(&disk.block) {
        return Err(Error::NoTable("blocks of an odd length"));
    }
    let last = (disk.size / u64::from(disk.block)).checked_sub(1).filter(|last| *last > 1);
    let last = last.ok_or(Error::NoTable("the disk is too small"))?;
    match copy(disk, 1, last, &mut read) {
        Ok(found) => Ok(found),
        // What is said is about the primary one: on a disk without any, the other tells nothing.
        Err(error) => copy(disk, last, last, &mut read).map_err(|_| error),
    }
}

/// The partitions of the copy whose header is at the block `at`.
fn copy(
    disk: Geometry,
    at: u64,
    last: u64,
    read: &mut impl FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> Result<Vec<Partition>, Error> {
    let wrong = |reason| Err(Error::NoTable(reason));
    let failed = |error: std::io::Error| Error::Read(error.to_string());
    let block = u64::from(disk.block);
    let mut header = vec![0; disk.block as usize];
    read(at * block, &mut header).map_err(failed)?;
    if header[..8] != *b"EFI PART" {
        return wrong("no signature");
    }
    let length = u32_at(&header, 12) as usize;
    if !(HEADER..=header.len()).contains(&length) {
        return wrong("a header of an odd length");
    }
    let stored = u32_at(&header, 16);
    header[16..20].fill(0);
    if crc32(&header[..length]) != stored {
        return wrong("the header's checksum is wrong");
    }
    if u64_at(&header, 24) != at {
        return wrong("the header is of another place");
    }
    let (from, count) = (u64_at(&header, 72), u32_at(&header, 80));
    if u32_at(&header, 84) as usize != ENTRY || !(1..=MOST_ENTRIES).contains(&count) {
        return wrong("entries of an odd length or number");
    }
    let mut entries = vec![0; count as usize * ENTRY];
    let blocks = (entries.len() as u64).div_ceil(block);
    if from < 2 || from > last || blocks > last - from {
        return wrong("the entries are not on the disk");
    }
    read(from * block, &mut entries).map_err(failed)?;
    if crc32(&entries) != u32_at(&header, 88) {
        return wrong("the checksum of the entries is wrong");
    }
    let used = (1..).zip(entries.chunks_exact(ENTRY)).filter(|(_, entry)| entry[..16] != [0; 16]);
    Ok(used
        .map(|(number, entry)| {
            let mut guid = [0; 16];
            guid.copy_from_slice(&entry[16..32]);
            Partition { number, guid: Guid(guid), start: u64_at(entry, 32).saturating_mul(block) }
        })
        .collect())
}

/// A number of a header or entry, whose length is known to be enough.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// As [`u32_at`].
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// CRC-32 as in zip and Ethernet, bit by bit: a table of partitions has 16 KiB.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lazuli_layout::gpt::{Device, Partition as Made, Table};
    use proptest::prelude::*;

    pub(crate) const SIZE: usize = 8 << 20;

    /// A disk in memory.
    struct Memory(Vec<u8>);

    impl Device for Memory {
        type Error = lazuli_layout::gpt::Error;

        fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), Self::Error> {
            self.0[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    /// A disk with these partitions, a MiB each, from the second one on; 0 for none.
    pub(crate) fn disk(guids: &[u128]) -> Vec<u8> {
        let partitions = guids.iter().enumerate().map(|(index, guid)| Made {
            kind: lazuli_layout::Guid::from_u128(7),
            guid: lazuli_layout::Guid::from_u128(*guid),
            label: "x".into(),
            flags: lazuli_layout::PartitionFlags::NONE,
            start: (index as u64 + 1) << 20,
            len: 1 << 20,
        });
        let table = Table {
            guid: lazuli_layout::Guid::from_u128(1),
            size: SIZE as u64,
            partitions: partitions.collect(),
        };
        let mut memory = Memory(vec![0; SIZE]);
        table.write(&mut memory).unwrap();
        memory.0
    }

    fn read(disk: &[u8]) -> Result<Vec<Partition>, Error> {
        let geometry = Geometry { size: disk.len() as u64, block: 512 };
        partitions(geometry, |offset, buffer| {
            let from = disk.get(offset as usize..offset as usize + buffer.len());
            buffer.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    const ONE: u128 = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;

    #[test]
    fn what_the_image_builder_writes_is_found() {
        let found = read(&disk(&[5, ONE])).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].guid.to_string(), "01020304-0506-0708-090a-0b0c0d0e0f10");
        assert_eq!(found[1].guid.to_string(), lazuli_layout::Guid::from_u128(ONE).to_string());
        assert_eq!((found[1].number, found[1].start), (2, 2 << 20));
    }

    #[test]
    fn a_torn_primary_is_replaced_by_the_backup_and_two_torn_ones_are_no_table() {
        let mut torn = disk(&[5, ONE]);
        torn[1024] ^= 1;
        assert_eq!(read(&torn).unwrap().len(), 2);
        torn[512..1024].fill(0);
        assert_eq!(read(&torn).unwrap().len(), 2);
        torn[SIZE - 512 + 30] ^= 1;
        assert_eq!(read(&torn), Err(Error::NoTable("no signature")));
        assert!(read(&[0; 4096]).is_err() && read(&[]).is_err());
    }

    #[test]
    fn guids_are_text_of_one_form() {
        for bad in ["", "0102030405060708090a0b0c0d0e0f10", "01020304-0506-0708-090a-0b0c0d0e0f1", "ä"] {
            assert!(bad.parse::<Guid>().is_err(), "{bad}");
        }
        assert!("01020304-0506-0708-090a_0b0c0d0e0f10".parse::<Guid>().is_err());
        assert!("+1020304-0506-0708-090a-0b0c0d0e0f10".parse::<Guid>().is_err());
    }

    proptest! {
        #[test]
        fn a_guid_is_read_back_from_its_text(bytes in any::<[u8; 16]>()) {
            let guid = Guid(bytes);
            prop_assert_eq!(guid.to_string().parse(), Ok(guid));
            prop_assert_eq!(guid.to_string().to_uppercase().parse(), Ok(guid));
        }

        #[test]
        fn no_damaged_table_makes_it_panic(
            flips in prop::collection::vec((0_usize..96, any::<u8>()), 1..6), block in any::<u32>(), size in any::<u64>()
        ) {
            // The checksum is put right again, so that what is behind it is reached.
            let mut disk = disk(&[ONE]);
            for (at, value) in flips {
                disk[512 + at] = value;
            }
            disk[528..532].fill(0);
            let sum = crc32(&disk[512..512 + HEADER]);
            disk[528..532].copy_from_slice(&sum.to_le_bytes());
            let _ = read(&disk);
            let _ = partitions(Geometry { size, block }, |_, buffer| {
                buffer.fill(7);
                Ok(())
            });
        }
    }
}
