//! Where a machine stands in a rollout: a number in [0, 1) that depends on the machine and on the release.
//!
//! # Layout
//!
//! All hashes are SHA-256; texts are ASCII, `\n` is one byte 0x0A, numbers are big-endian.
//!
//! ```text
//! host id   = the first 16 bytes of  SHA-256("lazuli host 1\n" machine-id)
//! position  = the first 8 bytes of   SHA-256("lazuli wave 1\n" host-id u16(len product) product u16(len version) version)
//! ```
//!
//! `machine-id` is the 16 bytes that the 32 hexadecimal digits of `/etc/machine-id` stand for. The position is
//! read as an unsigned number and means that number divided by 2^64.
//!
//! # Why so
//!
//! - The release is part of the hash, so each release has other canaries: no machine is always the first.
//! - The machine id itself must not leave the machine (machine-id(5)); the host id may, and nobody gets from it
//!   to the other. The position is made from the host id, so that whoever knows the host ids of a fleet can tell
//!   which machines a stage consists of, and which of them are silent.
//! - Lengths precede the texts, so that no two releases share their bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A text that is no id, or no name of a product or version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct NameError {
    /// The text.
    pub text: String,
    /// What it should be.
    pub what: &'static str,
}

/// The id of a machine, as `/etc/machine-id` has it. It stays on the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MachineId([u8; 16]);

impl MachineId {
    /// The id that host ids are made from; secret.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineId(..)")
    }
}

impl FromStr for MachineId {
    type Err = NameError;

    /// Reads the content of `/etc/machine-id`: 32 hexadecimal digits and perhaps a line end. All zeroes and
    /// `uninitialized` are no ids.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let what =
            "a machine id: 32 hexadecimal digits, not all of them 0; `systemd-machine-id-setup` makes one";
        // The text is not repeated: if it is an id it is not for a log.
        let error = || NameError { text: "/etc/machine-id".into(), what };
        let bytes = hex(text.trim_end_matches('\n')).ok_or_else(error)?;
        if bytes == [0; 16] { Err(error()) } else { Ok(Self(bytes)) }
    }
}

/// What a machine is called in reports: made from its machine id, which cannot be found from it. Written as 32
/// lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId([u8; 16]);

impl HostId {
    /// The host id of a machine.
    pub fn of(machine: MachineId) -> Self {
        let hash = Sha256::new().chain_update(b"lazuli host 1\n").chain_update(machine.0).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }

    /// A number below `bound` (0 if that is 0) that belongs to this host, to `purpose` and to `detail`. What
    /// hosts should not all do in the same second is spread with it, without a random generator whose numbers
    /// a restart would change.
    pub(crate) fn spread(self, purpose: &[u8], detail: &[u8], bound: u64) -> u64 {
        let number = first_u64(Sha256::new().chain_update(purpose).chain_update(self.0).chain_update(detail));
        ((u128::from(number) * u128::from(bound)) >> 64) as u64
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for HostId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "a host id: 32 lower-case hexadecimal digits";
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        let bytes = hex(text).filter(|_| lower);
        bytes.map(Self).ok_or_else(|| NameError { text: crate::time::shortened(text), what })
    }
}

impl TryFrom<String> for HostId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> Self {
        id.to_string()
    }
}

/// A release of a product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UncheckedRelease")]
pub struct Release {
    product: String,
    version: String,
}

/// A release as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedRelease {
    product: String,
    version: String,
}

impl Release {
    /// The longest product or version in bytes.
    const MOST: usize = 64;

    /// A release. Product and version consist of 1 to 64 ASCII letters, digits and `. ~ ^ - _ +`.
    pub fn new(product: &str, version: &str) -> Result<Self, NameError> {
        let good = |text: &str| {
            (1..=Self::MOST).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".~^-_+".contains(&b))
        };
        for (text, what) in [
            (product, "a product: 1 to 64 letters, digits and `. ~ ^ - _ +`"),
            (version, "a version: 1 to 64 letters, digits and `. ~ ^ - _ +`"),
        ] {
            if !good(text) {
                return Err(NameError { text: crate::time::shortened(text), what });
            }
        }
        Ok(Self { product: product.to_owned(), version: version.to_owned() })
    }

    /// What is released.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl TryFrom<UncheckedRelease> for Release {
    type Error = NameError;

    fn try_from(release: UncheckedRelease) -> Result<Self, NameError> {
        Self::new(&release.product, &release.version)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)
    }
}

/// Where a machine stands in the rollout of a release: this number divided by 2^64. Of many machines it is
/// uniform in [0, 1); a share of the fleet is reached when all positions below that share are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position of a machine in the rollout of a release.
    pub fn of(host: HostId, release: &Release) -> Self {
        let mut hash = Sha256::new().chain_update(b"lazuli wave 1\n").chain_update(host.0);
        for text in [&release.product, &release.version] {
            // Both are at most 64 bytes long.
            hash = hash.chain_update((text.len() as u16).to_be_bytes()).chain_update(text);
        }
        Self(first_u64(hash))
    }

    /// The position `number` / 2^64.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The position times 2^64.
    pub fn to_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    /// In percent with two decimals, cut off and not rounded, so that nothing is at 100 %.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (u128::from(self.0) * 10_000) >> 64;
        write!(f, "{}.{:02} %", hundredths / 100, hundredths % 100)
    }
}

fn first_u64(hash: Sha256) -> u64 {
    let hash = hash.finalize();
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// 16 bytes of 32 hexadecimal digits.
fn hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation of SHA-256 from the layout above, not with this code.
    #[test]
    fn the_layout_is_as_written() {
        let machine: MachineId = "000102030405060708090a0b0c0d0e0f\n".parse().unwrap();
        let host = HostId::of(machine);
        assert_eq!(host.to_string(), "162dc4bb3df4a2c294b8bc7367266754");
        let position = Position::of(host, &Release::new("container-host", "2.0").unwrap());
        assert_eq!(format!("{:016x}", position.to_u64()), "8252712e49f2c78d");
    }

    #[test]
    fn ids() {
        for bad in [
            "",
            "uninitialized",
            "00000000000000000000000000000000",
            "0001020304",
            "g00102030405060708090a0b0c0d0e0f",
        ] {
            assert!(bad.parse::<MachineId>().is_err(), "{bad}");
        }
        assert!("000102030405060708090A0b0c0d0e0f".parse::<HostId>().is_err());
        let secret: MachineId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        assert!(!format!("{secret:?}").contains("0102"));
    }

    #[test]
    fn positions_are_cut_off() {
        assert_eq!(Position(u64::MAX).to_string(), "99.99 %");
        assert_eq!(Position(0).to_string(), "0.00 %");
        assert_eq!(Position(1 << 63).to_string(), "50.00 %");
    }

    #[test]
    fn names_of_releases() {
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(Release::new(bad, "1").is_err() && Release::new("a", bad).is_err(), "{bad}");
        }
        // The same letters, divided otherwise, are another release.
        let host = HostId([7; 16]);
        let position = |p, v| Position::of(host, &Release::new(p, v).unwrap());
        assert_ne!(position("ab", "c"), position("a", "bc"));
    }
}
