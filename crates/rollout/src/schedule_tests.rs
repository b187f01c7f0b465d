use super::*;
use crate::wave::MachineId;
use proptest::prelude::*;

fn schedule(toml: &str) -> Schedule {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    Schedule::in_zone(Settings::from_toml(toml).unwrap(), zone).unwrap()
}

fn host(n: u8) -> HostId {
    HostId::of(MachineId::new([n; 16]))
}

fn release() -> Release {
    Release::new("container-host", "2.0").unwrap()
}

fn start(schedule: &Schedule, from: &str) -> Option<String> {
    schedule.next_start(host(1), &release(), false, from.parse().unwrap()).map(|t| t.to_string())
}

const NO_SPREAD: &str = "spread = \"0s\"\nneeds = \"15min\"\n";

#[test]
fn a_window_over_midnight() {
    let s = schedule(&format!("{NO_SPREAD}[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\""));
    // Saturday 2026-11-28 22:00 CET is 21:00 UTC; the last start is 01:45 CET on Sunday.
    for (from, expected) in [
        ("2026-11-27T10:00:00Z", "2026-11-28T21:00:00Z"),
        ("2026-11-28T21:00:00Z", "2026-11-28T21:00:00Z"),
        ("2026-11-28T23:30:00Z", "2026-11-28T23:30:00Z"),
        ("2026-11-29T00:45:00Z", "2026-11-29T00:45:00Z"),
        ("2026-11-29T00:45:01Z", "2026-12-05T21:00:00Z"),
    ] {
        assert_eq!(start(&s, from).as_deref(), Some(expected), "{from}");
    }
}

#[test]
fn a_window_lasts_as_long_over_a_change_of_the_clocks() {
    // 22:00 CET, then clocks go from 02:00 to 03:00: seven hours later it is 06:00 and not 05:00.
    let s = schedule(&format!("{NO_SPREAD}[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"7h\""));
    let opening = s.opening(host(1), &release(), "2027-03-27T12:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(opening.opens.to_string(), "2027-03-27T21:00:00Z");
    assert_eq!(opening.closes.to_string(), "2027-03-28T04:00:00Z");
}

#[test]
fn blocked_periods_beat_windows_and_urgency() {
    let s = schedule(&format!(
        "{NO_SPREAD}[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"\n\
         [[blocked]]\nfrom = \"2026-11-28\"\nuntil = \"2026-12-05\"\nreason = \"fair\"\n\
         [[blocked]]\ncalendar = \"*-12-24 00:00\"\nduration = \"3d\""
    ));
    // 5 December is blocked until its end; at 00:00 the window of that Saturday is still open.
    assert_eq!(start(&s, "2026-11-27T10:00:00Z").unwrap(), "2026-12-05T23:00:00Z");
    let urgent =
        |from: &str| s.next_start(host(1), &release(), true, from.parse().unwrap()).unwrap().to_string();
    assert_eq!(urgent("2026-11-27T10:00:00Z"), "2026-11-27T10:00:00Z");
    // 15 minutes before the block it would not be done in time.
    assert_eq!(urgent("2026-11-27T22:45:00Z"), "2026-11-27T22:45:00Z");
    assert_eq!(urgent("2026-11-27T22:45:01Z"), "2026-12-05T23:00:00Z");
    assert_eq!(urgent("2026-12-25T00:00:00Z"), "2026-12-26T23:00:00Z");
    let closed = s.blocked("2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(closed.reason.as_deref(), Some("fair"));
}

#[test]
fn an_owner_may_keep_urgent_releases_in_the_window() {
    let s = schedule("urgent = \"in-window\"\n[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"");
    assert!(s.waits(true));
}

#[test]
fn without_windows_any_time_is_good() {
    assert_eq!(start(&schedule(""), "2026-11-27T10:00:01Z").unwrap(), "2026-11-27T10:00:01Z");
}

#[test]
fn settings_that_never_allow_anything_end() {
    let s = schedule(
        "[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"\n[[blocked]]\ncalendar = \"Sat 00:00\"\nduration = \"2d\"",
    );
    assert_eq!(start(&s, "2026-11-27T10:00:00Z"), None);
}

#[test]
fn wrong_settings_say_what_is_wrong() {
    for (toml, word) in [
        ("spred = \"1h\"", "spred"),
        ("check-every = \"5s\"", "1min"),
        ("needs = \"2d\"", "needs"),
        ("[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"10min\"", "needs"),
        ("[[window]]\ncalendar = \"*-02-30\"\nduration = \"1h\"", "never comes"),
        ("[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"32d\"", "31d"),
        ("[[window]]\ncalendar = \"Sat 25:00\"\nduration = \"1h\"", "0 to 23"),
        ("[[blocked]]\nfrom = \"2026-12-20\"", "either"),
        ("[[blocked]]\nfrom = \"2026-12-20\"\nuntil = \"2026-12-19\"", "not after"),
        ("[[blocked]]\nfrom = \"soon\"\nuntil = \"2026-12-19\"", "not a date"),
    ] {
        let error = Settings::from_toml(toml).and_then(|s| Schedule::in_zone(s, TimeZone::UTC)).unwrap_err();
        assert!(error.to_string().contains(word), "{toml}: {error}");
    }
    let nowhere = Settings { time_zone: "Nowhere/Land".into(), ..Settings::default() };
    assert!(Schedule::new(nowhere).unwrap_err().to_string().contains("Nowhere/Land"));
}

#[test]
fn hosts_start_at_different_moments_of_a_window() {
    let s = schedule("spread = \"1h\"\n[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"");
    let from = "2026-11-27T10:00:00Z".parse().unwrap();
    let opens = s.opening(host(0), &release(), from).unwrap().opens;
    let offsets: Vec<u64> = (0..=255)
        .map(|n| s.next_start(host(n), &release(), false, from).unwrap().since(opens).get())
        .collect();
    assert!(offsets.iter().all(|o| *o <= 3600));
    // In no ten minutes more than twice of what an even spread gives.
    for begin in (0..3600).step_by(600) {
        let count = offsets.iter().filter(|o| (begin..begin + 600).contains(*o)).count();
        assert!((15..=86).contains(&count), "{count} of 256 from {begin} on");
    }
}

proptest! {
    /// What is found is open, is not before the instant asked for, and nothing better lies in between.
    #[test]
    fn the_next_start_is_the_first(unix in 1_790_000_000..1_830_000_000_i64, n: u8, probe in 0.0..1.0_f64) {
        let s = schedule(
            "[[window]]\ncalendar = \"Sat 22:00\"\nduration = \"4h\"\n[[window]]\ncalendar = \"Wed 01:30\"\nduration = \"2h\"\n\
             [[blocked]]\ncalendar = \"*-*~3\"\nduration = \"3d\"",
        );
        let (from, release) = (Time::from_unix(unix), release());
        let found = s.next_start(host(n), &release, false, from).unwrap();
        prop_assert!(found >= from);
        prop_assert!(s.blocked(found).is_none());
        let opening = s.opening(host(n), &release, found).unwrap();
        prop_assert!(opening.opens <= found && opening.start <= found && found <= opening.last);
        let between = Time::from_unix(unix + (found.since(from).get() as f64 * probe) as i64);
        prop_assert_eq!(s.next_start(host(n), &release, false, between), Some(found));
    }

    #[test]
    fn checks_come_at_the_interval(unix in 0..4_000_000_000_i64, n: u8) {
        let s = schedule("check-every = \"1h\"");
        let first = s.next_check(host(n), Time::from_unix(unix));
        prop_assert!((unix + 1..=unix + 3600).contains(&first.unix()));
        prop_assert_eq!(s.next_check(host(n), first).since(first), Seconds::hours(1));
    }
}
