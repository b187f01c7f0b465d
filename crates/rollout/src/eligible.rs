//! When a machine's turn comes: pure, and exact to the second.
//!
//! The share that is reached at an instant is a fraction of whole numbers, and a position is compared with it
//! without rounding. At the first second of a ramp nothing is added yet; at its last second all of it is.

use crate::plan::{Plan, State};
use crate::share::Share;
use crate::time::{Seconds, Time};
use crate::wave::Position;
use std::fmt;

/// The share of the fleet that a plan has reached: `millionths / parts` millionths of it, exactly.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Below 2^50: at most 10^6 times the longest ramp.
    millionths: u64,
    /// 1, or the seconds of the ramp that is under way.
    parts: u64,
}

impl Reach {
    /// Whether a position is within.
    pub fn covers(self, position: Position) -> bool {
        // position / 2^64 < millionths / (parts * 10^6), both sides multiplied; below 2^114.
        u128::from(position.to_u64()) * 1_000_000 * u128::from(self.parts) < u128::from(self.millionths) << 64
    }

    /// The share, rounded down to millionths.
    pub fn share(self) -> Share {
        Share::from_millionths((self.millionths / self.parts) as u32)
    }
}

impl PartialEq for Reach {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Reach {}

impl PartialOrd for Reach {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reach {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let scaled = |a: &Self, b: &Self| u128::from(a.millionths) * u128::from(b.parts);
        scaled(self, other).cmp(&scaled(other, self))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share().fmt(f)
    }
}

/// What a plan says to one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may take the release from this instant on, as far as the waves go.
    From(Time),
    /// No stage that has been raised reaches it; so far they reach this share.
    NotRaised(Share),
    /// The release is held.
    Held,
    /// The release was withdrawn.
    Withdrawn,
}

impl Plan {
    /// The share of the fleet that its stages have reached at `at`, whether or not the release is held.
    pub fn reach(&self, at: Time) -> Reach {
        let mut reach = Reach { millionths: 0, parts: 1 };
        for (index, stage) in self.stages().iter().enumerate() {
            let Some(begin) = stage.begin.filter(|begin| *begin <= at) else { break };
            let (whole, before) = (u64::from(stage.share.millionths()), self.share_before(index));
            let (elapsed, ramp) = (at.since(begin).get(), stage.ramp.get());
            reach = if elapsed >= ramp {
                Reach { millionths: whole, parts: 1 }
            } else {
                let before = u64::from(before.millionths());
                Reach { millionths: before * ramp + (whole - before) * elapsed, parts: ramp }
            };
        }
        reach
    }

    /// Whether the machine at `position` may take the release at `at`, as far as waves and the state of the
    /// release go.
    pub fn eligible_at(&self, position: Position, at: Time) -> bool {
        matches!(self.state(), State::Raised {}) && self.reach(at).covers(position)
    }

    /// The number (from 0) of the stage that a position belongs to, whether raised or not.
    pub fn stage_of(&self, position: Position) -> Option<usize> {
        let whole = |share: Share| Reach { millionths: u64::from(share.millionths()), parts: 1 };
        self.stages().iter().position(|stage| whole(stage.share).covers(position))
    }

    /// The largest share that becomes eligible within any time of length `span`, if every stage that is not raised
    /// yet begins as soon as it may; exact to a millionth.
    pub fn fastest(&self, span: Seconds) -> Share {
        let mut plan = self.clone();
        let mut earliest = Time::from_unix(0);
        for stage in &mut plan.stages {
            let begin = *stage.begin.get_or_insert(earliest);
            earliest = begin.plus(stage.length);
        }
        // Between these instants the share that a span contains changes evenly, so it is largest at one of them.
        let second = Seconds::new(1);
        let corners = plan.stages.iter().filter_map(|stage| Some((stage.begin?, stage.ramp)));
        let corners = corners.flat_map(|(begin, ramp)| [begin.minus(second), begin, begin.plus(ramp)]);
        let starts = corners.flat_map(|corner| [corner, corner.minus(span)]);
        let released = |from: Time| {
            let share = |at: Time| plan.reach(at).share().millionths();
            share(from.plus(span)).saturating_sub(share(from))
        };
        Share::from_millionths(starts.map(released).max().unwrap_or(0))
    }

    /// What the plan says to the machine at `position`: [`Plan::eligible_at`] holds from the named second on and
    /// not in the one before it.
    pub fn turn(&self, position: Position) -> Turn {
        match self.state() {
            State::Raised {} => {}
            State::Held { .. } => return Turn::Held,
            State::Withdrawn { .. } => return Turn::Withdrawn,
        }
        let mut reached = Share::NONE;
        for (index, stage) in self.stages().iter().enumerate() {
            let Some(begin) = stage.begin else { break };
            reached = stage.share;
            if !(Reach { millionths: u64::from(reached.millionths()), parts: 1 }).covers(position) {
                continue;
            }
            let before = u128::from(self.share_before(index).millionths());
            let ramp = u128::from(stage.ramp.get());
            // The least number of seconds with  position * ramp < before * ramp + (share - before) * seconds.
            // All is scaled by 10^6 * 2^64; what is before the stage cannot be, as an earlier one would cover it.
            let left = (u128::from(position.to_u64()) * 1_000_000 * ramp).checked_sub((before << 64) * ramp);
            let rate = (u128::from(reached.millionths()) - before) << 64;
            let seconds = match left {
                Some(left) if ramp > 0 => left / rate + 1,
                _ => 0,
            };
            return Turn::From(begin.plus(Seconds::new(seconds as u64)));
        }
        Turn::NotRaised(reached)
    }
}
