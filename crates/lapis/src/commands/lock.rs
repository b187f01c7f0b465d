//! `versionlock`.

use crate::cli::VersionlockArgs;
use crate::error::{Error, Result};
use crate::locks;
use crate::query;
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::{Pattern, Spec};
use lazuli_solve::Lock;
use serde_json::json;

/// Runs `versionlock`.
pub fn versionlock(session: &Session<'_>, args: &VersionlockArgs) -> Result<Outcome> {
    let (action, rest) = match args.words.split_first() {
        None => ("list", &[][..]),
        Some((word, rest))
            if ["list", "add", "exclude", "delete", "del", "clear"].contains(&word.as_str()) =>
        {
            (word.as_str(), rest)
        }
        Some(_) => ("add", &args.words[..]),
    };
    let out = session.out;
    let locks = match action {
        "list" => {
            let locks = locks::read(&session.root)?;
            if out.json {
                let values: Vec<_> = locks
                    .iter()
                    .map(|(file, l)| json!({ "Lock": l.package, "Exclude": l.exclude, "File": file }))
                    .collect();
                out.json(&values);
            } else {
                for (_, lock) in &locks {
                    out.line(locks::text(lock));
                }
            }
            return Ok(Outcome::Done);
        }
        "clear" => {
            session.need_root()?;
            locks::remove(&session.root, |_| true)?
        }
        "delete" | "del" => {
            session.need_root()?;
            let patterns: Vec<Pattern> = rest.iter().map(|w| Pattern::new(w)).collect();
            let gone = locks::remove(&session.root, |lock| {
                patterns.iter().any(|p| p.matches_text(&lock.package) || names(p, &lock.package))
            })?;
            if gone.is_empty() {
                return Err(Error::NoMatch(rest.to_vec()));
            }
            gone
        }
        _ => {
            session.need_root()?;
            let exclude = action == "exclude";
            let mut new = Vec::new();
            for word in rest {
                if args.raw {
                    new.push(Lock { package: word.clone(), exclude });
                    continue;
                }
                let specs = [Spec::parse(word)];
                let mut found = query::installed(session, &specs)?;
                if found.is_empty() || exclude {
                    let repositories = session.repositories(true)?;
                    let catalog = session.catalog(&repositories)?;
                    let available = query::available(&catalog, &specs, false)?;
                    if exclude && !available.is_empty() || found.is_empty() {
                        found = available;
                    }
                }
                if found.is_empty() {
                    return Err(Error::NoMatch(vec![word.clone()]));
                }
                new.extend(found.iter().map(|f| Lock { package: locks::pattern(&f.nevra), exclude }));
            }
            new.dedup();
            if new.is_empty() {
                return Err(Error::Usage(format!("versionlock {action} needs packages")));
            }
            locks::add(&session.root, &new)?
        }
    };
    let verb = if matches!(action, "clear" | "delete" | "del") { "Deleting" } else { "Adding" };
    for lock in &locks {
        out.info(format!("{verb} versionlock on: {}", locks::text(lock)));
    }
    Ok(Outcome::Done)
}

/// Whether a pattern is the name in a lock: everything before the last two dashes.
fn names(pattern: &Pattern, lock: &str) -> bool {
    lock.rsplitn(3, '-').nth(2).is_some_and(|name| pattern.matches_text(name))
}
