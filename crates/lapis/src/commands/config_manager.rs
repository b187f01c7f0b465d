//! `config-manager`: lasting changes to the files of repositories.
//!
//! Files are changed line by line, so that comments and order stay as their owner wrote them.

use crate::cli::ConfigManagerArgs;
use crate::error::{Error, Result};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_fs as fs;
use lazuli_repo::config::{Place, RepoConfig};
use std::path::Path;

/// Runs `config-manager`.
pub fn config_manager(session: &Session<'_>, args: &ConfigManagerArgs) -> Result<Outcome> {
    session.need_root()?;
    let mut done = false;
    for file in &args.add_repo {
        add(session, file)?;
        done = true;
    }
    let (action, rest) = match args.words.split_first() {
        Some((word, rest)) if ["setopt", "addrepo", "enable", "disable"].contains(&word.as_str()) => {
            (Some(word.as_str()), rest)
        }
        _ => (None, &args.words[..]),
    };
    let enabled = match (args.set_enabled, args.set_disabled, action) {
        (true, ..) | (_, _, Some("enable")) => Some("1"),
        (_, true, _) | (_, _, Some("disable")) => Some("0"),
        _ => None,
    };
    if let Some(value) = enabled {
        for id in rest {
            set(session, id, "enabled", value)?;
            done = true;
        }
    }
    let options = if action == Some("setopt") { rest } else { &[][..] };
    let saved = if args.save { &session.global.place.setopt[..] } else { &[][..] };
    for option in options.iter().chain(saved) {
        let parts = option.split_once('=').and_then(|(key, value)| Some((key.rsplit_once('.')?, value)));
        let Some(((id, key), value)) = parts else {
            return Err(Error::Usage(format!("`{option}`: expected REPOSITORY.KEY=VALUE")));
        };
        set(session, id, key, value)?;
        done = true;
    }
    if args.dump || !done {
        for r in &session.settings.repositories {
            let state = if r.enabled { "enabled" } else { "disabled" };
            session.out.line(format!("{} ({state}) {}", r.id, r.place));
        }
    }
    Ok(Outcome::Done)
}

/// Sets a key of all repositories whose id matches.
fn set(session: &Session<'_>, id: &str, key: &str, value: &str) -> Result<()> {
    let one_line = |text: &str| !text.contains(['\n', '\r']);
    if !one_line(key) || !one_line(value) || key.is_empty() || key.contains(['=', '[', '#']) {
        return Err(Error::Usage(format!("`{key}` = `{value}` is not a line of a configuration file")));
    }
    let pattern = Pattern::new(id);
    let mut found = false;
    for repository in session.settings.repositories.iter().filter(|r| pattern.matches_text(&r.id)) {
        let Place::File(file, _) = &repository.place else { continue };
        let text = fs::read_to_string(file)?;
        fs::write_atomic(file, changed(&text, &repository.id, key, value), 0o644)?;
        found = true;
    }
    if found { Ok(()) } else { Err(Error::NoSuchRepository(id.to_owned())) }
}

/// A file with a key of a section set: its line is changed if there is one, otherwise added at the end of
/// the section.
fn changed(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let heading = |line: &str| {
        line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name.trim().to_owned())
    };
    let Some(start) = lines.iter().position(|line| heading(line).as_deref() == Some(section)) else {
        return text.to_owned() + &format!("[{section}]\n{key}={value}\n");
    };
    let end =
        lines[start + 1..].iter().position(|l| l.starts_with('[')).map_or(lines.len(), |n| start + 1 + n);
    let is_key = |line: &String| {
        line.split_once('=').is_some_and(|(k, _)| k.trim().eq_ignore_ascii_case(key))
            && !line.starts_with([' ', '\t'])
    };
    let new = format!("{key}={value}");
    if let Some(at) = lines[start + 1..end].iter().position(is_key) {
        let at = start + 1 + at;
        // Lines that continued the old value go with it.
        let more =
            lines[at + 1..end].iter().take_while(|l| l.starts_with([' ', '\t']) && !l.trim().is_empty());
        let more = more.count();
        lines.splice(at..=at + more, [new]);
    } else {
        let last = (start..end).rev().find(|at| !lines[*at].trim().is_empty()).unwrap_or(start);
        lines.insert(last + 1, new);
    }
    lines.join("\n") + "\n"
}

/// Adds a `.repo` file, or a repository at an address.
fn add(session: &Session<'_>, what: &str) -> Result<()> {
    let folder = session.root.join("etc/yum.repos.d");
    fs::create_dir_all(&folder)?;
    let is_file = Path::new(what).extension().is_some_and(|e| e == "repo");
    if is_file && !what.contains("://") {
        let name = Path::new(what).file_name().unwrap_or_default();
        let text = fs::read_to_string(what)?;
        fs::write_atomic(folder.join(name), text, 0o644)?;
        return Ok(());
    }
    if is_file {
        return Err(Error::Usage(format!(
            "{what}: a .repo file says whom to trust, so it is not taken from an address; fetch it, read it, \
             and add the file"
        )));
    }
    if !what.contains("://") {
        return Err(Error::Usage(format!("`{what}` is neither a .repo file nor an address")));
    }
    let id: String = what
        .split_once("://")
        .map_or(what, |(_, rest)| rest)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
        .collect();
    let id = id.trim_matches(['_', '.']).to_owned();
    if !RepoConfig::is_id(&id) {
        return Err(Error::Usage(format!("`{what}` gives no id for a repository")));
    }
    let text = format!("[{id}]\nname=created by config-manager from {what}\nbaseurl={what}\nenabled=1\n");
    fs::write_atomic(folder.join(format!("{id}.repo")), text, 0o644)?;
    session
        .out
        .info(format!("Added repository {id}; name its key with: config-manager setopt {id}.gpgkey=FILE"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_changes_and_the_rest_stays() {
        let text = "# mine\n[a]\nname=A\nenabled = 0\n\n[b]\nenabled=0\nbaseurl=x\n y\n";
        assert_eq!(
            changed(text, "a", "enabled", "1"),
            "# mine\n[a]\nname=A\nenabled=1\n\n[b]\nenabled=0\nbaseurl=x\n y\n"
        );
        assert_eq!(
            changed(text, "a", "priority", "5"),
            "# mine\n[a]\nname=A\nenabled = 0\npriority=5\n\n[b]\nenabled=0\nbaseurl=x\n y\n"
        );
        assert_eq!(
            changed(text, "b", "baseurl", "z"),
            "# mine\n[a]\nname=A\nenabled = 0\n\n[b]\nenabled=0\nbaseurl=z\n"
        );
    }
}
