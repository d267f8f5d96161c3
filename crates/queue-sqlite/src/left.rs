//! Telling which deliveries are left of the events of a page, for a queue that is moved elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use event::Timestamp;
use queue::{Attempts, ConsumerId, Left, LeftPage, Seq, Stored};
use rusqlite::Connection;

use crate::consumer::Consumer;
use crate::failure::{Failed, Place};
use crate::log::place;
use crate::reader;
use crate::shared::Shared;

/// What was tried of deliveries, and when they are due.
type Tried = HashMap<(u16, u64), (Timestamp, Attempts)>;

/// A page of the log with what is left of it.
pub(crate) fn page(shared: &Shared, after: Seq, events: usize, bytes: usize) -> Result<LeftPage, Failed> {
    let page = reader::read_page(shared, after, events, bytes)?;
    let tried = shared.readers.with(|connection| tried(connection, after, page.through))?;
    let consumers: Vec<_> = shared.consumers.read().iter().map(Arc::clone).collect();
    let left = page.events.iter().map(|stored| left_of(stored, &consumers, &tried));
    Ok(LeftPage { left: left.collect(), page })
}

fn left_of(stored: &Stored, consumers: &[Arc<Consumer>], tried: &Tried) -> Vec<Left> {
    let left = |consumer: &Arc<Consumer>| {
        let state = consumer.state.lock();
        state.placed.as_ref()?.route(consumer.id, stored)?;
        if state.cursor.is_settled(stored.seq.0) {
            return None;
        }
        let (due, attempts) = tried.get(&(consumer.id.0, stored.seq.0)).copied().unwrap_or_default();
        Some(Left { destination: Arc::clone(&consumer.name), attempts, due })
    };
    consumers.iter().filter_map(left).collect()
}

fn tried(connection: &Connection, after: Seq, through: Seq) -> Result<Tried, Failed> {
    const READING: &str = "reading retries";
    let sql = "SELECT destination, seq, due, made, charged, first, last FROM retries WHERE seq > ?1 AND seq <= ?2";
    let mut select = connection.prepare_cached(sql).place(READING)?;
    let time = |row: &rusqlite::Row<'_>, column| {
        row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis))
    };
    let rows = select.query_map([place(after.0), place(through.0)], |row| {
        let (made, charged) = (row.get(3)?, row.get(4)?);
        let attempts = Attempts { made, charged, first: time(row, 5)?, last: time(row, 6)? };
        let of = (ConsumerId(row.get(0)?).0, row.get::<_, i64>(1)?.unsigned_abs());
        Ok((of, (time(row, 2)?.unwrap_or_default(), attempts)))
    });
    rows.and_then(Iterator::collect).place(READING)
}
