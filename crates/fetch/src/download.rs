//! One download: addresses in turn, attempts at each, and the check at the end.

use crate::http::{Client, Failure};
use crate::partial::Partial;
use crate::source::{Source, redact};
use crate::{Error, Missing, Options, Outcome, Progress, Request, Result};
use lazuli_fs::{self as fs, Context as _};
use lazuli_store::Store;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes moved at once.
const BUFFER: usize = 128 << 10;
/// An attempt that got this much further does not count as failed: a line that drops once a minute
/// still brings a large file in.
const PROGRESS_BYTES: u64 = 1 << 20;
/// The longest pause between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

pub(crate) struct Download<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client,
    pub(crate) options: &'a Options,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) request: &'a Request,
}

/// Why one attempt ended without the whole content.
enum Ended {
    /// The exchange failed.
    Exchange(Failure),
    /// The server has, or sends, another size.
    Size(String),
    /// Our own side failed.
    Ours(Error),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Exchange(failure)
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Download<'_> {
    /// Brings the content into the store.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let request = self.request;
        let mut partial = Partial::open(self.store, &request.digest, request.size)?;
        if self.store.contains(&request.digest)? {
            // Another process was faster.
            partial.discard()?;
            self.progress.advance(&request.name, request.size);
            return Ok(Outcome::Fetched);
        }
        let resumed = partial.len();
        let mut reported = 0;
        let mut failure = None;
        for url in &request.urls {
            match self.from(url, &mut partial, &mut reported) {
                Ok(()) => {
                    partial.finish(self.store)?;
                    return Ok(if resumed > 0 { Outcome::Resumed(resumed) } else { Outcome::Fetched });
                }
                Err(e @ (Error::Fs(_) | Error::Store(_) | Error::Stopped)) => return Err(e),
                Err(Error::NotFound(_)) => {}
                Err(e) => failure = Some(e),
            }
        }
        if partial.len() == 0 {
            partial.discard()?;
        }
        Err(failure.unwrap_or_else(|| {
            Error::NotFound(vec![Missing {
                name: request.name.clone(),
                digest: Some(request.digest),
                urls: request.urls.iter().map(|url| redact(url)).collect(),
            }])
        }))
    }

    /// All attempts at one address. On success `partial` has exactly the wanted content.
    fn from(&self, url: &str, partial: &mut Partial, reported: &mut u64) -> Result<()> {
        let source = Source::parse(url)?;
        let mut validator = None;
        let mut attempts = 0;
        let mut furthest = partial.len();
        // Whether some of the content was there before this address was asked for all of it.
        let mut continued = partial.len() > 0;
        loop {
            let ended = match &source {
                _ if partial.len() == self.request.size => Ok(()),
                Source::Http(url) => self.http(url, partial, &mut validator, reported),
                Source::Local(path) => self.local(path, partial, reported),
            };
            let failure = match ended {
                Ok(()) => {
                    let actual = partial.digest();
                    if actual == self.request.digest {
                        self.report(partial, reported);
                        return Ok(());
                    }
                    partial.restart()?;
                    if continued {
                        // What was there before may have been the damaged part.
                        continued = false;
                        validator = None;
                        continue;
                    }
                    return Err(Error::Digest { url: redact(url), expected: self.request.digest, actual });
                }
                Err(Ended::Ours(error)) => return Err(error),
                Err(Ended::Size(actual)) => {
                    partial.restart()?;
                    if continued {
                        continued = false;
                        continue;
                    }
                    return Err(Error::Size { url: redact(url), expected: self.request.size, actual });
                }
                Err(Ended::Exchange(Failure::Range)) => {
                    partial.restart()?;
                    continued = false;
                    continue;
                }
                Err(Ended::Exchange(failure)) => failure,
            };
            if partial.len() >= furthest + PROGRESS_BYTES {
                furthest = partial.len();
                attempts = 0;
            }
            attempts += 1;
            // The rest will come from another exchange, so a wrong digest will not yet convict this address.
            continued = continued || partial.len() > 0;
            if !failure.passes() || attempts >= self.options.attempts {
                return Err(describe(url, failure, attempts, self.options));
            }
            tracing::debug!(url = redact(url), ?failure, attempts, "trying again");
            self.pause(attempts)?;
        }
    }

    /// One exchange with a server.
    fn http(
        &self,
        url: &str,
        partial: &mut Partial,
        validator: &mut Option<String>,
        reported: &mut u64,
    ) -> Result<(), Ended> {
        let size = self.request.size;
        let mut answer = self.client.get(url, partial.len(), None, validator.as_deref())?;
        *validator = answer.validator.take();
        if answer.start != partial.len() {
            // The server ignored the range or the content changed: it sends everything.
            partial.restart()?;
        }
        if let Some(total) = answer.total
            && total != size
        {
            return Err(Ended::Size(total.to_string()));
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped.into());
            }
            let n = answer.body.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            if partial.len() + n as u64 > size {
                return Err(Ended::Size("more".into()));
            }
            partial.append(&buffer[..n])?;
            self.report(partial, reported);
        }
        if partial.len() < size {
            let reason = format!("the connection ended after {} of {size} bytes", partial.len());
            return Err(Failure::Network(reason).into());
        }
        Ok(())
    }

    /// Copies from a mirror on disk.
    fn local(&self, path: &Path, partial: &mut Partial, reported: &mut u64) -> Result<(), Ended> {
        let mut file = open_local(path)?;
        let there = file.metadata().at("stat", path).map_err(Error::from)?.len();
        if there != self.request.size {
            return Err(Ended::Size(there.to_string()));
        }
        file.seek(SeekFrom::Start(partial.len())).at("seek in", path).map_err(Error::from)?;
        let mut file = file.take(self.request.size - partial.len());
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = file.read(&mut buffer).at("read", path).map_err(Error::from)?;
            if n == 0 {
                break;
            }
            partial.append(&buffer[..n])?;
            self.report(partial, reported);
        }
        if partial.len() == self.request.size { Ok(()) } else { Err(Ended::Size("less".into())) }
    }

    /// Tells the listener about bytes that it has not heard of.
    fn report(&self, partial: &Partial, reported: &mut u64) {
        if partial.len() > *reported {
            self.progress.advance(&self.request.name, partial.len() - *reported);
            *reported = partial.len();
        }
    }

    /// Waits before attempt number `attempts + 1`.
    fn pause(&self, attempts: u32) -> Result<()> {
        let end = Instant::now() + backoff(self.options, attempts);
        while Instant::now() < end {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            std::thread::sleep((end - Instant::now()).min(Duration::from_millis(50)));
        }
        Ok(())
    }
}

/// See [`crate::Fetcher::get_unpinned`].
pub(crate) fn get_unpinned(client: &Client, options: &Options, url: &str, max_size: u64) -> Result<Vec<u8>> {
    let path = match Source::parse(url)? {
        Source::Local(path) => path,
        Source::Http(_) => {
            let mut attempts = 0;
            return loop {
                attempts += 1;
                match get_once(client, url, max_size) {
                    Ok(content) => break Ok(content),
                    Err(Ended::Exchange(failure)) if failure.passes() && attempts < options.attempts => {
                        std::thread::sleep(backoff(options, attempts));
                    }
                    Err(Ended::Exchange(failure)) => break Err(describe(url, failure, attempts, options)),
                    Err(Ended::Size(_)) => break Err(Error::TooLarge { url: redact(url), limit: max_size }),
                    Err(Ended::Ours(error)) => break Err(error),
                }
            };
        }
    };
    let file = match open_local(&path) {
        Ok(file) => file,
        Err(Ended::Ours(error)) => return Err(error),
        Err(_) => return Err(describe(url, Failure::NotFound, 1, options)),
    };
    let mut content = Vec::new();
    file.take(max_size.saturating_add(1)).read_to_end(&mut content).at("read", &path)?;
    if content.len() as u64 > max_size {
        return Err(Error::TooLarge { url: redact(url), limit: max_size });
    }
    Ok(content)
}

fn get_once(client: &Client, url: &str, max_size: u64) -> Result<Vec<u8>, Ended> {
    let mut answer = client.get(url, 0, None, None)?;
    let mut content = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = answer.body.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        if (content.len() + n) as u64 > max_size {
            return Err(Ended::Size("more".into()));
        }
        content.extend_from_slice(&buffer[..n]);
    }
    if let Some(total) = answer.total
        && total != content.len() as u64
    {
        let reason = format!("the connection ended after {} of {total} bytes", content.len());
        return Err(Failure::Network(reason).into());
    }
    Ok(content)
}

fn open_local(path: &Path) -> Result<std::fs::File, Ended> {
    match fs::open(path) {
        Ok(file) => Ok(file),
        Err(e) if e.is_not_found() => Err(Failure::NotFound.into()),
        Err(e) => Err(Error::from(e).into()),
    }
}

pub(crate) fn backoff(options: &Options, attempts: u32) -> Duration {
    options.backoff.saturating_mul(1 << (attempts - 1).min(10)).min(MAX_BACKOFF.max(options.backoff))
}

pub(crate) fn describe(url: &str, failure: Failure, attempts: u32, options: &Options) -> Error {
    let address = redact(url);
    match failure {
        Failure::Network(reason) => Error::Unreachable { url: address, reason, attempts },
        Failure::Status(status) => Error::Status { url: address, status },
        Failure::NotFound => {
            let name = url.rsplit('/').next().unwrap_or(url).to_owned();
            Error::NotFound(vec![Missing { name, digest: None, urls: vec![address] }])
        }
        Failure::Redirects => Error::Redirects { url: address, limit: options.redirects },
        Failure::Address(reason) => Error::Address { url: address, reason },
        Failure::Tls(reason) => Error::Tls { url: address, reason },
        Failure::Setup(reason) => Error::Setup { url: address, reason },
        Failure::Range => Error::Ranges { url: address },
    }
}
