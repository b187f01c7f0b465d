//! `group`: groups of packages.

use super::change::{Change, Group};
use crate::cli::GroupArgs;
use crate::error::{Error, Result};
use crate::output::Style;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_repo::comps::{self, Comps, Membership};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Whether a package belongs to a group in a certain way.
type Fits = fn(&Membership) -> bool;

/// Runs `group`, or says what has to be changed.
pub fn group(session: &Session<'_>, args: &GroupArgs) -> Result<Option<Vec<Group>>> {
    let (action, names) = match args.words.split_first() {
        Some((word, rest))
            if ["list", "info", "install", "remove", "erase", "upgrade", "update", "summary"]
                .contains(&word.as_str()) =>
        {
            (word.as_str(), rest)
        }
        Some((word, _)) => {
            return Err(Error::Usage(format!(
                "group {word}: expected list, info, install, remove or upgrade"
            )));
        }
        None => ("list", &[][..]),
    };
    let change = match action {
        "install" => Change::Install { optional: args.with_optional },
        "remove" | "erase" => Change::Remove,
        "upgrade" | "update" => Change::Upgrade,
        _ => {
            let comps = session.repositories(true)?.groups()?;
            if comps == Comps::default() && !session.out.json {
                return Err(Error::NoMatchAsDnf(
                    "No group data available for configured repositories.".to_owned(),
                ));
            }
            if action == "info" {
                info(session, &comps, names)?;
            } else {
                list(session, args, &comps, names)?;
            }
            return Ok(None);
        }
    };
    if names.is_empty() {
        return Err(Error::Usage(format!("group {action} needs groups; `group list` shows what there is")));
    }
    let names = names.iter().map(|name| name.trim_start_matches(['@', '^']).to_owned());
    Ok(Some(names.map(|name| Group { name, change }).collect()))
}

/// Whether all that a group is nothing without is installed; if nothing is, whether all that usually comes.
pub(super) fn is_installed(group: &comps::Group, have: &impl Fn(&str) -> bool) -> bool {
    let of = |membership| group.packages.iter().filter(move |m| m.membership == membership);
    let (mandatory, usual): (Vec<_>, Vec<_>) =
        (of(Membership::Mandatory).collect(), of(Membership::Default).collect());
    let needed = if mandatory.is_empty() { usual } else { mandatory };
    !needed.is_empty() && needed.iter().all(|m| have(&m.name))
}

fn installed_names(session: &Session<'_>) -> Result<BTreeSet<String>> {
    Ok(session.installed()?.names()?.into_iter().map(|(name, _)| name).collect())
}

/// Whether one of the words is its id or name; any if there is none.
fn is_meant(words: &[String], id: &str, name: &str) -> bool {
    words.is_empty()
        || words.iter().any(|word| {
            let pattern = Pattern::new(&word.trim_start_matches(['@', '^']).to_lowercase());
            pattern.matches_text(&id.to_lowercase()) || pattern.matches_text(&name.to_lowercase())
        })
}

fn list(session: &Session<'_>, args: &GroupArgs, comps: &Comps, words: &[String]) -> Result<()> {
    let out = session.out;
    let have = installed_names(session)?;
    // What somebody names is shown even if it is hidden.
    let shown = |g: &&comps::Group| {
        (g.visible || args.hidden || !words.is_empty()) && is_meant(words, &g.id, &g.name)
    };
    let groups: Vec<(&comps::Group, bool)> = comps
        .groups
        .iter()
        .filter(shown)
        .map(|g| (g, is_installed(g, &|name| have.contains(name))))
        .collect();
    let whole = |e: &comps::Environment| {
        let mut of = e.groups.iter().filter_map(|id| comps.groups.iter().find(|g| g.id == *id)).peekable();
        of.peek().is_some() && of.all(|g| is_installed(g, &|name| have.contains(name)))
    };
    let environments: Vec<(&comps::Environment, bool)> = comps
        .environments
        .iter()
        .filter(|e| is_meant(words, &e.id, &e.name))
        .map(|e| (e, whole(e)))
        .collect();
    let wanted = |installed: bool| if installed { !args.available } else { !args.installed };
    if out.json {
        let group = |kind: &str, id: &str, name: &str, installed: bool| json!({ "Kind": kind, "Id": id, "Name": name, "Installed": installed });
        let all = environments.iter().map(|(e, i)| (group("environment", &e.id, &e.name, *i), *i));
        let all = all.chain(groups.iter().map(|(g, i)| (group("group", &g.id, &g.name, *i), *i)));
        let values: Vec<Value> = all.filter(|(_, i)| wanted(*i)).map(|(value, _)| value).collect();
        out.json(&values);
        return Ok(());
    }
    let section = |heading: &str, entries: Vec<(&str, &str)>| {
        if entries.is_empty() {
            return;
        }
        out.line(out.styled(Style::Bold, heading));
        for (id, name) in entries {
            out.line(if args.ids { format!("   {name} ({id})") } else { format!("   {name}") });
        }
    };
    for (state, installed) in [("Available", false), ("Installed", true)] {
        if wanted(installed) {
            let of = environments.iter().filter(|(_, i)| *i == installed);
            section(&format!("{state} Environment Groups:"), of.map(|(e, _)| (&*e.id, &*e.name)).collect());
        }
    }
    for (state, installed) in [("Installed", true), ("Available", false)] {
        if wanted(installed) {
            let of = groups.iter().filter(|(_, i)| *i == installed);
            section(&format!("{state} Groups:"), of.map(|(g, _)| (&*g.id, &*g.name)).collect());
        }
    }
    Ok(())
}

fn info(session: &Session<'_>, comps: &Comps, words: &[String]) -> Result<()> {
    let out = session.out;
    let have = installed_names(session)?;
    let groups: Vec<_> = comps.groups.iter().filter(|g| is_meant(words, &g.id, &g.name)).collect();
    let environments: Vec<_> =
        comps.environments.iter().filter(|e| is_meant(words, &e.id, &e.name)).collect();
    if groups.is_empty() && environments.is_empty() {
        return Err(Error::NoMatch(words.to_vec()));
    }
    let of = |g: &comps::Group, fits: Fits| -> Vec<String> {
        g.packages.iter().filter(|m| fits(&m.membership)).map(|m| m.name.clone()).collect()
    };
    let kinds: [(&str, Fits); 4] = [
        ("Mandatory", |m| *m == Membership::Mandatory),
        ("Default", |m| *m == Membership::Default),
        ("Optional", |m| *m == Membership::Optional),
        ("Conditional", |m| matches!(m, Membership::Conditional(_))),
    ];
    if out.json {
        let mut values: Vec<Value> = environments
            .iter()
            .map(|e| {
                json!({
                    "Kind": "environment", "Id": e.id, "Name": e.name, "Description": e.description,
                    "Groups": e.groups, "OptionalGroups": e.options,
                })
            })
            .collect();
        values.extend(groups.iter().map(|g| {
            let mut value = json!({
                "Kind": "group", "Id": g.id, "Name": g.name, "Description": g.description,
                "Installed": is_installed(g, &|name| have.contains(name)),
            });
            for (kind, fits) in kinds {
                value[kind] = json!(of(g, fits));
            }
            value
        }));
        out.json(&values);
        return Ok(());
    }
    let names = |heading: &str, names: &[String]| {
        if !names.is_empty() {
            out.line(format!(" {heading}:"));
            for name in names {
                out.line(format!("   {name}"));
            }
        }
    };
    let text = |key: &str, text: &str| {
        if !text.is_empty() {
            out.line(format!(" {key}: {}", text.replace('\n', "\n   ")));
        }
    };
    for e in environments {
        out.line(format!("Environment Group: {}", out.styled(Style::Bold, &e.name)));
        text("Id", &e.id);
        text("Description", &e.description);
        names("Mandatory Groups", &e.groups);
        names("Optional Groups", &e.options);
        out.line("");
    }
    for g in groups {
        out.line(format!("Group: {}", out.styled(Style::Bold, &g.name)));
        text("Id", &g.id);
        text("Description", &g.description);
        for (kind, fits) in kinds {
            names(&format!("{kind} Packages"), &of(g, fits));
        }
        out.line("");
    }
    Ok(())
}
