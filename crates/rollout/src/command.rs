//! `lazuli update rollout`: reads a plan, a policy and reports, decides, and writes the next revision of the plan. Thin:
//! what it decides is in [`crate::decide()`].

use crate::change::ChangeError;
use crate::decide::{Action, Decision, Forbidden, decide};
use crate::evidence::{Collector, Evidence, Roster, Tally};
use crate::input::{InputError, read_hosts, read_reports, read_stream};
use crate::plan::{MOST_BYTES, Plan, PlanError, State};
use crate::policy::{Policy, PolicyError};
use crate::share::Share;
use crate::time::Time;
use lazuli_fs as fs;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the command was asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The plan, a JSON file.
    pub plan: PathBuf,
    /// The policy, a TOML file; the default policy without one.
    pub policy: Option<PathBuf>,
    /// Files and folders with reports; `-` is standard input.
    pub reports: Vec<PathBuf>,
    /// A list of the fleet's hosts.
    pub hosts: Option<PathBuf>,
    /// How many machines the fleet has, if there is no list.
    pub fleet: Option<u64>,
    /// Reports received before that do not count.
    pub since: Option<Time>,
    /// The time; by default what the clock says.
    pub now: Option<Time>,
    /// What a person decided, instead of the policy.
    pub order: Option<Order>,
    /// Write the changed plan back. Without it the command only says what it would do.
    pub write: bool,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Raise the next stage.
    Raise,
    /// Hold the release, for this reason.
    Hold(String),
    /// Take it up again.
    Resume,
    /// Withdraw it, for this reason.
    Withdraw(String),
}

/// What the command did.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The release.
    pub release: crate::wave::Release,
    /// The revision of the plan that holds now (or would, without `write`).
    pub revision: u64,
    /// Whether machines may begin to take it: it is neither held nor withdrawn.
    pub open: bool,
    /// The share of the fleet that its stages have reached.
    pub reached: Share,
    /// What was decided, and why.
    #[serde(flatten)]
    pub decision: Decision,
    /// What the reports say.
    pub evidence: Evidence,
    /// Whether the plan was written.
    pub written: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The plan.
    #[error("{path}: {source}")]
    Plan {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanError,
    },
    /// The policy.
    #[error("{path}: {source}")]
    Policy {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// The reports or the hosts.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The change is not possible.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The policy forbids the plan.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Runs the command.
///
/// The plan is replaced at once (temporary sibling, fsync, rename, fsync of the directory); it takes effect when it is
/// signed and published. Two runs on one plan at a time are not kept apart.
pub fn run(request: &Request) -> Result<Outcome, Error> {
    let now = request.now.unwrap_or_else(Time::now);
    let plan = read_plan(&request.plan)?;
    let policy = match &request.policy {
        None => Policy::default(),
        Some(path) => Policy::from_toml(&fs::read_to_string(path)?)
            .map_err(|source| Error::Policy { path: path.clone(), source: Box::new(source) })?,
    };
    let roster = match (&request.hosts, request.fleet) {
        (Some(path), _) => Roster::Hosts(read_hosts(path)?),
        (None, Some(size)) => Roster::Size(size),
        (None, None) => Roster::Unknown,
    };
    let mut collector = Collector::new(&plan, &roster, now).since(request.since);
    for path in &request.reports {
        if path == Path::new("-") {
            read_stream(std::io::stdin().lock(), "standard input", &mut collector)?;
        } else {
            read_reports(path, &mut collector)?;
        }
    }
    let evidence = collector.finish(policy.patience);
    let decision = match &request.order {
        None => {
            policy.allows(&plan)?;
            decide(&plan, &policy, &evidence, now)?
        }
        Some(order) => ordered(&plan, &policy, order, now)?,
    };
    let next = decision.plan.as_ref().unwrap_or(&plan);
    let (revision, reached) = (next.revision(), next.reach(now).share());
    let open = matches!(next.state(), State::Raised {});
    let written = request.write && decision.plan.is_some();
    if written {
        let json = next.to_json().map_err(|source| Error::Plan { path: request.plan.clone(), source })?;
        fs::write_atomic(&request.plan, json, 0o644)?;
    }
    Ok(Outcome { release: plan.release().clone(), revision, open, reached, decision, evidence, written })
}

fn read_plan(path: &Path) -> Result<Plan, Error> {
    let size = fs::metadata(path)?.len();
    let wrong = |source| Error::Plan { path: path.to_owned(), source };
    if size > MOST_BYTES as u64 {
        return Err(wrong(PlanError::Size(usize::try_from(size).unwrap_or(usize::MAX))));
    }
    Plan::from_json(&fs::read(path)?).map_err(wrong)
}

/// What a person decided needs no evidence, but raising keeps to the pace that the policy allows.
fn ordered(plan: &Plan, policy: &Policy, order: &Order, now: Time) -> Result<Decision, Error> {
    let (action, changed) = match order {
        Order::Raise => {
            policy.allows(plan)?;
            let changed = plan.raise(now)?;
            let stage = changed.stages().iter().filter(|stage| stage.begin.is_some()).count();
            (Action::Raise { stage }, changed)
        }
        Order::Hold(reason) => (Action::Hold {}, plan.hold(now, reason)?),
        Order::Resume => (Action::Resume {}, plan.resume(now)?),
        Order::Withdraw(reason) => (Action::Withdraw {}, plan.withdraw(now, reason)?),
    };
    let plan = (changed != *plan).then_some(changed);
    Ok(Decision { action, reasons: vec!["a person decided it".into()], plan })
}

impl Outcome {
    /// What people read.
    pub fn text(&self) -> String {
        let verb = match self.decision.action {
            Action::Keep {} => "stays as it is".to_owned(),
            Action::Raise { stage } => format!("is raised to stage {stage}"),
            Action::Hold {} => "is held".to_owned(),
            Action::Resume {} => "is taken up again".to_owned(),
            Action::Withdraw {} => "is withdrawn".to_owned(),
        };
        let mut text = if self.open {
            format!("{} {verb}; {} of the fleet may take it\n", self.release, self.reached)
        } else {
            format!(
                "{} {verb}; no machine may begin to take it (its stages reach {})\n",
                self.release, self.reached
            )
        };
        for reason in &self.decision.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        for (index, tally) in self.evidence.stages.iter().enumerate() {
            let _ = writeln!(text, "  stage {}: {}", index + 1, counts(tally));
        }
        let i = &self.evidence.ignored;
        let ignored = [
            (i.malformed, "not readable"),
            (i.other_release, "of other releases"),
            (i.old, "too old"),
            (i.unknown_host, "of unknown hosts"),
            (i.out_of_turn, "of hosts whose turn has not come"),
            (i.repeated, "said before"),
            (i.too_many, "of more hosts than the fleet has"),
        ];
        for (count, what) in ignored.into_iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "  reports that do not count: {count} {what}");
        }
        if self.decision.plan.is_some() {
            let _ = writeln!(
                text,
                "  {}",
                if self.written {
                    format!("revision {} of the plan is written; sign and publish it", self.revision)
                } else {
                    format!("revision {} of the plan is not written; `--write` does that", self.revision)
                }
            );
        }
        text
    }
}

fn counts(tally: &Tally) -> String {
    let mut text = tally.machines.map_or_else(String::new, |machines| {
        format!("{}{machines} machines, ", if tally.exact { "" } else { "about " })
    });
    let _ = write!(
        text,
        "{} healthy, {} rolled back, {} failed, {} silent, {} pending",
        tally.healthy, tally.rolled_back, tally.failed, tally.silent, tally.pending
    );
    text
}
