//! Packages of repositories, fetched and identified.

use crate::error::{Error, Result};
use crate::{Remote, Repository};
use lazuli_fetch::Request;
use lazuli_fs::Context as _;
use lazuli_repo::Package;
use lazuli_rpm::package::{LEAD, PackageFile};
use lazuli_solve::PackageId;
use lazuli_store::Hasher;
use rayon::prelude::*;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// A package that is wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is from.
    pub repository: &'a Repository,
    /// Its number there.
    pub package: PackageId,
}

/// A package that is here: what can be read from its descriptor was hashed there, and has the SHA-256 that the
/// metadata says. Its signature was not looked at; that is the business of whoever installs it, on this very
/// descriptor.
#[derive(Debug)]
pub struct Fetched {
    /// What the metadata says of it.
    pub record: Package,
    /// The file, at its start.
    pub file: File,
    /// Where it lies, for messages and copies; installing goes by [`Fetched::file`].
    pub path: PathBuf,
}

/// The largest headers of a package that are read to identify it, in bytes.
const MAX_HEADERS: u64 = 64 << 20;

impl Remote {
    /// Fetches packages, several at once; those that are cached are not fetched again. The answer has the
    /// order of `wanted`.
    pub fn fetch(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Fetched>> {
        let records = wanted
            .iter()
            .map(|w| {
                let record = w.repository.index().package(w.package);
                record.ok_or_else(|| Error::NoPackage {
                    repository: w.repository.id().to_owned(),
                    number: w.package.0,
                })
            })
            .collect::<Result<Vec<Package>>>()?;
        self.download(wanted, &records)?;
        let mut files = self.open_all(&records)?;
        if files.iter().any(Option::is_none) {
            // What was damaged where it lay is gone now; the servers still have it.
            self.download(wanted, &records)?;
            files = self.open_all(&records)?;
        }
        let all = wanted.iter().zip(records).zip(files);
        all.map(|((w, record), file)| self.fetched(w.repository, record, file)).collect()
    }

    /// Brings packages into the cache, those of one repository together: it has its own options of
    /// connections.
    fn download(&self, wanted: &[Wanted<'_>], records: &[Package]) -> Result<()> {
        if self.offline {
            return Ok(());
        }
        let mut done: Vec<&str> = Vec::new();
        for one in wanted {
            let id = one.repository.id();
            if done.contains(&id) {
                continue;
            }
            done.push(id);
            let requests: Vec<Request> = wanted
                .iter()
                .zip(records)
                .filter(|(w, _)| w.repository.id() == id)
                .map(|(w, record)| Request {
                    urls: w.repository.urls(&record.location),
                    digest: record.checksum,
                    size: record.package_size,
                    name: record.id(),
                })
                .collect();
            let fetch = |source| Error::Fetch { repository: id.to_owned(), source };
            self.fetcher(&one.repository.config).fetch_all(&requests).map_err(fetch)?;
        }
        Ok(())
    }

    /// Opens cached packages and hashes what the open files hold, several at once. One that is something else
    /// now is removed and missing.
    fn open_all(&self, records: &[Package]) -> Result<Vec<Option<File>>> {
        records.par_iter().map(|record| self.open_checked(record)).collect()
    }

    fn open_checked(&self, record: &Package) -> Result<Option<File>> {
        let path = self.store.path(&record.checksum);
        let Some(mut file) = self.store.get(&record.checksum)? else { return Ok(None) };
        let mut hasher = Hasher::new();
        std::io::copy(&mut file, &mut hasher).at("read", &path)?;
        if hasher.finish() != record.checksum {
            lazuli_fs::remove_file(&path)?;
            return Ok(None);
        }
        file.rewind().at("read", &path)?;
        Ok(Some(file))
    }

    /// How many bytes of these packages have to be downloaded.
    pub fn missing_bytes(&self, wanted: &[Wanted<'_>]) -> Result<u64> {
        let mut bytes = 0;
        for one in wanted {
            if let Some(record) = one.repository.index().package(one.package)
                && !self.store.contains(&record.checksum)?
            {
                bytes += record.package_size;
            }
        }
        Ok(bytes)
    }

    fn fetched(&self, repository: &Repository, record: Package, file: Option<File>) -> Result<Fetched> {
        let path = self.store.path(&record.checksum);
        let id = || repository.id().to_owned();
        let mut file = match file {
            Some(file) => file,
            None if self.offline => {
                return Err(Error::NotCached { repository: id(), what: record.id() });
            }
            None => return Err(Error::Damaged { repository: id(), path }),
        };
        // A package with another identity than the metadata promised, though signed, is not what was
        // asked for.
        let found = identity(&mut file).at("read", &path)?;
        if found != record.nevra.to_string() {
            return Err(Error::OtherPackage {
                repository: repository.id().to_owned(),
                location: record.location.to_string(),
                expected: record.id(),
                found,
            });
        }
        Ok(Fetched { record, file, path })
    }
}

/// The NEVRA in the header of a package, or why there is none.
fn identity(file: &mut File) -> std::io::Result<String> {
    let mut head = vec![0; LEAD + 16];
    if file.read_exact(&mut head).is_err() {
        return Ok("no package".to_owned());
    }
    // Sizes of the signature header and, behind it, of the header: entries of 16 bytes, and data.
    let sizes = |at: &[u8]| -> u64 {
        let word = |i: usize| at.get(i..i + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
        16 + u64::from(word(8)) * 16 + u64::from(word(12))
    };
    let signature = sizes(&head[LEAD..]).next_multiple_of(8);
    let mut intro = [0; 16];
    let start = LEAD as u64 + signature;
    if start > MAX_HEADERS {
        return Ok("a package with an enormous signature".to_owned());
    }
    file.seek(SeekFrom::Start(start))?;
    if file.read_exact(&mut intro).is_err() {
        return Ok("a package that ends early".to_owned());
    }
    let end = start + sizes(&intro);
    if end > MAX_HEADERS {
        return Ok("a package with an enormous header".to_owned());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.by_ref().take(end).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match PackageFile::parse(&bytes) {
        Ok(package) => match package.header.nevra() {
            Ok(nevra) => nevra.to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    })
}
