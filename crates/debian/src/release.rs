//! `InRelease`: the signed table of contents of a suite.
//!
//! [`verify_inrelease`] is the only way to a [`Release`], so whoever holds one knows that it was signed.
//! Its steps:
//!
//! 1. the OpenPGP signature (by a key of the suite, see [`Keyring`]);
//! 2. `Date` is not in the future and `Valid-Until` has not passed, so that a mirror cannot hold back
//!    security fixes for ever ([`Expiry`] has the exception);
//! 3. the SHA-256 list, with names that stay below the suite's directory.
//!
//! The caller compares the suite ([`Release::expect_suite`]): every suite is signed by the same keys, so
//! an old release's `InRelease` has a good signature, too.

use crate::openpgp::CLOCK_SKEW;
use crate::{control, date};
use lazuli_store::Digest;
use std::collections::BTreeMap;

pub use crate::openpgp::Keyring;

/// The largest `InRelease` in bytes. Debian's largest has 200 kB.
pub const MAX_SIZE: usize = 16 << 20;

/// Why an `InRelease` is not to be trusted, or what is wrong with the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no OpenPGP signature.
    #[error(
        "it is not signed; a login page of a network or a proxy may have answered instead of the mirror \
         (`lazuli doctor` shows the mirror in use)"
    )]
    NotSigned,
    /// The signed file is damaged.
    #[error("the signed file is damaged: {0}; set LAZULI_MIRROR to another mirror")]
    Malformed(String),
    /// The file is too large.
    #[error("it has {0} bytes, more than any InRelease has ({MAX_SIZE})")]
    TooLarge(usize),
    /// A key that cannot be used.
    #[error("key {number}: {reason}")]
    Key {
        /// The number of the key in the list, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The keyring is empty.
    #[error("the suite has no keys; name some under `keys` in distro/lazuli.toml")]
    NoKeys,
    /// Only keys that we do not know have signed.
    #[error(
        "signed by {}, but only these keys are trusted for it: {}. Either the mirror is not what it claims \
         to be, or the archive has new keys: see distro/keys/README.md", .signers.join(", "), .trusted.join(", ")
    )]
    UnknownSigner {
        /// Fingerprints or ids of the keys that signed.
        signers: Vec<String>,
        /// Ids of the keys that are trusted.
        trusted: Vec<String>,
    },
    /// The text does not belong to the signature.
    #[error(
        "the signature by key {key} does not match the text: it was changed after signing; set \
         LAZULI_MIRROR to another mirror"
    )]
    BadSignature {
        /// The key.
        key: String,
    },
    /// The key has expired.
    #[error(
        "key {key} expired on {}; if the clock of this machine is right, put the archive's new key \
         into distro/keys", date::show(*.expired)
    )]
    ExpiredKey {
        /// The key.
        key: String,
        /// When, in seconds since 1970.
        expired: i64,
    },
    /// The key was revoked by its owner.
    #[error("key {key} was revoked by its owner; put the archive's new key into distro/keys")]
    RevokedKey {
        /// The key.
        key: String,
    },
    /// The key is not meant for signing.
    #[error("key {key} is not meant for signing")]
    NotForSigning {
        /// The key.
        key: String,
    },
    /// The signature has expired.
    #[error("the signature by key {key} expired on {}", date::show(*.expired))]
    ExpiredSignature {
        /// The key.
        key: String,
        /// When, in seconds since 1970.
        expired: i64,
    },
    /// A hash that can be forged.
    #[error("the signature by key {key} uses {hash}, which is too weak; SHA-256 or better is needed")]
    WeakHash {
        /// The key.
        key: String,
        /// The hash.
        hash: String,
    },
    /// `Valid-Until` has passed.
    #[error(
        "{suite} was valid until {}, now it is {}: the mirror is out of date or holds updates back; check \
         the clock, or set LAZULI_MIRROR to another mirror", date::show(*.until), date::show(*.now)
    )]
    Expired {
        /// The suite.
        suite: String,
        /// In seconds since 1970.
        until: i64,
        /// In seconds since 1970.
        now: i64,
    },
    /// From the future.
    #[error(
        "the {what} is of {}, but now it is {}: check the clock of this machine",
        date::show(*.date), date::show(*.now)
    )]
    Future {
        /// What has the date.
        what: &'static str,
        /// In seconds since 1970.
        date: i64,
        /// In seconds since 1970.
        now: i64,
    },
    /// Another suite than asked for.
    #[error(
        "this is the InRelease of `{codename}` (suite `{suite}`), not of `{expected}`; set LAZULI_MIRROR \
         to another mirror"
    )]
    WrongSuite {
        /// The suite that was asked for.
        expected: String,
        /// The codename in the file.
        codename: String,
        /// The suite name in the file.
        suite: String,
    },
    /// The signed text is not what a Release file is.
    #[error("{0}")]
    Control(#[from] control::Error),
}

/// What a suite consists of. Signed, checked, and not expired when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, as `Debian`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Suite`, as `stable`.
    pub suite: String,
    /// `Codename`, as `trixie`.
    pub codename: String,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// `Components`.
    pub components: Vec<String>,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// Whether files can be had by their digest (`Acquire-By-Hash`).
    pub by_hash: bool,
    /// The indices, by path below the suite's directory.
    pub files: BTreeMap<String, ReleaseFile>,
    /// Fingerprint of the key whose signature was good.
    pub signer: String,
}

/// A file of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub sha256: Digest,
}

impl Release {
    /// Refuses the release of any other suite.
    pub fn expect_suite(&self, expected: &str) -> Result<(), Error> {
        if expected == self.codename || expected == self.suite {
            return Ok(());
        }
        Err(Error::WrongSuite {
            expected: expected.to_owned(),
            codename: self.codename.clone(),
            suite: self.suite.clone(),
        })
    }

    /// The path of a file by its digest, below the suite's directory.
    pub fn by_hash_path(path: &str, file: &ReleaseFile) -> String {
        match path.rsplit_once('/') {
            Some((dir, _)) => format!("{dir}/by-hash/SHA256/{}", file.sha256),
            None => format!("by-hash/SHA256/{}", file.sha256),
        }
    }
}

/// What a `Valid-Until` that has passed means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The release is refused.
    Refused,
    /// The release is taken; whoever asks for this says so to the user.
    Accepted,
}

/// Verifies and reads an `InRelease`; `now` is in seconds since 1970.
pub fn verify_inrelease(bytes: &[u8], keys: &Keyring, now: i64, expiry: Expiry) -> Result<Release, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge(bytes.len()));
    }
    // 1. The signature.
    let verified = keys.verify_cleartext(bytes, now)?;
    let mut release = parse(&verified.text)?;
    release.signer = verified.signer;
    // 2. The dates.
    if release.date > now + CLOCK_SKEW {
        return Err(Error::Future { what: "InRelease", date: release.date, now });
    }
    match release.valid_until {
        Some(until) if until <= now && expiry == Expiry::Refused => {
            Err(Error::Expired { suite: release.codename, until, now })
        }
        _ => Ok(release),
    }
}

/// Reads the text of a Release file, which nobody has vouched for: for fuzz targets, and for what comes
/// after the signature.
#[doc(hidden)]
pub fn parse(text: &str) -> Result<Release, Error> {
    let mut reader = control::Paragraphs::new(text.as_bytes())?;
    let stanza = reader.next_stanza()?.unwrap_or_default();
    if reader.next_stanza()?.is_some() {
        return Err(control::Error::new(1, control::Reason::Count { expected: 1, found: 2 }).into());
    }
    let string = |name| stanza.get(name).unwrap_or("").to_owned();
    let words = |name| stanza.get(name).unwrap_or("").split_whitespace().map(str::to_owned).collect();
    let seconds = |name| match stanza.get(name) {
        None => Ok(None),
        Some(value) => date::parse(value)
            .map(Some)
            .ok_or_else(|| stanza.bad(name, format!("`{value}` is not a date in UTC"))),
    };
    stanza.require("Date")?;
    let date = seconds("Date")?.unwrap_or(0);
    let mut files = BTreeMap::new();
    for line in stanza.require("SHA256")?.lines().filter(|l| !l.trim().is_empty()) {
        let bad = |reason: &str| stanza.bad("SHA256", format!("{reason} in `{}`", line.trim()));
        let mut words = line.split_whitespace();
        let (Some(sha256), Some(size), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("expected digest, size and path").into());
        };
        let sha256 = sha256.parse().map_err(|_| bad("no SHA-256 digest"))?;
        let size = size.parse().map_err(|_| bad("no size"))?;
        if !is_below(path) {
            return Err(bad("a path that leads elsewhere").into());
        }
        files.insert(path.to_owned(), ReleaseFile { size, sha256 });
    }
    Ok(Release {
        origin: string("Origin"),
        label: string("Label"),
        suite: string("Suite"),
        codename: string("Codename"),
        date,
        valid_until: seconds("Valid-Until")?,
        components: words("Components"),
        architectures: words("Architectures"),
        by_hash: stanza.get("Acquire-By-Hash") == Some("yes"),
        files,
        signer: String::new(),
    })
}

/// Whether a path of an index stays below the directory it is relative to, and says nothing to a URL
/// parser or a shell that it does not say to a file system.
pub(crate) fn is_below(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 4096
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"'<>`{}|^".contains(&b))
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
