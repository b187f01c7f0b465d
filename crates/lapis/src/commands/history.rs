//! `history`: what was done. Undoing is in `commands::change`.

use crate::cli::HistoryArgs;
use crate::error::{Error, Result};
use crate::history::{Action, History, Kind, Range, Reason, State, Transaction, Wish, inverse, repeat};
use crate::output::{Align, Output, Style, Table, time};
use crate::package::shown;
use crate::session::Session;
use serde_json::{Value, json};

/// What is to be done with the history.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Shown already.
    Shown,
    /// Bring this about.
    Wishes(Vec<Wish>),
}

/// Runs `history`, or says what has to be changed.
pub fn history(session: &Session<'_>, args: &HistoryArgs) -> Result<Request> {
    let out = session.out;
    let (action, rest) = match args.words.split_first() {
        Some((word, rest)) if is_action(word) => (word.as_str(), rest),
        _ => ("list", &args.words[..]),
    };
    if matches!(action, "init" | "update") {
        session.notice_changes()?;
        out.info("The history is up to date with the package database.");
        return Ok(Request::Shown);
    }
    let history = History::read(&session.root)?;
    let newest = history.last()?;
    let mut ranges = Vec::new();
    for word in rest.iter().filter(|w| action != "list" || names_transaction(w, newest)) {
        ranges.push(Range::parse(word, newest).map_err(|e| Error::Usage(e.to_string()))?);
    }
    if args.from.is_some() || (args.to.is_some() && action != "rollback") {
        let (from, to) = (args.from.unwrap_or(1), args.to.unwrap_or(newest));
        ranges.push(Range { first: from.min(to), last: from.max(to) });
    }
    let chosen = |default: Option<i64>| -> Result<Vec<Transaction>> {
        let mut all = history.transactions()?;
        match (ranges.is_empty(), default) {
            (true, Some(id)) => all.retain(|t| t.id == id),
            (true, None) => {}
            (false, _) => all.retain(|t| ranges.iter().any(|r| r.contains(t.id))),
        }
        match ranges.iter().find(|r| r.first == r.last && !all.iter().any(|t| t.id == r.first)) {
            Some(missing) => Err(crate::history::Error::NoTransaction { id: missing.first }.into()),
            None => Ok(all),
        }
    };
    let need_one = || {
        if ranges.is_empty() {
            return Err(Error::Usage(format!("history {action} needs a transaction: a number, or `last`")));
        }
        Ok(())
    };
    match action {
        "info" => info(out, &chosen(Some(newest))?),
        "undo" => {
            need_one()?;
            return Ok(Request::Wishes(inverse(&undoable(chosen(None)?)?)));
        }
        "redo" => {
            need_one()?;
            let mut all = undoable(chosen(None)?)?;
            all.reverse();
            return Ok(Request::Wishes(all.iter().flat_map(repeat).collect()));
        }
        "rollback" => {
            let to = match (args.to, ranges.first()) {
                (Some(to), _) => to,
                (None, Some(range)) => range.first,
                (None, None) => {
                    return Err(Error::Usage(
                        "history rollback needs the transaction to return to: a number, or `--to N`"
                            .to_owned(),
                    ));
                }
            };
            if !(0..=newest).contains(&to) {
                return Err(crate::history::Error::NoTransaction { id: to }.into());
            }
            let mut all = history.transactions()?;
            all.retain(|t| t.id > to);
            return Ok(Request::Wishes(inverse(&undoable(all)?)));
        }
        "userinstalled" => user_installed(session)?,
        _ => {
            let mut all = chosen(None)?;
            let names: Vec<_> = rest.iter().filter(|w| !names_transaction(w, newest)).collect();
            if !names.is_empty() {
                let patterns: Vec<_> = names.iter().map(|n| crate::spec::Pattern::new(n)).collect();
                all.retain(|t| t.elements.iter().any(|e| patterns.iter().any(|p| p.matches(&e.nevra))));
            }
            if args.reverse {
                all.reverse();
            }
            if args.info { info(out, &all) } else { list(out, &all) }
        }
    }
    Ok(Request::Shown)
}

fn is_action(word: &str) -> bool {
    ["list", "info", "undo", "redo", "rollback", "userinstalled", "init", "update"].contains(&word)
}

fn names_transaction(word: &str, newest: i64) -> bool {
    Range::parse(word, newest).is_ok()
}

/// Transactions that failed changed nothing; one that is still running cannot be undone.
fn undoable(mut all: Vec<Transaction>) -> Result<Vec<Transaction>> {
    if let Some(running) = all.iter().find(|t| t.state == State::Running) {
        return Err(Error::Transaction(format!(
            "transaction {} was interrupted: run `lapis recover` first",
            running.id
        )));
    }
    all.retain(|t| t.state != State::Failed);
    Ok(all)
}

/// The actions of a transaction in short: `Install, Upgrade`, or one letter each.
fn actions(transaction: &Transaction) -> String {
    let mut kinds: Vec<Action> = transaction.elements.iter().map(|e| e.action).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.retain(|a| *a != Action::Replaced);
    if let [one] = kinds[..] {
        let mut name = one.as_str().to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return name;
    }
    kinds.iter().map(|a| a.letter().to_string()).collect::<Vec<_>>().join(", ")
}

/// What stands behind the number of packages: `E` an error, `*` done without us, `#` signatures not checked.
fn marks(t: &Transaction) -> String {
    let mut marks = String::new();
    marks.push_str(match t.state {
        State::Running => " >",
        State::Failed => " E",
        State::Recovered => " <",
        State::Done => "",
    });
    if t.unverified {
        marks.push_str(" #");
    }
    if t.kind == Kind::Foreign {
        marks.push_str(" *");
    }
    marks
}

/// A command line that fits into a table; `history info` has all of it.
fn shortened(command: &str) -> String {
    const WIDTH: usize = 48;
    if command.chars().count() <= WIDTH {
        return command.to_owned();
    }
    command.chars().take(WIDTH - 2).chain("..".chars()).collect()
}

fn altered(t: &Transaction) -> usize {
    t.elements.iter().filter(|e| e.action != Action::Replaced).count()
}

fn list(out: &Output, all: &[Transaction]) {
    if out.json {
        out.json(&all.iter().map(to_json).collect::<Vec<_>>());
        return;
    }
    let mut table =
        Table::new(&[Align::Right, Align::Left, Align::Left, Align::Left, Align::Right, Align::Left]);
    table.row(
        ["ID", "Command line", "Date and time (UTC)", "Action(s)", "Altered", ""]
            .map(|text| out.styled(Style::Bold, text)),
    );
    for t in all {
        table.row([
            t.id.to_string(),
            shortened(&t.command),
            time::minute(t.started),
            actions(t),
            altered(t).to_string(),
            marks(t).trim().to_owned(),
        ]);
    }
    out.table(&table);
}

fn info(out: &Output, all: &[Transaction]) {
    if out.json {
        out.json(&all.iter().map(to_json).collect::<Vec<_>>());
        return;
    }
    for (at, t) in all.iter().enumerate() {
        if at > 0 {
            out.line("");
        }
        let line = |key: &str, value: &str| {
            if !value.is_empty() {
                out.line(format!("{key:15}: {value}"));
            }
        };
        line("Transaction ID", &t.id.to_string());
        line("Begin time", &format!("{} UTC", time::minute(t.started)));
        line(
            "End time",
            &t.ended.map(|e| format!("{} UTC ({} s)", time::minute(e), e - t.started)).unwrap_or_default(),
        );
        if t.kind == Kind::Foreign {
            line("Done by", "another program, such as rpm; the time is when it was noticed");
        } else {
            line("User", &format!("{} ({})", t.user, t.uid));
        }
        line("State", t.state.as_str());
        line("Command line", &t.command);
        line("Comment", &t.comment);
        line("Signatures", if t.unverified { "NOT CHECKED (--nogpgcheck)" } else { "" });
        out.line("Packages altered:");
        let mut table = Table::new(&[Align::Left, Align::Left, Align::Left, Align::Left]).indented(4);
        for e in &t.elements {
            let repository =
                if e.repository.is_empty() { String::new() } else { format!("@{}", e.repository) };
            let reason = if e.action.is_out() { String::new() } else { e.reason.as_str().to_owned() };
            table.row([title(e.action.as_str()), shown(&e.nevra), reason, repository]);
        }
        out.table(&table);
        if !t.output.is_empty() {
            out.line("Output:");
            for text in t.output.lines() {
                out.line(format!("    {text}"));
            }
        }
    }
}

fn title(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}

fn to_json(t: &Transaction) -> Value {
    let elements: Vec<Value> = t
        .elements
        .iter()
        .map(|e| {
            json!({
                "Action": e.action.as_str(), "Nevra": shown(&e.nevra), "Name": e.nevra.name,
                "Arch": e.nevra.arch, "Evr": crate::package::shown_evr(&e.nevra), "Repo": e.repository,
                "Reason": e.reason.as_str(), "Why": e.why,
            })
        })
        .collect();
    json!({
        "Id": t.id, "Kind": t.kind.as_str(), "State": t.state.as_str(), "Begin": t.started, "End": t.ended,
        "Uid": t.uid, "User": t.user, "CommandLine": t.command, "Comment": t.comment,
        "SignaturesChecked": !t.unverified, "Altered": altered(t), "Output": t.output,
        "CookieBefore": t.cookie_before, "CookieAfter": t.cookie_after, "Packages": elements,
    })
}

fn user_installed(session: &Session<'_>) -> Result<()> {
    let installed = session.installed()?;
    let mut names: Vec<String> = Vec::new();
    for (_, nevra) in installed.nevras()? {
        if installed.reason(&nevra) == Reason::User {
            names.push(shown(&nevra));
        }
    }
    if session.out.json {
        session.out.json(&names);
    } else {
        for name in &names {
            session.out.line(name);
        }
    }
    Ok(())
}
