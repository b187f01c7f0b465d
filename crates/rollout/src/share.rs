//! Shares of a whole, without floating point.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A share of a whole in millionths, 0 to 1,000,000. Written in percent with up to four decimals: `2.5%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a share; write it like `2.5%`, between 0% and 100% and with at most four decimals")]
pub struct ShareError(pub String);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The whole.
    pub const ALL: Self = Self(1_000_000);

    /// So many millionths; more than the whole becomes the whole.
    pub const fn from_millionths(millionths: u32) -> Self {
        if millionths > Self::ALL.0 { Self::ALL } else { Self(millionths) }
    }

    /// So many percent.
    pub const fn percent(percent: u32) -> Self {
        Self::from_millionths(percent.saturating_mul(10_000))
    }

    /// The number of millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 1, for statistics.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// This share of `whole`, rounded up.
    pub fn of(self, whole: u64) -> u64 {
        (u128::from(whole) * u128::from(self.0)).div_ceil(1_000_000) as u64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{rest:04}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let read = || {
            let number = text.strip_suffix('%')?;
            let (whole, decimals) = number.split_once('.').map_or((number, None), |(w, d)| (w, Some(d)));
            let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            if !digits(whole) || whole.len() > 3 || decimals.is_some_and(|d| !digits(d) || d.len() > 4) {
                return None;
            }
            let decimals: u32 = format!("{:0<4}", decimals.unwrap_or_default()).parse().ok()?;
            let millionths = whole.parse::<u32>().ok()? * 10_000 + decimals;
            (millionths <= Self::ALL.0).then_some(Self(millionths))
        };
        read().ok_or_else(|| ShareError(crate::time::shortened(text)))
    }
}

impl TryFrom<String> for Share {
    type Error = ShareError;

    fn try_from(text: String) -> Result<Self, ShareError> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percents() {
        for (text, millionths, written) in [
            ("2.5%", 25_000, "2.5%"),
            ("100%", 1_000_000, "100%"),
            ("0.0001%", 1, "0.0001%"),
            ("07.50%", 75_000, "7.5%"),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.0, share.to_string().as_str()), (millionths, written));
        }
        for bad in ["", "%", "1", "1 %", ".5%", "1.%", "100.1%", "101%", "-1%", "1.00001%", "1e2%", "+1%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert_eq!(Share::percent(1).of(150), 2);
        assert_eq!(Share::percent(1).of(0), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millionths in 0..=1_000_000_u32) {
            prop_assert_eq!(Share(millionths).to_string().parse(), Ok(Share(millionths)));
        }
    }
}
