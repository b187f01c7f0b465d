//! Reading a repository. Nothing of it is believed before it was checked, and no switch turns that off.
//!
//! 1. `repomd.xml` is verified against its detached signature and the given keys.
//! 2. Each part has the size and the SHA-256 that `repomd.xml` promises.
//! 3. A part decompresses to exactly the promised size and SHA-256; more is refused as it appears.
//! 4. The parts agree with each other: same packages, announced counts, safe locations.
//!
//! What this does not notice is a signed but old `repomd.xml` (replay, freeze): that needs a clock and a
//! memory of revisions, which a caller has and this crate has not.

use crate::compress::{decompress, suffix};
use crate::error::{Error, Result};
use crate::lists::List;
use crate::package::Package;
use crate::primary;
use crate::repomd::{MAX_OPEN, MAX_PART, MAX_REPOMD, MAX_SIGNATURE, PATH, Repomd, SIGNATURE_PATH};
use crate::updateinfo::Advisory;
use lazuli_rpm::KeyRing;
use lazuli_store::{Digest, Hasher};
use std::path::Path;

/// How much of a repository to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// `primary`: enough to resolve dependencies, except on unusual paths.
    Primary,
    /// Also `filelists`: every path.
    Files,
    /// Also `other`: changelogs.
    Everything,
}

/// A repository's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its list of parts.
    pub repomd: Repomd,
    /// Its packages, in the order of `primary`.
    pub packages: Vec<Package>,
}

/// A `repomd.xml` whose signature was checked, or of which its user said that it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified(Repomd);

impl Verified {
    /// Checks the detached signature over the bytes of `repomd.xml`, then parses them.
    pub fn check(repomd: &[u8], signature: &[u8], keys: &KeyRing) -> Result<Self> {
        crate::signature::verify(repomd, signature, keys)?;
        Ok(Self(Repomd::parse(repomd)?))
    }

    /// For a repository whose user has said that its metadata is not signed
    /// ([`Lack::MetadataSignature`](crate::Lack)): nothing but the form of `repomd.xml` is checked.
    pub fn unsigned(repomd: &[u8]) -> Result<Self> {
        Ok(Self(Repomd::parse(repomd)?))
    }

    /// The verified content.
    pub fn repomd(&self) -> &Repomd {
        &self.0
    }

    /// Checks a part's bytes against the promises of `repomd.xml` and decompresses them.
    pub fn open(&self, kind: &'static str, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut open = Vec::new();
        self.stream(kind, bytes, &mut |piece| {
            open.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(open)
    }

    /// The same in pieces: the bytes as they are stored are checked before anything is decompressed, the
    /// decompressed ones as they come. Nothing that was made from the pieces may be used before this has
    /// returned without an error. An error of `take` ends it.
    pub fn stream(
        &self,
        kind: &'static str,
        bytes: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let part = self.0.part(kind)?;
        let href = || part.location.to_string();
        if bytes.len() as u64 != part.size {
            return Err(Error::Size { href: href(), expected: part.size, actual: bytes.len() as u64 });
        }
        let actual = Digest::of(bytes);
        if actual != part.checksum {
            return Err(Error::Checksum { href: href(), open: false, expected: part.checksum, actual });
        }
        // Uncompressed data has the size it has; anything else must say how large it becomes.
        let open_size = match part.open_size {
            Some(size) => size,
            None if suffix(part.location.as_str()) == "xml" => part.size,
            None => {
                let reason =
                    format!("it gives no open-size for `{kind}`, so decompression cannot be bounded");
                return Err(Error::Mismatch { file: "repomd.xml", reason });
            }
        };
        if open_size > MAX_OPEN {
            return Err(Error::Limit { what: href(), size: open_size, limit: MAX_OPEN });
        }
        let (mut hasher, mut size) = (Hasher::new(), 0_u64);
        decompress(part.location.as_str(), bytes, open_size, &mut |piece| {
            hasher.update(piece);
            size += piece.len() as u64;
            take(piece)
        })?;
        if size != open_size {
            return Err(Error::Size { href: href(), expected: open_size, actual: size });
        }
        let actual = hasher.finish();
        if let Some(expected) = part.open_checksum.filter(|expected| *expected != actual) {
            return Err(Error::Checksum { href: href(), open: true, expected, actual });
        }
        Ok(())
    }

    fn fetch(&self, get: &mut Get<'_>, kind: &'static str) -> Result<Vec<u8>> {
        let part = self.0.part(kind)?;
        if part.size > MAX_PART {
            return Err(Error::Limit { what: part.location.to_string(), size: part.size, limit: MAX_PART });
        }
        self.open(kind, &get(part.location.as_str(), part.size)?)
    }
}

/// Parses the decompressed content of `primary` and, where given, of `filelists` and `other`.
///
/// For content that comes from [`Verified::open`] or from a place only this program writes to: nothing can
/// be checked here except that the files have their format and agree with each other.
pub fn parse_packages(
    primary: &[u8],
    filelists: Option<&[u8]>,
    other: Option<&[u8]>,
) -> Result<Vec<Package>> {
    let mut packages = primary::read(primary)?;
    if let Some(filelists) = filelists {
        List::Files.read(filelists, &mut packages)?;
    }
    if let Some(other) = other {
        List::Other.read(other, &mut packages)?;
    }
    Ok(packages)
}

type Get<'a> = dyn FnMut(&str, u64) -> Result<Vec<u8>> + 'a;

/// What a caller of [`read_repository`] may say went wrong.
pub type GetError = Box<dyn std::error::Error + Send + Sync>;

/// Reads a repository whose files `get` delivers by their path (relative to the repository) and the
/// largest size in bytes worth delivering.
pub fn read_repository(
    mut get: impl FnMut(&str, u64) -> std::result::Result<Vec<u8>, GetError>,
    keys: &KeyRing,
    detail: Detail,
) -> Result<Repository> {
    read(
        &mut |href, limit| get(href, limit).map_err(|source| Error::Get { href: href.to_owned(), source }),
        keys,
        detail,
    )
}

/// Reads a repository from a local directory.
pub fn read_directory(dir: &Path, keys: &KeyRing, detail: Detail) -> Result<Repository> {
    let mut get = |href: &str, limit: u64| {
        let path = dir.join(href);
        let size = lazuli_fs::metadata(&path)?.len();
        if size > limit {
            return Err(Error::Size { href: href.to_owned(), expected: limit, actual: size });
        }
        Ok(lazuli_fs::read(&path)?)
    };
    read(&mut get, keys, detail)
}

/// Reads the packages of a snapshot that this program wrote itself, whose key it may no longer have. For
/// housekeeping only: digests are checked, the signature is not.
pub(crate) fn read_own(dir: &Path) -> Result<Repository> {
    let repomd = Verified(Repomd::parse(&lazuli_fs::read(dir.join(PATH))?)?);
    let mut get = |href: &str, _| Ok(lazuli_fs::read(dir.join(href))?);
    let primary = repomd.fetch(&mut get, "primary")?;
    Ok(Repository { packages: parse_packages(&primary, None, None)?, repomd: repomd.0 })
}

/// The advisories of such a snapshot; none if it has no `updateinfo`.
pub(crate) fn read_own_advisories(dir: &Path) -> Result<Vec<Advisory>> {
    let repomd = Verified(Repomd::parse(&lazuli_fs::read(dir.join(PATH))?)?);
    if !repomd.0.parts.contains_key("updateinfo") {
        return Ok(Vec::new());
    }
    let mut get = |href: &str, _| Ok(lazuli_fs::read(dir.join(href))?);
    crate::updateinfo::parse(&repomd.fetch(&mut get, "updateinfo")?)
}

fn read(get: &mut Get<'_>, keys: &KeyRing, detail: Detail) -> Result<Repository> {
    let repomd = get(PATH, MAX_REPOMD)?;
    if repomd.len() as u64 > MAX_REPOMD {
        return Err(Error::Limit { what: PATH.to_owned(), size: repomd.len() as u64, limit: MAX_REPOMD });
    }
    let signature = get(SIGNATURE_PATH, MAX_SIGNATURE)?;
    if signature.len() as u64 > MAX_SIGNATURE {
        let size = signature.len() as u64;
        return Err(Error::Limit { what: SIGNATURE_PATH.to_owned(), size, limit: MAX_SIGNATURE });
    }
    let verified = Verified::check(&repomd, &signature, keys)?;
    let primary = verified.fetch(get, "primary")?;
    let filelists = (detail >= Detail::Files).then(|| verified.fetch(get, "filelists")).transpose()?;
    let other = (detail >= Detail::Everything).then(|| verified.fetch(get, "other")).transpose()?;
    let packages = parse_packages(&primary, filelists.as_deref(), other.as_deref())?;
    tracing::debug!(packages = packages.len(), revision = %verified.0.revision, "repository read");
    Ok(Repository { repomd: verified.0, packages })
}
