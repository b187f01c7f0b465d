//! Recurring moments, written like `OnCalendar=` of systemd (systemd.time(7), "Calendar Events").
//!
//! ```text
//! [WEEKDAYS] [YEAR-MONTH-DAY] [HOUR:MINUTE[:SECOND]]
//! WEEKDAYS   Mon, Mon,Thu, Mon..Fri; names in English, short or long
//! fields     *, a number, 1,15, 8..14, and any of these but a list with /STEP; `*/2`, `0/15`, `8..20/4`
//! DAY        behind `~` instead of `-` it counts from the end of the month: `*-*~1` is the last day
//! ```
//!
//! What is left out is every day and midnight. `hourly`, `daily`, `weekly`, `monthly`, `quarterly` and `yearly`
//! mean what they mean to systemd. A day must fit both the weekdays and the date: `Tue *-*-8..14` is the second
//! Tuesday of the month. Years are from 1970 to 2199. A time zone is no part of it: the schedule has one.

mod field;

use field::Field;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::time::Time;

/// How many days ahead the next moment is looked for: 29 February, twelve years and some days.
const HORIZON: u32 = 12 * 366;

/// A recurring moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Calendar {
    /// Bit 0 is Monday.
    weekdays: u8,
    year: Field,
    month: Field,
    day: Field,
    /// The day counts from the end of the month, its last day being 1.
    from_end: bool,
    hour: Field,
    minute: Field,
    second: Field,
    /// As it was written.
    text: String,
}

/// A text that is no recurring moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a calendar expression: {reason}; write it like `Sat,Sun 02:00` or `*-*-1 03:30`")]
pub struct CalendarError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Weekdays, Monday first.
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Words for whole expressions.
const WORDS: [(&str, &str); 7] = [
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

impl FromStr for Calendar {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let error = |reason: String| CalendarError { text: crate::time::shortened(text), reason };
        if text.len() > 128 {
            return Err(error("it is longer than 128 bytes".into()));
        }
        let expression =
            WORDS.iter().find(|(word, _)| *word == text.trim()).map_or(text, |(_, meaning)| meaning);
        let mut parts = expression.split_ascii_whitespace().peekable();
        let mut calendar = Self {
            weekdays: 0x7f,
            year: Field::ALL,
            month: Field::ALL,
            day: Field::ALL,
            from_end: false,
            hour: Field::only(0),
            minute: Field::only(0),
            second: Field::only(0),
            text: expression.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        };
        if parts.peek().is_none() {
            return Err(error("it is empty".into()));
        }
        if let Some(days) = parts.next_if(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())) {
            calendar.weekdays = weekdays(days).map_err(error)?;
        }
        if let Some(date) = parts.next_if(|part| !part.contains(':')) {
            calendar.set_date(date).map_err(error)?;
        }
        if let Some(time) = parts.next_if(|part| part.contains(':')) {
            calendar.set_time(time).map_err(error)?;
        }
        if let Some(more) = parts.next() {
            return Err(error(format!("`{more}` is too much; a time zone belongs to the schedule")));
        }
        Ok(calendar)
    }
}

impl Calendar {
    fn set_date(&mut self, date: &str) -> Result<(), String> {
        let wrong = || format!("`{date}` is not YEAR-MONTH-DAY");
        let (months, day) = date.rsplit_once(['-', '~']).ok_or_else(wrong)?;
        self.from_end = date.as_bytes()[months.len()] == b'~';
        let (year, month) = months.split_once('-').ok_or_else(wrong)?;
        self.year = Field::parse(year, 1970..=2199)?;
        self.month = Field::parse(month, 1..=12)?;
        self.day = Field::parse(day, 1..=31)?;
        Ok(())
    }

    fn set_time(&mut self, time: &str) -> Result<(), String> {
        let mut fields = time.splitn(3, ':');
        let mut next = |bounds| fields.next().map(|text| Field::parse(text, bounds)).transpose();
        self.hour = next(0..=23)?.unwrap_or(Field::only(0));
        self.minute = next(0..=59)?.unwrap_or(Field::only(0));
        self.second = next(0..=59)?.unwrap_or(Field::only(0));
        Ok(())
    }

    /// Whether it comes at some time of this day.
    fn on(&self, date: Date) -> bool {
        let day = if self.from_end { date.days_in_month() - date.day() + 1 } else { date.day() };
        self.weekdays & 1 << date.weekday().to_monday_zero_offset() != 0
            && self.year.has(date.year().unsigned_abs())
            && self.month.has(date.month().unsigned_abs().into())
            && self.day.has(day.unsigned_abs().into())
    }

    /// The moments at or after `from`, the earliest first, in the time zone `zone`; it ends when there is none in
    /// the next twelve years.
    ///
    /// A moment that the clock skips in spring comes later by as much as was skipped: with an hour skipped at 02:00,
    /// 02:30 is when clocks show 03:30. One that the clock shows twice in autumn comes once, the first time.
    pub fn from(&self, from: Time, zone: &TimeZone) -> impl Iterator<Item = Time> {
        // Offsets change by less than a day: from the day before on, nothing is missed.
        let first = zone.to_datetime(from.timestamp()).date();
        let first = first.yesterday().unwrap_or(first);
        let days = std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(HORIZON as usize + 2);
        days.filter(|date| self.on(*date)).flat_map(move |date| {
            let mut times: Vec<Time> = self
                .times()
                .filter_map(|(h, m, s)| {
                    let local: DateTime = date.at(h, m, s, 0);
                    let instant = zone.to_ambiguous_timestamp(local).compatible().ok()?;
                    Some(Time::from_unix(instant.as_second()))
                })
                .filter(|time| *time >= from)
                .collect();
            // Skipped moments may have come behind later ones, and onto them.
            times.sort_unstable();
            times.dedup();
            times
        })
    }

    /// The times of a day.
    fn times(&self) -> impl Iterator<Item = (i8, i8, i8)> + use<'_> {
        let range = |field: &Field, end: u16| {
            let field = field.clone();
            (0..=end).filter(move |n| field.has(*n)).map(|n| n as i8)
        };
        range(&self.hour, 23).flat_map(move |h| {
            range(&self.minute, 59).flat_map(move |m| range(&self.second, 59).map(move |s| (h, m, s)))
        })
    }
}

/// The bits of a list of weekdays and ranges of them.
fn weekdays(text: &str) -> Result<u8, String> {
    let one = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let found =
            WEEKDAYS.iter().position(|day| *day == lower || (lower.len() == 3 && day.starts_with(&lower)));
        found.ok_or_else(|| format!("`{name}` is not a weekday"))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (mut day, last) = (one(first)?, one(last)?);
        bits |= 1 << day;
        // `Sat..Mon` goes on past the end of the week.
        while day != last {
            day = (day + 1) % 7;
            bits |= 1 << day;
        }
    }
    Ok(bits)
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Calendar {
    type Error = CalendarError;

    fn try_from(text: String) -> Result<Self, CalendarError> {
        text.parse()
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.text
    }
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
