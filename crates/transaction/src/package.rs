//! Package files that were verified, and stay open.
//!
//! A package is opened once. The descriptor that was verified is the one that is read later, and the
//! header that was verified is kept in memory: a path that points elsewhere meanwhile changes nothing.
//! Should somebody write into the file itself, the digest that the header has for each file does not
//! match, and staging fails before the transaction is committed.

use crate::Error;
use lazuli_fs::Context as _;
use lazuli_rpm::package::{Error as Reason, LEAD, PackageFile};
use lazuli_rpm::{Header, KeyRing, Nevra};
use lazuli_rpmdb::InstalledPackage;
use lazuli_store::{Digest, Hasher};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The largest header of a package in bytes, and of a signature header.
const MAX_HEADER: u64 = 256 << 20;
const MAX_SIGNATURE: u64 = 64 << 20;

/// What has to be verified of a package file.
#[derive(Debug, Clone, Copy)]
pub enum Check<'a> {
    /// A signature by one of these keys, and the digests.
    Signature(&'a KeyRing),
    /// Digests only: whoever asked for that (`--nogpgcheck`) trusts the file for other reasons.
    DigestsOnly,
}

/// Why a package is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The key with this fingerprint signed it.
    Signed {
        /// Fingerprint.
        signer: String,
    },
    /// Nobody asked.
    Unchecked,
}

/// An open and verified package file.
#[derive(Debug)]
pub struct Package {
    pub(crate) name: String,
    pub(crate) file: File,
    pub(crate) header: Header,
    pub(crate) signature: Header,
    pub(crate) payload_offset: u64,
    /// Size of the payload in bytes.
    pub(crate) payload_size: u64,
    nevra: Nevra,
    trust: Trust,
}

impl Package {
    /// Opens and verifies a package file.
    pub fn open(path: &Path, check: Check<'_>) -> Result<Self, Error> {
        Self::from_file(lazuli_fs::open(path)?, &path.display().to_string(), check)
    }

    /// Verifies an open package file. `name` is for messages.
    pub fn from_file(file: File, name: &str, check: Check<'_>) -> Result<Self, Error> {
        let fail = |source: Reason| Error::Package { file: name.to_owned(), source };
        let size = file.metadata().at("stat", name)?.len();
        let head = head(&file, size, name)?;
        let package = PackageFile::parse(&head).map_err(fail)?;
        // 1. The signature binds the header, 2. the header's digest: nothing of the payload is read before.
        let trust = match check {
            Check::Signature(keys) => {
                Trust::Signed { signer: package.verify_header(keys).map_err(fail)?.signer }
            }
            Check::DigestsOnly => {
                package.verify_header_digest().map_err(fail)?;
                Trust::Unchecked
            }
        };
        // 3. The header binds the payload.
        let payload_offset = package.payload_offset as u64;
        let digest = digest(&file, payload_offset, size).at("read", name)?;
        package.check_payload(digest).map_err(fail)?;
        let nevra = package.header.nevra().map_err(|e| fail(Reason::Header(e)))?;
        let PackageFile { header, signature, .. } = package;
        // 4. It can become a row of the database: after the commit point nothing may turn out to be wrong with it.
        let installed = InstalledPackage::new(header, signature);
        installed.check()?;
        let InstalledPackage { header, signature, .. } = installed;
        let payload_size = size.saturating_sub(payload_offset);
        let name = name.to_owned();
        Ok(Self { name, file, header, signature, payload_offset, payload_size, nevra, trust })
    }

    /// Why it is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its name, version and architecture.
    pub fn nevra(&self) -> &Nevra {
        &self.nevra
    }

    /// Reads the payload into memory.
    pub(crate) fn payload(&self) -> lazuli_fs::Result<Vec<u8>> {
        let mut payload = vec![0; usize::try_from(self.payload_size).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut payload, self.payload_offset).at("read", &self.name)?;
        Ok(payload)
    }
}

/// Everything before the payload.
fn head(file: &File, size: u64, name: &str) -> Result<Vec<u8>, Error> {
    let signature = LEAD as u64;
    let header = signature + length(file, signature, MAX_SIGNATURE, name)?.next_multiple_of(8);
    let end = (header + length(file, header, MAX_HEADER, name)?).min(size);
    let mut head = vec![0; usize::try_from(end).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut head, 0).at("read", name)?;
    Ok(head)
}

/// The length of the header at `offset` by its own account, which parsing checks; 0 if there is none.
fn length(file: &File, offset: u64, limit: u64, name: &str) -> Result<u64, Error> {
    let mut intro = [0; 16];
    if let Err(e) = file.read_exact_at(&mut intro, offset) {
        return match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Ok(0),
            _ => Err(e).at("read", name).map_err(Error::from),
        };
    }
    let word =
        |at: usize| u64::from(u32::from_be_bytes([intro[at], intro[at + 1], intro[at + 2], intro[at + 3]]));
    Ok((16 + 16 * word(8) + word(12)).min(limit))
}

/// SHA-256 of the file from `offset` on.
fn digest(file: &File, mut offset: u64, end: u64) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    while offset < end {
        match file.read_at(&mut buffer, offset)? {
            0 => break,
            n => {
                hasher.update(&buffer[..n]);
                offset += n as u64;
            }
        }
    }
    Ok(hasher.finish())
}

/// A reader of a part of a file that does not move the descriptor's position.
pub(crate) struct Tail<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
}

impl std::io::Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}
