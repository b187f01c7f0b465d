//! Digests of files by the algorithms that packages use (RFC 9580, section 9.5).

use sha2::Digest as _;
use std::io::Read;

/// A digest in the making.
pub(crate) enum Hasher {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    Sha224(sha2::Sha224),
}

impl Hasher {
    /// For the number of an algorithm; `None` if it is not known.
    pub(crate) fn new(algorithm: u32) -> Option<Self> {
        Some(match algorithm {
            1 => Self::Md5(md5::Md5::new()),
            2 => Self::Sha1(sha1::Sha1::new()),
            8 => Self::Sha256(sha2::Sha256::new()),
            9 => Self::Sha384(sha2::Sha384::new()),
            10 => Self::Sha512(sha2::Sha512::new()),
            11 => Self::Sha224(sha2::Sha224::new()),
            _ => return None,
        })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(h) => h.update(bytes),
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
            Self::Sha224(h) => h.update(bytes),
        }
    }

    /// In hexadecimal.
    pub(crate) fn finish(self) -> String {
        match self {
            Self::Md5(h) => hex(&h.finalize()),
            Self::Sha1(h) => hex(&h.finalize()),
            Self::Sha256(h) => hex(&h.finalize()),
            Self::Sha384(h) => hex(&h.finalize()),
            Self::Sha512(h) => hex(&h.finalize()),
            Self::Sha224(h) => hex(&h.finalize()),
        }
    }
}

/// Whether a digest proves that a content was not changed on purpose.
pub(crate) fn is_strong(algorithm: u32) -> bool {
    matches!(algorithm, 8..=11)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
}

/// The digest of what is left to read; `None` if the algorithm is not known.
pub(crate) fn of(algorithm: u32, input: &mut impl Read) -> std::io::Result<Option<String>> {
    let Some(mut hasher) = Hasher::new(algorithm) else { return Ok(None) };
    let mut buffer = vec![0; 1 << 16];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(Some(hasher.finish())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
