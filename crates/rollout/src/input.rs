//! Reads reports from a folder or a stream of JSON lines, and lists of hosts. Everything is bounded: a line that is
//! too long is skipped without being kept.

use crate::evidence::Collector;
use crate::report::{MOST_BYTES, Received};
use crate::wave::{HostId, NameError};
use lazuli_fs as fs;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Endings of files with reports.
const ENDINGS: [&str; 2] = ["json", "jsonl"];

/// Why reports or hosts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// A stream.
    #[error("cannot read reports from {name}: {source}")]
    Stream {
        /// What it is called.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A line of a list of hosts.
    #[error("line {line} of the list of hosts {path}: {source}")]
    Host {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: NameError,
    },
}

/// Reads reports from a file of JSON lines, or from all files of a folder that end in `.json` or `.jsonl`. Hidden files
/// are left out: a collector may write there and rename.
pub fn read_reports(path: &Path, collector: &mut Collector<'_>) -> Result<(), InputError> {
    if !fs::metadata(path)?.is_dir() {
        return read_stream(fs::open(path)?, &path.display().to_string(), collector);
    }
    for entry in fs::read_dir(path)? {
        let hidden = entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let ours = entry.extension().is_some_and(|ending| ENDINGS.iter().any(|e| ending == *e));
        if hidden || !ours || !fs::metadata(&entry)?.is_file() {
            continue;
        }
        read_stream(fs::open(&entry)?, &entry.display().to_string(), collector)?;
    }
    Ok(())
}

/// Reads reports from a stream of JSON lines until it ends. Empty lines are nothing; lines that are no reports count as
/// malformed.
pub fn read_stream(
    stream: impl io::Read,
    name: &str,
    collector: &mut Collector<'_>,
) -> Result<(), InputError> {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let mut line = Vec::new();
    loop {
        let end = next_line(&mut stream, &mut line)
            .map_err(|source| InputError::Stream { name: name.to_owned(), source })?;
        let text = line.trim_ascii();
        if !text.is_empty() {
            match Received::from_json(text) {
                Ok(received) => collector.add(&received),
                Err(_) => collector.malformed(),
            }
        }
        if end {
            return Ok(());
        }
    }
}

/// Reads up to the next line end, or the end of the stream, and says if it was that. Of a line that is too long no
/// more is kept than shows that it is.
fn next_line(stream: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let buffer = match stream.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(true);
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (MOST_BYTES + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        stream.consume(used);
        if end.is_some() {
            return Ok(false);
        }
    }
}

/// Reads a list of hosts: one host id a line; empty lines and what follows a `#` are nothing.
pub fn read_hosts(path: &Path) -> Result<BTreeSet<HostId>, InputError> {
    let text = fs::read_to_string(path)?;
    let mut hosts = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let id = line.split('#').next().unwrap_or_default().trim();
        if !id.is_empty() {
            let error =
                |source| InputError::Host { path: path.display().to_string(), line: index + 1, source };
            hosts.insert(id.parse().map_err(error)?);
        }
    }
    Ok(hosts)
}
