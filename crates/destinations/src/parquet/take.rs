//! From deliveries to the journal: those that wait are read, appended and synced together, and each gets its answer.

use std::sync::Arc;

use bytes::Bytes;
use event::EventId;
use tokio::sync::{mpsc, oneshot};

use super::frame::Record;
use super::held::New;
use super::journal::{Appended, Refused};
use super::row::Row;
use super::shared::{Shared, locked, now};
use crate::SendError;

/// Deliveries that may wait for the journal. Senders beyond wait for room, so memory is bounded whatever the disk does;
/// delivery's concurrency limit is usually lower.
pub(super) const WAITING: usize = 4_096;
/// Most bytes of payloads that share a sync; beyond it a sync is no longer cheaper for each.
const GROUP_BYTES: usize = 1024 * 1024;

/// A delivery on its way into the journal.
pub(super) struct Line {
    pub(super) event: EventId,
    pub(super) payload: Bytes,
    pub(super) synced: oneshot::Sender<Result<(), SendError>>,
}

/// Serves lines until nobody can send any more.
pub(super) fn take(shared: &Arc<Shared>, mut lines: mpsc::Receiver<Line>) {
    while let Some(first) = lines.blocking_recv() {
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(line) = next {
            bytes += line.payload.len();
            group.push(line);
            next = if bytes < GROUP_BYTES { lines.try_recv().ok() } else { None };
        }
        answer(shared, group);
    }
}

fn answer(shared: &Shared, group: Vec<Line>) {
    let now = now();
    let mut misfits = Vec::with_capacity(group.len());
    let (mut rows, mut records) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for line in &group {
        let parsed = Row::parse(&line.payload);
        misfits.push(parsed.as_ref().err().map(|misfit| SendError::permanent(misfit.to_string())));
        if let Ok(row) = parsed {
            let time = row.time().unwrap_or(now);
            records.push(Record { event: line.event, time, payload: &line.payload });
            rows.push(row);
        }
    }
    let result = append(shared, &records, &rows, now).map_err(|refused| shared.explain(&refused));
    let answers = misfits.into_iter().map(|misfit| misfit.map_or_else(|| result.clone(), Err)).collect::<Vec<_>>();
    for (line, answer) in group.into_iter().zip(answers) {
        // Whoever gave up waiting does not want to know.
        let _ = line.synced.send(answer);
    }
}

/// Both under one lock: a segment whose rows are not held yet must not be closed and written without them.
fn append(shared: &Shared, records: &[Record<'_>], rows: &[Row<'_>], now: i64) -> Result<(), Refused> {
    let mut kept = locked(&shared.kept);
    let Appended { to, is_new } = kept.journal.append(records, now)?;
    if let Some(to) = to {
        let new = records.iter().zip(rows).zip(is_new).filter(|(_, is_new)| *is_new);
        let new = new.map(|((record, row), _)| New {
            event: record.event,
            time: record.time,
            row,
            bytes: record.payload.len(),
        });
        kept.held.push(to, shared.grain, new);
    }
    Ok(())
}
