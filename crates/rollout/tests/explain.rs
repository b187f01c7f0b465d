//! What people read about their machine.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

use jiff::tz::TimeZone;
use lazuli_rollout::{
    HostId, MachineId, Plan, Position, Release, Schedule, Seconds, Settings, Share, Situation, Stage,
    Standing, Time, Verdict, explain,
};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// The machine with the first id whose position in the rollout of 2.0 begins with these two digits of a percentage.
fn host(percent: u128) -> HostId {
    let mut hosts = (1_u128..).map(|n| HostId::of(MachineId::new(n.to_be_bytes())));
    let at = |host: &HostId| (u128::from(Position::of(*host, plan().release()).to_u64()) * 100) >> 64;
    hosts.find(|host| at(host) == percent).unwrap()
}

fn plan() -> Plan {
    let stages = vec![
        Stage::new(Share::percent(1), Seconds::ZERO, Seconds::hours(24)),
        Stage::new(Share::percent(50), Seconds::hours(24), Seconds::hours(24)),
        Stage::new(Share::ALL, Seconds::hours(24), Seconds::hours(24)),
    ];
    let release = Release::new("container-host", "2.0").unwrap();
    let plan = Plan::gated(release, time("2026-11-26T10:00:00Z"), stages).unwrap();
    plan.raise(time("2026-11-27T10:00:00Z")).unwrap()
}

fn schedule(toml: &str) -> Schedule {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    Schedule::in_zone(Settings::from_toml(toml).unwrap(), zone).unwrap()
}

fn text(percent: u128, plan: &Plan, toml: &str, standing: Standing) -> String {
    let schedule = schedule(toml);
    let now = time("2026-11-28T01:00:00Z");
    explain(&Situation { now, host: host(percent), plan, schedule: &schedule, standing }).text
}

const NIGHTS: &str = "[[window]]\ncalendar = \"22:00\"\nduration = \"6h\"";

#[test]
fn sentences() {
    let plan = plan();
    let offered = || Standing::Offered;
    insta::assert_snapshot!(text(0, &plan, "", offered()), @r#"container-host 2.0: this machine may take it now, because its wave position is 0.62 % and the plan has reached 31.625%"#);
    insta::assert_snapshot!(text(37, &plan, "", offered()), @r#"container-host 2.0: this machine becomes eligible in 2 h 54 min, at Sat 2026-11-28 04:53:34 CET, because its wave position is 37.53 % and the plan, now at 31.625%, reaches that at Sat 2026-11-28 04:53:34 CET"#);
    insta::assert_snapshot!(text(37, &plan, NIGHTS, offered()), @r#"container-host 2.0: this machine becomes eligible in 20 h 33 min, at Sat 2026-11-28 22:32:57 CET, because its wave position is 37.53 % and the plan, now at 31.625%, reaches that at Sat 2026-11-28 04:53:34 CET, and the next maintenance window opens at Sat 2026-11-28 22:00:00 CET, in which this machine starts at Sat 2026-11-28 22:32:57 CET"#);
    insta::assert_snapshot!(text(5, &plan, NIGHTS, offered()), @r#"container-host 2.0: this machine may take it now, because its wave position is 5.69 % and the plan has reached 31.625%, and the maintenance window is open until Sat 2026-11-28 04:00:00 CET"#);
    insta::assert_snapshot!(text(77, &plan, NIGHTS, offered()), @r#"container-host 2.0: this machine waits, because its wave position is 77.44 % and the stages that are raised so far end at 50%"#);
    let days = "[[window]]\ncalendar = \"Mon..Fri 12:00\"\nduration = \"2h\"";
    insta::assert_snapshot!(text(37, &plan.clone().with_urgent(true), days, offered()), @r#"container-host 2.0: this machine becomes eligible in 2 h 54 min, at Sat 2026-11-28 04:53:34 CET, because its wave position is 37.53 % and the plan, now at 31.625%, reaches that at Sat 2026-11-28 04:53:34 CET, and it is urgent and does not wait for a maintenance window"#);
    let fair = "[[blocked]]\nfrom = \"2026-11-28\"\nuntil = \"2026-12-03 18:00\"\nreason = \"trade fair\"";
    insta::assert_snapshot!(text(0, &plan, fair, offered()), @r#"container-host 2.0: this machine becomes eligible in 5 d 16 h, at Thu 2026-12-03 18:00:00 CET, because its wave position is 0.62 % and the plan has reached 31.625%, and updates are blocked until Thu 2026-12-03 18:00:00 CET (trade fair)"#);
    let never = "[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"\n[[blocked]]\ncalendar = \"Sat 00:00\"\nduration = \"2d\"";
    insta::assert_snapshot!(text(0, &plan, never, offered()), @r#"container-host 2.0: this machine waits, because its wave position is 0.62 % and the plan has reached 31.625%, and the maintenance windows and blocked periods of this machine leave no time for it"#);
    let held = plan.hold(time("2026-11-27T20:00:00Z"), "3 of 40 machines of stage 2 are in trouble").unwrap();
    insta::assert_snapshot!(text(0, &held, "", offered()), @r#"container-host 2.0: this machine waits, because the publisher holds it since Fri 2026-11-27 21:00:00 CET (3 of 40 machines of stage 2 are in trouble)"#);
    let gone = plan.withdraw(time("2026-11-27T20:00:00Z"), "it does not boot on some machines").unwrap();
    insta::assert_snapshot!(text(0, &gone, "", Standing::Staged), @r#"container-host 2.0: this machine does not take it, because the publisher withdrew it at Fri 2026-11-27 21:00:00 CET (it does not boot on some machines)"#);
    insta::assert_snapshot!(text(0, &plan, "", Standing::Staged), @r#"container-host 2.0: there is nothing to do, because it is staged and starts with the next restart"#);
    insta::assert_snapshot!(text(0, &plan, "", Standing::Installed), @r#"container-host 2.0: there is nothing to do, because it is what runs"#);
    insta::assert_snapshot!(text(0, &plan, "", Standing::Failed { reason: "containerd did not start".into() }), @r#"container-host 2.0: this machine does not take it, because it failed here before (containerd did not start)"#);
    insta::assert_snapshot!(text(0, &plan, "", Standing::TooOld { minimum: "2.1".into() }), @r#"container-host 2.0: this machine does not take it, because it is older than 2.1, the least that may run here"#);
}

#[test]
fn data() {
    let (plan, schedule) = (plan(), schedule(NIGHTS));
    let now = time("2026-11-28T01:00:00Z");
    let situation =
        Situation { now, host: host(37), plan: &plan, schedule: &schedule, standing: Standing::Offered };
    let explanation = explain(&situation);
    insta::assert_snapshot!(serde_json::to_string_pretty(&explanation).unwrap(), @r#"
    {
      "release": {
        "product": "container-host",
        "version": "2.0"
      },
      "now": "2026-11-28T01:00:00Z",
      "verdict": {
        "kind": "later",
        "at": "2026-11-28T21:32:57Z"
      },
      "reasons": [
        {
          "kind": "wave-later",
          "position": "37.53 %",
          "reached": "31.625%",
          "at": "2026-11-28T03:53:34Z"
        },
        {
          "kind": "window-later",
          "opens": "2026-11-28T21:00:00Z",
          "start": "2026-11-28T21:32:57Z"
        }
      ],
      "text": "container-host 2.0: this machine becomes eligible in 20 h 33 min, at Sat 2026-11-28 22:32:57 CET, because its wave position is 37.53 % and the plan, now at 31.625%, reaches that at Sat 2026-11-28 04:53:34 CET, and the next maintenance window opens at Sat 2026-11-28 22:00:00 CET, in which this machine starts at Sat 2026-11-28 22:32:57 CET"
    }
    "#);
}

/// What is promised comes true: at the instant that it names, and not a second before.
#[test]
fn a_promise_is_kept() {
    let plan = plan();
    for (percent, toml) in [
        (3, ""),
        (37, ""),
        (37, NIGHTS),
        (20, NIGHTS),
        (45, "[[blocked]]\ncalendar = \"Sun\"\nduration = \"1d\""),
    ] {
        let schedule = schedule(toml);
        let at = |now| {
            explain(&Situation {
                now,
                host: host(percent),
                plan: &plan,
                schedule: &schedule,
                standing: Standing::Offered,
            })
            .verdict
        };
        let Verdict::Later { at: promised } = at(time("2026-11-27T10:00:01Z")) else { panic!("{percent}") };
        assert_eq!(at(promised), Verdict::Now {});
        assert_eq!(at(promised.minus(Seconds::new(1))), Verdict::Later { at: promised });
    }
}
