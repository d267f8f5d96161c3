//! Reading events that matched no route, by the list of their places; their bodies are not read.
//!
//! Without its body an event's checksum cannot be checked. So what is shown of it is what its row says, as in the lists of
//! dead letters; `trace` reads the event itself. A row that is missing, or holds what was never written there, is told by
//! its place, and concerns no other.

use std::sync::Arc;

use event::{EventId, Timestamp};
use queue::{
    BoxFuture, FoundUnmatched, QueueError, Seq, Unmatched, UnmatchedGrouping, UnmatchedGroups, UnmatchedListing,
    UnmatchedPage, UnmatchedQuery,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use tokio::sync::oneshot;

use crate::failure::{Failed, Place};
use crate::inbox::Op;
use crate::log::place;
use crate::reader;
use crate::shared::Shared;

const READING: &str = "reading events without a route";

/// A page of them.
pub(crate) fn list(
    shared: &Arc<Shared>,
    query: UnmatchedQuery,
) -> BoxFuture<'static, Result<UnmatchedPage, QueueError>> {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        catch_up(&shared).await;
        let read = move |connection: &Connection| {
            let mut listing = UnmatchedListing::new(&query);
            walk(connection, query.before, |found| listing.add(found))?;
            Ok(listing.finish())
        };
        reader::blocking(&shared, move |shared| shared.readers.with(read)).await
    })
}

/// A page of groups of them.
pub(crate) fn groups(
    shared: &Arc<Shared>,
    query: UnmatchedQuery,
) -> BoxFuture<'static, Result<UnmatchedGroups, QueueError>> {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        catch_up(&shared).await;
        let read = move |connection: &Connection| {
            let mut grouping = UnmatchedGrouping::new(&query);
            walk(connection, query.before, |found| grouping.add(found))?;
            Ok(grouping.finish())
        };
        reader::blocking(&shared, move |shared| shared.readers.with(read)).await
    })
}

/// Has their places written, which is done late. A queue that has stopped can still be read, as far as it came.
async fn catch_up(shared: &Shared) {
    let (reply, written) = oneshot::channel();
    if shared.inbox.submit(Op::Note { entries: Vec::new(), reply }).is_ok() {
        let _ = written.await;
    }
}

/// Walks over those before a place, the newest first, until `each` has enough.
fn walk(
    connection: &Connection,
    before: Option<Seq>,
    mut each: impl FnMut(FoundUnmatched) -> bool,
) -> Result<(), Failed> {
    // The length of a body stands in its row's head, so this reads no page of a large one.
    let sql = "SELECT u.seq, e.received, e.id, e.conflict_of, e.source, e.topic, e.conversation, length(e.body)
               FROM unmatched u LEFT JOIN events e ON e.seq = u.seq WHERE u.seq < ?1 ORDER BY u.seq DESC";
    let mut select = connection.prepare_cached(sql).place(READING)?;
    let mut rows = select.query([before.map_or(i64::MAX, |before| place(before.0))]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let seq = Seq(row.get::<_, i64>(0).place(READING)?.unsigned_abs());
        if !each(decode(row, seq).place(READING)?.ok_or(seq)) {
            break;
        }
    }
    Ok(())
}

/// `None` if the event is not there, or a column has another type or length than we write; damage can change either.
fn decode(row: &Row<'_>, seq: Seq) -> Result<Option<Unmatched>, rusqlite::Error> {
    let (ValueRef::Integer(received), ValueRef::Integer(body_bytes)) = (row.get_ref(1)?, row.get_ref(7)?) else {
        return Ok(None);
    };
    let columns = (id(row, 2)?, id(row, 3)?, text(row, 4)?, text(row, 5)?, text(row, 6)?);
    let (Ok(Some(event)), Ok(conflict_of), Ok(Some(source)), Ok(Some(topic)), Ok(conversation)) = columns else {
        return Ok(None);
    };
    let (received, body_bytes) = (Timestamp::from_millis(received), body_bytes.unsigned_abs());
    Ok(Some(Unmatched { event, seq, received, source, topic, conversation, conflict_of, body_bytes }))
}

/// A column holds what was never written there.
struct Odd;

fn id(row: &Row<'_>, column: usize) -> Result<Result<Option<EventId>, Odd>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => bytes.try_into().map(|bytes| Some(EventId::from_bytes(bytes))).map_err(|_| Odd),
        _ => Err(Odd),
    })
}

fn text(row: &Row<'_>, column: usize) -> Result<Result<Option<Arc<str>>, Odd>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(|text| Some(Arc::from(text))).map_err(|_| Odd),
        _ => Err(Odd),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of which SQLite does not check the types, as damage does not either.
    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE unmatched (seq INTEGER PRIMARY KEY);
                 CREATE TABLE events (seq INTEGER PRIMARY KEY, received, id, conflict_of, source, topic, conversation, body);
                 INSERT INTO unmatched VALUES (1), (2), (3), (4), (5), (6), (7);
                 INSERT INTO events VALUES (1, 10, zeroblob(16), NULL, 'web', 'lost', 'c', zeroblob(100000)),
                     (2, 20, zeroblob(15), NULL, 'web', 'lost', 'c', x'00'),
                     (3, 'x', zeroblob(16), NULL, 'web', 'lost', 'c', x'00'),
                     (4, 40, zeroblob(16), 7, 'web', 'lost', 'c', x'00'),
                     (5, 50, zeroblob(16), NULL, NULL, 'lost', 'c', x'00'),
                     (7, 70, zeroblob(16), NULL, 'web', CAST(x'ff' AS TEXT), 'c', x'00');",
            )
            .unwrap();
        connection
    }

    #[test]
    fn a_damaged_row_is_told_by_its_place_and_hides_no_other() {
        let mut found = Vec::new();
        walk(&database(), None, |event| {
            found.push(event.map(|event| (event.seq, event.body_bytes)));
            true
        })
        .unwrap();
        let damaged = [7, 6, 5, 4, 3, 2].map(|seq| Err(Seq(seq)));
        assert_eq!(found, [&damaged[..], &[Ok((Seq(1), 100_000))]].concat());
    }
}
