//! Who updates when, and what stops a bad release: waves, maintenance windows, explanations, reports of hosts, and the
//! policy by which a release is raised, held or withdrawn.
//!
//! The same code runs on hosts (whose turn is it, and why not yet) and at the publisher (what do the reports say).
//! It must not know what a release is made of, nor how it gets onto a disk.
//!
//! # How it fits together
//!
//! ```text
//! publisher                                          host
//!   Plan (signed with the release) ───────────────────> Plan::turn(Position) ─┐
//!     ▲                                                 Schedule::next_start ─┴─> explain
//!     │ raise, hold, withdraw
//!   decide(Plan, Policy, Evidence, Time)                update engine
//!     ▲                                                   │ Report
//!   Collector <── reports of a folder or stream <── HTTP ── Outbox
//! ```
//!
//! Everything but [`client`], [`outbox`], [`input`], [`command`], the lookup of a time zone ([`Settings::zone`]) and
//! [`Time::now`] is pure: the same arguments give the same answer. Times are whole seconds, shares are millionths; no
//! floating point decides who is eligible.
//!
//! `docs/design/rollout.md` has the reasons.

pub mod binomial;
mod calendar;
mod change;
pub mod client;
pub mod command;
mod decide;
mod eligible;
pub mod evidence;
mod explain;
pub mod input;
pub mod outbox;
mod plan;
pub mod policy;
pub mod report;
mod schedule;
mod settings;
mod share;
mod time;
mod wave;

pub use calendar::{Calendar, CalendarError};
pub use change::ChangeError;
pub use decide::{Action, Decision, Forbidden, decide};
pub use eligible::{Reach, Turn};
pub use evidence::{Collector, Evidence, Roster, Tally};
pub use explain::{Explanation, Reason, Situation, Standing, Verdict, explain};
pub use plan::{Plan, PlanError, Stage, State};
pub use policy::Policy;
pub use report::Report;
pub use schedule::{Closed, Opening, Schedule};
pub use settings::{Blocked, Settings, SettingsError, Urgent, Window};
pub use share::{Share, ShareError};
pub use time::{Seconds, Time, TimeError};
pub use wave::{HostId, MachineId, NameError, Position, Release};
