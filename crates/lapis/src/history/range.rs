//! Transactions as a person names them.

/// Numbers of transactions, from first to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The oldest.
    pub first: i64,
    /// The newest.
    pub last: i64,
}

/// Text that names no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no transaction: expected a number, FIRST..LAST, `last` or `last-N`")]
pub struct RangeError {
    text: String,
}

impl Range {
    /// Reads `7`, `3..7`, `3-7`, `last`, `last-2`; `newest` is the number of the newest transaction.
    pub fn parse(text: &str, newest: i64) -> Result<Self, RangeError> {
        let fail = || RangeError { text: text.chars().take(50).collect() };
        if let Some(id) = one(text, newest) {
            return Ok(Self { first: id, last: id });
        }
        let (a, b) = text.split_once("..").or_else(|| text.split_once('-')).ok_or_else(fail)?;
        let (a, b) = (one(a, newest).ok_or_else(fail)?, one(b, newest).ok_or_else(fail)?);
        Ok(Self { first: a.min(b), last: a.max(b) })
    }

    /// Whether a transaction is in it.
    pub fn contains(self, id: i64) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

fn one(text: &str, newest: i64) -> Option<i64> {
    match text.strip_prefix("last") {
        Some("") => Some(newest),
        Some(back) => back.strip_prefix('-')?.parse::<u32>().ok().map(|n| newest - i64::from(n)),
        None => text.parse::<u32>().ok().map(i64::from),
    }
}
