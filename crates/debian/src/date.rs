//! Dates as `Release` files have them: `Sat, 12 Sep 2026 07:55:41 UTC` (the form of RFC 5322, with the
//! zone as a name).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of a date in UTC; `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month_name))?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok().filter(|n| *n >= 0));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if clock.next().is_some()
        || !matches!(words.next()?, "UTC" | "GMT" | "+0000" | "Z")
        || words.next().is_some()
    {
        return None;
    }
    let month = i64::try_from(month).ok()?;
    if !(1970..10_000).contains(&year) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let months: i64 = (0..month).map(|m| days_in(year, m)).sum();
    let days = days_before_year(year) - days_before_year(1970) + months + day - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Seconds since 1970 as `2026-09-12 07:55:41 UTC`.
pub(crate) fn show(seconds: i64) -> String {
    let (mut days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970 + days.div_euclid(366);
    days -= days_before_year(year) - days_before_year(1970);
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", month + 1, days + 1)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        1 => 28 + i64::from(leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse("Sat, 12 Sep 2026 07:55:41 UTC"), Some(1_789_199_741));
        assert_eq!(parse("Tue, 29 Feb 2000 12:00:00 +0000"), Some(951_825_600));
        assert_eq!(show(1_789_199_741), "2026-09-12 07:55:41 UTC");
        for bad in [
            "",
            "Sat, 12 Sep 2026",
            "Sun, 29 Feb 2026 00:00:00 UTC",
            "1 Foo 2026 00:00:00 UTC",
            "Sat, 12 Sep 2026 07:55:41 CEST",
            "Sat, 12 Sep 2026 24:00:00 UTC",
            "Sat, 12 Sep 2026 -1:00:00 UTC",
            "Sat, 12 Sep 999999999 00:00:00 UTC",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_the_same_second(seconds in 0_i64..200_000_000_000) {
            let shown = show(seconds);
            let (date, clock) = shown.split_once(' ').unwrap();
            let mut parts = date.split('-');
            let (year, month, day) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let month = MONTHS[month.parse::<usize>().unwrap() - 1];
            prop_assert_eq!(parse(&format!("Xxx, {day} {month} {year} {clock}")), Some(seconds));
        }
    }
}
