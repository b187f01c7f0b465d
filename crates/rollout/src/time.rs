//! Instants and lengths of time in whole seconds, and how they are written.
//!
//! Whole seconds make the arithmetic exact: a wave begins in one second and not in the one before.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An instant: seconds since 1970-01-01T00:00:00Z, leap seconds not counted. Written as RFC 3339 in UTC,
/// `2026-11-27T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(i64);

/// The last instant that can be written: the end of the year 9998, so that a day may still be added.
const LAST: i64 = 253_370_764_799;

/// A text that is no instant or no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; write it like `{example}`")]
pub struct TimeError {
    /// The text.
    pub text: String,
    /// What it should be.
    pub what: &'static str,
    /// One that is right.
    pub example: &'static str,
}

impl Time {
    /// The instant `seconds` after the beginning of 1970; what lies outside of the years 1970 to 9998 becomes
    /// the nearest that lies inside.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(0, LAST))
    }

    /// What the clock of this machine says. It may be wrong.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from_unix(i64::try_from(since.as_secs()).unwrap_or(LAST))
    }

    /// Seconds since the beginning of 1970.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this; nothing if it is the later one.
    pub fn since(self, earlier: Self) -> Seconds {
        Seconds(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// This and `length` more.
    pub fn plus(self, length: Seconds) -> Self {
        Self::from_unix(self.0.saturating_add(i64::try_from(length.0).unwrap_or(LAST)))
    }

    /// `length` before this.
    pub fn minus(self, length: Seconds) -> Self {
        Self::from_unix(self.0.saturating_sub(i64::try_from(length.0).unwrap_or(LAST)))
    }

    /// As the calendar library has it.
    pub(crate) fn timestamp(self) -> jiff::Timestamp {
        // The range was clamped to what a timestamp can be.
        jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error =
            || TimeError { text: shortened(text), what: "an instant", example: "2026-11-27T10:00:00Z" };
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        let whole = time.subsec_nanosecond() == 0 && (0..=LAST).contains(&time.as_second());
        whole.then_some(Self(time.as_second())).ok_or_else(error)
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

/// A length of time in seconds. Written with units, the largest first: `1d 12h`, `90min`, `45s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(u64);

/// Units and their lengths in seconds.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

impl Seconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest: ten years of 365 days. Longer ones become this.
    pub const MAX: Self = Self(315_360_000);

    /// So many seconds.
    pub const fn new(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// So many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::new(minutes.saturating_mul(60))
    }

    /// So many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::new(hours.saturating_mul(3600))
    }

    /// The number of seconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a person says it: the two largest units, and from an hour on no seconds. What is left over counts as
    /// one more of the smaller unit, so that nobody is told to come too early.
    pub fn human(self) -> String {
        let (large, small) = match self.0 {
            0..60 => return format!("{} s", self.0),
            60..3600 => (("min", 60), ("s", 1)),
            3600..86_400 => (("h", 3600), ("min", 60)),
            _ => (("d", 86_400), ("h", 3600)),
        };
        let rounded: u64 = self.0.div_ceil(small.1) * small.1;
        let (first, second) = (rounded / large.1, rounded % large.1 / small.1);
        if second == 0 {
            format!("{first} {}", large.0)
        } else {
            format!("{first} {} {second} {}", large.0, small.0)
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (mut rest, mut blank) = (self.0, "");
        // Weeks are read but not written: `10d` says more than `1w 3d`.
        for (unit, length) in UNITS.into_iter().skip(1) {
            if rest >= length {
                write!(f, "{blank}{}{unit}", rest / length)?;
                (rest, blank) = (rest % length, " ");
            }
        }
        Ok(())
    }
}

impl FromStr for Seconds {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError { text: shortened(text), what: "a length of time", example: "1d 2h 30min" };
        let (mut total, mut rest, mut last) = (0_u64, text.trim(), u64::MAX);
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?);
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let unit = UNITS.iter().find(|(name, _)| *name == &after[..end]).ok_or_else(error)?;
            // Each unit once, from the largest to the smallest: `5min 1h` is more likely a slip than meant.
            if unit.1 >= last {
                return Err(error());
            }
            last = unit.1;
            let number: u64 = number.parse().map_err(|_| error())?;
            total = number.checked_mul(unit.1).and_then(|n| n.checked_add(total)).ok_or_else(error)?;
            rest = after[end..].trim_start();
        }
        (total <= Self::MAX.0).then_some(Self(total)).ok_or_else(error)
    }
}

impl TryFrom<String> for Seconds {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<Seconds> for String {
    fn from(length: Seconds) -> Self {
        length.to_string()
    }
}

/// The beginning of a text from outside, for an error.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 64;
    let mut short: String = text.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > MOST {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_are_written_in_utc() {
        let time: Time = "2026-11-27T12:00:00+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-27T10:00:00Z");
        assert_eq!(time.unix(), 1_795_773_600);
        for bad in ["", "2026-11-27", "2026-11-27T10:00:00", "2026-11-27T10:00:00.5Z", "1969-12-31T23:59:59Z"]
        {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths() {
        for (text, seconds, written) in [
            ("90min", 5400, "1h 30min"),
            ("1w 3d", 864_000, "10d"),
            ("1d2h3min4s", 93_784, "1d 2h 3min 4s"),
            ("0s", 0, "0s"),
            (" 5 min ", 300, "5min"),
        ] {
            let length: Seconds = text.parse().unwrap();
            assert_eq!((length.get(), length.to_string().as_str()), (seconds, written), "{text}");
        }
        for bad in
            ["", "5", "min", "5m", "-5s", "5min 1h", "1h 1h", "1.5h", "11000d", "99999999999999999999s"]
        {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }

    #[test]
    fn people_are_never_told_too_early() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3599, "59 min 59 s"),
            (3601, "1 h 1 min"),
            (11_520, "3 h 12 min"),
            (86_399, "24 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(Seconds::new(seconds).human(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0..=Seconds::MAX.0, unix in 0..=LAST) {
            prop_assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
            prop_assert_eq!(Time(unix).to_string().parse(), Ok(Time(unix)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<Seconds>();
            let _ = text.parse::<Time>();
        }
    }
}
