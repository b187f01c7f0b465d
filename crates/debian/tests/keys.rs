//! The archive keys kept in `distro/keys` are what their README says.

use lazuli_debian::release::Keyring;
use std::path::Path;

#[test]
fn every_key_is_usable_and_listed_with_its_fingerprint() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../distro/keys");
    let readme = lazuli_fs::read_to_string(dir.join("README.md")).expect("the README");
    let mut seen = 0;
    for path in lazuli_fs::read_dir(&dir).expect("distro/keys") {
        if path.extension().is_none_or(|e| e != "asc") {
            continue;
        }
        let name = path.file_name().and_then(|n| n.to_str()).expect("a plain name");
        let ring = Keyring::from_keys([lazuli_fs::read(&path).expect("a key")]).expect(name);
        let [fingerprint] = ring.fingerprints().try_into().expect("one key a file");
        let row = readme.lines().find(|l| l.starts_with(&format!("| `{name}` |"))).expect(name);
        assert!(row.contains(&format!("`{fingerprint}`")), "{name} is {fingerprint}, not {row}");
        seen += 1;
    }
    assert!(seen > 0);
}
