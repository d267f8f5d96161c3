//! Rows of the event log: written once, each with a checksum over everything in it, checked whenever one is read.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use queue::{Again, ConsumerId, QueueError, Seq, Stored, Why};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Statement};
use smallvec::SmallVec;

use crate::failure::{Failed, Place};

/// Events that one statement appends. Starting a statement costs about as much as appending an event.
pub(crate) const APPEND_EVENTS: usize = 8;

const COLUMNS: &str = "seq, received, id, conflict_of, source, topic, conversation, crc, body, only_for, original, \
                       edited, first_seq, replayed";
const COLUMN_COUNT: usize = 14;
static INSERT: LazyLock<String> = LazyLock::new(|| insert("events", COLUMNS, 1));
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert("events", COLUMNS, APPEND_EVENTS));
static INSERT_UNMATCHED: LazyLock<String> = LazyLock::new(|| insert("unmatched", "seq", 1));
static INSERT_UNMATCHED_MANY: LazyLock<String> = LazyLock::new(|| insert("unmatched", "seq", APPEND_EVENTS));

/// A failure undoes the whole transaction anyway; without `OR FAIL` SQLite would keep copies to undo the statement alone.
fn insert(table: &str, columns: &str, rows: usize) -> String {
    let row = format!("({})", columns.split(',').map(|_| "?").collect::<Vec<_>>().join(", "));
    format!("INSERT OR FAIL INTO {table} ({columns}) VALUES {}", vec![row; rows].join(", "))
}

/// A row that was read, or why it cannot be trusted.
pub(crate) type Checked = Result<Stored, Damage>;

/// A place in the log whose event is missing or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) seq: u64,
    pub(crate) what: String,
}

impl Damage {
    /// For whoever asked for this event.
    pub(crate) fn into_error(self) -> QueueError {
        QueueError::Damaged { detail: format!("event {}: {}; run `aftercall check`", self.seq, self.what) }
    }
}

/// Stands in the column `replayed` of such an event, and in its checksum.
const REPLAYED: u8 = 2;
/// Stands in the checksum of an event whose bytes were edited.
const EDITED: u8 = 1;
/// Bytes of all but the body of a usual event.
const HEAD_BYTES: usize = 256;

/// The checksum over an event, its place, and whom it is here again for.
fn checksum(stored: &Stored) -> u32 {
    let Stored { seq, event, again } = stored;
    let texts = [Some(&event.source), Some(&event.topic), event.conversation.as_ref()];
    // In one piece, because many short ones cost more than all the bytes of a small event.
    let mut head = SmallVec::<[u8; HEAD_BYTES]>::new();
    head.extend_from_slice(&seq.0.to_le_bytes());
    head.extend_from_slice(&event.received.as_millis().to_le_bytes());
    head.extend_from_slice(event.id.as_bytes());
    head.extend_from_slice(event.conflict_of.as_ref().map_or(&[][..], |id| id.as_bytes()));
    for text in texts {
        // The length, and whether there is a text at all, so that no two events run together to the same bytes.
        head.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        head.extend_from_slice(text.map_or(&[][..], |text| text.as_bytes()));
    }
    if let Some(Again { consumer, at, why, edited, first }) = again {
        head.extend_from_slice(&consumer.0.to_le_bytes());
        head.extend_from_slice(&at.as_millis().to_le_bytes());
        // Rows of format 3 have none.
        if first != seq {
            head.extend_from_slice(&first.0.to_le_bytes());
        }
        if *edited {
            head.push(EDITED);
        }
        if *why == Why::Replayed {
            head.push(REPLAYED);
        }
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(&event.body);
    crc.finalize()
}

/// Appends events.
pub(crate) fn append(connection: &Connection, events: &[&Stored]) -> Result<(), Failed> {
    let mut many = events.chunks_exact(APPEND_EVENTS);
    many.by_ref().try_for_each(|events| append_with(connection, &INSERT_MANY, events))?;
    many.remainder().iter().try_for_each(|&event| append_with(connection, &INSERT, &[event]))
}

fn append_with(connection: &Connection, sql: &str, events: &[&Stored]) -> Result<(), Failed> {
    let append = || {
        let mut insert = connection.prepare_cached(sql)?;
        for (row, stored) in events.iter().enumerate() {
            bind(&mut insert, row * COLUMN_COUNT, stored)?;
        }
        insert.raw_execute()
    };
    append().map(drop).place("appending events")
}

/// Whether the body of the event at a place was erased.
pub(crate) fn is_erased(connection: &Connection, seq: u64) -> Result<bool, Failed> {
    let mut select = connection
        .prepare_cached("SELECT 1 FROM events WHERE seq = ?1 AND length(body) = 0")
        .place("looking for an erased event")?;
    select.exists([place(seq)]).place("looking for an erased event")
}

/// Writes an event over the one at its place.
pub(crate) fn replace(connection: &Connection, stored: &Stored) -> Result<(), Failed> {
    let mut update = connection
        .prepare_cached("UPDATE events SET body = ?2, crc = ?3 WHERE seq = ?1")
        .place("changing an event's body")?;
    let row = rusqlite::params![place(stored.seq.0), &*stored.event.body, checksum(stored)];
    update.execute(row).map(drop).place("changing an event's body")
}

/// Notes the places of events that no route has matched.
pub(crate) fn note_unmatched(connection: &Connection, places: &[i64]) -> Result<(), Failed> {
    let note = |sql: &str, places: &[i64]| {
        connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(places)).map(drop)
    };
    let mut many = places.chunks_exact(APPEND_EVENTS);
    many.by_ref()
        .try_for_each(|places| note(&INSERT_UNMATCHED_MANY, places))
        .and_then(|()| many.remainder().chunks(1).try_for_each(|place| note(&INSERT_UNMATCHED, place)))
        .place("noting events without a route")
}

/// The last place that is noted so.
pub(crate) fn last_unmatched(connection: &Connection) -> Result<u64, Failed> {
    let last = connection.query_row("SELECT coalesce(max(seq), 0) FROM unmatched", [], |row| row.get::<_, i64>(0));
    last.map(i64::unsigned_abs).place("reading the last event without a route")
}

/// Binds an event's columns, in the order of [`COLUMNS`], to the parameters behind `before`.
fn bind(insert: &mut Statement<'_>, before: usize, stored: &Stored) -> Result<(), rusqlite::Error> {
    let Stored { seq, event, again } = stored;
    insert.raw_bind_parameter(before + 1, place(seq.0))?;
    insert.raw_bind_parameter(before + 2, stored.kept_since().as_millis())?;
    insert.raw_bind_parameter(before + 3, event.id.as_bytes())?;
    insert.raw_bind_parameter(before + 4, event.conflict_of.as_ref().map(EventId::as_bytes))?;
    insert.raw_bind_parameter(before + 5, &*event.source)?;
    insert.raw_bind_parameter(before + 6, &*event.topic)?;
    insert.raw_bind_parameter(before + 7, event.conversation.as_deref())?;
    insert.raw_bind_parameter(before + 8, checksum(stored))?;
    insert.raw_bind_parameter(before + 9, &*event.body)?;
    insert.raw_bind_parameter(before + 10, again.map(|again| again.consumer.0))?;
    insert.raw_bind_parameter(before + 11, again.map(|_| event.received.as_millis()))?;
    insert.raw_bind_parameter(before + 12, again.filter(|again| again.edited).map(|_| 1))?;
    let first = again.map(|again| again.first).filter(|first| first != seq);
    insert.raw_bind_parameter(before + 13, first.map(|first| place(first.0)))?;
    insert.raw_bind_parameter(before + COLUMN_COUNT, stored.is_replayed().then_some(REPLAYED))
}

/// Reads the event at one place.
pub(crate) fn read_one(connection: &Connection, seq: u64) -> Result<Option<Checked>, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE seq = ?1");
    let mut select = connection.prepare_cached(&sql).place("reading an event")?;
    let mut rows = select.query([place(seq)]).place("reading an event")?;
    let row = rows.next().place("reading an event")?;
    row.map(|row| decode(row).place("reading an event")).transpose()
}

/// Walks over the events from `from` on, in order, until `each` returns false or `to` is passed.
pub(crate) fn scan(
    connection: &Connection,
    from: u64,
    to: u64,
    mut each: impl FnMut(u64, Checked) -> bool,
) -> Result<(), Failed> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq");
    let mut select = connection.prepare_cached(&sql).place("reading the log")?;
    let mut rows = select.query([place(from), place(to)]).place("reading the log")?;
    while let Some(row) = rows.next().place("reading the log")? {
        let seq: i64 = row.get(0).place("reading the log")?;
        if !each(seq.unsigned_abs(), decode(row).place("reading the log")?) {
            break;
        }
    }
    Ok(())
}

/// Finds the newest event with an id by reading the whole log; only for ids that dedupe no longer knows.
pub(crate) fn find(connection: &Connection, id: EventId) -> Result<Option<Checked>, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1 ORDER BY seq DESC LIMIT 1");
    let mut select = connection.prepare_cached(&sql).place("looking for an event")?;
    let mut rows = select.query([id.as_bytes()]).place("looking for an event")?;
    let row = rows.next().place("looking for an event")?;
    row.map(|row| decode(row).place("looking for an event")).transpose()
}

fn decode(row: &Row<'_>) -> Result<Checked, rusqlite::Error> {
    let seq = row.get::<_, i64>(0)?.unsigned_abs();
    let crc: u32 = row.get(7)?;
    let damage = |what: &str| Damage { seq, what: what.to_owned() };
    let Some(stored) = decode_event(row)?.zip(decode_again(row)?) else {
        return Ok(Err(damage("a column holds what was never written there")));
    };
    let (mut event, again) = stored;
    let again = again.map(|AgainColumns { consumer, original, why, edited, first }| {
        let at = std::mem::replace(&mut event.received, original);
        Again { consumer, at, why, edited, first: first.unwrap_or(Seq(seq)) }
    });
    let stored = Stored { seq: Seq(seq), event, again };
    if checksum(&stored) != crc {
        return Ok(Err(damage("its checksum does not fit its content")));
    }
    Ok(Ok(stored))
}

/// `None` if a column has another type or length than we write; damage can change either.
fn decode_event(row: &Row<'_>) -> Result<Option<Event>, rusqlite::Error> {
    let text = |column| match row.get_ref(column)? {
        ValueRef::Text(bytes) => Ok::<_, rusqlite::Error>(std::str::from_utf8(bytes).ok().map(Arc::<str>::from)),
        _ => Ok(None),
    };
    let id = |column| match row.get_ref(column)? {
        ValueRef::Blob(bytes) => Ok::<_, rusqlite::Error>(<[u8; 16]>::try_from(bytes).ok().map(EventId::from_bytes)),
        _ => Ok(None),
    };
    let (ValueRef::Integer(received), ValueRef::Blob(body)) = (row.get_ref(1)?, row.get_ref(8)?) else {
        return Ok(None);
    };
    let (Some(event_id), Some(source), Some(topic)) = (id(2)?, text(4)?, text(5)?) else {
        return Ok(None);
    };
    Ok(Some(Event {
        id: event_id,
        source,
        topic,
        conversation: text(6)?,
        received: Timestamp::from_millis(received),
        conflict_of: id(3)?,
        body: Bytes::copy_from_slice(body),
    }))
}

/// What the columns say of an event that is here again.
struct AgainColumns {
    consumer: ConsumerId,
    /// When it was received first.
    original: Timestamp,
    why: Why,
    edited: bool,
    first: Option<Seq>,
}

/// Nothing if an event is here for the first time. `None` on the outside if a column has another type than we write.
#[expect(clippy::option_option, reason = "damage is not the same as nothing")]
fn decode_again(row: &Row<'_>) -> Result<Option<Option<AgainColumns>>, rusqlite::Error> {
    let edited = match row.get_ref(11)? {
        ValueRef::Null => false,
        ValueRef::Integer(1) => true,
        _ => return Ok(None),
    };
    let first = match row.get_ref(12)? {
        ValueRef::Null => None,
        ValueRef::Integer(first) => Some(Seq(first.unsigned_abs())),
        _ => return Ok(None),
    };
    let why = match row.get_ref(13)? {
        ValueRef::Null => Why::Redriven,
        ValueRef::Integer(replayed) if replayed == i64::from(REPLAYED) => Why::Replayed,
        _ => return Ok(None),
    };
    Ok(match (row.get_ref(9)?, row.get_ref(10)?) {
        (ValueRef::Null, ValueRef::Null) if !edited && why == Why::Redriven => Some(None),
        (ValueRef::Integer(consumer), ValueRef::Integer(original)) => u16::try_from(consumer).ok().map(|consumer| {
            let (consumer, original) = (ConsumerId(consumer), Timestamp::from_millis(original));
            Some(AgainColumns { consumer, original, why, edited, first })
        }),
        _ => None,
    })
}

/// A place as SQLite's integer; places stay far below the limit.
pub(crate) fn place(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
