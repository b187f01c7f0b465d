//! `config-manager`: lasting changes to the files of repositories.

mod add;
mod files;

use crate::cli::ConfigManagerArgs;
use crate::error::{Error, Result};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Pattern;
use files::Changes;
use lazuli_repo::config::Place;
use std::path::PathBuf;

/// Runs `config-manager`.
pub fn config_manager(session: &Session<'_>, args: &ConfigManagerArgs) -> Result<Outcome> {
    session.need_root()?;
    let (action, rest) = action(session, args)?;
    match action {
        Action::Add { .. } if args.add_repo.is_empty() => add::add_described(session, args)?,
        Action::Add { replace } => add::add_all(session, args, replace)?,
        Action::Enable(value) => {
            let mut changes = Changes::new(session);
            rest.iter().try_for_each(|id| set(session, &mut changes, id, "enabled", value))?;
            changes.write()?;
        }
        Action::Set => {
            let mut changes = Changes::new(session);
            let saved = if args.save { &session.global.place.setopt[..] } else { &[][..] };
            for option in rest.iter().chain(saved) {
                set_option(session, &mut changes, option)?;
            }
            changes.write()?;
        }
        Action::Dump => {}
    }
    if args.dump || action == Action::Dump {
        let patterns: Vec<Pattern> = rest.iter().map(|id| Pattern::new(id)).collect();
        let dumped = |id: &str| {
            action != Action::Dump || patterns.is_empty() || patterns.iter().any(|p| p.matches_text(id))
        };
        for r in session.settings.repositories.iter().filter(|r| dumped(&r.id)) {
            let state = if r.enabled { "enabled" } else { "disabled" };
            session.out.line(format!("{} ({state}) {}", r.id, r.place));
        }
    }
    Ok(Outcome::Done)
}

/// What is to be done; one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add { replace: bool },
    Enable(&'static str),
    Set,
    Dump,
}

/// The action of a command line, and its words. What would have no effect is an error.
fn action<'a>(session: &Session<'_>, args: &'a ConfigManagerArgs) -> Result<(Action, &'a [String])> {
    let usage = |text: &str| Err(Error::Usage(text.to_owned()));
    let (word, rest) = match args.words.split_first() {
        Some((word, rest)) if ["setopt", "addrepo", "enable", "disable"].contains(&word.as_str()) => {
            (Some(word.as_str()), rest)
        }
        _ => (None, &args.words[..]),
    };
    let saves = args.save && !session.global.place.setopt.is_empty();
    let mut actions = Vec::new();
    if word == Some("addrepo") || !args.add_repo.is_empty() {
        // dnf5's `addrepo` wants to be asked to replace a file, dnf4's --add-repo did it without.
        actions.push(Action::Add { replace: args.overwrite || word != Some("addrepo") });
    }
    if args.set_enabled || word == Some("enable") {
        actions.push(Action::Enable("1"));
    }
    if args.set_disabled || word == Some("disable") {
        actions.push(Action::Enable("0"));
    }
    if word == Some("setopt") || saves {
        actions.push(Action::Set);
    }
    let action = match actions[..] {
        [] => Action::Dump,
        [action] => action,
        _ => return usage("these change different things; give them one by one"),
    };
    if args.save && !saves {
        return usage(
            "--save writes what --setopt=ID.KEY=VALUE or --setopt=KEY=VALUE says, and there is none",
        );
    }
    if !matches!(action, Action::Add { .. }) && (args.id.is_some() || !args.set.is_empty() || args.overwrite)
    {
        return usage(
            "--id, --set and --overwrite go with addrepo; `setopt ID.KEY=VALUE` changes what is there",
        );
    }
    match action {
        Action::Enable(_) if rest.is_empty() => {
            return usage("expected ids of repositories; `repolist --all` shows them");
        }
        Action::Set if rest.is_empty() && !saves => {
            return usage("setopt: expected KEY=VALUE or ID.KEY=VALUE");
        }
        Action::Set if word != Some("setopt") && !rest.is_empty() => {
            return Err(Error::Usage(format!(
                "`{}`: name the repository in the option itself: --setopt={}.KEY=VALUE",
                rest[0], rest[0]
            )));
        }
        Action::Add { .. } if !rest.is_empty() => {
            return Err(Error::Usage(format!(
                "`{}` is not expected here; a file or an address goes with --from-repofile",
                rest[0]
            )));
        }
        Action::Dump if !args.dump && !rest.is_empty() => {
            return Err(Error::Usage(format!(
                "`{}`: expected addrepo, setopt, enable or disable. To unset a key, take its line out of the file",
                rest[0]
            )));
        }
        Action::Dump if !args.dump && !session.global.place.setopt.is_empty() => {
            return usage("--setopt changes nothing for good without --save");
        }
        _ => {}
    }
    Ok((action, rest))
}

/// `KEY=VALUE` for `[main]`, `ID.KEY=VALUE` for repositories.
fn set_option(session: &Session<'_>, changes: &mut Changes<'_>, option: &str) -> Result<()> {
    let Some((key, value)) = option.split_once('=') else {
        return Err(Error::Usage(format!("`{option}`: expected KEY=VALUE or REPOSITORY.KEY=VALUE")));
    };
    match key.rsplit_once('.') {
        Some((id, key)) if id != "main" => set(session, changes, id, key, value),
        Some((_, key)) => changes.set(&main_file(session), "main", key, value),
        None => changes.set(&main_file(session), "main", key, value),
    }
}

/// Sets a key of all repositories whose id matches.
fn set(session: &Session<'_>, changes: &mut Changes<'_>, id: &str, key: &str, value: &str) -> Result<()> {
    let pattern = Pattern::new(id);
    let mut found = false;
    for repository in session.settings.repositories.iter().filter(|r| pattern.matches_text(&r.id)) {
        let Place::File(file, _) = &repository.place else { continue };
        if session.settings.from != session.root {
            return Err(Error::Config(format!(
                "repository {} is described in {} of the running system, as {} has no configuration of its \
                 own; add the repository there first, or leave --installroot out",
                repository.id,
                file.display(),
                session.root.display()
            )));
        }
        changes.set(file, &repository.id, key, value)?;
        found = true;
    }
    if found { Ok(()) } else { Err(Error::NoSuchRepository(id.to_owned())) }
}

/// The file whose `[main]` counts.
fn main_file(session: &Session<'_>) -> PathBuf {
    session.global.place.config.clone().unwrap_or_else(|| {
        let candidates = ["etc/lapis/lapis.conf", "etc/tdnf/tdnf.conf", "etc/dnf/dnf.conf"];
        let mut there = candidates.iter().map(|c| session.root.join(c)).filter(|path| path.exists());
        there.next().unwrap_or_else(|| session.root.join(candidates[0]))
    })
}
