//! Rows that say how far replays have come.

use event::Timestamp;
use queue::{QueueError, Replay, ReplayPiece};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use crate::failure::{Failed, Place};
use crate::log::place;
use crate::rows::{REPLAYS, text};

const READING: &str = "reading a replay";
const STORING: &str = "storing a replay";

/// The replay of this id; an error if its row is damaged.
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Result<Replay, QueueError>>, Failed> {
    let sql = format!("SELECT {} FROM replays WHERE id = ?1", REPLAYS.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([id]).place(READING)?;
    rows.next().place(READING)?.map(decode).transpose()
}

/// All replays, the newest first; those whose rows are damaged are left out.
pub(crate) fn list(connection: &Connection) -> Result<Vec<Replay>, Failed> {
    let sql = format!("SELECT {} FROM replays ORDER BY began DESC, id", REPLAYS.selected(""));
    let mut select = connection.prepare_cached(&sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    let mut replays = Vec::new();
    while let Some(row) = rows.next().place(READING)? {
        replays.extend(decode(row)?.ok());
    }
    Ok(replays)
}

/// Stores a replay, and forgets the oldest finished ones beyond those that are remembered.
pub(crate) fn store(connection: &Connection, replay: &Replay) -> Result<(), Failed> {
    let sql =
        format!("INSERT OR REPLACE INTO replays ({}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", REPLAYS.selected(""));
    let row = [
        text(&replay.id),
        text(&replay.selection),
        text(&replay.destination),
        text(&replay.position),
        ValueRef::Integer(place(replay.queued)),
        ValueRef::Integer(place(replay.not_routed)),
        ValueRef::Integer(replay.done.into()),
        ValueRef::Integer(replay.began.as_millis()),
        ValueRef::Integer(replay.changed.as_millis()),
    ];
    REPLAYS.execute(connection, &sql, &row, STORING)?;
    if !replay.done {
        return Ok(());
    }
    let forget = "DELETE FROM replays WHERE done = 1 AND id IN
                  (SELECT id FROM replays WHERE done = 1 ORDER BY changed DESC, id LIMIT -1 OFFSET ?1)";
    let kept = i64::try_from(ReplayPiece::REMEMBERED).unwrap_or(i64::MAX);
    connection.prepare_cached(forget).and_then(|mut forget| forget.execute(params![kept])).place(STORING).map(drop)
}

fn decode(row: &Row<'_>) -> Result<Result<Replay, QueueError>, Failed> {
    if !REPLAYS.is_intact(row).place(READING)? {
        return Ok(Err(QueueError::Invalid(
            "what is known of this replay is damaged; begin it anew, which delivers again what it had replayed"
                .to_owned(),
        )));
    }
    let read = || {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let time = |column| row.get(column).map(Timestamp::from_millis);
        Ok(Replay {
            id: row.get(0)?,
            selection: row.get(1)?,
            destination: row.get(2)?,
            position: row.get(3)?,
            queued: number(4)?,
            not_routed: number(5)?,
            done: number(6)? == 1,
            began: time(7)?,
            changed: time(8)?,
        })
    };
    read().map(Ok).place(READING)
}
