//! File names that come from outside, checked before anything joins them to a directory or a URL.

use std::fmt;
use std::str::FromStr;

/// The longest href that is accepted, in bytes.
pub const MAX_HREF: usize = 1024;

/// The place of a file in a repository, relative to the directory that holds `repodata`:
/// `packages/b/bash-5.2-1.x86_64.rpm`.
///
/// It can be joined to a directory or a base URL without leaving it: no leading slash, no empty, `.`
/// or `..` component (percent-encoded ones included), no scheme, query, fragment, backslash or control
/// character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Href(String);

/// A file name that a repository must not use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the location `{}` {why}; it must be a plain relative path below the repository", .href.escape_debug())]
pub struct HrefError {
    href: String,
    why: &'static str,
}

impl Href {
    /// Checks a location.
    pub fn new(href: &str) -> Result<Self, HrefError> {
        let error = |why| Err(HrefError { href: href.chars().take(200).collect(), why });
        if href.is_empty() {
            return error("is empty");
        }
        if href.len() > MAX_HREF {
            return error("is longer than 1024 bytes");
        }
        if href.chars().any(|c| c.is_control() || matches!(c, '\\' | '?' | '#')) {
            return error("contains a control character, a backslash, `?` or `#`");
        }
        let lower = href.to_ascii_lowercase();
        if ["%2e", "%2f", "%5c", "%00"].iter().any(|code| lower.contains(code)) {
            return error("hides a dot, a slash, a backslash or a zero byte behind a percent sign");
        }
        if href.starts_with('/') {
            return error("is absolute");
        }
        for component in href.split('/') {
            match component {
                "" => return error("has an empty component"),
                "." | ".." => return error("leaves its directory"),
                _ => {}
            }
        }
        // `file:x` would be taken for a URL of its own when joined to a base; `foo-1:2` is a file name.
        let first = href.split('/').next().unwrap_or_default();
        if let Some((scheme, _)) = first.split_once(':')
            && scheme.chars().all(|c| c.is_ascii_alphabetic())
        {
            return error("starts with a URL scheme");
        }
        Ok(Self(href.to_owned()))
    }

    /// The path, with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Href {
    type Err = HrefError;

    fn from_str(text: &str) -> Result<Self, HrefError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn ordinary_locations_pass() {
        for href in ["a.rpm", "packages/b/bash-5.2~rc1-1^git.x86_64.rpm", "x-1:2-3.rpm", "a..b/...c"] {
            assert_eq!(Href::new(href).expect("accepted").as_str(), href);
        }
    }

    #[test]
    fn escapes_are_refused() {
        for href in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/.",
            "a\\..\\b",
            "%2e%2e/x",
            "a/%2E./x",
            "a%2Fb",
            "http://x/y",
            "file:x",
            "x?y",
            "x#y",
            "a\nb",
            "a\0b",
        ] {
            assert!(Href::new(href).is_err(), "{href:?} was accepted");
        }
        assert!(Href::new(&"a".repeat(MAX_HREF + 1)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_its_directory(text in "[a.%/\\\\:2eE-]{0,12}") {
            if let Ok(href) = Href::new(&text) {
                prop_assert!(Path::new(href.as_str()).components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
