//! Package files that were verified, and stay open.
//!
//! A package is opened once. The descriptor that was verified is the one that is read later, and the
//! header that was verified is kept in memory: a path that points elsewhere meanwhile changes nothing.
//! Should somebody write into the file itself, the digest that the header has for each file does not
//! match, and staging fails before the transaction is committed.

use crate::Error;
use lazuli_rpm::{Header, KeyRing, Nevra};
use std::fs::File;
use std::path::Path;

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
    pub(crate) nevra: Nevra,
    trust: Trust,
}

impl Package {
    /// Opens and verifies a package file.
    pub fn open(path: &Path, check: Check<'_>) -> Result<Self, Error> {
        Self::from_file(lazuli_fs::open(path)?, &path.display().to_string(), check)
    }

    /// Verifies an open package file. `name` is for messages.
    pub fn from_file(file: File, name: &str, check: Check<'_>) -> Result<Self, Error> {
        let _ = (file, name, check);
        Err(Error::Unfinished)
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
}
