//! Reading everything to find damage: `aftercall check`.

use std::path::Path;

use rusqlite::Connection;

use crate::checked;
use crate::dedupe::{ENTRY_BYTES, unpack_all};
use crate::failure::{Failed, Place};
use crate::log::{self, place};
use crate::writer::Counters;
use crate::{open, rows, schema, trail, wal};

/// Findings listed at most; more are only counted.
const MAX_FINDINGS: usize = 100;

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events read.
    pub events: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Dead letters read.
    pub dead_letters: u64,
    /// Identities read.
    pub identities: u64,
    /// Entries of the audit trail read.
    pub audit_entries: u64,
    /// Destinations read.
    pub destinations: u64,
    /// What is wrong, each with its place; at most 100.
    pub findings: Vec<String>,
    /// How many things are wrong.
    pub damaged: u64,
}

impl Report {
    fn find(&mut self, finding: String) {
        self.damaged += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Reads the whole queue in `dir`: SQLite's own structures, every event's checksum, the log's places, the cursors and
/// the identities. The queue may be in use meanwhile. `progress` gets the places read so far and the last one.
///
/// # Errors
/// When the queue cannot be opened or a page cannot be read at all; what could be read is in the report.
pub fn check(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Report, Failed> {
    let mut report = Report::default();
    match wal::check(dir) {
        Err(Failed::Damaged(finding)) => report.find(finding),
        checked => drop(checked?),
    }
    let connection = schema::open_reader(dir)?;
    connection.execute_batch("BEGIN").place("beginning to read")?;
    check_structure(&connection, &mut report)?;
    for table in rows::TABLES.into_iter().chain([rows::REPLAYS, rows::NOTES, rows::PUT_ASIDE, rows::AUDIT_INDEX]) {
        table.check_all(&connection, |finding| report.find(finding))?;
    }
    check_log(&connection, &mut report, &mut progress)?;
    check_cursors(&connection, &mut report)?;
    check_dead_letters(&connection, &mut report)?;
    check_identities(&connection, &mut report)?;
    let entries = trail::check(&connection, |finding| report.find(finding))?;
    report.audit_entries = entries;
    Ok(report)
}

fn check_structure(connection: &Connection, report: &mut Report) -> Result<(), Failed> {
    let mut select = connection.prepare("PRAGMA integrity_check").place("checking the database's structure")?;
    let mut rows = select.query([]).place("checking the database's structure")?;
    while let Some(row) = rows.next().place("checking the database's structure")? {
        let line: String = row.get(0).place("checking the database's structure")?;
        if line != "ok" {
            report.find(format!("database: {line}"));
        }
    }
    Ok(())
}

fn check_log(connection: &Connection, report: &mut Report, progress: &mut impl FnMut(u64, u64)) -> Result<(), Failed> {
    let (floor, stored_last): (i64, i64) = connection
        .query_row("SELECT floor, last_seq FROM state", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .place("reading the counters")?;
    let last: i64 = connection
        .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))
        .place("reading the log")?;
    let (floor, last) = (floor.unsigned_abs(), last.max(stored_last).unsigned_abs());
    let mut expected = floor;
    log::scan(connection, 1, u64::MAX, |seq, read| {
        if seq >= floor {
            if seq > expected {
                report.find(format!("events {expected} to {} are missing from the log", seq - 1));
            }
            expected = seq + 1;
        }
        report.events += 1;
        match read {
            Ok(stored) => report.body_bytes += stored.event.body.len() as u64,
            Err(damage) => report.find(format!("event {}: {}", damage.seq, damage.what)),
        }
        if seq.is_multiple_of(1_000) {
            progress(seq, last);
        }
        true
    })?;
    if expected <= last {
        report.find(format!("events {expected} to {last} are missing from the log's end"));
    }
    Ok(())
}

fn check_cursors(connection: &Connection, report: &mut Report) -> Result<(), Failed> {
    let consumers = match open::load_consumers(connection) {
        Ok(consumers) => consumers,
        // Found with the rows already.
        Err(Failed::Damaged(finding)) => {
            if report.findings.is_empty() {
                report.find(finding);
            }
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let Ok((Counters { last_seq: last, .. }, _)) = Counters::load(connection) else {
        return Ok(());
    };
    for consumer in consumers {
        report.destinations += 1;
        let watermark = consumer.state.lock().cursor.watermark();
        if watermark > last {
            report.find(format!(
                "destination `{}` has settled up to {watermark}, but the log ends at {last}",
                consumer.name
            ));
        }
    }
    Ok(())
}

fn check_dead_letters(connection: &Connection, report: &mut Report) -> Result<(), Failed> {
    const READING: &str = "reading the dead letters";
    let count: i64 = connection.query_row("SELECT count(*) FROM dead_letters", [], |row| row.get(0)).place(READING)?;
    report.dead_letters = count.unsigned_abs();
    // A dead letter without an event id is about a damaged place; that was found above.
    let sql = "SELECT l.id, l.seq FROM dead_letters l LEFT JOIN events e ON e.seq = l.seq
               WHERE l.event IS NOT NULL AND e.seq IS NULL";
    let mut select = connection.prepare(sql).place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let (id, seq): (i64, i64) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        report.find(format!("dead letter {id}: its event {seq} is missing from the log"));
    }
    Ok(())
}

fn check_identities(connection: &Connection, report: &mut Report) -> Result<(), Failed> {
    const READING: &str = "reading the identities";
    let mut select = connection.prepare("SELECT first_seq, entries FROM identity_log").place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let (seq, blob): (i64, Vec<u8>) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        match checked::open(seq, &blob) {
            Some(entries) => report.identities += (entries.len() / ENTRY_BYTES) as u64,
            None => report.find(format!("the identities from event {seq} on are damaged")),
        }
    }
    // Those behind it are worked out from the log at the next start.
    let sql = "SELECT count(*) FROM events WHERE seq > (SELECT last_seq FROM state) AND only_for IS NULL";
    let late: i64 = connection.query_row(sql, [], |row| row.get(0)).place(READING)?;
    report.identities += late.unsigned_abs();
    let mut select = connection.prepare("SELECT run, entries FROM identity_runs").place(READING)?;
    let mut rows = select.query([]).place(READING)?;
    while let Some(row) = rows.next().place(READING)? {
        let (run, entries): (i64, i64) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        check_run(connection, run, entries.unsigned_abs(), report)?;
    }
    Ok(())
}

fn check_run(connection: &Connection, run: i64, entries: u64, report: &mut Report) -> Result<(), Failed> {
    const READING: &str = "reading a run of identities";
    let sql = "SELECT chunk, entries FROM identity_chunks WHERE chunk >= ?1 AND chunk < ?2 ORDER BY chunk";
    let mut select = connection.prepare_cached(sql).place(READING)?;
    let mut rows =
        select.query([place(run.unsigned_abs() << 24), place((run.unsigned_abs() + 1) << 24)]).place(READING)?;
    let (mut found, mut sorted, mut before) = (0, true, None);
    while let Some(row) = rows.next().place(READING)? {
        let (chunk, blob): (i64, Vec<u8>) = (row.get(0).place(READING)?, row.get(1).place(READING)?);
        let Some(entries) = checked::open(chunk, &blob) else {
            report.find(format!("run {run} of identities: chunk {chunk} is damaged"));
            continue;
        };
        for entry in unpack_all(entries) {
            sorted &= before.is_none_or(|before| before < entry.id());
            before = Some(entry.id());
            found += 1;
        }
    }
    if found != entries || !sorted {
        report.find(format!("run {run} of identities: {found} of {entries} are there, in order: {sorted}"));
    }
    report.identities += found;
    Ok(())
}
