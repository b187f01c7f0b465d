//! Advisories: whatever is accepted can be written, and reads the same again.
#![no_main]

use lazuli_repo::updateinfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(advisories) = updateinfo::parse(bytes) {
        assert!(advisories.iter().all(|advisory| !advisory.id.is_empty()));
        let written = updateinfo::to_xml(&advisories).expect("what was read can be written");
        let again = updateinfo::parse(&written).expect("what was written can be read");
        assert_eq!(advisories.len(), again.len());
        assert_eq!(updateinfo::to_xml(&again).expect("writes"), written);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = updateinfo::parse_date(text);
    }
});
