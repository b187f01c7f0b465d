//! Walking a script and taking out what is known.

use super::action::{Actions, Split, matching, relevant, split_test};
use super::lex::literal;
use super::shell::{AndOr, Command, Join, Kind, Pipeline, Redirect, SyntaxError, parse};
use super::tools::{DEBCONF, NOTHING, READERS, Tool, only_at_run_time, tool};
use super::{Alternative, Effect, triggers};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Deepest chain of calls of a script's own functions.
const MAX_CALLS: usize = 16;

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Its text without indentation.
    pub text: String,
}

/// What was found in a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recognition {
    /// What its known parts did, in order of kind and name.
    pub effects: Vec<Effect>,
    /// Lines that nobody knows the replacement of.
    pub unrecognised: Vec<Line>,
    /// debhelper's tools whose blocks are in it, known or not.
    pub tools: Vec<String>,
}

/// Reads the maintainer script `name`. `triggered` says whether a run as `postinst triggered` counts,
/// which it does when the package waits for a trigger that nothing of ours replaces.
pub fn recognise(name: &str, script: &[u8], triggered: bool) -> Recognition {
    let whole = |reason: String| Recognition {
        unrecognised: vec![Line { number: 1, text: reason }],
        ..Recognition::default()
    };
    let Ok(text) = std::str::from_utf8(script) else { return whole("(not UTF-8 text)".into()) };
    let first = text.lines().next().unwrap_or_default();
    if !is_shell(first) {
        return whole(format!("{first} (not a POSIX shell script)"));
    }
    let list = match parse(text) {
        Ok(list) => list,
        Err(SyntaxError { line, reason }) => {
            let text = text.lines().nth(line - 1).unwrap_or_default().trim();
            return Recognition {
                unrecognised: vec![Line { number: line, text: format!("{text} ({reason})") }],
                ..Recognition::default()
            };
        }
    };
    let mut walker = Walker {
        lines: text.lines().collect(),
        blocks: blocks(text),
        variables: BTreeMap::new(),
        aliases: BTreeSet::new(),
        functions: BTreeMap::new(),
        effects: BTreeSet::new(),
        unrecognised: BTreeSet::new(),
    };
    walker.variables.insert("DPKG_ROOT".into(), Some(String::new()));
    walker.collect(&list, true);
    let context = Context { actions: relevant(name, triggered), own: true, conditional: false, calls: 0 };
    walker.list(&list, &context);
    let tools = walker.blocks.iter().map(|b| b.tool.clone()).collect::<BTreeSet<_>>();
    Recognition {
        effects: walker.effects.into_iter().collect(),
        unrecognised: walker.unrecognised.into_iter().collect(),
        tools: tools.into_iter().collect(),
    }
}

fn is_shell(first: &str) -> bool {
    let Some(command) = first.strip_prefix("#!") else { return false };
    let mut words = command.split_whitespace();
    matches!(words.next(), Some("/bin/sh" | "/bin/bash" | "/bin/dash" | "/usr/bin/sh" | "/usr/bin/bash"))
        && words.all(|w| w.starts_with('-') && !w.contains('c'))
}

/// A stretch that a debhelper tool wrote.
struct Block {
    tool: String,
    known: Option<&'static Tool>,
    first: usize,
    last: usize,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize)> = None;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(by) = line.strip_prefix("# Automatically added by ") {
            let tool = by.split(['/', ' ']).next().unwrap_or_default().to_owned();
            open = Some((tool, i + 1));
        } else if line.starts_with("# End automatically added section")
            && let Some((name, first)) = open.take()
        {
            blocks.push(Block { known: tool(&name), tool: name, first, last: i + 1 });
        }
    }
    blocks
}

#[derive(Clone)]
struct Context {
    /// Values that `$1` of the script may have here.
    actions: Actions,
    /// Whether `$1` is the script's and not a function's.
    own: bool,
    /// Whether this runs only under a condition that is not known.
    conditional: bool,
    calls: usize,
}

struct Walker<'a> {
    lines: Vec<&'a str>,
    blocks: Vec<Block>,
    /// Variables that are set once, to a literal.
    variables: BTreeMap<String, Option<String>>,
    /// Variables that are set once, to `$1`.
    aliases: BTreeSet<String>,
    functions: BTreeMap<String, Vec<AndOr>>,
    effects: BTreeSet<Effect>,
    unrecognised: BTreeSet<Line>,
}

impl Walker<'_> {
    /// First pass: functions, and variables that have one value only.
    fn collect(&mut self, list: &[AndOr], own: bool) {
        for command in list.iter().flatten().flat_map(|(_, pipeline)| &pipeline.commands) {
            match &command.kind {
                Kind::Simple { assignments, words } => {
                    for (name, value) in assignments {
                        self.assign(name, value, own);
                    }
                    if let [command, arguments @ ..] = words.as_slice()
                        && matches!(
                            command.as_str(),
                            "read" | "export" | "local" | "readonly" | "eval" | "getopts"
                        )
                    {
                        for argument in arguments {
                            let (name, value) = argument.split_once('=').unwrap_or((argument, "$unknown"));
                            if command != "export" || argument.contains('=') {
                                self.assign(name, value, false);
                            }
                        }
                    }
                }
                Kind::If { branches, otherwise } => {
                    for (condition, body) in branches {
                        self.collect(condition, own);
                        self.collect(body, own);
                    }
                    self.collect(otherwise, own);
                }
                Kind::Case { arms, .. } => arms.iter().for_each(|(_, body)| self.collect(body, own)),
                Kind::Group(body) => self.collect(body, own),
                Kind::Loop { variable, condition, body, .. } => {
                    if let Some(variable) = variable {
                        self.assign(variable, "$unknown", own);
                    }
                    self.collect(condition, own);
                    self.collect(body, own);
                }
                Kind::Function { name, body } => {
                    // Two functions of one name: neither is followed, so calls are not recognised.
                    let first = self.functions.insert(name.clone(), body.clone()).is_none();
                    if !first {
                        self.functions.remove(name);
                    }
                    self.collect(body, false);
                }
            }
        }
    }

    fn assign(&mut self, name: &str, value: &str, own: bool) {
        let known = !self.variables.contains_key(name);
        if known && own && is_first_argument(value) {
            self.aliases.insert(name.to_owned());
            self.variables.insert(name.to_owned(), None);
        } else if known {
            let value = literal(value).filter(|v| v.bytes().all(is_plain));
            self.variables.insert(name.to_owned(), value);
        } else {
            self.aliases.remove(name);
            self.variables.insert(name.to_owned(), None);
        }
    }

    fn is_action(&self, word: &str) -> bool {
        is_first_argument(word) || variable(word).is_some_and(|name| self.aliases.contains(name))
    }

    /// The text that a word stands for, with variables that have one value only.
    fn value(&self, word: &str) -> Option<String> {
        let mut word = word.to_owned();
        for (name, value) in &self.variables {
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

    fn list(&mut self, list: &[AndOr], context: &Context) {
        for chain in list {
            self.chain(chain, context);
        }
    }

    /// Walks a list that is a condition; what its last command says decides.
    fn condition(&mut self, list: &[AndOr], context: &Context) -> Split {
        let mut last = Split::unknown(&context.actions);
        for chain in list {
            last = self.chain(chain, context);
        }
        last
    }

    fn chain(&mut self, chain: &AndOr, context: &Context) -> Split {
        let mut so_far = Split::always(&context.actions);
        for (join, pipeline) in chain {
            let actions = match join {
                Join::First | Join::And => so_far.yes.clone(),
                Join::Or => so_far.no.clone(),
            };
            let conditional = context.conditional || (*join != Join::First && !so_far.exact);
            let this = self.pipeline(pipeline, &Context { actions, conditional, ..context.clone() });
            let exact = so_far.exact && this.exact;
            so_far = match join {
                Join::First => this,
                Join::And => Split { yes: this.yes, no: &so_far.no | &this.no, exact },
                Join::Or => Split { yes: &so_far.yes | &this.yes, no: this.no, exact },
            };
        }
        so_far
    }

    fn pipeline(&mut self, pipeline: &Pipeline, context: &Context) -> Split {
        let mut split = Split::unknown(&context.actions);
        for command in &pipeline.commands {
            split = self.command(command, context);
        }
        if pipeline.commands.len() > 1 {
            split = Split::unknown(&context.actions);
        }
        if pipeline.negated { split.negate() } else { split }
    }

    /// Walks one command that may run with the actions of `context`; none: it never runs.
    fn command(&mut self, command: &Command, context: &Context) -> Split {
        let unknown = Split::unknown(&context.actions);
        if context.actions.is_empty() {
            return Split { exact: true, ..unknown };
        }
        if !command.redirects.iter().all(|r| self.redirect(r)) {
            self.unknown(command);
        }
        match &command.kind {
            Kind::Simple { assignments, words } => {
                let pure = assignments.iter().map(|(_, value)| value).chain(words).all(|w| self.word(w));
                if !pure {
                    self.unknown(command);
                }
                return self.simple(command, words, context);
            }
            Kind::If { branches, otherwise } => {
                let mut left = context.clone();
                for (condition, body) in branches {
                    let split = self.condition(condition, &left);
                    let conditional = left.conditional || !(split.exact || self.asks_for_tool(condition));
                    self.list(body, &Context { actions: split.yes, conditional, ..left.clone() });
                    left = Context { actions: split.no, conditional, ..left };
                }
                self.list(otherwise, &left);
            }
            Kind::Case { word, arms } => {
                if !self.word(word) {
                    self.unknown(command);
                }
                let mut left = context.clone();
                let known = context.own && self.is_action(word);
                for (patterns, body) in arms {
                    match known.then(|| matching(patterns, &left.actions)).flatten() {
                        Some(taken) => {
                            left.actions = &left.actions - &taken;
                            self.list(body, &Context { actions: taken, ..left.clone() });
                        }
                        None => self.list(body, &Context { conditional: true, ..left.clone() }),
                    }
                }
            }
            Kind::Group(body) => self.list(body, context),
            Kind::Loop { words, condition, body, .. } => {
                if !words.iter().all(|w| self.word(w)) {
                    self.unknown(command);
                }
                let inner = Context { conditional: true, ..context.clone() };
                self.list(condition, &inner);
                self.list(body, &inner);
            }
            // A definition does nothing; calls are followed.
            Kind::Function { .. } => {}
        }
        unknown
    }

    /// A condition that only asks whether a tool is there: on a Debian system it is.
    fn asks_for_tool(&self, condition: &[AndOr]) -> bool {
        let [chain] = condition else { return false };
        let [(_, Pipeline { negated: false, commands })] = chain.as_slice() else { return false };
        let [Command { kind: Kind::Simple { words, .. }, .. }] = commands.as_slice() else { return false };
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["command", "-v", tool] | ["which", tool] | ["[", "-x", tool, "]"] | ["test", "-x", tool] => {
                self.value(tool).is_some_and(|t| t.ends_with("update-alternatives") || t.ends_with("setcap"))
            }
            _ => false,
        }
    }

    fn redirect(&self, redirect: &Redirect) -> bool {
        match redirect.operator {
            "<" => self.word(&redirect.target),
            "<<" | "<<-" => redirect.target == "heredoc",
            ">&" | "<&" => true,
            _ => redirect.target == "/dev/null" || redirect.target == "/dev/stderr",
        }
    }

    /// Whether expanding the word runs nothing but commands that only read.
    fn word(&self, word: &str) -> bool {
        let mut rest = word;
        while let Some(at) = rest.find(['`', '$', '\'', '\\']) {
            let (start, tail) = (&rest[at..at + 1], &rest[at + 1..]);
            rest = match start {
                "\\" => tail.get(tail.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
                // Inside double quotes a single quote is no quote, so nothing is skipped there.
                "'" if !word.contains('"') => tail.split_once('\'').map_or("", |(_, after)| after),
                "$" if tail.starts_with('(') => match closing(&tail[1..]) {
                    Some(end) if !tail.starts_with("((") && self.reads(&tail[1..=end]) => &tail[end + 2..],
                    _ => return false,
                },
                "`" => match tail.split_once('`') {
                    Some((inner, after)) if self.reads(inner) => after,
                    _ => return false,
                },
                _ => tail,
            };
        }
        true
    }

    /// Whether a command substitution only reads.
    fn reads(&self, script: &str) -> bool {
        let Ok(list) = parse(script) else { return false };
        list.iter().flatten().flat_map(|(_, p)| &p.commands).all(|command| match &command.kind {
            Kind::Simple { assignments, words } => {
                command.redirects.iter().all(|r| self.redirect(r))
                    && assignments.is_empty()
                    && words.iter().all(|w| self.word(w))
                    && words.first().and_then(|w| literal(w)).is_some_and(|w| only_reads(&w, words))
            }
            _ => false,
        })
    }

    fn simple(&mut self, command: &Command, words: &[String], context: &Context) -> Split {
        let unknown = Split::unknown(&context.actions);
        let Some(first) = words.first() else { return Split::always(&context.actions) };
        let Some(name) = self.value(first) else {
            self.unknown(command);
            return unknown;
        };
        let arguments = &words[1..];
        match name.as_str() {
            "[" | "test" => {
                let arguments = match arguments.split_last() {
                    Some((last, rest)) if name == "[" && last == "]" => rest,
                    _ => arguments,
                };
                let own = context.own;
                return split_test(arguments, &context.actions, |w| own && self.is_action(w));
            }
            "true" | ":" => return Split::always(&context.actions),
            _ => {}
        }
        if let Some(body) = self.functions.get(&name).cloned() {
            if context.calls >= MAX_CALLS {
                self.unknown(command);
                return unknown;
            }
            let own = context.own && arguments == ["\"$@\""];
            self.list(&body, &Context { own, calls: context.calls + 1, ..context.clone() });
        } else if !self.known(&name, words, command, context) {
            self.unknown(command);
        } else if name == "setcap" {
            // `if setcap ...; then ...; else FALLBACK; fi`: it works on every file system of ours.
            return Split::always(&context.actions);
        }
        unknown
    }

    /// Whether the command is known; its effect is noted.
    fn known(&mut self, name: &str, words: &[String], command: &Command, context: &Context) -> bool {
        if only_reads(name, words) {
            return true;
        }
        let arguments: Vec<Option<String>> = words[1..].iter().map(|w| self.value(w)).collect();
        let all: Option<Vec<&str>> = arguments.iter().map(Option::as_deref).collect();
        let block = self.blocks.iter().find(|b| b.first <= command.line && command.end <= b.last);
        if name == "exit" && block.is_some_and(|b| b.known.is_some()) {
            return true;
        }
        if let Some(Block { tool: tool_name, known: Some(tool), .. }) = block
            && tool.commands.contains(&name)
        {
            if tool.why.is_empty() {
                return self.effect(name, &arguments, all.as_deref(), false);
            }
            let (what, why) = (tool_name.clone(), tool.why.into());
            self.effects.insert(Effect::Nothing { what, why });
            return true;
        }
        if DEBCONF.contains(&name)
            || (name == "." && all.as_deref() == Some(&["/usr/share/debconf/confmodule"]))
        {
            self.nothing("debconf", "there is no debconf")
        } else {
            match name {
                "dpkg-divert" => {
                    let diverts_nothing = words.iter().any(|w| w == "--no-rename");
                    diverts_nothing
                        && words.iter().any(|w| w.contains(".usr-is-merged"))
                        && self.nothing(name, "/bin, /sbin and /lib have always been links to /usr here")
                }
                "update-rc.d" | "systemctl" | "/bin/systemctl" | "udevadm"
                    if !all.as_deref().is_some_and(|all| only_at_run_time(name, all)) =>
                {
                    false
                }
                "ldconfig"
                | "systemctl"
                | "/bin/systemctl"
                | "deb-systemd-invoke"
                | "update-alternatives"
                | "setcap"
                | "systemd-sysusers"
                | "systemd-tmpfiles" => self.effect(name, &arguments, all.as_deref(), context.conditional),
                "dpkg-trigger" => arguments.iter().all(|a| {
                    a.as_deref().is_some_and(|a| a.starts_with("--") || triggers::replacement(a).is_some())
                }),
                // Taken back when a capability is set instead.
                "chmod" => matches!(all.as_deref(), Some(["u-s", path])
                    if self.effects.iter().any(|e| matches!(e, Effect::Capability { path: p, .. } if p == path))),
                _ => match NOTHING.iter().find(|(commands, _)| commands.contains(&name)) {
                    Some((_, why)) => self.nothing(name, why),
                    None => false,
                },
            }
        }
    }

    fn nothing(&mut self, what: &str, why: &str) -> bool {
        self.effects.insert(Effect::Nothing { what: what.into(), why: why.into() });
        true
    }

    /// Notes the effect of a command that one of our passes replaces.
    fn effect(
        &mut self,
        name: &str,
        arguments: &[Option<String>],
        all: Option<&[&str]>,
        conditional: bool,
    ) -> bool {
        let effect = match (name, all) {
            ("deb-systemd-helper", Some(all)) => {
                let user = all.contains(&"--user");
                if let Some(at) = all.iter().position(|a| *a == "enable") {
                    for unit in &all[at + 1..] {
                        self.effects.insert(Effect::Unit { unit: (*unit).to_owned(), user });
                    }
                }
                return true;
            }
            ("deb-systemd-invoke" | "systemctl" | "/bin/systemctl", _) => {
                return self
                    .nothing("starting, stopping and reloading units", "the init system does it at boot");
            }
            // The first argument is `${DPKG_ROOT:+--root=...}`, which is empty.
            ("systemd-sysusers" | "systemd-tmpfiles", _) => {
                let files: Vec<String> =
                    arguments.iter().flatten().filter(|a| !a.starts_with("--")).cloned().collect();
                if name == "systemd-sysusers" {
                    Effect::Sysusers { files }
                } else {
                    Effect::Tmpfiles { files }
                }
            }
            ("ldconfig", _) => Effect::LibraryCache,
            ("setcap", Some([capabilities, path])) if !conditional && path.starts_with('/') => {
                Effect::Capability { path: (*path).into(), capabilities: (*capabilities).into() }
            }
            ("update-alternatives", Some(all)) => {
                let all: Vec<&str> =
                    all.iter().copied().filter(|a| !matches!(*a, "--quiet" | "--force")).collect();
                match all.first() {
                    Some(&"--install") if !conditional => match alternative(&all[1..]) {
                        Some(alternative) => Effect::Alternative(alternative),
                        None => return false,
                    },
                    Some(&("--remove" | "--remove-all")) => {
                        return self
                            .nothing("update-alternatives --remove", "static links go with their package");
                    }
                    Some(&("--display" | "--query" | "--list" | "--get-selections")) => return true,
                    _ => return false,
                }
            }
            // Options as variables: only removal is safe not to understand.
            _ => return false,
        };
        self.effects.insert(effect);
        true
    }

    fn unknown(&mut self, command: &Command) {
        for number in command.line..=command.end {
            let text = self.lines.get(number - 1).map(|l| l.trim()).unwrap_or_default();
            if !text.is_empty() && !text.starts_with('#') {
                self.unrecognised.insert(Line { number, text: text.to_owned() });
            }
        }
    }
}

/// The arguments of `update-alternatives --install`, all literal.
fn alternative(arguments: &[&str]) -> Option<Alternative> {
    let [link, name, path, priority, slaves @ ..] = arguments else { return None };
    let mut links = vec![((*link).to_owned(), (*path).to_owned())];
    for slave in slaves.chunks(4) {
        let ["--slave", link, _, path] = slave else { return None };
        links.push(((*link).to_owned(), (*path).to_owned()));
    }
    let absolute = links.iter().all(|(link, path)| link.starts_with('/') && path.starts_with('/'));
    Some(Alternative { name: (*name).to_owned(), priority: priority.parse().ok()?, links })
        .filter(|_| absolute)
}

/// Whether the command only reads, speaks, or ends the script without an error.
fn only_reads(name: &str, words: &[String]) -> bool {
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
