//! Versions of images and their order (UAPI.10, Version Format Specification).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The version of an image: letters, digits and `. ~ ^ - _`, short enough for a partition label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: letters, digits and . ~ ^ - _, at most {max} of them, and a letter or digit first", max = Version::MAX)]
pub struct VersionError(String);

impl Version {
    /// The longest: what a partition label has room for after `PRT#`.
    pub const MAX: usize = 32;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".~^-_".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && text.len() <= Self::MAX && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(VersionError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    /// The order of UAPI.10. Texts that it takes for equal (`1.0` and `1.00`) are told apart by their bytes, so
    /// that equal versions are the same text.
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes()).then_with(|| self.0.cmp(&other.0))
    }
}

/// The order of UAPI.10 on whatever bytes.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        (a, b) = (sorted_part(a), sorted_part(b));
        // A tilde is before everything, the end included.
        match marks(&mut a, &mut b, b'~') {
            Some(Ordering::Equal) => continue,
            Some(order) => return order,
            None => {}
        }
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        if let Some(order) = b"-^.".iter().find_map(|mark| marks(&mut a, &mut b, *mark)) {
            match order {
                Ordering::Equal => continue,
                order => return order,
            }
        }
        let digits = a[0].is_ascii_digit() || b[0].is_ascii_digit();
        let same = |byte: &u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
        let (front_a, rest_a) = a.split_at(a.iter().take_while(|byte| same(byte)).count());
        let (front_b, rest_b) = b.split_at(b.iter().take_while(|byte| same(byte)).count());
        let order = if digits {
            let (x, y) = (without_zeros(front_a), without_zeros(front_b));
            // No digits at all are before the number 0.
            front_a.is_empty().cmp(&front_b.is_empty()).reverse().then(x.len().cmp(&y.len())).then(x.cmp(y))
        } else {
            front_a.cmp(front_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Without leading characters that do not count.
fn sorted_part(text: &[u8]) -> &[u8] {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    &text[text.iter().take_while(|byte| !counts(byte)).count()..]
}

/// If either begins with `mark`: it is before the other; both go on after it.
fn marks(a: &mut &[u8], b: &mut &[u8], mark: u8) -> Option<Ordering> {
    match (a.strip_prefix(&[mark]), b.strip_prefix(&[mark])) {
        (Some(rest_a), Some(rest_b)) => {
            (*a, *b) = (rest_a, rest_b);
            Some(Ordering::Equal)
        }
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    }
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|byte| **byte == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_of_the_specification() {
        let ordered = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for pair in ordered.windows(2) {
            assert_eq!(compare(pair[0].as_bytes(), pair[1].as_bytes()), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare(b"1_2", b"1_2"), Ordering::Equal);
        assert_eq!(compare(b"007", b"7"), Ordering::Equal);
        assert!("1.10".parse::<Version>().unwrap() > "1.9".parse().unwrap());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "-1", ".", "a/b", "1 2", "../1", &"1".repeat(33)] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[a-c0-2.~^_-]{0,6}", b in "[a-c0-2.~^_-]{0,6}", c in "[a-c0-2.~^_-]{0,6}") {
            let cmp = |x: &str, y: &str| compare(x.as_bytes(), y.as_bytes());
            prop_assert_eq!(cmp(&a, &b), cmp(&b, &a).reverse());
            if cmp(&a, &b) != Ordering::Greater && cmp(&b, &c) != Ordering::Greater {
                prop_assert_ne!(cmp(&a, &c), Ordering::Greater);
            }
        }
    }
}
