//! The soak: how long a system must be well before it is kept.

use std::time::Duration;

/// How long things may take. All times are counted from the start of the kernel, by a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// How long every check must hold without a break.
    pub soak: Duration,
    /// How long checks may fail in one piece, at the beginning too.
    pub patience: Duration,
    /// When it is over, whatever happened.
    pub deadline: Duration,
}

impl Default for Gate {
    /// Five minutes of health, three of illness, twenty in all.
    fn default() -> Self {
        Self {
            soak: Duration::from_secs(300),
            patience: Duration::from_secs(180),
            deadline: Duration::from_secs(1200),
        }
    }
}

/// A soak under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Soak {
    /// Since when the checks hold.
    well: Option<Duration>,
    /// Since when they fail.
    ill: Option<Duration>,
    /// Whether they ever held; before that they failed from the start of the kernel on.
    was_well: bool,
}

/// What a look at the checks leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Look again; `left` is how long the checks still have to hold.
    Wait {
        /// The rest of the soak.
        left: Duration,
    },
    /// Keep this system.
    Bless,
    /// Give it up.
    Fail {
        /// Why.
        reason: String,
    },
}

impl Soak {
    /// Takes the outcome of all checks at a time since the start of the kernel.
    pub fn step(&mut self, gate: &Gate, now: Duration, outcome: Result<(), String>) -> Verdict {
        match outcome {
            Ok(()) => {
                self.ill = None;
                self.was_well = true;
                let well = *self.well.get_or_insert(now);
                let held = now.saturating_sub(well);
                if held >= gate.soak {
                    return Verdict::Bless;
                }
                if now >= gate.deadline {
                    let reason = format!("the checks did not hold for {} s in time", gate.soak.as_secs());
                    return Verdict::Fail { reason };
                }
                Verdict::Wait { left: gate.soak.saturating_sub(held) }
            }
            Err(reason) => {
                let ill = *self.ill.get_or_insert(if self.was_well { now } else { Duration::ZERO });
                self.well = None;
                if now.saturating_sub(ill) >= gate.patience || now >= gate.deadline {
                    return Verdict::Fail { reason };
                }
                Verdict::Wait { left: gate.soak }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GATE: Gate = Gate {
        soak: Duration::from_secs(60),
        patience: Duration::from_secs(30),
        deadline: Duration::from_secs(300),
    };

    fn run(outcomes: impl IntoIterator<Item = bool>) -> (u64, Verdict) {
        let mut soak = Soak::default();
        for (second, well) in (0..).zip(outcomes) {
            let outcome = if well { Ok(()) } else { Err("a unit failed".to_owned()) };
            match soak.step(&GATE, Duration::from_secs(second), outcome) {
                Verdict::Wait { .. } => {}
                verdict => return (second, verdict),
            }
        }
        (0, Verdict::Wait { left: GATE.soak })
    }

    #[test]
    fn a_system_that_is_well_is_kept_after_the_soak_and_not_before() {
        assert_eq!(run(std::iter::repeat_n(true, 100)), (60, Verdict::Bless));
        assert!(matches!(run(std::iter::repeat_n(true, 60)).1, Verdict::Wait { .. }));
        // A crash after fifty seconds begins the soak anew.
        let broken = (0..200).map(|n| n != 50);
        assert_eq!(run(broken), (111, Verdict::Bless));
    }

    #[test]
    fn one_that_never_gets_well_is_given_up() {
        let (at, verdict) = run(std::iter::repeat_n(false, 100));
        assert_eq!((at, verdict), (30, Verdict::Fail { reason: "a unit failed".into() }));
        // Neither is it saved by being well now and then.
        let (at, verdict) = run((0..400).map(|n| n % 20 < 10));
        assert!(at == 300 && matches!(verdict, Verdict::Fail { .. }), "{at} {verdict:?}");
    }

    proptest! {
        /// What a user would ask: whatever the checks say, there is an end; a blessed system was well for the whole
        /// soak just before.
        #[test]
        fn there_is_an_end(outcomes in prop::collection::vec(prop::bool::weighted(0.97), 301)) {
            let (at, verdict) = run(outcomes.clone());
            match verdict {
                Verdict::Bless => prop_assert!(outcomes[at as usize - 60..=at as usize].iter().all(|w| *w)),
                Verdict::Fail { .. } => prop_assert!(at <= 300),
                Verdict::Wait { .. } => prop_assert!(false, "no end"),
            }
        }
    }
}
