//! What reports say about a release, one voice a machine.
//!
//! # Rules
//!
//! - A machine counts once, however often it reports. What it says adds up in any order and any number of times to
//!   the same: a rollback outweighs all else, then being healthy, then a failed attempt. Replayed and doubled reports
//!   change nothing.
//! - Only machines whose turn has come count: the position follows from the host id, so an invented host lies within a
//!   canary of 1 % once in a hundred, and a machine that an operator updated by hand, early, does not stand for the
//!   fleet.
//! - With a list of the fleet's hosts only those count, and the exact number of machines of each stage is known. With
//!   the size of the fleet more machines than a stage can have are noticed ([`Tally::crowded`]).
//! - A machine that said `updated` and nothing since is silent once the patience is over. The time is the collector's;
//!   where it is missing, the host's, if it lies between the start of the release and now. If that is wrong too, the
//!   machine is never called silent.

use crate::plan::Plan;
use crate::report::{Cause, Obstacle, Outcome, Received};
use crate::share::Share;
use crate::time::{Seconds, Time};
use crate::wave::{HostId, Position};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known of the fleet.
#[derive(Debug, Clone, Default)]
pub enum Roster {
    /// Nothing.
    #[default]
    Unknown,
    /// How many machines it has.
    Size(u64),
    /// Which machines it has.
    Hosts(BTreeSet<HostId>),
}

/// The most machines that are kept in memory when nothing is known of the fleet, about 1 GiB.
const MOST_HOSTS: usize = 10_000_000;

impl Roster {
    /// More machines than these cannot be of this fleet.
    fn most(&self) -> usize {
        match self {
            Self::Unknown => MOST_HOSTS,
            // The size is seldom exact.
            Self::Size(size) => usize::try_from(size + size / 4 + 100).unwrap_or(MOST_HOSTS).min(MOST_HOSTS),
            Self::Hosts(hosts) => hosts.len(),
        }
    }
}

/// What machines of one stage have come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many machines the stage has, or about has, if that is known.
    pub machines: Option<u64>,
    /// Whether `machines` is exact, and reports are of these machines only.
    pub exact: bool,
    /// Ran through the soak period.
    pub healthy: u64,
    /// Went back.
    pub rolled_back: u64,
    /// Could not take the release.
    pub failed: u64,
    /// Restarted into the release and were not heard of since.
    pub silent: u64,
    /// Restarted into the release a short while ago.
    pub pending: u64,
    /// Why machines went back.
    pub causes: BTreeMap<Cause, u64>,
}

impl Tally {
    /// Machines of which it is known how they fared, silence being one way.
    pub fn settled(&self) -> u64 {
        self.healthy + self.troubled()
    }

    /// Machines that did not end up with the release.
    pub fn troubled(&self) -> u64 {
        self.rolled_back + self.failed + self.silent
    }

    /// Whether more machines speak than the stage can have: six standard deviations above what its share gives, and
    /// some for a fleet whose size is not exact.
    pub fn crowded(&self) -> bool {
        let heard = self.settled() + self.pending;
        self.machines.is_some_and(|machines| {
            let machines = machines as f64;
            !self.exact && heard as f64 > machines * 1.1 + 6.0 * machines.sqrt() + 10.0
        })
    }

    fn add(&mut self, other: &Self) {
        self.machines = self.machines.zip(other.machines).map(|(a, b)| a + b);
        self.exact &= other.exact;
        self.healthy += other.healthy;
        self.rolled_back += other.rolled_back;
        self.failed += other.failed;
        self.silent += other.silent;
        self.pending += other.pending;
        for (cause, count) in &other.causes {
            *self.causes.entry(*cause).or_default() += count;
        }
    }
}

/// Reports that did not count, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Not reports.
    pub malformed: u64,
    /// Of other releases.
    pub other_release: u64,
    /// Received before the time from which on reports were to count.
    pub old: u64,
    /// Of machines that the fleet does not have.
    pub unknown_host: u64,
    /// Of machines whose turn has not come.
    pub out_of_turn: u64,
    /// That said nothing new of their machine.
    pub repeated: u64,
    /// That came when there were more machines than the fleet can have.
    pub too_many: u64,
}

/// What all reports together say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// By stage of the plan, as far as they have begun.
    pub stages: Vec<Tally>,
    /// Reports that did not count.
    pub ignored: Ignored,
}

impl Evidence {
    /// All stages together.
    pub fn total(&self) -> Tally {
        let mut total = Tally { machines: Some(0), exact: true, ..Tally::default() };
        self.stages.iter().for_each(|stage| total.add(stage));
        total
    }
}

/// What one machine has said so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Voice {
    stage: u8,
    /// The earliest restart that it announced.
    updated: Option<Time>,
    healthy: bool,
    failed: Option<Obstacle>,
    rolled_back: Option<Cause>,
}

/// Takes reports one after the other.
#[derive(Debug)]
pub struct Collector<'a> {
    plan: &'a Plan,
    roster: &'a Roster,
    now: Time,
    since: Option<Time>,
    voices: HashMap<HostId, Voice>,
    ignored: Ignored,
}

impl<'a> Collector<'a> {
    /// A collector of reports about the release of `plan`, as of `now`.
    pub fn new(plan: &'a Plan, roster: &'a Roster, now: Time) -> Self {
        let (voices, ignored) = (HashMap::new(), Ignored::default());
        Self { plan, roster, now, since: None, voices, ignored }
    }

    /// Lets no report count that was received before `since`: after somebody has looked into failures and taken the
    /// release up again, the old ones must not hold it again.
    pub fn since(mut self, since: Option<Time>) -> Self {
        self.since = since;
        self
    }

    /// Counts something that is not a report.
    pub fn malformed(&mut self) {
        self.ignored.malformed += 1;
    }

    /// Takes a report.
    pub fn add(&mut self, received: &Received) {
        let report = &received.report;
        if report.release != *self.plan.release() {
            self.ignored.other_release += 1;
            return;
        }
        let begin = self.plan.stages().first().and_then(|stage| stage.begin).unwrap_or(self.now);
        let credible = (begin..=self.now).contains(&report.time).then_some(report.time);
        let at = received.received.or(credible);
        if let Some(since) = self.since
            && at.is_none_or(|at| at < since)
        {
            self.ignored.old += 1;
            return;
        }
        if let Roster::Hosts(hosts) = self.roster
            && !hosts.contains(&report.host)
        {
            self.ignored.unknown_host += 1;
            return;
        }
        let full = self.voices.len() >= self.roster.most();
        let known = self.voices.get_mut(&report.host);
        let voice = match known {
            Some(voice) => voice,
            None if full => {
                self.ignored.too_many += 1;
                return;
            }
            None => {
                let position = Position::of(report.host, self.plan.release());
                let stage = self.plan.stage_of(position);
                let Some(stage) = stage.filter(|_| self.plan.reach(self.now).covers(position)) else {
                    self.ignored.out_of_turn += 1;
                    return;
                };
                // A plan has at most 32 stages.
                self.voices.entry(report.host).or_insert(Voice { stage: stage as u8, ..Voice::default() })
            }
        };
        let before = *voice;
        let fresh = before == Voice { stage: before.stage, ..Voice::default() };
        match &report.outcome {
            // Without a time that can be believed it counts from now on, and so never gets old.
            Outcome::Updated {} => {
                let at = at.unwrap_or(self.now);
                voice.updated = Some(voice.updated.map_or(at, |earlier| earlier.min(at)));
            }
            Outcome::Healthy {} => voice.healthy = true,
            // The least of all causes, so that the order of reports does not matter.
            Outcome::Failed { cause, .. } => {
                voice.failed = Some(voice.failed.map_or(*cause, |other| other.min(*cause)));
            }
            Outcome::RolledBack { cause, .. } => {
                voice.rolled_back = Some(voice.rolled_back.map_or(*cause, |other| other.min(*cause)));
            }
        }
        if !fresh && *voice == before {
            self.ignored.repeated += 1;
        }
    }

    /// What they say together. Machines that announced a restart and were silent for longer than `patience` since
    /// count as silent.
    pub fn finish(self, patience: Seconds) -> Evidence {
        let begun = self.plan.current(self.now).map_or(0, |last| last + 1);
        let mut stages = vec![Tally::default(); begun];
        for (index, tally) in stages.iter_mut().enumerate() {
            let share = self.plan.stages()[index].share.millionths();
            let band = Share::from_millionths(share - self.plan.share_before(index).millionths());
            match self.roster {
                Roster::Unknown => {}
                Roster::Size(size) => tally.machines = Some(band.of(*size)),
                Roster::Hosts(_) => (tally.machines, tally.exact) = (Some(0), true),
            }
        }
        if let Roster::Hosts(hosts) = self.roster {
            for host in hosts {
                let stage = self.plan.stage_of(Position::of(*host, self.plan.release()));
                if let Some(machines) = stage.and_then(|s| stages.get_mut(s)?.machines.as_mut()) {
                    *machines += 1;
                }
            }
        }
        for voice in self.voices.values() {
            let Some(tally) = stages.get_mut(usize::from(voice.stage)) else { continue };
            if let Some(cause) = voice.rolled_back {
                tally.rolled_back += 1;
                *tally.causes.entry(cause).or_default() += 1;
            } else if voice.healthy {
                tally.healthy += 1;
            } else if let Some(updated) = voice.updated {
                // A restart that came after a failed attempt is what the machine is about.
                let silent = self.now.since(updated) > patience;
                *(if silent { &mut tally.silent } else { &mut tally.pending }) += 1;
            } else if voice.failed.is_some() {
                tally.failed += 1;
            }
        }
        Evidence { stages, ignored: self.ignored }
    }
}
