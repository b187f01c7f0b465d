//! The archive as it is on the day of the run, verified, and tool roots from it.

use lazuli_component::distro::Source;
use lazuli_component::resolve;
use lazuli_component::tool_root;
use lazuli_debian::closure::{Universe, closure};
use lazuli_debian::index::BinaryPackage;
use lazuli_debian::mirror::{self, Mirror};
use lazuli_fetch::{Fetcher, Request, Silent};
use lazuli_store::{Digest, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Error;

/// The indices of all suites, and where what they list comes from and goes.
pub struct Archive {
    pub store: Store,
    mirror: Mirror,
    index: resolve::Archive,
}

impl Archive {
    /// Fetches and verifies the indices, with the store of whoever runs this.
    pub fn open() -> Result<Self, Error> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let source = Source::load(&checkout.join("distro"))?;
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = set("LAZULI_STORE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("lazuli")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/lazuli")));
        let store = Store::open(root.ok_or("HOME is not set")?)?;
        let mirror = mirror::discover()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        let fetcher = Fetcher::new(&store, Arc::new(Silent));
        let index = resolve::Archive::load(&source, &store, &fetcher, &mirror, now)?;
        drop(fetcher);
        Ok(Self { store, mirror, index })
    }

    /// All packages of Debian stable with its updates, in all their versions.
    pub fn universe(&self) -> Universe<'_> {
        self.index.universe(&[])
    }

    /// The newest version of each of them.
    #[allow(dead_code)] // Not every bench that has this module asks.
    pub fn newest(&self) -> impl Iterator<Item = &BinaryPackage> {
        self.index.packages()
    }

    /// Brings packages into the store.
    pub fn fetch(&self, packages: &[&BinaryPackage]) -> Result<(), Error> {
        let request = |package: &&BinaryPackage| {
            // Where the archive keeps updates.
            let updates = package.filename.starts_with("pool/updates/");
            let archive = if updates { "debian-security" } else { "debian" };
            Request {
                urls: vec![self.mirror.url(archive, &package.filename)],
                digest: package.sha256,
                size: package.size,
                name: package.to_string(),
            }
        };
        let fetcher = Fetcher::new(&self.store, Arc::new(Silent));
        fetcher.fetch_all(&packages.iter().map(request).collect::<Vec<_>>())?;
        Ok(())
    }

    /// A tool root of these packages and all that they need.
    pub fn tools(&self, wanted: &[&str]) -> Result<PathBuf, Error> {
        let packages = closure(&self.universe(), wanted)?;
        self.fetch(&packages)?;
        let debs: Vec<(String, Digest)> = packages.iter().map(|p| (p.package.clone(), p.sha256)).collect();
        Ok(tool_root::tool_root(&self.store, &debs, &BTreeMap::new())?)
    }
}
