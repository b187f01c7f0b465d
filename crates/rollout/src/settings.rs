//! The settings of a host: when it asks for updates, and when it may be disturbed by one.
//!
//! ```toml
//! time-zone = "Europe/Berlin"    # "UTC" (the default), "local", or a name of the time zone database
//! check-every = "1h"             # how often it asks; each host has its own minute for that
//! spread = "1h"                  # hosts start at different moments of the first hour of a window
//! needs = "15min"                # an update is begun only if so much of the window is left
//! urgent = "at-once"             # or "in-window": whether urgent releases wait for a window
//!
//! [[window]]                     # none: at any time
//! calendar = "Sat,Sun 02:00"
//! duration = "4h"
//!
//! [[blocked]]                    # beats windows, and holds for urgent releases too
//! from = "2026-12-20"
//! until = "2027-01-03"           # a day without a time is part of it
//! reason = "end of the year"
//!
//! [[blocked]]
//! calendar = "*-*~1 00:00"       # the last day of each month
//! duration = "1d"
//! ```
//!
//! A window begins by the clock of the time zone and lasts as long as it says, also over midnight and over a change
//! of the clocks; [`Calendar::from`] says what happens to moments that clocks skip or show twice.

use crate::calendar::Calendar;
use crate::time::{Seconds, Time};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The longest window or recurring blocked period: 31 days.
pub const LONGEST_WINDOW: Seconds = Seconds::hours(31 * 24);

/// The most windows, and the most blocked periods.
pub const MOST_WINDOWS: usize = 64;

/// The settings as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The time zone of windows and blocked periods: `UTC`, `local`, or a name of the time zone database.
    pub time_zone: String,
    /// How often the host asks for updates: 1 minute to 7 days.
    pub check_every: Seconds,
    /// Over how much of the beginning of a window hosts are spread.
    pub spread: Seconds,
    /// How long an update with its restart is expected to take.
    pub needs: Seconds,
    /// Whether an urgent release waits for a window.
    pub urgent: Urgent,
    /// When the host may be updated; at any time if there are none.
    pub window: Vec<Window>,
    /// When it must not be.
    pub blocked: Vec<Blocked>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: "UTC".into(),
            check_every: Seconds::hours(1),
            spread: Seconds::hours(1),
            needs: Seconds::minutes(15),
            urgent: Urgent::AtOnce,
            window: Vec::new(),
            blocked: Vec::new(),
        }
    }
}

/// Whether an urgent release waits for a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgent {
    /// It does not.
    AtOnce,
    /// It does, like any other.
    InWindow,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Window {
    /// When it opens.
    pub calendar: Calendar,
    /// How long it is open.
    pub duration: Seconds,
}

/// A period without updates: either `from` and `until`, or `calendar` and `duration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Blocked {
    /// A day or a local date and time: `2026-12-20`, `2026-12-20 18:00`.
    pub from: Option<String>,
    /// Its end. The moment is no part of it any more, but a day without a time is.
    pub until: Option<String>,
    /// When it begins, again and again.
    pub calendar: Option<Calendar>,
    /// How long it lasts each time.
    pub duration: Option<Seconds>,
    /// Why; shown by `explain`.
    pub reason: Option<String>,
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or not these fields.
    #[error("the update settings cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// The time zone is not known.
    #[error(
        "the time zone `{name}` is not known: {reason}; use \"UTC\", \"local\" or a name like \"Europe/Berlin\", \
         for which the time zone database must be installed"
    )]
    Zone {
        /// Its name.
        name: String,
        /// What the lookup says.
        reason: String,
    },
    /// One setting is wrong.
    #[error("{what} of the update settings: {reason}")]
    Setting {
        /// Which.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A blocked period that was checked.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    /// Once: from an instant until another.
    Once(Time, Time, Option<String>),
    /// Again and again, so long each time.
    Again(Calendar, Seconds, Option<String>),
}

impl Settings {
    /// Reads settings from TOML.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        Ok(toml::from_str(text)?)
    }

    /// Looks the time zone up in the database of this machine.
    pub fn zone(&self) -> Result<TimeZone, SettingsError> {
        match self.time_zone.as_str() {
            "UTC" => Ok(TimeZone::UTC),
            "local" => TimeZone::try_system().map_err(|e| self.no_zone(&e)),
            name => TimeZone::get(name).map_err(|e| self.no_zone(&e)),
        }
    }

    fn no_zone(&self, error: &jiff::Error) -> SettingsError {
        SettingsError::Zone { name: crate::time::shortened(&self.time_zone), reason: error.to_string() }
    }

    /// Checks all numbers, and reads the blocked periods.
    pub(crate) fn check(&self, zone: &TimeZone) -> Result<Vec<Block>, SettingsError> {
        let setting = |what: &str, reason: String| SettingsError::Setting { what: what.into(), reason };
        if !(Seconds::minutes(1)..=Seconds::hours(168)).contains(&self.check_every) {
            return Err(setting("check-every", format!("{} is not between 1min and 7d", self.check_every)));
        }
        if self.needs > Seconds::hours(24) {
            return Err(setting("needs", format!("{} is more than 1d", self.needs)));
        }
        for (name, count) in [("window", self.window.len()), ("blocked", self.blocked.len())] {
            if count > MOST_WINDOWS {
                return Err(setting(name, format!("there are {count}, more than {MOST_WINDOWS}")));
            }
        }
        for (index, window) in self.window.iter().enumerate() {
            let what = || format!("window {}", index + 1);
            period(&window.calendar, window.duration, zone).map_err(|reason| setting(&what(), reason))?;
            if window.duration <= self.needs {
                let reason = format!("{} is not longer than `needs`, {}", window.duration, self.needs);
                return Err(setting(&what(), reason));
            }
        }
        let blocks = self.blocked.iter().enumerate();
        let block = |(index, blocked): (usize, &Blocked)| {
            blocked.check(zone).map_err(|reason| setting(&format!("blocked period {}", index + 1), reason))
        };
        blocks.map(block).collect()
    }
}

impl Blocked {
    fn check(&self, zone: &TimeZone) -> Result<Block, String> {
        let reason = self.reason.clone();
        if reason.as_deref().is_some_and(|r| !crate::plan::valid_reason(r)) {
            return Err("its reason is empty, too long or has line ends".into());
        }
        match (&self.from, &self.until, &self.calendar, self.duration) {
            (Some(from), Some(until), None, None) => {
                let (begin, end) = (moment(from, false, zone)?, moment(until, true, zone)?);
                if begin >= end {
                    return Err(format!("it ends at `{until}`, which is not after `{from}`"));
                }
                Ok(Block::Once(begin, end, reason))
            }
            (None, None, Some(calendar), Some(duration)) => {
                period(calendar, duration, zone)?;
                Ok(Block::Again(calendar.clone(), duration, reason))
            }
            _ => Err("it says either `from` and `until` or `calendar` and `duration`".into()),
        }
    }
}

/// Checks what comes again and again.
fn period(calendar: &Calendar, duration: Seconds, zone: &TimeZone) -> Result<(), String> {
    if duration == Seconds::ZERO || duration > LONGEST_WINDOW {
        return Err(format!("{duration} is not between 1s and {LONGEST_WINDOW}"));
    }
    // From a fixed instant on, so that settings do not become wrong by waiting.
    let some = Time::from_unix(1_750_000_000);
    if calendar.from(some, zone).next().is_none() {
        return Err(format!("`{calendar}` never comes"));
    }
    Ok(())
}

/// Reads a day, or a local date and time. A day as an end is its last moment.
fn moment(text: &str, end: bool, zone: &TimeZone) -> Result<Time, String> {
    let wrong = || {
        format!("`{}` is not a date like `2026-12-20` or `2026-12-20 18:00`", crate::time::shortened(text))
    };
    let has_time = text.contains(':');
    let local: DateTime = if has_time {
        text.parse().map_err(|_| wrong())?
    } else {
        let day: Date = text.parse().map_err(|_| wrong())?;
        let day = if end { day.tomorrow().map_err(|_| wrong())? } else { day };
        day.at(0, 0, 0, 0)
    };
    let instant = zone.to_ambiguous_timestamp(local).compatible().map_err(|_| wrong())?;
    Ok(Time::from_unix(instant.as_second()))
}
