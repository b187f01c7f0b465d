//! What may become of a plan: raised, held, taken up again, withdrawn. Each change is a pure function from a plan
//! to the next revision of it.

use crate::plan::{Plan, PlanError, State, valid_reason};
use crate::time::Time;

/// Why a plan cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no further stage.
    #[error("all stages of {0} are raised already")]
    AllRaised(String),
    /// The stage before has not lasted long enough.
    #[error("stage {stage} lasts until {until}; the next one cannot begin before that")]
    TooEarly {
        /// Its number, from 1.
        stage: usize,
        /// Until when it lasts.
        until: Time,
    },
    /// It is held.
    #[error("{0} is held; take it up again first (`--resume`)")]
    Held(String),
    /// It is not held.
    #[error("{0} is not held")]
    NotHeld(String),
    /// It was withdrawn.
    #[error(
        "{0} was withdrawn, which is final: machines have thrown their copies away; publish a new version"
    )]
    Withdrawn(String),
    /// The new plan would break a rule.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Plan {
    /// Raises the next stage: it begins at `now`.
    pub fn raise(&self, now: Time) -> Result<Self, ChangeError> {
        match self.state() {
            State::Raised {} => {}
            State::Held { .. } => return Err(ChangeError::Held(self.release().to_string())),
            State::Withdrawn { .. } => return Err(ChangeError::Withdrawn(self.release().to_string())),
        }
        let next = self.stages().iter().position(|stage| stage.begin.is_none());
        let next = next.ok_or_else(|| ChangeError::AllRaised(self.release().to_string()))?;
        let before = next.checked_sub(1).and_then(|i| self.stages().get(i));
        if let Some((before, begin)) = before.and_then(|b| Some((b, b.begin?))) {
            let until = begin.plus(before.length);
            if now < until {
                return Err(ChangeError::TooEarly { stage: next, until });
            }
        }
        let mut plan = self.clone();
        plan.stages[next].begin = Some(now);
        Ok(plan.revised()?)
    }

    /// Holds the release: no machine begins to take it. One that is held already stays as it is, with its reason.
    pub fn hold(&self, now: Time, reason: &str) -> Result<Self, ChangeError> {
        match self.state() {
            State::Raised {} => {}
            State::Held { .. } => return Ok(self.clone()),
            State::Withdrawn { .. } => return Err(ChangeError::Withdrawn(self.release().to_string())),
        }
        let mut plan = self.clone();
        plan.state = State::Held { since: now, reason: printable(reason)? };
        Ok(plan.revised()?)
    }

    /// Takes a held release up again, where it was: every stage that was not over is moved by as long as the
    /// release was held, so that the share at `now` is the one at which it was held, and nothing is released at
    /// once.
    pub fn resume(&self, now: Time) -> Result<Self, ChangeError> {
        let since = match self.state() {
            State::Held { since, .. } => *since,
            State::Raised {} => return Err(ChangeError::NotHeld(self.release().to_string())),
            State::Withdrawn { .. } => return Err(ChangeError::Withdrawn(self.release().to_string())),
        };
        let mut plan = self.clone();
        let held = now.since(since);
        for stage in &mut plan.stages {
            if let Some(begin) = stage.begin.as_mut()
                && begin.plus(stage.length) > since
            {
                *begin = begin.plus(held);
            }
        }
        plan.state = State::Raised {};
        Ok(plan.revised()?)
    }

    /// Withdraws the release, for good. One that was withdrawn stays as it is.
    pub fn withdraw(&self, now: Time, reason: &str) -> Result<Self, ChangeError> {
        if matches!(self.state(), State::Withdrawn { .. }) {
            return Ok(self.clone());
        }
        let mut plan = self.clone();
        plan.state = State::Withdrawn { since: now, reason: printable(reason)? };
        Ok(plan.revised()?)
    }

    fn revised(mut self) -> Result<Self, PlanError> {
        self.revision += 1;
        self.checked()
    }
}

fn printable(reason: &str) -> Result<String, PlanError> {
    if valid_reason(reason) { Ok(reason.to_owned()) } else { Err(PlanError::Reason) }
}
