//! Storing the cursors that have moved.

use rusqlite::{Connection, params};

use super::Writer;
use crate::consumer::Consumer;
use crate::failure::{Failed, Place};
use crate::log::place;
use crate::options::CURSOR_FLUSH_COMMITS;

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

fn store_cursor(connection: &Connection, consumer: &Consumer, all: bool) -> Result<(), Failed> {
    let mut state = consumer.state.lock();
    if !(state.delivered_dirty || all && state.cursor.is_dirty()) {
        return Ok(());
    }
    let id = i64::from(consumer.id.0);
    let mut update = connection
        .prepare_cached("UPDATE destinations SET watermark = ?2, delivered = ?3 WHERE id = ?1")
        .place("storing a cursor")?;
    update.execute([id, place(state.cursor.watermark()), place(state.delivered)]).place("storing a cursor")?;
    for (chunk, bytes) in state.cursor.dirty_chunks() {
        let chunk = place(chunk);
        match bytes {
            Some(bytes) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO cursor_chunks (destination, chunk, settled) VALUES (?1, ?2, ?3)",
                )
                .and_then(|mut insert| insert.execute(params![id, chunk, bytes])),
            None => connection
                .prepare_cached("DELETE FROM cursor_chunks WHERE destination = ?1 AND chunk = ?2")
                .and_then(|mut delete| delete.execute([id, chunk])),
        }
        .place("storing a cursor")?;
    }
    state.delivered_dirty = false;
    state.cursor.stored();
    Ok(())
}
