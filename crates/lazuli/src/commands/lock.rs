//! `lazuli lock`: pin, check, move.

use crate::cli::LockArgs;
use crate::ui::say;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use lazuli_component::resolve::compare;
use lazuli_component::schema::{nearest, suggestion};
use std::collections::BTreeSet;

/// Runs it; `false` if `--check` found something out of date.
pub fn run(workspace: &Workspace, args: &LockArgs) -> Result<bool> {
    let old = workspace.lock();
    let owners: BTreeSet<String> = workspace
        .source
        .components
        .keys()
        .flat_map(|name| [name.clone(), format!("component:{name}")])
        .chain(workspace.source.distro.tool_root.keys().cloned())
        .collect();
    let named: BTreeSet<&String> = args.update.iter().flatten().collect();
    for name in &named {
        if !owners.contains(*name) {
            let near = nearest(name, owners.iter().map(String::as_str));
            bail!("there is no component or tool root `{name}`{}", suggestion(near));
        }
    }
    let mut archive = workspace.archive(&workspace.mirror()?)?;
    let moves = |owner: &str| {
        args.check || (args.update.is_some() && (named.is_empty() || named.iter().any(|n| *n == owner)))
    };
    let new = workspace.pin(&mut archive, moves)?;
    let changes = compare(&old, &new);
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&changes)?);
    } else {
        for change in &changes {
            let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".into());
            let (pinned, current) = (version(&change.pinned), version(&change.current));
            say!("{:24} {:32} {pinned} -> {current}", change.owner, change.package);
        }
    }
    if args.check {
        if changes.is_empty() {
            workspace.ui.line("lazuli.lock is up to date");
        }
        return Ok(changes.is_empty());
    }
    let count = new.deb.len() + new.source.len();
    workspace.set_lock(new)?;
    workspace.ui.line(format!("lazuli.lock pins {count} inputs, {} changed", changes.len()));
    Ok(true)
}
