//! RPM repositories as a client sees them: fetched, trusted, indexed.
//!
//! [`Remote::open`] turns a configured repository into a [`Repository`] whose metadata was verified
//! ([`trust`]) and lies in an index that is mapped into memory ([`index`]); [`Remote::fetch`] brings packages
//! of it here. Trust is on by default; what a repository may lack is said by its configuration alone.
//! This crate must not know what is done with packages.

mod connection;
mod copy;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod index;
mod keys;
mod lock;
mod mirrors;
mod packages;
mod primary;
mod repository;
pub mod state;
mod sync;
pub mod trust;

pub use connection::options_for_keys;
pub use error::{Error, Result};
pub use index::Index;
pub use packages::{Fetched, Wanted};
pub use repository::Repository;
pub use sync::Freshness;

use lazuli_fetch::{Fetcher, Progress};
use lazuli_repo::RepoConfig;
use lazuli_store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cache, the memory and the network.
pub struct Remote {
    store: Store,
    cache: PathBuf,
    state: PathBuf,
    progress: Arc<dyn Progress>,
    /// The present, in seconds since 1970.
    now: i64,
    offline: bool,
    parallel: usize,
}

impl Remote {
    /// With a cache directory (may be removed at any time), a directory for what must be remembered, and the
    /// present in seconds since 1970.
    pub fn new(cache: &Path, state: &Path, now: i64, progress: Arc<dyn Progress>) -> Result<Self> {
        lazuli_fs::create_dir_all(cache)?;
        let store = Store::open(cache.join("store"))?;
        let (cache, state) = (cache.to_owned(), state.to_owned());
        Ok(Self { store, cache, state, progress, now, offline: false, parallel: 8 })
    }

    /// Uses nothing but the cache.
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Downloads at once (`max_parallel_downloads`).
    pub fn parallel(mut self, downloads: usize) -> Self {
        self.parallel = downloads.max(1);
        self
    }

    /// Opens a repository: from the cache if that is fresh enough, else from its server.
    pub fn open(&self, config: &RepoConfig, freshness: Freshness) -> Result<Repository> {
        sync::open(self, config, freshness)
    }

    fn fetcher(&self, config: &RepoConfig) -> Fetcher<'_> {
        let options = connection::options(config, self.parallel);
        Fetcher::with_options(&self.store, Arc::clone(&self.progress), options)
    }

    fn key_fetcher(&self, config: &RepoConfig) -> Fetcher<'_> {
        let options = connection::options_for_keys(config, self.parallel);
        Fetcher::with_options(&self.store, Arc::clone(&self.progress), options)
    }
}
