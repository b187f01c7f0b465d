//! The soak: looks at the checks until the running image is kept or given up.

use crate::health::{Check, look};
use crate::settings::Health;
use lazuli_layout::{Outcome, Soak, Verdict};
use std::time::Duration;

/// Time as the soak sees it.
pub trait Clock {
    /// Since the start of the kernel, sleep included; nobody sets it.
    fn uptime(&self) -> Duration;
    /// Waits.
    fn wait(&self, time: Duration);
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Clock for Machine {
    fn uptime(&self) -> Duration {
        // "SECONDS.HUNDREDTHS IDLE"; the wall clock may be ten years off.
        let text = lazuli_fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
        Duration::from_secs_f64(seconds.unwrap_or(0.0))
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Looks until there is a verdict: `Ok` to keep the image, or why it is given up.
pub fn soak(checks: &[Check], health: &Health, clock: &impl Clock) -> Result<(), String> {
    soak_with(health, clock, &mut || look(checks, Duration::from_secs(health.timeout)))
}

fn soak_with(health: &Health, clock: &impl Clock, look: &mut dyn FnMut() -> Outcome) -> Result<(), String> {
    let gate = health.gate();
    let mut soak = Soak::default();
    let mut last = None;
    loop {
        let outcome = look();
        if last.as_ref() != Some(&outcome) {
            match &outcome {
                Outcome::Well => tracing::info!("all checks hold"),
                Outcome::Starting(reason) => tracing::info!(reason, "not up yet"),
                Outcome::Ill(reason) => tracing::warn!(reason, "not well"),
            }
            last = Some(outcome.clone());
        }
        match soak.step(&gate, clock.uptime(), outcome) {
            Verdict::Bless => return Ok(()),
            Verdict::Fail { reason } => return Err(reason),
            Verdict::Wait { left } => clock.wait(Duration::from_secs(health.interval).min(left.max(TICK))),
        }
    }
}

/// The shortest wait.
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Fast(Cell<Duration>);

    impl Clock for Fast {
        fn uptime(&self) -> Duration {
            self.0.get()
        }

        fn wait(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }
    }

    #[test]
    fn an_image_that_crashes_after_two_minutes_is_given_up() {
        let health = Health::default();
        let clock = Fast(Cell::new(Duration::from_secs(20)));
        let well = soak_with(&health, &clock, &mut || Outcome::Well);
        assert_eq!((well, clock.0.get().as_secs()), (Ok(()), 320));
        let clock = Fast(Cell::new(Duration::from_secs(20)));
        let mut looked = 0;
        let ill = soak_with(&health, &clock, &mut || {
            looked += 1;
            if looked < 24 { Outcome::Well } else { Outcome::Ill("containerd.service is failed".into()) }
        });
        assert_eq!(ill, Err("containerd.service is failed".into()));
        assert!(clock.0.get() < Duration::from_secs(330), "{:?}", clock.0);
    }
}
