//! Making a queue with damaged rows usable again: `aftercall check --repair`.
//!
//! What cannot be trusted is set back so that events are delivered again, never skipped. Events themselves are not
//! touched: a damaged one becomes a dead letter when its turn comes. All in one transaction.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::consumer::Cursor;
use crate::failure::{Failed, Place};
use crate::lock::DirLock;
use crate::rows::{
    AUDIT_INDEX, CURSOR_CHUNKS, DEAD_LETTERS, DESTINATIONS, EDITS, NOTES, PUT_ASIDE, RETRIES, REVIEWS, STATE, Table,
};
use crate::writer::{Counters, store_destination};
use crate::{dedupe, schema, wal};

const DOING: &str = "repairing";

/// Repairs the rows of the queue in `dir`, which must not be in use. Tells what was done, a line for each row.
///
/// # Errors
/// When another process has the directory, or it cannot be read and written.
pub fn repair(dir: &Path) -> Result<Vec<String>, Failed> {
    let _lock = DirLock::take(dir)?;
    let torn = wal::check(dir)?;
    let connection = schema::open_writer(dir)?;
    if torn {
        schema::empty_log(&connection)?;
    }
    connection.execute_batch("BEGIN IMMEDIATE").place(DOING)?;
    let mut done = Vec::new();
    repair_state(&connection, &mut done)?;
    let floor = Counters::load(&connection)?.0.floor;
    repair_destinations(&connection, floor, &mut done)?;
    remove_damaged(&connection, &CURSOR_CHUNKS, "what it had settled is delivered again", &mut done)?;
    remove_damaged(&connection, &RETRIES, "its delivery is tried again at once", &mut done)?;
    repair_dead_letters(&connection, &mut done)?;
    remove_damaged(&connection, &EDITS, "the original is there, so edit it again", &mut done)?;
    remove_damaged(&connection, &REVIEWS, "its group of dead letters is open again", &mut done)?;
    remove_damaged(&connection, &NOTES, "whether its destination is down is found out anew", &mut done)?;
    remove_damaged(&connection, &AUDIT_INDEX, "its blocks of the audit trail are read instead", &mut done)?;
    remove_damaged(&connection, &PUT_ASIDE, "what was put aside is counted from 0 again", &mut done)?;
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").place(DOING)?;
    Ok(done)
}

/// The row of counters, worked out from the log.
fn repair_state(connection: &Connection, done: &mut Vec<String>) -> Result<(), Failed> {
    if Counters::load(connection).is_ok() {
        return Ok(());
    }
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).place(DOING).map(i64::unsigned_abs);
    let last_event = one("SELECT coalesce(max(seq), 0) FROM events")?;
    let last = last_event.max(last_given_out(connection)?);
    // What was given out behind the last event has gone with retention, and everything before it too.
    let floor = if last > last_event { last + 1 } else { first_of_the_end(connection, last)? };
    let unmatched = one("SELECT count(*) FROM unmatched")?;
    // A start works out what is written late from there on.
    let through = if last > last_event { last } else { dedupe::last_written(connection)?.min(last) };
    let counters = Counters { last_seq: through, floor, unmatched, ..Counters::default() };
    counters.insert(connection)?;
    done.push(format!(
        "the row of `{}` was damaged: worked out from the log that it goes from {floor} to {last}; duplicates and \
         conflicts are counted from 0 again",
        STATE.name
    ));
    Ok(())
}

/// The last place of which a trustworthy row knows. A place that was given out must never be given out again: whoever has
/// settled it would pass over the new event.
fn last_given_out(connection: &Connection) -> Result<u64, Failed> {
    let mut last = 0;
    for (table, place) in [(&DESTINATIONS, 2), (&DEAD_LETTERS, 2), (&CURSOR_CHUNKS, 1)] {
        let mut select =
            connection.prepare(&format!("SELECT {} FROM {}", table.selected(""), table.name)).place(DOING)?;
        let mut rows = select.query([]).place(DOING)?;
        while let Some(row) = rows.next().place(DOING)? {
            if !table.is_intact(row).place(DOING)? {
                continue;
            }
            let place = row.get::<_, Option<i64>>(place).place(DOING)?.unwrap_or(0).unsigned_abs();
            let place = match table.name == CURSOR_CHUNKS.name {
                true => Cursor::last_of(place, &row.get::<_, Vec<u8>>(2).place(DOING)?),
                false => place,
            };
            last = last.max(place);
        }
    }
    Ok(last)
}

/// The first place from which on the log has no gaps.
fn first_of_the_end(connection: &Connection, last: u64) -> Result<u64, Failed> {
    let mut select = connection.prepare("SELECT seq FROM events ORDER BY seq DESC").place(DOING)?;
    let mut rows = select.query([]).place(DOING)?;
    let mut first = last + 1;
    while let Some(row) = rows.next().place(DOING)? {
        let seq = row.get::<_, i64>(0).place(DOING)?.unsigned_abs();
        if seq + 1 != first {
            break;
        }
        first = seq;
    }
    Ok(first)
}

fn repair_destinations(connection: &Connection, floor: u64, done: &mut Vec<String>) -> Result<(), Failed> {
    for id in damaged(connection, &DESTINATIONS)? {
        let name: Option<String> = connection
            .query_row("SELECT name FROM destinations WHERE id = ?1", [id[0]], |row| row.get(0))
            .optional()
            .place(DOING)?;
        let name = name.unwrap_or_default();
        let watermark = i64::try_from(floor - 1).unwrap_or(i64::MAX);
        store_destination(connection, id[0], &name, watermark, 0)?;
        done.push(format!(
            "the row of destination `{name}` was damaged: everything in the log from {floor} on is delivered to it \
             again, but for what its cursor says is settled; if it is not called `{name}` in the configuration, \
             restore a backup instead"
        ));
    }
    Ok(())
}

fn remove_damaged(connection: &Connection, table: &Table, effect: &str, done: &mut Vec<String>) -> Result<(), Failed> {
    let keys = table.key_columns();
    let numbered = |(at, key): (usize, &&str)| format!("{key} = ?{}", at + 1);
    let condition = keys.iter().enumerate().map(numbered).collect::<Vec<_>>().join(" AND ");
    for key in damaged(connection, table)? {
        let sql = format!("DELETE FROM {} WHERE {condition}", table.name);
        connection.execute(&sql, params_from_iter(&key)).place(DOING)?;
        let named = keys.iter().zip(&key).map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
        done.push(format!("a row of `{}` ({named}) was damaged and is removed: {effect}", table.name));
    }
    Ok(())
}

/// Dead letters are for people: what is left of a damaged one is kept as it stands.
fn repair_dead_letters(connection: &Connection, done: &mut Vec<String>) -> Result<(), Failed> {
    for key in damaged(connection, &DEAD_LETTERS)? {
        let sql = format!("SELECT {} FROM dead_letters WHERE id = ?1", DEAD_LETTERS.selected(""));
        let checksum = connection
            .query_row(&sql, [key[0]], |row| {
                let values = (0..DEAD_LETTERS.columns.len()).map(|column| row.get_ref(column));
                Ok(DEAD_LETTERS.checksum(&values.collect::<Result<Vec<ValueRef<'_>>, _>>()?))
            })
            .place(DOING)?;
        connection.execute("UPDATE dead_letters SET crc = ?2 WHERE id = ?1", [key[0], checksum]).place(DOING)?;
        done.push(format!("dead letter {} was damaged: it stays as it is, so look at it before you trust it", key[0]));
    }
    Ok(())
}

/// The keys of the damaged rows of a table.
fn damaged(connection: &Connection, table: &Table) -> Result<Vec<Vec<i64>>, Failed> {
    let keys = table.key_columns();
    let sql = format!("SELECT {}, {} FROM {}", table.selected(""), keys.join(", "), table.name);
    let mut select = connection.prepare(&sql).place(DOING)?;
    let mut rows = select.query([]).place(DOING)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().place(DOING)? {
        if !table.is_intact(row).place(DOING)? {
            let first = table.columns.len() + 1;
            found.push(
                (first..first + keys.len()).map(|column| row.get(column)).collect::<Result<_, _>>().place(DOING)?,
            );
        }
    }
    Ok(found)
}
