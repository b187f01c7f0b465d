//! Rows of the package database: read in two ways, which must say the same.
#![no_main]

use lazuli_rpm::{Header, tag};
use lazuli_rpmdb::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (installed, listed) = fuzzing::row(bytes);
    let region = fuzzing::region(bytes);
    let Ok(installed) = installed else { return };
    let _ = (installed.header.paths(), installed.state(0), installed.state(usize::MAX));
    if let Some(package) = installed.package_header() {
        assert_eq!(Some(package.bytes()), region.as_deref());
        assert!(package.entries().len() <= installed.header.entries().len());
        let _ = package.check_region(tag::HEADERIMMUTABLE);
        assert_eq!(Header::parse(package.bytes()).as_ref(), Ok(&package));
    }
    if let Ok(listed) = listed {
        assert_eq!(listed.nevra, installed.nevra());
        assert_eq!(listed.nevra.to_string(), installed.nevra().to_string());
        assert_eq!(
            (listed.install_time, listed.transaction),
            (installed.install_time, installed.transaction)
        );
    }
});
