//! Scriptlets and triggers of a package.

use super::{Error, invalid};
use crate::header::{HeaderBuilder, Value};
use crate::tag;
use crate::{Dependency, DependencyFlags as Flags};

/// A script with its interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scriptlet {
    /// Interpreter and its arguments, for example `/bin/sh`. `<lua>` is RPM's own.
    pub interpreter: Vec<String>,
    /// The script.
    pub body: String,
}

impl Scriptlet {
    /// A script for `/bin/sh`.
    pub fn shell(body: impl Into<String>) -> Self {
        Self { interpreter: vec!["/bin/sh".into()], body: body.into() }
    }

    fn program(&self) -> &str {
        self.interpreter.first().map_or("/bin/sh", String::as_str)
    }
}

/// The scriptlets of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scriptlets {
    /// `%pretrans`
    pub pretrans: Option<Scriptlet>,
    /// `%pre`
    pub pre: Option<Scriptlet>,
    /// `%post`
    pub post: Option<Scriptlet>,
    /// `%preun`
    pub preun: Option<Scriptlet>,
    /// `%postun`
    pub postun: Option<Scriptlet>,
    /// `%posttrans`
    pub posttrans: Option<Scriptlet>,
    /// `%preuntrans`
    pub preuntrans: Option<Scriptlet>,
    /// `%postuntrans`
    pub postuntrans: Option<Scriptlet>,
    /// `%verifyscript`
    pub verify: Option<Scriptlet>,
}

/// When a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerKind {
    /// Before the other package is installed; not for files.
    PreIn,
    /// After it is installed.
    In,
    /// Before it is removed.
    Un,
    /// After it is removed.
    PostUn,
}

impl TriggerKind {
    fn flags(self) -> Flags {
        match self {
            Self::PreIn => Flags::TRIGGERPREIN,
            Self::In => Flags::TRIGGERIN,
            Self::Un => Flags::TRIGGERUN,
            Self::PostUn => Flags::TRIGGERPOSTUN,
        }
    }
}

/// A script that runs when another package is installed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// When.
    pub kind: TriggerKind,
    /// Which packages.
    pub on: Vec<Dependency>,
    /// What runs.
    pub script: Scriptlet,
}

/// A script that runs when files below certain paths are installed or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTrigger {
    /// When.
    pub kind: TriggerKind,
    /// The starts of the paths, for example `/usr/lib/sysusers.d`.
    pub prefixes: Vec<String>,
    /// What runs; it gets the paths on its standard input.
    pub script: Scriptlet,
    /// Triggers of a higher priority run first; [`FileTrigger::PRIORITY`] is usual.
    pub priority: u32,
}

impl FileTrigger {
    /// The priority of triggers that say none.
    pub const PRIORITY: u32 = 1_000_000;
}

/// Everything of a package that runs.
pub(super) struct Scripts<'a> {
    pub(super) scriptlets: &'a Scriptlets,
    pub(super) triggers: &'a [Trigger],
    pub(super) file_triggers: &'a [FileTrigger],
    pub(super) transaction_file_triggers: &'a [FileTrigger],
}

impl Scripts<'_> {
    /// Each scriptlet with its tags and the purpose of a dependency on its interpreter.
    fn all(&self) -> [(&Option<Scriptlet>, u32, u32, Flags); 9] {
        let s = self.scriptlets;
        [
            (&s.pretrans, tag::PRETRANS, tag::PRETRANSPROG, Flags::PRETRANS),
            (&s.pre, tag::PREIN, tag::PREINPROG, Flags::SCRIPT_PRE),
            (&s.post, tag::POSTIN, tag::POSTINPROG, Flags::SCRIPT_POST),
            (&s.preun, tag::PREUN, tag::PREUNPROG, Flags::SCRIPT_PREUN),
            (&s.postun, tag::POSTUN, tag::POSTUNPROG, Flags::SCRIPT_POSTUN),
            (&s.posttrans, tag::POSTTRANS, tag::POSTTRANSPROG, Flags::POSTTRANS),
            (&s.preuntrans, tag::PREUNTRANS, tag::PREUNTRANSPROG, Flags::PREUNTRANS),
            (&s.postuntrans, tag::POSTUNTRANS, tag::POSTUNTRANSPROG, Flags::POSTUNTRANS),
            (&s.verify, tag::VERIFYSCRIPT, tag::VERIFYSCRIPTPROG, Flags::SCRIPT_VERIFY),
        ]
    }

    fn triggered(&self) -> impl Iterator<Item = &Scriptlet> {
        let files = self.file_triggers.iter().chain(self.transaction_file_triggers);
        self.triggers.iter().map(|t| &t.script).chain(files.map(|t| &t.script))
    }

    /// Requirements on the interpreters, and the features of RPM that are used.
    pub(super) fn requires(&self) -> (Vec<Dependency>, Vec<(&'static str, &'static str)>) {
        let scriptlets = self.all().into_iter().filter_map(|(s, _, _, flags)| Some((s.as_ref()?, flags)));
        let every: Vec<(&Scriptlet, Flags)> =
            scriptlets.chain(self.triggered().map(|s| (s, Flags::ANY))).collect();
        let mut features = Vec::new();
        if every.iter().any(|(s, _)| s.program() == "<lua>") {
            features.push(("BuiltinLuaScripts", "4.2.2-1"));
        }
        if every.iter().any(|(s, _)| s.interpreter.len() > 1) {
            features.push(("ScriptletInterpreterArgs", "4.0.3-1"));
        }
        let requires = every
            .into_iter()
            .filter(|(s, _)| s.program() != "<lua>")
            .map(|(s, flags)| Dependency::any(s.program()).with(flags | Flags::INTERP))
            .collect();
        (requires, features)
    }

    /// Whether everything can be said in a header.
    pub(super) fn check(&self) -> Result<(), Error> {
        let files = self.file_triggers.iter().chain(self.transaction_file_triggers);
        for trigger in files {
            if trigger.kind == TriggerKind::PreIn {
                return Err(invalid("file trigger", "it cannot run before a package is installed"));
            }
            if !trigger.prefixes.iter().all(|p| p.starts_with('/')) || trigger.prefixes.is_empty() {
                return Err(invalid("file trigger", "it needs absolute paths to look at"));
            }
        }
        if self.triggers.iter().any(|t| t.on.is_empty()) {
            return Err(invalid("trigger", "it names no package"));
        }
        if self.triggered().any(|s| s.interpreter.len() > 1) {
            return Err(invalid("trigger", "its interpreter cannot have arguments"));
        }
        Ok(())
    }

    /// Writes the tags.
    pub(super) fn tags(&self, h: &mut HeaderBuilder) {
        for (script, body, program, _) in self.all() {
            let Some(script) = script else { continue };
            // As rpmbuild: an interpreter alone gets neither a file to run nor arguments.
            if !script.body.is_empty() {
                h.string(body, &script.body);
            }
            if script.interpreter.len() > 1 {
                h.set(program, Value::StringArray(script.interpreter.clone()));
            } else {
                h.string(program, script.program());
            }
        }
        let conditions = |t: &Trigger| -> Vec<Dependency> {
            t.on.iter().map(|d| d.clone().with(t.kind.flags())).collect()
        };
        let triggers = self.triggers.iter().map(|t| (&t.script, conditions(t)));
        list(h, triggers, &TRIGGER);
        for (triggers, tags, priorities) in [
            (self.file_triggers, &FILE_TRIGGER, tag::FILETRIGGERPRIORITIES),
            (self.transaction_file_triggers, &TRANSACTION_FILE_TRIGGER, tag::TRANSFILETRIGGERPRIORITIES),
        ] {
            let conditions = |t: &FileTrigger| -> Vec<Dependency> {
                t.prefixes.iter().map(|p| Dependency::any(p).with(t.kind.flags())).collect()
            };
            list(h, triggers.iter().map(|t| (&t.script, conditions(t))), tags);
            h.set(priorities, Value::Int32(triggers.iter().map(|t| t.priority).collect()));
        }
    }
}

/// Tags of one sort of triggers: scripts and interpreters, one a trigger; names, versions, flags and
/// the number of the trigger, one a condition.
struct Tags {
    scripts: u32,
    programs: u32,
    names: u32,
    versions: u32,
    flags: u32,
    indexes: u32,
}

const TRIGGER: Tags = Tags {
    scripts: tag::TRIGGERSCRIPTS,
    programs: tag::TRIGGERSCRIPTPROG,
    names: tag::TRIGGERNAME,
    versions: tag::TRIGGERVERSION,
    flags: tag::TRIGGERFLAGS,
    indexes: tag::TRIGGERINDEX,
};
const FILE_TRIGGER: Tags = Tags {
    scripts: tag::FILETRIGGERSCRIPTS,
    programs: tag::FILETRIGGERSCRIPTPROG,
    names: tag::FILETRIGGERNAME,
    versions: tag::FILETRIGGERVERSION,
    flags: tag::FILETRIGGERFLAGS,
    indexes: tag::FILETRIGGERINDEX,
};
const TRANSACTION_FILE_TRIGGER: Tags = Tags {
    scripts: tag::TRANSFILETRIGGERSCRIPTS,
    programs: tag::TRANSFILETRIGGERSCRIPTPROG,
    names: tag::TRANSFILETRIGGERNAME,
    versions: tag::TRANSFILETRIGGERVERSION,
    flags: tag::TRANSFILETRIGGERFLAGS,
    indexes: tag::TRANSFILETRIGGERINDEX,
};

fn list<'a>(
    h: &mut HeaderBuilder,
    triggers: impl Iterator<Item = (&'a Scriptlet, Vec<Dependency>)>,
    tags: &Tags,
) {
    let (mut scripts, mut programs, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (script, on)) in (0_u32..).zip(triggers) {
        scripts.push(script.body.clone());
        programs.push(script.program().to_owned());
        conditions.extend(on.into_iter().map(|dependency| (dependency, number)));
    }
    conditions.sort();
    h.set(tags.scripts, Value::StringArray(scripts)).set(tags.programs, Value::StringArray(programs));
    h.set(tags.names, Value::StringArray(conditions.iter().map(|(d, _)| d.name.clone()).collect()));
    h.set(tags.versions, Value::StringArray(conditions.iter().map(|(d, _)| d.evr.clone()).collect()));
    h.set(tags.flags, Value::Int32(conditions.iter().map(|(d, _)| d.flags.0).collect()));
    h.set(tags.indexes, Value::Int32(conditions.iter().map(|(_, number)| *number).collect()));
}
