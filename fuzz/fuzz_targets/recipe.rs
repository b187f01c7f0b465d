//! Recipes: an index that is accepted is written as the same bytes again; whatever a group's control says, nothing
//! is read beyond the old image nor written outside the group.
#![no_main]

use lazuli_delta::recipe::{Group, Index, apply};
use lazuli_delta::{BLOCK, Held, ReadAt, WriteAt};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use std::io;
use std::sync::Mutex;

const OLD: u64 = 6;
const NEW: u64 = 4;

/// A slot in which the blocks around the group are not to be touched.
struct Slot(Mutex<Vec<u8>>);

impl ReadAt for Slot {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.lock().expect("no panic").read_at(offset, buffer)
    }
}

impl WriteAt for Slot {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(offset >= BLOCK as u64 && offset + bytes.len() as u64 <= (1 + NEW) * BLOCK as u64);
        let mut slot = self.0.lock().expect("no panic");
        slot[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

fn short(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::parse(bytes) {
        assert_eq!(index.to_bytes(), bytes);
        assert!(index.groups.iter().map(|group| group.blocks).sum::<u64>() == index.new_blocks);
    }
    // The same bytes as the control of a group, with as much of each stream as it could use.
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("compresses");
    let long = vec![7; NEW as usize * BLOCK];
    let length = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte) * long.len() / 255);
    let streams = [pack(bytes), pack(&long[..length(0)]), pack(&long[..length(1)])];
    let payload = streams.concat();
    let group = Group {
        first: 1,
        blocks: NEW,
        offset: 0,
        sizes: [0, 1, 2].map(|i| streams[i].len() as u64),
        payload: short(&payload),
        output: [0; 16],
    };
    let index = Index {
        old_blocks: OLD,
        new_blocks: NEW + 2,
        old_root: [0; 32],
        new_root: [0; 32],
        groups: vec![group],
    };
    let slot = Slot(Mutex::new(vec![0; (NEW as usize + 2) * BLOCK]));
    let old = vec![1; OLD as usize * BLOCK];
    if let Ok(report) = apply(&index, 0, &payload, &old, &slot, Held::Something) {
        assert_eq!(report.written + report.kept, NEW);
    }
});
