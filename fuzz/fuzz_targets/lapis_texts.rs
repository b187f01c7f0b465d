//! What people write for `lapis`: query formats, names of packages, version locks, `automatic.conf`.
#![no_main]

use lazuli_lapis::package::Details;
use lazuli_lapis::queryformat::Format;
use lazuli_lapis::spec::{Pattern, Spec};
use lazuli_lapis::{fuzzing, locks};
use lazuli_repo::{Href, Package};
use lazuli_rpm::{Evr, Nevra};
use lazuli_store::Digest;
use libfuzzer_sys::fuzz_target;

fn nevra() -> Nevra {
    Nevra { name: "bash".into(), evr: Evr::new(Some(1), "5.2", "1"), arch: "x86_64".into() }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(format) = Format::parse(text) {
        let package = Package::new(nevra(), Digest::of("x"), Href::new("bash.rpm").expect("a location"));
        let shown = format.apply(&Details::available(package, "base"));
        // A tag has at least three characters, and is padded to 1000 at most.
        assert!(shown.len() <= (text.len() + 1) * 1100);
    }
    if let Spec::Package(pattern) = Spec::parse(text) {
        let _ = (pattern.matches(&nevra()), pattern.names());
    }
    let _ = Pattern::new(text).matches_text("bash");
    for lock in fuzzing::locks(text) {
        let again = fuzzing::locks(&locks::text(&lock));
        assert_eq!(again.iter().map(locks::text).collect::<Vec<_>>(), [locks::text(&lock)]);
    }
    let _ = fuzzing::automatic(text, 1_800_000_000);
});
