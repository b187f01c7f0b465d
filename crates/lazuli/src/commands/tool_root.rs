//! `lazuli tool-root`: where a tool root lies, for tests that run tools in it.

use crate::ui::say;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use lazuli_component::schema::{nearest, suggestion};

/// Runs it.
pub fn run(workspace: &Workspace, name: &str) -> Result<()> {
    let known = &workspace.source.distro.tool_root;
    if !known.contains_key(name) {
        let near = nearest(name, known.keys().map(String::as_str));
        bail!("there is no tool root `{name}` in lazuli.toml{}", suggestion(near));
    }
    say!("{}", workspace.tool_root(name)?.display());
    Ok(())
}
