//! One line of `sysusers.d(5)`: type, name, id, description, home, shell.

use std::fmt;
use std::str::FromStr;

/// The id of a user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// Any that is free.
    Any,
    /// This number; for a user also the number of its group, unless another group has the name.
    Number(u32),
    /// This user number, and this group by number.
    Both(u32, u32),
    /// This user number if there is one, and this group by name.
    Group(Option<u32>, String),
    /// The owner of this file of the root.
    File(String),
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `u`: a user, and the group of its name.
    User {
        /// Name.
        name: String,
        /// Number.
        id: Id,
        /// Description (GECOS).
        description: String,
        /// Home directory; none for `/`.
        home: Option<String>,
        /// Shell; none for one that does not let in.
        shell: Option<String>,
        /// `u!`: the account is expired.
        locked: bool,
    },
    /// `g`: a group.
    Group {
        /// Name.
        name: String,
        /// Number.
        id: Id,
    },
    /// `m`: a user is a member of a group; both are made if they are missing.
    Member {
        /// User.
        user: String,
        /// Group.
        group: String,
    },
    /// `r`: a range of numbers for new users and groups.
    Range {
        /// First.
        from: u32,
        /// Last.
        to: u32,
    },
}

/// Why a line is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{line}`: {reason}")]
pub struct ParseError {
    /// The line.
    pub line: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The longest name of a user or group.
const MAX_NAME: usize = 31;

/// Whether this can be the name of a user or group without confusing the files it is written to.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= MAX_NAME
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Splits at blanks; quotes keep blanks, and `-` alone is an empty field.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut field: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') => field.get_or_insert_default().push(chars.next().ok_or("it ends in the midst")?),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                field.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => fields.extend(field.take()),
            _ => field.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    fields.extend(field);
    Ok(fields)
}

impl FromStr for Line {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let fail =
            |reason: &str| ParseError { line: line.chars().take(200).collect(), reason: reason.to_owned() };
        if line.contains(['\n', '\0']) {
            return Err(fail("it is more than one line"));
        }
        let fields = fields(line).map_err(fail)?;
        let field = |i: usize| fields.get(i).filter(|f| !f.is_empty() && *f != "-").cloned();
        let kind = field(0).ok_or_else(|| fail("it is empty"))?;
        let name = match field(1) {
            Some(name) => name,
            // A range belongs to nobody: `r - 500-900`.
            None if kind == "r" => String::new(),
            None => return Err(fail("there is no name")),
        };
        let named = |name: String| {
            if is_name(&name) { Ok(name) } else { Err(fail("the name is not one that a user can have")) }
        };
        // These end up in files whose fields are divided by colons.
        let text = |i: usize| match field(i) {
            Some(text) if text.contains(':') || text.chars().any(char::is_control) => {
                Err(fail("a field has a colon or a control character"))
            }
            text => Ok(text),
        };
        match &kind[..] {
            "u" | "u!" => Ok(Self::User {
                name: named(name)?,
                id: field(2).map_or(Ok(Id::Any), |id| parse_id(&id)).map_err(fail)?,
                description: text(3)?.unwrap_or_default(),
                home: text(4)?,
                shell: text(5)?,
                locked: kind == "u!",
            }),
            "g" => Ok(Self::Group {
                name: named(name)?,
                id: field(2).map_or(Ok(Id::Any), |id| parse_id(&id)).map_err(fail)?,
            }),
            "m" => {
                let group = field(2).ok_or_else(|| fail("there is no group"))?;
                Ok(Self::Member { user: named(name)?, group: named(group)? })
            }
            "r" => {
                let range = field(2).unwrap_or_default();
                let (from, to) = range.split_once('-').unwrap_or((&range, &range));
                match (from.parse(), to.parse()) {
                    (Ok(from), Ok(to)) if from <= to => Ok(Self::Range { from, to }),
                    _ => Err(fail("the range is not FROM-TO")),
                }
            }
            _ => Err(fail("the type is none of u, u!, g, m, r")),
        }
    }
}

fn parse_id(text: &str) -> Result<Id, &'static str> {
    // The two numbers that mean "nobody in particular" to the system calls.
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| !matches!(*id, 0xffff | u32::MAX));
    if text.starts_with('/') {
        return Ok(Id::File(text.to_owned()));
    }
    match text.split_once(':') {
        None => number(text).map(Id::Number).ok_or("the id is no number"),
        Some((user, group)) => {
            let user = if user == "-" { None } else { Some(number(user).ok_or("the id is no number")?) };
            match (user, number(group)) {
                (Some(user), Some(group)) => Ok(Id::Both(user, group)),
                (None, Some(_)) => Err("a group number needs a user number"),
                (user, None) if is_name(group) => Ok(Id::Group(user, group.to_owned())),
                _ => Err("the group is neither a number nor a name"),
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("-"),
            Self::Number(id) => write!(f, "{id}"),
            Self::Both(user, group) => write!(f, "{user}:{group}"),
            Self::Group(Some(user), group) => write!(f, "{user}:{group}"),
            Self::Group(None, group) => write!(f, "-:{group}"),
            Self::File(path) => f.write_str(&quoted(path)),
        }
    }
}

/// A field as it is written: in quotes if it would be read as something else without.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\'', '\\']) || text.contains(char::is_whitespace) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), quoted);
        match self {
            Self::User { name, id, description, home, shell, locked } => {
                let kind = if *locked { "u!" } else { "u" };
                let description = description.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "{kind} {name} {id} \"{description}\" {} {}", or_dash(home), or_dash(shell))
            }
            Self::Group { name, id } => write!(f, "g {name} {id}"),
            Self::Member { user, group } => write!(f, "m {user} {group}"),
            Self::Range { from, to } => write!(f, "r - {from}-{to}"),
        }
    }
}
