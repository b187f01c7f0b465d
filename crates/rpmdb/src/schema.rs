//! Tables and indexes, and filling them.

use crate::apply::DEFAULT_COLOR;
use crate::index::{self, Key};
use crate::query::ROW;
use crate::record::{self, Marks};
use crate::{Error, InstalledPackage};
use lazuli_rpm::{Header, tag};
use rusqlite::{Connection, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::path::Path;

/// What makes the table of packages.
const PACKAGES: &str = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";

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

impl Table {
    /// What makes it, as `TABLE` or `TEMP TABLE`.
    fn create(&self, kind: &str) -> String {
        let Self { name, key, .. } = self;
        format!(
            "CREATE {kind} '{name}' (key '{key}' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, \
             FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))"
        )
    }

    /// The columns that are indexed.
    fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.key_index.then_some("key").into_iter().chain(self.hnum_index.then_some("hnum"))
    }

    /// What makes its indexes that are not there.
    fn indexes(&self) -> String {
        let name = self.name;
        self.columns()
            .map(|column| {
                format!("CREATE INDEX IF NOT EXISTS '{name}_{column}_idx' ON '{name}'({column} ASC);")
            })
            .collect()
    }
}

const fn table(name: &'static str, tag: u32, key: &'static str, key_index: bool, hnum_index: bool) -> Table {
    Table { name, tag, key, key_index, hnum_index }
}

/// In the order in which `rpm` makes them.
pub(crate) static TABLES: [Table; 18] = [
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
    let marks = Marks { install_time: time, transaction: time, color: DEFAULT_COLOR };
    let mut db = Connection::open(path).map_err(at)?;
    // A crash leaves a file that nobody looks at, so nothing has to reach the disk in between.
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")
        .map_err(at)?;
    db.execute_batch(PACKAGES).map_err(at)?;
    let transaction = db.transaction().map_err(at)?;
    for table in &TABLES {
        transaction.execute_batch(&table.create("TABLE")).map_err(at)?;
    }
    for (number, package) in (1_u32..).zip(packages) {
        let header = record::record(package, marks)?;
        transaction
            .prepare_cached("INSERT INTO 'Packages' (hnum, blob) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![number, header.blob()]))
            .map_err(at)?;
        Inserter::new(&transaction).insert([(number, &header)]).map_err(at)?;
    }
    for table in &TABLES {
        transaction.execute_batch(&table.indexes()).map_err(at)?;
    }
    transaction.commit().map_err(at)?;
    db.execute_batch("VACUUM; PRAGMA journal_mode = DELETE;").map_err(at)?;
    db.close().map_err(|(_, source)| at(source))
}

/// An empty database in memory.
pub(crate) fn empty() -> rusqlite::Result<Connection> {
    let db = Connection::open_in_memory()?;
    db.execute_batch(PACKAGES)?;
    for table in &TABLES {
        db.execute_batch(&table.create("TABLE"))?;
    }
    Ok(db)
}

/// Whether there is the table that everything else can be made from.
pub(crate) fn has_packages(db: &Connection) -> rusqlite::Result<bool> {
    Ok(tables(db)?.contains("Packages"))
}

fn tables(db: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    db.prepare("SELECT name FROM main.sqlite_master WHERE type = 'table'")?
        .query_map([], |r| r.get(0))?
        .collect()
}

/// Makes and fills what is missing of the tables, and makes what is missing of the indexes.
pub(crate) fn complete(db: &mut Connection) -> rusqlite::Result<()> {
    let wanted: usize = 1 + TABLES.len() + TABLES.iter().map(|t| t.columns().count()).sum::<usize>();
    let found: i64 = db.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND type IN ('table', 'index')",
        [],
        |row| row.get(0),
    )?;
    if usize::try_from(found).is_ok_and(|found| found >= wanted) {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = tables(&transaction)?;
    if !known.contains("Packages") {
        transaction.execute_batch(PACKAGES)?;
    }
    let missing: Vec<&'static Table> = TABLES.iter().filter(|t| !known.contains(t.name)).collect();
    fill(&transaction, &missing, "TABLE")?;
    for table in &TABLES {
        transaction.execute_batch(&table.indexes())?;
    }
    transaction.commit()
}

/// Makes all index tables anew.
pub(crate) fn reindex(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in &TABLES {
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS '{}'", table.name))?;
    }
    fill(&transaction, &TABLES.iter().collect::<Vec<_>>(), "TABLE")?;
    for table in &TABLES {
        transaction.execute_batch(&table.indexes())?;
    }
    transaction.commit()
}

/// Makes and fills missing tables for this connection only, which may not write.
pub(crate) fn complete_temporarily(db: &Connection) -> rusqlite::Result<()> {
    let known = tables(db)?;
    let missing: Vec<&'static Table> = TABLES.iter().filter(|t| !known.contains(t.name)).collect();
    fill(db, &missing, "TEMP TABLE")
}

fn fill(db: &Connection, missing: &[&'static Table], kind: &str) -> rusqlite::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for table in missing {
        db.execute_batch(&table.create(kind))?;
    }
    let mut inserter = Inserter { db, tables: missing.to_vec() };
    let mut statement = db.prepare(&format!("SELECT {ROW} FROM Packages ORDER BY hnum"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A row that cannot be read is in no index, as with RPM.
        let Ok(blob) = row.get_ref(1)?.as_blob() else { continue };
        let Ok(header) = Header::parse_blob(blob) else { continue };
        inserter.insert([(row.get(0)?, &header)])?;
    }
    Ok(())
}

/// Removes packages, and what the index tables say of them; those too that another RPM made and that are
/// not known here.
pub(crate) fn remove(db: &Connection, numbers: &BTreeSet<u32>) -> rusqlite::Result<()> {
    /// Numbers in one statement.
    const CHUNK: usize = 500;
    if numbers.is_empty() {
        return Ok(());
    }
    let sql = "SELECT m.name FROM main.sqlite_master m, pragma_table_info(m.name) c \
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND c.name = 'hnum'";
    let names: Vec<String> = db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    for name in names {
        let name = name.replace('"', "\"\"");
        for chunk in numbers.chunks(CHUNK) {
            db.execute_batch(&format!("DELETE FROM \"{name}\" WHERE hnum IN ({})", chunk.join(",")))?;
        }
    }
    Ok(())
}

/// Fills index tables.
pub(crate) struct Inserter<'a> {
    db: &'a Connection,
    tables: Vec<&'static Table>,
}

impl<'a> Inserter<'a> {
    /// For all index tables.
    pub(crate) fn new(db: &'a Connection) -> Self {
        Self { db, tables: TABLES.iter().collect() }
    }

    /// The rows of packages, one table after the other.
    pub(crate) fn insert<'h>(
        &mut self,
        packages: impl IntoIterator<Item = (u32, &'h Header), IntoIter: Clone>,
    ) -> rusqlite::Result<()> {
        let packages = packages.into_iter();
        for table in &self.tables {
            let sql = format!("INSERT INTO '{}' (key, hnum, idx) VALUES (?1, ?2, ?3)", table.name);
            let mut insert = self.db.prepare_cached(&sql)?;
            for (number, header) in packages.clone() {
                for (key, idx) in index::rows(table, header) {
                    match key {
                        Key::Text(text) => insert.execute(params![text, number, idx])?,
                        Key::Blob(blob) => insert.execute(params![blob, number, idx])?,
                    };
                }
            }
        }
        Ok(())
    }
}
