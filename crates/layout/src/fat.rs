//! Directory entries of FAT: short names, long names, times (Microsoft's FAT32 File System
//! Specification 1.03).
//!
//! ```text
//! short entry   0 name[11]  11 attributes  14 created  20 cluster, high half  22 written  26 low half  28 size
//! long entry    0 number, 0x40 in the last  1 units[5]  11 0x0f  13 checksum  14 units[6]  28 units[2]
//! ```
//!
//! A long name is a chain of entries before the short one, last piece first, 13 UTF-16 units each; the
//! checksum is that of the short name. The first byte 0xE5 marks a free entry, 0x00 the end of the
//! directory. All numbers are little-endian.

use std::collections::BTreeSet;

/// The bytes of a directory entry.
pub const ENTRY: usize = 32;
/// The volume label.
pub const ATTRIBUTE_VOLUME: u8 = 0x08;
/// A directory.
pub const ATTRIBUTE_DIRECTORY: u8 = 0x10;
/// A file that changed since a backup, which is any file.
pub const ATTRIBUTE_ARCHIVE: u8 = 0x20;
/// A piece of a long name.
pub const ATTRIBUTE_LONG_NAME: u8 = 0x0f;
/// First byte of an entry that is free.
pub const FREE: u8 = 0xe5;
const LONG_UNITS: usize = 13;
const LONGEST: usize = 255;
/// The first moment that FAT can say, 1980-01-01, in seconds since 1970.
const FAT_EPOCH: i64 = 315_532_800;

/// A point in time as FAT has it: two seconds exact, UTC by our choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Year since 1980, month, day: 7, 4 and 5 bits.
    pub date: u16,
    /// Hour, minute, half second: 5, 6 and 5 bits.
    pub time: u16,
}

impl Stamp {
    /// From seconds since 1970.
    pub fn new(seconds: i64) -> Self {
        let seconds = seconds.max(FAT_EPOCH);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let field = |n: i64| u16::try_from(n).unwrap_or(0);
        Self {
            date: field((year.clamp(1980, 2107) - 1980) << 9) | field(month << 5) | field(day),
            time: field((second / 3600) << 11) | field((second / 60 % 60) << 5) | field(second % 60 / 2),
        }
    }
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar. Counts in years that begin
/// in March, so that the leap day comes last, in cycles of 400 years.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// One short entry.
pub fn short_entry(name: &[u8; 11], attributes: u8, stamp: Stamp, cluster: u32, size: u32) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    entry[14..16].copy_from_slice(&stamp.time.to_le_bytes());
    entry[16..18].copy_from_slice(&stamp.date.to_le_bytes());
    entry[18..20].copy_from_slice(&stamp.date.to_le_bytes());
    entry[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    entry[22..24].copy_from_slice(&stamp.time.to_le_bytes());
    entry[24..26].copy_from_slice(&stamp.date.to_le_bytes());
    entry[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

/// A name that a directory cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

/// Gives the names of one directory their short forms.
#[derive(Debug, Default, Clone)]
pub struct Names {
    short: BTreeSet<[u8; 11]>,
    folded: BTreeSet<String>,
}

impl Names {
    /// Takes note of a name that is in the directory already.
    pub fn taken(&mut self, name: &str, short: [u8; 11]) {
        self.short.insert(short);
        self.folded.insert(name.to_ascii_uppercase());
    }

    /// The short form of `name`, and the entries of its long form if it needs one.
    pub fn add(&mut self, name: &str) -> Result<([u8; 11], Vec<u8>), NameError> {
        let fail = |reason: String| Err(NameError(reason));
        if name.is_empty() || name.len() > LONGEST || name.ends_with(['.', ' ']) {
            return fail(format!("`{name}` is no name that FAT can hold"));
        }
        if let Some(bad) =
            name.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ') || "\"*/:<>?\\|".contains(*c))
        {
            return fail(format!("`{name}` has the character {bad:?}, which FAT cannot hold"));
        }
        if !self.folded.insert(name.to_ascii_uppercase()) {
            return fail(format!("`{name}` is there twice, but for upper and lower case"));
        }
        let upper = name.to_ascii_uppercase();
        if let Some(short) = exact(&upper)
            && self.short.insert(short)
        {
            let long = if upper == name { Vec::new() } else { long_entries(name, &short) };
            return Ok((short, long));
        }
        let (stem, extension) = upper.rsplit_once('.').unwrap_or((&upper, ""));
        for number in 1_u32..=999_999 {
            let tail = format!("~{number}");
            let mut short = [b' '; 11];
            let kept = stem.bytes().filter(|b| allowed(*b)).take(8 - tail.len()).chain(tail.bytes());
            short[..8].iter_mut().zip(kept).for_each(|(to, from)| *to = from);
            let kept = extension.bytes().filter(|b| allowed(*b));
            short[8..].iter_mut().zip(kept).for_each(|(to, from)| *to = from);
            if self.short.insert(short) {
                return Ok((short, long_entries(name, &short)));
            }
        }
        fail(format!("too many names like `{name}`"))
    }
}

/// The name as 8.3, if it is one.
fn exact(upper: &str) -> Option<[u8; 11]> {
    let (stem, extension) = upper.rsplit_once('.').unwrap_or((upper, ""));
    let fits = (1..=8).contains(&stem.len()) && extension.len() <= 3;
    if !fits || !stem.bytes().chain(extension.bytes()).all(allowed) {
        return None;
    }
    let mut short = [b' '; 11];
    short[..stem.len()].copy_from_slice(stem.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    Some(short)
}

/// What a short name may have.
fn allowed(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// The checksum of a short name that its long entries have.
pub fn checksum(short: &[u8]) -> u8 {
    short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Where the 13 UTF-16 units of a long entry are.
fn unit_places() -> impl Iterator<Item = usize> {
    (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2))
}

/// Puts a long name together while a directory is read in order.
#[derive(Debug, Default)]
pub struct LongName {
    units: Vec<u16>,
    /// The number that the next piece must have, and the checksum.
    next: u8,
    checksum: u8,
    entries: usize,
}

impl LongName {
    /// Takes a long entry.
    pub fn piece(&mut self, entry: &[u8]) {
        let number = entry[0] & 0x3f;
        if entry[0] & 0x40 != 0 {
            *self = Self { next: number, checksum: entry[13], ..Self::default() };
        }
        if number == 0 || number != self.next || entry[13] != self.checksum {
            *self = Self::default();
            return;
        }
        let piece = unit_places().map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
        self.units.splice(0..0, piece);
        self.next -= 1;
        self.entries += 1;
    }

    /// The name of the short entry that follows, and how many long entries belong to it: the long name if it
    /// is whole, else the short one.
    pub fn finish(&mut self, short: &[u8; 11]) -> (String, usize) {
        let long = std::mem::take(self);
        if long.entries > 0 && long.next == 0 && long.checksum == checksum(short) {
            let end = long.units.iter().position(|u| *u == 0).unwrap_or(long.units.len());
            return (String::from_utf16_lossy(&long.units[..end]), long.entries);
        }
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let (stem, extension) = (part(&short[..8]), part(&short[8..]));
        (if extension.is_empty() { stem } else { format!("{stem}.{extension}") }, 0)
    }
}

fn long_entries(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let checksum = checksum(short);
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(LONG_UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(LONG_UNITS), 0xffff);
    }
    let count = units.len() / LONG_UNITS;
    let mut entries = Vec::with_capacity(count * ENTRY);
    for (index, piece) in units.chunks(LONG_UNITS).enumerate().rev() {
        let mut entry = [0; ENTRY];
        entry[0] = (index + 1) as u8 | if index + 1 == count { 0x40 } else { 0 };
        entry[11] = ATTRIBUTE_LONG_NAME;
        entry[13] = checksum;
        for (at, unit) in unit_places().zip(piece) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entries.extend_from_slice(&entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_single_and_long_ones_only_where_needed() {
        let mut names = Names::default();
        let mut add = |name: &str| {
            let (short, long) = names.add(name).unwrap();
            (String::from_utf8(short.to_vec()).unwrap(), long.len() / ENTRY)
        };
        assert_eq!(add("BOOTX64.EFI"), ("BOOTX64 EFI".into(), 0));
        assert_eq!(add("Linux"), ("LINUX      ".into(), 1));
        assert_eq!(add("lazuli-1.0.efi"), ("LAZULI~1EFI".into(), 2));
        assert_eq!(add("lazuli-1.1+3-0.efi"), ("LAZULI~2EFI".into(), 2));
        assert_eq!(add("loader.conf"), ("LOADER~1CON".into(), 1));
    }

    #[test]
    fn names_that_fat_cannot_hold_are_refused() {
        let mut names = Names::default();
        names.add("EFI").unwrap();
        for name in ["", "a:b", "é", "a.", "efi", &"x".repeat(256)] {
            assert!(names.add(name).is_err(), "{name}");
        }
    }

    #[test]
    fn long_names_are_put_together_and_torn_ones_are_not() {
        let (short, long) = Names::default().add("lazuli-1.1+3-0.efi").unwrap();
        let read = |pieces: &[&[u8]], short: &[u8; 11]| {
            let mut name = LongName::default();
            for piece in pieces {
                name.piece(piece);
            }
            name.finish(short)
        };
        let (first, second) = long.split_at(ENTRY);
        assert_eq!(read(&[first, second], &short), ("lazuli-1.1+3-0.efi".into(), 2));
        assert_eq!(read(&[first], &short), ("LAZULI~1.EFI".into(), 0));
        assert_eq!(read(&[second], &short), ("LAZULI~1.EFI".into(), 0));
        assert_eq!(read(&[first, second], b"LAZULI~2EFI"), ("LAZULI~2.EFI".into(), 0));
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (3652, (1980, 1, 1)),
            (11_016, (2000, 2, 29)),
            (19_723, (2024, 1, 1)),
            (19_782, (2024, 2, 29)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
        assert_eq!(Stamp::new(0), Stamp { date: 1 << 5 | 1, time: 0 });
    }
}
