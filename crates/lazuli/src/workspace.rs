//! Where things are: the distribution, its lock, the store and the keys.

use crate::cli::Global;
use crate::ui::Ui;
use anyhow::{Context as _, Result, bail};
use lazuli_component::distro::Source;
use lazuli_component::keys::Keys;
use lazuli_component::lock::Lock;
use lazuli_debian::mirror::Mirror;
use lazuli_fetch::Fetcher;
use lazuli_rpm::Signer;
use lazuli_store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything that a command works with.
pub struct Workspace {
    /// `distro/`.
    pub source: Source,
    /// The lock as it is now; re-pinning changes it.
    pub lock: std::sync::RwLock<Lock>,
    /// Where it is kept.
    pub lock_path: PathBuf,
    /// The store.
    pub store: Store,
    /// Development keys.
    pub keys: Keys,
    /// Progress.
    pub ui: Arc<Ui>,
    /// Options of the command line.
    pub global: Global,
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Workspace {
    /// Finds and reads everything; the lock must be there unless `fresh`.
    pub fn open(global: &Global, ui: Arc<Ui>, fresh: bool) -> Result<Self> {
        let dir = distro_dir(global)?;
        let source = Source::load(&dir)?;
        let lock_path = match &global.lock_file {
            Some(path) => path.clone(),
            None => dir.parent().unwrap_or(Path::new(".")).join("lazuli.lock"),
        };
        let lock = if fresh && !lock_path.exists() { Lock::new() } else { Lock::read(&lock_path)? };
        let store = Store::open(store_dir(global)?)?;
        let keys = Keys::discover()?;
        Ok(Self { source, lock: lock.into(), lock_path, store, keys, ui, global: global.clone() })
    }

    /// A downloader into the store.
    pub fn fetcher(&self) -> Fetcher<'_> {
        Fetcher::new(&self.store, self.ui.clone())
    }

    /// The mirror that the environment, the user or the host names.
    #[allow(clippy::unused_self)] // Callers ask the workspace for everything that they work with.
    pub fn mirror(&self) -> Result<Mirror> {
        Ok(lazuli_debian::mirror::discover()?)
    }

    /// The key that signs packages and metadata.
    pub fn signer(&self) -> Result<Signer> {
        let user_id = format!("{} development key", self.source.distro.name);
        Ok(self.keys.signer(&user_id, now())?)
    }

    /// A copy of the lock.
    pub fn lock(&self) -> Lock {
        self.lock.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces the lock here and on disk.
    pub fn set_lock(&self, lock: Lock) -> Result<()> {
        lock.write(&self.lock_path)?;
        *self.lock.write().unwrap_or_else(std::sync::PoisonError::into_inner) = lock;
        Ok(())
    }
}

/// The directory of the store.
pub fn store_dir(global: &Global) -> Result<PathBuf> {
    if let Some(dir) = &global.store {
        return Ok(dir.clone());
    }
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("lazuli"))
        .context("cannot tell where the store is: set LAZULI_STORE or HOME")
}

fn distro_dir(global: &Global) -> Result<PathBuf> {
    if let Some(dir) = &global.distro {
        return Ok(dir.clone());
    }
    let here = std::env::current_dir().context("cannot tell the current directory")?;
    for dir in here.ancestors() {
        let distro = dir.join("distro");
        if distro.join("lazuli.toml").is_file() {
            return Ok(distro);
        }
    }
    bail!(
        "no distro/lazuli.toml in {} or above it; change into a checkout or name the directory with --distro",
        here.display()
    )
}
