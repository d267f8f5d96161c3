//! Bringing a database of an older format to the present one, a step for each format, all in one transaction: a crash
//! in the middle leaves the old one as it was.
//!
//! | format | what it brought |
//! |---|---|
//! | 1 | the first |
//! | 2 | checksums of every row that a promise rests on, and of identities |
//! | 3 | redriven events |
//! | 4 | the audit trail, edited copies of dead letters, how far people are with a group, where events that are here again stood first, replays |
//! | 5 | notes of destinations, and counts of what was put aside; some tables are written late |

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::dedupe;
use crate::failure::{Failed, Place};
use crate::rows::{self, Table};
use crate::schema::{self, VERSION};
use crate::trail::Trail;
use crate::writer::Counters;

const DOING: &str = "bringing the database to the present format";

/// Brings the database from this version to the present one.
pub(crate) fn migrate(connection: &Connection, version: i32) -> Result<(), Failed> {
    if version == VERSION {
        return Ok(());
    }
    tracing::info!(from = version, to = VERSION, "bringing the queue's database to the present format");
    connection.execute_batch("BEGIN IMMEDIATE").place(DOING)?;
    let migrated = steps(connection, version);
    match migrated {
        Ok(()) => connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT")).place(DOING),
        Err(failed) => {
            // Without it the connection is closed, which undoes the transaction too.
            let _ = connection.execute_batch("ROLLBACK");
            Err(failed)
        }
    }
}

fn steps(connection: &Connection, version: i32) -> Result<(), Failed> {
    // Before any checksum is worked out, since that is over the columns of today.
    if version < 3 {
        let columns = "ALTER TABLE events ADD COLUMN only_for INTEGER; ALTER TABLE events ADD COLUMN original INTEGER;
                       ALTER TABLE state ADD COLUMN redriven INTEGER NOT NULL DEFAULT 0;";
        connection.execute_batch(columns).place(DOING)?;
    }
    if version < 4 {
        let review = "ALTER TABLE events ADD COLUMN edited INTEGER;";
        connection
            .execute_batch(&format!("{review} {} {}", schema::AUDIT_TABLES, schema::REVIEW_TABLES))
            .place(DOING)?;
        let columns = "ALTER TABLE events ADD COLUMN first_seq INTEGER;
                       CREATE INDEX events_redriven ON events (only_for, seq) WHERE only_for IS NOT NULL;";
        connection.execute_batch(columns).place(DOING)?;
        let columns = "ALTER TABLE events ADD COLUMN replayed INTEGER;
                       ALTER TABLE state ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0;";
        connection.execute_batch(columns).place(DOING)?;
        connection.execute_batch(schema::REPLAYS_TABLE).place(DOING)?;
    }
    if version < 5 {
        connection.execute_batch(schema::NOTES_TABLES).place(DOING)?;
    }
    if version < 2 {
        for table in rows::TABLES_OF_2 {
            let add = format!("ALTER TABLE {} ADD COLUMN crc INTEGER NOT NULL DEFAULT 0", table.name);
            connection.execute_batch(&add).place(DOING)?;
            work_out_checksums(connection, &table)?;
        }
        dedupe::add_checksums(connection)?;
    } else if version < 4 {
        work_out_checksums(connection, &rows::STATE)?;
    }
    if version < 4 {
        Trail::begin(connection)?;
    }
    // Nothing was written late before format 5.
    if version < 5 { Counters::load(connection)?.0.insert(connection) } else { Ok(()) }
}

fn work_out_checksums(connection: &Connection, table: &Table) -> Result<(), Failed> {
    let (name, keys) = (table.name, table.key_columns());
    let key_list = keys.join(", ");
    let numbered = |(at, key): (usize, &&str)| format!("{key} = ?{}", at + 2);
    let condition = keys.iter().enumerate().map(numbered).collect::<Vec<_>>().join(" AND ");
    let select = format!("SELECT {}, {key_list} FROM {name}", table.selected(""));
    let mut select = connection.prepare(&select).place(DOING)?;
    let mut rows = select.query([]).place(DOING)?;
    let mut checksums = Vec::new();
    while let Some(row) = rows.next().place(DOING)? {
        let count = table.columns.len();
        let values = (0..count).map(|column| row.get_ref(column)).collect::<Result<Vec<ValueRef<'_>>, _>>();
        let mut parameters = vec![Value::Integer(table.checksum(&values.place(DOING)?))];
        for key in 0..keys.len() {
            parameters.push(row.get(count + 1 + key).place(DOING)?);
        }
        checksums.push(parameters);
    }
    let update = format!("UPDATE {name} SET crc = ?1 WHERE {condition}");
    let mut update = connection.prepare(&update).place(DOING)?;
    for parameters in checksums {
        update.execute(params_from_iter(parameters)).place(DOING)?;
    }
    Ok(())
}
