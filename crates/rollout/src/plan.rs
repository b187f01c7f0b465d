//! The rollout plan of a release: which share of the fleet may take it, and from when.
//!
//! # Format
//!
//! JSON, in the signed metadata of the release; unknown fields are errors.
//!
//! ```json
//! {
//!   "format": 1,
//!   "release": { "product": "container-host", "version": "2.0" },
//!   "revision": 1,
//!   "urgent": false,
//!   "state": { "kind": "raised" },
//!   "stages": [
//!     { "share": "1%",   "ramp": "0s",  "length": "1d", "begin": "2026-11-27T10:00:00Z" },
//!     { "share": "10%",  "ramp": "12h", "length": "1d" },
//!     { "share": "100%", "ramp": "2d",  "length": "2d" }
//!   ]
//! }
//! ```
//!
//! A stage releases everything between the share of the stage before it and its own. With a ramp of 0 that happens
//! in the second in which it begins, otherwise evenly over the ramp. `length` is the least time until the next stage
//! may begin. A stage without `begin` is not raised yet: no machine takes the release because of it.
//!
//! # Why a stage says when it begins
//!
//! If only a start and lengths were written, a stage that is raised two days late would release in one instant all
//! that it should have released over these two days. So raising a stage writes the instant down, and taking up a
//! rollout that was held moves what was left of it by as long as it was held ([`Plan::resume`]).

use crate::share::Share;
use crate::time::{Seconds, Time};
use crate::wave::Release;
use serde::{Deserialize, Serialize};

/// The format of plans that this crate writes and the only one that it reads.
pub const FORMAT: u32 = 1;

/// The most stages that a plan has.
pub const MOST_STAGES: usize = 32;

/// The longest ramp or length of a stage: 90 days.
pub const LONGEST_STAGE: Seconds = Seconds::hours(90 * 24);

/// The longest reason for a hold or withdrawal in bytes.
pub const LONGEST_REASON: usize = 256;

/// The most bytes that a plan takes as JSON.
pub const MOST_BYTES: usize = 64 << 10;

/// A plan that was checked. See the module for its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "UncheckedPlan", try_from = "UncheckedPlan")]
pub struct Plan {
    pub(crate) release: Release,
    pub(crate) revision: u64,
    pub(crate) urgent: bool,
    pub(crate) state: State,
    pub(crate) stages: Vec<Stage>,
}

/// One stage of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The share of the fleet that has been reached when the stage is over.
    pub share: Share,
    /// Over how long it is released evenly; 0 releases it in the second in which the stage begins.
    pub ramp: Seconds,
    /// How long the stage lasts at least; not shorter than the ramp.
    pub length: Seconds,
    /// When it begins. Without it the stage is not raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Time>,
}

impl Stage {
    /// A stage that is not raised yet.
    pub fn new(share: Share, ramp: Seconds, length: Seconds) -> Self {
        Self { share, ramp, length, begin: None }
    }
}

/// Whether a release may be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum State {
    /// Machines take it as their turn comes.
    Raised {},
    /// No machine begins to take it until the rollout is taken up again. Who has booted into it may bless it.
    Held {
        /// Since when.
        since: Time,
        /// Why.
        reason: String,
    },
    /// No machine begins to take it ever again, and copies that lie in an idle slot are not booted.
    Withdrawn {
        /// Since when.
        since: Time,
        /// Why.
        reason: String,
    },
}

/// A plan as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedPlan {
    format: u32,
    release: Release,
    revision: u64,
    #[serde(default)]
    urgent: bool,
    state: State,
    stages: Vec<Stage>,
}

/// The one field that is the same in all formats.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Why a plan is refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, or not the fields of a plan.
    #[error("the rollout plan cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// More than [`MOST_BYTES`].
    #[error("the rollout plan has {0} bytes, more than {MOST_BYTES}")]
    Size(usize),
    /// Written for other programs than this.
    #[error("the rollout plan has format {0}, this program knows format {FORMAT}; update this program")]
    Format(u32),
    /// No stages or too many.
    #[error("a rollout plan has 1 to {MOST_STAGES} stages, this one has {0}")]
    Stages(usize),
    /// One stage is wrong.
    #[error("stage {stage} of the rollout plan: {reason}")]
    Stage {
        /// Its number, from 1.
        stage: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The reason of a hold or a withdrawal.
    #[error(
        "the reason for holding or withdrawing a release has 1 to {LONGEST_REASON} bytes and no line ends"
    )]
    Reason,
    /// A revision that cannot be followed by another one.
    #[error("the rollout plan has revision {0}; revisions begin with 1 and stay far below 2^63")]
    Revision(u64),
}

impl TryFrom<UncheckedPlan> for Plan {
    type Error = PlanError;

    fn try_from(plan: UncheckedPlan) -> Result<Self, PlanError> {
        if plan.format != FORMAT {
            return Err(PlanError::Format(plan.format));
        }
        let UncheckedPlan { release, revision, urgent, state, stages, .. } = plan;
        Self { release, revision, urgent, state, stages }.checked()
    }
}

impl From<Plan> for UncheckedPlan {
    fn from(plan: Plan) -> Self {
        let Plan { release, revision, urgent, state, stages } = plan;
        Self { format: FORMAT, release, revision, urgent, state, stages }
    }
}

impl Plan {
    /// A plan whose first stage begins at `start`. The others are raised one by one, by a person or by
    /// `lazuli update rollout`.
    pub fn gated(release: Release, start: Time, mut stages: Vec<Stage>) -> Result<Self, PlanError> {
        for (index, stage) in stages.iter_mut().enumerate() {
            stage.begin = (index == 0).then_some(start);
        }
        Self { release, revision: 1, urgent: false, state: State::Raised {}, stages }.checked()
    }

    /// A plan whose stages follow each other without anybody doing anything. Nothing but a hold stops it.
    pub fn timetable(release: Release, start: Time, mut stages: Vec<Stage>) -> Result<Self, PlanError> {
        let mut begin = start;
        for stage in &mut stages {
            stage.begin = Some(begin);
            begin = begin.plus(stage.length);
        }
        Self { release, revision: 1, urgent: false, state: State::Raised {}, stages }.checked()
    }

    /// The same plan, urgent or not: hosts do not wait for their maintenance windows unless their owner
    /// said that they always do. Waves hold for urgent releases too.
    pub fn with_urgent(mut self, urgent: bool) -> Self {
        self.urgent = urgent;
        self
    }

    /// Reads a plan from JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, PlanError> {
        if json.len() > MOST_BYTES {
            return Err(PlanError::Size(json.len()));
        }
        // The format comes first: what a newer one says must not look like a mistake in this one.
        match serde_json::from_slice::<Format>(json)?.format {
            FORMAT => {}
            other => return Err(PlanError::Format(other)),
        }
        Self::try_from(serde_json::from_slice::<UncheckedPlan>(json)?)
    }

    /// The plan as JSON with a line end; the same plan gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, PlanError> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// The release that it is about.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Counts the changes of the plan, from 1.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether hosts take the release outside of their maintenance windows.
    pub fn urgent(&self) -> bool {
        self.urgent
    }

    /// Whether it may be taken at all.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The stages, first to last.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The number (from 0) of the last stage that has begun at `now`.
    pub fn current(&self, now: Time) -> Option<usize> {
        self.stages.iter().rposition(|stage| stage.begin.is_some_and(|begin| begin <= now))
    }

    /// The share that was reached before stage `index` (from 0).
    pub fn share_before(&self, index: usize) -> Share {
        index.checked_sub(1).and_then(|i| self.stages.get(i)).map_or(Share::NONE, |stage| stage.share)
    }

    /// Checks every rule of the module.
    pub(crate) fn checked(self) -> Result<Self, PlanError> {
        if !(1..=MOST_STAGES).contains(&self.stages.len()) {
            return Err(PlanError::Stages(self.stages.len()));
        }
        if self.revision == 0 || self.revision > u64::MAX >> 1 {
            return Err(PlanError::Revision(self.revision));
        }
        if let State::Held { reason, .. } | State::Withdrawn { reason, .. } = &self.state
            && !valid_reason(reason)
        {
            return Err(PlanError::Reason);
        }
        let mut before: Option<&Stage> = None;
        for (index, stage) in self.stages.iter().enumerate() {
            if let Some(reason) = wrong(before, stage) {
                return Err(PlanError::Stage { stage: index + 1, reason });
            }
            before = Some(stage);
        }
        if self.stages[0].begin.is_none() {
            return Err(PlanError::Stage { stage: 1, reason: "it says no `begin`".into() });
        }
        Ok(self)
    }
}

/// What is wrong with a stage that follows `before`.
fn wrong(before: Option<&Stage>, stage: &Stage) -> Option<String> {
    let reached = before.map_or(Share::NONE, |b| b.share);
    if stage.share <= reached {
        return Some(format!("its share {} is not larger than {reached} before it", stage.share));
    }
    if stage.length > LONGEST_STAGE {
        return Some(format!("it lasts longer than {LONGEST_STAGE}"));
    }
    if stage.ramp > stage.length {
        return Some(format!("its ramp of {} is longer than its length of {}", stage.ramp, stage.length));
    }
    if stage.begin.is_some_and(|begin| begin.plus(stage.length).since(begin) < stage.length) {
        return Some("it ends after the last year that can be written".into());
    }
    let (Some(before), Some(begin)) = (before, stage.begin) else { return None };
    match before.begin {
        None => Some("it has begun, but the one before it has not".into()),
        Some(earlier) if begin < earlier.plus(before.length) => Some(format!(
            "it begins at {begin}, before the end of the one before it at {}",
            earlier.plus(before.length)
        )),
        Some(_) => None,
    }
}

/// Reasons are shown on terminals of others.
pub(crate) fn valid_reason(reason: &str) -> bool {
    (1..=LONGEST_REASON).contains(&reason.len()) && !reason.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
      "format": 1, "release": {"product": "container-host", "version": "2.0"}, "revision": 1,
      "state": {"kind": "raised"},
      "stages": [
        {"share": "1%", "ramp": "0s", "length": "1d", "begin": "2026-11-27T10:00:00Z"},
        {"share": "100%", "ramp": "2d", "length": "2d"}
      ]}"#;

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Plan::from_json(GOOD.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_is_read_and_written() {
        let plan = Plan::from_json(GOOD.as_bytes()).unwrap();
        let json = plan.to_json().unwrap();
        assert_eq!(Plan::from_json(&json).unwrap(), plan);
        assert_eq!(plan.share_before(0), Share::NONE);
        assert_eq!(plan.share_before(1), Share::percent(1));
    }

    #[test]
    fn wrong_plans_say_what_is_wrong() {
        for (from, to, word) in [
            ("\"format\": 1", "\"format\": 2, \"news\": 7", "update this program"),
            ("\"revision\": 1", "\"revision\": 0", "revision"),
            ("\"revision\": 1", "\"revison\": 1", "revison"),
            ("\"raised\"", "\"raised\", \"since\": 1", "since"),
            (
                "{\"kind\": \"raised\"}",
                "{\"kind\": \"held\", \"since\": \"2026-11-27T10:00:00Z\", \"reason\": \"a\\nb\"}",
                "line ends",
            ),
            ("\"100%\"", "\"1%\"", "stage 2"),
            ("\"100%\"", "\"101%\"", "between 0% and 100%"),
            ("\"ramp\": \"2d\"", "\"ramp\": \"3d\"", "ramp of 3d"),
            ("\"ramp\": \"0s\"", "\"ramp\": \"0s\", \"rump\": 1", "rump"),
            ("\"length\": \"1d\"", "\"length\": \"91d\"", "longer than 90d"),
            (", \"begin\": \"2026-11-27T10:00:00Z\"", "", "no `begin`"),
            (
                "\"length\": \"2d\"",
                "\"length\": \"2d\", \"begin\": \"2026-11-28T09:59:59Z\"",
                "before the end",
            ),
            ("2026-11-27T10:00:00Z", "9998-12-31T10:00:00Z", "last year"),
            ("container-host", "container host", "not a product"),
        ] {
            let error = refused(from, to);
            assert!(error.contains(word), "{to}: {error}");
        }
        let stage = r#"{"share": "1%", "ramp": "0s", "length": "1d", "begin": "2026-11-27T10:00:00Z"},"#;
        assert!(refused(stage, &stage.repeat(40)).contains("1 to 32 stages"));
        assert!(Plan::from_json(&vec![b' '; MOST_BYTES + 1]).is_err());
    }
}
