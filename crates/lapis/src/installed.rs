//! What is installed: the package database together with the history's reasons.

use crate::error::{Error, Result};
use crate::history::{History, Reason};
use crate::package::Details;
use lazuli_rpm::{Dependency, Nevra};
use lazuli_rpmdb::{Access, Database, Index};
use lazuli_solve::{InstalledPackage, Keep, System};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The installed packages of a root.
#[derive(Debug)]
pub struct Installed {
    root: PathBuf,
    database: Database,
    reasons: BTreeMap<(String, String), Reason>,
    origins: BTreeMap<String, String>,
    packages: OnceCell<Vec<InstalledPackage>>,
    places: OnceCell<HashMap<u32, usize>>,
}

impl From<lazuli_rpmdb::Error> for Error {
    fn from(error: lazuli_rpmdb::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl Installed {
    /// Opens the database of the root and looks into its history.
    pub fn open(root: &Path, access: Access) -> Result<Self> {
        let database = Database::open(root, access)?;
        let history = History::read(root)?;
        Ok(Self {
            root: root.to_owned(),
            database,
            reasons: history.reasons()?,
            origins: history.origins()?,
            packages: OnceCell::new(),
            places: OnceCell::new(),
        })
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The database, to change it. What was read before is what was installed before.
    pub fn into_database(self) -> Database {
        self.database
    }

    /// Identities of all packages, in the order of names.
    pub fn nevras(&self) -> Result<Vec<(u32, Nevra)>> {
        let mut list: Vec<(u32, Nevra)> =
            self.database.list()?.into_iter().map(|p| (p.hnum, p.nevra)).collect();
        list.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(list)
    }

    /// Why a package is installed; somebody's wish unless the history knows better.
    pub fn reason(&self, nevra: &Nevra) -> Reason {
        let key = (nevra.name.clone(), nevra.arch.clone());
        self.reasons.get(&key).copied().unwrap_or(Reason::User)
    }

    /// The repository that a package came from, if the history knows.
    pub fn origin(&self, nevra: &Nevra) -> &str {
        self.origins.get(&nevra.to_string()).map_or("", String::as_str)
    }

    /// Everything about a package.
    pub fn details(&self, hnum: u32) -> Result<Option<Details>> {
        Ok(self.database.get(hnum)?.and_then(|row| self.complete(&row)))
    }

    /// Everything about all packages, in the order of names.
    pub fn all(&self) -> Result<Vec<Details>> {
        let mut all: Vec<Details> =
            self.database.packages()?.iter().filter_map(|row| self.complete(row)).collect();
        all.sort_by(|a, b| a.nevra().cmp(b.nevra()));
        Ok(all)
    }

    fn complete(&self, row: &lazuli_rpmdb::Installed) -> Option<Details> {
        let mut details = Details::installed(&row.header, row.install_time)?;
        details.reason = Some(self.reason(details.nevra()));
        self.origin(details.nevra()).clone_into(&mut details.from_repository);
        Some(details)
    }

    /// Reads what the solver has to know. [`System`] answers from it.
    pub fn load(&self) -> Result<()> {
        if self.packages.get().is_some() {
            return Ok(());
        }
        let mut packages = Vec::new();
        for row in self.database.packages()? {
            let header = &row.header;
            let Ok(nevra) = header.nevra() else { continue };
            packages.push(InstalledPackage {
                hnum: row.hnum,
                keep: match self.reason(&nevra) {
                    Reason::User => Keep::User,
                    Reason::Dependency => Keep::Dependency,
                    Reason::Weak => Keep::Weak,
                },
                nevra,
                provides: header.provides(),
                requires: header.requires(),
                conflicts: header.conflicts(),
                obsoletes: header.obsoletes(),
                recommends: header.recommends(),
                supplements: header.supplements(),
                size: size(header),
            });
        }
        let places = packages.iter().enumerate().map(|(place, p)| (p.hnum, place)).collect();
        // Only this function sets them, and only once.
        drop(self.packages.set(packages));
        drop(self.places.set(places));
        Ok(())
    }

    /// A package by its number, after [`load`](Self::load).
    pub fn get(&self, hnum: u32) -> Option<&InstalledPackage> {
        let place = *self.places.get()?.get(&hnum)?;
        self.packages.get()?.get(place)
    }

    /// The size of a package's files in bytes, after [`load`](Self::load).
    pub fn size(&self, hnum: u32) -> u64 {
        self.get(hnum).map_or(0, |p| p.size)
    }

    /// The numbers of the packages that own a path.
    pub fn owners_of(&self, path: &str) -> Result<Vec<u32>> {
        let mut owners: Vec<u32> = self.database.owners(path)?.into_iter().map(|(hnum, _)| hnum).collect();
        owners.dedup();
        Ok(owners)
    }

    /// The kernel that runs, if it is one of this root's packages: the owner of its modules' directory or
    /// image.
    pub fn running_kernel(&self) -> Option<u32> {
        if self.root != Path::new("/") {
            return None;
        }
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let paths = [
            format!("/usr/lib/modules/{release}"),
            format!("/lib/modules/{release}"),
            format!("/boot/vmlinuz-{release}"),
        ];
        paths.iter().find_map(|path| self.owners_of(path).ok()?.first().copied())
    }

    /// Names of installed packages, for which an index suffices.
    pub fn names(&self) -> Result<Vec<(String, u32)>> {
        Ok(self.database.all(Index::Name)?.into_iter().map(|(name, hnum, _)| (name, hnum)).collect())
    }
}

impl System for Installed {
    fn packages(&self) -> &[InstalledPackage] {
        self.packages.get().map_or(&[], Vec::as_slice)
    }

    fn owners(&self, path: &str) -> Vec<u32> {
        // The database was read a moment ago; a path that cannot be looked up counts as owned by nobody.
        self.owners_of(path).unwrap_or_default()
    }
}

fn size(header: &lazuli_rpm::Header) -> u64 {
    use lazuli_rpm::tag;
    header.number(tag::LONGSIZE).or_else(|| header.number(tag::SIZE)).unwrap_or(0)
}

/// Whether a list of provides meets a dependency.
pub fn meets(provides: &[Dependency], wanted: &Dependency) -> bool {
    provides.iter().any(|p| lazuli_solve::satisfies(p, wanted))
}
