//! `lazuli kernel`: the built configuration, and what a hardening checker thinks of it.

use crate::cli::KernelCommand;
use crate::ui::{say, write_result};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_component::toml_file;
use lazuli_sandbox::{Access, Sandbox};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of the checker's JSON output.
#[derive(Debug, Clone, Deserialize)]
#[allow(clippy::struct_field_names)] // The names are the checker's.
struct Check {
    option_name: String,
    desired_val: String,
    check_result: String,
    check_result_bool: bool,
}

/// `hardening-exceptions.toml`: every failed check that is accepted, with the reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    option: String,
    desired: String,
    reason: String,
}

/// What a check came to.
#[derive(Debug, Clone, Serialize)]
struct Verdict {
    passed: usize,
    accepted: usize,
    failed: Vec<String>,
    stale: Vec<String>,
}

/// Runs it; `false` if a check failed that is not listed, or a listed one does not fail any more.
pub fn run(workspace: &Workspace, command: &KernelCommand) -> Result<bool> {
    let config = workspace.kernel_config()?;
    match command {
        KernelCommand::Config => {
            write_result(format_args!("{}", String::from_utf8_lossy(&config)));
            Ok(true)
        }
        KernelCommand::Check { image } => check(workspace, image, &config),
    }
}

fn check(workspace: &Workspace, image: &str, config: &[u8]) -> Result<bool> {
    let spec = workspace.image_spec(image)?;
    let root = workspace.tool_root("hardening")?;
    let work = workspace.store.tempdir()?;
    lazuli_fs::write(work.path().join("config"), config)?;
    lazuli_fs::write(work.path().join("cmdline"), format!("{}\n", spec.spec.kernel_command_line.join(" ")))?;
    let output = Sandbox::new(&root)
        .bind(work.path(), "/build", Access::ReadOnly)
        .command("python3")
        .args([
            "/usr/bin/kernel-hardening-checker",
            "-m",
            "json",
            "-c",
            "/build/config",
            "-l",
            "/build/cmdline",
        ])
        .run(|_| ())?;
    let checks: Vec<Check> =
        serde_json::from_slice(&output).context("kernel-hardening-checker did not print JSON")?;
    let file = workspace.source.folder("kernel").join("hardening-exceptions.toml");
    let exceptions: Exceptions = toml_file::read(&file)?;
    let verdict = judge(&checks, &exceptions.exception);
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&verdict)?);
    } else {
        say!(
            "{} checks passed, {} failed for a reason given in {}",
            verdict.passed,
            verdict.accepted,
            file.display()
        );
        verdict.failed.iter().for_each(|line| say!("FAIL   {line}"));
        verdict.stale.iter().for_each(|line| say!("STALE  {line}: listed, but it does not fail (any more)"));
    }
    Ok(verdict.failed.is_empty() && verdict.stale.is_empty())
}

fn judge(checks: &[Check], exceptions: &[Exception]) -> Verdict {
    let mut listed: BTreeMap<(&str, &str), bool> = exceptions
        .iter()
        .filter(|e| !e.reason.trim().is_empty())
        .map(|e| ((e.option.as_str(), e.desired.as_str()), false))
        .collect();
    let mut verdict = Verdict { passed: 0, accepted: 0, failed: Vec::new(), stale: Vec::new() };
    for check in checks {
        if check.check_result_bool {
            verdict.passed += 1;
        } else if let Some(used) = listed.get_mut(&(check.option_name.as_str(), check.desired_val.as_str())) {
            *used = true;
            verdict.accepted += 1;
        } else {
            verdict.failed.push(format!(
                "{} should be `{}`: {}",
                check.option_name, check.desired_val, check.check_result
            ));
        }
    }
    verdict.stale =
        listed.iter().filter(|(_, used)| !**used).map(|(k, _)| format!("{} `{}`", k.0, k.1)).collect();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, fine: bool) -> Check {
        Check {
            option_name: name.into(),
            desired_val: "y".into(),
            check_result: if fine { "OK".into() } else { "FAIL: not found".into() },
            check_result_bool: fine,
        }
    }

    fn exception(name: &str, reason: &str) -> Exception {
        Exception { option: name.into(), desired: "y".into(), reason: reason.into() }
    }

    #[test]
    fn only_listed_failures_with_a_reason_pass_and_stale_entries_do_not() {
        let checks = [check("A", true), check("B", false), check("C", false), check("D", false)];
        let verdict =
            judge(&checks, &[exception("B", "because"), exception("C", " "), exception("E", "gone")]);
        assert_eq!((verdict.passed, verdict.accepted), (1, 1));
        assert_eq!(verdict.failed.len(), 2, "{:?}", verdict.failed);
        assert_eq!(verdict.stale, ["E `y`"]);
    }
}
