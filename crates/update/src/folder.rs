//! An image from a folder or a USB stick, that the operator vouches for by its root hash.
//!
//! ```text
//! FOLDER/root.img     the data of the root partition: whole blocks of 4096 bytes
//! FOLDER/uki.efi      the unified kernel image, whose command line names the root hash
//! ```
//!
//! The root hash on the command line is what is trusted: the data must have it, and the UKI must name it. The UKI itself
//! is started by firmware only if its signature is right. Folders with signed metadata are read by the code that verifies
//! such metadata, and become an [`Offer`] the same way.

use crate::{Error, Offer, Result};
use lazuli_layout::assess::{Image, ImageId};
use lazuli_slots::{Release, Source, Stage, UkiFile};
use lazuli_verity::{BLOCK, Salt};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of the data in a folder.
pub const DATA: &str = "root.img";
/// The name of the unified kernel image in a folder.
pub const UKI: &str = "uki.efi";

/// An image in a folder.
#[derive(Debug)]
pub struct Folder {
    release: Release,
    files: Files,
}

#[derive(Debug)]
struct Files {
    data: PathBuf,
    uki: PathBuf,
}

impl Folder {
    /// Opens a folder. `product` is what the salt of the hash tree is made from.
    pub fn open(path: &Path, image: ImageId, version: &str, product: &str) -> Result<Self> {
        let files = Files { data: path.join(DATA), uki: path.join(UKI) };
        let len = lazuli_fs::metadata(&files.data)?.len();
        if len == 0 || !len.is_multiple_of(BLOCK as u64) {
            return Err(Error::Folder {
                path: files.data.display().to_string(),
                reason: format!("{len} bytes are not whole blocks of {BLOCK}"),
            });
        }
        let mut hasher = Sha256::new();
        let mut uki = lazuli_fs::open(&files.uki)?;
        let mut size = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = uki.read(&mut buffer).map_err(|e| lazuli_fs::Error::new("read", &files.uki, e))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            size += read as u64;
        }
        let release = Release {
            image: Image { id: image, version: version.to_owned() },
            blocks: len / BLOCK as u64,
            salt: Salt::of_product(product),
            uki: UkiFile { size, sha256: hasher.finalize().into() },
        };
        Ok(Self { release, files })
    }
}

impl Offer for Folder {
    fn release(&self) -> &Release {
        &self.release
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.files
    }
}

impl Source for Files {
    fn data(&mut self, stage: &mut Stage<'_>) -> lazuli_slots::Result<()> {
        let mut file: File = lazuli_fs::open(&self.data)?;
        stage.write_all(&mut file)
    }

    fn uki(&mut self) -> lazuli_slots::Result<Box<dyn Read + '_>> {
        Ok(Box::new(lazuli_fs::open(&self.uki)?))
    }
}
