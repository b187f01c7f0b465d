//! Signs package files: `sign-rpm SECRET-KEY SECONDS DIRECTORY PACKAGE...`; the signed ones go to DIRECTORY.

use lazuli_rpm::{Signer, sign};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, time, dir, packages @ ..] = &arguments[..] else {
        return Err("usage: sign-rpm SECRET-KEY SECONDS DIRECTORY PACKAGE...".into());
    };
    let signer = Signer::from_armored(&lazuli_fs::read_to_string(key)?)?;
    for package in packages {
        let signed = sign::sign_package(&lazuli_fs::read(package)?, &signer, time.parse()?)?;
        let name = Path::new(package).file_name().ok_or("not a file name")?;
        lazuli_fs::write(Path::new(dir).join(name), signed)?;
    }
    Ok(())
}
