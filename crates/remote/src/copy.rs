//! Copies of a repository's metadata, for mirrors.

use crate::error::{Error, Result};
use crate::{Remote, Repository};
use lazuli_fetch::Request;
use lazuli_fs as fs;
use lazuli_repo::publish::POOL;
use lazuli_repo::{Href, repomd};
use std::path::Path;

impl Repository {
    /// The addresses of a file of the repository, the one that answered first in front.
    pub fn addresses(&self, href: &Href) -> Vec<String> {
        self.urls(href)
    }

    /// Writes the metadata below `to`, byte for byte as it was verified, signature included; `repomd.xml` last,
    /// so that a copy that was interrupted is not taken for a whole one.
    ///
    /// Metadata of a snapshot says which one it is, and clients ask for signature and parts below
    /// `snapshots/ID`: so the copy has the layout of [`lazuli_repo::publish`], pointer included.
    pub fn copy_metadata(&self, remote: &Remote, to: &Path) -> Result<()> {
        let parts = &self.repomd().parts;
        let requests: Vec<Request> = parts
            .iter()
            .map(|(kind, part)| Request {
                urls: self.urls(&part.location),
                digest: part.checksum,
                size: part.size,
                name: format!("{} {kind}", self.id()),
            })
            .collect();
        if !remote.offline {
            let fetch = |source| Error::Fetch { repository: self.id().to_owned(), source };
            remote.fetcher(self.config()).fetch_all(&requests).map_err(fetch)?;
        }
        let snapshot = self.repomd().snapshot;
        let home = snapshot.map_or_else(|| to.to_owned(), |id| to.join(id.path()));
        fs::create_dir_all(home.join("repodata"))?;
        for part in parts.values() {
            let target = home.join(part.location.as_str());
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(remote.store.path(&part.checksum), target)?;
        }
        for (file, name) in [("repomd.xml.asc", repomd::SIGNATURE_PATH), ("repomd.xml", repomd::PATH)] {
            match fs::copy(self.dir.join(file), home.join(name)) {
                Ok(_) => {}
                // A repository that may lack a signature has none.
                Err(error) if error.is_not_found() && name == repomd::SIGNATURE_PATH => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(id) = snapshot {
            let pool = home.join(POOL);
            if fs::symlink_metadata(&pool).is_err() {
                fs::symlink(format!("../../{POOL}"), &pool)?;
            }
            let next = to.join(".new-repodata");
            if fs::symlink_metadata(&next).is_ok() {
                fs::remove_file(&next)?;
            }
            fs::symlink(format!("{}/repodata", id.path()), &next)?;
            fs::rename(&next, to.join("repodata"))?;
        }
        Ok(())
    }
}
