//! Reading parts of what lies somewhere, without a store.

use crate::download::{backoff, describe};
use crate::http::{Answer, Client, Failure};
use crate::source::Source;
use crate::{Error, Options, Result};
use lazuli_fs::{self as fs, Context as _};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// A stretch that moves this far without a failure gets its attempts back.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Reads files or ranges of them as a stream. What arrives is not checked: whoever reads must know how much to
/// take and what it has to be.
#[derive(Clone)]
pub struct Reader {
    client: Arc<Client>,
    options: Options,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader with this patience.
    pub fn new(options: Options) -> Self {
        Self { client: Arc::new(Client::new(&options)), options }
    }

    /// Opens `url` (`http://`, `https://`, `file://` or an absolute path): the bytes of `range`, or all of it.
    ///
    /// The stream goes on by itself where a connection broke. It ends at the end of the range, or earlier if
    /// there is no more. A server without ranges is an error if one is needed.
    pub fn open(&self, url: &str, range: Option<Range<u64>>) -> Result<Stream> {
        match Source::parse(url)? {
            Source::Local(path) => {
                let mut file = match fs::open(&path) {
                    Err(e) if e.is_not_found() => {
                        return Err(describe(url, Failure::NotFound, 1, &self.options));
                    }
                    opened => opened?,
                };
                let range = range.unwrap_or(0..u64::MAX);
                file.seek(SeekFrom::Start(range.start)).at("seek in", &path)?;
                Ok(Stream(Inner::File(file.take(range.end - range.start))))
            }
            Source::Http(_) => {
                let range = range.unwrap_or(0..u64::MAX);
                let mut stream = Remote {
                    reader: self.clone(),
                    url: url.to_owned(),
                    at: range.start,
                    end: range.end,
                    answer: None,
                    validator: None,
                    attempts: 0,
                    calm: 0,
                };
                stream.connect()?;
                Ok(Stream(Inner::Remote(Box::new(stream))))
            }
        }
    }
}

/// Bytes as they arrive.
pub struct Stream(Inner);

enum Inner {
    File(io::Take<std::fs::File>),
    Remote(Box<Remote>),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::File(file) => file.read(buffer),
            // The error says more than an io::Error can; it is kept inside.
            Inner::Remote(remote) => remote.read(buffer).map_err(io::Error::other),
        }
    }
}

struct Remote {
    reader: Reader,
    url: String,
    at: u64,
    end: u64,
    answer: Option<Answer>,
    validator: Option<String>,
    attempts: u32,
    /// Bytes since the last failure.
    calm: u64,
}

impl Remote {
    /// Asks for what is still to come, as often as it takes.
    fn connect(&mut self) -> Result<()> {
        loop {
            let until = (self.end != u64::MAX).then_some(self.end);
            match self.reader.client.get(&self.url, self.at, until, self.validator.as_deref()) {
                Ok(mut answer) if answer.start == self.at => {
                    self.validator = answer.validator.take().or(self.validator.take());
                    self.answer = Some(answer);
                    return Ok(());
                }
                // All of it instead of the rest.
                Ok(_) => return Err(self.error(Failure::Range)),
                Err(failure) => self.retry(failure)?,
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let room = (self.end - self.at).min(buffer.len() as u64) as usize;
        if room == 0 {
            return Ok(0);
        }
        loop {
            let Some(answer) = &mut self.answer else {
                self.connect()?;
                continue;
            };
            // Where the content ends is where the server says, or where it stops without a word.
            let total = answer.total;
            let failure = match answer.body.read(&mut buffer[..room]) {
                Ok(0) if total.is_some_and(|total| self.at < total.min(self.end)) => {
                    Failure::Network(format!("the connection ended after {} bytes", self.at))
                }
                Ok(count) => {
                    self.at += count as u64;
                    self.calm += count as u64;
                    if self.calm >= PROGRESS_BYTES {
                        self.attempts = 0;
                    }
                    return Ok(count);
                }
                Err(failure) => failure,
            };
            self.answer = None;
            self.retry(failure)?;
        }
    }

    fn retry(&mut self, failure: Failure) -> Result<()> {
        self.attempts += 1;
        self.calm = 0;
        if !failure.passes() || self.attempts >= self.reader.options.attempts {
            return Err(self.error(failure));
        }
        tracing::debug!(url = crate::source::redact(&self.url), ?failure, self.attempts, "trying again");
        std::thread::sleep(backoff(&self.reader.options, self.attempts));
        Ok(())
    }

    fn error(&self, failure: Failure) -> Error {
        describe(&self.url, failure, self.attempts.max(1), &self.reader.options)
    }
}
