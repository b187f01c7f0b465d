//! Tables and indexes, and filling them.

use crate::index::{self, Key};
use crate::{Error, InstalledPackage, record};
use lazuli_rpm::tag;
use rusqlite::{Connection, params};
use std::path::Path;

/// An index table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) tag: u32,
    /// The declared type of its key.
    key: &'static str,
    /// Whether there is an index over the key.
    key_index: bool,
    /// Whether there is an index over the number of the package.
    hnum_index: bool,
}

const fn table(name: &'static str, tag: u32, key: &'static str, key_index: bool, hnum_index: bool) -> Table {
    Table { name, tag, key, key_index, hnum_index }
}

/// In the order in which `rpm` makes them.
pub(crate) const TABLES: [Table; 18] = [
    table("Name", tag::NAME, "TEXT", true, false),
    table("Basenames", tag::BASENAMES, "TEXT", true, true),
    table("Group", tag::GROUP, "TEXT", true, false),
    table("Requirename", tag::REQUIRENAME, "TEXT", true, true),
    table("Providename", tag::PROVIDENAME, "TEXT", true, true),
    table("Conflictname", tag::CONFLICTNAME, "TEXT", true, true),
    table("Obsoletename", tag::OBSOLETENAME, "TEXT", true, true),
    table("Triggername", tag::TRIGGERNAME, "TEXT", true, true),
    table("Dirnames", tag::DIRNAMES, "TEXT", true, true),
    table("Installtid", tag::INSTALLTID, "BLOB", false, false),
    table("Sigmd5", tag::SIGMD5, "BLOB", false, false),
    table("Sha1header", tag::SHA1HEADER, "TEXT", true, false),
    table("Filetriggername", tag::FILETRIGGERNAME, "TEXT", true, true),
    table("Transfiletriggername", tag::TRANSFILETRIGGERNAME, "TEXT", true, true),
    table("Recommendname", tag::RECOMMENDNAME, "TEXT", true, true),
    table("Suggestname", tag::SUGGESTNAME, "TEXT", true, true),
    table("Supplementname", tag::SUPPLEMENTNAME, "TEXT", true, true),
    table("Enhancename", tag::ENHANCENAME, "TEXT", true, true),
];

/// Writes a new database; packages get numbers from 1 in their order.
pub(crate) fn write(path: &Path, packages: &[&InstalledPackage], time: u32) -> Result<(), Error> {
    let at = |source| Error::Sqlite { path: path.to_owned(), source };
    let mut db = Connection::open(path).map_err(at)?;
    // A crash leaves a file that nobody looks at, so nothing has to reach the disk in between.
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")
        .map_err(at)?;
    db.execute_batch("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
        .map_err(at)?;
    let transaction = db.transaction().map_err(at)?;
    for table in &TABLES {
        let Table { name, key, .. } = table;
        transaction
            .execute_batch(&format!(
                "CREATE TABLE '{name}' (key '{key}' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, \
                 FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))"
            ))
            .map_err(at)?;
    }
    for (number, package) in (1_u32..).zip(packages) {
        let header = record::record(package, time)?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO 'Packages' (hnum, blob) VALUES (?1, ?2)").map_err(at)?;
        insert.execute(params![number, header.blob()]).map_err(at)?;
        for table in &TABLES {
            let mut insert = transaction
                .prepare_cached(&format!("INSERT INTO '{}' (key, hnum, idx) VALUES (?1, ?2, ?3)", table.name))
                .map_err(at)?;
            for (key, idx) in index::rows(table, &header) {
                match key {
                    Key::Text(text) => insert.execute(params![text, number, idx]),
                    Key::Blob(blob) => insert.execute(params![blob, number, idx]),
                }
                .map_err(at)?;
            }
        }
    }
    for Table { name, key_index, hnum_index, .. } in &TABLES {
        for column in key_index.then_some("key").into_iter().chain(hnum_index.then_some("hnum")) {
            let sql = format!("CREATE INDEX '{name}_{column}_idx' ON '{name}'({column} ASC)");
            transaction.execute_batch(&sql).map_err(at)?;
        }
    }
    transaction.commit().map_err(at)?;
    db.execute_batch("VACUUM; PRAGMA journal_mode = DELETE;").map_err(at)?;
    db.close().map_err(|(_, source)| at(source))
}
