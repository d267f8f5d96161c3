//! Rows of dead letters: written when a delivery fails for good, read for review. The event's bytes stay in the log,
//! where the row keeps them from being dropped; a body that never became an event is kept in the row itself.

use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use queue::{
    Attempts, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Edit, Failure, FailureClass,
    Grouping, Rejection, Seq, Stage,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::{DEAD_LETTERS, maybe, text};
use crate::{edits, reviews};

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
    const STORING: &str = "storing a dead letter";
    let sql = "INSERT INTO dead_letters (died, destination, seq, event, source, topic, conversation, made, charged,
                   first, last, failure, body_hash, crc)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let failure = failure_json(letter.failure);
    let row = [
        ValueRef::Integer(letter.died.as_millis()),
        maybe(letter.destination.map(|id| id.0.into())),
        maybe(letter.seq.map(place)),
        letter.event.as_ref().map_or(ValueRef::Null, |id| ValueRef::Blob(id.as_bytes())),
        text(letter.source),
        text(letter.topic),
        letter.conversation.map_or(ValueRef::Null, text),
        ValueRef::Integer(letter.attempts.made.into()),
        ValueRef::Integer(letter.attempts.charged.into()),
        maybe(letter.attempts.first.map(Timestamp::as_millis)),
        maybe(letter.attempts.last.map(Timestamp::as_millis)),
        text(&failure),
        maybe(letter.body_hash),
    ];
    DEAD_LETTERS.execute(connection, sql, &row, STORING)?;
    let id = connection.last_insert_rowid();
    if let Some(body) = letter.body {
        let mut update = connection.prepare_cached("UPDATE dead_letters SET body = ?2 WHERE id = ?1").place(STORING)?;
        update.execute(params![id, body]).place(STORING)?;
    }
    Ok(DeadLetterId(id.unsigned_abs()))
}

/// A failure as it is stored: the JSON of its fields.
pub(crate) fn failure_json(failure: &Failure) -> String {
    serde_json::to_string(failure).unwrap_or_default()
}

/// Selects dead letters, oldest first, without bodies.
pub(crate) fn list(connection: &Connection, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Failed> {
    let mut page = Vec::new();
    let after = query.after.map_or(0, |id| id.0);
    walk(connection, query, after, |letter| {
        if query.selects(&letter) {
            page.push(letter);
        }
        page.len() < query.page()
    })?;
    Ok(page)
}

/// Puts all dead letters that the query selects into groups.
pub(crate) fn groups(connection: &Connection, query: &DeadLetterQuery) -> Result<Vec<DeadLetterGroup>, Failed> {
    let mut grouping = Grouping::new(reviews::all(connection)?);
    walk(connection, query, 0, |letter| {
        if query.selects(&letter) {
            grouping.add(&letter)
        } else {
            grouping.pass_over(&letter)
        }
        true
    })?;
    Ok(grouping.groups())
}

/// Drops a dead letter; returns what it was.
pub(crate) fn discard(connection: &Connection, id: DeadLetterId, floor: u64) -> Result<Option<DeadLetter>, Failed> {
    let Some((letter, _)) = find(connection, id)? else {
        return Ok(None);
    };
    remove(connection, &letter, floor)?;
    Ok(Some(letter))
}

/// A dead letter without its body, and the number of its destination.
pub(crate) fn find(connection: &Connection, id: DeadLetterId) -> Result<Option<(DeadLetter, Option<u16>)>, Failed> {
    const DOING: &str = "reading a dead letter";
    let sql = format!("SELECT {}, {MORE} FROM {JOINED} WHERE l.id = ?1", DEAD_LETTERS.selected("l."));
    let mut select = connection.prepare_cached(&sql).place(DOING)?;
    select.query_row([place(id.0)], |row| Ok((decode(row)?, row.get(1)?))).optional().place(DOING)
}

/// Removes a dead letter's row, and its event if that is kept for nobody else.
pub(crate) fn remove(connection: &Connection, letter: &DeadLetter, floor: u64) -> Result<(), Failed> {
    const DOING: &str = "removing a dead letter";
    connection.execute("DELETE FROM dead_letters WHERE id = ?1", [place(letter.id.0)]).place(DOING)?;
    if letter.edit.is_some() {
        edits::remove(connection, letter.id)?;
    }
    if let Some(Seq(seq)) = letter.seq.filter(|seq| seq.0 < floor) {
        let sql = "DELETE FROM events WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE seq = ?1)";
        connection.execute(sql, [place(seq)]).place(DOING)?;
    }
    Ok(())
}

/// Walks over the dead letters after `after` of the query's destination, oldest first, until `each` has enough.
fn walk(
    connection: &Connection,
    query: &DeadLetterQuery,
    after: u64,
    mut each: impl FnMut(DeadLetter) -> bool,
) -> Result<(), Failed> {
    const READING: &str = "reading dead letters";
    let filter = if query.destination.is_some() {
        "l.destination = (SELECT id FROM destinations WHERE name = ?2)"
    } else {
        "?2 IS NULL"
    };
    let sql = format!(
        "SELECT {}, {MORE} FROM {JOINED} WHERE l.id > ?1 AND {filter} ORDER BY l.id",
        DEAD_LETTERS.selected("l.")
    );
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query(params![place(after), query.destination]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let letter = decode(row).place(READING)?;
        if !each(letter) {
            break;
        }
    }
    Ok(())
}

/// One dead letter with its body and its edited copy.
pub(crate) fn get(connection: &Connection, id: DeadLetterId) -> Result<Option<DeadLetter>, Failed> {
    const READING: &str = "reading a dead letter";
    let sql = format!(
        "SELECT {}, {MORE}, coalesce(l.body, e.body), coalesce(e.original, e.received), e.edited FROM {JOINED}
         LEFT JOIN events e ON e.seq = l.seq WHERE l.id = ?1",
        DEAD_LETTERS.selected("l.")
    );
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let found = select.query_row([place(id.0)], |row| {
        let body: Option<Vec<u8>> = row.get(19)?;
        let received = row.get::<_, Option<i64>>(20)?.map(Timestamp::from_millis);
        let altered = row.get::<_, Option<i64>>(21)?.is_some();
        let letter = decode(row)?;
        // A body that never became an event died when it was received.
        let received = received.or((letter.seq.is_none()).then_some(letter.died));
        Ok(DeadLetter { body: body.map(Bytes::from), received, altered, ..letter })
    });
    let mut letter = found.optional().place(READING)?;
    if let Some(edit) = letter.as_mut().and_then(|letter| letter.edit.as_mut()) {
        edit.body = edits::body(connection, id)?;
    }
    Ok(letter)
}

/// What is read of a dead letter besides its own columns.
const MORE: &str = "l.id, d.name, c.at, c.who, c.why";
/// Where it is read from.
const JOINED: &str =
    "dead_letters l LEFT JOIN destinations d ON d.id = l.destination LEFT JOIN edits c ON c.letter = l.id";

/// Reads a row: its columns and checksum, its id (14), the destination's name (15), and of its edited copy when, who and
/// why (16 to 18). One that is damaged is shown all
/// the same, and says so.
fn decode(row: &Row<'_>) -> Result<DeadLetter, rusqlite::Error> {
    let shared = |column| row.get::<_, Option<String>>(column).map(|text| text.map(Arc::<str>::from));
    let time = |column| row.get::<_, Option<i64>>(column).map(|millis| millis.map(Timestamp::from_millis));
    let stored: String = row.get(11)?;
    let mut failure = serde_json::from_str(&stored).unwrap_or_else(|_| unreadable(stored));
    if !DEAD_LETTERS.is_intact(row)? {
        failure.message = format!("(this dead letter's row is damaged on disk) {}", failure.message);
    }
    Ok(DeadLetter {
        id: DeadLetterId(row.get::<_, i64>(14)?.unsigned_abs()),
        died: time(0)?.unwrap_or_default(),
        destination: shared(15)?,
        seq: row.get::<_, Option<i64>>(2)?.map(|seq| Seq(seq.unsigned_abs())),
        event: row.get::<_, Option<[u8; 16]>>(3)?.map(EventId::from_bytes),
        source: shared(4)?.unwrap_or_default(),
        topic: shared(5)?.unwrap_or_default(),
        conversation: shared(6)?,
        attempts: Attempts { made: row.get(7)?, charged: row.get(8)?, first: time(9)?, last: time(10)? },
        failure,
        behind_dead: false,
        held: 0,
        received: None,
        body: None,
        edit: time(16)?.map(|at| edits::by(row, at)).transpose()?.map(|by| Edit { by, body: None }),
        altered: false,
    })
}

/// A stored failure that this version cannot read is shown as it stands.
fn unreadable(stored: String) -> Failure {
    Failure::new(Stage::Queue, FailureClass::Permanent, stored)
}
