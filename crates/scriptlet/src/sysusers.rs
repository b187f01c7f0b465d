//! Users and groups that a package brings, made before its `%pre`.
//!
//! RPM 4.19 turns the lines of a package's `sysusers.d` files into provides `user(NAME) = BASE64`,
//! `group(NAME) = BASE64` and `groupmember(USER/GROUP) = BASE64`; the version is the whole line, so that
//! the installer knows the users before the files are there. [`needed`] reads them, and [`create`] makes
//! what is missing in the root: with the root's own `systemd-sysusers` if it has one, otherwise by writing
//! `etc/passwd`, `etc/group`, `etc/shadow` and `etc/gshadow` itself, which the first packages of an empty
//! root need.
//!
//! Names are looked up in the root only, and must be looked up again after this.

mod accounts;
mod line;

pub use accounts::{Accounts, Change};
pub use line::{Id, Line, ParseError};

use crate::run::{Ending, Outcome, Runner, Stream};
use crate::script::{Flags, Kind, Script};
use lazuli_rpm::{Header, base64, tag};

/// The longest line in bytes, before it is encoded.
const MAX_LINE: usize = 4 << 10;

/// Why users cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A provide is not a line.
    #[error("{package}: the provide {provide} carries no line of sysusers.d: {reason}")]
    Provide {
        /// The package.
        package: String,
        /// Name of what is provided.
        provide: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The files of the root.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The account files are full, or say something else.
    #[error("{package}: {reason}")]
    Account {
        /// The package.
        package: String,
        /// What is in the way.
        reason: String,
    },
    /// `systemd-sysusers` could not be run.
    #[error(transparent)]
    Run(#[from] crate::run::Error),
}

/// The lines of one `sysusers.d` file, or of no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file of the package that has them, if it says; a file of this name that the administrator put
    /// in place of it wins.
    pub file: Option<String>,
    /// The lines, as they stand.
    pub lines: Vec<Line>,
}

/// What a package needs, file by file, in the order of its provides. Most packages need nothing.
pub fn needed(header: &Header) -> Result<Vec<Source>, Error> {
    let package = || header.nevra().map_or_else(|_| "unknown".into(), |nevra| nevra.to_string());
    let mut sources: Vec<Source> = Vec::new();
    for (index, provide) in header.provides().into_iter().enumerate() {
        let of_users = ["user(", "group(", "groupmember("].iter().any(|p| provide.name.starts_with(p));
        // `user(NAME)` without a version says only that somebody provides it.
        if !of_users || !provide.name.ends_with(')') || provide.evr.is_empty() {
            continue;
        }
        let fail =
            |reason: String| Error::Provide { package: package(), provide: provide.name.clone(), reason };
        if provide.evr.len() > MAX_LINE * 4 / 3 + 4 {
            return Err(fail(format!("it is longer than {MAX_LINE} bytes")));
        }
        let bytes = base64::decode(&provide.evr).ok_or_else(|| fail("it is not base64".into()))?;
        // RPM pads with zeros so that no `=` is needed, which a version cannot have.
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let text = std::str::from_utf8(&bytes[..end]).map_err(|e| fail(e.to_string()))?;
        let line = text.trim().parse::<Line>().map_err(|e| fail(e.to_string()))?;
        let file = providing_file(header, index);
        match sources.iter_mut().find(|source| source.file == file) {
            Some(source) => source.lines.push(line),
            None => sources.push(Source { file, lines: vec![line] }),
        }
    }
    Ok(sources)
}

/// The file that a provide was found in, by the dependency dictionary.
fn providing_file(header: &Header, provide: usize) -> Option<String> {
    let dictionary = header.numbers(tag::DEPENDSDICT);
    let starts = header.numbers(tag::FILEDEPENDSX);
    let counts = header.numbers(tag::FILEDEPENDSN);
    let wanted = u64::from(b'P') << 24 | provide as u64;
    let file = starts.iter().zip(&counts).position(|(start, count)| {
        let (start, count) = (usize::try_from(*start).unwrap_or(usize::MAX), *count as usize);
        let end = start.saturating_add(count);
        dictionary.get(start..end).is_some_and(|entries| entries.contains(&wanted))
    })?;
    header.paths().into_iter().nth(file)
}

/// The tool of the root that makes users.
const TOOLS: [&str; 2] = ["/usr/bin/systemd-sysusers", "/bin/systemd-sysusers"];

/// Makes the users and groups that a package needs and that the root does not have. Returns what was
/// changed by this program, or how the root's tool ended: a failure means that the package must not be
/// installed.
pub fn create(
    runner: &Runner,
    header: &Header,
    element: usize,
    output: &mut dyn FnMut(Stream, &str),
) -> Result<Created, Error> {
    let sources = needed(header)?;
    if sources.is_empty() {
        return Ok(Created::Nothing);
    }
    let package = header.nevra().map_or_else(|_| "unknown".into(), |nevra| nevra.to_string());
    if let Some(tool) = TOOLS.iter().find(|tool| runner.has_program(tool))
        && let Some(created) = by_tool(runner, tool, &sources, &package, element, output)?
    {
        return Ok(created);
    }
    let mut accounts = Accounts::read(runner.root())?;
    for line in sources.iter().flat_map(|source| &source.lines) {
        accounts.apply(line).map_err(|reason| Error::Account { package: package.clone(), reason })?;
    }
    Ok(Created::Here(accounts.write()?))
}

/// Runs the root's tool; none if it does not work yet, its libraries being still to come.
fn by_tool(
    runner: &Runner,
    tool: &str,
    sources: &[Source],
    package: &str,
    element: usize,
    output: &mut dyn FnMut(Stream, &str),
) -> Result<Option<Created>, Error> {
    /// With this the dynamic linker, too, ends a program that lacks a library.
    const NOT_FOUND: i32 = 127;
    for source in sources {
        let outcome = runner.run(&command(tool, source, package, element), output)?;
        match outcome.ending {
            Ending::Success => {}
            Ending::NotStarted(_) | Ending::Status(NOT_FOUND) => return Ok(None),
            _ => return Ok(Some(Created::Failed(outcome))),
        }
    }
    Ok(Some(Created::ByTool))
}

/// What [`create`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The package needs nothing.
    Nothing,
    /// The root's tool did it.
    ByTool,
    /// The root's tool failed, which is critical.
    Failed(Outcome),
    /// The account files were written here; empty if everything was there.
    Here(Vec<Change>),
}

/// `systemd-sysusers` with the lines on its standard input.
fn command(tool: &str, source: &Source, package: &str, element: usize) -> Script {
    let mut interpreter = vec![tool.to_owned()];
    if let Some(file) = &source.file {
        interpreter.extend(["--replace".to_owned(), file.clone()]);
    }
    interpreter.push("-".into());
    Script {
        kind: Kind::Pre,
        package: package.to_owned(),
        element: Some(element),
        interpreter,
        body: None,
        args: Vec::new(),
        paths: source.lines.iter().map(ToString::to_string).collect(),
        flags: Flags::CRITICAL,
        prefixes: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
