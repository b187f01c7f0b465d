//! GUIDs as they are on disk.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A GUID (UUID). Kept in the order of its text; on disk the first three groups are little-endian
/// ([`Guid::to_disk`]), which the UEFI specification calls mixed-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Guid([u8; 16]);

impl Guid {
    /// The nil GUID; as a partition type it marks an unused entry.
    pub const NIL: Self = Self([0; 16]);

    /// From the number that the text is, for constants.
    pub const fn from_u128(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// From 16 bytes in the order of the text, as they stand. This is what binds a partition to a
    /// verity root hash: its halves are the GUIDs of the data and the hash partition.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From 16 bytes of a digest, marked as version 8 (RFC 9562: contents defined by the application),
    /// for identifiers that are derived instead of drawn.
    pub const fn from_digest(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The 16 bytes in the order of the text.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 16 bytes as GPT and EFI variables have them.
    pub const fn to_disk(self) -> [u8; 16] {
        let b = self.0;
        [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
    }

    /// The inverse of [`Guid::to_disk`].
    pub const fn from_disk(bytes: [u8; 16]) -> Self {
        // The permutation is its own inverse.
        Self(Self(bytes).to_disk())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a GUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a GUID (like c12a7328-f81f-11d2-ba4b-00a0c93ec93b)")]
pub struct ParseGuidError(String);

impl FromStr for Guid {
    type Err = ParseGuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGuidError(text.to_owned());
        let dashes = |i: usize| matches!(i, 8 | 13 | 18 | 23);
        if text.len() != 36 || !text.bytes().enumerate().all(|(i, b)| (b == b'-') == dashes(i)) {
            return Err(error());
        }
        let mut number = 0_u128;
        for c in text.chars().filter(|c| *c != '-') {
            number = number << 4 | u128::from(c.to_digit(16).ok_or_else(error)?);
        }
        Ok(Self::from_u128(number))
    }
}

impl TryFrom<String> for Guid {
    type Error = ParseGuidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_esp_type_has_the_bytes_that_firmware_looks_for() {
        let guid: Guid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse().unwrap();
        assert_eq!(
            guid.to_disk(),
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]
        );
        assert_eq!(Guid::from_disk(guid.to_disk()), guid);
        assert_eq!(guid.to_string().parse(), Ok(guid));
    }

    #[test]
    fn text_that_is_no_guid_is_refused() {
        for text in
            ["", "c12a7328", "c12a7328-f81f-11d2-ba4b-00a0c93ec93", "c12a7328f-81f-11d2-ba4b-00a0c93ec93b"]
        {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
        assert!("g12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse::<Guid>().is_err());
        // Multi-byte characters must not be cut through.
        assert!("é12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse::<Guid>().is_err());
    }

    #[test]
    fn a_derived_guid_says_that_it_is_derived() {
        let text = Guid::from_digest([0xff; 16]).to_string();
        assert_eq!(text, "ffffffff-ffff-8fff-bfff-ffffffffffff");
    }
}
