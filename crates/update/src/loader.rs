//! The systemd-boot that the running image brings, and which copy of it started this system.

use crate::Result;
use lazuli_layout::assess::Loader;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// Where it lies in an image: the signed one, if there is one.
const PLACES: [&str; 2] =
    ["usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", "usr/lib/systemd/boot/efi/systemd-bootx64.efi"];
/// In which variable of the firmware systemd-boot leaves the path that it was started from (Boot Loader Interface).
const VARIABLE: &str = "sys/firmware/efi/efivars/LoaderImageIdentifier-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// A loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Which copy on the ESP started this system, if the firmware says so.
    pub started: Option<Loader>,
}

impl Brought {
    /// Reads it; `None` if the image brings none.
    pub fn read(root: &Path) -> Result<Option<Self>> {
        for place in PLACES {
            match lazuli_fs::read(root.join(place)) {
                Ok(bytes) => {
                    let sha256 = Sha256::digest(&bytes).into();
                    let started = lazuli_fs::read(root.join(VARIABLE)).ok().and_then(|value| started(&value));
                    return Ok(Some(Self { bytes, sha256, started }));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Which copy a variable names: four bytes of attributes, then UTF-16 with backslashes.
fn started(variable: &[u8]) -> Option<Loader> {
    let units = variable.get(4..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text = String::from_utf16(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>()).ok()?;
    let path = text.replace('\\', "/").to_ascii_lowercase();
    if path.starts_with("/efi/systemd/") {
        Some(Loader::Main)
    } else if path.starts_with("/efi/boot/") {
        Some(Loader::Fallback)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        [7, 0, 0, 0].into_iter().chain(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes)).collect()
    }

    #[test]
    fn the_path_of_the_firmware_is_read() {
        let read = |text: &str| started(&variable(text));
        assert_eq!(read("\\EFI\\systemd\\systemd-bootx64.efi"), Some(Loader::Main));
        assert_eq!(read("\\EFI\\BOOT\\BOOTX64.EFI"), Some(Loader::Fallback));
        assert_eq!(read("\\EFI\\other.efi"), None);
        assert_eq!(started(&[1]), None);
    }
}
