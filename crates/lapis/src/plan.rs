//! What will be done, as a person and a script see it before it happens.

use crate::output::{Align, Output, Style, Table, size};
use crate::package::shown_evr;
use lazuli_rpm::Nevra;
use lazuli_solve::{Action, Keep, Plan, Universe};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An advisory that a plan carries out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fix {
    /// Its id.
    pub id: String,
    /// Its severity, for security.
    pub severity: String,
    /// The vulnerabilities that it fixes.
    pub cves: Vec<String>,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Line {
    /// The package that comes, or the one that goes.
    pub nevra: Nevra,
    /// Where it comes from; for what goes `@System`.
    pub repository: String,
    /// Bytes to fetch, or freed.
    pub size: u64,
    /// Why.
    pub why: String,
    /// The version that it takes the place of.
    pub old: Option<Nevra>,
    /// Packages of other names that it replaces.
    pub replaces: Vec<Nevra>,
}

/// What kind of change a line is; the order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Asked for.
    Install,
    /// Required by what comes.
    InstallDependency,
    /// Recommended by what comes.
    InstallWeak,
    /// To a later version.
    Upgrade,
    /// To an earlier version.
    Downgrade,
    /// The same again.
    Reinstall,
    /// Asked for.
    Remove,
    /// Requires what goes.
    RemoveDependent,
    /// Needed no more.
    RemoveUnused,
}

impl Group {
    /// The heading, as dnf has it.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Install => "Installing:",
            Self::InstallDependency => "Installing dependencies:",
            Self::InstallWeak => "Installing weak dependencies:",
            Self::Upgrade => "Upgrading:",
            Self::Downgrade => "Downgrading:",
            Self::Reinstall => "Reinstalling:",
            Self::Remove => "Removing:",
            Self::RemoveDependent => "Removing dependent packages:",
            Self::RemoveUnused => "Removing unused dependencies:",
        }
    }

    fn is_removal(self) -> bool {
        self >= Self::Remove
    }

    /// The verb of the summary and the key of tdnf's JSON.
    fn verb(self) -> (&'static str, &'static str) {
        match self {
            Self::Install | Self::InstallDependency | Self::InstallWeak => ("Install", "Install"),
            Self::Upgrade => ("Upgrade", "Upgrade"),
            Self::Downgrade => ("Downgrade", "Downgrade"),
            Self::Reinstall => ("Reinstall", "Reinstall"),
            Self::Remove | Self::RemoveDependent => ("Remove", "Remove"),
            Self::RemoveUnused => ("Remove", "UnNeeded"),
        }
    }
}

/// A plan with everything that is shown of it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The lines, by kind.
    pub groups: BTreeMap<Group, Vec<Line>>,
    /// Bytes to fetch.
    pub download: u64,
    /// Bytes that are already in the cache.
    pub cached: u64,
    /// How many bytes more will be installed than now.
    pub installed: i64,
    /// Which advisories it carries out.
    pub fixes: BTreeSet<Fix>,
    /// Packages that stay but for another reason.
    pub marks: Vec<(Nevra, Keep)>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// Weak dependencies that could not be met.
    pub unmet: Vec<String>,
    /// What was asked for and is there already.
    pub exist: Vec<String>,
}

impl View {
    /// Gathers what is shown. `installed_size` tells the size of an installed package by its number.
    pub fn new(plan: &Plan, universe: &dyn Universe, installed_size: &dyn Fn(u32) -> u64) -> Self {
        let mut view = Self::default();
        let mut replaces: BTreeMap<_, Vec<Nevra>> = BTreeMap::new();
        for step in &plan.steps {
            if let Action::Obsolete { installed, by } = step.action {
                view.installed -= installed_size(installed) as i64;
                replaces.entry(by).or_default().push(step.old.clone().unwrap_or_else(|| step.nevra.clone()));
            }
        }
        for step in &plan.steps {
            let (package, old, group) = match step.action {
                Action::Obsolete { .. } => continue,
                Action::Install { package } => {
                    let group = match step.keep {
                        Keep::User => Group::Install,
                        Keep::Dependency => Group::InstallDependency,
                        Keep::Weak => Group::InstallWeak,
                    };
                    (Some(package), None, group)
                }
                Action::Upgrade { package, from } => (Some(package), Some(from), Group::Upgrade),
                Action::Downgrade { package, from } => (Some(package), Some(from), Group::Downgrade),
                Action::Reinstall { package, from } => (Some(package), Some(from), Group::Reinstall),
                Action::Remove { installed } => (None, Some(installed), removal(&step.why)),
            };
            let old_size = old.map_or(0, installed_size);
            view.installed -= old_size as i64;
            let (repository, size) = match package {
                Some(id) => {
                    let size = universe.size(id);
                    view.download += size.package;
                    view.installed += size.installed as i64;
                    (universe.repository(id).to_owned(), size.package)
                }
                None => (crate::package::SYSTEM.to_owned(), old_size),
            };
            let replaces = package.and_then(|id| replaces.get(&id)).cloned().unwrap_or_default();
            view.groups.entry(group).or_default().push(Line {
                nevra: step.nevra.clone(),
                repository,
                size,
                why: step.why.clone(),
                old: step.old.clone(),
                replaces,
            });
        }
        view.marks = plan.marks.iter().map(|m| (m.nevra.clone(), m.keep)).collect();
        view.exist.clone_from(&plan.notes);
        view.skipped = plan
            .problems
            .iter()
            .map(|skip| match &skip.explanation {
                Some(explanation) => format!("{}\n{explanation}", skip.what),
                None => skip.what.clone(),
            })
            .collect();
        view.unmet = plan.skipped.iter().map(|s| format!("{} ({})", s.dependency, s.package)).collect();
        view
    }

    /// Prints it. Who asks for quiet sees it only when somebody has to answer.
    pub fn show(&self, out: &Output, asks: bool) {
        for text in &self.skipped {
            out.info(format!("{} {}", out.styled(Style::Warn, "Skipped:"), indented(text)));
        }
        // Reasons alone are told when they have changed.
        if (out.quiet && !asks) || self.groups.is_empty() {
            return;
        }
        out.line("Dependencies resolved.");
        out.rule();
        self.table(out);
        if !self.fixes.is_empty() {
            out.line("");
            out.line("Fixes:");
            for fix in &self.fixes {
                let what = if fix.cves.is_empty() { &fix.id } else { &fix.cves.join(" ") };
                let severity = if fix.severity.is_empty() { "" } else { &format!(" ({})", fix.severity) };
                out.line(format!("  {}{severity} by {}", out.styled(Style::Good, what), fix.id));
            }
        }
        for (nevra, keep) in &self.marks {
            out.line(format!(
                "  {} is from now on installed as: {}",
                crate::package::shown(nevra),
                keep.as_str()
            ));
        }
        if out.verbose > 0 && !self.unmet.is_empty() {
            out.line("");
            out.line(format!("Recommended, but not to be had: {}", self.unmet.join(", ")));
        }
        out.line("");
        out.line("Transaction Summary");
        out.rule();
        for (verb, count) in self.counts() {
            out.line(format!("{verb:10} {count:>4} {}", if count == 1 { "Package" } else { "Packages" }));
        }
        out.line("");
        if self.download > 0 {
            out.line(format!(
                "Total download size: {}",
                size::human(self.download - self.cached.min(self.download))
            ));
        }
        match self.installed {
            0 => {}
            more if more > 0 => out.line(format!("Installed size: {}", size::signed(more))),
            less => out.line(format!("Freed space: {}", size::signed(-less))),
        }
    }

    fn table(&self, out: &Output) {
        let columns = [Align::Left, Align::Left, Align::Left, Align::Left, Align::Right, Align::Left];
        let mut table = Table::new(&columns).indented(1);
        let head = ["Package", "Arch", "Version", "Repository", "Size", "Why"];
        table.row(head.map(|text| out.styled(Style::Bold, text)));
        for (group, lines) in &self.groups {
            table.across(group.heading());
            for line in lines {
                let style = if group.is_removal() { Style::Bad } else { Style::Good };
                let version = match &line.old {
                    Some(old) if *group != Group::Reinstall && old.evr != line.nevra.evr => {
                        format!("{} -> {}", shown_evr(old), shown_evr(&line.nevra))
                    }
                    _ => shown_evr(&line.nevra),
                };
                table.row([
                    format!(" {}", out.styled(style, &line.nevra.name)),
                    line.nevra.arch.clone(),
                    version,
                    line.repository.clone(),
                    size::human(line.size),
                    out.styled(Style::Dim, short_why(line)),
                ]);
                for old in &line.replaces {
                    table.across(format!("     replacing  {}.{} {}", old.name, old.arch, shown_evr(old)));
                }
            }
        }
        out.table(&table);
    }

    /// How many packages of each kind, as the summary counts them.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let mut counts: Vec<(&'static str, usize)> = Vec::new();
        for (group, lines) in &self.groups {
            let verb = group.verb().0;
            match counts.iter_mut().find(|(known, _)| *known == verb) {
                Some((_, count)) => *count += lines.len(),
                None => counts.push((verb, lines.len())),
            }
        }
        counts
    }

    /// As tdnf's JSON has it, with keys of our own beside: see the guide.
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        let mut obsoleted = Vec::new();
        for (group, lines) in &self.groups {
            let packages: Vec<Value> = lines.iter().map(|line| package(line, *group)).collect();
            obsoleted.extend(
                lines
                    .iter()
                    .flat_map(|line| &line.replaces)
                    .map(|old| json!({ "Name": old.name, "Arch": old.arch, "Evr": shown_evr(old) })),
            );
            let entry = object.entry(group.verb().1).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(array) = entry {
                array.extend(packages);
            }
        }
        if !obsoleted.is_empty() {
            object.insert("Obsolete".to_owned(), Value::Array(obsoleted));
        }
        if !self.exist.is_empty() {
            object.insert("Exist".to_owned(), json!(self.exist));
        }
        if !self.skipped.is_empty() {
            object.insert("Skipped".to_owned(), json!(self.skipped));
        }
        let marks: Vec<Value> = self
            .marks
            .iter()
            .map(|(n, keep)| json!({ "Name": n.name, "Arch": n.arch, "Evr": shown_evr(n), "Reason": keep.as_str() }))
            .collect();
        if !marks.is_empty() {
            object.insert("Mark".to_owned(), Value::Array(marks));
        }
        let fixes: Vec<Value> = self
            .fixes
            .iter()
            .map(|fix| json!({ "Id": fix.id, "Severity": fix.severity, "Cves": fix.cves }))
            .collect();
        object.insert("Fixes".to_owned(), Value::Array(fixes));
        object.insert("DownloadSize".to_owned(), json!(self.download));
        object.insert("InstalledSizeChange".to_owned(), json!(self.installed));
        Value::Object(object)
    }
}

fn package(line: &Line, group: Group) -> Value {
    let mut value = json!({
        "Name": line.nevra.name,
        "Arch": line.nevra.arch,
        "Evr": shown_evr(&line.nevra),
        "Repo": line.repository,
        "Size": line.size,
        "Why": line.why,
        "Reason": match group {
            Group::InstallDependency | Group::RemoveUnused => "dependency",
            Group::InstallWeak => "weak",
            _ => "user",
        },
    });
    if let (Some(old), Some(object)) = (&line.old, value.as_object_mut())
        && !group.is_removal()
    {
        object.insert("OldEvr".to_owned(), json!(shown_evr(old)));
    }
    value
}

/// Which heading a removal stands under, by the solver's words.
fn removal(why: &str) -> Group {
    if why.contains("needed by nothing") || why.contains("no longer needed") {
        Group::RemoveUnused
    } else if why.starts_with("requires ") || why.contains(" requires ") {
        Group::RemoveDependent
    } else {
        Group::Remove
    }
}

/// Why, for a table: packages by their names only, and nothing that its own line says.
fn short_why(line: &Line) -> String {
    if line.why == format!("asked for by `{}`", line.nevra.name) {
        return "asked for".to_owned();
    }
    let name = |word: &str| -> Option<String> {
        let (rest, arch) = word.rsplit_once('.')?;
        let is_arch = arch == "noarch" || arch == line.nevra.arch;
        let name = rest.rsplitn(3, '-').nth(2)?;
        is_arch.then(|| name.to_owned())
    };
    let words = line.why.split(' ').map(|word| name(word).unwrap_or_else(|| word.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, version: &str, why: &str) -> Line {
        let evr = lazuli_rpm::Evr::new(None, version, "1");
        Line {
            nevra: Nevra { name: name.into(), evr, arch: "x86_64".into() },
            repository: "base".into(),
            size: 12_345,
            why: why.into(),
            old: None,
            replaces: Vec::new(),
        }
    }

    fn view() -> View {
        let mut upgrade = line("openssl", "3.5.1", "asked for");
        upgrade.old = Some(line("openssl", "3.5.0", "").nevra);
        let mut install = line("vim", "9.1", "asked for by `vim`");
        install.replaces.push(line("vim-tiny", "9.0", "").nevra);
        View {
            groups: BTreeMap::from([
                (Group::Install, vec![install]),
                (Group::InstallDependency, vec![line("libsodium", "1.0", "required by vim (libsodium.so)")]),
                (Group::Upgrade, vec![upgrade]),
                (Group::RemoveUnused, vec![line("old", "1", "no longer needed")]),
            ]),
            download: 37_035,
            installed: 100_000,
            fixes: BTreeSet::from([Fix {
                id: "LZSA-2026:7".into(),
                severity: "Important".into(),
                cves: vec!["CVE-2026-1".into(), "CVE-2026-2".into()],
            }]),
            ..View::default()
        }
    }

    #[test]
    fn a_plan_looks_familiar() {
        let (out, text) = Output::captured();
        view().show(&out, true);
        insta::assert_snapshot!(text.take());
    }

    #[test]
    fn reasons_are_short() {
        let short = |why: &str| short_why(&line("curl", "8", why));
        assert_eq!(short("asked for by `curl`"), "asked for");
        assert_eq!(short("asked for by `/usr/bin/curl`"), "asked for by `/usr/bin/curl`");
        assert_eq!(
            short("required by gcc-c++-1:14.2-1+b1.x86_64 (libm.so.6()(64bit))"),
            "required by gcc-c++ (libm.so.6()(64bit))"
        );
    }

    #[test]
    fn json_has_the_keys_of_tdnf() {
        let value = view().to_json();
        assert_eq!(value["Install"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["Upgrade"][0]["OldEvr"], "3.5.0-1");
        assert_eq!(value["UnNeeded"][0]["Name"], "old");
        assert_eq!(value["Obsolete"][0]["Name"], "vim-tiny");
        assert_eq!(value["Fixes"][0]["Cves"][1], "CVE-2026-2");
    }
}
