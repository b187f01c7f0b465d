//! Writing a repository's metadata.
//!
//! The bytes depend on the packages, the options and the key alone: packages are sorted, all times are
//! the revision, compression is single-threaded.
//!
//! # Crash and concurrency rule
//!
//! All files are written and flushed in a directory of their own, which then takes the place of
//! `repodata` in one `rename` (an exchange, if there was one before). Where a file system cannot exchange,
//! the new parts are added to the old directory, then the signature and at last `repomd.xml`; the old
//! parts go when nothing names them any more.

use crate::compress::compress;
use crate::error::{Error, Result};
use crate::href::Href;
use crate::lists::List;
use crate::package::Package;
use crate::primary;
use crate::repomd::{Part, Repomd};
use crate::snapshot::SnapshotId;
use crate::updateinfo::{self, Advisory};
use lazuli_fs::{self as fs, Context as _};
use lazuli_rpm::Signer;
use lazuli_store::Digest;
use rayon::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::path::Path;

/// What metadata says about the repository itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Seconds since the epoch; must grow from one publication to the next. Every time stamp in the
    /// metadata is this one.
    pub revision: i64,
    /// From this second since the epoch on the metadata must not be believed any more.
    pub expires: Option<i64>,
    /// The snapshot that this is, if it is one; see [`crate::publish`].
    pub snapshot: Option<SnapshotId>,
    /// What the repository holds, for example `binary-x86_64`.
    pub content_tags: Vec<String>,
    /// The distributions it is for: CPE identifier, if any, and name.
    pub distro_tags: Vec<(Option<String>, String)>,
    /// What the updates are for; without any, `updateinfo` is not written.
    pub advisories: Vec<Advisory>,
}

/// Writes `DIR/repodata` for packages that lie, or will lie, below `dir` at their locations; signs it.
/// Whatever `repodata` held before is replaced.
pub fn write_repository(
    dir: &Path,
    packages: &[Package],
    options: &Options,
    signer: &Signer,
) -> Result<Repomd> {
    let (repomd, parts) = render(packages, options)?;
    let bytes = repomd.to_xml().map_err(|source| Error::Serialise { source })?;
    let mut files = parts;
    files.push(("repomd.xml.key".to_owned(), crate::signature::public_key(signer)?));
    files.push(("repomd.xml.asc".to_owned(), crate::signature::sign(&bytes, signer, options.revision)?));
    files.push(("repomd.xml".to_owned(), bytes));
    publish(dir, &files)?;
    tracing::debug!(packages = packages.len(), dir = %dir.display(), "repository written");
    Ok(repomd)
}

/// Serialises one package.
type Record = fn(&Package) -> io::Result<Vec<u8>>;
/// Makes a document of serialised packages.
type Document = fn(&[Vec<u8>]) -> io::Result<Vec<u8>>;
/// A file's name below `repodata` and its content.
type File = (String, Vec<u8>);

/// The parts (file name below `repodata`, content) and the list that names them.
fn render(packages: &[Package], options: &Options) -> Result<(Repomd, Vec<File>)> {
    let mut sorted: Vec<&Package> = packages.iter().collect();
    sorted.sort_by(|a, b| a.order(b));
    let mut places: HashMap<&Href, &Package> = HashMap::new();
    for package in &sorted {
        if let Some(first) = places.insert(&package.location, package) {
            return Err(Error::DuplicateLocation {
                first: first.id(),
                second: package.id(),
                href: package.location.to_string(),
            });
        }
    }
    let kinds: [(&str, Record, Document); 3] = [
        ("primary", primary::write, primary::document),
        ("filelists", |package| List::Files.write(package), |packages| List::Files.document(packages)),
        ("other", |package| List::Other.write(package), |packages| List::Other.document(packages)),
    ];
    let parts = kinds
        .into_par_iter()
        .map(|(kind, write, document)| {
            let records = sorted.par_iter().map(|package| write(package)).collect::<io::Result<Vec<_>>>()?;
            let open = document(&records)?;
            let stored = compress(&open)?;
            Ok((kind, open, stored))
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(|source| Error::Serialise { source })?;
    let mut parts = parts;
    if !options.advisories.is_empty() {
        let open = updateinfo::to_xml(&options.advisories)?;
        let stored = compress(&open).map_err(|source| Error::Serialise { source })?;
        parts.push(("updateinfo", open, stored));
    }
    let mut repomd = Repomd {
        revision: options.revision.to_string(),
        expires: options.expires,
        snapshot: options.snapshot,
        content_tags: options.content_tags.clone(),
        distro_tags: options.distro_tags.clone(),
        parts: BTreeMap::new(),
        unusable: BTreeMap::new(),
    };
    let mut files = Vec::new();
    for (kind, open, stored) in parts {
        let checksum = Digest::of(&stored);
        let name = format!("{checksum}-{kind}.xml.zst");
        let part = Part {
            checksum,
            open_checksum: Some(Digest::of(&open)),
            location: Href::new(&format!("repodata/{name}"))?,
            timestamp: options.revision,
            size: stored.len() as u64,
            open_size: Some(open.len() as u64),
        };
        repomd.parts.insert(kind.to_owned(), part);
        files.push((name, stored));
    }
    Ok((repomd, files))
}

/// Makes `files` the content of `DIR/repodata`, in the way the module's documentation describes.
fn publish(dir: &Path, files: &[File]) -> Result<()> {
    fs::create_dir_all(dir)?;
    let live = dir.join("repodata");
    let fresh = tempfile::Builder::new()
        .prefix(".repodata-")
        .tempdir_in(dir)
        .at("create a temporary directory in", dir)?;
    for (name, content) in files {
        let path = fresh.path().join(name);
        let mut file = fs::create_new(&path, 0o644)?;
        file.write_all(content).at("write", &path)?;
        fs::set_mode(&path, 0o644)?;
        file.sync_all().at("flush", &path)?;
    }
    fs::set_mode(fresh.path(), 0o755)?;
    fs::sync_dir(fresh.path())?;
    match renameat_with(CWD, fresh.path(), CWD, &live, RenameFlags::EXCHANGE) {
        // The old directory now has the temporary name and goes with it.
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => {
            fs::rename(fresh.path(), &live)?;
            let _now_live = fresh.keep();
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => replace_in_place(&live, files)?,
        Err(errno) => return Err(fs::Error::new("exchange with the new metadata", live, errno.into()).into()),
    }
    fs::sync_dir(dir)?;
    Ok(())
}

/// The way without an exchange: `files` are in the order in which they may appear.
pub(crate) fn replace_in_place(live: &Path, files: &[File]) -> Result<()> {
    fs::create_dir_all(live)?;
    for (name, content) in files {
        fs::write_atomic(live.join(name), content, 0o644)?;
    }
    let current: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for path in fs::read_dir(live)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !current.contains(name) && path.is_file() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
