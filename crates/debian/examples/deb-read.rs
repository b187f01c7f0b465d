//! Reads real .deb files into a temporary store and prints what is in them: `deb-read FILE...`.

use lazuli_debian::deb::{Deb, Limits};
use lazuli_store::Store;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    for path in std::env::args().skip(1) {
        let start = Instant::now();
        let deb = Deb::read(lazuli_fs::open(&path)?, &store, &Limits::default())?;
        println!(
            "{} {}: {} nodes, {} bytes, scripts {:?}, {} conffiles, other {:?}, of {}, in {:?}",
            deb.control.get("Package").unwrap_or(""),
            deb.control.get("Version").unwrap_or(""),
            deb.data.len(),
            deb.data.content_size(),
            deb.scripts.keys().collect::<Vec<_>>(),
            deb.conffiles.len(),
            deb.other.keys().collect::<Vec<_>>(),
            deb.timestamp,
            start.elapsed()
        );
    }
    Ok(())
}
