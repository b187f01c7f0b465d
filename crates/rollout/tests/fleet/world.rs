//! Machines with clocks, windows and fates, and the hours in which they live.

use jiff::tz::TimeZone;
use lazuli_rollout::report::{Cause, Outcome, Received};
use lazuli_rollout::{
    Action, Collector, HostId, MachineId, Plan, Policy, Position, Report, Roster, Schedule, Seconds,
    Settings, Time, Turn, decide,
};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Machines of the fleet.
pub const FLEET: usize = 100_000;

/// How long the world lasts: three weeks.
const HOURS: u64 = 21 * 24;

/// How a machine fares with the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is blessed after a quarter of an hour.
    Healthy,
    /// It goes back after twenty minutes.
    RollsBack,
    /// It restarts and is never heard of again.
    Dies,
    /// It fares well and never reports anything.
    Mute,
}

/// What happened.
pub struct Log {
    /// Machines that started to update, in the order of time.
    pub starts: Vec<(Time, usize)>,
    /// What the controller did, and when.
    pub actions: Vec<(Time, Action)>,
    /// The plan in the end.
    pub plan: Plan,
}

struct Machine {
    host: HostId,
    schedule: usize,
    /// By how many seconds its clock is fast.
    skew: i64,
    /// It is switched off from this hour of the day (UTC) on for eight hours; 24 is never, 25 is always.
    off: u64,
}

/// All machines and their settings.
pub struct World {
    machines: Vec<Machine>,
    schedules: Vec<Schedule>,
}

/// A number of a machine that looks random (SplitMix64) and is the same in each run.
pub fn mixed(machine: usize, purpose: u64) -> u64 {
    let mut z =
        (machine as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

const TEN_YEARS: i64 = 3652 * 86_400;

impl World {
    pub fn new() -> Self {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let new_york = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        let settings = [
            ("", &TimeZone::UTC),
            ("[[window]]\ncalendar = \"Sat,Sun 02:00\"\nduration = \"4h\"", &TimeZone::UTC),
            ("[[window]]\ncalendar = \"22:00\"\nduration = \"6h\"", &berlin),
            ("[[window]]\ncalendar = \"Mon..Fri 12:00\"\nduration = \"2h\"", &new_york),
            (
                "spread = \"3h\"\n[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"\n\
                 [[blocked]]\ncalendar = \"*-*~1\"\nduration = \"1d\"",
                &berlin,
            ),
        ];
        let schedules = settings
            .map(|(toml, zone)| Schedule::in_zone(Settings::from_toml(toml).unwrap(), zone.clone()).unwrap())
            .into();
        let machine = |n: usize| Machine {
            host: HostId::of(MachineId::new((n as u128 + 1).to_be_bytes())),
            // Half of the fleet at any time, a fifth at weekends, a fifth at night, a twentieth at noon and on Saturdays.
            schedule: match mixed(n, 10) % 20 {
                0..10 => 0,
                10..14 => 1,
                14..18 => 2,
                18 => 3,
                _ => 4,
            },
            skew: match mixed(n, 11) % 1000 {
                0 => TEN_YEARS,
                1 => -TEN_YEARS,
                2..52 => mixed(n, 12) as i64 % 900,
                _ => 0,
            },
            off: match mixed(n, 13) % 100 {
                0..3 => 25,
                3..13 => mixed(n, 14) % 24,
                _ => 24,
            },
        };
        Self { machines: (0..FLEET).map(machine).collect(), schedules }
    }

    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<'_> {
        self.machines.iter().map(|machine| machine.host)
    }

    /// Whether a machine cannot get any update: it is never online, or its clock is wrong by ten years.
    pub fn lost(&self, machine: usize) -> bool {
        self.machines[machine].off == 25 || self.machines[machine].skew.abs() == TEN_YEARS
    }

    /// Whether its windows are open and nothing is blocked, by its clock.
    pub fn may_be_disturbed(&self, machine: usize, time: Time) -> bool {
        let machine = &self.machines[machine];
        let (schedule, clock) =
            (&self.schedules[machine.schedule], Time::from_unix(time.unix() + machine.skew));
        let release = lazuli_rollout::Release::new("container-host", "2.0").unwrap();
        schedule.blocked(clock).is_none()
            && (!schedule.waits(false)
                || schedule
                    .opening(machine.host, &release, clock)
                    .is_some_and(|o| o.opens <= clock && clock < o.closes))
    }

    /// When a machine starts, if it hears of `plan` when it asks next after `now`.
    fn start(&self, machine: &Machine, plan: &Plan, now: Time, end: Time) -> Option<Time> {
        // The clock ten years ahead: the metadata of the release has expired for it, so it takes nothing.
        if machine.off == 25 || machine.skew == TEN_YEARS {
            return None;
        }
        let Turn::From(turn) = plan.turn(Position::of(machine.host, plan.release())) else { return None };
        let schedule = &self.schedules[machine.schedule];
        let mut clock =
            schedule.next_check(machine.host, Time::from_unix(now.unix() + machine.skew)).max(turn);
        loop {
            clock = schedule.next_start(machine.host, plan.release(), plan.urgent(), clock)?;
            let time = Time::from_unix(clock.unix() - machine.skew);
            if time > end {
                return None;
            }
            let into = (time.unix() as u64 + (24 - machine.off % 24) * 3600) % 86_400;
            if machine.off == 24 || into >= 8 * 3600 {
                return Some(time);
            }
            clock = clock.plus(Seconds::new(8 * 3600 - into));
        }
    }

    /// Lets three weeks pass. Every hour the controller, if there is one, reads all reports and publishes its decision.
    pub fn run(
        &self,
        plan: Plan,
        policy: Option<&Policy>,
        roster: &Roster,
        fate: impl Fn(usize) -> Fate,
        lies: Vec<Received>,
    ) -> Log {
        let begin = plan.stages()[0].begin.unwrap();
        let end = begin.plus(Seconds::hours(HOURS));
        let mut log = Log { starts: Vec::new(), actions: Vec::new(), plan };
        let mut started = vec![false; FLEET];
        // (when, machine), the earliest on top.
        let mut queue: BinaryHeap<Reverse<(Time, usize)>> = BinaryHeap::new();
        let mut coming: BinaryHeap<Reverse<(Time, usize, bool)>> = BinaryHeap::new();
        let mut reports = lies;
        let mut publish = true;
        let mut now = begin;
        while now < end {
            if publish {
                let waiting = (0..FLEET).filter(|n| !started[*n]);
                queue = waiting
                    .filter_map(|n| Some(Reverse((self.start(&self.machines[n], &log.plan, now, end)?, n))))
                    .collect();
                publish = false;
            }
            let next = now.plus(Seconds::hours(1));
            while let Some(Reverse((time, machine))) =
                queue.peek().copied().filter(|Reverse((t, _))| *t < next)
            {
                queue.pop();
                started[machine] = true;
                log.starts.push((time, machine));
                if fate(machine) != Fate::Mute {
                    coming.push(Reverse((time, machine, false)));
                    // One report in a hundred gets lost, and the machine counts as silent.
                    let lost = mixed(machine, 20).is_multiple_of(100);
                    if fate(machine) != Fate::Dies && !lost {
                        coming.push(Reverse((time.plus(Seconds::minutes(20)), machine, true)));
                    }
                }
            }
            now = next;
            while let Some(Reverse((time, machine, done))) =
                coming.peek().copied().filter(|Reverse((t, ..))| *t < now)
            {
                coming.pop();
                let outcome = match (done, fate(machine)) {
                    (false, _) => Outcome::Updated {},
                    (true, Fate::RollsBack) => {
                        Outcome::RolledBack { cause: Cause::Health, detail: String::new() }
                    }
                    (true, _) => Outcome::Healthy {},
                };
                let machine = &self.machines[machine];
                let clock = Time::from_unix(time.unix() + machine.skew);
                let report = Report::new(machine.host, log.plan.release().clone(), None, clock, outcome);
                reports.push(Received { report, received: Some(time) });
            }
            let Some(policy) = policy else { continue };
            // With all stages raised nothing is left to raise, and once a day is enough to hold.
            let raised = log.plan.stages().iter().all(|stage| stage.begin.is_some_and(|begin| begin < now));
            if raised && !now.since(begin).get().is_multiple_of(86_400) {
                continue;
            }
            let mut collector = Collector::new(&log.plan, roster, now);
            for report in &reports {
                collector.add(report);
            }
            let decision = decide(&log.plan, policy, &collector.finish(policy.patience), now).unwrap();
            if let Some(plan) = decision.plan {
                log.actions.push((now, decision.action));
                log.plan = plan;
                publish = true;
            }
            // Nothing can happen any more.
            if queue.is_empty() && coming.is_empty() && log.plan.stages().iter().all(|s| s.begin.is_some()) {
                break;
            }
        }
        log
    }
}
