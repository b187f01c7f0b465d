//! Addresses.

use crate::{Error, Result};
use std::path::PathBuf;

/// Where content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A URL for the HTTP client.
    Http(String),
    /// A file of this machine.
    Local(PathBuf),
}

impl Source {
    /// Reads an address. A `file://` URL is taken literally (no `%` escapes), like the path it names.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let path = |path: &str| {
            if path.starts_with('/') {
                Ok(Self::Local(PathBuf::from(path)))
            } else {
                Err(Error::Address { url: url.to_owned(), reason: "the path must be absolute".into() })
            }
        };
        let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            Ok(Self::Http(url.to_owned()))
        } else if lower.starts_with("file://") {
            let rest = &url[7..];
            path(rest.strip_prefix("localhost").filter(|r| r.starts_with('/')).unwrap_or(rest))
        } else if url.starts_with('/') {
            path(url)
        } else {
            let reason = "an address starts with http://, https://, file:// or /".to_owned();
            Err(Error::Address { url: redact(url), reason })
        }
    }
}

/// The address without a password, for messages.
pub(crate) fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://...@{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// The address with everything escaped that must not stand in one (RFC 3986). An escape that is there already
/// stays as it is.
pub(crate) fn escaped(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds() {
        assert_eq!(Source::parse("HTTP://a/b").unwrap(), Source::Http("HTTP://a/b".into()));
        for url in ["/srv/m/a~b", "file:///srv/m/a~b", "file://localhost/srv/m/a~b"] {
            assert_eq!(Source::parse(url).unwrap(), Source::Local("/srv/m/a~b".into()), "{url}");
        }
        for url in ["ftp://a/b", "a/b", "file://a/b", ""] {
            assert!(matches!(Source::parse(url), Err(Error::Address { .. })), "{url}");
        }
    }

    #[test]
    fn what_must_not_stand_in_an_address_is_escaped() {
        assert_eq!(escaped("http://a/b~1+2^3%20 \u{e4}"), "http://a/b~1+2%5E3%20%20%C3%A4");
    }

    #[test]
    fn messages_do_not_show_a_password() {
        assert_eq!(redact("http://me:secret@example.org/a@b"), "http://...@example.org/a@b");
        assert_eq!(redact("http://example.org/a@b"), "http://example.org/a@b");
    }
}
