//! `.repo` files and dnf.conf: the INI dialect, every value of every key, variables.
#![no_main]

use lazuli_repo::config::{Config, RepoConfig, Variables, ini};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let file = Path::new("fuzz");
    if let Ok(sections) = ini::parse(file, bytes) {
        let lines = bytes.split(|byte| *byte == b'\n').count();
        for section in &sections {
            assert!((1..=lines).contains(&section.line));
            assert!(section.entries.iter().all(|entry| (section.line..=lines).contains(&entry.line)));
        }
    }
    let mut config = Config::new(Variables::new("x86_64", Some("1.0")));
    let _ = config.add_main(file, bytes);
    let _ = config.add_repositories(file, bytes);
    for repository in &config.repositories {
        // Directories are named by it.
        assert!(RepoConfig::is_id(&repository.id) && !repository.id.contains('/'));
        let _ = repository.problem();
    }
    for warning in config.warnings() {
        let _ = warning.to_string();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = config.variables.expand(text);
        let _ = config.set_option(text);
    }
});
