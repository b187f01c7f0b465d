//! Triggers on packages, and what triggers of all sorts look like in a header.

use super::state::{Id, State};
use super::{Error, name, prepare};
use crate::range::meets;
use crate::script::{Flags, Kind, Script, When};
use lazuli_rpm::{Dependency, DependencyFlags, Header, tag};
use std::cmp::Reverse;
use std::collections::HashSet;

/// The place of a trigger among others: higher priorities first, then older packages, then its number.
pub(super) type Ranked = (Reverse<u32>, Id, usize);

/// The priority of a file trigger that has none.
const PRIORITY: u32 = 1_000_000;

/// Which of the three lists of triggers of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Package,
    File,
    TransactionFile,
}

struct Tags {
    scripts: u32,
    programs: u32,
    script_flags: u32,
    names: u32,
    versions: u32,
    flags: u32,
    indexes: u32,
    priorities: Option<u32>,
}

impl Sort {
    fn tags(self) -> Tags {
        match self {
            Self::Package => Tags {
                scripts: tag::TRIGGERSCRIPTS,
                programs: tag::TRIGGERSCRIPTPROG,
                script_flags: tag::TRIGGERSCRIPTFLAGS,
                names: tag::TRIGGERNAME,
                versions: tag::TRIGGERVERSION,
                flags: tag::TRIGGERFLAGS,
                indexes: tag::TRIGGERINDEX,
                priorities: None,
            },
            Self::File => Tags {
                scripts: tag::FILETRIGGERSCRIPTS,
                programs: tag::FILETRIGGERSCRIPTPROG,
                script_flags: tag::FILETRIGGERSCRIPTFLAGS,
                names: tag::FILETRIGGERNAME,
                versions: tag::FILETRIGGERVERSION,
                flags: tag::FILETRIGGERFLAGS,
                indexes: tag::FILETRIGGERINDEX,
                priorities: Some(tag::FILETRIGGERPRIORITIES),
            },
            Self::TransactionFile => Tags {
                scripts: tag::TRANSFILETRIGGERSCRIPTS,
                programs: tag::TRANSFILETRIGGERSCRIPTPROG,
                script_flags: tag::TRANSFILETRIGGERSCRIPTFLAGS,
                names: tag::TRANSFILETRIGGERNAME,
                versions: tag::TRANSFILETRIGGERVERSION,
                flags: tag::TRANSFILETRIGGERFLAGS,
                indexes: tag::TRANSFILETRIGGERINDEX,
                priorities: Some(tag::TRANSFILETRIGGERPRIORITIES),
            },
        }
    }

    fn kind(self, when: When) -> Kind {
        match self {
            Self::Package => Kind::Trigger(when),
            Self::File => Kind::FileTrigger(when),
            Self::TransactionFile => Kind::TransFileTrigger(when),
        }
    }
}

/// The flag that says when a trigger runs.
pub(super) fn sense(when: When) -> DependencyFlags {
    match when {
        When::PreIn => DependencyFlags::TRIGGERPREIN,
        When::In => DependencyFlags::TRIGGERIN,
        When::Un => DependencyFlags::TRIGGERUN,
        When::PostUn => DependencyFlags::TRIGGERPOSTUN,
    }
}

/// The triggers of one sort in a header.
pub(super) struct Triggers<'a> {
    header: &'a Header,
    sort: Sort,
    /// Every condition with the number of its trigger, in the header's order.
    pub(super) conditions: Vec<(Dependency, usize)>,
    scripts: Vec<String>,
    programs: Vec<String>,
    script_flags: Vec<u64>,
    priorities: Vec<u64>,
}

impl<'a> Triggers<'a> {
    pub(super) fn read(header: &'a Header, sort: Sort) -> Self {
        let tags = sort.tags();
        let versions = header.strings(tags.versions);
        let flags = header.numbers(tags.flags);
        let indexes = header.numbers(tags.indexes);
        let condition = |(i, name): (usize, String)| {
            let flags = DependencyFlags(flags.get(i).map_or(0, |f| *f as u32));
            let index = indexes.get(i).map_or(0, |n| usize::try_from(*n).unwrap_or(usize::MAX));
            (Dependency { name, flags, evr: versions.get(i).cloned().unwrap_or_default() }, index)
        };
        Self {
            header,
            sort,
            conditions: header.strings(tags.names).into_iter().enumerate().map(condition).collect(),
            scripts: header.strings(tags.scripts),
            programs: header.strings(tags.programs),
            script_flags: header.numbers(tags.script_flags),
            priorities: tags.priorities.map(|tag| header.numbers(tag)).unwrap_or_default(),
        }
    }

    /// How many triggers there are.
    pub(super) fn len(&self) -> usize {
        self.scripts.len()
    }

    /// When the trigger of this number runs: its first condition says.
    pub(super) fn runs(&self, number: usize, when: When) -> bool {
        let first = self.conditions.iter().find(|(_, of)| *of == number);
        first.is_some_and(|(condition, _)| condition.flags.intersects(sense(when)))
    }

    /// The names in the conditions of a trigger: the prefixes of a file trigger.
    pub(super) fn names(&self, number: usize) -> impl Iterator<Item = &str> {
        self.conditions.iter().filter(move |(_, of)| *of == number).map(|(condition, _)| &condition.name[..])
    }

    pub(super) fn priority(&self, number: usize) -> u32 {
        self.priorities.get(number).map_or(PRIORITY, |p| u32::try_from(*p).unwrap_or(PRIORITY))
    }

    /// The script of a trigger.
    pub(super) fn script(&self, number: usize, when: When, args: Vec<u32>) -> Result<Option<Script>, Error> {
        let (Some(body), Some(program)) = (self.scripts.get(number), self.programs.get(number)) else {
            return Ok(None);
        };
        let flags = Flags(self.script_flags.get(number).copied().unwrap_or(0) as u32);
        let (body, program) = (Some(body.clone()), vec![program.clone()]);
        let script = Script::new(self.header, self.sort.kind(when), program, body, flags, args);
        prepare(script, self.header).map(Some)
    }

    /// The trigger that a package sets off: of all that would, only the first one.
    fn set_off_by(&self, source: &Header, when: When) -> Option<usize> {
        let source_name = name(source);
        let provides = source.provides();
        let met = |condition: &Dependency| {
            condition.flags.intersects(sense(when))
                && condition.name == source_name
                && (condition.evr.is_empty()
                    || provides.iter().any(|p| p.name == condition.name && meets(condition, p)))
        };
        self.conditions.iter().find(|(condition, _)| met(condition)).map(|(_, number)| *number)
    }
}

/// Triggers of installed packages that a package sets off.
pub(super) fn set_off(
    state: &State<'_>,
    element: usize,
    source: &Header,
    when: When,
) -> Result<Vec<Script>, Error> {
    let source_name = name(source);
    let count = state.count(&source_name)?;
    // Counted while the row is there, which will go.
    let target = if matches!(when, When::Un | When::PostUn) { count.saturating_sub(1) } else { count };
    let mut scripts = Vec::new();
    for id in state.with_trigger_on(&source_name)? {
        let package = state.package(id)?;
        let triggers = Triggers::read(&package.header, Sort::Package);
        let Some(number) = triggers.set_off_by(source, when) else { continue };
        let own = state.count(&name(&package.header))?;
        let script = triggers.script(number, when, vec![own, target])?;
        scripts.extend(script.map(|script| Script { element: Some(element), ..script }));
    }
    Ok(scripts)
}

/// Triggers of a package that comes or goes, set off by packages that are installed.
pub(super) fn own(
    state: &State<'_>,
    element: usize,
    header: &Header,
    when: When,
) -> Result<Vec<Script>, Error> {
    let triggers = Triggers::read(header, Sort::Package);
    let count = state.count(&name(header))?;
    let own = if matches!(when, When::Un | When::PostUn) { count.saturating_sub(1) } else { count };
    let mut scripts = Vec::new();
    let mut run = HashSet::new();
    for (condition, number) in &triggers.conditions {
        if run.contains(number) {
            continue;
        }
        let sources = state.named(&condition.name)?;
        for id in &sources {
            let source = state.package(*id)?;
            let Some(number) = triggers.set_off_by(&source.header, when) else { continue };
            if run.insert(number) {
                let script = triggers.script(number, when, vec![own, sources.len() as u32])?;
                scripts.extend(script.map(|script| Script { element: Some(element), ..script }));
            }
        }
    }
    Ok(scripts)
}
