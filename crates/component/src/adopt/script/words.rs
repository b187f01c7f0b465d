//! Words of a script: what they stand for as far as that is known, and whether expanding them runs
//! anything that does more than read.

use super::lex::literal;
use super::shell::{Kind, Redirect, parse};
use super::tools::READERS;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a script's variables.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// Variables by name; the value if they are set once, to a literal.
    values: BTreeMap<String, Option<String>>,
    /// Variables that are set once, to the script's first argument.
    aliases: BTreeSet<String>,
}

impl Variables {
    /// Those that a script starts with: `DPKG_ROOT` is empty.
    pub(super) fn new() -> Self {
        let values = BTreeMap::from([("DPKG_ROOT".to_owned(), Some(String::new()))]);
        Self { values, aliases: BTreeSet::new() }
    }

    /// Notes an assignment; `own` says whether `$1` in it is the script's.
    pub(super) fn assign(&mut self, name: &str, value: &str, own: bool) {
        let known = !self.values.contains_key(name);
        if known && own && is_first_argument(value) {
            self.aliases.insert(name.to_owned());
            self.values.insert(name.to_owned(), None);
        } else if known {
            let value = literal(value).filter(|v| v.bytes().all(is_plain));
            self.values.insert(name.to_owned(), value);
        } else {
            self.aliases.remove(name);
            self.values.insert(name.to_owned(), None);
        }
    }

    /// Whether the word is the script's first argument.
    pub(super) fn is_action(&self, word: &str) -> bool {
        is_first_argument(word) || variable(word).is_some_and(|name| self.aliases.contains(name))
    }

    /// The text that a word stands for, with variables that have one value only.
    pub(super) fn value(&self, word: &str) -> Option<String> {
        let mut word = word.to_owned();
        for (name, value) in &self.values {
            if let Some(value) = value {
                for form in [format!("${{{name}}}"), format!("${{{name}:-}}")] {
                    word = word.replace(&form, value);
                }
                let form = format!("${name}");
                while let Some(at) = word.find(&form) {
                    let end = at + form.len();
                    if word[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                        break;
                    }
                    word.replace_range(at..end, value);
                }
            }
        }
        literal(&word)
    }
}

/// Whether a redirection writes nothing that stays, and runs nothing.
pub(super) fn redirect(redirect: &Redirect) -> bool {
    match redirect.operator {
        "<" => word_reads(&redirect.target),
        "<<" | "<<-" => redirect.target == "heredoc",
        ">&" | "<&" => true,
        _ => redirect.target == "/dev/null" || redirect.target == "/dev/stderr",
    }
}

/// Whether expanding the word runs nothing but commands that only read.
pub(super) fn word_reads(word: &str) -> bool {
    let mut rest = word;
    while let Some(at) = rest.find(['`', '$', '\'', '\\']) {
        let (start, tail) = (&rest[at..=at], &rest[at + 1..]);
        rest = match start {
            "\\" => tail.get(tail.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
            // Inside double quotes a single quote is no quote, so nothing is skipped there.
            "'" if !word.contains('"') => tail.split_once('\'').map_or("", |(_, after)| after),
            "$" if tail.starts_with('(') => match closing(&tail[1..]) {
                Some(end) if !tail.starts_with("((") && script_reads(&tail[1..=end]) => &tail[end + 2..],
                _ => return false,
            },
            "`" => match tail.split_once('`') {
                Some((inner, after)) if script_reads(inner) => after,
                _ => return false,
            },
            _ => tail,
        };
    }
    true
}

/// Whether a command substitution only reads.
fn script_reads(script: &str) -> bool {
    let Ok(list) = parse(script) else { return false };
    list.iter().flatten().flat_map(|(_, p)| &p.commands).all(|command| match &command.kind {
        Kind::Simple { assignments, words } => {
            command.redirects.iter().all(redirect)
                && assignments.is_empty()
                && words.iter().all(|w| word_reads(w))
                && words.first().and_then(|w| literal(w)).is_some_and(|w| only_reads(&w, words))
        }
        _ => false,
    })
}

/// Whether the command only reads, speaks, or ends the script without an error.
pub(super) fn only_reads(name: &str, words: &[String]) -> bool {
    let argument = words.get(1).map(String::as_str);
    match name {
        "exit" => matches!(argument, None | Some("0" | "$?" | "\"$?\"")),
        "set" => words[1..].iter().all(|w| w.starts_with(['-', '+']) && w != "--" || w == "pipefail"),
        "command" => matches!(argument, Some("-v" | "-V")),
        "dpkg" => {
            matches!(argument, Some("--compare-versions" | "--print-architecture" | "-L" | "-s" | "-l"))
        }
        "sort" | "uniq" => words.len() == 1,
        _ => READERS.contains(&name),
    }
}

/// The offset of the `)` that closes a substitution whose inside starts here.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(i),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether the word is the first argument.
fn is_first_argument(word: &str) -> bool {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
    matches!(inner, "$1" | "${1}" | "${1:-}" | "${1-}")
}

/// The variable that the word is, quoted or not.
fn variable(word: &str) -> Option<&str> {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
    let name = inner.strip_prefix('$')?;
    Some(name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(name))
}

/// Bytes that mean nothing to the shell.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_.+=,:-".contains(&byte)
}
