//! Partition types and flags of the Discoverable Partitions Specification (UAPI.2).

use crate::Guid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A CPU architecture that images are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// x86-64 (RPM `x86_64`, Debian `amd64`).
    #[default]
    #[serde(rename = "x86-64")]
    X86_64,
    /// AArch64 (RPM `aarch64`, Debian `arm64`).
    Arm64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        })
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86-64" | "x86_64" | "amd64" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(format!("unknown architecture `{text}` (known: x86-64, arm64)")),
        }
    }
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionType {
    /// EFI system partition.
    Esp,
    /// Extended boot loader partition.
    Xbootldr,
    /// Root file system.
    Root(Architecture),
    /// dm-verity hash tree of a root file system.
    RootVerity(Architecture),
    /// Signature of a verity root hash: JSON, zero-padded.
    RootVeritySignature(Architecture),
    /// `/usr` file system.
    Usr(Architecture),
    /// dm-verity hash tree of a `/usr` file system.
    UsrVerity(Architecture),
    /// Signature of the root hash of `/usr`.
    UsrVeritySignature(Architecture),
    /// `/var`. Discovered only if the partition's GUID is bound to the machine ID.
    Var,
    /// Linux data that nothing discovers.
    Generic,
}

impl PartitionType {
    /// Every type, for looking one up.
    const ALL: [Self; 16] = {
        use Architecture::{Arm64, X86_64};
        [
            Self::Esp,
            Self::Xbootldr,
            Self::Var,
            Self::Generic,
            Self::Root(X86_64),
            Self::RootVerity(X86_64),
            Self::RootVeritySignature(X86_64),
            Self::Usr(X86_64),
            Self::UsrVerity(X86_64),
            Self::UsrVeritySignature(X86_64),
            Self::Root(Arm64),
            Self::RootVerity(Arm64),
            Self::RootVeritySignature(Arm64),
            Self::Usr(Arm64),
            Self::UsrVerity(Arm64),
            Self::UsrVeritySignature(Arm64),
        ]
    };

    /// The type GUID.
    pub const fn guid(self) -> Guid {
        use Architecture::{Arm64, X86_64};
        Guid::from_u128(match self {
            Self::Esp => 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
            Self::Xbootldr => 0xbc13c2ff_59e6_4262_a352_b275fd6f7172,
            Self::Root(X86_64) => 0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709,
            Self::Root(Arm64) => 0xb921b045_1df0_41c3_af44_4c6f280d3fae,
            Self::RootVerity(X86_64) => 0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5,
            Self::RootVerity(Arm64) => 0xdf3300ce_d69f_4c92_978c_9bfb0f38d820,
            Self::RootVeritySignature(X86_64) => 0x41092b05_9fc8_4523_994f_2def0408b176,
            Self::RootVeritySignature(Arm64) => 0x6db69de6_29f4_4758_a7a5_962190f00ce3,
            Self::Usr(X86_64) => 0x8484680c_9521_48c6_9c11_b0720656f69e,
            Self::Usr(Arm64) => 0xb0e01050_ee5f_4390_949a_9101b17104e9,
            Self::UsrVerity(X86_64) => 0x77ff5f63_e7b6_4633_acf4_1565b864c0e6,
            Self::UsrVerity(Arm64) => 0x6e11a4e7_fbca_4ded_b9e9_e1a512bb664e,
            Self::UsrVeritySignature(X86_64) => 0xe7bb33fb_06cf_4e81_8273_e543b413e2e2,
            Self::UsrVeritySignature(Arm64) => 0xc23ce4ff_44bd_4b00_b2d4_b41b3419e02a,
            Self::Var => 0x4d21b016_b534_45c2_a9fb_5c16e091fd2d,
            Self::Generic => 0x0fc63daf_8483_4772_8e79_3d69d8477de4,
        })
    }

    /// The type with this GUID, if it is one of ours.
    pub fn from_guid(guid: Guid) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.guid() == guid)
    }
}

/// The attribute bits of a GPT entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PartitionFlags(pub u64);

impl PartitionFlags {
    /// Nothing set.
    pub const NONE: Self = Self(0);
    /// systemd grows the file system to the partition's size when it mounts it.
    pub const GROW_FILE_SYSTEM: Self = Self(1 << 59);
    /// Mount read-only.
    pub const READ_ONLY: Self = Self(1 << 60);
    /// Do not discover.
    pub const NO_AUTO: Self = Self(1 << 63);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_type_is_found_by_its_guid_and_no_two_share_one() {
        let guids: BTreeSet<Guid> = PartitionType::ALL.iter().map(|t| t.guid()).collect();
        assert_eq!(guids.len(), PartitionType::ALL.len());
        for kind in PartitionType::ALL {
            assert_eq!(PartitionType::from_guid(kind.guid()), Some(kind));
        }
        assert_eq!(PartitionType::from_guid(Guid::NIL), None);
    }

    #[test]
    fn types_print_as_the_specification_has_them() {
        assert_eq!(PartitionType::Esp.guid().to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(
            PartitionType::Root(Architecture::X86_64).guid().to_string(),
            "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
        );
    }
}
