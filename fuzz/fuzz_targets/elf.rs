//! ELF files, whose dependencies become those of packages.
#![no_main]

use lazuli_rpm::elf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(found) = elf::dependencies(bytes) {
        assert!(elf::is_elf(bytes));
        for dependency in found.provides.iter().chain(&found.requires) {
            assert!(!dependency.name.is_empty());
        }
    }
});
