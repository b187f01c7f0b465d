//! Directory entries of FAT: short names, long names, times (Microsoft's FAT32 File System
//! Specification 1.03).
//!
//! A long name is a chain of entries before the short one, last piece first, 13 UTF-16 units each. All
//! numbers are little-endian.

use std::collections::BTreeSet;

/// The bytes of a directory entry.
pub(crate) const ENTRY: usize = 32;
pub(crate) const ATTRIBUTE_VOLUME: u8 = 0x08;
pub(crate) const ATTRIBUTE_DIRECTORY: u8 = 0x10;
pub(crate) const ATTRIBUTE_ARCHIVE: u8 = 0x20;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;
const LONG_UNITS: usize = 13;
const LONGEST: usize = 255;
/// The first moment that FAT can say, 1980-01-01, in seconds since 1970.
const FAT_EPOCH: i64 = 315_532_800;

/// A point in time as FAT has it: two seconds exact, UTC by our choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub date: u16,
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
fn civil(days: i64) -> (i64, i64, i64) {
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
pub(crate) fn short_entry(
    name: &[u8; 11],
    attributes: u8,
    stamp: Stamp,
    cluster: u32,
    size: u32,
) -> [u8; ENTRY] {
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

/// Gives the names of one directory their short forms.
#[derive(Debug, Default)]
pub(crate) struct Names {
    short: BTreeSet<[u8; 11]>,
    folded: BTreeSet<String>,
}

impl Names {
    /// The short form of `name`, and the entries of its long form if it needs one.
    pub fn add(&mut self, name: &str) -> Result<([u8; 11], Vec<u8>), String> {
        if name.is_empty() || name.len() > LONGEST || name.ends_with(['.', ' ']) {
            return Err(format!("`{name}` is no name that FAT can hold"));
        }
        if let Some(bad) =
            name.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ') || "\"*/:<>?\\|".contains(*c))
        {
            return Err(format!("`{name}` has the character {bad:?}, which FAT cannot hold"));
        }
        if !self.folded.insert(name.to_ascii_uppercase()) {
            return Err(format!("`{name}` is there twice, but for upper and lower case"));
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
        Err(format!("too many names like `{name}`"))
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

fn long_entries(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let checksum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
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
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (at, unit) in places.zip(piece) {
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
