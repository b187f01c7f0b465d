//! One field of a calendar expression: a set of numbers.

use std::ops::RangeInclusive;

/// A set of numbers, kept as the ranges with steps that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// First, last, step (not 0). None at all means every number.
    ranges: Vec<(u16, u16, u16)>,
}

impl Field {
    /// Every number.
    pub(super) const ALL: Self = Self { ranges: Vec::new() };

    /// One number.
    pub(super) fn only(number: u16) -> Self {
        Self { ranges: vec![(number, number, 1)] }
    }

    /// Whether a number is in it.
    pub(super) fn has(&self, number: u16) -> bool {
        self.ranges.is_empty()
            || self.ranges.iter().any(|(first, last, step)| {
                (*first..=*last).contains(&number) && (number - first).is_multiple_of(*step)
            })
    }

    /// Reads `*`, `N`, `N..M`, each with or without `/STEP`, or a list of these; numbers lie within `bounds`.
    pub(super) fn parse(text: &str, bounds: RangeInclusive<u16>) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        let ranges = text.split(',').map(|part| range(part, &bounds)).collect::<Result<_, _>>()?;
        Ok(Self { ranges })
    }
}

fn range(text: &str, bounds: &RangeInclusive<u16>) -> Result<(u16, u16, u16), String> {
    let number = |digits: &str| {
        let good = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number = if good { digits.parse::<u16>().ok() } else { None };
        number
            .filter(|n| bounds.contains(n))
            .ok_or_else(|| format!("`{digits}` is not a number from {} to {}", bounds.start(), bounds.end()))
    };
    let (range, step) = match text.split_once('/') {
        None => (text, None),
        Some((range, step)) => {
            let step = step.parse::<u16>().ok().filter(|step| *step > 0);
            (range, Some(step.ok_or_else(|| format!("`{text}` has no step of 1 or more"))?))
        }
    };
    let (first, last) = match range.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None if range == "*" => (*bounds.start(), *bounds.end()),
        // As with systemd, a number with a step goes on to the end.
        None if step.is_some() => (number(range)?, *bounds.end()),
        None => (number(range)?, number(range)?),
    };
    if first > last {
        return Err(format!("`{text}` goes backwards"));
    }
    Ok((first, last, step.unwrap_or(1)))
}
