//! GUID partition tables: writing and reading (UEFI 2.10, chapter 5).
//!
//! ```text
//! LBA 0             protective MBR: one entry of type 0xEE over the whole disk
//! LBA 1             primary header
//! LBA 2..33         128 entries of 128 bytes
//! LBA n-33..n-2     the entries again
//! LBA n-1           backup header
//! ```
//!
//! All numbers are little-endian, GUIDs mixed-endian. Sectors have 512 bytes.
//!
//! Crash rule: [`Table::write`] writes the backup, flushes, writes the primary, flushes. At any cut one of
//! the two is whole, so firmware and kernel find either the old table or the new one. That holds only if the
//! primary was whole before: whoever changes a table that went through a power cut looks with
//! [`Table::examine`] and has [`Table::repair`] restore a damaged primary first.
//!
//! This module makes and reads bytes; the disk is behind [`Device`] and a closure.

use crate::{ALIGNMENT, Guid, PartitionFlags, SECTOR};
use std::fmt::Display;

const SECTOR_LEN: usize = SECTOR as usize;
/// Entries in a table, and the bytes of one.
const ENTRIES: usize = 128;
const ENTRY_LEN: usize = 128;
/// Sectors that the entries take.
const ENTRY_SECTORS: u64 = (ENTRIES * ENTRY_LEN) as u64 / SECTOR;
/// UTF-16 units of a label.
const LABEL_UNITS: usize = 36;
/// The bytes of a header that its checksum covers.
const HEADER_LEN: usize = 92;
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Version 1.0.
const REVISION: u32 = 0x0001_0000;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Type GUID.
    pub kind: Guid,
    /// The partition's own GUID, which `PARTUUID=` names.
    pub guid: Guid,
    /// Label, at most 36 UTF-16 units.
    pub label: String,
    /// Attribute bits.
    pub flags: PartitionFlags,
    /// First byte on the disk; a multiple of the sector size.
    pub start: u64,
    /// Length in bytes; a multiple of the sector size.
    pub len: u64,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub guid: Guid,
    /// The size of the disk in bytes.
    pub size: u64,
    /// Partitions in the order of their numbers, from 1.
    pub partitions: Vec<Partition>,
}

/// Which copy of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// At the beginning of the disk.
    Primary,
    /// At its end.
    Backup,
}

/// A table that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What a look at both copies found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The table that firmware and kernel take.
    pub table: Table,
    /// The copy that does not say the same, because it is damaged or older.
    pub stale: Option<Copy>,
}

/// A disk that a table is written to. What makes it a trait is the flush: a device and a file that an
/// updater changes need one, an image that is being built does not.
pub trait Device {
    /// Why a write failed; also what a table that cannot be becomes.
    type Error: From<Error>;
    /// Writes all bytes at an offset.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), Self::Error>;
    /// Makes everything that was written so far survive a power cut.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

impl Table {
    /// Sectors on the disk.
    fn sectors(&self) -> u64 {
        self.size / SECTOR
    }

    /// The first and last sector that partitions may use.
    fn usable(&self) -> (u64, u64) {
        (2 + ENTRY_SECTORS, self.sectors().saturating_sub(2 + ENTRY_SECTORS))
    }

    /// Whether everything fits, nothing overlaps, and GUIDs are single.
    fn validate(&self) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::new(reason));
        if !self.size.is_multiple_of(SECTOR) || self.size < 2 * ALIGNMENT {
            return fail(format!("a disk of {} bytes is too small or no multiple of {SECTOR}", self.size));
        }
        if self.partitions.len() > ENTRIES {
            return fail(format!("{} partitions; {ENTRIES} is the most", self.partitions.len()));
        }
        let (first, last) = self.usable();
        for (index, p) in self.partitions.iter().enumerate() {
            let number = index + 1;
            if !p.start.is_multiple_of(SECTOR) || !p.len.is_multiple_of(SECTOR) || p.len == 0 {
                return fail(format!("partition {number} does not begin and end at a sector"));
            }
            let end = p.start.saturating_add(p.len) / SECTOR;
            if p.start / SECTOR < first || end > last + 1 {
                return fail(format!("partition {number} does not fit on the disk"));
            }
            if p.label.encode_utf16().count() > LABEL_UNITS {
                return fail(format!("the label `{}` is longer than {LABEL_UNITS} characters", p.label));
            }
            if p.kind == Guid::NIL {
                return fail(format!("partition {number} has no type"));
            }
            for (other_index, other) in self.partitions.iter().enumerate().skip(number) {
                if p.start < other.start + other.len && other.start < p.start + p.len {
                    return fail(format!("partitions {number} and {} overlap", other_index + 1));
                }
                if p.guid == other.guid {
                    return fail(format!("partitions {number} and {} have one GUID", other_index + 1));
                }
            }
        }
        Ok(())
    }

    /// Writes the table in the order that keeps one copy whole at any moment.
    pub fn write<D: Device>(&self, device: &mut D) -> Result<(), D::Error> {
        self.write_copy(Copy::Backup, device)?;
        self.write_copy(Copy::Primary, device)
    }

    /// Writes one copy and flushes. The protective MBR goes with the primary. Whoever can read reads the backup back
    /// ([`Table::read_copy`]) before the primary is touched.
    pub fn write_copy<D: Device>(&self, copy: Copy, device: &mut D) -> Result<(), D::Error> {
        self.validate()?;
        let entries = self.entries();
        let header = self.header(copy, &entries);
        match copy {
            Copy::Backup => {
                device.write_all_at(&entries, (self.sectors() - 1 - ENTRY_SECTORS) * SECTOR)?;
                device.write_all_at(&header, self.size - SECTOR)?;
            }
            Copy::Primary => {
                device.write_all_at(&entries, 2 * SECTOR)?;
                device.write_all_at(&header, SECTOR)?;
                device.write_all_at(&self.protective_mbr(), 0)?;
            }
        }
        device.flush()
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = vec![0; ENTRIES * ENTRY_LEN];
        for (entry, p) in bytes.chunks_exact_mut(ENTRY_LEN).zip(&self.partitions) {
            entry[..16].copy_from_slice(&p.kind.to_disk());
            entry[16..32].copy_from_slice(&p.guid.to_disk());
            put_u64(entry, 32, p.start / SECTOR);
            put_u64(entry, 40, (p.start + p.len) / SECTOR - 1);
            put_u64(entry, 48, p.flags.0);
            for (place, unit) in entry[56..].chunks_exact_mut(2).zip(p.label.encode_utf16()) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        bytes
    }

    fn header(&self, copy: Copy, entries: &[u8]) -> [u8; SECTOR_LEN] {
        let last = self.sectors() - 1;
        let (here, other, entries_at) = match copy {
            Copy::Primary => (1, last, 2),
            Copy::Backup => (last, 1, last - ENTRY_SECTORS),
        };
        let (first_usable, last_usable) = self.usable();
        let mut header = [0; SECTOR_LEN];
        header[..8].copy_from_slice(SIGNATURE);
        put_u32(&mut header, 8, REVISION);
        put_u32(&mut header, 12, HEADER_LEN as u32);
        put_u64(&mut header, 24, here);
        put_u64(&mut header, 32, other);
        put_u64(&mut header, 40, first_usable);
        put_u64(&mut header, 48, last_usable);
        header[56..72].copy_from_slice(&self.guid.to_disk());
        put_u64(&mut header, 72, entries_at);
        put_u32(&mut header, 80, ENTRIES as u32);
        put_u32(&mut header, 84, ENTRY_LEN as u32);
        put_u32(&mut header, 88, crc32(entries));
        let checksum = crc32(&header[..HEADER_LEN]);
        put_u32(&mut header, 16, checksum);
        header
    }

    /// Keeps tools that know only the MBR from taking the disk for empty.
    fn protective_mbr(&self) -> [u8; SECTOR_LEN] {
        let mut mbr = [0; SECTOR_LEN];
        let entry = &mut mbr[446..462];
        // From sector 1 (cylinder 0, head 0, sector 2) to beyond what cylinders can count.
        entry[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
        entry[4] = 0xee;
        entry[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
        put_u32(entry, 8, 1);
        put_u32(entry, 12, u32::try_from(self.sectors() - 1).unwrap_or(u32::MAX));
        mbr[510] = 0x55;
        mbr[511] = 0xaa;
        mbr
    }

    /// Reads the table of a disk of `size` bytes: the primary one, or the backup if that is damaged.
    /// `read` fills a buffer from an offset.
    pub fn read<E: From<Error> + Display>(
        size: u64,
        read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::examine(size, read).map(|found| found.table)
    }

    /// Reads both copies: the table that counts, and which copy says something else.
    pub fn examine<E: From<Error> + Display>(
        size: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Found, E> {
        let primary = Self::read_copy(Copy::Primary, size, &mut read);
        let backup = Self::read_copy(Copy::Backup, size, &mut read);
        match (primary, backup) {
            (Ok(table), backup) => {
                let stale = (!backup.is_ok_and(|backup| backup == table)).then_some(Copy::Backup);
                Ok(Found { table, stale })
            }
            (Err(_), Ok(table)) => Ok(Found { table, stale: Some(Copy::Primary) }),
            (Err(first), Err(second)) => {
                Err(Error::new(format!("no copy can be read: primary: {first}; backup: {second}")).into())
            }
        }
    }

    /// Makes both copies say the same, as [`Table::examine`] found them: the stale one is written from the
    /// other, and flushed. Nothing is written if there is none.
    pub fn repair<D: Device>(found: &Found, device: &mut D) -> Result<(), D::Error> {
        found.stale.map_or(Ok(()), |copy| found.table.write_copy(copy, device))
    }

    /// Reads one copy.
    pub fn read_copy<E: From<Error>>(
        copy: Copy,
        size: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let fail = |reason: &str| Err(Error::new(reason).into());
        let at = match copy {
            Copy::Primary => SECTOR,
            Copy::Backup => size.saturating_sub(SECTOR),
        };
        let mut header = [0; SECTOR_LEN];
        read(at, &mut header)?;
        if header[..8] != *SIGNATURE || get_u32(&header, 8) != REVISION {
            return fail("no signature");
        }
        let stored = get_u32(&header, 16);
        put_u32(&mut header, 16, 0);
        if get_u32(&header, 12) as usize != HEADER_LEN || crc32(&header[..HEADER_LEN]) != stored {
            return fail("the checksum of the header is wrong");
        }
        let last = (size / SECTOR).saturating_sub(1);
        if get_u64(&header, 24).checked_mul(SECTOR) != Some(at)
            || get_u32(&header, 80) as usize != ENTRIES
            || get_u32(&header, 84) as usize != ENTRY_LEN
            || get_u64(&header, 72) > last
        {
            return fail("the header does not belong here");
        }
        let mut entries = vec![0; ENTRIES * ENTRY_LEN];
        read(get_u64(&header, 72) * SECTOR, &mut entries)?;
        if crc32(&entries) != get_u32(&header, 88) {
            return fail("the checksum of the entries is wrong");
        }
        let mut partitions = Vec::new();
        let used = |entry: &&[u8]| get_guid(entry, 0) != Guid::NIL;
        let count = entries.chunks_exact(ENTRY_LEN).filter(used).count();
        for entry in entries.chunks_exact(ENTRY_LEN).take(count) {
            let kind = get_guid(entry, 0);
            if kind == Guid::NIL {
                // Slots are told by number, and writing would move those behind it.
                return fail("a partition in between was taken away");
            }
            let (first, end) = (get_u64(entry, 32), get_u64(entry, 40).saturating_add(1));
            if first >= end || end > last {
                return fail("a partition does not lie on the disk");
            }
            let units: Vec<u16> = entry[56..]
                .chunks_exact(2)
                .map(|c| u16::from_le_bytes([c[0], c[1]]))
                .take_while(|u| *u != 0)
                .collect();
            partitions.push(Partition {
                kind,
                guid: get_guid(entry, 16),
                label: String::from_utf16_lossy(&units),
                flags: PartitionFlags(get_u64(entry, 48)),
                start: first * SECTOR,
                len: (end - first) * SECTOR,
            });
        }
        Ok(Self { guid: get_guid(&header, 56), size, partitions })
    }
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn get_guid(bytes: &[u8], at: usize) -> Guid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    Guid::from_disk(guid)
}

/// CRC-32 as GPT uses it (ISO 3309, reflected, polynomial 0x04C11DB7).
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut c = n as u32;
            let mut bit = 0;
            while bit < 8 {
                c = if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 };
                bit += 1;
            }
            table[n] = c;
            n += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, b| c >> 8 ^ TABLE[usize::from(c as u8 ^ b)])
}

#[cfg(test)]
#[path = "gpt_tests.rs"]
mod tests;
