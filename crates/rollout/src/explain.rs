//! Why a machine takes a release now, later or not at all: for programs as data, for people as a sentence.

use crate::eligible::Turn;
use crate::plan::{Plan, State};
use crate::schedule::Schedule;
use crate::share::Share;
use crate::time::Time;
use crate::wave::{HostId, Position, Release};
use serde::Serialize;
use std::fmt::Write as _;

/// What the update engine knows of the release on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is newer than what runs, and nothing speaks against it.
    Offered,
    /// It is what runs.
    Installed,
    /// It is in the idle slot already and starts with the next restart.
    Staged,
    /// It failed here before and is not tried again.
    Failed {
        /// Why it was rolled back.
        reason: String,
    },
    /// It is older than the least version that this machine may run.
    TooOld {
        /// That version.
        minimum: String,
    },
}

/// The facts that an explanation is made from.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// The machine's clock.
    pub now: Time,
    /// The machine.
    pub host: HostId,
    /// The plan of the release that is offered.
    pub plan: &'a Plan,
    /// The machine's settings.
    pub schedule: &'a Schedule,
    /// What the update engine knows of the release.
    pub standing: Standing,
}

/// What becomes of a release on one machine, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The release.
    pub release: Release,
    /// The clock of the machine when this was said.
    pub now: Time,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, the strongest reason first.
    pub reasons: Vec<Reason>,
    /// The same for people.
    pub text: String,
}

/// What becomes of a release on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// It may take it now.
    Now {},
    /// It may take it at that instant, if nothing changes.
    Later {
        /// The instant.
        at: Time,
    },
    /// It has to wait for a change that nobody can date: a stage to be raised, a hold to end, settings that allow it.
    Waiting {},
    /// It does not take it.
    Never {},
    /// There is nothing to take: the release is installed or staged.
    Done {},
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// The release runs on this machine.
    Installed {},
    /// The release is in the idle slot.
    Staged {},
    /// The release failed here.
    Failed {
        /// Why it was rolled back.
        reason: String,
    },
    /// The release is older than this machine may run.
    TooOld {
        /// The least version.
        minimum: String,
    },
    /// The publisher withdrew it.
    Withdrawn {
        /// When.
        since: Time,
        /// Why.
        reason: String,
    },
    /// The publisher holds it.
    Held {
        /// Since when.
        since: Time,
        /// Why.
        reason: String,
    },
    /// No stage that is raised reaches this machine.
    NotRaised {
        /// The position of the machine.
        position: String,
        /// What the raised stages reach.
        reached: Share,
    },
    /// The wave comes later.
    WaveLater {
        /// The position of the machine.
        position: String,
        /// The share that is reached now.
        reached: Share,
        /// When the position is reached.
        at: Time,
    },
    /// The wave is here.
    WaveReached {
        /// The position of the machine.
        position: String,
        /// The share that is reached now.
        reached: Share,
    },
    /// The owner wants no updates in a period.
    Blocked {
        /// When it ends.
        until: Time,
        /// Why it is blocked.
        reason: Option<String>,
    },
    /// The maintenance window opens later.
    WindowLater {
        /// When it opens.
        opens: Time,
        /// When this machine starts in it.
        start: Time,
    },
    /// The maintenance window is open.
    WindowOpen {
        /// When it closes.
        closes: Time,
    },
    /// The release does not wait for a window.
    Urgent {},
    /// The settings never allow an update.
    NoOpening {},
}

/// Explains what becomes of a release on a machine.
pub fn explain(situation: &Situation<'_>) -> Explanation {
    let (verdict, reasons) = judge(situation);
    let text = sentence(situation, verdict, &reasons);
    Explanation { release: situation.plan.release().clone(), now: situation.now, verdict, reasons, text }
}

fn judge(s: &Situation<'_>) -> (Verdict, Vec<Reason>) {
    let release = s.plan.release();
    match &s.standing {
        Standing::Installed => return (Verdict::Done {}, vec![Reason::Installed {}]),
        Standing::Failed { reason } => {
            return (Verdict::Never {}, vec![Reason::Failed { reason: reason.clone() }]);
        }
        Standing::TooOld { minimum } => {
            return (Verdict::Never {}, vec![Reason::TooOld { minimum: minimum.clone() }]);
        }
        Standing::Offered | Standing::Staged => {}
    }
    match s.plan.state() {
        State::Withdrawn { since, reason } => {
            return (Verdict::Never {}, vec![Reason::Withdrawn { since: *since, reason: reason.clone() }]);
        }
        State::Held { since, reason } => {
            return (Verdict::Waiting {}, vec![Reason::Held { since: *since, reason: reason.clone() }]);
        }
        State::Raised {} => {}
    }
    if s.standing == Standing::Staged {
        return (Verdict::Done {}, vec![Reason::Staged {}]);
    }
    let position = Position::of(s.host, release);
    let (named, reached) = (position.to_string(), s.plan.reach(s.now).share());
    let turn = match s.plan.turn(position) {
        Turn::From(at) => at,
        Turn::NotRaised(reached) => {
            return (Verdict::Waiting {}, vec![Reason::NotRaised { position: named, reached }]);
        }
        // The state was looked at above.
        Turn::Held | Turn::Withdrawn => return (Verdict::Waiting {}, Vec::new()),
    };
    let mut reasons = vec![if turn > s.now {
        Reason::WaveLater { position: named, reached, at: turn }
    } else {
        Reason::WaveReached { position: named, reached }
    }];
    let from = turn.max(s.now);
    let urgent = s.plan.urgent();
    let Some(start) = s.schedule.next_start(s.host, release, urgent, from) else {
        reasons.push(Reason::NoOpening {});
        return (Verdict::Waiting {}, reasons);
    };
    if let Some(closed) = s.schedule.blocked(from) {
        reasons.push(Reason::Blocked { until: closed.until, reason: closed.reason });
    }
    if s.schedule.waits(urgent) {
        if let Some(opening) = s.schedule.opening(s.host, release, start) {
            reasons.push(if start > s.now && start > turn {
                Reason::WindowLater { opens: opening.opens, start }
            } else {
                Reason::WindowOpen { closes: opening.closes }
            });
        }
    } else if urgent && s.schedule.waits(false) {
        reasons.push(Reason::Urgent {});
    }
    let verdict = if start <= s.now { Verdict::Now {} } else { Verdict::Later { at: start } };
    (verdict, reasons)
}

fn sentence(s: &Situation<'_>, verdict: Verdict, reasons: &[Reason]) -> String {
    let when = |time: Time| {
        time.timestamp()
            .to_zoned_datetime(s.schedule.zone().clone())
            .strftime("%a %Y-%m-%d %H:%M:%S %Z")
            .to_string()
    };
    let mut text = format!("{}: ", s.plan.release());
    match verdict {
        Verdict::Now {} => text.push_str("this machine may take it now, because "),
        Verdict::Later { at } => {
            let _ = write!(
                text,
                "this machine becomes eligible in {}, at {}, because ",
                at.since(s.now).human(),
                when(at)
            );
        }
        Verdict::Waiting {} => text.push_str("this machine waits, because "),
        Verdict::Never {} => text.push_str("this machine does not take it, because "),
        Verdict::Done {} => text.push_str("there is nothing to do, because "),
    }
    let phrases: Vec<String> = reasons.iter().map(|reason| phrase(reason, &when)).collect();
    text.push_str(&phrases.join(", and "));
    text
}

fn phrase(reason: &Reason, when: &dyn Fn(Time) -> String) -> String {
    match reason {
        Reason::Installed {} => "it is what runs".into(),
        Reason::Staged {} => "it is staged and starts with the next restart".into(),
        Reason::Failed { reason } => format!("it failed here before ({reason})"),
        Reason::TooOld { minimum } => format!("it is older than {minimum}, the least that may run here"),
        Reason::Withdrawn { since, reason } => {
            format!("the publisher withdrew it at {} ({reason})", when(*since))
        }
        Reason::Held { since, reason } => {
            format!("the publisher holds it since {} ({reason})", when(*since))
        }
        Reason::NotRaised { position, reached } => {
            format!("its wave position is {position} and the stages that are raised so far end at {reached}")
        }
        Reason::WaveLater { position, reached, at } => format!(
            "its wave position is {position} and the plan, now at {reached}, reaches that at {}",
            when(*at)
        ),
        Reason::WaveReached { position, reached } => {
            format!("its wave position is {position} and the plan has reached {reached}")
        }
        Reason::Blocked { until, reason: Some(reason) } => {
            format!("updates are blocked until {} ({reason})", when(*until))
        }
        Reason::Blocked { until, reason: None } => format!("updates are blocked until {}", when(*until)),
        Reason::WindowLater { opens, start } => format!(
            "the next maintenance window opens at {}, in which this machine starts at {}",
            when(*opens),
            when(*start)
        ),
        Reason::WindowOpen { closes } => format!("the maintenance window is open until {}", when(*closes)),
        Reason::Urgent {} => "it is urgent and does not wait for a maintenance window".into(),
        Reason::NoOpening {} => {
            "the maintenance windows and blocked periods of this machine leave no time for it".into()
        }
    }
}
