//! Laws of all ways from one image to another.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use lazuli_delta::recipe::{self, Image};
use lazuli_delta::reuse::{self, Plan, short};
use lazuli_delta::{BLOCK, Error, Held, ReadAt, WriteAt, frames};
use lazuli_verity::{Salt, hash_block};
use proptest::prelude::*;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Mutex;

/// A slot in memory that counts what is written.
struct Slot(Mutex<(Vec<u8>, usize)>);

impl Slot {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new((bytes, 0)))
    }

    fn written(&self) -> usize {
        self.0.lock().unwrap().1
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

impl ReadAt for Slot {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.lock().unwrap().0.read_at(offset, buffer)
    }
}

impl WriteAt for Slot {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut slot = self.0.lock().unwrap();
        slot.0[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        slot.1 += bytes.len();
        Ok(())
    }
}

/// Serves a file in memory and counts what is asked for.
struct Served(Vec<u8>, u64);

impl recipe::Parts for Served {
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        self.1 += range.end - range.start;
        Ok(Box::new(&self.0[range.start as usize..range.end as usize]))
    }
}

fn salt() -> Salt {
    Salt::of_product("test")
}

/// An image of blocks that are zeros, shared, or touched in places.
fn image() -> impl Strategy<Value = Vec<u8>> {
    let block = (0_u8..6, prop::option::of((0..BLOCK, any::<u8>()))).prop_map(|(kind, touch)| {
        let mut block: Vec<u8> = (0..BLOCK).map(|i| kind.wrapping_mul((i / 7 + i * i / 5) as u8)).collect();
        if let Some((at, value)) = touch {
            block[at] = value;
        }
        block
    });
    prop::collection::vec(block, 1..12).prop_map(|blocks| blocks.concat())
}

fn by_recipe(old: &[u8], new: &[u8], slot: &Slot, held: Held) -> (recipe::Recipe, u64) {
    let salt = salt();
    let made = recipe::build(&Image::new(old, &salt).unwrap(), &Image::new(new, &salt).unwrap()).unwrap();
    let index = recipe::Index::parse(&made.index).unwrap();
    assert_eq!(index.payload_size(), made.payload.len() as u64);
    let mut parts = Served(made.payload.clone(), 0);
    recipe::run(&index, &mut parts, &old.to_vec(), slot, held).unwrap();
    (made, parts.1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_way_ends_in_the_new_image(old in image(), new in image(), before in image()) {
        let mut before = before;
        before.resize(new.len(), 0xAA);
        for held in [Held::Nothing, Held::Something] {
            let slot = Slot::new(before.clone());
            by_recipe(&old, &new, &slot, held);
            prop_assert_eq!(&slot.bytes(), &new);

            let (index, file) = frames::pack(&new, 2, 3).unwrap();
            let leaves = |bytes: &[u8]| -> Vec<[u8; 32]> {
                bytes.chunks(BLOCK).map(|block| *hash_block(&salt(), block).as_bytes()).collect()
            };
            let zero = short(hash_block(&salt(), &[0; BLOCK]).as_bytes());
            let old_leaves = leaves(&old).into_iter().map(|leaf| short(&leaf));
            let list = reuse::list(&leaves(&new));
            let slot = Slot::new(before.clone());
            let mut plan = Plan::new(&list, index.blocks, zero, old_leaves, []).unwrap();
            let promised = plan.bytes(&index);
            if held == Held::Something {
                plan.keep(&list, &salt(), &slot).unwrap();
                prop_assert!(plan.bytes(&index) <= promised);
            }
            let mut parts = Served(file.clone(), 0);
            plan.run(&index, &mut parts, &old, &slot, held).unwrap();
            prop_assert_eq!(parts.1, plan.bytes(&index));
            prop_assert_eq!(&slot.bytes(), &new);
        }
    }

    #[test]
    fn what_is_right_already_is_neither_fetched_nor_written(old in image(), new in image()) {
        let slot = Slot::new(new.clone());
        let (_, fetched) = by_recipe(&old, &new, &slot, Held::Something);
        prop_assert_eq!((fetched, slot.written()), (0, 0));
    }

    #[test]
    fn an_altered_payload_is_refused_before_anything_is_written(old in image(), new in image(), at: prop::sample::Index) {
        let slot = Slot::new(vec![0xAA; new.len()]);
        let (made, _) = by_recipe(&old, &new, &slot, Held::Nothing);
        let mut payload = made.payload.clone();
        payload[at.index(made.payload.len())] ^= 0x10;
        let index = recipe::Index::parse(&made.index).unwrap();
        let slot = Slot::new(vec![0xAA; new.len()]);
        let error = recipe::run(&index, &mut Served(payload, 0), &old, &slot, Held::Nothing).unwrap_err();
        let altered = matches!(error, Error::Altered { .. });
        prop_assert!(altered, "{}", error);
        prop_assert_eq!(slot.written(), 0);
    }
}

#[test]
fn the_same_images_give_the_same_recipe() {
    let old: Vec<u8> = (0..200 * BLOCK).map(|i| (i * i / 7) as u8).collect();
    let mut new = old.clone();
    new.rotate_left(12_345);
    let slot = Slot::new(vec![0; new.len()]);
    let one = by_recipe(&old, &new, &slot, Held::Nothing).0;
    assert_eq!(one, by_recipe(&old, &new, &slot, Held::Nothing).0);
}

#[test]
fn a_recipe_for_other_images_is_refused() {
    let (old, new) = (vec![1; 3 * BLOCK], vec![2; 2 * BLOCK]);
    let made =
        recipe::build(&Image::new(&old, &salt()).unwrap(), &Image::new(&new, &salt()).unwrap()).unwrap();
    let index = recipe::Index::parse(&made.index).unwrap();
    let (old_root, new_root) = (index.old_root, index.new_root);
    index.check(&old_root, 3, &new_root, 2).unwrap();
    index.check(&old_root, 4, &new_root, 2).unwrap();
    assert!(index.check(&new_root, 3, &new_root, 2).is_err());
    assert!(index.check(&old_root, 2, &new_root, 2).is_err());
    assert!(index.check(&old_root, 3, &old_root, 2).is_err());
    assert!(index.check(&old_root, 3, &new_root, 3).is_err());
}
