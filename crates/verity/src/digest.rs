//! Digests and salts.

use lazuli_layout::Guid;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest: of a block, or the root hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::LEN]);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest: 64 hexadecimal digits are expected")]
pub struct ParseDigestError(String);

impl Digest {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The GUIDs of the data partition and of the hash partition that a root hash belongs to: its first and its
    /// second half, as the Discoverable Partitions Specification has it. A command line with the root hash
    /// finds the partitions by them, whichever slot they are in.
    pub fn partition_guids(&self) -> (Guid, Guid) {
        let mut halves = [[0; 16]; 2];
        halves[0].copy_from_slice(&self.0[..16]);
        halves[1].copy_from_slice(&self.0[16..]);
        (Guid::from_bytes(halves[0]), Guid::from_bytes(halves[1]))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let error = || ParseDigestError(text.chars().take(80).collect());
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LEN {
            return Err(error());
        }
        let digit = |b: u8| (b as char).to_digit(16).ok_or_else(error);
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// What is hashed in front of each block.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// The longest that the superblock has room for, in bytes.
    pub const MAX: usize = 256;

    /// The salt of all images of a product: SHA-256 of `lazuli verity salt 1`, a newline, the product's ID
    /// (os-release's `IMAGE_ID`) and a newline.
    pub fn of_product(id: &str) -> Self {
        Self(Sha256::digest(format!("lazuli verity salt 1\n{id}\n")).to_vec())
    }

    /// From its bytes; `None` if there are more than [`Salt::MAX`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The UUID in the superblock of trees with this salt. Derived, so that nothing but the data decides what is
    /// in a hash partition.
    pub fn uuid(&self) -> Guid {
        let digest = Sha256::digest(&self.0);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Guid::from_digest(bytes)
    }
}

/// In hexadecimal, `-` when empty, as the kernel's table has it.
impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("-") } else { hex(&self.0, f) }
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        let digest = Digest::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_are_named_by_the_halves_of_the_root_hash() {
        let root: Digest =
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".parse().unwrap();
        let (data, hashes) = root.partition_guids();
        assert_eq!(data.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(hashes.to_string(), "10111213-1415-1617-1819-1a1b1c1d1e1f");
    }
}
