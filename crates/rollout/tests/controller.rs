//! What reports do to a release: evidence, decisions, and the command over files.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

use lazuli_rollout::command::{Order, Request, run};
use lazuli_rollout::report::{Cause, Obstacle, Outcome, Received};
use lazuli_rollout::{
    Action, Collector, Decision, Evidence, HostId, MachineId, Plan, Policy, Position, Release, Report,
    Roster, Seconds, Share, Stage, State, Time, decide,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn release() -> Release {
    Release::new("container-host", "2.0").unwrap()
}

fn start() -> Time {
    "2026-11-27T10:00:00Z".parse().unwrap()
}

fn after(hours: u64) -> Time {
    start().plus(Seconds::hours(hours))
}

fn plan() -> Plan {
    let stages = vec![
        Stage::new(Share::percent(10), Seconds::hours(12), Seconds::hours(24)),
        Stage::new(Share::ALL, Seconds::hours(24), Seconds::hours(24)),
    ];
    Plan::gated(release(), start(), stages).unwrap()
}

/// Hosts of the first stage, as many as one likes.
fn canaries() -> impl Iterator<Item = HostId> {
    let hosts = (1_u128..).map(|n| HostId::of(MachineId::new(n.to_be_bytes())));
    hosts.filter(|host| plan().stage_of(Position::of(*host, &release())) == Some(0))
}

fn received(host: HostId, at: Time, outcome: Outcome) -> Received {
    Received { report: Report::new(host, release(), None, at, outcome), received: Some(at) }
}

fn healthy() -> Outcome {
    Outcome::Healthy {}
}

fn rolled_back() -> Outcome {
    Outcome::RolledBack { cause: Cause::Health, detail: String::new() }
}

fn failed() -> Outcome {
    Outcome::Failed { cause: Obstacle::Download, detail: String::new() }
}

fn evidence(plan: &Plan, roster: &Roster, now: Time, reports: &[Received]) -> Evidence {
    let mut collector = Collector::new(plan, roster, now);
    for report in reports {
        collector.add(report);
    }
    collector.finish(Policy::default().patience)
}

/// The decision about so many canaries with each outcome, after so many hours.
fn judged(outcomes: &[(usize, Outcome)], hours: u64, roster: &Roster) -> Decision {
    let outcomes = outcomes.iter().flat_map(|(count, outcome)| std::iter::repeat_n(outcome, *count));
    let reports: Vec<_> =
        canaries().zip(outcomes).map(|(host, outcome)| received(host, after(1), outcome.clone())).collect();
    let evidence = evidence(&plan(), roster, after(hours), &reports);
    decide(&plan(), &Policy::default(), &evidence, after(hours)).unwrap()
}

#[test]
fn decisions() {
    let updated = || Outcome::Updated {};
    for (outcomes, hours, action) in [
        (vec![(100, healthy())], 24, Action::Raise { stage: 2 }),
        // Too early, too few, too few to show anything.
        (vec![(100, healthy())], 23, Action::Keep {}),
        (vec![(49, healthy())], 24, Action::Keep {}),
        (vec![(55, healthy())], 24, Action::Keep {}),
        // One failure of three, or of sixty, is no verdict; of a hundred it is no obstacle.
        (vec![(2, healthy()), (1, rolled_back())], 24, Action::Keep {}),
        (vec![(59, healthy()), (1, rolled_back())], 24, Action::Keep {}),
        (vec![(99, healthy()), (1, rolled_back())], 24, Action::Raise { stage: 2 }),
        // Three of three are one.
        (vec![(3, rolled_back())], 13, Action::Hold {}),
        (vec![(94, healthy()), (6, rolled_back())], 13, Action::Hold {}),
        (vec![(5, rolled_back())], 13, Action::Withdraw {}),
        (vec![(70, healthy()), (30, rolled_back())], 13, Action::Withdraw {}),
        // Failed attempts and silence hold, whatever their number, but do not withdraw.
        (vec![(100, failed())], 13, Action::Hold {}),
        (vec![(100, updated())], 8, Action::Hold {}),
        // Six hours have not passed yet.
        (vec![(100, updated())], 7, Action::Keep {}),
    ] {
        let decision = judged(&outcomes, hours, &Roster::Unknown);
        assert_eq!(decision.action, action, "{outcomes:?} after {hours} h: {:?}", decision.reasons);
        assert_eq!(decision.plan.is_some(), action != Action::Keep {});
        assert!(!decision.reasons.is_empty());
    }
}

#[test]
fn most_of_a_stage_has_to_answer_where_the_fleet_is_known() {
    // A tenth of 3,000 machines is 300; half of them are 150.
    let of = |count| judged(&[(count, healthy())], 24, &Roster::Size(3000)).action;
    assert_eq!(of(149), Action::Keep {});
    assert_eq!(of(150), Action::Raise { stage: 2 });
    // Of a stage of seven machines all seven are enough, if the list of hosts says that there are no more.
    let hosts: BTreeSet<_> = canaries().take(7).collect();
    let of = |count| judged(&[(count, healthy())], 24, &Roster::Hosts(hosts.clone())).action;
    assert_eq!(of(6), Action::Keep {});
    assert_eq!(of(7), Action::Raise { stage: 2 });
}

#[test]
fn more_machines_than_a_stage_can_have_hold_a_release() {
    // A tenth of 500 machines is 50. Inventing hosts takes no more than trying.
    let decision = judged(&[(60, healthy())], 13, &Roster::Size(500));
    assert_eq!(decision.action, Action::Keep {});
    let decision = judged(&[(120, healthy())], 13, &Roster::Size(500));
    assert_eq!(decision.action, Action::Hold {});
    assert!(decision.reasons[0].contains("invented"), "{:?}", decision.reasons);
}

#[test]
fn a_machine_counts_once_and_its_rollback_stays() {
    let host = canaries().next().unwrap();
    let mut reports = vec![received(host, after(1), rolled_back())];
    reports.extend(
        (0..5000)
            .map(|n| received(host, after(1 + n % 9), if n % 2 == 0 { healthy() } else { rolled_back() })),
    );
    let evidence = evidence(&plan(), &Roster::Unknown, after(13), &reports);
    assert_eq!((evidence.stages[0].settled(), evidence.stages[0].rolled_back), (1, 1));
    assert!(evidence.ignored.repeated >= 4990);
}

#[test]
fn what_does_not_count() {
    let host = canaries().next().unwrap();
    let late = (1_u128..1000)
        .map(|n| HostId::of(MachineId::new(n.to_be_bytes())))
        .find(|h| plan().stage_of(Position::of(*h, &release())) == Some(1))
        .unwrap();
    let mut other = received(host, after(1), rolled_back());
    other.report.release = Release::new("container-host", "2.0.1").unwrap();
    let stranger = canaries().nth(1).unwrap();
    let roster = Roster::Hosts([host, late].into());
    let plan = plan();
    let mut collector = Collector::new(&plan, &roster, after(13)).since(Some(after(2)));
    collector.add(&other);
    collector.add(&received(host, after(1), rolled_back()));
    collector.add(&received(stranger, after(3), rolled_back()));
    collector.add(&received(late, after(3), rolled_back()));
    collector.malformed();
    let evidence = collector.finish(Seconds::hours(6));
    let i = evidence.ignored;
    assert_eq!((i.other_release, i.old, i.unknown_host, i.out_of_turn, i.malformed), (1, 1, 1, 1, 1));
    assert_eq!(evidence.total().settled(), 0);
    assert_eq!(evidence.stages[0].machines, Some(1));
}

/// The clock of a host is believed only where it can be right.
#[test]
fn silence_goes_by_a_clock_that_can_be_believed() {
    let host = canaries().next().unwrap();
    let silent = |time: Time, received: Option<Time>| {
        let report = Report::new(host, release(), None, time, Outcome::Updated {});
        let evidence = evidence(&plan(), &Roster::Unknown, after(20), &[Received { report, received }]);
        evidence.stages[0].silent
    };
    assert_eq!(silent(after(1), None), 1);
    assert_eq!(silent(after(19), None), 0);
    // Ten years behind and ahead.
    assert_eq!(silent(Time::from_unix(1_480_000_000), None), 0);
    assert_eq!(silent(Time::from_unix(2_111_000_000), None), 0);
    // The collector knows better.
    assert_eq!(silent(after(19), Some(after(1))), 1);
    assert_eq!(silent(after(1), Some(after(19))), 0);
}

#[test]
fn a_held_release_waits_for_a_person_but_may_still_be_withdrawn() {
    let held = plan().hold(after(5), "a look").unwrap();
    let reports: Vec<_> = canaries().take(100).map(|host| received(host, after(1), healthy())).collect();
    let good = evidence(&held, &Roster::Unknown, after(30), &reports);
    let decision = decide(&held, &Policy::default(), &good, after(30)).unwrap();
    assert_eq!(decision.action, Action::Keep {});
    let reports: Vec<_> = canaries().take(100).map(|host| received(host, after(1), rolled_back())).collect();
    let bad = evidence(&held, &Roster::Unknown, after(30), &reports);
    let decision = decide(&held, &Policy::default(), &bad, after(30)).unwrap();
    assert_eq!(decision.action, Action::Withdraw {});
    let gone = decision.plan.unwrap();
    assert_eq!(decide(&gone, &Policy::default(), &good, after(31)).unwrap().action, Action::Keep {});
}

#[test]
fn a_policy_forbids_a_plan_that_releases_much_at_once() {
    let policy = Policy::default();
    let plan = |stages| Plan::gated(release(), start(), stages).unwrap();
    let step = plan(vec![Stage::new(Share::percent(40), Seconds::ZERO, Seconds::hours(24))]);
    let error = policy.allows(&step).unwrap_err().to_string();
    assert!(error.contains("40%") && error.contains("10%"), "{error}");
    // Many small steps within an hour are one large one, and a ramp of a second is a step.
    let steps = (1..=30).map(|n| Stage::new(Share::percent(n), Seconds::ZERO, Seconds::minutes(1))).collect();
    assert!(policy.allows(&plan(steps)).is_err());
    let second = Seconds::new(1);
    assert!(policy.allows(&plan(vec![Stage::new(Share::percent(40), second, second)])).is_err());
    assert!(
        policy
            .allows(&plan(vec![Stage::new(Share::percent(40), Seconds::hours(4), Seconds::hours(4))]))
            .is_ok()
    );
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(healthy()),
        Just(rolled_back()),
        Just(failed()),
        Just(Outcome::RolledBack { cause: Cause::Boot, detail: String::new() }),
        Just(Outcome::Updated {}),
    ]
}

proptest! {
    /// The order of reports and repetitions of them change nothing but the count of repetitions.
    #[test]
    fn order_and_replays_do_not_matter(
        reports in proptest::collection::vec((0..12_usize, 0..20_u64, outcomes()), 0..60),
        seed: u64,
    ) {
        let hosts: Vec<_> = canaries().take(12).collect();
        let reports: Vec<_> =
            reports.into_iter().map(|(host, hour, outcome)| received(hosts[host], after(hour), outcome)).collect();
        let mut shuffled: Vec<_> = reports.iter().chain(&reports).cloned().collect();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        let once = evidence(&plan(), &Roster::Unknown, after(20), &reports);
        let twice = evidence(&plan(), &Roster::Unknown, after(20), &shuffled);
        prop_assert_eq!(once.stages, twice.stages);
    }

    /// A machine more that went back never makes a decision milder, and one host moves one vote.
    #[test]
    fn failures_never_help(good in 0..200_usize, bad in 0..40_usize) {
        let severity = |bad| match judged(&[(bad, rolled_back()), (good, healthy())], 24, &Roster::Unknown).action {
            Action::Raise { .. } => 0,
            Action::Keep {} | Action::Resume {} => 1,
            Action::Hold {} => 2,
            Action::Withdraw {} => 3,
        };
        // Up to 59 votes another one of any kind may be what was missing.
        prop_assert!(good + bad < 60 || severity(bad) <= severity(bad + 1));
    }
}

/// The command over files, as a publisher runs it every hour.
#[test]
fn the_command() {
    let dir = tempfile::tempdir().unwrap();
    let (file, reports) = (dir.path().join("plan.json"), dir.path().join("reports"));
    lazuli_fs::write(&file, plan().to_json().unwrap()).unwrap();
    lazuli_fs::create_dir_all(&reports).unwrap();
    let line = |host, outcome| {
        String::from_utf8(received(host, after(1), outcome).report.to_line().unwrap()).unwrap()
    };
    let mut lines: String = canaries().take(99).map(|host| line(host, healthy())).collect();
    lines.push_str("rubbish\n\n");
    lines.push_str(&format!("{{\"format\":1,\"host\":\"{}\"}}\n", "x".repeat(100_000)));
    lazuli_fs::write(reports.join("a.jsonl"), &lines).unwrap();
    // Without a line end.
    let last = line(canaries().nth(99).unwrap(), healthy());
    lazuli_fs::write(reports.join("b.json"), last.trim_end()).unwrap();
    lazuli_fs::write(reports.join(".c.json"), line(canaries().nth(100).unwrap(), rolled_back())).unwrap();
    lazuli_fs::write(reports.join("notes.txt"), "nothing").unwrap();

    let request =
        Request { plan: file.clone(), reports: vec![reports], now: Some(after(24)), ..Request::default() };
    let dry = run(&request).unwrap();
    insta::assert_snapshot!(dry.text(), @r#"
    container-host 2.0 is raised to stage 2; 10% of the fleet may take it
      100 of 100 machines of stage 1 are healthy and it has lasted its time
      stage 1: 100 healthy, 0 rolled back, 0 failed, 0 silent, 0 pending
      reports that do not count: 2 not readable
      revision 2 of the plan is not written; `--write` does that
    "#);
    assert_eq!(Plan::from_json(&lazuli_fs::read(&file).unwrap()).unwrap(), plan());

    let wet = run(&Request { write: true, ..request.clone() }).unwrap();
    assert!(wet.written && wet.decision.action == Action::Raise { stage: 2 });
    assert_eq!(serde_json::to_value(&wet).unwrap()["action"]["kind"], "raise");
    let raised = Plan::from_json(&lazuli_fs::read(&file).unwrap()).unwrap();
    assert_eq!((raised.revision(), raised.stages()[1].begin), (2, Some(after(24))));
    // The next run has nothing to do.
    assert_eq!(run(&Request { write: true, ..request.clone() }).unwrap().decision.action, Action::Keep {});

    let order = |order, hour| {
        let request = Request { order: Some(order), now: Some(after(hour)), write: true, ..request.clone() };
        run(&request).map_err(|e| e.to_string())
    };
    insta::assert_snapshot!(order(Order::Hold("a look at node 7".into()), 30).unwrap().text(), @r#"
    container-host 2.0 is held; no machine may begin to take it (its stages reach 32.5%)
      a person decided it
      stage 1: 100 healthy, 0 rolled back, 0 failed, 0 silent, 0 pending
      stage 2: 0 healthy, 0 rolled back, 0 failed, 0 silent, 0 pending
      reports that do not count: 2 not readable
      revision 3 of the plan is written; sign and publish it
    "#);
    assert!(order(Order::Raise, 31).unwrap_err().contains("take it up again"));
    order(Order::Resume, 40).unwrap();
    order(Order::Withdraw("it eats disks".into()), 41).unwrap();
    let plan = Plan::from_json(&lazuli_fs::read(&file).unwrap()).unwrap();
    assert!(matches!(plan.state(), State::Withdrawn { .. }) && plan.revision() == 5);
    assert!(order(Order::Resume, 42).unwrap_err().contains("final"));

    let missing = run(&Request { plan: dir.path().join("none.json"), ..Request::default() }).unwrap_err();
    assert!(missing.to_string().contains("none.json"));
    lazuli_fs::write(&file, "{}").unwrap();
    assert!(run(&request).unwrap_err().to_string().contains("plan.json"));
}
