//! Package files: lead, signature header, header, payload.
//!
//! ```text
//! 0    lead, 96 bytes; nothing in it counts but its magic ed ab ee db
//! 96   signature header, padded to a multiple of 8 bytes
//!      header
//!      payload, to the end of the file
//! ```

use crate::header::{self, Header};
use crate::keys::{self, KeyRing};
use crate::tag::{self, sig};
use lazuli_store::Digest;
use std::str::FromStr as _;

/// Size of the lead in bytes.
pub const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// Why a package cannot be read or trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The lead.
    #[error("this is not an RPM package (no lead at its start)")]
    Lead,
    /// The signature header.
    #[error("signature header: {0}")]
    SignatureHeader(#[source] header::Error),
    /// The header.
    #[error("header: {0}")]
    Header(#[source] header::Error),
    /// Nobody signed it.
    #[error("the package is not signed")]
    Unsigned,
    /// The signature does not hold.
    #[error("{0}")]
    Signature(#[from] keys::Error),
    /// A digest does not match, or is missing.
    #[error("the {what} of the package is damaged: expected sha256 {expected}, got {actual}")]
    Digest {
        /// `header` or `payload`.
        what: &'static str,
        /// What the package says.
        expected: String,
        /// What was found.
        actual: Digest,
    },
    /// The package does not say what its payload should be.
    #[error("the package has no SHA-256 digest of its {what}; it was made by an RPM older than 4.14")]
    NoDigest {
        /// `header` or `payload`.
        what: &'static str,
    },
}

/// A package file in memory.
#[derive(Debug, Clone)]
pub struct PackageFile<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// The signature header.
    pub signature: Header,
    /// The header.
    pub header: Header,
    /// Where the header starts, in bytes.
    pub header_offset: usize,
    /// Where the payload starts, in bytes.
    pub payload_offset: usize,
}

/// What a verification found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Fingerprint of the key that signed the package.
    pub signer: String,
}

impl<'a> PackageFile<'a> {
    /// Takes a package file apart. Nothing is verified yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() < LEAD || bytes[..4] != LEAD_MAGIC {
            return Err(Error::Lead);
        }
        let signature = Header::parse(&bytes[LEAD..]).map_err(Error::SignatureHeader)?;
        signature.check_region(tag::HEADERSIGNATURES).map_err(Error::SignatureHeader)?;
        let header_offset = LEAD + signature.size().next_multiple_of(8);
        let rest = bytes.get(header_offset..).unwrap_or_default();
        let header = Header::parse(rest).map_err(Error::Header)?;
        // Nothing may stand outside of what is signed.
        header.check_region(tag::HEADERIMMUTABLE).map_err(Error::Header)?;
        header.check_paths().map_err(Error::Header)?;
        let payload_offset = header_offset + header.size();
        Ok(Self { bytes, signature, header, header_offset, payload_offset })
    }

    /// The payload as it lies in the file.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload_offset..]
    }

    /// Verifies, in this order: the signature over the header, the header's digest, the payload's
    /// digest. All of them, always.
    pub fn verify(&self, keys: &KeyRing) -> Result<Verified, Error> {
        // 1. A signature by a trusted key binds the header.
        let signer = self.check_signatures(keys)?;
        // 2. The header's own digest, which the signature does not need but others look at.
        self.check_header_digest()?;
        // 3. The header binds the payload.
        self.check_payload_digest()?;
        Ok(Verified { signer })
    }

    /// Verifies digests only: enough to find damage, not to trust anything.
    pub fn verify_digests(&self) -> Result<(), Error> {
        self.check_header_digest()?;
        self.check_payload_digest()
    }

    /// The first two steps of [`PackageFile::verify`], for a file of which only the part before the payload is
    /// in memory. [`PackageFile::check_payload`] is the third.
    pub fn verify_header(&self, keys: &KeyRing) -> Result<Verified, Error> {
        let signer = self.check_signatures(keys)?;
        self.check_header_digest()?;
        Ok(Verified { signer })
    }

    /// Checks the header's digest only: enough to find damage, not to trust anything.
    pub fn verify_header_digest(&self) -> Result<(), Error> {
        self.check_header_digest()
    }

    /// Compares the digest of a payload that somebody else has read with the one in the header.
    pub fn check_payload(&self, actual: Digest) -> Result<(), Error> {
        let expected = self.header.string(tag::PAYLOADSHA256).ok_or(Error::NoDigest { what: "payload" })?;
        compare("payload", expected, actual)
    }

    fn check_header_digest(&self) -> Result<(), Error> {
        let expected = self.signature.string(tag::SHA256HEADER).ok_or(Error::NoDigest { what: "header" })?;
        compare("header", expected, Digest::of(self.header.bytes()))
    }

    fn check_payload_digest(&self) -> Result<(), Error> {
        self.check_payload(Digest::of(self.payload()))
    }

    /// Any signature by a trusted key will do; one of theirs that does not hold will not, whatever the
    /// others say.
    fn check_signatures(&self, keys: &KeyRing) -> Result<String, Error> {
        let mut result = Err(Error::Unsigned);
        for signature in self.signatures() {
            match keys.verify(self.header.bytes(), &signature) {
                Ok(signer) => result = Ok(signer),
                Err(bad @ keys::Error::Bad { .. }) => return Err(bad.into()),
                Err(other) if result.is_err() => result = Err(other.into()),
                Err(_) => {}
            }
        }
        result
    }

    /// The signatures over the header: in OPENPGP as an array of base64 strings, in the tags of RPM 4 as
    /// binary data.
    fn signatures(&self) -> Vec<Vec<u8>> {
        let several = self.signature.strings(tag::OPENPGP);
        let several = several.iter().filter_map(|text| crate::base64::decode(text));
        let single =
            [tag::RSAHEADER, tag::DSAHEADER].into_iter().filter_map(|tag| self.signature.binary(tag));
        several.chain(single.map(<[u8]>::to_vec)).collect()
    }

    /// The size of the uncompressed payload in bytes, if the package says it.
    pub fn archive_size(&self) -> Option<u64> {
        self.signature
            .number(sig::PAYLOADSIZE)
            .or_else(|| self.signature.number(tag::LONGARCHIVESIZE))
            .or_else(|| self.header.number(tag::ARCHIVESIZE))
    }
}

fn compare(what: &'static str, expected: String, actual: Digest) -> Result<(), Error> {
    if Digest::from_str(&expected) == Ok(actual) {
        Ok(())
    } else {
        Err(Error::Digest { what, expected, actual })
    }
}
