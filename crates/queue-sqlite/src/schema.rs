//! The SQLite file: its tables, its version, and how connections to it are opened.
//!
//! An operator may open `queue.db` with any SQLite tool while the server runs; reading is safe.
//!
//! | table | one row is | written |
//! |---|---|---|
//! | `events` | an accepted event, or one that is here again for the destination `only_for`, `original`ly received then, standing at `first_seq`, because it was `replayed` or else redriven, `edited` if its bytes are not those that were received; `seq` has no gaps above the floor | appended |
//! | `identity_log` | identities of some commits, packed | late; dropped when they are sealed into a run |
//! | `identity_runs` | a sealed, sorted run of identities, with its Bloom filter | once |
//! | `identity_chunks` | 500 identities of a run | once |
//! | `destinations` | a destination and its watermark | when it settles |
//! | `cursor_chunks` | what is settled above the watermark, 65,536 places a row | when it settles out of order |
//! | `retries` | a delivery that has failed and waits | on failure only |
//! | `dead_letters` | a delivery that failed for good, or a body that could not become an event | on failure only |
//! | `audit` | a block of the audit trail, chained to the one before | with each commit that does anything |
//! | `audit_index` | a Bloom filter over what a run of those blocks is about; can be lost | in upkeep |
//! | `audit_start` | the last block that retention has dropped | when it drops some |
//! | `edits` | the edited copy of a dead letter's body | when somebody edits |
//! | `reviews` | how far people are with a group of dead letters | when somebody says so |
//! | `unmatched` | an event that matched no route when it was accepted | late, for those only |
//! | `notes` | what whoever delivers to a destination wants to find again | when that changes, as in an outage |
//! | `put_aside` | how many deliveries to a destination were put aside in the archive | with those |
//! | `replays` | a replay, and how far it has come | with each piece of it |
//! | `state` | the counters of the whole queue, and how far what is written late is written, one row | when they change, and late |
//!
//! What is written late stands in [`crate::late`].

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::failure::{Failed, Place};
use crate::migrate::migrate;
use crate::trail_index;
use crate::writer::Counters;

/// Name of the database in the data directory.
pub(crate) const FILE: &str = "queue.db";
/// `Aftc`: tells our files from any other SQLite file.
const APPLICATION_ID: i32 = 0x4166_7463;
/// Counts up whenever a table changes; `tests/formats` has a database of each.
pub(crate) const VERSION: i32 = 5;
/// 16 KiB pages: a commit of a few events writes few pages, and a chunk of identities fits one.
const PAGE_BYTES: u32 = 16 << 10;
/// Page cache of the writer.
const WRITER_CACHE_KIB: i32 = 24 << 10;
/// Page cache of each reader.
const READER_CACHE_KIB: i32 = 4 << 10;
/// How long a statement waits when another program holds the file's lock.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The tables of the audit trail.
pub(crate) const AUDIT_TABLES: &str = "
CREATE TABLE audit (block INTEGER PRIMARY KEY, entries BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE audit_start (
    one INTEGER PRIMARY KEY CHECK (one = 1), block INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;
";

const TABLES: &str = "
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, received INTEGER NOT NULL, id BLOB NOT NULL, conflict_of BLOB,
    source TEXT NOT NULL, topic TEXT NOT NULL, conversation TEXT, crc INTEGER NOT NULL, only_for INTEGER,
    original INTEGER, edited INTEGER, first_seq INTEGER, replayed INTEGER, body BLOB NOT NULL
) STRICT;
CREATE INDEX events_redriven ON events (only_for, seq) WHERE only_for IS NOT NULL;
CREATE TABLE identity_log (first_seq INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE identity_runs (
    run INTEGER PRIMARY KEY, entries INTEGER NOT NULL, newest INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    firsts BLOB NOT NULL, hashes INTEGER NOT NULL, filter BLOB NOT NULL
) STRICT;
CREATE TABLE identity_chunks (chunk INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE destinations (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, watermark INTEGER NOT NULL, delivered INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE cursor_chunks (
    destination INTEGER NOT NULL, chunk INTEGER NOT NULL, settled BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (destination, chunk)
) STRICT, WITHOUT ROWID;
CREATE TABLE retries (
    destination INTEGER NOT NULL, seq INTEGER NOT NULL, due INTEGER NOT NULL, made INTEGER NOT NULL,
    charged INTEGER NOT NULL, first INTEGER, last INTEGER, failure TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (destination, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, died INTEGER NOT NULL, destination INTEGER, seq INTEGER, event BLOB,
    source TEXT NOT NULL, topic TEXT NOT NULL, conversation TEXT, made INTEGER NOT NULL, charged INTEGER NOT NULL,
    first INTEGER, last INTEGER, failure TEXT NOT NULL, body_hash INTEGER, body BLOB, crc INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_destination ON dead_letters (destination, id);
CREATE INDEX dead_letters_by_seq ON dead_letters (seq) WHERE seq IS NOT NULL;
CREATE INDEX dead_letters_by_body ON dead_letters (body_hash) WHERE body_hash IS NOT NULL;
CREATE TABLE unmatched (seq INTEGER PRIMARY KEY) STRICT;
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), last_seq INTEGER NOT NULL, floor INTEGER NOT NULL,
    duplicates INTEGER NOT NULL, conflicts INTEGER NOT NULL, unmatched INTEGER NOT NULL,
    redriven INTEGER NOT NULL, replayed INTEGER NOT NULL, crc INTEGER NOT NULL
) STRICT;
";

/// Tables that came with format 4.
pub(crate) const REVIEW_TABLES: &str = "
CREATE TABLE edits (
    letter INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE reviews (
    fingerprint INTEGER PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
    seen INTEGER NOT NULL, crc INTEGER NOT NULL
) STRICT;
";

/// How far replays have come.
pub(crate) const REPLAYS_TABLE: &str = "
CREATE TABLE replays (
    id TEXT PRIMARY KEY, selection TEXT NOT NULL, destination TEXT NOT NULL, position TEXT NOT NULL,
    queued INTEGER NOT NULL, not_routed INTEGER NOT NULL, done INTEGER NOT NULL, began INTEGER NOT NULL,
    changed INTEGER NOT NULL, crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Tables that came with format 5. They have no row of a destination that was never down.
pub(crate) const NOTES_TABLES: &str = "
CREATE TABLE notes (destination INTEGER PRIMARY KEY, note BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE put_aside (destination INTEGER PRIMARY KEY, count INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
";

const CREATING: &str = "creating the tables";

/// Opens the writer's connection, and makes the tables when the file is new, or brings those of an older format to the
/// present one.
pub(crate) fn open_writer(dir: &Path) -> Result<Connection, Failed> {
    let path = dir.join(FILE);
    make_private(&path)?;
    let connection = Connection::open(&path).place("opening the database")?;
    connection.busy_timeout(BUSY_TIMEOUT).place("opening the database")?;
    let application: i32 = pragma(&connection, "application_id")?;
    let version: i32 = pragma(&connection, "user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .place("reading the database's schema")?;
    check_version(&path, application, version, tables)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES).place("setting up the database")?;
    let _: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .place("switching the database to a write-ahead log")?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA cell_size_check = ON;
             PRAGMA secure_delete = FAST;"
        ))
        .place("setting up the database")?;
    if version == 0 {
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} {AUDIT_TABLES} {REVIEW_TABLES} {REPLAYS_TABLE} {NOTES_TABLES}"
            ))
            .place(CREATING)?;
        Counters::default().insert(&connection)?;
        let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;");
        connection.execute_batch(&stamp).place(CREATING)?;
    } else {
        migrate(&connection, version)?;
    }
    connection.execute_batch(trail_index::TABLE).place(CREATING)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the file, if it is not there, so that only its owner can read what customers have said; SQLite gives its logs
/// the same rights.
pub(crate) fn make_private(path: &Path) -> Result<(), Failed> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| {
        Failed::Disk(format!(
            "{}: {error}; the data directory must be writable for the user that runs Aftercall",
            path.display()
        ))
    })
}

/// Copies the whole write-ahead log into the database and empties it.
pub(crate) fn empty_log(connection: &Connection) -> Result<(), Failed> {
    let mode = rusqlite::wal::CheckpointMode::TRUNCATE;
    connection.wal_checkpoint_v2(None::<&str>, mode).map(drop).place("emptying the write-ahead log")
}

/// Opens a connection that only reads; the file must exist.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, Failed> {
    let path = dir.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).place("opening the database to read")?;
    connection.busy_timeout(BUSY_TIMEOUT).place("opening the database to read")?;
    let application: i32 = pragma(&connection, "application_id")?;
    let version: i32 = pragma(&connection, "user_version")?;
    check_version(&path, application, version, 1)?;
    if version < VERSION {
        return Err(Failed::Transient(format!(
            "{} has format {version}, and this program reads format {VERSION}; start the server once, which brings it \
             to that format",
            path.display()
        )));
    }
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{READER_CACHE_KIB}; PRAGMA temp_store = MEMORY;"))
        .place("setting up a reader")?;
    Ok(connection)
}

fn check_version(path: &Path, application: i32, version: i32, tables: i64) -> Result<(), Failed> {
    let path = path.display();
    match (application, version) {
        (0, 0) if tables == 0 => Ok(()),
        (APPLICATION_ID, 1..=VERSION) => Ok(()),
        (APPLICATION_ID, newer) if newer > VERSION => Err(Failed::Damaged(format!(
            "{path} was written by a newer Aftercall (format {newer}, this one knows {VERSION}); start that version"
        ))),
        _ => Err(Failed::Damaged(format!(
            "{path} is not an Aftercall queue (application id {application:#x}, format {version}); \
             name another data directory or move the file away"
        ))),
    }
}

fn pragma(connection: &Connection, name: &str) -> Result<i32, Failed> {
    connection.pragma_query_value(None, name, |row| row.get(0)).place("reading the database's version")
}
