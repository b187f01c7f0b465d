//! Reports of hosts, rollout plans, settings of hosts: what comes over the network and out of files that people write.
#![no_main]

use lazuli_rollout::report::Received;
use lazuli_rollout::{Calendar, Plan, Policy, Position, Seconds, Settings, Share, Time, Turn};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(received) = Received::from_json(bytes) {
        let line = received.report.to_line().expect("a report that was read can be written");
        assert_eq!(Received::from_json(&line).expect("and read again").report, received.report);
    }
    if let Ok(plan) = Plan::from_json(bytes) {
        let json = plan.to_json().expect("a plan that was read can be written");
        assert_eq!(Plan::from_json(&json).expect("and read again"), plan);
        for number in [0, u64::MAX / 100, u64::MAX / 2, u64::MAX] {
            let position = Position::from_u64(number);
            if let Turn::From(at) = plan.turn(position) {
                assert!(plan.eligible_at(position, at));
            }
        }
        let _ = plan.fastest(Seconds::hours(1));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Policy::from_toml(text);
        let _ = Settings::from_toml(text);
        let _ = (text.parse::<Time>(), text.parse::<Share>(), text.parse::<Seconds>());
        if let Ok(calendar) = text.parse::<Calendar>() {
            assert_eq!(calendar.to_string().parse().as_ref(), Ok(&calendar));
        }
    }
});
