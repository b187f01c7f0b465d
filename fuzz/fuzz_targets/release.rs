//! What an update repository serves: a manifest or an index that is accepted is written and read again.
#![no_main]

use lazuli_delta::frames;
use lazuli_layout::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert!(manifest.minimum_version <= manifest.version);
        assert!(manifest.targets().all(|target| !target.name.contains('/')));
        let written = manifest.to_bytes().expect("what was read can be written");
        assert_eq!(Manifest::parse(&written).expect("what was written can be read"), manifest);
    }
    if let Ok(index) = frames::Index::parse(bytes) {
        assert_eq!(index.to_bytes(), bytes);
        assert_eq!(index.len() as u64, index.blocks.div_ceil(index.frame_blocks));
    }
});
