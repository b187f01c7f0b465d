//! When a host may be disturbed: windows, blocked periods, and its own moment within a window. Pure: the time zone
//! is a value, and so is the clock.

use crate::settings::{Block, Settings, SettingsError, Urgent};
use crate::time::{Seconds, Time};
use crate::wave::{HostId, Release};
use jiff::tz::TimeZone;

/// Settings that were checked, with their time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    settings: Settings,
    blocks: Vec<Block>,
    zone: TimeZone,
}

/// A maintenance window as one host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// When the window opens.
    pub opens: Time,
    /// When this host starts at the earliest, so that not all hosts start in the same second.
    pub start: Time,
    /// When it may start at the latest, so that it is done before the window closes.
    pub last: Time,
    /// When it closes.
    pub closes: Time,
}

/// A blocked period that is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When it ends.
    pub until: Time,
    /// Why it is.
    pub reason: Option<String>,
}

/// How often the search goes from blocked periods to windows and back before it gives up: settings that leave nothing
/// open (blocked on each day with a window) must not keep an agent busy.
const MOST_STEPS: usize = 4096;

impl Schedule {
    /// Settings in their time zone, which is looked up on this machine.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let zone = settings.zone()?;
        Self::in_zone(settings, zone)
    }

    /// Settings in a time zone that was looked up already.
    pub fn in_zone(settings: Settings, zone: TimeZone) -> Result<Self, SettingsError> {
        let blocks = settings.check(&zone)?;
        Ok(Self { settings, blocks, zone })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether a release has to wait for a window here.
    pub fn waits(&self, urgent: bool) -> bool {
        let passes = urgent && self.settings.urgent == Urgent::AtOnce;
        !self.settings.window.is_empty() && !passes
    }

    /// The blocked period, if any, that an update which is begun at `at` would run into.
    pub fn blocked(&self, at: Time) -> Option<Closed> {
        let done = at.plus(self.settings.needs);
        // An update takes some time, however little.
        let meets = |from: Time| from < done || from <= at;
        self.blocks.iter().find_map(|block| match block {
            Block::Once(from, until, reason) if meets(*from) && at < *until => {
                Some(Closed { until: *until, reason: reason.clone() })
            }
            Block::Once(..) => None,
            Block::Again(calendar, duration, reason) => {
                let running = at.minus(*duration).plus(Seconds::new(1));
                let begin = calendar.from(running, &self.zone).next().filter(|begin| meets(*begin))?;
                Some(Closed { until: begin.plus(*duration), reason: reason.clone() })
            }
        })
    }

    /// The window in which `host` can start to take `release` first, at `from` or later; `None` if no window comes
    /// any more, or there are no windows.
    pub fn opening(&self, host: HostId, release: &Release, from: Time) -> Option<Opening> {
        let first = |window: &crate::settings::Window| {
            let slack = Seconds::new(window.duration.get() - self.settings.needs.get());
            let opens = window.calendar.from(from.minus(slack), &self.zone).next()?;
            let spread = self.settings.spread.min(slack).get();
            let detail = format!("{release} {}", opens.unix());
            let offset = host.spread(b"lazuli spread 1\n", detail.as_bytes(), spread + 1);
            Some(Opening {
                opens,
                start: opens.plus(Seconds::new(offset)),
                last: opens.plus(slack),
                closes: opens.plus(window.duration),
            })
        };
        self.settings.window.iter().filter_map(first).min_by_key(|o| (o.start.max(from), o.opens))
    }

    /// The first instant at or after `from` at which `host` may start to take `release`, as far as windows and blocked
    /// periods go; `None` if the settings never allow it.
    pub fn next_start(&self, host: HostId, release: &Release, urgent: bool, from: Time) -> Option<Time> {
        let mut at = from;
        for _ in 0..MOST_STEPS {
            if let Some(closed) = self.blocked(at) {
                at = closed.until;
                continue;
            }
            if !self.waits(urgent) {
                return Some(at);
            }
            let start = self.opening(host, release, at)?.start.max(at);
            if start == at {
                return Some(at);
            }
            at = start;
        }
        None
    }

    /// When `host` asks for updates next, after `now`. Each host has its own second within the interval, which
    /// restarts do not change, so that a fleet never asks all at once.
    pub fn next_check(&self, host: HostId, now: Time) -> Time {
        let every = self.settings.check_every.get() as i64;
        let phase = host.spread(b"lazuli check 1\n", b"", every as u64) as i64;
        let since = (now.unix() - phase).rem_euclid(every);
        Time::from_unix(now.unix() - since + every)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
