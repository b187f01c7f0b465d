//! Getting pinned inputs into the store, and tool roots out of it.

use crate::workspace::{Workspace, now};
use anyhow::{Context as _, Result, bail};
use lazuli_component::lock::{Lock, LockedDeb, LockedSource};
use lazuli_component::resolve::Archive;
use lazuli_component::schema::Component;
use lazuli_component::tool_root;
use lazuli_debian::mirror::Mirror;
use lazuli_fetch::Request;
use lazuli_store::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What may be needed from the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need<'a> {
    /// The packages of an adopted component, or the source of a built one.
    Component(&'a str),
    /// A tool root; `component:NAME` is the tool root of one component.
    ToolRoot(&'a str),
}

impl Workspace {
    /// Fetches what is needed and not there yet. What a mirror no longer carries is pinned anew to the
    /// current signed version, once, unless `--locked` was given.
    pub fn fetch(&self, needs: &[Need<'_>]) -> Result<()> {
        let missing = self.missing(&self.lock(), needs)?;
        if missing.is_empty() {
            return Ok(());
        }
        let mirror = self.mirror()?;
        let requests: Vec<Request> = missing.iter().map(|(_, file)| file.request(&mirror)).collect();
        let gone: Vec<String> = match self.fetcher().fetch_all(&requests) {
            Ok(_) => return Ok(()),
            Err(lazuli_fetch::Error::NotFound(missing)) => missing.into_iter().map(|m| m.name).collect(),
            Err(error) => return Err(error.into()),
        };
        let owners: BTreeSet<String> = missing
            .iter()
            .filter(|(_, file)| gone.contains(&file.name()))
            .map(|(owner, _)| owner.clone())
            .collect();
        let list = owners.iter().cloned().collect::<Vec<_>>().join(", ");
        if self.global.locked {
            bail!(
                "the mirror no longer carries what lazuli.lock pins for {list}: {}; \
                 run `lazuli lock --update` or drop --locked",
                gone.join(", ")
            );
        }
        self.ui.line(format!(
            "the mirror no longer carries what is pinned for {list}; pinning the current versions"
        ));
        let mut archive = self.archive(&mirror)?;
        archive.exclude(missing.iter().filter(|(_, f)| gone.contains(&f.name())).map(|(_, f)| f.digest));
        self.set_lock(self.pin(&mut archive, |owner| owners.contains(owner))?)?;
        let missing = self.missing(&self.lock(), needs)?;
        let requests: Vec<Request> = missing.iter().map(|(_, file)| file.request(&mirror)).collect();
        self.fetcher().fetch_all(&requests).context("after pinning the current versions")?;
        Ok(())
    }

    /// The verified current state of the archive.
    pub fn archive(&self, mirror: &Mirror) -> Result<Archive> {
        let step = self.ui.spinner("read archive indices");
        let archive = Archive::load(&self.source, &self.store, &self.fetcher(), mirror, now())?;
        step.finish(&format!("{} suites, signatures verified", self.source.distro.suite.len()));
        for (suite, until, why) in archive.expired() {
            let days = (now() - until) / 86_400;
            self.ui.line(format!(
                "suite {suite} was valid until {days} days ago and is used all the same: {why}"
            ));
        }
        // A replayed index is signed too; what the lock has seen already must not be undone.
        for suite in &self.lock().suite {
            if let Some(served) = archive.locked_suites().iter().find(|s| s.name == suite.name)
                && served.date < suite.date
            {
                bail!(
                    "the mirror serves an older state of suite `{}` than lazuli.lock was made from \
                     ({} against {} seconds since 1970); use another mirror (LAZULI_MIRROR)",
                    suite.name,
                    served.date,
                    suite.date
                );
            }
        }
        Ok(archive)
    }

    /// Pins anew what `moves` says. Upstream sources are fetched at once, because an index may list
    /// versions that the mirror does not carry; then the newest one that it does carry is pinned.
    pub fn pin(&self, archive: &mut Archive, mut moves: impl FnMut(&str) -> bool) -> Result<Lock> {
        let old = self.lock();
        let mirror = self.mirror()?;
        loop {
            let lock = archive.pin(&self.source, &old, &mut moves)?;
            let new: Vec<File> = lock
                .source
                .iter()
                .filter(|(n, s)| old.source.get(*n) != Some(s))
                .filter_map(|(_, s)| File::tarball(s))
                .collect();
            let requests: Vec<Request> = new.iter().map(|file| file.request(&mirror)).collect();
            match self.fetcher().fetch_all(&requests) {
                Ok(_) => return Ok(lock),
                Err(lazuli_fetch::Error::NotFound(missing)) => {
                    for one in &missing {
                        self.ui.line(format!(
                            "the mirror lists {} but does not carry it; taking an older one",
                            one.name
                        ));
                    }
                    archive.exclude(missing.iter().filter_map(|m| m.digest));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The directory of a tool root, with the extra packages of a component if it has any.
    pub fn tool_root(&self, name: &str) -> Result<PathBuf> {
        self.fetch(&[Need::ToolRoot(name)])?;
        let lock = self.lock();
        let debs: Vec<(String, Digest)> =
            lock.tool_root_debs(name)?.into_iter().map(|(n, d)| (n.to_owned(), d.sha256)).collect();
        let base = match name.strip_prefix("component:") {
            None => name,
            Some(component) => match self.source.components.get(component) {
                Some(Component::Built(built)) => &built.tool_root,
                _ => bail!("tool root `{name}` belongs to no built component"),
            },
        };
        let links = self.source.distro.tool_root.get(base).map(|r| r.links.clone()).unwrap_or_default();
        // An unpacked package that was damaged is unpacked again from its .deb; one whose .deb is
        // damaged too was removed by the store and is fetched again.
        Ok(tool_root::tool_root(&self.store, &debs, &links)?)
    }

    fn missing(&self, lock: &Lock, needs: &[Need<'_>]) -> Result<Vec<(String, File)>> {
        let mut files: BTreeMap<Digest, (String, File)> = BTreeMap::new();
        for need in needs {
            match need {
                Need::ToolRoot(name) => {
                    for (_, deb) in lock.tool_root_debs(name)? {
                        files.entry(deb.sha256).or_insert(((*name).to_owned(), File::deb(deb)));
                    }
                }
                Need::Component(name) => match self.source.components.get(*name) {
                    Some(Component::Adopted(_)) => {
                        for (_, deb) in lock.component_debs(name)? {
                            files.entry(deb.sha256).or_insert(((*name).to_owned(), File::deb(deb)));
                        }
                    }
                    Some(Component::Built(built)) => {
                        if let Some(source) = &built.source {
                            let locked = lock.source.get(source).with_context(|| {
                                format!("source `{source}` is not in lazuli.lock; run `lazuli lock`")
                            })?;
                            let file = File::tarball(locked)
                                .with_context(|| format!("source `{source}` has no upstream tarball"))?;
                            files.entry(file.digest).or_insert(((*name).to_owned(), file));
                        }
                    }
                    None => bail!("there is no component `{name}`"),
                },
            }
        }
        let mut missing = Vec::new();
        for (digest, file) in files {
            if !self.store.contains(&digest)? {
                missing.push(file);
            }
        }
        Ok(missing)
    }
}

/// A file of the archive.
#[derive(Debug, Clone)]
struct File {
    archive: String,
    path: String,
    size: u64,
    digest: Digest,
}

impl File {
    fn tarball(source: &LockedSource) -> Option<Self> {
        let tarball = source.tarball()?;
        Some(Self {
            archive: source.archive.clone(),
            path: format!("{}/{}", source.directory, tarball.name),
            size: tarball.size,
            digest: tarball.sha256,
        })
    }

    fn deb(deb: &LockedDeb) -> Self {
        Self { archive: deb.archive.clone(), path: deb.path.clone(), size: deb.size, digest: deb.sha256 }
    }

    fn name(&self) -> String {
        self.path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn request(&self, mirror: &Mirror) -> Request {
        Request {
            urls: vec![mirror.url(&self.archive, &self.path)],
            digest: self.digest,
            size: self.size,
            name: self.name(),
        }
    }
}
