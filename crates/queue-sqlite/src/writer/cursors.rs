//! Storing the cursors that have moved.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::Writer;
use crate::consumer::Consumer;
use crate::failure::{Failed, Place};
use crate::log::place;
use crate::options::CURSOR_FLUSH_COMMITS;
use crate::put_aside;
use crate::rows::{CURSOR_CHUNKS, DESTINATIONS, text};

const STORING: &str = "storing a cursor";

impl Writer {
    /// Stores the cursors that have moved: of those that settled something now, or of all once in a while.
    pub(super) fn store_cursors(&mut self, idle: bool) -> Result<(), Failed> {
        let all = idle || self.commits.is_multiple_of(CURSOR_FLUSH_COMMITS);
        for consumer in self.shared.consumers.read().iter() {
            store_cursor(&self.connection, consumer, all)?;
        }
        if all {
            self.cursors_dirty = false;
        }
        Ok(())
    }
}

/// Stores a destination's own row; it must be there.
pub(crate) fn store_destination(
    connection: &Connection,
    id: i64,
    name: &str,
    watermark: i64,
    delivered: i64,
) -> Result<(), Failed> {
    let sql = "UPDATE destinations SET name = ?2, watermark = ?3, delivered = ?4, crc = ?5 WHERE id = ?1";
    let row = [ValueRef::Integer(id), text(name), ValueRef::Integer(watermark), ValueRef::Integer(delivered)];
    DESTINATIONS.execute(connection, sql, &row, STORING)
}

fn store_cursor(connection: &Connection, consumer: &Consumer, all: bool) -> Result<(), Failed> {
    let mut state = consumer.state.lock();
    if !(state.delivered_dirty || all && state.cursor.is_dirty()) {
        return Ok(());
    }
    let id = i64::from(consumer.id.0);
    let (watermark, delivered) = (place(state.cursor.watermark()), place(state.delivered));
    store_destination(connection, id, &consumer.name, watermark, delivered)?;
    for (chunk, bytes) in state.cursor.dirty_chunks() {
        let chunk = place(chunk);
        match bytes {
            Some(bytes) => {
                let sql = "INSERT OR REPLACE INTO cursor_chunks (destination, chunk, settled, crc)
                           VALUES (?1, ?2, ?3, ?4)";
                let row = [ValueRef::Integer(id), ValueRef::Integer(chunk), ValueRef::Blob(&bytes)];
                CURSOR_CHUNKS.execute(connection, sql, &row, STORING)?;
            }
            None => {
                let sql = "DELETE FROM cursor_chunks WHERE destination = ?1 AND chunk = ?2";
                let mut delete = connection.prepare_cached(sql).place(STORING)?;
                delete.execute([id, chunk]).place(STORING)?;
            }
        }
    }
    if std::mem::take(&mut state.put_aside_dirty) {
        put_aside::store(connection, consumer.id, state.put_aside)?;
    }
    state.delivered_dirty = false;
    state.cursor.stored();
    Ok(())
}
