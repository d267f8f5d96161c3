//! Rows of the notes of destinations.

use bytes::Bytes;
use queue::{ConsumerId, QueueError};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::failure::{Failed, Place};
use crate::rows::NOTES;

/// Keeps a note in place of an earlier one, or drops it.
pub(crate) fn store(connection: &Connection, id: ConsumerId, note: Option<&[u8]>) -> Result<(), Failed> {
    const STORING: &str = "storing the note of a destination";
    let Some(note) = note else {
        let sql = "DELETE FROM notes WHERE destination = ?1";
        return connection.prepare_cached(sql).and_then(|mut drop| drop.execute([id.0])).place(STORING).map(drop);
    };
    let sql = "INSERT OR REPLACE INTO notes (destination, note, crc) VALUES (?1, ?2, ?3)";
    NOTES.execute(connection, sql, &[ValueRef::Integer(id.0.into()), ValueRef::Blob(note)], STORING)
}

/// The note of a destination; an error if its row is damaged.
pub(crate) fn find(connection: &Connection, id: ConsumerId) -> Result<Option<Result<Bytes, QueueError>>, Failed> {
    const READING: &str = "reading the note of a destination";
    let sql = format!("SELECT {} FROM notes WHERE destination = ?1", NOTES.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([id.0]).place(READING)?;
    let Some(row) = rows.next().place(READING)? else { return Ok(None) };
    if !NOTES.is_intact(row).place(READING)? {
        let damaged = format!("the row of `notes` with destination {} is damaged", id.0);
        return Ok(Some(Err(QueueError::Invalid(damaged))));
    }
    let note: Vec<u8> = row.get(1).place(READING)?;
    Ok(Some(Ok(Bytes::from(note))))
}
