//! Partition tables as firmware and kernel read them (UEFI 2.10, 5.3).

use crate::state::State;
use lazuli_layout::Guid;

/// A partition: first and last sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub kind: Guid,
    pub guid: Guid,
    pub first: u64,
    pub last: u64,
}

/// Which tables a reader considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The primary, else the backup at the end of the disk.
    WithBackup,
    /// Only the primary: the kernel without `gpt` on its command line.
    PrimaryOnly,
}

/// The partitions that a reader sees.
pub(crate) fn read(state: &State<'_>, reader: Reader) -> Option<Vec<Part>> {
    let last = state.sectors() - 1;
    copy(state, 1).or_else(|| (reader == Reader::WithBackup).then(|| copy(state, last))?)
}

fn copy(state: &State<'_>, at: u64) -> Option<Vec<Part>> {
    let header = state.bytes(at);
    let u32_at = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let u64_at =
        |bytes: &[u8], at: usize| u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32;
    let length = u32_at(header, 12) as usize;
    if &header[..8] != b"EFI PART" || !(92..=512).contains(&length) || u64_at(header, 24) != at {
        return None;
    }
    let mut sum = header[..length].to_vec();
    sum[16..20].fill(0);
    if crc32(&sum) != u32_at(header, 16) {
        return None;
    }
    let (first, count, size) = (u64_at(header, 72), u32_at(header, 80) as usize, u32_at(header, 84) as usize);
    if size != 128 || count > 1024 || first + (count * size).div_ceil(512) as u64 > state.sectors() {
        return None;
    }
    let mut entries = Vec::with_capacity(count * size);
    for sector in 0..(count * size).div_ceil(512) as u64 {
        entries.extend_from_slice(state.bytes(first + sector));
    }
    if crc32(&entries[..count * size]) != u32_at(header, 88) {
        return None;
    }
    let guid = |bytes: &[u8]| {
        let mut guid = [0; 16];
        guid.copy_from_slice(bytes);
        Guid::from_disk(guid)
    };
    Some(
        entries[..count * size]
            .chunks_exact(size)
            .map(|entry| Part {
                kind: guid(&entry[..16]),
                guid: guid(&entry[16..32]),
                first: u64_at(entry, 32),
                last: u64_at(entry, 40),
            })
            .filter(|part| part.kind != Guid::NIL)
            .collect(),
    )
}

/// CRC-32 (ISO-HDLC), bit by bit: the judge does not use the function that it judges.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
