//! What can be wrong with a repository.

use crate::href::HrefError;
use lazuli_store::Digest;

/// The result of an operation on a repository.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of reading or writing a repository.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A local file could not be used.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// A file of the repository could not be got from where it lies.
    #[error("cannot get {href}: {source}")]
    Get {
        /// The file, relative to the repository.
        href: String,
        /// The reason, from whoever got it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Metadata could not be serialised or compressed.
    #[error("cannot write metadata: {source}")]
    Serialise {
        /// The serialiser's or compressor's reason.
        source: std::io::Error,
    },
    /// The signature of `repomd.xml` does not hold.
    #[error(
        "repodata/repomd.xml is not signed by a key this repository is trusted with: {reason}; \
         if the repository was being published just now, try again, else check its `gpgkey`"
    )]
    Signature {
        /// What the check of the signature said.
        reason: String,
    },
    /// `repomd.xml` could not be signed.
    #[error("cannot sign repodata/repomd.xml: {reason}")]
    Signing {
        /// What the signer said.
        reason: String,
    },
    /// A file has another size than the signed metadata says.
    #[error(
        "{href} has {actual} bytes, but repomd.xml promises {expected}; the mirror is out of step or damaged, \
         try again or another mirror"
    )]
    Size {
        /// The file.
        href: String,
        /// The promised size in bytes.
        expected: u64,
        /// The size in bytes of what arrived.
        actual: u64,
    },
    /// A file has another digest than the signed metadata says.
    #[error(
        "{href} has sha256 {actual}{}, but repomd.xml promises {expected}; the mirror is out of step or \
         damaged, try again or another mirror", if *.open { " when decompressed" } else { "" }
    )]
    Checksum {
        /// The file.
        href: String,
        /// Whether the decompressed content is meant.
        open: bool,
        /// The promised digest.
        expected: Digest,
        /// The digest of what arrived.
        actual: Digest,
    },
    /// A file decompresses to more than the signed metadata says.
    #[error("{href} decompresses to more than the {limit} bytes that repomd.xml promises; refused")]
    TooLarge {
        /// The file.
        href: String,
        /// The promised size in bytes.
        limit: u64,
    },
    /// A size is beyond what this program is willing to handle.
    #[error("{what} has {size} bytes; more than {limit} are refused")]
    Limit {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A compression that is not supported.
    #[error(
        "{href} is compressed as `{name}`; zstd (.zst), gzip (.gz), xz (.xz) and none (.xml) are supported"
    )]
    Compression {
        /// The file.
        href: String,
        /// The file name's suffix.
        name: String,
    },
    /// Compressed data is damaged.
    #[error("{href} is not valid {format} data: {source}")]
    Decompress {
        /// The file.
        href: String,
        /// The format it claims to have.
        format: &'static str,
        /// The decompressor's reason.
        source: std::io::Error,
    },
    /// A part that is needed is not listed.
    #[error("repomd.xml lists no `{part}` metadata; the repository is incomplete, rebuild its metadata")]
    MissingPart {
        /// The part's type, for example `primary`.
        part: &'static str,
    },
    /// The content of a metadata file is not what its format asks for.
    #[error("{file}, line {line} (byte {offset}): {reason}")]
    Content {
        /// The metadata file (`repomd.xml`, `primary.xml`, ...).
        file: &'static str,
        /// The line, from 1, in the decompressed file.
        line: usize,
        /// The byte offset in the decompressed file.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two metadata files disagree.
    #[error("{file} does not fit primary.xml: {reason}; rebuild the repository's metadata")]
    Mismatch {
        /// The file that disagrees.
        file: &'static str,
        /// About what.
        reason: String,
    },
    /// A location that must not be used.
    #[error(transparent)]
    Href(#[from] HrefError),
    /// Two packages were to be published under one name.
    #[error("both {first} and {second} are to be published as {href}")]
    DuplicateLocation {
        /// One package.
        first: String,
        /// The other package.
        second: String,
        /// The location both have.
        href: String,
    },
    /// A directory that was not published to before has metadata of its own.
    #[error(
        "{} already holds a repository that was not written by `publish` (its `repodata` is no link to a snapshot); \
         publish to an empty directory", .path.display()
    )]
    NotPublished {
        /// The directory.
        path: std::path::PathBuf,
    },
    /// An RPM file could not be described.
    #[error("cannot describe the package {what}: {reason}")]
    Package {
        /// The file or package.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}
