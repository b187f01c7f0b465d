//! Triggers on files: once for each package, or once for the transaction.

use super::state::{Among, Id, State};
use super::triggers::{Ranked, Sort, Triggers, sense};
use super::{Error, Package, Rules, name};
use crate::script::{Script, When};
use lazuli_rpm::tag;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Priorities from here on run before the package's own scriptlet, lower ones after it.
const EARLY: u32 = 10_000;

/// Which file triggers run at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Priority 10000 and above.
    Early,
    /// Below.
    Late,
}

impl Class {
    fn has(self, priority: u32) -> bool {
        (priority >= EARLY) == (self == Self::Early)
    }
}

/// Which triggers of a package that comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Its file triggers of one class.
    Package(Class),
    /// Its transaction file triggers.
    Transaction,
}

/// Files that start with any of the prefixes, prefix by prefix; a file may come twice.
fn matching(paths: &[String], prefixes: &[&str], skip: &BTreeSet<usize>) -> Vec<String> {
    let mut matching = Vec::new();
    for prefix in prefixes {
        let of_prefix =
            paths.iter().enumerate().filter(|(i, path)| path.starts_with(prefix) && !skip.contains(i));
        matching.extend(of_prefix.map(|(_, path)| path.clone()));
    }
    matching
}

/// Files of installed packages that start with any of the prefixes: prefix by prefix, package by package.
/// Also the name of the package that the first one is in.
fn matching_installed(
    state: &State<'_>,
    prefixes: &[&str],
    among: Among,
    but: Option<Id>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let mut found = Vec::new();
    let mut first = None;
    for prefix in prefixes {
        for id in state.with_files_below(prefix, among)? {
            if Some(id) == but {
                continue;
            }
            let package = state.package(id)?;
            // RPM finds packages by the names of their directories alone: a prefix that ends within the
            // name of a file finds none here, while it does among the files of one element.
            let directories = package.header.strings(tag::DIRNAMES);
            if !directories.iter().any(|directory| directory.starts_with(prefix)) {
                continue;
            }
            let files = matching(&package.header.paths(), &[prefix], &package.absent);
            if first.is_none() && !files.is_empty() {
                first = Some(name(&package.header));
            }
            found.extend(files);
        }
    }
    Ok((found, first))
}

/// `%filetrigger...` of installed packages that the files of one element set off.
pub(super) fn set_off(
    state: &State<'_>,
    element: usize,
    source: &Package,
    when: When,
    class: Class,
    arg: u32,
) -> Result<Vec<Script>, Error> {
    let none = BTreeSet::new();
    let skipped = state.skipped(element).unwrap_or(&none);
    let files = source.header.paths();
    let mut ranked: Vec<(Ranked, Script)> = Vec::new();
    for id in state.with_file_triggers()? {
        // In an upgrade both the old and the new package are there for a while.
        let other_has_it = match when {
            When::In | When::PostUn => state.is_removed(id),
            When::Un => State::is_new(id),
            When::PreIn => false,
        };
        if other_has_it && state.rules == Rules::Rpm6 {
            continue;
        }
        let package = state.watcher(id)?;
        let triggers = Triggers::read(&package.header, Sort::File);
        for number in 0..triggers.len() {
            let priority = triggers.priority(number);
            if !class.has(priority) || !triggers.runs(number, when) {
                continue;
            }
            let prefixes: Vec<&str> = triggers.names(number).collect();
            let paths = matching(&files, &prefixes, skipped);
            if paths.is_empty() {
                continue;
            }
            let own = state.count(&name(&package.header))?;
            if let Some(script) = triggers.script(number, when, vec![own, arg])? {
                let script = Script { element: Some(element), paths, ..script };
                ranked.push(((Reverse(priority), id, number), script));
            }
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    Ok(ranked.into_iter().map(|(_, script)| script).collect())
}

/// File triggers of a package that comes or goes, for all files that are installed.
pub(super) fn own(
    state: &State<'_>,
    element: usize,
    package: &Package,
    when: When,
    scope: Scope,
    arg: u32,
) -> Result<Vec<Script>, Error> {
    let sort = if scope == Scope::Transaction { Sort::TransactionFile } else { Sort::File };
    let triggers = Triggers::read(&package.header, sort);
    let mut numbers: Vec<usize> = (0..triggers.len()).collect();
    numbers.sort_by_key(|number| (Reverse(triggers.priority(*number)), *number));
    let mut scripts = Vec::new();
    for number in numbers {
        let now = match scope {
            Scope::Package(class) => class.has(triggers.priority(number)),
            Scope::Transaction => true,
        };
        if !now || !triggers.runs(number, when) {
            continue;
        }
        let prefixes: Vec<&str> = triggers.names(number).collect();
        // The files that come with it have set it off already.
        let seen = if scope == Scope::Transaction { None } else { state.brought_by(element) };
        let (paths, first) = matching_installed(state, &prefixes, Among::All, seen)?;
        let Some(first) = first else { continue };
        let mut args = vec![arg];
        if scope != Scope::Transaction {
            args.push(state.count(&first)?);
        }
        let script = triggers.script(number, when, args)?;
        scripts.extend(script.map(|script| Script { element: Some(element), paths, ..script }));
    }
    Ok(scripts)
}

/// `%transfiletrigger...` of packages that were there before and stay, for the files of all elements.
pub(super) fn of_transaction(state: &State<'_>, when: When) -> Result<Vec<Script>, Error> {
    let mut ranked: Vec<(Ranked, Script)> = Vec::new();
    for id in state.with_transaction_file_triggers()? {
        // Packages of this transaction run their own, for all files.
        if State::is_new(id) || state.is_removed(id) {
            continue;
        }
        let package = state.watcher(id)?;
        let triggers = Triggers::read(&package.header, Sort::TransactionFile);
        for number in 0..triggers.len() {
            if !triggers.runs(number, when) {
                continue;
            }
            let prefixes: Vec<&str> = triggers.names(number).collect();
            let among = if when == When::In { Among::New } else { Among::Removed };
            let (paths, _) = matching_installed(state, &prefixes, among, None)?;
            if paths.is_empty() {
                continue;
            }
            let own = state.count(&name(&package.header))?;
            if let Some(script) = triggers.script(number, when, vec![own])? {
                ranked.push(((Reverse(triggers.priority(number)), id, number), Script { paths, ..script }));
            }
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    Ok(ranked.into_iter().map(|(_, script)| script).collect())
}

/// `%transfiletriggerpostun` that the removal of a package sets off, to run when the transaction is over.
pub(super) fn after_removal(state: &State<'_>, removed: &Package) -> Result<Vec<Ranked>, Error> {
    let files = removed.header.paths();
    let mut ranked = Vec::new();
    for id in state.with_transaction_file_triggers()? {
        let package = state.watcher(id)?;
        let triggers = Triggers::read(&package.header, Sort::TransactionFile);
        for (condition, number) in &triggers.conditions {
            if condition.flags.intersects(sense(When::PostUn))
                && !matching(&files, &[&condition.name], &removed.absent).is_empty()
            {
                ranked.push((Reverse(triggers.priority(*number)), id, *number));
            }
        }
    }
    Ok(ranked)
}

/// The noted ones whose packages are still there. They get no paths: the files are gone.
pub(super) fn noted(state: &State<'_>, later: &BTreeSet<Ranked>) -> Result<Vec<Script>, Error> {
    let mut scripts = Vec::new();
    for (_, id, number) in later {
        if !state.is_there(*id) {
            continue;
        }
        let package = state.package(*id)?;
        let triggers = Triggers::read(&package.header, Sort::TransactionFile);
        let own = state.count(&name(&package.header))?;
        scripts.extend(triggers.script(*number, When::PostUn, vec![own])?);
    }
    Ok(scripts)
}
