//! Reading: packages, and which of them have a value, by the index tables.

use crate::blob::{MAX_BLOB, View};
use crate::{Database, Error, FileState};
use lazuli_rpm::{Dependency, Evr, Header, Nevra, tag};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Params, Row};
use sha2::{Digest as _, Sha256};

/// An installed package.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The number of its row, never used again for another one.
    pub hnum: u32,
    /// Its header, with what the installation added (for example INSTALLTIME, and the digests and
    /// signatures of the package file).
    pub header: Header,
    /// The state of each file in the header's order.
    pub states: Vec<FileState>,
    /// When it was installed, in seconds since 1970.
    pub install_time: u32,
    /// The number of the transaction that installed it.
    pub transaction: u32,
    /// The colours that the transaction preferred; see [`Addition`](crate::Addition).
    pub color: u32,
}

impl Installed {
    /// Name, version, release and architecture; that is empty for public keys.
    pub fn nevra(&self) -> Nevra {
        let part = |tag| self.header.string(tag).unwrap_or_default();
        let epoch = self.header.number(tag::EPOCH).and_then(|n| u32::try_from(n).ok());
        Nevra {
            name: part(tag::NAME),
            evr: Evr::new(epoch, part(tag::VERSION), part(tag::RELEASE)),
            arch: part(tag::ARCH),
        }
    }

    /// The header of the package file, byte for byte, without what the installation added.
    pub fn package_header(&self) -> Option<Header> {
        let region = View::new(self.header.blob()).ok()?.region()?;
        Header::parse(&region).ok()
    }

    /// The state of a file. All files of a package without states are there.
    pub fn state(&self, index: usize) -> FileState {
        self.states.get(index).copied().unwrap_or_default()
    }
}

/// An installed package in a list: what can be told without taking its header apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The number of its row.
    pub hnum: u32,
    /// Name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// When it was installed, in seconds since 1970.
    pub install_time: u32,
    /// The number of the transaction that installed it.
    pub transaction: u32,
    /// When it was built, in seconds since 1970.
    pub build_time: u32,
    /// The sum of its files' sizes in bytes.
    pub size: u64,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number.
    pub hnum: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// A kind of dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // RPM's names.
pub enum Relation {
    Provides,
    Requires,
    Conflicts,
    Obsoletes,
    Recommends,
    Suggests,
    Supplements,
    Enhances,
}

impl Relation {
    /// The tags of names, flags and versions.
    fn tags(self) -> (u32, u32, u32) {
        match self {
            Self::Provides => (tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION),
            Self::Requires => (tag::REQUIRENAME, tag::REQUIREFLAGS, tag::REQUIREVERSION),
            Self::Conflicts => (tag::CONFLICTNAME, tag::CONFLICTFLAGS, tag::CONFLICTVERSION),
            Self::Obsoletes => (tag::OBSOLETENAME, tag::OBSOLETEFLAGS, tag::OBSOLETEVERSION),
            Self::Recommends => (tag::RECOMMENDNAME, tag::RECOMMENDFLAGS, tag::RECOMMENDVERSION),
            Self::Suggests => (tag::SUGGESTNAME, tag::SUGGESTFLAGS, tag::SUGGESTVERSION),
            Self::Supplements => (tag::SUPPLEMENTNAME, tag::SUPPLEMENTFLAGS, tag::SUPPLEMENTVERSION),
            Self::Enhances => (tag::ENHANCENAME, tag::ENHANCEFLAGS, tag::ENHANCEVERSION),
        }
    }
}

/// An index table that is keyed by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// Names of packages.
    Name,
    /// Last parts of file names.
    Basename,
    /// Directories of files, with `/` at the end.
    Directory,
    /// Names in dependencies. In all but obsoletes a rich dependency is there as a whole and by each
    /// name in it, a negated one with `!` before it. Requirements of scriptlets of the installation
    /// alone are not there.
    Relation(Relation),
    /// Names of packages that triggers are for.
    Trigger,
    /// Prefixes of paths that file triggers are for; the position is the number of the trigger.
    FileTrigger,
    /// The same of transaction file triggers.
    TransactionFileTrigger,
}

impl Index {
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Basename => "Basenames",
            Self::Directory => "Dirnames",
            Self::Relation(Relation::Provides) => "Providename",
            Self::Relation(Relation::Requires) => "Requirename",
            Self::Relation(Relation::Conflicts) => "Conflictname",
            Self::Relation(Relation::Obsoletes) => "Obsoletename",
            Self::Relation(Relation::Recommends) => "Recommendname",
            Self::Relation(Relation::Suggests) => "Suggestname",
            Self::Relation(Relation::Supplements) => "Supplementname",
            Self::Relation(Relation::Enhances) => "Enhancename",
            Self::Trigger => "Triggername",
            Self::FileTrigger => "Filetriggername",
            Self::TransactionFileTrigger => "Transfiletriggername",
        }
    }
}

/// The name of the pseudo-packages that hold public keys.
pub(crate) const KEY_NAME: &str = "gpg-pubkey";

impl Database {
    /// All packages with their headers, in the order of their numbers, without public keys. What cannot
    /// be read is left out and told by [`unreadable`](Self::unreadable).
    pub fn packages(&self) -> Result<Vec<Installed>, Error> {
        let sql = format!("SELECT {ROW} FROM Packages ORDER BY hnum");
        let packages = self.rows(&sql, [], installed)?;
        Ok(packages.into_iter().filter(|p| p.header.string(tag::NAME).as_deref() != Some(KEY_NAME)).collect())
    }

    /// All packages, in the order of their numbers, without public keys and without their headers.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let sql = format!("SELECT {ROW} FROM Packages ORDER BY hnum");
        let mut packages = self.rows(&sql, [], listed)?;
        packages.retain(|p| p.nevra.name != KEY_NAME);
        Ok(packages)
    }

    /// The package with this number.
    pub fn get(&self, hnum: u32) -> Result<Option<Installed>, Error> {
        let sql = format!("SELECT {ROW} FROM Packages WHERE hnum = ?1");
        Ok(self.rows(&sql, [hnum], installed)?.pop())
    }

    /// All packages of this name, in the order of their numbers.
    pub fn named(&self, name: &str) -> Result<Vec<Installed>, Error> {
        let sql = format!(
            "SELECT {ROW} FROM Packages WHERE hnum IN (SELECT hnum FROM Name WHERE key = ?1) ORDER BY hnum"
        );
        self.rows(&sql, [name], installed)
    }

    /// The dependencies of one kind that a package has, without taking its header apart.
    pub fn dependencies(&self, hnum: u32, relation: Relation) -> Result<Vec<Dependency>, Error> {
        let sql = format!("SELECT {ROW} FROM Packages WHERE hnum = ?1");
        let read = |_, blob: &[u8]| Ok(View::new(blob)?.dependencies(relation.tags()));
        Ok(self.rows(&sql, [hnum], read)?.pop().unwrap_or_default())
    }

    /// Who has `key`: number of the package, and position among the values of the tag.
    pub fn find(&self, index: Index, key: &str) -> Result<Vec<(u32, u32)>, Error> {
        let sql = format!("SELECT hnum, idx FROM '{}' WHERE key = ?1 ORDER BY hnum, idx", index.table());
        let run = || -> rusqlite::Result<_> {
            self.db.prepare_cached(&sql)?.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        run().map_err(|e| self.at(e))
    }

    /// A whole index table, in the order of the packages: key, number of the package, position.
    pub fn all(&self, index: Index) -> Result<Vec<(String, u32, u32)>, Error> {
        let sql = format!("SELECT key, hnum, idx FROM '{}' ORDER BY hnum, idx, key", index.table());
        let run = || -> rusqlite::Result<_> {
            let read = |row: &Row<'_>| Ok((text(row.get_ref(0)?), row.get(1)?, row.get(2)?));
            self.db.prepare_cached(&sql)?.query_map([], read)?.collect()
        };
        run().map_err(|e| self.at(e))
    }

    /// Who provides `name`: number of the package, and position among what it provides. Files are not
    /// looked for.
    pub fn providers(&self, name: &str) -> Result<Vec<(u32, u32)>, Error> {
        self.find(Index::Relation(Relation::Provides), name)
    }

    /// Who requires `name`: number of the package, and position among what it requires.
    pub fn requirers(&self, name: &str) -> Result<Vec<(u32, u32)>, Error> {
        self.find(Index::Relation(Relation::Requires), name)
    }

    /// Who has a trigger for the package `name`: number of the package, and position among the names.
    pub fn triggers(&self, name: &str) -> Result<Vec<(u32, u32)>, Error> {
        self.find(Index::Trigger, name)
    }

    /// The packages that the transaction with this number installed.
    pub fn installed_in(&self, transaction: u32) -> Result<Vec<u32>, Error> {
        let run = || -> rusqlite::Result<_> {
            self.db
                .prepare_cached("SELECT hnum FROM Installtid WHERE key = ?1 ORDER BY hnum")?
                .query_map([transaction.to_le_bytes()], |row| row.get(0))?
                .collect()
        };
        run().map_err(|e| self.at(e))
    }

    /// The rows that the queries of this connection could not read so far. `rpm` hides such packages
    /// too; their files are still on the disk, so nothing should be installed before that is repaired.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        let found = self.unreadable.borrow();
        found.iter().map(|(&hnum, reason)| Unreadable { hnum, reason: reason.clone() }).collect()
    }

    /// A text that changes whenever anybody, `rpm` too, installs or removes a package.
    pub fn cookie(&self) -> Result<String, Error> {
        let run = || -> rusqlite::Result<String> {
            let mut hash = Sha256::new();
            let last: Option<i64> = self
                .db
                .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'Packages'", [], |row| row.get(0))
                .optional()?;
            hash.update(last.unwrap_or(0).to_le_bytes());
            let mut statement = self.db.prepare_cached("SELECT key, hnum FROM Name ORDER BY hnum, key")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                hash.update(bytes(row.get_ref(0)?));
                hash.update([0]);
                hash.update(row.get::<_, i64>(1)?.to_le_bytes());
            }
            Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
        };
        run().map_err(|e| self.at(e))
    }

    /// Reads rows of `Packages`; those that `read` rejects are noted.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl Fn(u32, &[u8]) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let run = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query(parameters)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let hnum: i64 = row.get(0)?;
                let value = match (u32::try_from(hnum), row.get_ref(1)?) {
                    (Ok(hnum), ValueRef::Blob(blob)) => read(hnum, blob),
                    (Err(_), _) => Err(format!("{hnum} is no number of a row")),
                    _ => Err(format!("it is not a blob of at most {MAX_BLOB} bytes")),
                };
                match value {
                    Ok(value) => found.push(value),
                    Err(reason) => {
                        drop(self.unreadable.borrow_mut().insert(hnum as u32, reason));
                    }
                }
            }
            Ok(found)
        };
        run().map_err(|e| self.at(e))
    }
}

/// The columns that [`Database::rows`] reads; a blob beyond the limit is not even loaded. The number is
/// [`MAX_BLOB`].
pub(crate) const ROW: &str =
    "hnum, CASE WHEN length(blob) <= 269484023 AND typeof(blob) = 'blob' THEN blob END";
const _: () = assert!(MAX_BLOB == 269_484_023);

pub(crate) fn text(value: ValueRef<'_>) -> String {
    String::from_utf8_lossy(bytes(value)).into_owned()
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

pub(crate) fn installed(hnum: u32, blob: &[u8]) -> Result<Installed, String> {
    let header = Header::parse_blob(blob).map_err(|e| e.to_string())?;
    let number = |tag| header.number(tag).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let states = header.numbers(tag::FILESTATES).into_iter().map(FileState::from_number).collect();
    let (install_time, transaction, color) =
        (number(tag::INSTALLTIME), number(tag::INSTALLTID), number(tag::INSTALLCOLOR));
    Ok(Installed { hnum, header, states, install_time, transaction, color })
}

pub(crate) fn listed(hnum: u32, blob: &[u8]) -> Result<Listed, String> {
    let view = View::new(blob)?;
    let need =
        |tag| view.string(tag).ok_or_else(|| format!("there is no {}", tag::name(tag).unwrap_or("tag")));
    let number = |tag| view.number(tag).and_then(|n| u32::try_from(n).ok());
    Ok(Listed {
        hnum,
        nevra: Nevra {
            name: need(tag::NAME)?,
            evr: Evr::new(number(tag::EPOCH), need(tag::VERSION)?, need(tag::RELEASE)?),
            arch: view.string(tag::ARCH).unwrap_or_default(),
        },
        install_time: number(tag::INSTALLTIME).unwrap_or(0),
        transaction: number(tag::INSTALLTID).unwrap_or(0),
        build_time: number(tag::BUILDTIME).unwrap_or(0),
        size: view.number(tag::LONGSIZE).or_else(|| view.number(tag::SIZE)).unwrap_or(0),
    })
}
