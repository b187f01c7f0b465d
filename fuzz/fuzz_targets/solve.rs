//! Dependencies of hostile packages, up to the solver: an answer or a refusal, in bounded time.
//!
//! Each line is a package, named `a`, `b`, ... in turn: `+` begins what it provides, `!` a conflict, `-` what it
//! obsoletes, `?` what it recommends, anything else a requirement; `;` stands between them.
#![no_main]

use lazuli_repo::{Href, Package};
use lazuli_rpm::{Dependency, Evr, Nevra};
use lazuli_solve::{Request, solve};
use lazuli_store::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut packages = Vec::new();
    for (number, line) in text.lines().take(16).enumerate() {
        let name = char::from(b'a' + (number % 8) as u8).to_string();
        let evr = Evr::new(None, (number / 8 + 1).to_string(), "1");
        let nevra = Nevra { name, evr, arch: "noarch".into() };
        let href = Href::new(&nevra.file_name()).expect("a location");
        let mut package = Package::new(nevra.clone(), Digest::of(nevra.to_string()), href);
        let own = Dependency { name: nevra.name.clone(), ..Dependency::default() };
        package.provides.push(own);
        for word in line.split(';') {
            let kind = word.chars().next().unwrap_or(' ');
            let word = word.trim_start_matches(['+', '!', '-', '?']);
            // Metadata brings dependencies that nobody has parsed.
            let dependency = Dependency::parse(word).unwrap_or_else(|_| Dependency::any(word));
            match kind {
                '+' => package.provides.push(dependency),
                '!' => package.conflicts.push(dependency),
                '-' => package.obsoletes.push(dependency),
                '?' => package.recommends.push(dependency),
                _ if word.is_empty() => {}
                _ => package.requires.push(dependency),
            }
        }
        packages.push(package);
    }
    let request = Request { install: vec!["a".into()], weak: true, ..Request::default() };
    match solve(&packages, &request) {
        Ok(_) => assert!(!packages.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
