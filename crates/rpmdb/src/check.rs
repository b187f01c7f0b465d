//! Looking for damage: the file, the rows, and whether the index tables say what the headers say.

use crate::index::{self, Key};
use crate::query::ROW;
use crate::schema::{self, TABLES};
use crate::{Access, Database, Error, Installed};
use lazuli_rpm::tag;
use rusqlite::types::ValueRef;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that is wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The file, in the words of SQLite's integrity check.
    File(String),
    /// A row that cannot be read, or whose header is not what its digest says.
    Package {
        /// The number of the row.
        hnum: u32,
        /// What is wrong.
        reason: String,
    },
    /// An index table that differs from a package's header; all rows of a package that is not there.
    Index {
        /// The table.
        table: &'static str,
        /// The number of the package.
        hnum: u32,
        /// How many of its rows are not there.
        missing: usize,
        /// How many rows are there that should not be.
        surplus: usize,
    },
    /// A package that is there twice.
    Twice {
        /// Its name, version, release and architecture.
        package: String,
        /// The numbers of the rows.
        hnums: Vec<u32>,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(reason) => write!(f, "package database: {reason}"),
            Self::Package { hnum, reason } => write!(f, "package number {hnum}: {reason}"),
            Self::Index { table, hnum, missing, surplus } => write!(
                f,
                "index {table}, package number {hnum}: {missing} rows are missing, {surplus} are too many \
                 (`rpmdb --rebuilddb` makes the indexes anew)"
            ),
            Self::Twice { package, hnums } => write!(f, "{package} is installed twice, as {hnums:?}"),
        }
    }
}

impl Database {
    /// Looks for damage in all of the database; reads all of it. Signatures are not verified. Rows that an
    /// RPM with other rules for its index tables wrote count as damaged.
    pub fn check(&self) -> Result<Vec<Damage>, Error> {
        let mut damage = BTreeSet::new();
        let run = || -> rusqlite::Result<Vec<String>> {
            self.db.prepare("PRAGMA integrity_check(20)")?.query_map([], |row| row.get(0))?.collect()
        };
        let said = run().map_err(|e| self.at(e))?;
        damage.extend(said.into_iter().filter(|line| line != "ok").map(Damage::File));
        let sql = format!("SELECT {ROW} FROM Packages ORDER BY hnum");
        let packages = self.rows(&sql, [], crate::query::installed)?;
        let unreadable = self.unreadable();
        let mut identities: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for package in &packages {
            if let Some(reason) = wrong_digest(package) {
                damage.insert(Damage::Package { hnum: package.hnum, reason });
            }
            identities.entry(package.nevra().to_string()).or_default().push(package.hnum);
        }
        damage.extend(
            identities
                .into_iter()
                .filter(|(_, hnums)| hnums.len() > 1)
                .map(|(package, hnums)| Damage::Twice { package, hnums }),
        );
        for table in &TABLES {
            let mut found = self.index_rows(table.name)?;
            for package in &packages {
                let wanted: BTreeSet<(Key, u32)> = index::rows(table, &package.header).into_iter().collect();
                let there = found.remove(&package.hnum).unwrap_or_default();
                let (missing, surplus) =
                    (wanted.difference(&there).count(), there.difference(&wanted).count());
                if missing + surplus > 0 {
                    damage.insert(Damage::Index { table: table.name, hnum: package.hnum, missing, surplus });
                }
            }
            for (hnum, rows) in found {
                // Nobody knows what the rows of such a package should be.
                if !unreadable.iter().any(|u| u.hnum == hnum) {
                    damage.insert(Damage::Index { table: table.name, hnum, missing: 0, surplus: rows.len() });
                }
            }
        }
        damage.extend(unreadable.into_iter().map(|u| Damage::Package { hnum: u.hnum, reason: u.reason }));
        Ok(damage.into_iter().collect())
    }

    /// Makes all index tables anew from the headers, in one transaction. The packages keep their numbers.
    pub fn reindex(&mut self) -> Result<(), Error> {
        if self.access != Access::Write {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        schema::reindex(&mut self.db).map_err(|e| crate::database::error(&self.path, e))
    }

    fn index_rows(&self, table: &str) -> Result<BTreeMap<u32, BTreeSet<(Key, u32)>>, Error> {
        let run = || -> rusqlite::Result<_> {
            let mut found: BTreeMap<u32, BTreeSet<(Key, u32)>> = BTreeMap::new();
            let mut statement = self.db.prepare(&format!("SELECT key, hnum, idx FROM '{table}'"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let key = match row.get_ref(0)? {
                    ValueRef::Blob(bytes) => Key::Blob(bytes.to_vec()),
                    other => Key::Text(crate::query::text(other)),
                };
                found.entry(row.get(1)?).or_default().insert((key, row.get(2)?));
            }
            Ok(found)
        };
        run().map_err(|e| self.at(e))
    }
}

/// What is wrong with a header, if it carries a digest of itself and is not what that says.
fn wrong_digest(package: &Installed) -> Option<String> {
    let expected = package.header.string(tag::SHA256HEADER)?;
    let Some(header) = package.package_header() else {
        return Some("it has a digest, but no region that it is of".into());
    };
    let actual: String = Sha256::digest(header.bytes()).iter().map(|b| format!("{b:02x}")).collect();
    (actual != expected).then(|| format!("its header is damaged: expected sha256 {expected}, got {actual}"))
}
