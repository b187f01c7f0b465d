//! Paragraphs of fields, the form of all Debian control data (deb822(5)).
//!
//! A file is a sequence of paragraphs separated by empty lines; a paragraph is a sequence of
//! `Name: value` fields; a line that begins with a blank continues the field before it. Names are
//! compared without regard to case. Text is UTF-8.
//!
//! [`Paragraphs`] borrows from the text, which is what makes an index of 60 MB readable in a fraction of
//! a second; [`Paragraph`] owns what it holds.

use std::fmt;

/// The longest field name in bytes.
const MAX_NAME: usize = 256;
/// The most fields in one paragraph. Real ones have below 50.
const MAX_FIELDS: usize = 1024;

/// Text that is not control data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// A NUL byte.
    #[error("a NUL byte")]
    Nul,
    /// Neither a field nor a continuation.
    #[error("expected `Name: value`, got `{0}`")]
    NotAField(String),
    /// A continuation without a field before it.
    #[error("a continuation line without a field before it")]
    Dangling,
    /// A field name that is too long or has characters that no name has.
    #[error("`{0}` is not a field name")]
    Name(String),
    /// The same field twice in one paragraph.
    #[error("the field `{0}` appears twice in one paragraph")]
    Duplicate(String),
    /// Too many fields.
    #[error("more than {MAX_FIELDS} fields in one paragraph")]
    Fields,
    /// A field that the caller needs is not there.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field with a value that it cannot have.
    #[error("field `{field}`: {reason}")]
    Value {
        /// The field.
        field: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Another number of paragraphs than the format has.
    #[error("expected {expected} paragraph, found {found}")]
    Count {
        /// What the format has.
        expected: usize,
        /// What there is.
        found: usize,
    },
}

impl Error {
    pub(crate) fn new(line: usize, reason: Reason) -> Self {
        Self { line, reason }
    }
}

/// A field of a [`Stanza`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a str,
    /// Its value without blanks at both ends; continuation lines follow as they stand, with their
    /// leading blank (see [`lines`]).
    pub value: &'a str,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// A paragraph that borrows from the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// The fields in the order of the text.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Stanza<'a> {
    /// The field `name`.
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name))
    }

    /// The value of the field `name`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.field(name).map(|f| f.value)
    }

    /// The value of a field that must be there.
    pub fn require(&self, name: &'static str) -> Result<&'a str, Error> {
        self.get(name).ok_or_else(|| Error::new(self.line(), Reason::Missing(name)))
    }

    /// The line that the paragraph begins on, from 1.
    pub fn line(&self) -> usize {
        self.fields.first().map_or(0, |f| f.line)
    }

    /// An error about the value of the field `name`.
    pub(crate) fn bad(&self, name: &str, reason: impl fmt::Display) -> Error {
        let line = self.field(name).map_or_else(|| self.line(), |f| f.line);
        Error::new(line, Reason::Value { field: name.to_owned(), reason: reason.to_string() })
    }

    /// A paragraph of its own.
    pub fn to_paragraph(&self) -> Paragraph {
        let field = |f: &Field<'_>| (f.name.to_owned(), f.value.to_owned(), f.line);
        Paragraph { fields: self.fields.iter().map(field).collect() }
    }
}

/// Reads paragraph after paragraph. After an error it ends.
#[derive(Debug)]
pub struct Paragraphs<'a> {
    rest: &'a str,
    line: usize,
    /// Fields of the paragraph before, kept for their allocation.
    fields: Vec<Field<'a>>,
}

impl<'a> Paragraphs<'a> {
    /// A reader of `text`.
    pub fn new(text: &'a [u8]) -> Result<Self, Error> {
        let line_at = |offset: usize| text[..offset].split(|b| *b == b'\n').count();
        let rest =
            std::str::from_utf8(text).map_err(|e| Error::new(line_at(e.valid_up_to()), Reason::Encoding))?;
        if let Some(at) = rest.find('\0') {
            return Err(Error::new(line_at(at), Reason::Nul));
        }
        Ok(Self { rest, line: 1, fields: Vec::new() })
    }

    /// The next paragraph, which lives until the one after it is asked for.
    pub fn next_stanza(&mut self) -> Result<Option<Stanza<'a>>, Error> {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        match self.read(&mut fields) {
            Ok(()) if fields.is_empty() => Ok(None),
            Ok(()) => Ok(Some(Stanza { fields })),
            Err(error) => {
                self.rest = "";
                Err(error)
            }
        }
    }

    /// Gives a paragraph back, so that the next one needs no allocation.
    pub fn recycle(&mut self, stanza: Stanza<'a>) {
        self.fields = stanza.fields;
    }

    fn read(&mut self, fields: &mut Vec<Field<'a>>) -> Result<(), Error> {
        // Where the value of the field that is being read began in `self.rest`'s own text.
        let mut open: Option<(&'a str, &'a str, usize, usize)> = None;
        while !self.rest.is_empty() {
            let (line, after) = match self.rest.find('\n') {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, ""),
            };
            let text = line.strip_suffix('\r').unwrap_or(line);
            let number = self.line;
            let blank = text.bytes().all(|b| b == b' ' || b == b'\t');
            if blank {
                self.rest = after;
                self.line += 1;
                if open.is_some() {
                    break;
                }
                continue;
            }
            if text.starts_with([' ', '\t']) {
                let Some((_, value, length, _)) = open.as_mut() else {
                    return Err(Error::new(number, Reason::Dangling));
                };
                // `value` is everything from the value's begin on; only its length grows.
                *length = value.len() - self.rest.len() + text.len();
            } else {
                if let Some(field) = open.take() {
                    push(fields, field)?;
                }
                let Some((name, _)) = text.split_once(':') else {
                    let start: String = text.chars().take(60).collect();
                    return Err(Error::new(number, Reason::NotAField(start)));
                };
                check_name(name).map_err(|reason| Error::new(number, reason))?;
                let value = &self.rest[name.len() + 1..];
                open = Some((name, value, text.len() - name.len() - 1, number));
            }
            self.rest = after;
            self.line += 1;
        }
        if let Some(field) = open {
            push(fields, field)?;
        }
        Ok(())
    }
}

fn push<'a>(
    fields: &mut Vec<Field<'a>>,
    (name, value, length, line): (&'a str, &'a str, usize, usize),
) -> Result<(), Error> {
    if fields.len() == MAX_FIELDS {
        return Err(Error::new(line, Reason::Fields));
    }
    if fields.iter().any(|f| f.name.len() == name.len() && f.name.eq_ignore_ascii_case(name)) {
        return Err(Error::new(line, Reason::Duplicate(name.to_owned())));
    }
    fields.push(Field { name, value: value[..length].trim(), line });
    Ok(())
}

fn check_name(name: &str) -> Result<(), Reason> {
    let good = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with(['#', '-'])
        && name.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(()) } else { Err(Reason::Name(name.chars().take(60).collect())) }
}

/// A paragraph that owns its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    /// Name, value (see [`Field::value`]) and line of each field.
    fields: Vec<(String, String, usize)>,
}

impl Paragraph {
    /// The value of the field `name`; see [`Field::value`].
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _, _)| n.eq_ignore_ascii_case(name)).map(|(_, v, _)| v.as_str())
    }

    /// The value of a field that must be there.
    pub fn require(&self, name: &'static str) -> Result<&str, Error> {
        let line = self.fields.first().map_or(0, |f| f.2);
        self.get(name).ok_or_else(|| Error::new(line, Reason::Missing(name)))
    }

    /// The line that a field begins on, from 1.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.fields.iter().find(|(n, _, _)| n.eq_ignore_ascii_case(name)).map(|f| f.2)
    }

    /// Names and values in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(n, v, _)| (n.as_str(), v.as_str()))
    }

    /// `Description`: its first line, and the rest as paragraphs of text: the leading blank of each line
    /// is off and a lone `.` has become an empty line.
    pub fn description(&self) -> Option<(&str, String)> {
        self.get("Description").map(description)
    }
}

/// The lines of a value: the first as it is, the others without the one blank that makes them
/// continuations.
pub fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().enumerate().map(|(i, line)| if i == 0 { line } else { line.get(1..).unwrap_or("") })
}

/// See [`Paragraph::description`].
pub fn description(value: &str) -> (&str, String) {
    let mut all = lines(value);
    let synopsis = all.next().unwrap_or("");
    let rest: Vec<&str> = all.map(|line| if line.trim() == "." { "" } else { line.trim_end() }).collect();
    (synopsis, rest.join("\n"))
}

/// Reads all paragraphs.
pub fn parse(text: &[u8]) -> Result<Vec<Paragraph>, Error> {
    let mut reader = Paragraphs::new(text)?;
    let mut all = Vec::new();
    while let Some(stanza) = reader.next_stanza()? {
        all.push(stanza.to_paragraph());
        reader.recycle(stanza);
    }
    Ok(all)
}

/// Reads text that must be exactly one paragraph.
pub fn parse_one(text: &[u8]) -> Result<Paragraph, Error> {
    let mut all = parse(text)?;
    match (all.pop(), all.len()) {
        (Some(paragraph), 0) => Ok(paragraph),
        (last, others) => {
            let found = others + usize::from(last.is_some());
            Err(Error::new(1, Reason::Count { expected: 1, found }))
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
