//! The reader of erofs: whatever it is given, it ends, and files lie within the image.
#![no_main]

use lazuli_delta::{BLOCK, erofs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut image = bytes.to_vec();
    // What is found at once need not be guessed.
    if image.len() > 2048 {
        image[1024..1028].copy_from_slice(&0xE0F5_E1E2_u32.to_le_bytes());
        image[1024 + 12] = 12;
    }
    if let Ok(files) = erofs::files(&image) {
        for file in files {
            assert!((file.start + file.blocks) as usize * BLOCK <= image.len());
        }
    }
});
