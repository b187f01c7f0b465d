//! The disk as an updater sees it: bytes at offsets, and a flush.

use crate::Result;
use lazuli_fs::Context as _;
use lazuli_layout::gpt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A disk. Between two flushes, writes may reach the medium in any order, in part, or not at all; a sector of 512
/// bytes is written whole or not.
pub trait Disk: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;
    /// Its name, for errors.
    fn name(&self) -> String;
    /// Fills a buffer from an offset.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Writes all bytes at an offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Returns when everything that was written so far survives a power cut.
    fn flush(&mut self) -> Result<()>;
    /// Drops what memory holds of a range that was flushed, so that the next read comes from the medium.
    fn forget_cache(&mut self, offset: u64, len: u64) -> Result<()>;
}

/// A disk that is one file or device: an image, or a whole disk that nothing else uses.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    size: u64,
}

impl FileDisk {
    /// Opens it for reading and writing.
    pub fn open(path: &Path) -> Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let file = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at("open", path)?;
        Self::new(File::from(file), path)
    }

    /// Opens it for reading only: every write fails.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::new(lazuli_fs::open(path)?, path)
    }

    fn new(mut file: File, path: &Path) -> Result<Self> {
        use std::io::Seek as _;
        // The length of a block device is not in its metadata.
        let size = file.seek(std::io::SeekFrom::End(0)).at("find the size of", path)?;
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for FileDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        Ok(self.file.read_exact_at(buffer, offset).at("read", &self.path)?)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.file.write_all_at(bytes, offset).at("write", &self.path)?)
    }

    fn flush(&mut self) -> Result<()> {
        // fdatasync also makes the device write out its own cache.
        Ok(self.file.sync_data().at("flush", &self.path)?)
    }

    fn forget_cache(&mut self, offset: u64, len: u64) -> Result<()> {
        let len = std::num::NonZeroU64::new(len);
        Ok(rustix::fs::fadvise(&self.file, offset, len, rustix::fs::Advice::DontNeed)
            .at("drop the cache of", &self.path)?)
    }
}

/// A disk as what a partition table is written to.
pub(crate) struct TableDevice<'d>(pub &'d mut dyn Disk);

impl gpt::Device for TableDevice<'_> {
    type Error = crate::Error;

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}
