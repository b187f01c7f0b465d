//! The INI dialect of `.repo` files and `dnf.conf`: bytes in, sections out.
//!
//! ```text
//! file    = { blank | comment | "[" name "]" | key ("=" | ":") value }
//! comment = "#" or ";" in the first column, to the end of the line
//! value   = rest of the line { newline, white space, rest of the line }
//! ```
//!
//! A line that starts with white space continues the value before it; comments may stand between. A `#`
//! inside a value belongs to the value: URLs and passwords contain it. A section may appear several times
//! in a file; its entries then follow each other, and of one key the last value counts.

use super::error::{ConfigError, Result};
use std::path::{Path, PathBuf};

/// The largest configuration file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// The most sections of one file.
pub const MAX_SECTIONS: usize = 10_000;
/// The most entries of one file.
pub const MAX_ENTRIES: usize = 100_000;
/// The longest name of a section or key, in bytes.
pub const MAX_NAME: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 << 10;

/// A part of a file under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// The line of the heading, from 1.
    pub line: usize,
    /// Its entries, in the order of the file.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as written, without white space around it.
    pub key: String,
    /// The value; lines that continue it are joined by a line feed, each without white space around it.
    pub value: String,
    /// The line of the key, from 1.
    pub line: usize,
}

/// Parses a file. `file` is only for messages.
pub fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Section>> {
    let error = |line: usize, reason: String| ConfigError::Syntax { file: file.to_owned(), line, reason };
    if bytes.len() > MAX_FILE {
        return Err(error(
            1,
            format!("the file has {} bytes; more than {MAX_FILE} are refused", bytes.len()),
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].split(|b| *b == b'\n').count();
        error(line, "not UTF-8 text".to_owned())
    })?;
    let mut sections: Vec<Section> = Vec::new();
    let mut count = 0;
    // Whether a line with white space in front has a value to continue.
    let mut open = false;
    for (number, line) in text.split('\n').enumerate().map(|(i, line)| (i + 1, line)) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err(error(number, "a control character".to_owned()));
        }
        let content = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if content.is_empty() {
            open = false;
            continue;
        }
        if line.starts_with([' ', '\t']) {
            // An indented comment between two keys is common; it continues nothing.
            if !open && content.starts_with(['#', ';']) {
                continue;
            }
            let last = sections.last_mut().and_then(|s| s.entries.last_mut()).filter(|_| open);
            let Some(last) = last else {
                return Err(error(
                    number,
                    "the line starts with white space but there is no value that it could continue"
                        .to_owned(),
                ));
            };
            if last.value.len() + content.len() >= MAX_VALUE {
                return Err(error(number, format!("a value of more than {MAX_VALUE} bytes")));
            }
            if !last.value.is_empty() {
                last.value.push('\n');
            }
            last.value.push_str(content);
            continue;
        }
        open = false;
        if let Some(rest) = line.strip_prefix('[') {
            let Some((name, after)) = rest.split_once(']') else {
                return Err(error(number, "a section heading without `]`".to_owned()));
            };
            if !matches!(after.trim_start().chars().next(), None | Some('#' | ';')) {
                return Err(error(number, "something follows the section heading".to_owned()));
            }
            let name = name.trim();
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(error(number, format!("a section name must have 1 to {MAX_NAME} bytes")));
            }
            if sections.len() == MAX_SECTIONS {
                return Err(error(number, format!("more than {MAX_SECTIONS} sections")));
            }
            sections.push(Section { name: name.to_owned(), line: number, entries: Vec::new() });
            continue;
        }
        let Some(at) = line.find(['=', ':']) else {
            return Err(error(number, "neither `[section]` nor `key = value`".to_owned()));
        };
        let (key, value) = (line[..at].trim(), line[at + 1..].trim());
        if key.is_empty() || key.len() > MAX_NAME {
            return Err(error(number, format!("a key must have 1 to {MAX_NAME} bytes")));
        }
        if value.len() > MAX_VALUE {
            return Err(error(number, format!("a value of more than {MAX_VALUE} bytes")));
        }
        let Some(section) = sections.last_mut() else {
            return Err(error(number, format!("`{key}` stands before the first `[section]`")));
        };
        if count == MAX_ENTRIES {
            return Err(error(number, format!("more than {MAX_ENTRIES} entries")));
        }
        count += 1;
        section.entries.push(Entry { key: key.to_owned(), value: value.to_owned(), line: number });
        open = true;
    }
    Ok(sections)
}

/// Parses a list file as `protected.d` holds: one item a line, `#` starts a comment anywhere in it.
pub fn parse_lines(file: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let error =
        |reason: &str| ConfigError::Syntax { file: PathBuf::from(file), line: 1, reason: reason.into() };
    if bytes.len() > MAX_FILE {
        return Err(error("the file has more than 1 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| error("not UTF-8 text"))?;
    let items = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(items.filter(|item| !item.is_empty()).map(str::to_owned).collect())
}
