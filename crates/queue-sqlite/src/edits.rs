//! Rows of edited copies: what a redrive delivers in place of a dead letter's body. They go with their letter.

use bytes::Bytes;
use event::Timestamp;
use queue::{By, DeadLetterId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::{EDITS, text};

/// Keeps a copy in place of an earlier one.
pub(crate) fn store(connection: &Connection, id: DeadLetterId, copy: &[u8], by: &By) -> Result<(), Failed> {
    let sql = "INSERT OR REPLACE INTO edits (letter, at, who, why, body, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = [
        ValueRef::Integer(place(id.0)),
        ValueRef::Integer(by.at.as_millis()),
        text(&by.name),
        text(&by.reason),
        ValueRef::Blob(copy),
    ];
    EDITS.execute(connection, sql, &row, "storing an edited copy")
}

/// Drops a copy.
pub(crate) fn remove(connection: &Connection, id: DeadLetterId) -> Result<(), Failed> {
    connection.execute("DELETE FROM edits WHERE letter = ?1", [place(id.0)]).map(drop).place("dropping an edited copy")
}

/// A copy's bytes; none if there is no copy, or if it is not what was stored.
pub(crate) fn body(connection: &Connection, id: DeadLetterId) -> Result<Option<Bytes>, Failed> {
    const READING: &str = "reading an edited copy";
    let sql = format!("SELECT {} FROM edits WHERE letter = ?1", EDITS.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([place(id.0)]).place(READING)?;
    let Some(row) = rows.next().place(READING)? else {
        return Ok(None);
    };
    if !EDITS.is_intact(row).place(READING)? {
        tracing::error!(dead_letter = id.0, "an edited copy is damaged on disk");
        return Ok(None);
    }
    row.get::<_, Vec<u8>>(4).map(|body| Some(Bytes::from(body))).place(READING)
}

/// Who made the copy of a dead letter's row, and why.
pub(crate) fn by(row: &Row<'_>, at: Timestamp) -> Result<By, rusqlite::Error> {
    Ok(By::new(row.get::<_, String>(17)?, at).because(row.get::<_, String>(18)?))
}
