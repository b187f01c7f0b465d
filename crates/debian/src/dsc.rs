//! Source packages: .dsc files (dsc(5)).
//!
//! A .dsc lists the files of a source package. It carries a signature of whoever uploaded it, which says
//! nothing to us: the .dsc and all files it lists are named with their digests in the signed `Sources` index.
//! So the signature is taken off unchecked, and [`Dsc::matches`] compares the lists.

use crate::control::{self, Paragraphs, Reason};
use crate::index::{SourceFile, SourcePackage, source_files};
use crate::version::Version;

/// Why a .dsc is not what the index says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// It speaks of another package, version or file than the index.
    #[error("the .dsc of {package} and the Sources index differ: {what}")]
    Differs {
        /// The source package.
        package: String,
        /// In what they differ.
        what: String,
    },
}

/// A source package's own table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsc {
    /// Name of the source package.
    pub source: String,
    /// Version.
    pub version: Version,
    /// `Format`, as `3.0 (quilt)`.
    pub format: String,
    /// The files, without the .dsc itself, by name.
    pub files: Vec<SourceFile>,
}

/// Reads a .dsc, signed or not.
pub fn parse(bytes: &[u8]) -> Result<Dsc, Error> {
    let text = without_signature(bytes);
    let mut reader = Paragraphs::new(text)?;
    let stanza = reader.next_stanza()?.unwrap_or_default();
    if reader.next_stanza()?.is_some() {
        return Err(control::Error::new(1, Reason::Count { expected: 1, found: 2 }).into());
    }
    let version = stanza.require("Version")?;
    Ok(Dsc {
        source: stanza.require("Source")?.to_owned(),
        version: version.parse().map_err(|e| stanza.bad("Version", e))?,
        format: stanza.get("Format").unwrap_or("1.0").to_owned(),
        files: source_files(&stanza)?,
    })
}

impl Dsc {
    /// Compares with what the signed index says of the package: every file here must be there with the
    /// same size and digest.
    pub fn matches(&self, package: &SourcePackage) -> Result<(), Error> {
        let differs = |what: String| Error::Differs { package: package.package.clone(), what };
        if self.source != package.package || self.version != package.version {
            return Err(differs(format!(
                "{} {} against {} {}",
                self.source, self.version, package.package, package.version
            )));
        }
        match self.files.iter().find(|file| !package.files.contains(file)) {
            Some(file) => Err(differs(format!("size or digest of {}", file.name))),
            None => Ok(()),
        }
    }
}

/// The text between armor lines, if there are any.
fn without_signature(bytes: &[u8]) -> &[u8] {
    let find = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|w| w == needle);
    if !bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        return bytes;
    }
    let Some(start) = find(bytes, b"\n\n").map(|at| at + 2) else { return bytes };
    let end =
        find(&bytes[start..], b"\n-----BEGIN PGP SIGNATURE-----").map_or(bytes.len(), |at| start + at + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

    fn text() -> String {
        format!(
            "Format: 3.0 (quilt)\nSource: a\nVersion: 1.0-1\nFiles:\n 0 9 a_1.0.orig.tar.xz\n\
             Checksums-Sha256:\n {DIGEST} 9 a_1.0.orig.tar.xz\n"
        )
    }

    fn index() -> SourcePackage {
        let text = format!(
            "Package: a\nVersion: 1.0-1\nDirectory: pool/a\nChecksums-Sha256:\n {DIGEST} 5 a_1.0-1.dsc\n \
             {DIGEST} 9 a_1.0.orig.tar.xz\n"
        );
        crate::index::parse_sources(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn a_signature_is_taken_off() {
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n",
            text()
        );
        assert_eq!(parse(signed.as_bytes()).unwrap(), parse(text().as_bytes()).unwrap());
    }

    #[test]
    fn what_differs_from_the_index_is_refused() {
        parse(text().as_bytes()).unwrap().matches(&index()).unwrap();
        for (from, to, part) in [
            (" 9 a_1.0.orig", " 8 a_1.0.orig", "a_1.0.orig.tar.xz"),
            ("00aa 9", "00ab 9", "a_1.0.orig.tar.xz"),
            ("Version: 1.0-1", "Version: 1.0-2", "1.0-2 against a 1.0-1"),
            ("a_1.0.orig.tar.xz", "a_1.0.tar.xz", "a_1.0.tar.xz"),
        ] {
            let dsc = parse(text().replace(from, to).as_bytes()).unwrap();
            let error = dsc.matches(&index()).expect_err(from).to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(parse(b"Source: a\nVersion: 1\n").is_err());
    }
}
