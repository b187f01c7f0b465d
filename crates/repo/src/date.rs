//! Dates of advisories: seconds since the epoch, and the calendar (UTC) in which people write them.

/// The first and the last year that is taken for one.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=9999;

/// Writes `YYYY-MM-DD HH:MM:SS`.
pub(crate) fn format(time: i64) -> String {
    let time = time.clamp(0, 253_402_300_799);
    let (days, seconds) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Reads seconds since the epoch, `YYYY-MM-DD`, or that with `HH:MM` or `HH:MM:SS` after a blank or `T`. What
/// follows (`Z`, `UTC`, fractions) is ignored.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.len() <= 11 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let bytes = text.as_bytes();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let separators = bytes[4] == b'-' && bytes[7] == b'-';
    if !separators || !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (mut hour, mut minute, mut second) = (0, 0, 0);
    if matches!(bytes.get(10), Some(b' ' | b'T')) && bytes.get(13) == Some(&b':') {
        (hour, minute) = (number(11..13)?, number(14..16)?);
        if bytes.get(16) == Some(&b':') {
            second = number(17..19)?;
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since the epoch. Years are counted from March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a day since the epoch, which must not lie before it.
fn civil(day: i64) -> (i64, i64, i64) {
    // A guess that is never too late, then the year in which the day lies.
    let mut year = 1970 + day / 366;
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let month = (2..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    (year, month, day - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_as_people_write_them() {
        // `date -u -d '2026-11-23 04:05:06' +%s`
        let time = 1_795_406_706;
        assert_eq!(format(time), "2026-11-23 04:05:06");
        for text in
            ["2026-11-23 04:05:06", "2026-11-23T04:05:06Z", "2026-11-23 04:05:06.123 UTC", "1795406706"]
        {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(parse("2026-11-23 04:05"), Some(time - 6));
        assert_eq!(parse("2026-11-23"), Some(time - 4 * 3600 - 306));
        for text in
            ["", "today", "2026-13-01", "2026-1-01", "99999999999999", "2026-11-23 25:00:00", "äöü€ 111111"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time in 0_i64..253_402_300_800) {
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = parse(&text);
        }
    }
}
