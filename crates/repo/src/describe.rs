//! Describing RPM files: from headers to metadata records.

use crate::error::{Error, Result};
use crate::href::Href;
use crate::package::{Change, File, FileKind, Package};
use lazuli_rpm::{Header, tag};
use lazuli_store::Digest;

/// The lead in front of the signature header, in bytes.
const LEAD: usize = 96;
/// `RPMFILE_GHOST`: owned, not shipped.
const GHOST: u64 = 1 << 6;
const TYPE_MASK: u64 = 0o170_000;
const DIRECTORY: u64 = 0o040_000;

impl Package {
    /// Describes an RPM file from its bytes, of which only the part up to the end of the header is
    /// interpreted. Signatures are not checked here.
    pub fn from_rpm(rpm: &[u8], location: Href) -> Result<Self> {
        let bad = |what: &str, e: lazuli_rpm::header::Error| Error::Package {
            what: location.to_string(),
            reason: format!("{what}: {e}"),
        };
        let signature =
            Header::parse(rpm.get(LEAD..).unwrap_or_default()).map_err(|e| bad("signature", e))?;
        let start = header_start(&signature);
        let header = Header::parse(rpm.get(start..).unwrap_or_default()).map_err(|e| bad("header", e))?;
        Self::from_headers(&signature, &header, rpm.len() as u64, Digest::of(rpm), location)
    }

    /// Describes an RPM file from its two headers, its size in bytes and its SHA-256.
    pub fn from_headers(
        signature: &Header,
        header: &Header,
        size: u64,
        checksum: Digest,
        location: Href,
    ) -> Result<Self> {
        let nevra = header
            .nevra()
            .map_err(|e| Error::Package { what: location.to_string(), reason: e.to_string() })?;
        let string = |tag| header.string(tag).unwrap_or_default();
        let start = header_start(signature) as u64;
        let build_time = header.number(tag::BUILDTIME).and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        let archive = signature
            .number(tag::LONGARCHIVESIZE)
            .or_else(|| signature.number(tag::sig::PAYLOADSIZE))
            .or_else(|| header.number(tag::ARCHIVESIZE));
        Ok(Self {
            summary: string(tag::SUMMARY),
            description: string(tag::DESCRIPTION),
            packager: string(tag::PACKAGER),
            url: string(tag::URL),
            license: string(tag::LICENSE),
            vendor: string(tag::VENDOR),
            group: string(tag::GROUP),
            build_host: string(tag::BUILDHOST),
            source_rpm: string(tag::SOURCERPM),
            build_time,
            file_time: build_time,
            package_size: size,
            installed_size: header.number(tag::LONGSIZE).or_else(|| header.number(tag::SIZE)).unwrap_or(0),
            archive_size: archive.unwrap_or(0),
            header_range: start..start + header.size() as u64,
            provides: header.provides(),
            requires: header.requires(),
            conflicts: header.conflicts(),
            obsoletes: header.obsoletes(),
            recommends: header.recommends(),
            suggests: header.suggests(),
            supplements: header.supplements(),
            enhances: header.enhances(),
            files: files(header),
            changelog: header
                .changelog()
                .into_iter()
                .rev()
                .map(|(date, author, text)| Change { author, date, text })
                .collect(),
            ..Self::new(nevra, checksum, location)
        })
    }
}

/// Where the main header starts: after lead and signature header, padded to 8 bytes.
fn header_start(signature: &Header) -> usize {
    LEAD + signature.size().next_multiple_of(8)
}

fn files(header: &Header) -> Vec<File> {
    let modes = header.numbers(tag::FILEMODES);
    let flags = header.numbers(tag::FILEFLAGS);
    let kind = |place: usize| {
        if modes.get(place).is_some_and(|mode| mode & TYPE_MASK == DIRECTORY) {
            FileKind::Directory
        } else if flags.get(place).is_some_and(|flags| flags & GHOST != 0) {
            FileKind::Ghost
        } else {
            FileKind::File
        }
    };
    let mut files: Vec<File> = header
        .paths()
        .into_iter()
        .enumerate()
        .map(|(place, path)| File { path, kind: kind(place) })
        .collect();
    files.sort();
    files
}
