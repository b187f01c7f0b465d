//! What `tough` reads through: the project's own HTTP client, and folders.

use crate::{Error, Origin};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use tough::{Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

/// How many bytes of metadata are handed on at a time.
const CHUNK: usize = 16 << 10;
/// No root metadata that is remembered has more bytes.
pub(crate) const MAX_ROOT: u64 = 256 << 10;

/// Root metadata as it was read, by file name. All of it was verified if loading succeeds.
pub(crate) type Roots = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Reads from an origin and remembers the root metadata that passes by.
#[derive(Debug, Clone)]
pub(crate) struct Passing {
    pub(crate) origin: Origin,
    pub(crate) roots: Roots,
}

/// An error of the network on its way through `tough`.
#[derive(Debug)]
pub(crate) struct Failure(Mutex<Option<Error>>, String);

impl Failure {
    fn new(error: Error) -> Self {
        let text = error.to_string();
        Self(Mutex::new(Some(error)), text)
    }

    /// The error itself.
    pub(crate) fn take(&self) -> Error {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| Error::Other(self.1.clone()))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for Failure {}

#[async_trait::async_trait]
impl Transport for Passing {
    /// Blocks while it waits: there is nothing else to do on this thread meanwhile.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let fail = |url: &Url, error: Error| match error {
            Error::Fetch(e) if e.is_not_found() => {
                TransportError::new(TransportErrorKind::FileNotFound, url.as_str())
            }
            error => {
                TransportError::new_with_cause(TransportErrorKind::Other, url.as_str(), Failure::new(error))
            }
        };
        let stream = self.origin.open_url(&url, None).map_err(|e| fail(&url, e))?;
        let name = url.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
        let roots = name.ends_with(".root.json").then(|| self.roots.clone());
        let mut stream = Some(stream);
        let chunks = std::iter::from_fn(move || {
            let mut chunk = vec![0; CHUNK];
            match stream.as_mut()?.read(&mut chunk) {
                Ok(0) => {
                    stream = None;
                    None
                }
                Ok(count) => {
                    chunk.truncate(count);
                    if let Some(roots) = &roots {
                        let mut roots = roots.lock().unwrap_or_else(PoisonError::into_inner);
                        let root = roots.entry(name.clone()).or_default();
                        if ((root.len() + count) as u64) <= MAX_ROOT {
                            root.extend_from_slice(&chunk);
                        }
                    }
                    Some(Ok(bytes::Bytes::from(chunk)))
                }
                Err(error) => {
                    stream = None;
                    let inner = error.get_ref().map_or_else(|| error.to_string(), ToString::to_string);
                    Some(Err(fail(&url, Error::Other(inner))))
                }
            }
        });
        Ok(Box::pin(futures_util::stream::iter(Shared(Mutex::new(chunks)))))
    }
}

/// An iterator that several threads may hold, though one uses it.
struct Shared<I>(Mutex<I>);

impl<I: Iterator> Iterator for Shared<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).next()
    }
}
