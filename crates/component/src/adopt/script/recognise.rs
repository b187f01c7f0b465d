//! Walking a script and taking out what is known.

use super::action::{Actions, Split, matching, relevant, split_test};
use super::shell::{AndOr, Command, Join, Kind, Pipeline, SyntaxError, parse};
use super::tools::{DEBCONF, NOTHING, Tool, only_at_run_time, tool};
use super::words::{Variables, only_reads, redirect, word_reads};
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
        variables: Variables::new(),
        functions: BTreeMap::new(),
        effects: BTreeSet::new(),
        unrecognised: BTreeSet::new(),
    };
    walker.collect(&list, true);
    let context =
        Context { actions: relevant(name, triggered), own: true, conditional: false, later: false, calls: 0 };
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
    /// Whether this runs only if dpkg had set the unit up before, so never at a first installation.
    later: bool,
    calls: usize,
}

struct Walker<'a> {
    lines: Vec<&'a str>,
    blocks: Vec<Block>,
    variables: Variables,
    /// The script's own functions; `None` if there are several of the name.
    functions: BTreeMap<String, Option<Vec<AndOr>>>,
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
                        self.variables.assign(name, value, own);
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
                                self.variables.assign(name, value, false);
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
                        self.variables.assign(variable, "$unknown", own);
                    }
                    self.collect(condition, own);
                    self.collect(body, own);
                }
                Kind::Function { name, body } => {
                    let several = self.functions.contains_key(name);
                    self.functions.insert(name.clone(), (!several).then(|| body.clone()));
                    self.collect(body, false);
                }
            }
        }
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
        if !command.redirects.iter().all(redirect) {
            self.unknown(command);
        }
        match &command.kind {
            Kind::Simple { assignments, words } => {
                let pure = assignments.iter().map(|(_, value)| value).chain(words).all(|w| word_reads(w));
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
                    let later = left.later || asks_for_earlier_installation(condition);
                    self.list(body, &Context { actions: split.yes, conditional, later, ..left.clone() });
                    left = Context { actions: split.no, conditional, ..left };
                }
                self.list(otherwise, &left);
            }
            Kind::Case { word, arms } => {
                if !word_reads(word) {
                    self.unknown(command);
                }
                let mut left = context.clone();
                let known = context.own && self.variables.is_action(word);
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
                if !words.iter().all(|w| word_reads(w)) {
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
            ["command", "-v", tool] | ["which", tool] | ["[", "-x", tool, "]"] | ["test", "-x", tool] => self
                .variables
                .value(tool)
                .is_some_and(|t| t.ends_with("update-alternatives") || t.ends_with("setcap")),
            _ => false,
        }
    }

    fn simple(&mut self, command: &Command, words: &[String], context: &Context) -> Split {
        let unknown = Split::unknown(&context.actions);
        let Some(first) = words.first() else { return Split::always(&context.actions) };
        let Some(name) = self.variables.value(first) else {
            self.unknown(command);
            return unknown;
        };
        let arguments = &words[1..];
        // A function of the script hides a command of the same name.
        if let Some(body) = self.functions.get(&name).cloned() {
            match body {
                Some(body) if context.calls < MAX_CALLS => {
                    let own = context.own && arguments == ["\"$@\""];
                    self.list(&body, &Context { own, calls: context.calls + 1, ..context.clone() });
                }
                _ => self.unknown(command),
            }
            return unknown;
        }
        match name.as_str() {
            "[" | "test" => {
                let arguments = match arguments.split_last() {
                    Some((last, rest)) if name == "[" && last == "]" => rest,
                    _ => arguments,
                };
                let own = context.own;
                return split_test(arguments, &context.actions, |w| own && self.variables.is_action(w));
            }
            "true" | ":" => return Split::always(&context.actions),
            _ => {}
        }
        if !self.known(&name, words, command, context) {
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
        let arguments: Vec<Option<String>> = words[1..].iter().map(|w| self.variables.value(w)).collect();
        let all: Option<Vec<&str>> = arguments.iter().map(Option::as_deref).collect();
        let block = self.blocks.iter().find(|b| b.first <= command.line && command.end <= b.last);
        if name == "exit" && block.is_some_and(|b| b.known.is_some()) {
            return true;
        }
        if let Some(Block { tool: tool_name, known: Some(tool), .. }) = block
            && tool.commands.contains(&name)
        {
            if name == "deb-systemd-helper" && context.later {
                return true;
            }
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

/// Whether the condition is `deb-systemd-helper debian-installed UNIT`, which a unit that is not to be
/// enabled by installation stands under.
fn asks_for_earlier_installation(condition: &[AndOr]) -> bool {
    let [chain] = condition else { return false };
    let [(_, Pipeline { negated: false, commands })] = chain.as_slice() else { return false };
    let [Command { kind: Kind::Simple { words, .. }, .. }] = commands.as_slice() else { return false };
    words.first().is_some_and(|w| w == "deb-systemd-helper") && words.iter().any(|w| w == "debian-installed")
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
