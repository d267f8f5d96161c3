//! Rows of dead letters: written when a delivery fails for good, read for review. The event's bytes stay in the log,
//! where the row keeps them from being dropped; a body that never became an event is kept in the row itself.

use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use queue::{
    Attempts, ConsumerId, DeadLetter, DeadLetterId, DeadLetterQuery, Failure, FailureClass, Rejection, Seq, Stage,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::{Failed, Place};
use crate::log::place;

/// A dead letter to insert.
pub(crate) struct NewDeadLetter<'a> {
    died: Timestamp,
    destination: Option<ConsumerId>,
    seq: Option<u64>,
    event: Option<EventId>,
    source: &'a str,
    topic: &'a str,
    conversation: Option<&'a str>,
    attempts: Attempts,
    failure: &'a Failure,
    body_hash: Option<i64>,
    body: Option<&'a [u8]>,
}

impl<'a> NewDeadLetter<'a> {
    /// Of an event, or of a place whose event is damaged.
    pub(crate) fn of_delivery(
        destination: ConsumerId,
        seq: u64,
        event: Option<&'a Event>,
        attempts: Attempts,
        failure: &'a Failure,
        died: Timestamp,
    ) -> Self {
        Self {
            died,
            destination: Some(destination),
            seq: Some(seq),
            event: event.map(|event| event.id),
            source: event.map_or("", |event| &event.source),
            topic: event.map_or("", |event| &event.topic),
            conversation: event.and_then(|event| event.conversation.as_deref()),
            attempts,
            failure,
            body_hash: None,
            body: None,
        }
    }

    /// Of a body that could not become an event.
    pub(crate) fn rejected(rejection: &'a Rejection, body_hash: i64) -> Self {
        Self {
            died: rejection.received,
            destination: None,
            seq: None,
            event: None,
            source: &rejection.source,
            topic: "",
            conversation: None,
            attempts: Attempts::default(),
            failure: &rejection.failure,
            body_hash: Some(body_hash),
            body: Some(&rejection.body),
        }
    }
}

/// Inserts a dead letter.
pub(crate) fn insert(connection: &Connection, letter: &NewDeadLetter<'_>) -> Result<DeadLetterId, Failed> {
    let sql = "INSERT INTO dead_letters (died, destination, seq, event, source, topic, conversation, made, charged,
                   first, last, failure, body_hash, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let mut insert = connection.prepare_cached(sql).place("storing a dead letter")?;
    let id = insert
        .insert(params![
            letter.died.as_millis(),
            letter.destination.map(|id| id.0),
            letter.seq.map(place),
            letter.event.as_ref().map(EventId::as_bytes),
            letter.source,
            letter.topic,
            letter.conversation,
            letter.attempts.made,
            letter.attempts.charged,
            letter.attempts.first.map(Timestamp::as_millis),
            letter.attempts.last.map(Timestamp::as_millis),
            failure_json(letter.failure),
            letter.body_hash,
            letter.body,
        ])
        .place("storing a dead letter")?;
    Ok(DeadLetterId(id.unsigned_abs()))
}

/// A failure as it is stored: the JSON of its fields.
pub(crate) fn failure_json(failure: &Failure) -> String {
    serde_json::to_string(failure).unwrap_or_default()
}

const COLUMNS: &str = "l.id, l.died, d.name, l.seq, l.event, l.source, l.topic, l.conversation, l.made, l.charged,
                       l.first, l.last, l.failure";

/// Selects dead letters, oldest first, without bodies.
pub(crate) fn list(connection: &Connection, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Failed> {
    const READING: &str = "reading dead letters";
    let limit = if query.limit == 0 { DeadLetterQuery::DEFAULT_LIMIT } else { query.limit };
    let filter = if query.destination.is_some() {
        "l.destination = (SELECT id FROM destinations WHERE name = ?3)"
    } else {
        "?3 IS NULL"
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM dead_letters l LEFT JOIN destinations d ON d.id = l.destination
         WHERE l.id > ?1 AND {filter} ORDER BY l.id LIMIT ?2"
    );
    let after = place(query.after.map_or(0, |id| id.0));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let rows = select.query_map(params![after, place(limit as u64), query.destination], decode).place(READING)?;
    rows.collect::<Result<_, _>>().place(READING)
}

/// One dead letter with its body.
pub(crate) fn get(connection: &Connection, id: DeadLetterId) -> Result<Option<DeadLetter>, Failed> {
    let sql = format!(
        "SELECT {COLUMNS}, coalesce(l.body, e.body) FROM dead_letters l LEFT JOIN destinations d ON d.id = l.destination
         LEFT JOIN events e ON e.seq = l.seq WHERE l.id = ?1"
    );
    let mut select = connection.prepare_cached(&sql).place("reading a dead letter")?;
    let found = select.query_row([place(id.0)], |row| {
        let body: Option<Vec<u8>> = row.get(13)?;
        Ok(DeadLetter { body: body.map(Bytes::from), ..decode(row)? })
    });
    found.optional().place("reading a dead letter")
}

fn decode(row: &Row<'_>) -> Result<DeadLetter, rusqlite::Error> {
    let text = |column| row.get::<_, Option<String>>(column).map(|text| text.map(Arc::<str>::from));
    let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let failure: String = row.get(12)?;
    Ok(DeadLetter {
        id: DeadLetterId(row.get::<_, i64>(0)?.unsigned_abs()),
        died: time(1)?.unwrap_or_default(),
        destination: text(2)?,
        seq: row.get::<_, Option<i64>>(3)?.map(|seq| Seq(seq.unsigned_abs())),
        event: row.get::<_, Option<[u8; 16]>>(4)?.map(EventId::from_bytes),
        source: text(5)?.unwrap_or_default(),
        topic: text(6)?.unwrap_or_default(),
        conversation: text(7)?,
        attempts: Attempts { made: row.get(8)?, charged: row.get(9)?, first: time(10)?, last: time(11)? },
        failure: serde_json::from_str(&failure).unwrap_or_else(|_| unreadable(failure)),
        body: None,
    })
}

/// A stored failure that this version cannot read is shown as it stands.
fn unreadable(stored: String) -> Failure {
    Failure {
        stage: Stage::Queue,
        class: FailureClass::Permanent,
        status: None,
        message: stored,
        excerpt: None,
        latency_ms: 0,
    }
}
