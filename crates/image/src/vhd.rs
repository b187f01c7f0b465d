//! Fixed VHD, the one format that Azure takes: the raw disk, then a footer of 512 bytes.
//!
//! The footer is big-endian:
//!
//! ```text
//!   0 "conectix"            40 original size u64
//!   8 features u32 = 2      48 current size u64
//!  12 version 0x00010000    56 cylinders u16, heads u8, sectors u8
//!  16 data offset, all 1    60 disk type u32 = 2 (fixed)
//!  24 time, from 2000       64 checksum u32
//!  28 creator application   68 unique id, 16 bytes
//!  32 creator version       84 saved state u8, then zeros
//!  36 creator host "Wi2k"
//! ```
//!
//! The checksum is the complement of the sum of all other bytes. Readers choose between the size and the
//! cylinders, heads and sectors by the creator; `win ` makes them take the size, so that nothing is
//! rounded. Azure wants the size of the disk to be a multiple of 1 MiB.

use crate::{Error, Result, sparse};
use lazuli_fs::Context as _;
use lazuli_layout::{ALIGNMENT, Guid, SECTOR};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// 2000-01-01 in seconds since 1970.
const EPOCH_2000: i64 = 946_684_800;
/// Azure takes no larger disk.
const LARGEST: u64 = 1023 << 30;

/// The footer of a fixed disk of `size` bytes made at `time` (seconds since 1970).
pub fn footer(size: u64, time: i64, id: Guid) -> Result<[u8; 512]> {
    if !size.is_multiple_of(ALIGNMENT) || size == 0 || size > LARGEST {
        let reason = format!("the size of the disk, {size} bytes, is not a multiple of 1 MiB up to 1023 GiB");
        return Err(Error::format("VHD", reason));
    }
    let mut footer = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &2_u32.to_be_bytes());
    put(12, &0x0001_0000_u32.to_be_bytes());
    put(16, &u64::MAX.to_be_bytes());
    put(24, &u32::try_from(time - EPOCH_2000).unwrap_or(0).to_be_bytes());
    put(28, b"win ");
    put(32, &0x000a_0000_u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes());
    put(48, &size.to_be_bytes());
    let (cylinders, heads, sectors) = geometry(size / SECTOR);
    put(56, &cylinders.to_be_bytes());
    put(58, &[heads, sectors]);
    put(60, &2_u32.to_be_bytes());
    put(68, id.as_bytes());
    let sum = footer.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    Ok(footer)
}

/// Cylinders, heads and sectors a track, as the VHD specification computes them from the disk's sectors.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(65_535 * 16 * 255);
    let (mut per_track, mut heads, mut tracks);
    if total >= 65_535 * 16 * 63 {
        (per_track, heads) = (255, 16);
        tracks = total / per_track;
    } else {
        per_track = 17;
        tracks = total / per_track;
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (per_track, heads) = (31, 16);
            tracks = total / per_track;
        }
        if tracks >= heads * 1024 {
            (per_track, heads) = (63, 16);
            tracks = total / per_track;
        }
    }
    (u16::try_from(tracks / heads).unwrap_or(u16::MAX), heads as u8, per_track as u8)
}

/// Writes the VHD of the raw disk `raw` to the empty file `out`; holes stay holes.
pub fn write(raw: &File, raw_path: &Path, out: &File, out_path: &Path, time: i64, id: Guid) -> Result<()> {
    let size = raw.metadata().at("stat", raw_path)?.len();
    let footer = footer(size, time, id)?;
    out.set_len(size + footer.len() as u64).at("resize", out_path)?;
    sparse::copy(raw, raw_path, out, out_path, 0)?;
    Ok(out.write_all_at(&footer, size).at("write", out_path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    #[test]
    fn the_footer_says_size_and_type_and_sums_up() {
        let size = 3 << 30;
        let footer = footer(size, EPOCH_2000 + 5, Guid::from_digest([1; 16])).unwrap();
        assert_eq!(&footer[..8], b"conectix");
        assert_eq!((be(&footer[40..48]), be(&footer[48..56]), be(&footer[60..64])), (size, size, 2));
        assert_eq!(be(&footer[24..28]), 5);
        let others: u32 = footer
            .iter()
            .enumerate()
            .filter(|(i, _)| !(64..68).contains(i))
            .map(|(_, b)| u32::from(*b))
            .sum();
        assert_eq!(be(&footer[64..68]), u64::from(!others));
    }

    #[test]
    fn the_geometry_never_claims_more_than_there_is() {
        for mib in [1, 2, 40, 503, 504, 505, 1000, 3000, 32_000, 129_000, 1_000_000] {
            let sectors = mib << 11;
            let (c, h, s) = geometry(sectors);
            let claimed = u64::from(c) * u64::from(h) * u64::from(s);
            assert!(claimed <= sectors && c > 0, "{mib} MiB");
            // Less than one cylinder is lost, up to what the fields can say.
            assert!(claimed + u64::from(h) * u64::from(s) > sectors.min(65_535 * 16 * 255), "{mib} MiB");
        }
    }

    #[test]
    fn a_size_that_azure_refuses_is_refused_here() {
        let id = Guid::NIL;
        for size in [0, (1 << 20) + 512, 1024 << 30] {
            assert!(footer(size, EPOCH_2000, id).is_err(), "{size}");
        }
    }

    #[test]
    fn qemu_img_reads_the_exact_size_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let (raw_path, vhd_path) = (dir.path().join("raw"), dir.path().join("vhd"));
        let raw = lazuli_fs::create_new(&raw_path, 0o600).unwrap();
        raw.set_len(11 << 20).unwrap();
        raw.write_all_at(&crate::testing::noise(100_000, 1), 5_000_000).unwrap();
        let vhd = lazuli_fs::create_new(&vhd_path, 0o600).unwrap();
        write(&raw, &raw_path, &vhd, &vhd_path, EPOCH_2000, Guid::from_digest([2; 16])).unwrap();
        assert_eq!(vhd.metadata().unwrap().len(), (11 << 20) + 512);
        let path = vhd_path.to_str().unwrap();
        if let Some(info) = crate::testing::tool("qemu-img", &["info", "-f", "vpc", "--output=json", path]) {
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"], 11 << 20);
            let args = ["compare", "-f", "raw", "-F", "vpc", raw_path.to_str().unwrap(), path];
            crate::testing::tool("qemu-img", &args);
        }
    }
}
