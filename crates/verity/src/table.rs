//! The line that tells the kernel about a verity device.

use crate::{BLOCK, Digest, Salt};
use std::fmt;

/// The parameters of the device-mapper target `verity` for a slot, whichever it is: the partitions are found by
/// the GUIDs that the root hash gives them ([`Digest::partition_guids`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The root hash.
    pub root: Digest,
    /// Data blocks.
    pub data_blocks: u64,
    /// The salt.
    pub salt: Salt,
    /// Optional arguments of the target, such as `panic_on_corruption`.
    pub options: Vec<String>,
}

impl Table {
    /// Sectors of 512 bytes in a block: the unit of device-mapper.
    const SECTORS: u64 = BLOCK as u64 / 512;
}

/// The table as `dmsetup` and, behind `NAME,UUID,MINOR,FLAGS,`, `dm-mod.create=` take it: start and length in
/// sectors, target, version 1, data and hash device, block sizes, data blocks, first block of the tree, algorithm,
/// root hash, salt, options.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, hashes) = self.root.partition_guids();
        write!(
            f,
            "0 {} verity 1 PARTUUID={data} PARTUUID={hashes} {BLOCK} {BLOCK} {} 1 sha256 {} {}",
            self.data_blocks * Self::SECTORS,
            self.data_blocks,
            self.root,
            self.salt
        )?;
        if !self.options.is_empty() {
            write!(f, " {} {}", self.options.len(), self.options.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_kernel_reads_it() {
        let root = Digest::from_bytes([0xab; 32]);
        let table = Table {
            root,
            data_blocks: 3,
            salt: Salt::from_bytes([1, 2]).unwrap(),
            options: vec!["panic_on_corruption".to_owned()],
        };
        let half = "abababab-abab-abab-abab-abababababab";
        assert_eq!(
            table.to_string(),
            format!(
                "0 24 verity 1 PARTUUID={half} PARTUUID={half} 4096 4096 3 1 sha256 {root} 0102 1 panic_on_corruption"
            )
        );
    }
}
