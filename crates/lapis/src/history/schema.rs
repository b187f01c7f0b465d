//! The tables, and their versions.

use rusqlite::Connection;

/// What `PRAGMA user_version` says. A database of a later version is not touched.
pub(super) const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE trans (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,              -- own, or rpm: found to have been done by somebody else
    state TEXT NOT NULL,             -- running, done, failed, recovered
    started INTEGER NOT NULL,        -- seconds since 1970
    ended INTEGER,
    uid INTEGER NOT NULL,
    user TEXT NOT NULL,
    command TEXT NOT NULL,
    comment TEXT NOT NULL,
    unverified INTEGER NOT NULL,     -- 1: signatures were not checked (--nogpgcheck)
    cookie_before TEXT NOT NULL,
    cookie_after TEXT NOT NULL,
    output TEXT NOT NULL             -- what scriptlets said, what went wrong
);
CREATE TABLE element (
    trans INTEGER NOT NULL REFERENCES trans(id),
    position INTEGER NOT NULL,
    action TEXT NOT NULL,
    name TEXT NOT NULL, epoch INTEGER, version TEXT NOT NULL, release TEXT NOT NULL, arch TEXT NOT NULL,
    repo TEXT NOT NULL,
    reason TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (trans, position)
);
CREATE INDEX element_name ON element(name);
-- Why packages are installed, by name and architecture: updates keep it.
CREATE TABLE reason (
    name TEXT NOT NULL, arch TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (name, arch)
);
-- What was installed when we last looked; what differs from it was done by somebody else.
CREATE TABLE seen (
    name TEXT NOT NULL, epoch INTEGER, version TEXT NOT NULL, release TEXT NOT NULL, arch TEXT NOT NULL
);
CREATE TABLE last_cookie (cookie TEXT NOT NULL);
";

/// Makes the tables if there are none.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    let version = |c: &Connection| c.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    if version(connection)? == 0 {
        // Somebody else may be doing the same.
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if version(&transaction)? == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    version(connection)
}
