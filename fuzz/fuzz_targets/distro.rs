//! The distribution's own files: `lazuli.toml`, components, images, the lock.
#![no_main]

use lazuli_component::lock::Lock;
use lazuli_component::schema::{ComponentFile, Distro};
use lazuli_component::toml_file;
use lazuli_image::ImageSpec;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("fuzz.toml");
    let _ = toml_file::parse::<Distro>(file, text);
    let _ = toml_file::parse::<ComponentFile>(file, text);
    let _ = toml_file::parse::<ImageSpec>(file, text);
    if let Err(toml_file::Error::Invalid { line, .. }) = toml_file::parse::<Lock>(file, text) {
        assert!((1..=text.split('\n').count()).contains(&line));
    }
    if let Ok(lock) = toml_file::parse::<Lock>(file, text) {
        let written = toml::to_string(&lock).expect("a lock can be written");
        assert_eq!(toml_file::parse::<Lock>(file, &written).expect("what was written can be read"), lock);
    }
});
