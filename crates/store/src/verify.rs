//! Reading everything again.

use crate::{Digest, Hasher, Result, Store};
use lazuli_fs::{self as fs, Context as _};

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blobs read.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Blobs that did not have the content of their name; they were removed.
    pub damaged: Vec<Digest>,
}

impl Store {
    /// Hashes every blob again, whatever its modification time says, and removes damaged ones.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        for dir in fs::read_dir(self.root.join("blobs"))? {
            for path in fs::read_dir(&dir)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let mut hasher = Hasher::new();
                let mut file = fs::open(&path)?;
                report.bytes += std::io::copy(&mut file, &mut hasher).at("read", &path)?;
                report.blobs += 1;
                let actual = hasher.finish();
                if actual.to_string() != name {
                    fs::remove_file(&path)?;
                    report.damaged.push(name.parse().unwrap_or(actual));
                }
            }
        }
        Ok(report)
    }
}
