//! From deliveries to the journal: those that wait are read, appended and synced together, and each gets its answer.

use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId};
use tokio::sync::{mpsc, oneshot};

use super::journal::Refused;
use super::making::{Given, Making};
use super::shared::{Kept, Shared, now};
use crate::{SendError, Took};

/// What may wait for the journal: deliveries one by one, and groups of them. Senders beyond wait for room, so memory is
/// bounded whatever the disk does; delivery's concurrency limit is usually lower.
pub(super) const WAITING: usize = 4_096;
/// Most bytes of payloads and bodies that share a sync, give or take a group; a disk writes them in the time that the sync
/// itself takes, so beyond it a sync is no longer cheaper for each.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What is on its way into the journal.
pub(super) enum Line {
    /// A delivery with its payload.
    One { event: EventId, payload: Bytes, synced: oneshot::Sender<Result<(), SendError>> },
    /// Events whose outcomes are to be made.
    Many { events: Vec<Event>, synced: oneshot::Sender<Vec<Result<Took, SendError>>> },
}

impl Line {
    fn bytes(&self) -> usize {
        match self {
            Self::One { payload, .. } => payload.len(),
            Self::Many { events, .. } => events.iter().map(|event| event.body.len()).sum(),
        }
    }

    fn given(&self) -> impl Iterator<Item = Given<'_>> {
        let (one, many): (_, &[Event]) = match self {
            Self::One { event, payload, .. } => (Some(Given::Payload(*event, payload)), &[]),
            Self::Many { events, .. } => (None, events),
        };
        one.into_iter().chain(many.iter().map(Given::Event))
    }
}

/// Serves lines until nobody can send any more.
pub(super) fn take(shared: &Arc<Shared>, mut lines: mpsc::Receiver<Line>) {
    while let Some(first) = lines.blocking_recv() {
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(line) = next {
            bytes += line.bytes();
            group.push(line);
            next = if bytes < GROUP_BYTES { lines.try_recv().ok() } else { None };
        }
        answer(shared, group, bytes);
    }
}

fn answer(shared: &Shared, group: Vec<Line>, bytes: usize) {
    let mut making = Making::new(now(), bytes);
    let synced = append(shared, &group, &mut making).map_err(|refused| shared.explain(&refused));
    let mut answers = making.answers(synced).into_iter();
    for line in group {
        // Whoever gave up waiting does not want to know.
        match line {
            Line::One { synced, .. } => {
                let _ = answers.next().map(|answer| synced.send(answer.map(drop)));
            }
            Line::Many { events, synced } => {
                let _ = synced.send(answers.by_ref().take(events.len()).collect());
            }
        }
    }
}

/// All under one lock: a segment whose rows are not held yet must not be closed and written without them. Each row is made
/// when it is held, so that it is still in the processor's cache; if its text does not get to the disk, all are forgotten.
fn append<'a>(shared: &Shared, group: &'a [Line], making: &mut Making<'a>) -> Result<(), Refused> {
    let mut kept = shared.kept.lock();
    let Kept { journal, held } = &mut *kept;
    let to = journal.place(making.now());
    let given = group.iter().flat_map(Line::given);
    held.push(to, shared.grain, given.filter_map(|given| making.make(given, |event| journal.is_new(event))));
    let appended = journal.append(&making.records(), making.now());
    if appended.is_err() {
        held.forget(to.segment);
    }
    shared.show(journal.size());
    let look = held.has_next() || journal.oldest_closed().is_some();
    drop(kept);
    if look {
        shared.look();
    }
    appended
}
