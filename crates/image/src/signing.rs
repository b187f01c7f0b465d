//! Who signs an image: a key at hand, or somebody elsewhere whose signatures are brought back.
//!
//! Three things of an image with slots are signed, all by the owner of db:
//!
//! | what | how | who checks it |
//! |---|---|---|
//! | verity root hash | PKCS#7, detached, over 64 lower-case hexadecimal digits | kernel |
//! | systemd-boot | Authenticode | firmware |
//! | unified kernel image | Authenticode | firmware, asked by systemd-boot |
//!
//! The command line in the unified kernel image contains the root hash and its signature, so the root hash has to be
//! signed before the image that the other signature covers exists.

use crate::{Error, Result};
use lazuli_secureboot::pe::Image as PeImage;
use lazuli_secureboot::{Certificate, Key, authenticode, pkcs7};
use lazuli_store::{ActionKey, Digest};

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The verity root hash.
    RootHash,
    /// The boot loader.
    SystemdBoot,
    /// The unified kernel image.
    Uki,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RootHash => "verity root hash",
            Self::SystemdBoot => "boot loader",
            Self::Uki => "unified kernel image",
        })
    }
}

/// Signatures that were made elsewhere.
#[derive(Debug, Clone)]
pub struct Signatures {
    /// Those whose signatures count.
    pub trusted: Vec<Certificate>,
    /// The PKCS#7 message of the root hash, DER.
    pub root_hash: Vec<u8>,
    /// systemd-boot with its signature.
    pub systemd_boot: Vec<u8>,
    /// The unified kernel image with its signature.
    pub uki: Vec<u8>,
}

/// Who signs.
#[derive(Debug, Clone, Copy)]
pub enum Signing<'a> {
    /// The owner of this key, now.
    Key(&'a Key),
    /// Somebody did already.
    Attached(&'a Signatures),
}

impl Signing<'_> {
    /// The signature of a root hash, written as hexadecimal digits.
    pub(crate) fn root_hash(&self, hash: &str) -> Result<Vec<u8>> {
        match self {
            Self::Key(key) => {
                pkcs7::sign_detached(key, hash.as_bytes()).map_err(|e| wrong(Part::RootHash, e))
            }
            Self::Attached(signatures) => check_root_hash(&signatures.root_hash, hash, &signatures.trusted),
        }
    }

    /// The signed form of a PE image.
    pub(crate) fn image(&self, part: Part, unsigned: &[u8]) -> Result<Vec<u8>> {
        let signatures = match self {
            Self::Key(key) => return authenticode::sign(key, unsigned).map_err(|e| wrong(part, e)),
            Self::Attached(signatures) => signatures,
        };
        let signed = if part == Part::Uki { &signatures.uki } else { &signatures.systemd_boot };
        authenticode::verify(signed, &signatures.trusted).map_err(|e| wrong(part, e))?;
        let bare =
            |bytes: &[u8]| PeImage::parse(bytes).map(|image| image.unsigned()).map_err(|e| wrong(part, e));
        // A good signature of another release of ours would pass otherwise.
        if bare(signed)? != bare(unsigned)? {
            return Err(wrong(part, lazuli_secureboot::Error::Content));
        }
        Ok(signed.clone())
    }

    /// A digest that changes when the signatures do.
    pub(crate) fn digest(&self) -> Digest {
        let key = ActionKey::new("signing", 1);
        match self {
            Self::Key(key_pair) => key.field("certificate", key_pair.certificate().der()),
            Self::Attached(signatures) => key
                .field("root hash", &signatures.root_hash)
                .field("systemd-boot", &signatures.systemd_boot)
                .field("uki", &signatures.uki),
        }
        .finish()
    }
}

/// Checks the signature of a root hash that was made elsewhere.
pub(crate) fn check_root_hash(signature: &[u8], hash: &str, trusted: &[Certificate]) -> Result<Vec<u8>> {
    pkcs7::verify_detached(signature, hash.as_bytes(), trusted).map_err(|e| wrong(Part::RootHash, e))?;
    Ok(signature.to_vec())
}

fn wrong(part: Part, source: lazuli_secureboot::Error) -> Error {
    Error::Signature { part, source }
}
