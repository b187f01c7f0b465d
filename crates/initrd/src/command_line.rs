//! The kernel's command line, as the kernel itself divides it.
//!
//! ```text
//! quiet lazuli.verity="root,,0,ro,0 8 verity ..." lazuli.wait=60 "a b=c d" -- for init
//! ```
//!
//! Words are separated by white space outside quotation marks. Marks stand around a value or around a whole word and are
//! not part of it; there is no way to write one inside. What comes behind `--` is not for the kernel. In names, `-` and
//! `_` are the same.

use crate::table::Mapping;
use std::fmt;
use std::time::Duration;

/// The parameter with the verity device: what `dm-mod.create=` of the default profile has.
pub const TABLE: &str = "lazuli.verity";
/// The parameter with the seconds that may be waited for the partitions.
pub const WAIT: &str = "lazuli.wait";
/// The parameter that makes a machine ignore its settings; for the system that is started.
pub const RECOVERY: &str = "lazuli.recovery";

/// How long the partitions are waited for if nothing is said.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(300);
/// The longest time that may be asked for: a day.
const LONGEST_WAIT: u64 = 86_400;

/// A command line that does not say what has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no table.
    NoTable,
    /// There are several: which one was signed for, nobody can tell.
    SeveralTables,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "no {TABLE}="),
            Self::SeveralTables => write!(f, "{TABLE}= is there more than once"),
        }
    }
}

/// A word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// What stands before `=`, or all.
    pub name: &'a str,
    /// What stands behind it.
    pub value: Option<&'a str>,
}

impl Word<'_> {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        let same = |c: u8| if c == b'-' { b'_' } else { c };
        self.name.bytes().map(same).eq(name.bytes().map(same))
    }
}

/// The words for the kernel.
pub fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        if rest.is_empty() {
            return None;
        }
        let (word, later) = one(rest);
        rest = later;
        if word.name == "--" && word.value.is_none() {
            rest = "";
            return None;
        }
        Some(word)
    })
}

/// The first word, and what comes behind it. `line` does not begin with white space and is not empty.
fn one(line: &str) -> (Word<'_>, &str) {
    let quoted = line.starts_with('"');
    let text = if quoted { &line[1..] } else { line };
    let mut inside = quoted;
    let mut equals = None;
    let mut end = text.len();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => inside = !inside,
            // A word that begins with `=` has no name, and is one.
            b'=' if at > 0 && equals.is_none() => equals = Some(at),
            byte if byte.is_ascii_whitespace() && !inside => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    // All places are next to ASCII characters, so that they are between characters.
    let (text, later) = text.split_at(end);
    let without_last = |text| if quoted { strip_mark(text) } else { text };
    let word = match equals {
        None => Word { name: without_last(text), value: None },
        Some(at) => {
            let value = &text[at + 1..];
            let value = match value.strip_prefix('"') {
                Some(value) => strip_mark(value),
                None => without_last(value),
            };
            Word { name: &text[..at], value: Some(value) }
        }
    };
    (word, later)
}

fn strip_mark(text: &str) -> &str {
    text.strip_suffix('"').unwrap_or(text)
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The device to be made.
    pub mapping: Mapping,
    /// How long its partitions are waited for.
    pub wait: Duration,
    /// What was not understood and is done without.
    pub complaint: Option<String>,
}

impl Order {
    /// Reads it from the command line.
    pub fn parse(line: &str) -> crate::Result<Self> {
        let mut tables = words(line).filter(|word| word.is(TABLE)).map(|word| word.value.unwrap_or_default());
        let mapping = Mapping::parse(tables.next().ok_or(Error::NoTable)?)?;
        if tables.next().is_some() {
            return Err(Error::SeveralTables.into());
        }
        let (mut wait, mut complaint) = (DEFAULT_WAIT, None);
        // Of several, the last one counts, as everywhere on this line.
        if let Some(word) = words(line).filter(|word| word.is(WAIT)).last() {
            let text = word.value.unwrap_or_default();
            match text.parse::<u64>() {
                Ok(seconds) if seconds <= LONGEST_WAIT => wait = Duration::from_secs(seconds),
                // A machine that could start must not be kept from it by this.
                _ => {
                    complaint =
                        Some(format!("{WAIT}={text} is not a number of seconds up to {LONGEST_WAIT}"));
                }
            }
        }
        Ok(Self { mapping, wait, complaint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::TABLE_TEXT;
    use proptest::prelude::*;

    fn pairs(line: &str) -> Vec<(&str, Option<&str>)> {
        words(line).map(|word| (word.name, word.value)).collect()
    }

    #[test]
    fn quotation_marks_hold_values_and_words_together() {
        assert_eq!(
            pairs(" quiet  a=b c=\"d e=f\" \"g h=i j\" \"k l\"\troot=/dev/dm-0\n"),
            [
                ("quiet", None),
                ("a", Some("b")),
                ("c", Some("d e=f")),
                ("g h", Some("i j")),
                ("k l", None),
                ("root", Some("/dev/dm-0")),
            ]
        );
    }

    #[test]
    fn odd_words_are_what_the_kernel_takes_them_for() {
        assert_eq!(pairs("=x"), [("=x", None)]);
        assert_eq!(pairs("a="), [("a", Some(""))]);
        assert_eq!(pairs("a=\"b"), [("a", Some("b"))]);
        assert_eq!(pairs("a=\""), [("a", Some(""))]);
        assert_eq!(pairs("\""), [("", None)]);
        assert_eq!(pairs("a=b\"c d\"e"), [("a", Some("b\"c d\"e"))]);
        assert_eq!(pairs("a=1 ä=ö -- b=2"), [("a", Some("1")), ("ä", Some("ö"))]);
    }

    #[test]
    fn a_dash_in_a_name_is_an_underscore() {
        assert!(words("dm-mod.create=x").next().is_some_and(|word| word.is("dm_mod.create")));
        assert!(!words("dm-mod.create=x").next().is_some_and(|word| word.is("dm_mod")));
    }

    fn order(rest: &str) -> crate::Result<Order> {
        Order::parse(&format!("ro gpt {TABLE}=\"{TABLE_TEXT}\" {rest}"))
    }

    #[test]
    fn the_table_is_there_exactly_once() {
        assert!(order("").is_ok());
        let two = order(&format!("lazuli.verity=\"{TABLE_TEXT}\"")).unwrap_err().to_string();
        assert!(two.contains("more than once"), "{two}");
        // Behind `--` it is not for us.
        assert!(order(&format!("-- lazuli.verity=\"{TABLE_TEXT}\"")).is_ok());
        assert!(Order::parse("quiet ro").unwrap_err().to_string().contains("no lazuli.verity="));
    }

    #[test]
    fn the_wait_is_the_last_one_and_a_bad_one_does_no_harm() {
        assert_eq!(order("").unwrap().wait, DEFAULT_WAIT);
        assert_eq!(order("lazuli.wait=7 lazuli.wait=9").unwrap().wait, Duration::from_secs(9));
        for bad in ["lazuli.wait=", "lazuli.wait", "lazuli.wait=-1", "lazuli.wait=99999999999999999999"] {
            let order = order(bad).unwrap();
            assert_eq!(order.wait, DEFAULT_WAIT);
            assert!(order.complaint.is_some(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_with_marks_is_read_back(
            pairs in prop::collection::vec(("[a-z_.]{1,8}", "[ -!#-~]{0,20}"), 0..8)
        ) {
            let line: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let line = line.join(" ");
            let read: Vec<(String, String)> =
                words(&line).map(|w| (w.name.to_owned(), w.value.unwrap_or_default().to_owned())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn no_line_makes_it_panic(line in "[ \"=a-ä\\-\t]{0,40}") {
            for word in words(&line) {
                prop_assert!(line.contains(word.name));
            }
        }
    }
}
