//! The soak: how long a system must be well before it is kept.

use std::time::Duration;

/// How long things may take. All times are counted from the start of the kernel, by a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// How long every check must hold without a break.
    pub soak: Duration,
    /// How long checks may fail in one piece once the system has started.
    pub patience: Duration,
    /// When it is over, whatever happened. It alone limits the start: a machine that is slow to start is not ill.
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
}

/// What a look at the checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All checks hold.
    Well,
    /// The system is not up yet, so checks cannot hold; in words, what it waits for.
    Starting(String),
    /// A check does not hold; which, in words.
    Ill(String),
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
    pub fn step(&mut self, gate: &Gate, now: Duration, outcome: Outcome) -> Verdict {
        let (well, ill) = match outcome {
            Outcome::Well => (Some(*self.well.get_or_insert(now)), None),
            Outcome::Starting(reason) => (None, Some((now, reason))),
            Outcome::Ill(reason) => (None, Some((*self.ill.get_or_insert(now), reason))),
        };
        let held = now.saturating_sub(well.unwrap_or(now));
        if well.is_some() && held >= gate.soak {
            return Verdict::Bless;
        }
        let late = now >= gate.deadline;
        self.well = well;
        self.ill = ill.as_ref().map(|(since, _)| *since);
        match ill {
            Some((since, reason)) if late || now.saturating_sub(since) >= gate.patience => {
                Verdict::Fail { reason }
            }
            None if late => {
                let reason = format!("the checks did not hold for {} s in time", gate.soak.as_secs());
                Verdict::Fail { reason }
            }
            _ => Verdict::Wait { left: gate.soak.saturating_sub(held) },
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
        follow(
            outcomes
                .into_iter()
                .map(|well| if well { Outcome::Well } else { Outcome::Ill("a unit failed".into()) }),
        )
    }

    fn follow(outcomes: impl IntoIterator<Item = Outcome>) -> (u64, Verdict) {
        let mut soak = Soak::default();
        for (second, outcome) in (0..).zip(outcomes) {
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

    #[test]
    fn a_slow_start_is_no_illness_but_has_an_end() {
        let starting = || Outcome::Starting("the system is `starting`".into());
        let slow = (0..).map(|n| if n < 200 { starting() } else { Outcome::Well });
        assert_eq!(follow(slow.take(400)), (260, Verdict::Bless));
        // Patience begins with the last look that still saw the start.
        let ill = (0..400).map(|n| if n < 200 { starting() } else { Outcome::Ill("a unit failed".into()) });
        assert_eq!(follow(ill), (229, Verdict::Fail { reason: "a unit failed".into() }));
        let never = std::iter::repeat_n(starting(), 400);
        assert_eq!(follow(never), (300, Verdict::Fail { reason: "the system is `starting`".into() }));
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
