//! Making the tree.

use crate::{BLOCK, Digest, FANOUT, Salt};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Blocks that are read and hashed at a time: 1 MiB.
const BATCH: usize = 256;

/// Where data blocks come from. Read by several threads at once.
pub trait ReadBlocks: Sync {
    /// Fills `buffer` with the bytes from `offset` on; both are multiples of [`BLOCK`].
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadBlocks for File {
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadBlocks for [u8] {
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|at| self.get(at..)?.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The digest of one block.
pub fn hash_block(salt: &Salt, block: &[u8]) -> Digest {
    let mut hasher = Sha256::new_with_prefix(salt.as_bytes());
    hasher.update(block);
    Digest::from_bytes(hasher.finalize().into())
}

/// The number of blocks of each level for so many data blocks, leaves first, up to the one block at the top. One
/// data block has one level too, and no data none.
fn levels(data_blocks: u64) -> impl Iterator<Item = u64> {
    let mut below = (data_blocks > 0).then_some(data_blocks);
    std::iter::from_fn(move || {
        let blocks = below?.div_ceil(FANOUT as u64);
        below = (blocks > 1).then_some(blocks);
        Some(blocks)
    })
}

/// The blocks of the tree over so many data blocks, without the superblock.
pub fn tree_blocks(data_blocks: u64) -> u64 {
    levels(data_blocks).sum()
}

/// A hash tree in memory: 8 MiB for each GiB of data.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree {
    /// As on disk from block 1 on: top first.
    bytes: Vec<u8>,
    leaves: Range<usize>,
    root: Digest,
}

impl Tree {
    /// Reads `data_blocks` blocks and makes their tree, on all threads of the current rayon pool.
    ///
    /// # Errors
    ///
    /// What the source reports, and `InvalidInput` without any data.
    pub fn build<S: ReadBlocks + ?Sized>(source: &S, data_blocks: u64, salt: &Salt) -> io::Result<Self> {
        let count = usize::try_from(data_blocks).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut leaves = vec![0; count * Digest::LEN];
        let buffer = || vec![0; BATCH * BLOCK];
        leaves.par_chunks_mut(BATCH * Digest::LEN).enumerate().try_for_each_init(
            buffer,
            |buffer, (batch, leaves)| {
                let data = &mut buffer[..leaves.len() / Digest::LEN * BLOCK];
                source.read_blocks((batch * BATCH * BLOCK) as u64, data)?;
                hash_into(salt, data, leaves);
                Ok::<(), io::Error>(())
            },
        )?;
        Self::from_leaves(leaves, salt)
    }

    /// The tree over leaves that are known already: 32 bytes for each data block, in order.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are none, or not a multiple of 32 bytes.
    pub fn from_leaves(mut leaves: Vec<u8>, salt: &Salt) -> io::Result<Self> {
        if leaves.is_empty() || !leaves.len().is_multiple_of(Digest::LEN) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let count = leaves.len();
        leaves.resize(count.next_multiple_of(BLOCK), 0);
        let mut stack = vec![leaves];
        while let Some(below) = stack.last()
            && below.len() > BLOCK
        {
            let mut level = vec![0; below.len() / BLOCK * Digest::LEN];
            level
                .par_chunks_mut(BATCH * Digest::LEN)
                .zip(below.par_chunks(BATCH * BLOCK))
                .for_each(|(digests, data)| hash_into(salt, data, digests));
            level.resize(level.len().next_multiple_of(BLOCK), 0);
            stack.push(level);
        }
        let above: usize = stack[1..].iter().map(Vec::len).sum();
        let bytes: Vec<u8> = stack.into_iter().rev().flatten().collect();
        let root = hash_block(salt, &bytes[..BLOCK]);
        Ok(Self { bytes, leaves: above..above + count, root })
    }

    /// The root hash.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The tree as it is on disk from block 1 of the hash partition on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digests of the data blocks, in order.
    pub fn leaves(&self) -> impl ExactSizeIterator<Item = Digest> + Clone {
        self.bytes[self.leaves.clone()].chunks_exact(Digest::LEN).map(|bytes| {
            let mut digest = [0; Digest::LEN];
            digest.copy_from_slice(bytes);
            Digest::from_bytes(digest)
        })
    }
}

fn hash_into(salt: &Salt, data: &[u8], digests: &mut [u8]) {
    for (digest, block) in digests.chunks_exact_mut(Digest::LEN).zip(data.chunks_exact(BLOCK)) {
        digest.copy_from_slice(hash_block(salt, block).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The root as the kernel finds it: upwards from one block, through the bytes on disk.
    fn verified(tree: &Tree, data: &[u8], salt: &Salt, mut index: usize) -> bool {
        let mut at = tree.bytes.len();
        let mut digest = hash_block(salt, &data[index * BLOCK..][..BLOCK]);
        for blocks in levels((data.len() / BLOCK) as u64) {
            at -= blocks as usize * BLOCK;
            let block = &tree.bytes[at + index / FANOUT * BLOCK..][..BLOCK];
            if &block[index % FANOUT * Digest::LEN..][..Digest::LEN] != digest.as_bytes() {
                return false;
            }
            digest = hash_block(salt, block);
            index /= FANOUT;
        }
        at == 0 && digest == tree.root
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Sizes around the borders of one, two and three levels.
        #[test]
        fn every_block_is_proved_and_no_changed_one(
            blocks in prop_oneof![1_usize..3, 126..130_usize, 16382..16387_usize],
            seed: u8,
            victim: prop::sample::Index,
            salt in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let salt = Salt::from_bytes(salt).unwrap();
            let mut data: Vec<u8> = (0..blocks * BLOCK).map(|i| (i / BLOCK) as u8 ^ seed).collect();
            let tree = Tree::build(&data[..], blocks as u64, &salt).unwrap();
            prop_assert_eq!(tree.bytes.len() as u64, tree_blocks(blocks as u64) * BLOCK as u64);
            for index in [0, blocks / 2, blocks - 1] {
                prop_assert!(verified(&tree, &data, &salt, index));
            }
            prop_assert_eq!(tree.leaves().count(), blocks);
            let victim = victim.index(data.len());
            data[victim] ^= 1;
            prop_assert!(!verified(&tree, &data, &salt, victim / BLOCK));
            prop_assert_ne!(Tree::build(&data[..], blocks as u64, &salt).unwrap().root(), tree.root());
        }
    }

    #[test]
    fn known_roots() {
        // What `veritysetup format --salt=- --data-block-size=4096` prints for one block of zeros is the digest of
        // the block that begins with the digest of those zeros.
        let salt = Salt::from_bytes([]).unwrap();
        let zeros = vec![0; BLOCK];
        let tree = Tree::build(&zeros[..], 1, &salt).unwrap();
        let leaf = hash_block(&salt, &zeros);
        assert_eq!(leaf.to_string(), "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7");
        let mut top = leaf.as_bytes().to_vec();
        top.resize(BLOCK, 0);
        assert_eq!(tree.bytes(), top);
    }

    #[test]
    fn nothing_has_no_tree() {
        let salt = Salt::of_product("test");
        assert!(Tree::build(&[][..], 0, &salt).is_err());
        assert!(Tree::build(&[0; 10][..], 1, &salt).is_err());
        assert!(Tree::from_leaves(vec![0; 31], &salt).is_err());
        assert_eq!(tree_blocks(0), 0);
    }
}
