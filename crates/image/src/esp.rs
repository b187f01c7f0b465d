//! The EFI system partition: a FAT32 file system that is a function of its files.
//!
//! Volume ID and times are given, entries are made in path order, and nothing is ever deleted, so two
//! runs write the same bytes. The file system is built in a [`SparseBuffer`]: 1 GiB of ESP costs what its
//! files cost.

use crate::sparse::SparseBuffer;
use crate::{Error, Result};
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};

/// Clusters of 4 KiB: the page size, the block size of 4Kn disks, and small enough for FAT32 from
/// about 256 MiB on.
const CLUSTER: u32 = 4096;
/// FAT's own way to write a volume label: 11 bytes, padded with spaces.
const LABEL: [u8; 11] = *b"ESP        ";
/// The first moment that FAT can say, 1980-01-01, in seconds since 1970.
const FAT_EPOCH: i64 = 315_532_800;

/// Makes a FAT32 file system of `size` bytes with these files (path with `/` to content); `time` is in
/// seconds since 1970.
pub fn build(
    size: u64,
    volume_id: u32,
    time: i64,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<SparseBuffer> {
    let fail = |e: std::io::Error| Error::format("EFI system partition", e);
    let needed: u64 = files.values().map(|f| (f.len() as u64).next_multiple_of(CLUSTER.into())).sum();
    if needed > size / 10 * 9 {
        return Err(Error::TooSmall { what: "EFI system partition", needed, size, key: "disk.esp" });
    }
    let mut disk = SparseBuffer::new(size);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(volume_id)
        .volume_label(LABEL)
        .sectors_per_track(63)
        .heads(255)
        .drive_num(0x80);
    fatfs::format_volume(&mut disk, options).map_err(fail)?;
    // fatfs asks for a clock that lives as long as the program; this one is 8 bytes.
    let clock: &'static FixedTime = Box::leak(Box::new(FixedTime(fat_time(time))));
    let fs = FileSystem::new(&mut disk, FsOptions::new().time_provider(clock)).map_err(fail)?;
    {
        let root = fs.root_dir();
        for (path, content) in files {
            let mut at = 0;
            while let Some(slash) = path[at..].find('/') {
                root.create_dir(&path[..at + slash]).map_err(fail)?;
                at += slash + 1;
            }
            let mut file = root.create_file(path).map_err(fail)?;
            file.write_all(content).map_err(fail)?;
            file.flush().map_err(fail)?;
        }
    }
    fs.unmount().map_err(fail)?;
    disk.rewind().map_err(fail)?;
    Ok(disk)
}

/// A clock that stands still.
#[derive(Debug)]
struct FixedTime(DateTime);

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        self.0.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// Seconds since 1970 as FAT's date and time, UTC.
fn fat_time(seconds: i64) -> DateTime {
    let seconds = seconds.max(FAT_EPOCH);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    DateTime {
        date: Date { year: year.clamp(1980, 2107) as u16, month, day },
        time: Time {
            hour: (second / 3600) as u16,
            min: (second / 60 % 60) as u16,
            sec: (second % 60) as u16,
            millis: 0,
        },
    }
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar. Counts in years that begin
/// in March, so that the leap day comes last, in cycles of 400 years.
fn civil(days: i64) -> (i64, u16, u16) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u16;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u16;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, tool};
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    fn files() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), noise(90_001, 5)),
            ("EFI/Linux/lazuli-1.0.efi".to_owned(), noise(14_000_000, 6)),
            ("EFI/systemd/systemd-bootx64.efi".to_owned(), noise(90_001, 5)),
            ("loader/loader.conf".to_owned(), b"timeout 0\n".to_vec()),
        ])
    }

    #[test]
    fn files_are_found_and_a_checker_is_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("esp");
        let size = 1 << 30;
        let mut disk = build(size, 0x1234_5678, 1_700_000_001, &files()).unwrap();
        let file = lazuli_fs::create_new(&path, 0o600).unwrap();
        file.set_len(size).unwrap();
        disk.write_to(&file, &path, 0).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 < 32 << 20, "the rest is holes");
        let fs = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        assert_eq!((fs.fat_type(), fs.volume_id()), (FatType::Fat32, 0x1234_5678));
        for (name, content) in files() {
            let mut found = Vec::new();
            fs.root_dir().open_file(&name).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == content, "{name}");
        }
        tool("fsck.vfat", &["-n", "-v", path.to_str().unwrap()]);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let bytes = || {
            let mut all = Vec::new();
            build(300 << 20, 1, 1_700_000_000, &files()).unwrap().read_to_end(&mut all).unwrap();
            all
        };
        assert!(bytes() == bytes());
    }

    #[test]
    fn files_that_do_not_fit_are_an_error_that_names_the_key() {
        let big = BTreeMap::from([("a".to_owned(), vec![1; 250 << 20])]);
        let error = build(260 << 20, 1, 0, &big).unwrap_err().to_string();
        assert!(error.contains("disk.esp"), "{error}");
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
        let time = fat_time(1_700_000_001);
        assert_eq!((time.date.year, time.date.month, time.date.day), (2023, 11, 14));
        assert_eq!((time.time.hour, time.time.min, time.time.sec), (22, 13, 21));
        assert_eq!(fat_time(0).date.year, 1980);
    }
}
