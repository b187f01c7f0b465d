//! `lazuli update rollout`: arguments in, result out. What it does is in `lazuli_rollout::command`.

use crate::ui::{say, write_result};
use anyhow::{Context as _, Result};
use clap::Args;
use lazuli_rollout::Time;
use lazuli_rollout::command::{self, Order, Request};
use std::path::PathBuf;

/// `lazuli update rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// The rollout plan of the release, a JSON file
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Reports of hosts: files of JSON lines, directories of such files, or `-` for standard input
    #[arg(long, num_args = 1.., value_name = "PATH")]
    reports: Vec<PathBuf>,
    /// When to raise, hold and withdraw, a TOML file; the default policy without it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The host ids of the fleet, one a line: reports of others do not count
    #[arg(long, value_name = "FILE", conflicts_with = "fleet")]
    hosts: Option<PathBuf>,
    /// How many machines the fleet has, where there is no list
    #[arg(long, value_name = "COUNT")]
    fleet: Option<u64>,
    /// Reports from before do not count (RFC 3339): use it when a release was taken up again
    #[arg(long, value_name = "TIME")]
    since: Option<Time>,
    /// Decide as if it were this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    now: Option<Time>,
    /// Write the changed plan back; without it, only say what would be done
    #[arg(long)]
    write: bool,
    /// Raise the next stage, whatever the reports say
    #[arg(long, group = "order")]
    raise: bool,
    /// Let no machine begin to take the release, for this reason
    #[arg(long, group = "order", value_name = "REASON")]
    hold: Option<String>,
    /// Take a held release up again, where it was
    #[arg(long, group = "order")]
    resume: bool,
    /// Withdraw the release for good, for this reason
    #[arg(long, group = "order", value_name = "REASON")]
    withdraw: Option<String>,
}

impl RolloutArgs {
    fn request(&self) -> Request {
        let order = match (&self.hold, &self.withdraw) {
            (Some(reason), _) => Some(Order::Hold(reason.clone())),
            (_, Some(reason)) => Some(Order::Withdraw(reason.clone())),
            _ if self.raise => Some(Order::Raise),
            _ if self.resume => Some(Order::Resume),
            _ => None,
        };
        Request {
            plan: self.plan.clone(),
            policy: self.policy.clone(),
            reports: self.reports.clone(),
            hosts: self.hosts.clone(),
            fleet: self.fleet,
            since: self.since,
            now: self.now,
            order,
            write: self.write,
        }
    }
}

/// Runs it.
pub fn run(args: &RolloutArgs, json: bool) -> Result<()> {
    let outcome = command::run(&args.request())?;
    if json {
        say!("{}", serde_json::to_string_pretty(&outcome).context("the result as JSON")?);
    } else {
        write_result(format_args!("{}", outcome.text()));
    }
    Ok(())
}
