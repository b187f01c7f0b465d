//! Laws of waves and plans.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

use lazuli_rollout::{HostId, MachineId, Plan, Position, Release, Seconds, Share, Stage, State, Time, Turn};
use proptest::prelude::*;

fn release(version: &str) -> Release {
    Release::new("container-host", version).unwrap()
}

fn host(n: u64) -> HostId {
    HostId::of(MachineId::new((u128::from(n) + 1).to_be_bytes()))
}

fn start() -> Time {
    "2026-11-27T10:00:00Z".parse().unwrap()
}

/// Plans with one to six stages, some of them not raised, with gaps between some.
fn plans() -> impl Strategy<Value = Plan> {
    let stage = (1..200_000_u32, 0..200_000_u64, 0..100_000_u64, 0..50_000_u64);
    (proptest::collection::vec(stage, 1..7), 1..7_usize).prop_map(|(stages, raised)| {
        let (mut share, mut begin) = (0, start());
        let stages: Vec<_> = stages
            .iter()
            .enumerate()
            .map(|(index, (more, ramp, rest, gap))| {
                share = (share + more).min(1_000_000 - 6 + index as u32);
                let length = Seconds::new(ramp + rest);
                let mut stage = Stage::new(Share::from_millionths(share), Seconds::new(*ramp), length);
                stage.begin = (index < raised).then_some(begin);
                begin = begin.plus(Seconds::new(length.get() + gap));
                stage
            })
            .collect();
        let plan = serde_json::json!({
            "format": 1, "release": release("2.0"), "revision": 1, "state": {"kind": "raised"}, "stages": stages
        });
        Plan::from_json(plan.to_string().as_bytes()).unwrap()
    })
}

/// Instants from a little before the start to well after the last stage, often at a border.
fn instant(plan: &Plan, (stage, edge, shift, anywhere): (usize, u8, i64, u64)) -> Time {
    let stage = &plan.stages()[stage % plan.stages().len()];
    let begin = stage.begin.unwrap_or(start());
    let base = match edge {
        0 => begin,
        1 => begin.plus(stage.ramp),
        2 => begin.plus(stage.length),
        _ => start().plus(Seconds::new(anywhere)),
    };
    Time::from_unix(base.unix() + shift)
}

fn moments() -> impl Strategy<Value = (usize, u8, i64, u64)> {
    (0..6_usize, 0..4_u8, -2..3_i64, 0..2_000_000_u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whoever is eligible stays so, and whoever stands in front of an eligible machine is eligible too.
    #[test]
    fn eligibility_only_grows(plan in plans(), a in moments(), b in moments(), p: u64, q: u64) {
        let (a, b) = (instant(&plan, a), instant(&plan, b));
        let (earlier, later) = (a.min(b), a.max(b));
        let (front, back) = (Position::from_u64(p.min(q)), Position::from_u64(p.max(q)));
        prop_assert!(!plan.eligible_at(back, earlier) || plan.eligible_at(back, later));
        prop_assert!(!plan.eligible_at(back, earlier) || plan.eligible_at(front, earlier));
        prop_assert!(plan.reach(earlier) <= plan.reach(later));
    }

    /// The second that a machine is told is the first in which it is eligible.
    #[test]
    fn a_turn_is_exact(plan in plans(), p: u64, moment in moments()) {
        let position = Position::from_u64(p);
        match plan.turn(position) {
            Turn::From(at) => {
                prop_assert!(plan.eligible_at(position, at));
                prop_assert!(!plan.eligible_at(position, at.minus(Seconds::new(1))));
            }
            Turn::NotRaised(_) => prop_assert!(!plan.eligible_at(position, instant(&plan, moment))),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// At both ends of a ramp the share is what the stage says, and half-way it is half of it, to a millionth.
    #[test]
    fn stages_reach_what_they_say(plan in plans()) {
        for (index, stage) in plan.stages().iter().enumerate() {
            let Some(begin) = stage.begin else { continue };
            let (before, after) = (plan.share_before(index).millionths(), stage.share.millionths());
            let share = |time| plan.reach(time).share().millionths();
            prop_assert_eq!(share(begin.minus(Seconds::new(1))).min(before), share(begin.minus(Seconds::new(1))));
            prop_assert_eq!(share(begin.plus(stage.ramp)), after);
            if stage.ramp > Seconds::ZERO {
                prop_assert_eq!(share(begin), before);
                let half = begin.plus(Seconds::new(stage.ramp.get() / 2));
                let tolerance = 1 + (after - before) / stage.ramp.get().min(1 << 30) as u32;
                prop_assert!(share(half).abs_diff(u32::midpoint(before, after)) <= tolerance);
            }
        }
    }

    /// No span of any length, wherever it begins, sees more than `fastest` says.
    #[test]
    fn fastest_is_the_most(plan in plans(), span in 1..200_000_u64, moment in moments()) {
        let span = Seconds::new(span);
        let from = instant(&plan, moment);
        let seen = plan.reach(from.plus(span)).share().millionths() - plan.reach(from).share().millionths();
        // Both shares are rounded down.
        prop_assert!(seen <= plan.fastest(span).millionths() + 1);
    }

    /// While it is held nobody starts; taken up again, the share is where it was, goes on, and ends at the same.
    #[test]
    fn a_hold_releases_nothing(plan in plans(), moment in moments(), wait in 0..1_000_000_u64, p: u64) {
        let since = instant(&plan, moment).max(start());
        let held = plan.hold(since, "a look at failures").unwrap();
        let position = Position::from_u64(p);
        prop_assert!(!held.eligible_at(position, since));
        prop_assert_eq!(held.turn(position), Turn::Held);
        let now = since.plus(Seconds::new(wait));
        let again = held.resume(now).unwrap();
        prop_assert_eq!(again.reach(now), plan.reach(since));
        for later in [0, 1, 59, 3600, 86_400, 10_000_000].map(Seconds::new) {
            prop_assert_eq!(again.reach(now.plus(later)), plan.reach(since.plus(later)));
        }
        prop_assert_eq!(again.revision(), plan.revision() + 2);
    }

    /// However late a stage is raised, it begins where the one before it ended.
    #[test]
    fn a_late_raise_releases_nothing_at_once(late in 0..10_000_000_u64, p: u64) {
        let stages = vec![
            Stage::new(Share::percent(1), Seconds::ZERO, Seconds::hours(24)),
            Stage::new(Share::percent(50), Seconds::hours(48), Seconds::hours(48)),
            Stage::new(Share::ALL, Seconds::hours(48), Seconds::hours(48)),
        ];
        let plan = Plan::gated(release("2.0"), start(), stages).unwrap();
        let now = start().plus(Seconds::new(86_400 + late));
        let raised = plan.raise(now).unwrap();
        prop_assert_eq!(raised.reach(now).share(), Share::percent(1));
        let position = Position::from_u64(p);
        prop_assert_eq!(plan.eligible_at(position, now), raised.eligible_at(position, now));
        prop_assert!(raised.raise(now).is_err());
    }
}

#[test]
fn what_was_withdrawn_stays_so() {
    let stages = vec![Stage::new(Share::ALL, Seconds::hours(1), Seconds::hours(1))];
    let plan = Plan::gated(release("2.0"), start(), stages).unwrap();
    assert!(plan.resume(start()).unwrap_err().to_string().contains("not held"));
    let gone = plan.withdraw(start(), "it does not boot").unwrap();
    assert!(matches!(gone.state(), State::Withdrawn { .. }));
    assert_eq!(gone.turn(Position::from_u64(0)), Turn::Withdrawn);
    for result in [gone.raise(start()), gone.resume(start()), gone.hold(start(), "x")] {
        assert!(result.unwrap_err().to_string().contains("final"));
    }
    assert_eq!(gone.withdraw(start(), "again").unwrap(), gone);
    assert!(plan.hold(start(), "two\nlines").is_err());
}

/// How far the positions of `count` machines are from even: the statistic of Kolmogorov and Smirnov, times the root of
/// the count.
fn unevenness(version: &str, count: u64) -> f64 {
    let release = release(version);
    let mut positions: Vec<f64> =
        (0..count).map(|n| Position::of(host(n), &release).to_u64() as f64 / 2_f64.powi(64)).collect();
    positions.sort_by(f64::total_cmp);
    let n = count as f64;
    let distance = |(i, p): (usize, &f64)| ((i as f64 + 1.0) / n - p).max(p - i as f64 / n);
    positions.iter().enumerate().map(distance).fold(0.0, f64::max) * n.sqrt()
}

#[test]
fn positions_are_even() {
    // Machine ids that differ in few bits, as bad generators make them. 1.95 is exceeded once in a thousand times.
    for version in ["1.0", "1.1", "2.0", "2.0.1", "3.0-rc1"] {
        let distance = unevenness(version, 20_000);
        assert!(distance < 1.95, "{version}: {distance}");
    }
}

#[test]
fn releases_are_independent() {
    // 10 by 10 fields of positions in two releases; with 81 degrees of freedom the statistic of the test for
    // independence exceeds 126 once in a thousand times.
    let (a, b) = (release("2.0"), release("2.1"));
    let mut table = [[0_u32; 10]; 10];
    let decile = |host, release| ((u128::from(Position::of(host, release).to_u64()) * 10) >> 64) as usize;
    for n in 0..50_000 {
        table[decile(host(n), &a)][decile(host(n), &b)] += 1;
    }
    let row = |i: usize| f64::from(table[i].iter().sum::<u32>());
    let column = |j: usize| table.iter().map(|row| f64::from(row[j])).sum::<f64>();
    let mut chi = 0.0;
    for (i, counts) in table.iter().enumerate() {
        for (j, count) in counts.iter().enumerate() {
            let expected = row(i) * column(j) / 50_000.0;
            chi += (f64::from(*count) - expected).powi(2) / expected;
        }
    }
    assert!(chi < 126.0, "{chi}");
}
