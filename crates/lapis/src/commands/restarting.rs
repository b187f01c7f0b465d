//! `needs-restarting`, and the hints after a transaction.

use crate::cli::NeedsRestartingArgs;
use crate::error::Result;
use crate::output::{Align, Style, Table};
use crate::restart;
use crate::run::Outcome;
use crate::session::Session;
use serde_json::json;

/// Runs `needs-restarting`.
pub fn needs_restarting(session: &Session<'_>, args: &NeedsRestartingArgs) -> Result<Outcome> {
    let out = session.out;
    let reboot = reboot_due(session)?;
    if args.reboothint {
        if out.json {
            out.json(&json!({ "RebootDue": !reboot.is_empty(), "Packages": reboot }));
        } else if reboot.is_empty() {
            out.info("No core libraries or services have been updated since the system was started.");
            out.info("Reboot should not be necessary.");
        } else {
            out.line("Core libraries or services have been updated since the system was started:");
            for name in &reboot {
                out.line(format!("  * {name}"));
            }
            out.line("");
            out.line("Reboot is required to fully utilize these updates.");
        }
        return Ok(if reboot.is_empty() { Outcome::Done } else { Outcome::Attention });
    }
    let mut stale = restart::stale_processes();
    if args.useronly {
        let me = rustix::process::getuid().as_raw();
        stale.retain(|s| s.uid == me);
    }
    if args.services {
        let services = restart::services(&stale);
        if out.json {
            out.json(&services.keys().collect::<Vec<_>>());
        } else {
            for name in services.keys() {
                out.line(name);
            }
        }
        return Ok(Outcome::Done);
    }
    if out.json {
        let processes: Vec<_> = stale
            .iter()
            .map(|s| {
                json!({ "Pid": s.pid, "Command": s.command, "Uid": s.uid, "Service": s.service, "File": s.file })
            })
            .collect();
        out.json(&json!({ "RebootDue": !reboot.is_empty(), "Packages": reboot, "Processes": processes }));
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&[Align::Right, Align::Left, Align::Left]);
    for s in &stale {
        table.row([
            s.pid.to_string(),
            s.service.clone().unwrap_or_else(|| "-".to_owned()),
            s.command.clone(),
        ]);
    }
    out.table(&table);
    if !reboot.is_empty() {
        out.info(format!("{} {}", out.styled(Style::Warn, "A reboot is due for:"), reboot.join(", ")));
    }
    Ok(Outcome::Done)
}

/// Packages for which a reboot is due. Nothing runs in a root that is not the running system's.
pub fn reboot_due(session: &Session<'_>) -> Result<Vec<String>> {
    let Some(boot) = restart::boot_time().filter(|_| session.is_running_system()) else {
        return Ok(Vec::new());
    };
    let list = session.installed()?.database().list()?;
    let packages = list.iter().map(|p| (p.nevra.name.as_str(), i64::from(p.install_time)));
    let due = restart::reboot_for(packages, boot, &restart::configured(&session.root));
    Ok(due.into_iter().map(str::to_owned).collect())
}

/// What is said after a transaction.
pub fn hints(session: &Session<'_>) -> Result<()> {
    if !session.is_running_system() || session.out.quiet || session.out.json {
        return Ok(());
    }
    let reboot = reboot_due(session)?;
    let out = session.out;
    if !reboot.is_empty() {
        out.line("");
        out.line(format!(
            "{} {}",
            out.styled(Style::Warn, "A reboot is due, because of:"),
            reboot.join(", ")
        ));
    }
    let stale = restart::stale_processes();
    let services = restart::services(&stale);
    if !services.is_empty() {
        out.line("");
        out.line(out.styled(Style::Warn, "These services run code that is no longer installed:"));
        let names: Vec<&str> = services.into_keys().collect();
        out.line(format!("  systemctl restart {}", names.join(" ")));
    }
    Ok(())
}
