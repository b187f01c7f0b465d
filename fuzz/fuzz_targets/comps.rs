//! Groups of packages: whatever is accepted has ids, and joining it with itself adds nothing.
#![no_main]

use lazuli_repo::comps;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = comps::parse(bytes) {
        assert!(read.groups.iter().all(|group| !group.id.is_empty()));
        let mut once = comps::Comps::default();
        once.join(read.clone());
        let mut twice = once.clone();
        twice.join(read);
        assert_eq!(once, twice);
    }
});
