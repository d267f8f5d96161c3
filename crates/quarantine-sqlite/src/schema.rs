//! The SQLite file: its tables, its version, and how it is opened.
//!
//! | table | one row is | written |
//! |---|---|---|
//! | `requests` | a refused request | in batches; the oldest of a source are deleted |
//! | `key_uses` | when and how often a key of a source was used | at most once a minute |

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::failure::{CURE, Failed};

/// Name of the database in the data directory.
const FILE: &str = "quarantine.db";
/// `Aftq`: tells our files from any other SQLite file.
const APPLICATION_ID: i32 = 0x4166_7471;
/// Counts up whenever a table changes; `tests/formats` has a database of each.
const VERSION: i32 = 1;
/// Page cache.
const CACHE_KIB: i32 = 2 << 10;
/// The write-ahead log is cut to this when it has been copied.
const LOG_BYTES: i32 = 4 << 20;

const TABLES: &str = "
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, received INTEGER NOT NULL, sender TEXT NOT NULL,
    reason TEXT NOT NULL, size INTEGER NOT NULL, headers BLOB NOT NULL, credential BLOB, crc INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX requests_by_source ON requests (source, id, size);
CREATE TABLE key_uses (
    source TEXT NOT NULL, fingerprint TEXT NOT NULL, last_used INTEGER NOT NULL, uses INTEGER NOT NULL,
    PRIMARY KEY (source, fingerprint)
) STRICT, WITHOUT ROWID;
";

/// Opens the file, and makes the tables when it is new.
pub(crate) fn open(dir: &Path) -> Result<Connection, Failed> {
    let path = dir.join(FILE);
    // Only its owner may read what customers have said; SQLite gives its log the same rights.
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(|error| {
        Failed::Unusable(format!("{}: {error}; it must be writable for the user that runs Aftercall", path.display()))
    })?;
    let connection = Connection::open(&path)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    check_version(&path, application, version, tables)?;
    if version == 0 {
        // Pages of what is taken out can be given back to the disk. To be set before there is a table.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // Synced at checkpoints only: that keeps the file whole through a power failure, and costs no request anything.
    connection.execute_batch(&format!(
        "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB};
         PRAGMA journal_size_limit = {LOG_BYTES}; PRAGMA cell_size_check = ON;
         PRAGMA secure_delete = FAST;"
    ))?;
    if version == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn check_version(path: &Path, application: i32, version: i32, tables: i64) -> Result<(), Failed> {
    let path = path.display();
    match (application, version) {
        (0, 0) if tables == 0 => Ok(()),
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, other) => Err(Failed::Unusable(format!(
            "{path} has format {other}, and this program knows {VERSION}; start the version that wrote it, or {CURE}"
        ))),
        _ => Err(Failed::Unusable(format!("{path} is no quarantine of Aftercall; {CURE}"))),
    }
}
