//! What is remembered outside the slots, as a file.
//!
//! Crash rule: the file is replaced as a whole (temporary file, fsync, rename, fsync of the directory). One that cannot
//! be read is an error and not an empty memory: forgetting which images failed would let them come back.

use crate::{Error, Result};
use lazuli_layout::assess::Memory;
use std::path::PathBuf;

/// The longest that a memory may be, in bytes: thousands of failed images.
const LONGEST: u64 = 1 << 20;

/// The file on the state partition.
#[derive(Debug, Clone)]
pub struct MemoryFile {
    path: PathBuf,
}

impl MemoryFile {
    /// The usual name within the updater's folder.
    pub const NAME: &'static str = "state.json";

    /// A file that may not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads it. A machine that was never updated has none.
    pub fn load(&self) -> Result<Memory> {
        let bad = |reason: String| Error::Memory { path: self.path.display().to_string(), reason };
        match lazuli_fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > LONGEST => {
                return Err(bad(format!("it has {} bytes", metadata.len())));
            }
            Err(error) if error.is_not_found() => return Ok(Memory::default()),
            _ => {}
        }
        let memory: Memory =
            serde_json::from_slice(&lazuli_fs::read(&self.path)?).map_err(|e| bad(e.to_string()))?;
        if memory.format != Memory::FORMAT {
            return Err(bad(format!(
                "it has format {}, this version reads {}",
                memory.format,
                Memory::FORMAT
            )));
        }
        Ok(memory)
    }

    /// Replaces it, durably.
    pub fn save(&self, memory: &Memory) -> Result<()> {
        let text = serde_json::to_vec_pretty(memory)
            .map_err(|e| Error::Memory { path: self.path.display().to_string(), reason: e.to_string() })?;
        if let Some(directory) = self.path.parent() {
            lazuli_fs::create_dir_all(directory)?;
        }
        Ok(lazuli_fs::write_atomic(&self.path, text, 0o600)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_layout::assess::{Failure, ImageId};

    #[test]
    fn it_is_read_as_written_and_fails_closed() {
        let dir = tempfile::tempdir().unwrap();
        let file = MemoryFile::new(dir.path().join("update").join(MemoryFile::NAME));
        assert_eq!(file.load().unwrap(), Memory::default());
        let mut memory = Memory::default();
        let failure = Failure { version: "2".into(), reason: "it panicked".into() };
        memory.failed.insert(ImageId::from_bytes([7; 32]), failure);
        file.save(&memory).unwrap();
        assert_eq!(file.load().unwrap(), memory);
        let path = dir.path().join("update").join(MemoryFile::NAME);
        for text in ["", "{}", "null", "{\"format\":2,\"failed\":{},\"note\":null}"] {
            lazuli_fs::write(&path, text).unwrap();
            assert!(file.load().unwrap_err().to_string().contains("no update is taken"), "{text}");
        }
    }
}
