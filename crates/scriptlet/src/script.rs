//! One script: what runs, with which arguments and input.

use lazuli_rpm::{Header, tag};
use std::fmt;
use std::ops::BitOr;

/// When a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Before the other package is installed; only of package triggers.
    PreIn,
    /// After it, or the files, are installed.
    In,
    /// Before it, or the files, are removed.
    Un,
    /// After it, or the files, are removed.
    PostUn,
}

impl When {
    fn name(self) -> &'static str {
        match self {
            Self::PreIn => "triggerprein",
            Self::In => "triggerin",
            Self::Un => "triggerun",
            Self::PostUn => "triggerpostun",
        }
    }
}

/// What sort of script it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `%pretrans`
    PreTrans,
    /// `%pre`
    Pre,
    /// `%post`
    Post,
    /// `%preun`
    PreUn,
    /// `%postun`
    PostUn,
    /// `%posttrans`
    PostTrans,
    /// `%preuntrans`
    PreUnTrans,
    /// `%postuntrans`
    PostUnTrans,
    /// `%verifyscript`
    Verify,
    /// `%trigger...`: another package comes or goes.
    Trigger(When),
    /// `%filetrigger...`: files of one package come or go.
    FileTrigger(When),
    /// `%transfiletrigger...`: files of the whole transaction come or go.
    TransFileTrigger(When),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::PreTrans => "pretrans",
            // RPM says `prein` in its own messages; packagers and dnf's users know `pre`.
            Self::Pre => "pre",
            Self::Post => "post",
            Self::PreUn => "preun",
            Self::PostUn => "postun",
            Self::PostTrans => "posttrans",
            Self::PreUnTrans => "preuntrans",
            Self::PostUnTrans => "postuntrans",
            Self::Verify => "verifyscript",
            Self::Trigger(when) => return write!(f, "%{}", when.name()),
            Self::FileTrigger(when) => return write!(f, "%file{}", when.name()),
            Self::TransFileTrigger(when) => return write!(f, "%transfile{}", when.name()),
        };
        write!(f, "%{name}")
    }
}

impl Kind {
    /// Whether a failure of such a script stops what it belongs to, unless its flags say so anyway:
    /// installation for `%pretrans`, `%triggerprein` and `%pre`, removal for `%preuntrans` and `%preun`. A
    /// failure of any other is a warning. So it is in RPM 6; before, a failed `%triggerprein` was a
    /// warning too.
    pub fn is_critical(self) -> bool {
        matches!(
            self,
            Self::PreTrans
                | Self::Trigger(When::PreIn)
                | Self::Pre
                | Self::PreUn
                | Self::PreUnTrans
                | Self::Verify
        )
    }

    /// The tags of body, interpreter and flags.
    fn tags(self) -> Option<(u32, u32, u32)> {
        Some(match self {
            Self::PreTrans => (tag::PRETRANS, tag::PRETRANSPROG, tag::PRETRANSFLAGS),
            Self::Pre => (tag::PREIN, tag::PREINPROG, tag::PREINFLAGS),
            Self::Post => (tag::POSTIN, tag::POSTINPROG, tag::POSTINFLAGS),
            Self::PreUn => (tag::PREUN, tag::PREUNPROG, tag::PREUNFLAGS),
            Self::PostUn => (tag::POSTUN, tag::POSTUNPROG, tag::POSTUNFLAGS),
            Self::PostTrans => (tag::POSTTRANS, tag::POSTTRANSPROG, tag::POSTTRANSFLAGS),
            Self::PreUnTrans => (tag::PREUNTRANS, tag::PREUNTRANSPROG, tag::PREUNTRANSFLAGS),
            Self::PostUnTrans => (tag::POSTUNTRANS, tag::POSTUNTRANSPROG, tag::POSTUNTRANSFLAGS),
            Self::Verify => (tag::VERIFYSCRIPT, tag::VERIFYSCRIPTPROG, tag::VERIFYSCRIPTFLAGS),
            Self::Trigger(_) | Self::FileTrigger(_) | Self::TransFileTrigger(_) => return None,
        })
    }
}

/// Flags of a script, RPM's RPMSCRIPT_FLAG bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Macros in the body are expanded first (`%post -e`).
    pub const EXPAND: Self = Self(1 << 0);
    /// The body is a query format, filled in from the package's header (`%post -q`).
    pub const QFORMAT: Self = Self(1 << 1);
    /// A failure is critical, whatever the sort of script.
    pub const CRITICAL: Self = Self(1 << 2);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A script that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its sort.
    pub kind: Kind,
    /// The package that it is in: name, epoch, version, release and architecture.
    pub package: String,
    /// The element of the transaction that suffers if it fails: the package that comes or goes. None for
    /// what belongs to the transaction as a whole.
    pub element: Option<usize>,
    /// Interpreter and its arguments. `<lua>` is the built-in one.
    pub interpreter: Vec<String>,
    /// The text, with macros expanded and the query format filled in; none if the interpreter is all
    /// there is (`-p /sbin/ldconfig`), which then gets no arguments either.
    pub body: Option<String>,
    /// Its arguments: counts of instances after the operation. One or two; none for a script without a
    /// body.
    pub args: Vec<u32>,
    /// Paths for its standard input, one a line, or for `rpm.next_file()`; none for most.
    pub paths: Vec<String>,
    /// Flags.
    pub flags: Flags,
    /// Prefixes of a relocated package, for `RPM_INSTALL_PREFIX`.
    pub prefixes: Vec<String>,
}

impl Script {
    /// The scriptlet of this kind in a header, if there is one. Triggers are not found this way.
    pub fn from_header(header: &Header, kind: Kind, arg: u32) -> Option<Self> {
        let (body, program, flags) = kind.tags()?;
        if !header.has(body) && !header.has(program) {
            return None;
        }
        let flags = Flags(header.number(flags).unwrap_or(0) as u32);
        let body = header.string(body);
        Some(Self::new(header, kind, header.strings(program), body, flags, vec![arg]))
    }

    pub(crate) fn new(
        header: &Header,
        kind: Kind,
        mut interpreter: Vec<String>,
        body: Option<String>,
        flags: Flags,
        args: Vec<u32>,
    ) -> Self {
        if interpreter.first().is_none_or(String::is_empty) {
            interpreter = vec!["/bin/sh".to_owned()];
        }
        Self {
            kind,
            package: header.nevra().map_or_else(|_| "unknown".to_owned(), |nevra| nevra.to_string()),
            element: None,
            interpreter,
            body: body.filter(|body| !body.is_empty()),
            args,
            paths: Vec::new(),
            flags,
            prefixes: header.strings(tag::INSTPREFIXES),
        }
    }

    /// Whether a failure stops the element; otherwise it is a warning.
    pub fn is_critical(&self) -> bool {
        self.kind.is_critical() || self.flags.contains(Flags::CRITICAL)
    }

    /// Whether the built-in Lua interpreter runs it.
    pub fn is_lua(&self) -> bool {
        self.interpreter.first().is_some_and(|program| program == "<lua>")
    }
}

impl fmt::Display for Script {
    /// `%post(name-1-1.x86_64)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.kind, self.package)
    }
}
