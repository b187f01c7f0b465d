//! Values of options: what a person may write for a switch, a list, a size, a time.

use std::time::Duration;

/// Why a value is refused: what would be accepted.
pub(crate) type Parsed<T> = Result<T, String>;

/// When cached metadata is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expire {
    /// When it is this old.
    After(Duration),
    /// Only when asked for.
    Never,
}

/// A limit of the download rate.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Throttle {
    /// None.
    Unlimited,
    /// Bytes a second.
    Rate(u64),
    /// A share (0 to 1) of the `bandwidth` setting.
    Share(f64),
}

/// A switch.
pub(crate) fn boolean(text: &str) -> Parsed<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" | "enabled" => Ok(true),
        "0" | "no" | "false" | "off" | "disabled" => Ok(false),
        _ => Err("a switch is one of 1, yes, true, on, 0, no, false, off".to_owned()),
    }
}

/// Items between commas, white space and line ends.
pub(crate) fn list(text: &str) -> Vec<String> {
    let items = text.split(|c: char| c == ',' || c.is_whitespace());
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A whole number in a range.
pub(crate) fn number(text: &str, low: i64, high: i64) -> Parsed<i64> {
    let wrong = || format!("a whole number from {low} to {high} is needed");
    let number = text.trim().parse().map_err(|_| wrong())?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(wrong()) }
}

/// A number that may have a fraction, and the suffix after it.
fn with_suffix(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, text[end..].trim()))
}

/// A time span: seconds, or a number with `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    let wrong = || "a time is a number of seconds, or a number with s, m, h or d after it (`48h`)".to_owned();
    let (number, suffix) = with_suffix(text).ok_or_else(wrong)?;
    let factor = match suffix.to_ascii_lowercase().as_str() {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    // A thousand years; more would only overflow somewhere else.
    let seconds = number * factor;
    if seconds > 3.2e10 { Err(wrong()) } else { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) }
}

/// A time span or `never`.
pub(crate) fn expire(text: &str) -> Parsed<Expire> {
    match text.trim().to_ascii_lowercase().as_str() {
        "never" | "-1" => Ok(Expire::Never),
        _ => duration(text)
            .map(Expire::After)
            .map_err(|_| "a time with s, m, h or d after it, or `never`, is needed".to_owned()),
    }
}

/// A number of bytes: plain, or with `k`, `M` or `G` (powers of 1024) after it.
pub(crate) fn bytes(text: &str) -> Parsed<u64> {
    let wrong = || "a size is a number of bytes, or a number with k, M or G after it (`512k`)".to_owned();
    let (number, suffix) = with_suffix(text).ok_or_else(wrong)?;
    let factor = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" => 1024.0,
        "m" => 1_048_576.0,
        "g" => 1_073_741_824.0,
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    if bytes <= 9.0e15 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// A rate: a size, a percentage, or 0 for none.
pub(crate) fn throttle(text: &str) -> Parsed<Throttle> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) && percent > 0.0 => {
                Ok(Throttle::Share(percent / 100.0))
            }
            _ => Err("a percentage is above 0 and at most 100".to_owned()),
        };
    }
    Ok(match bytes(text)? {
        0 => Throttle::Unlimited,
        rate => Throttle::Rate(rate),
    })
}

/// A point in time: seconds since the epoch.
pub(crate) fn time(text: &str) -> Parsed<Option<i64>> {
    match text.trim() {
        "" | "0" => Ok(None),
        text => {
            number(text, 0, 253_402_300_799).map(Some).map_err(|_| "seconds since 1970 are needed".to_owned())
        }
    }
}

/// A text, of which nothing means that there is none.
pub(crate) fn optional(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "_none_").then(|| text.to_owned())
}

/// One word of several.
pub(crate) fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    let wanted = text.trim().to_ascii_lowercase();
    words.iter().find(|(word, _)| *word == wanted).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("one of {} is needed", words.join(", "))
    })
}
