//! Repository metadata: repomd.xml, then primary, filelists and other, separated by zero bytes; locations.
#![no_main]

use lazuli_repo::{Href, Repomd, parse_packages};
use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};

fn stays_below(href: &Href) {
    assert!(Path::new(href.as_str()).components().all(|c| matches!(c, Component::Normal(_))), "{href}");
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(repomd) = Repomd::parse(bytes) {
        repomd.parts.values().for_each(|part| stays_below(&part.location));
    }
    if let Ok(Ok(href)) = std::str::from_utf8(bytes).map(Href::new) {
        stays_below(&href);
    }
    let mut files = bytes.split(|byte| *byte == 0);
    let primary = files.next().unwrap_or_default();
    if let Ok(packages) = parse_packages(primary, files.next(), files.next()) {
        for package in &packages {
            stays_below(&package.location);
            assert!(package.files.iter().all(|file| file.path.starts_with('/')));
        }
    }
});
