//! Verified, resumable, parallel downloads into the store.
//!
//! A [`Request`] names content by SHA-256 and size and the places where it may be found. Nothing
//! reaches the store under that digest unless it was checked in full; what is known beforehand is
//! never downloaded again. A [`Poster`] sends small messages over the same connections. This crate must not know what
//! the content means.
//!
//! # Layout
//!
//! ```text
//! STORE/partial/DIGEST      content so far of an unfinished download, locked while one is running
//! ```
//!
//! # Rules
//!
//! - A download goes on where an earlier one stopped, in this run or before it (`Range`, with `If-Range`
//!   when the server gave a validator, RFC 9110). What was on disk is hashed again first.
//! - No more than the promised number of bytes is ever read or written.
//! - What may pass by itself (refused or dropped connections, timeouts, 5xx, 408, 429) is tried again a
//!   few times with growing pauses; what will not (404, wrong content) moves on to the next address.
//! - "Not found" is kept apart from all other failures, because it is an answer: the mirror does not
//!   carry this version any more. All requests are asked before it is reported.

mod connection;
mod download;
mod error;
mod http;
mod partial;
mod post;
mod reader;
mod source;

pub use connection::{ClientCertificate, Connection, Family, Login, Proxy, Roots};
pub use error::{Error, Missing, Result};
pub use post::{PostError, Poster};
pub use reader::{Reader, Stream};

use lazuli_store::{Digest, Store};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Content that is wanted in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where it may be found, tried in order: `http://`, `https://` or `file://` URLs or absolute paths.
    pub urls: Vec<String>,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What people call it, for progress and errors.
    pub name: String,
}

/// What became of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was fetched from its first byte to its last.
    Fetched,
    /// It was continued after this many bytes from an earlier run.
    Resumed(u64),
    /// It was not fetched; the error says why.
    Failed,
}

/// What a call of [`Fetcher::fetch_all`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that the store could serve.
    pub cached: usize,
    /// Requests that were downloaded.
    pub fetched: usize,
    /// Size of what was downloaded in bytes.
    pub bytes: u64,
}

/// Hears about downloads. Called from several threads.
pub trait Progress: Send + Sync {
    /// `name` of `total` bytes is going to be downloaded. All downloads of one call are announced
    /// before the first byte of any arrives.
    fn start(&self, name: &str, total: u64);
    /// `bytes` more of it are there (not verified yet). Never sums up to more than the total.
    fn advance(&self, name: &str, bytes: u64);
    /// It ended.
    fn done(&self, name: &str, outcome: Outcome);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: &str, _: u64) {}
    fn done(&self, _: &str, _: Outcome) {}
}

/// How patient a [`Fetcher`] is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Downloads at once.
    pub parallel: usize,
    /// How often one address is tried when it fails in a way that may pass.
    pub attempts: u32,
    /// The pause before the second try; it doubles each time.
    pub backoff: Duration,
    /// Time to resolve a name, and again to connect.
    pub connect_timeout: Duration,
    /// Time without a single byte.
    pub read_timeout: Duration,
    /// The window over which `min_rate` is judged.
    pub rate_window: Duration,
    /// Fewer bytes than this in one window count as stalled.
    pub min_rate: u64,
    /// Redirects that are followed.
    pub redirects: u32,
    /// How servers are reached.
    pub connection: Connection,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: 8,
            attempts: 4,
            backoff: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            rate_window: Duration::from_secs(60),
            min_rate: 4096,
            redirects: 5,
            connection: Connection::default(),
        }
    }
}

/// Downloads into a store.
pub struct Fetcher<'a> {
    store: &'a Store,
    progress: Arc<dyn Progress>,
    options: Options,
    client: http::Client,
}

impl std::fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("store", self.store)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'a> Fetcher<'a> {
    /// A fetcher with the usual patience. Proxies come from the environment (`http_proxy` and its like).
    pub fn new(store: &'a Store, progress: Arc<dyn Progress>) -> Self {
        Self::with_options(store, progress, Options::default())
    }

    /// A fetcher with another patience.
    pub fn with_options(store: &'a Store, progress: Arc<dyn Progress>, options: Options) -> Self {
        let client = http::Client::new(&options);
        Self { store, progress, options, client }
    }

    /// Brings everything asked for into the store. Largest first, several at once.
    ///
    /// The first failure other than [`Error::NotFound`] stops the rest. What was finished stays in the
    /// store and what was begun stays beside it, so the next call goes on from there.
    pub fn fetch_all(&self, requests: &[Request]) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut wanted: Vec<&Request> = Vec::new();
        for request in requests {
            if wanted.iter().any(|w| w.digest == request.digest) {
                continue;
            }
            if self.store.contains(&request.digest)? {
                summary.cached += 1;
            } else {
                wanted.push(request);
            }
        }
        wanted.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
        for request in &wanted {
            self.progress.start(&request.name, request.size);
        }
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let missing = Mutex::new(Vec::new());
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            while let Some(request) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = if stop.load(Ordering::Relaxed) {
                    Err(Error::Stopped)
                } else {
                    self.fetch(request, &stop)
                };
                let outcome = match result {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        match error {
                            Error::NotFound(one) => lock(&missing).extend(one),
                            Error::Stopped => {}
                            other => {
                                stop.store(true, Ordering::Relaxed);
                                lock(&failure).get_or_insert(other);
                            }
                        }
                        Outcome::Failed
                    }
                };
                self.progress.done(&request.name, outcome);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.parallel.min(wanted.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let mut missing: Vec<Missing> = std::mem::take(&mut *lock(&missing));
        if !missing.is_empty() {
            missing.sort_by(|a, b| a.name.cmp(&b.name));
            return Err(Error::NotFound(missing));
        }
        summary.fetched = wanted.len();
        summary.bytes = wanted.iter().map(|r| r.size).sum();
        Ok(summary)
    }

    /// Reads something whose digest nobody knows beforehand (a signed `InRelease`), at most `max_size`
    /// bytes of it. The caller must verify it by other means before use.
    pub fn get_unpinned(&self, url: &str, max_size: u64) -> Result<Vec<u8>> {
        download::get_unpinned(&self.client, &self.options, url, max_size)
    }

    fn fetch(&self, request: &Request, stop: &AtomicBool) -> Result<Outcome> {
        download::Download {
            store: self.store,
            client: &self.client,
            options: &self.options,
            progress: self.progress.as_ref(),
            stop,
            request,
        }
        .run()
    }
}

/// A panic of another worker leaves these values whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
