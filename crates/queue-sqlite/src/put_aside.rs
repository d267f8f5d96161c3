//! Rows that count what was put aside for a destination. Nothing rests on them, so of a damaged one it is counted from 0.

use queue::ConsumerId;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::PUT_ASIDE;

/// Stores a count.
pub(crate) fn store(connection: &Connection, id: ConsumerId, count: u64) -> Result<(), Failed> {
    let sql = "INSERT OR REPLACE INTO put_aside (destination, count, crc) VALUES (?1, ?2, ?3)";
    let row = [ValueRef::Integer(id.0.into()), ValueRef::Integer(place(count))];
    PUT_ASIDE.execute(connection, sql, &row, "counting what was put aside")
}

/// The count of a destination.
pub(crate) fn find(connection: &Connection, id: ConsumerId) -> Result<u64, Failed> {
    const READING: &str = "reading how much was put aside";
    let sql = format!("SELECT {} FROM put_aside WHERE destination = ?1", PUT_ASIDE.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([id.0]).place(READING)?;
    let Some(row) = rows.next().place(READING)? else { return Ok(0) };
    if !PUT_ASIDE.is_intact(row).place(READING)? {
        tracing::warn!(destination = id.0, "the count of what was put aside is damaged; it is counted from 0 again");
        return Ok(0);
    }
    row.get::<_, i64>(1).map(i64::unsigned_abs).place(READING)
}
