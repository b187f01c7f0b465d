//! What to do with a release: a pure function of its plan, the policy, the evidence and the time.
//!
//! # Order
//!
//! 1. What was withdrawn stays so.
//! 2. Too many rollbacks withdraw it, whether it is raised or held.
//! 3. What is held stays so until a person takes it up again.
//! 4. Too many machines in trouble hold it; so do more machines than a stage can have, and a timetable that has gone
//!    on to the next stage without enough reports of the one before.
//! 5. The next stage is raised when the present one has lasted and has shown that it is good.
//!
//! Thresholds are asked of the present stage and of all stages together, so that neither a fault that shows late
//! hides behind healthy canaries nor one that is rare behind a small stage.

use crate::change::ChangeError;
use crate::evidence::{Evidence, Tally};
use crate::plan::{Plan, State};
use crate::policy::Policy;
use crate::share::Share;
use crate::time::{Seconds, Time};
use serde::Serialize;

/// What becomes of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why, for people.
    pub reasons: Vec<String>,
    /// The plan to publish; `None` if it stays as it is.
    #[serde(skip)]
    pub plan: Option<Plan>,
}

/// What to do with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Nothing.
    Keep {},
    /// Begin the next stage.
    Raise {
        /// Its number, from 1.
        stage: usize,
    },
    /// Let no machine begin to take it until a person has looked into it.
    Hold {},
    /// Take it up where it was held. Only a person decides so.
    Resume {},
    /// Let no machine take it ever again.
    Withdraw {},
}

/// A plan that the policy forbids.
#[derive(Debug, thiserror::Error)]
pub enum Forbidden {
    /// It is too fast.
    #[error(
        "the plan of {release} makes {fastest} of the fleet eligible within an hour, the policy allows {allowed}; \
         give the stages a longer ramp or more steps"
    )]
    TooFast {
        /// The release.
        release: String,
        /// What it makes eligible.
        fastest: Share,
        /// What the policy allows.
        allowed: Share,
    },
}

impl Policy {
    /// Whether the plan keeps to the policy, however fast its stages are raised.
    pub fn allows(&self, plan: &Plan) -> Result<(), Forbidden> {
        let fastest = plan.fastest(Seconds::hours(1));
        if fastest <= self.fastest_hour {
            return Ok(());
        }
        Err(Forbidden::TooFast { release: plan.release().to_string(), fastest, allowed: self.fastest_hour })
    }
}

/// Decides.
pub fn decide(plan: &Plan, policy: &Policy, evidence: &Evidence, now: Time) -> Result<Decision, ChangeError> {
    let keep = |reason: String| Decision { action: Action::Keep {}, reasons: vec![reason], plan: None };
    if let State::Withdrawn { since, reason } = plan.state() {
        return Ok(keep(format!("it was withdrawn at {since} ({reason})")));
    }
    let Some(current) = plan.current(now) else {
        let begin = plan.stages()[0].begin.map_or_else(String::new, |begin| format!(" until {begin}"));
        return Ok(keep(format!("its first stage does not begin{begin}")));
    };
    let (total, stage) = (evidence.total(), evidence.stages.get(current).cloned().unwrap_or_default());
    let scopes = [(format!("stage {}", current + 1), &stage), ("all stages".to_owned(), &total)];
    for (name, tally) in &scopes {
        let all = tally.settled();
        if policy.withdraw.exceeded(tally.rolled_back, all) {
            let share = policy.withdraw.share;
            let reason =
                format!("{} of {all} machines of {name} went back, more than {share}", tally.rolled_back);
            let plan = plan.withdraw(now, &reason)?;
            return Ok(Decision { action: Action::Withdraw {}, reasons: vec![reason], plan: Some(plan) });
        }
    }
    if let State::Held { since, reason } = plan.state() {
        return Ok(keep(format!("it is held since {since} ({reason}); a person has to take it up again")));
    }
    let reason = scopes.iter().find_map(|(name, tally)| too_much(policy, name, tally));
    let reason = reason.or_else(|| crowd(evidence)).or_else(|| ahead(plan, policy, evidence, current));
    if let Some(reason) = reason {
        let plan = plan.hold(now, &reason)?;
        return Ok(Decision { action: Action::Hold {}, reasons: vec![reason], plan: Some(plan) });
    }
    if plan.stages().get(current + 1).is_none() {
        return Ok(keep("all stages are raised".into()));
    }
    if let Some(begin) = plan.stages()[current + 1].begin {
        return Ok(keep(format!("its timetable begins stage {} at {begin}", current + 2)));
    }
    let missing = missing(plan, policy, &stage, current, now);
    if !missing.is_empty() {
        return Ok(Decision { action: Action::Keep {}, reasons: missing, plan: None });
    }
    let reason = format!(
        "{} of {} machines of stage {} are healthy and it has lasted its time",
        stage.healthy,
        stage.settled(),
        current + 1
    );
    let raised = plan.raise(now)?;
    Ok(Decision { action: Action::Raise { stage: current + 2 }, reasons: vec![reason], plan: Some(raised) })
}

/// Why the release is to be held for what became of some machines.
fn too_much(policy: &Policy, name: &str, tally: &Tally) -> Option<String> {
    let (bad, all) = (tally.troubled(), tally.settled());
    policy.hold.exceeded(bad, all).then(|| {
        format!(
            "{bad} of {all} machines of {name} are in trouble ({} went back, {} could not take it, {} are silent), \
             more than {}",
            tally.rolled_back, tally.failed, tally.silent, policy.hold.share
        )
    })
}

/// Why it is to be held for reports that cannot all be true.
fn crowd(evidence: &Evidence) -> Option<String> {
    let (index, tally) = evidence.stages.iter().enumerate().find(|(_, tally)| tally.crowded())?;
    let heard = tally.settled() + tally.pending;
    Some(format!(
        "{heard} machines report from stage {}, which has about {}; some are invented, or the size of the fleet is wrong",
        index + 1,
        tally.machines.unwrap_or_default()
    ))
}

/// Why it is to be held for a timetable that went on without reports. Only a number that never falls is asked for, so
/// that the answer does not go back and forth.
fn ahead(plan: &Plan, policy: &Policy, evidence: &Evidence, current: usize) -> Option<String> {
    let before = current.checked_sub(1)?;
    let tally = evidence.stages.get(before)?;
    let needed = needed(policy, tally);
    (tally.settled() < needed).then(|| {
        format!(
            "stage {} has begun, but only {} of {needed} reports of stage {current} that {} needs have come",
            current + 1,
            tally.settled(),
            plan.release()
        )
    })
}

/// How many machines of a stage must be settled: a stage that has fewer cannot have more.
fn needed(policy: &Policy, tally: &Tally) -> u64 {
    tally.machines.map_or(policy.raise.reports, |machines| policy.raise.reports.min(machines))
}

/// What the next stage still waits for.
fn missing(plan: &Plan, policy: &Policy, stage: &Tally, current: usize, now: Time) -> Vec<String> {
    let (number, settled) = (current + 1, stage.settled());
    let mut missing = Vec::new();
    let until = plan.stages()[current].begin.map(|begin| begin.plus(plan.stages()[current].length));
    if let Some(until) = until.filter(|until| now < *until) {
        missing.push(format!("stage {number} lasts for another {}, until {until}", until.since(now).human()));
    }
    let needed = needed(policy, stage);
    if settled < needed {
        missing
            .push(format!("{settled} of {needed} machines of stage {number} have reported how they fared"));
    }
    if let Some(machines) = stage.machines {
        let answered = policy.raise.answered.of(machines);
        if settled < answered {
            let share = policy.raise.answered;
            missing.push(format!(
                "{settled} of the {machines} machines of stage {number} are settled; it takes {share} of them, {answered}"
            ));
        }
    }
    // When every machine has spoken there is nothing left to infer.
    let complete = stage.exact && stage.machines == Some(settled) && stage.troubled() == 0;
    if !complete && !policy.raise.shown(stage.troubled(), settled) {
        missing.push(format!(
            "{} in trouble of {settled} machines of stage {number} do not show with {} confidence that less than {} \
             are; it takes {} if none is",
            stage.troubled(),
            policy.raise.confidence,
            policy.raise.below,
            policy.raise.least()
        ));
    }
    missing
}
