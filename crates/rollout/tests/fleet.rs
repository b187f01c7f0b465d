//! A fleet of 100,000 machines, an hour-by-hour controller, and releases that are good, bad, rarely bad, or deadly.
//!
//! Turns, windows, reports and decisions are the real code; only machines and their fates are made up. The numbers in
//! the assertions are those of a user: machines that started to update, in a minute, in an hour, in all.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

#[path = "fleet/world.rs"]
mod world;

use lazuli_rollout::report::{Cause, Outcome, Received};
use lazuli_rollout::{
    Action, HostId, MachineId, Plan, Policy, Position, Release, Report, Roster, Seconds, Share, Stage, State,
    Time,
};
use std::collections::BTreeMap;
use world::{FLEET, Fate, World, mixed};

fn release() -> Release {
    Release::new("container-host", "2.0").unwrap()
}

/// Friday, 2026-11-27 10:00 in UTC.
fn start() -> Time {
    "2026-11-27T10:00:00Z".parse().unwrap()
}

fn day() -> Seconds {
    Seconds::hours(24)
}

/// 1 % at once, then 10 %, 50 % and all of the fleet, evenly over half a day and a day each.
fn stages() -> Vec<Stage> {
    vec![
        Stage::new(Share::percent(1), Seconds::ZERO, day()),
        Stage::new(Share::percent(10), Seconds::hours(12), day()),
        Stage::new(Share::percent(50), day(), day()),
        Stage::new(Share::ALL, day(), day()),
    ]
}

fn policy() -> Policy {
    Policy { fastest_hour: Share::percent(5), ..Policy::default() }
}

fn gated() -> Plan {
    let plan = Plan::gated(release(), start(), stages()).unwrap();
    policy().allows(&plan).unwrap();
    plan
}

/// The most starts in any span of `seconds`.
fn most_within(starts: &[(Time, usize)], seconds: i64) -> usize {
    let (mut first, mut most) = (0, 0);
    for (last, (time, _)) in starts.iter().enumerate() {
        while time.unix() - starts[first].0.unix() >= seconds {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[test]
fn a_good_release_reaches_everybody_and_never_too_many_at_once() {
    let world = World::new();
    let hosts: Vec<HostId> = world.hosts().collect();
    let roster = Roster::Hosts(hosts.iter().copied().collect());
    // One machine of the fleet sends 5,000 reports that it went back; 5,000 others do not exist; 5,000 machines claim the
    // failure of another release.
    let rolled_back = |host, release, n: i64| {
        let outcome = Outcome::RolledBack { cause: Cause::Boot, detail: n.to_string() };
        let time = start();
        Received { report: Report::new(host, release, None, time, outcome), received: Some(time) }
    };
    let invented = |n: u64| HostId::of(MachineId::new((u128::from(n) | 1 << 100).to_be_bytes()));
    let other = Release::new("container-host", "1.9").unwrap();
    let canary = hosts.iter().find(|h| gated().eligible_at(Position::of(**h, &release()), start())).unwrap();
    let lies = (0..5000).map(|n| rolled_back(*canary, release(), n));
    let lies = lies.chain((0..5000).map(|n| rolled_back(invented(n), release(), 0)));
    let lies = lies.chain(hosts[..5000].iter().map(|host| rolled_back(*host, other.clone(), 0)));
    let log = world.run(gated(), Some(&policy()), &roster, |_| Fate::Healthy, lies.collect());

    let raised: Vec<_> = log.actions.iter().map(|(_, action)| *action).collect();
    assert_eq!(raised, [2, 3, 4].map(|stage| Action::Raise { stage }));
    // Until the second stage was raised none but the canaries had started, and they had.
    let canaries = log.starts.iter().filter(|(time, _)| *time < log.actions[0].0).count();
    assert!((600..=1100).contains(&canaries), "{canaries} canaries started");
    let tenth = log.starts.iter().filter(|(time, _)| *time < log.actions[1].0).count();
    assert!((6_000..=10_500).contains(&tenth), "{tenth} machines of the first two stages started");
    // Everybody who can: 3 % never are online, of 1,000 clocks two are wrong by ten years, and some are switched off
    // whenever their window is open.
    let reached = log.starts.len();
    assert!((95_500..=97_300).contains(&reached), "{reached} started in all");
    assert!(log.starts.iter().all(|(_, machine)| !world.lost(*machine)));
    // A fifth of the fleet waits for the night from Friday to Saturday; even then no minute has more than 1 % of it.
    let minute = most_within(&log.starts, 60);
    assert!(minute <= 1_000, "{minute} started within a minute");
    let second = most_within(&log.starts, 1);
    assert!(second <= 100, "{second} started within a second");
    // No machine starts outside of its windows.
    assert!(log.starts.iter().all(|(time, machine)| world.may_be_disturbed(*machine, *time)));
}

/// Eligibility itself, counted machine by machine: what the plan of a peer got wrong.
#[test]
fn no_hour_makes_more_of_the_fleet_eligible_than_the_policy_allows() {
    let world = World::new();
    let plan = Plan::timetable(release(), start(), stages()).unwrap();
    let positions: Vec<_> = world.hosts().map(|host| Position::of(host, &release())).collect();
    let eligible = |time: Time| positions.iter().filter(|p| plan.eligible_at(**p, time)).count();
    let mut before = eligible(start().minus(Seconds::new(1)));
    assert_eq!(before, 0);
    let at_once = eligible(start());
    assert!((900..=1100).contains(&at_once), "{at_once} canaries");
    for hour in 0..=96 {
        let now = eligible(start().plus(Seconds::hours(hour)));
        assert!(now - before <= 2_400, "{} more in hour {hour}", now - before);
        before = now;
    }
    assert_eq!(before, FLEET);
    // The beginning of a ramp releases nobody, and the second in which a stage begins is like any other.
    for begin in plan.stages()[1..].iter().filter_map(|stage| stage.begin) {
        assert_eq!(eligible(begin), eligible(begin.minus(Seconds::new(1))));
        assert!(eligible(begin.plus(Seconds::minutes(1))) - eligible(begin) <= 80);
    }
}

#[test]
fn a_bad_release_stops_at_the_canaries() {
    let world = World::new();
    // One machine in five goes back.
    let fate = |machine| if mixed(machine, 1).is_multiple_of(5) { Fate::RollsBack } else { Fate::Healthy };
    let log = world.run(gated(), Some(&policy()), &Roster::Size(FLEET as u64), fate, Vec::new());
    assert!(matches!(log.plan.state(), State::Withdrawn { .. }), "{:?}", log.plan.state());
    let (stopped, _) = log.actions[0];
    assert!(stopped.since(start()) <= Seconds::hours(2), "stopped at {stopped}");
    assert!(log.starts.len() <= 1_000, "{} started", log.starts.len());
    let broken = log.starts.iter().filter(|(_, m)| mixed(*m, 1).is_multiple_of(5)).count();
    assert!((20..=220).contains(&broken), "{broken} went back");
}

#[test]
fn machines_that_never_come_back_stop_a_release_too() {
    let world = World::new();
    let fate = |machine| if mixed(machine, 2).is_multiple_of(4) { Fate::Dies } else { Fate::Healthy };
    let log = world.run(gated(), Some(&policy()), &Roster::Size(FLEET as u64), fate, Vec::new());
    assert!(matches!(log.plan.state(), State::Held { .. }), "{:?}", log.plan.state());
    assert!(log.starts.len() <= 1_100, "{} started", log.starts.len());
    // The patience is six hours.
    assert!(log.actions[0].0.since(start()) <= Seconds::hours(9));
}

#[test]
fn a_fault_of_one_machine_in_twenty_five_stops_before_the_half() {
    let world = World::new();
    let fate = |machine| if mixed(machine, 3).is_multiple_of(25) { Fate::RollsBack } else { Fate::Healthy };
    let log = world.run(gated(), Some(&policy()), &Roster::Size(FLEET as u64), fate, Vec::new());
    assert!(matches!(log.plan.state(), State::Held { .. }), "{:?}", log.plan.state());
    assert!(log.starts.len() <= 10_500, "{} started", log.starts.len());
}

/// The fleet is able to show harm: the same bad release, with nobody who reads the reports.
#[test]
fn without_a_controller_a_bad_release_reaches_everybody() {
    let world = World::new();
    let plan = Plan::timetable(release(), start(), stages()).unwrap();
    let log = world.run(plan, None, &Roster::Unknown, |_| Fate::RollsBack, Vec::new());
    assert!(log.starts.len() > 90_000, "{} started", log.starts.len());
}

/// A timetable with a controller: nobody reports, so the second stage is held as soon as it begins.
#[test]
fn a_timetable_without_reports_is_held() {
    let world = World::new();
    let plan = Plan::timetable(release(), start(), stages()).unwrap();
    let log = world.run(plan, Some(&policy()), &Roster::Size(FLEET as u64), |_| Fate::Mute, Vec::new());
    assert!(matches!(log.plan.state(), State::Held { .. }));
    assert!(log.starts.len() <= 1_800, "{} started", log.starts.len());
}

#[test]
fn other_releases_have_other_canaries() {
    let world = World::new();
    let canaries = |version: &str| -> Vec<HostId> {
        let release = Release::new("container-host", version).unwrap();
        let plan = Plan::gated(release.clone(), start(), stages()).unwrap();
        world.hosts().filter(|host| plan.eligible_at(Position::of(*host, &release), start())).collect()
    };
    let mut often: BTreeMap<HostId, usize> = BTreeMap::new();
    for version in 0..20 {
        for host in canaries(&format!("2.{version}")) {
            *often.entry(host).or_default() += 1;
        }
    }
    // Of 100,000 machines that are canary with 1 % each time: about 18,200 at least once in 20 releases, nobody always.
    assert!((17_500..=18_900).contains(&often.len()), "{} machines were canaries", often.len());
    assert!(often.values().max() <= Some(&6));
}
