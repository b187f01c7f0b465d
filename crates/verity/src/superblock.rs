//! The superblock: block 0 of a hash partition. For tools; whoever starts the system takes the parameters from
//! the signed command line.

use crate::{BLOCK, Salt};
use lazuli_layout::Guid;

const MAGIC: &[u8; 8] = b"verity\0\0";

/// What a superblock says, all integers little-endian:
///
/// ```text
///   0  magic "verity\0\0"       32  algorithm[32] "sha256"     80  salt length u16
///   8  version u32 = 1          64  data block size u32        82  zeros[6]
///  12  hash type u32 = 1        68  hash block size u32        88  salt[256]
///  16  UUID[16], as its text    72  data blocks u64           344  zeros[168]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The UUID of the tree.
    pub uuid: Guid,
    /// Data blocks.
    pub data_blocks: u64,
    /// The salt.
    pub salt: Salt,
}

/// Bytes that are no superblock of the one kind that is written here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a superblock of dm-verity that is understood: {what} at byte {offset}")]
pub struct SuperblockError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes from the beginning of the superblock.
    pub offset: usize,
}

impl Superblock {
    /// The length without the zeros up to the end of the block.
    pub const LEN: usize = 512;

    /// For so many blocks with this salt; the UUID follows from the salt.
    pub fn new(data_blocks: u64, salt: Salt) -> Self {
        Self { uuid: salt.uuid(), data_blocks, salt }
    }

    /// Block 0 of the hash partition.
    pub fn to_block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(8, &1_u32.to_le_bytes());
        put(12, &1_u32.to_le_bytes());
        put(16, self.uuid.as_bytes());
        put(32, b"sha256");
        put(64, &(BLOCK as u32).to_le_bytes());
        put(68, &(BLOCK as u32).to_le_bytes());
        put(72, &self.data_blocks.to_le_bytes());
        put(80, &(self.salt.as_bytes().len() as u16).to_le_bytes());
        put(88, self.salt.as_bytes());
        block
    }

    /// Reads what [`Superblock::to_block`] and `veritysetup` with the same parameters write.
    ///
    /// # Errors
    ///
    /// Another version, algorithm or block size; bytes that have to be zero and are not are an error too.
    pub fn parse(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let error = |what, offset| SuperblockError { what, offset };
        let bytes = bytes.get(..Self::LEN).ok_or(error("fewer than 512 bytes", bytes.len()))?;
        let mut algorithm = [0; 32];
        algorithm[..6].copy_from_slice(b"sha256");
        let size = (BLOCK as u32).to_le_bytes();
        for (what, offset, expected) in [
            ("no magic number", 0, &MAGIC[..]),
            ("another version", 8, &1_u32.to_le_bytes()),
            ("another hash type", 12, &1_u32.to_le_bytes()),
            ("another hash algorithm than sha256", 32, &algorithm),
            ("another data block size than 4096", 64, &size),
            ("another hash block size than 4096", 68, &size),
            ("a byte that is not zero", 82, &[0; 6]),
            ("a byte that is not zero", 344, &[0; 168]),
        ] {
            if &bytes[offset..offset + expected.len()] != expected {
                return Err(error(what, offset));
            }
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let mut data_blocks = [0; 8];
        data_blocks.copy_from_slice(&bytes[72..80]);
        let length = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        let salt =
            Salt::from_bytes(bytes[88..].get(..length).ok_or(error("a salt of more than 256 bytes", 80))?)
                .ok_or(error("a salt of more than 256 bytes", 80))?;
        if bytes[88 + length..344].iter().any(|b| *b != 0) {
            return Err(error("a byte that is not zero", 88 + length));
        }
        Ok(Self { uuid: Guid::from_bytes(uuid), data_blocks: u64::from_le_bytes(data_blocks), salt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn read_back(blocks: u64, salt in prop::collection::vec(any::<u8>(), 0..=256)) {
            let written = Superblock::new(blocks, Salt::from_bytes(salt).unwrap());
            prop_assert_eq!(Superblock::parse(&written.to_block()), Ok(written));
        }

        #[test]
        fn nothing_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = bytes;
            let _ = Superblock::parse(&bytes);
            let good = Superblock::new(7, Salt::of_product("x")).to_block();
            let n = bytes.len().min(88);
            bytes[..n].copy_from_slice(&good[..n]);
            if let Ok(read) = Superblock::parse(&bytes) {
                prop_assert_eq!(&read.to_block()[..Superblock::LEN], &bytes[..Superblock::LEN]);
            }
        }
    }

    #[test]
    fn errors_say_where() {
        let mut block = Superblock::new(7, Salt::of_product("x")).to_block();
        block[13] = 1;
        let error = Superblock::parse(&block).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a superblock of dm-verity that is understood: another hash type at byte 12"
        );
    }
}
