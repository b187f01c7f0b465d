//! The part of a download that is already on disk.

use crate::Result;
use lazuli_fs::{self as fs, Context as _};
use lazuli_store::{Digest, Hasher, Store};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// An unfinished download, locked against other processes and threads.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len: u64,
}

impl Partial {
    /// Opens the partial file of `digest`, making it if there is none. Waits while another download of
    /// the same content is running. What is longer than `size` is thrown away.
    pub(crate) fn open(store: &Store, digest: &Digest, size: u64) -> Result<Self> {
        let dir = store.root().join("partial");
        fs::create_dir_all(&dir)?;
        let path = dir.join(digest.to_string());
        let file = loop {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .at("open", &path)?;
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).at("lock", &path)?;
            // Whoever held the lock before may have finished and taken the file away.
            let ours = file.metadata().at("stat", &path)?;
            match fs::metadata(&path) {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => break file,
                Ok(_) => {}
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e.into()),
            }
        };
        let mut partial = Self { path, file, hasher: Hasher::new(), len: 0 };
        if partial.file.metadata().at("stat", &partial.path)?.len() > size {
            partial.restart()?;
        }
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = partial.file.read(&mut buffer).at("read", &partial.path)?;
            if n == 0 {
                break;
            }
            partial.hasher.update(&buffer[..n]);
            partial.len += n as u64;
        }
        Ok(partial)
    }

    /// How many bytes are there.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Begins again from nothing.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).at("truncate", &self.path)?;
        self.file.seek(io::SeekFrom::Start(0)).at("seek in", &self.path)?;
        self.hasher = Hasher::new();
        self.len = 0;
        Ok(())
    }

    /// Adds bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write", &self.path)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The digest of what is there.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Moves the finished content into the store. Its digest was compared before.
    pub(crate) fn finish(self, store: &Store) -> Result<()> {
        store.adopt_file(&self.path)?;
        Ok(())
    }

    /// Throws the file away.
    pub(crate) fn discard(self) -> Result<()> {
        fs::remove_file(&self.path)?;
        Ok(())
    }
}
