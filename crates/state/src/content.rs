//! What is on a device.
//!
//! An ext4 is told by its superblock (ext4's documentation, "Super Block"; all fields are little-endian, offsets in bytes).
//! About everything else `blkid` is asked, which knows every file system there is: what it has a name for is never
//! taken for an empty device.

use crate::error::{Result, refuse};
use crate::tool;
use lazuli_fs as fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Where the superblock begins, and how much of it is looked at.
const SUPERBLOCK: usize = 1024;
const LEN: usize = 1024;
/// How much of a device has to be readable: `blkid` says of one that is not what it says of an empty one.
const HEAD: usize = 64 << 10;

/// `s_volume_name`, padded with zeros.
const NAME: &[u8] = b"state\0";
const MAGIC: u16 = 0xef53;
/// `s_state`: it was unmounted, and no error was seen.
const VALID: u16 = 1;
const ERRORS: u16 = 2;
/// `s_feature_incompat`: the journal has to be played, there are extents, block numbers have 64 bits.
const RECOVER: u32 = 4;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing that has a name.
    Nothing,
    /// An ext4.
    Ext4(Ext4),
    /// A LUKS header with this label.
    Luks(String),
    /// Something else, as `blkid` calls it.
    Other(String),
}

impl Content {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Nothing => "nothing",
            Self::Ext4(_) => "ext4",
            Self::Luks(_) => "crypto_LUKS",
            Self::Other(name) => name,
        }
    }
}

/// What the superblock says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ext4 {
    /// It was unmounted in order and has no known error: a check in passing would find nothing to do.
    pub clean: bool,
    /// Bytes it takes.
    pub size: u64,
}

/// Looks at a device.
pub fn look(device: &Path) -> Result<Content> {
    let mut head = Vec::new();
    fs::open(device)?
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|source| fs::Error::new("read", device, source))?;
    if let Some(found) = ext4(&head).filter(|found| found.clean) {
        return Ok(Content::Ext4(found));
    }
    let (status, said) =
        tool::output("blkid", &["-p".as_ref(), "-o".as_ref(), "export".as_ref(), device.as_ref()])?;
    match status {
        0 | 2 => Ok(match (named(&said), ext4(&head)) {
            (Content::Ext4(_), Some(found)) => Content::Ext4(found),
            (named, _) => named,
        }),
        _ => refuse(format!("{}: blkid finds contradicting content (status {status})", device.display())),
    }
}

/// Bytes that a device has.
pub fn size(device: &Path) -> Result<u64> {
    Ok(fs::open(device)?
        .seek(SeekFrom::End(0))
        .map_err(|source| fs::Error::new("seek in", device, source))?)
}

/// The superblock in the first bytes of a device, if it is one of ours: with our label, and nothing in front of it.
fn ext4(head: &[u8]) -> Option<Ext4> {
    let block = head.get(SUPERBLOCK..SUPERBLOCK + LEN)?;
    let two = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let four = |at: usize| u32::from(two(at)) | u32::from(two(at + 2)) << 16;
    let features = four(0x60);
    // The boot sector in front of it belongs to nobody; anything there may be another file system.
    let alone = head[..SUPERBLOCK].iter().all(|byte| *byte == 0);
    if two(0x38) != MAGIC || features & EXTENTS == 0 || !alone || !block[0x78..].starts_with(NAME) {
        return None;
    }
    let high = if features & WIDE == 0 { 0 } else { u64::from(four(0x150)) };
    let block_size = (four(0x18) <= 6).then(|| 1024_u64 << four(0x18))?;
    Some(Ext4 {
        clean: two(0x3a) & (VALID | ERRORS) == VALID && features & RECOVER == 0,
        size: (high << 32 | u64::from(four(4))).saturating_mul(block_size),
    })
}

/// What blkid's answer in the form `export` says.
fn named(said: &str) -> Content {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    match value("TYPE").or_else(|| value("PTTYPE")) {
        None => Content::Nothing,
        // One that the superblock did not tell: to be checked before it is used.
        Some("ext4") => Content::Ext4(Ext4::default()),
        Some("crypto_LUKS") => Content::Luks(value("LABEL").unwrap_or_default().to_owned()),
        Some(other) => Content::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(state: u16, features: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        let mut put = |at: usize, bytes: &[u8]| head[SUPERBLOCK + at..][..bytes.len()].copy_from_slice(bytes);
        put(4, &25_600_u32.to_le_bytes());
        put(0x18, &2_u32.to_le_bytes());
        put(0x38, &MAGIC.to_le_bytes());
        put(0x3a, &state.to_le_bytes());
        put(0x60, &features.to_le_bytes());
        put(0x78, NAME);
        head
    }

    #[test]
    fn clean_is_what_was_unmounted_without_an_error() {
        assert_eq!(ext4(&head(VALID, EXTENTS)), Some(Ext4 { clean: true, size: 100 << 20 }));
        for (state, features) in [(0, EXTENTS), (VALID | ERRORS, EXTENTS), (VALID, EXTENTS | RECOVER)] {
            assert_eq!(ext4(&head(state, features)), Some(Ext4 { clean: false, size: 100 << 20 }));
        }
    }

    #[test]
    fn what_is_not_plainly_ext4_is_for_blkid() {
        assert_eq!(ext4(&vec![0; HEAD]), None);
        assert_eq!(ext4(&head(VALID, 0)), None, "ext2, or something that looks like it");
        let mut both = head(VALID, EXTENTS);
        both[..6].copy_from_slice(b"LUKS\xba\xbe");
        assert_eq!(ext4(&both), None);
        let mut other = head(VALID, EXTENTS);
        other[SUPERBLOCK + 0x78] = b'x';
        assert_eq!(ext4(&other), None, "a file system of somebody else");
    }

    #[test]
    fn blkids_answers_are_understood() {
        assert_eq!(named(""), Content::Nothing);
        let luks = "DEVNAME=/dev/vda6\nLABEL=state-new\nVERSION=2\nTYPE=crypto_LUKS\nUSAGE=crypto\n";
        assert_eq!(named(luks), Content::Luks("state-new".into()));
        assert_eq!(named("LABEL=TYPE=x\nTYPE=vfat\n"), Content::Other("vfat".into()));
        assert_eq!(named("PTTYPE=gpt\nPART_ENTRY_NAME=state\n"), Content::Other("gpt".into()));
    }

    proptest! {
        #[test]
        fn no_superblock_ends_it(bytes in prop::collection::vec(any::<u8>(), LEN), cut in 0..LEN) {
            let mut all = head(VALID, EXTENTS);
            for (at, byte) in bytes.iter().enumerate().filter(|(at, _)| !matches!(at, 0x38 | 0x39 | 0x60..0x64 | 0x78..0x80)) {
                all[SUPERBLOCK + at] = *byte;
            }
            let _any = ext4(&all);
            prop_assert_eq!(ext4(&all[..SUPERBLOCK + cut]), None);
        }
    }
}
