//! Versions and their order (deb-version(7)).
//!
//! `[epoch:]upstream[-revision]`. Epochs compare as numbers; upstream version and revision compare part
//! by part, where runs of digits are numbers, letters sort before everything else, and `~` sorts before
//! even the end, so that `1~rc1` is older than `1`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest version in bytes.
const MAX_LEN: usize = 512;

/// A version. Two versions that compare equal are equal, even if written differently (`1` and `0:1-0`).
#[derive(Clone)]
pub struct Version {
    text: Box<str>,
    epoch: u32,
    /// Where the upstream version begins in `text`.
    upstream: u16,
    /// Where it ends; a revision begins one further.
    end: u16,
}

/// Text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a Debian version: {reason}")]
pub struct ParseError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl Version {
    /// The epoch; 0 if none is written.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The upstream version.
    pub fn upstream(&self) -> &str {
        &self.text[usize::from(self.upstream)..usize::from(self.end)]
    }

    /// The Debian revision, if one is written.
    pub fn revision(&self) -> Option<&str> {
        self.text.get(usize::from(self.end) + 1..)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without the epoch, as in file names.
    pub fn without_epoch(&self) -> &str {
        &self.text[usize::from(self.upstream)..]
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = |reason| ParseError { text: text.chars().take(80).collect(), reason };
        if text.len() > MAX_LEN {
            return Err(fail("too long"));
        }
        let (epoch, upstream) = match text.find(':') {
            None => (0, 0),
            Some(colon) => {
                let digits = &text[..colon];
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(fail("the epoch before `:` is not a number"));
                }
                (digits.parse().map_err(|_| fail("the epoch is too large"))?, colon + 1)
            }
        };
        let end = text[upstream..].rfind('-').map_or(text.len(), |dash| upstream + dash);
        if end == upstream {
            return Err(fail("the upstream version is empty"));
        }
        if end + 1 == text.len() {
            return Err(fail("the revision after `-` is empty"));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".+~-:".contains(&b);
        if !text.bytes().all(allowed) {
            return Err(fail("only letters, digits and `.+~-:` are allowed"));
        }
        if text[end..].contains(':') {
            return Err(fail("a `:` in the revision"));
        }
        let position = |at: usize| u16::try_from(at).map_err(|_| fail("too long"));
        Ok(Self { epoch, upstream: position(upstream)?, end: position(end)?, text: text.into() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream(), other.upstream()))
            .then_with(|| compare_part(self.revision().unwrap_or("0"), other.revision().unwrap_or("0")))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

/// Compares two upstream versions or two revisions: a run without digits, a number, and so on in turn.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (weight(a.first()), weight(b.first()));
            if x != y {
                return x.cmp(&y);
            }
            if x == 0 {
                break;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        let (x, y) = (number(&mut a), number(&mut b));
        // Without leading zeros the longer number is the greater one, however long both are.
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// The rank of a character that is not a digit: `~`, then the end of the run, then letters, then the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// Takes the digits off the front, without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// Each line in ascending order.
    const ASCENDING: &[&str] = &[
        "1~~ 1~~a 1~ 1 1a 1+ 1.0 1.0.1 1.1 1.9 1.10 2",
        "0.9-1 1.0~beta1-1 1.0~rc1-1 1.0~rc1-1.1 1.0-0.1 1.0-1~deb13u1 1.0-1 1.0-1+b1 1.0-1+deb13u1 1.0-1.1 1.0-2",
        "9:1 10:0~",
        "2.41 1:0.1 1:2.41",
        "1-2-3 1-2-10 1-3-0",
        "5.2.37-2+b9 5.2.37-2+b10",
        "6.12.9-1 6.12.73-1 6.12.100-1",
        "20240101 20240101.1",
        "99999999999999999999998 99999999999999999999999",
    ];

    #[test]
    fn known_orders() {
        for line in ASCENDING {
            let all: Vec<Version> = line.split(' ').map(version).collect();
            for (i, a) in all.iter().enumerate() {
                for (j, b) in all.iter().enumerate() {
                    assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
                }
            }
        }
        for (a, b) in [("1", "0:1"), ("1", "1-0"), ("1.01", "1.1"), ("1.0", "1.00-00"), ("1", "01")] {
            assert_eq!(version(a), version(b));
        }
    }

    #[test]
    fn parts() {
        let v = version("1:2.3-4-5+b1");
        assert_eq!((v.epoch(), v.upstream(), v.revision()), (1, "2.3-4", Some("5+b1")));
        assert_eq!((v.as_str(), v.without_epoch()), ("1:2.3-4-5+b1", "2.3-4-5+b1"));
        assert_eq!(version("2.3").revision(), None);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1-", "-1", "a:1", ":1", "1:", "1 2", "1_2", "1-2:3", "99999999999:1", "1/2", "ä"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert!("1".repeat(MAX_LEN + 1).parse::<Version>().is_err());
    }

    fn any_version() -> impl Strategy<Value = Version> {
        // Few characters, so that equal prefixes and ties are common.
        "([0-2]:)?[0-2a~+.]{1,6}(-[0-2a~+.]{1,4})?".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&a), Ordering::Equal);
            let mut sorted = [a, b, c];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2]);
        }

        #[test]
        fn a_tilde_is_older_and_anything_else_newer(v in any_version(), more in "[0-9a+.]{1,3}") {
            let older = version(&format!("{v}~{more}"));
            prop_assert!(older < v);
            let newer = version(&format!("{v}+{more}"));
            prop_assert!(newer > v);
        }
    }
}
