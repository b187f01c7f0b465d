use super::*;
use proptest::prelude::*;

fn next(expression: &str, from: &str, zone: &TimeZone, count: usize) -> Vec<String> {
    let calendar: Calendar = expression.parse().unwrap();
    calendar.from(from.parse().unwrap(), zone).take(count).map(|t| t.to_string()).collect()
}

/// Central European time by rule, so that the test needs no database of time zones.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

#[test]
fn days_and_times() {
    // 2026-11-27 is a Friday.
    for (expression, expected) in [
        ("Sat,Sun 02:00", ["2026-11-28T02:00:00Z", "2026-11-29T02:00:00Z", "2026-12-05T02:00:00Z"]),
        ("Fri..Mon 10:00", ["2026-11-27T10:00:00Z", "2026-11-28T10:00:00Z", "2026-11-29T10:00:00Z"]),
        ("daily", ["2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"]),
        ("hourly", ["2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z", "2026-11-27T12:00:00Z"]),
        ("*:0/20", ["2026-11-27T10:00:00Z", "2026-11-27T10:20:00Z", "2026-11-27T10:40:00Z"]),
        ("8..20/6:15:30", ["2026-11-27T14:15:30Z", "2026-11-27T20:15:30Z", "2026-11-28T08:15:30Z"]),
        ("Tue *-*-8..14 03:00", ["2026-12-08T03:00:00Z", "2027-01-12T03:00:00Z", "2027-02-09T03:00:00Z"]),
        ("*-*~1", ["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"]),
        ("*-02-29", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]),
        ("2027..2029-1-1 12:00", ["2027-01-01T12:00:00Z", "2028-01-01T12:00:00Z", "2029-01-01T12:00:00Z"]),
        ("quarterly", ["2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-07-01T00:00:00Z"]),
    ] {
        assert_eq!(next(expression, "2026-11-27T10:00:00Z", &TimeZone::UTC, 3), expected, "{expression}");
    }
}

#[test]
fn a_skipped_moment_comes_later_and_a_doubled_one_once() {
    // 2027-03-28: clocks go from 02:00 to 03:00, at 01:00 in UTC.
    let spring = next("02:30", "2027-03-27T00:00:00Z", &berlin(), 3);
    assert_eq!(spring, ["2027-03-27T01:30:00Z", "2027-03-28T01:30:00Z", "2027-03-29T00:30:00Z"]);
    // 2026-10-25: clocks go from 03:00 back to 02:00, at 01:00 in UTC.
    let autumn = next("02:30", "2026-10-24T00:00:00Z", &berlin(), 3);
    assert_eq!(autumn, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // Two moments that fall together are one, and the order holds.
    let both = next("*:0/30", "2027-03-28T00:30:00Z", &berlin(), 4);
    assert_eq!(
        both,
        ["2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z", "2027-03-28T02:00:00Z"]
    );
}

#[test]
fn wrong_expressions_say_what_is_wrong() {
    for (text, word) in [
        ("", "empty"),
        ("Foo 02:00", "weekday"),
        ("24:00", "0 to 23"),
        ("*-13-1", "1 to 12"),
        ("*-1", "YEAR-MONTH-DAY"),
        ("*-*-31..1", "backwards"),
        ("*:0/0", "step"),
        ("02:00 UTC", "time zone"),
        ("02:00:00:00", "number"),
        ("1969-1-1", "1970"),
    ] {
        let error = text.parse::<Calendar>().unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn what_never_comes_ends() {
    assert!(next("*-02-30", "2026-11-27T10:00:00Z", &TimeZone::UTC, 1).is_empty());
    assert!(next("2026-11-26", "2026-11-27T10:00:00Z", &TimeZone::UTC, 1).is_empty());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[A-Za-z0-9*.,:/~ -]{0,24}") {
        if let Ok(calendar) = text.parse::<Calendar>() {
            let again: Calendar = calendar.to_string().parse().unwrap();
            prop_assert_eq!(calendar, again);
        }
    }

    /// The next moment is found from any instant before it, and moments never go back.
    #[test]
    fn moments_are_in_order(unix in 1_700_000_000..2_000_000_000_i64, gap in 0..200_000_i64) {
        for expression in ["Sat,Sun 02:30", "*-*-1 00:00", "*:0/17", "Mon *-*~7 23:59:59"] {
            let calendar: Calendar = expression.parse().unwrap();
            let zone = berlin();
            let moments: Vec<_> = calendar.from(Time::from_unix(unix), &zone).take(8).collect();
            prop_assert!(moments.windows(2).all(|w| w[0] < w[1]));
            let later = Time::from_unix(unix + gap);
            let expected = moments.iter().find(|m| **m >= later);
            if let Some(expected) = expected {
                let found = calendar.from(later, &zone).next();
                prop_assert_eq!(found.as_ref(), Some(expected));
            }
        }
    }
}
