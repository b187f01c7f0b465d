//! The signature header: digests and the signature over the header.
//!
//! A version 4 package carries the signature twice: in the tag of its algorithm (RSAHEADER or
//! DSAHEADER, which RPM 4 reads) and in OPENPGP (which RPM 6 reads). SHA-1 and MD5 are written because
//! RPM 4 identifies packages by them; nothing here ever trusts them.

use crate::header::{HeaderBuilder, Value};
use crate::keys::{self, Signer};
use crate::package::{self, LEAD, PackageFile};
use crate::tag::{self, sig};
use lazuli_store::Digest;
use md5::Digest as _;

/// What the signature header says about the rest of the file.
pub(crate) struct Facts<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload_size: u64,
    pub(crate) archive_size: u64,
    /// MD5 over header and payload.
    pub(crate) md5: [u8; 16],
}

/// Why a package cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] package::Error),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] keys::Error),
}

/// Signs a package that is already there, such as one that `rpmbuild` made: its header and payload stay
/// as they are, its signature header is written anew. `time` is in seconds since 1970.
pub fn sign_package(bytes: &[u8], signer: &Signer, time: i64) -> Result<Vec<u8>, Error> {
    let package = PackageFile::parse(bytes)?;
    package.verify_digests()?;
    let rest = &bytes[package.header_offset..];
    let facts = Facts {
        header: package.header.bytes(),
        payload_size: package.payload().len() as u64,
        archive_size: package.archive_size().unwrap_or(0),
        md5: md5::Md5::digest(rest).into(),
    };
    let mut signed = bytes[..LEAD].to_vec();
    signed.extend(signature_header(&facts, Some(signer), time)?);
    signed.extend(rest);
    Ok(signed)
}

/// The padded signature header.
pub(crate) fn signature_header(
    facts: &Facts<'_>,
    signer: Option<&Signer>,
    time: i64,
) -> Result<Vec<u8>, keys::Error> {
    let mut builder = HeaderBuilder::new();
    let size = facts.header.len() as u64 + facts.payload_size;
    match (u32::try_from(size), u32::try_from(facts.archive_size)) {
        (Ok(size), Ok(archive)) => {
            builder.number(sig::SIZE, size).number(sig::PAYLOADSIZE, archive);
        }
        _ => {
            builder
                .set(tag::LONGSIGSIZE, Value::Int64(vec![size]))
                .set(tag::LONGARCHIVESIZE, Value::Int64(vec![facts.archive_size]));
        }
    }
    builder.set(sig::MD5, Value::Bin(facts.md5.to_vec()));
    header_digests(&mut builder, facts.header);
    if let Some(signer) = signer {
        let packet = signer.sign(facts.header, time)?;
        builder.set(tag::DSAHEADER, Value::Bin(packet.clone()));
        builder.set(tag::OPENPGP, Value::StringArray(vec![crate::base64::encode(&packet)]));
    }
    let mut header = builder.finish(tag::HEADERSIGNATURES);
    header.resize(header.len().next_multiple_of(8), 0);
    Ok(header)
}

/// A signature header that has only the digests of a header, for public keys in the package database.
pub fn digests(header: &[u8]) -> Vec<u8> {
    let mut builder = HeaderBuilder::new();
    header_digests(&mut builder, header);
    builder.finish(tag::HEADERSIGNATURES)
}

fn header_digests(builder: &mut HeaderBuilder, header: &[u8]) {
    builder.string(tag::SHA1HEADER, hex(&sha1::Sha1::digest(header)));
    builder.string(tag::SHA256HEADER, Digest::of(header).to_string());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
