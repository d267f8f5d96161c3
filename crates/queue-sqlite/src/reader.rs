//! Reading from the log: for a destination that is behind, for an event whose body was let go, for review.

mod aside;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event::Timestamp;
use parking_lot::Mutex;
use queue::{ConsumerId, Lease, LeaseToken, LogPage, Outcome, QueueError, Seq, Settle, Stored};
use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use crate::consumer::{Consumer, ConsumerState, Placed, Reading, Taken};
use crate::failure::Failed;
use crate::inbox::Op;
use crate::log::{self, Damage};
use crate::options::{READ_AHEAD_BYTES, READ_AHEAD_EVENTS, READERS};
use crate::schema;
use crate::shared::Shared;

/// Places that are read along although they are settled, rather than begin another scan.
const MAX_SKIPPED: u64 = 16;

/// What is wrong with a place whose event is not there.
const MISSING: &str = "it is missing from the log";

/// A few connections that only read.
#[derive(Debug)]
pub(crate) struct Readers {
    dir: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, idle: Mutex::default() }
    }

    /// Lends a connection. Blocks on the disk: not for an async task.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failed>) -> Result<T, Failed> {
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| self.open(), Ok)?;
        let outcome = read(&connection);
        let mut idle = self.idle.lock();
        if idle.len() < READERS {
            idle.push(connection);
        }
        outcome
    }

    /// A file that the writer has open but that cannot be opened again, for want of descriptors for example, is a
    /// passing failure and no reason to stop.
    fn open(&self) -> Result<Connection, Failed> {
        schema::open_reader(&self.dir).map_err(|failed| match failed {
            Failed::Disk(detail) => Failed::Transient(detail),
            other => other,
        })
    }
}

/// Runs a read on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&Shared) -> Result<T, Failed> + Send + 'static,
) -> Result<T, QueueError> {
    shared.check_open()?;
    let shared_too = Arc::clone(shared);
    let outcome = tokio::task::spawn_blocking(move || read(&shared_too)).await;
    match outcome {
        Ok(outcome) => outcome.map_err(|failed| shared.note(&failed)),
        Err(error) => Err(QueueError::Transient { detail: format!("a read ended early: {error}") }),
    }
}

/// A page of the log behind a place.
pub(crate) fn read_page(shared: &Shared, after: Seq, events: usize, bytes: usize) -> Result<LogPage, Failed> {
    let last = shared.last();
    let mut page = LogPage { through: after, end: true, ..LogPage::default() };
    let mut read = 0;
    shared.readers.with(|connection| {
        log::scan(connection, after.0 + 1, last, |seq, checked| {
            if page.events.len() + page.damaged.len() >= events || read >= bytes {
                page.end = false;
                return false;
            }
            page.through = Seq(seq);
            match checked {
                Ok(stored) => {
                    read += stored.event.body.len();
                    page.events.push(stored);
                }
                Err(damage) => page.damaged.push(Seq(damage.seq)),
            }
            true
        })
    })?;
    if page.end {
        page.through = page.through.max(Seq(last));
    }
    Ok(page)
}

/// Leases what is ready; reads ahead when little is left in memory.
pub(crate) async fn lease(
    shared: &Arc<Shared>,
    consumer: &Arc<Consumer>,
    max: usize,
    now: Timestamp,
) -> Result<Vec<Lease>, QueueError> {
    loop {
        shared.check_open()?;
        let (taken, wanted) = {
            let mut state = consumer.state.lock();
            if state.placed.is_none() {
                return Ok(Vec::new());
            }
            let mut taken = state.window.take(max, now, shared.times);
            let last = shared.last();
            // Redriven events only when it is certain that nothing else can be leased.
            if taken.len() < max && matches!(state.wanted(last, false), None | Some(Reading::Redriven)) {
                taken.extend(state.window.take_redriven(max - taken.len(), now, shared.times));
            }
            let wanted = state.wanted(last, taken.len() == max);
            (taken, wanted)
        };
        if taken.is_empty() {
            if wanted.is_none() {
                return Ok(Vec::new());
            }
            // Another lease may be reading already; then its reading is waited for.
            let turn = Arc::clone(&consumer.read_turn).lock_owned().await;
            let read = spawn_read_ahead(shared, consumer, turn, now).await;
            read.map_err(|error| QueueError::Transient { detail: format!("reading ahead ended early: {error}") })??;
            continue;
        }
        if wanted.is_some()
            && let Ok(turn) = Arc::clone(&consumer.read_turn).try_lock_owned()
        {
            drop(spawn_read_ahead(shared, consumer, turn, now));
        }
        let leases = with_events(shared, consumer, taken, now).await?;
        if !leases.is_empty() {
            return Ok(leases);
        }
    }
}

/// Adds the events to what was taken; reads those that are not in memory.
async fn with_events(
    shared: &Arc<Shared>,
    consumer: &Arc<Consumer>,
    taken: Vec<Taken>,
    now: Timestamp,
) -> Result<Vec<Lease>, QueueError> {
    let mut leases = Vec::with_capacity(taken.len());
    let mut cold = Vec::new();
    for mut taken in taken {
        match taken.hot.take() {
            Some((stored, route)) => leases.push(lease_of(consumer, &taken, stored, route)),
            None => cold.push(taken),
        }
    }
    if !cold.is_empty() {
        let consumer = Arc::clone(consumer);
        match blocking(shared, move |shared| warm(shared, &consumer, cold, now)).await {
            Ok(warmed) => leases.extend(warmed),
            Err(error) if leases.is_empty() => return Err(error),
            // Those that could be leased are; the others have been let go, and are tried again.
            Err(_) => {}
        }
    }
    Ok(leases)
}

fn lease_of(consumer: &Consumer, taken: &Taken, stored: Arc<Stored>, route: u16) -> Lease {
    Lease {
        token: LeaseToken { consumer: consumer.id, seq: Seq(taken.seq), generation: taken.generation },
        stored,
        route,
        attempts: taken.attempts,
        behind_dead: taken.behind_dead,
        until: taken.until,
    }
}

/// Reads leased events. One that is damaged, or no longer for this destination, is settled here; those that cannot be
/// read for the moment are let go.
fn warm(shared: &Shared, consumer: &Consumer, cold: Vec<Taken>, now: Timestamp) -> Result<Vec<Lease>, Failed> {
    let placed = consumer.state.lock().placed.clone();
    let mut leases = Vec::with_capacity(cold.len());
    let mut settlements = Vec::new();
    let mut failure = None;
    for taken in cold {
        let token = LeaseToken { consumer: consumer.id, seq: Seq(taken.seq), generation: taken.generation };
        let outcome = match &placed {
            Some(placed) if failure.is_none() => warm_one(shared, consumer.id, placed, &taken),
            // Left out of the configuration meanwhile: keeps its backlog.
            _ => Ok(Warmed::Ended(Outcome::Release)),
        };
        let outcome = match outcome {
            Ok(Warmed::Ready(stored, route)) => {
                leases.push(lease_of(consumer, &taken, stored, route));
                continue;
            }
            Ok(Warmed::Ended(outcome)) => outcome,
            Err(failed) => {
                failure = Some(failed);
                Outcome::Release
            }
        };
        if let Outcome::Dead { failure, .. } = &outcome {
            tracing::error!(destination = %consumer.name, seq = taken.seq, failure.message, "an event cannot be read");
            shared.counts.damaged.fetch_add(1, Ordering::Relaxed);
        }
        settlements.push(Settle { token, outcome });
    }
    if !settlements.is_empty() {
        let (reply, _) = tokio::sync::oneshot::channel();
        // Fails only when the queue is closed; the next start finds the same events again.
        let _ = shared.inbox.submit(Op::Settle { settlements, now, reply });
    }
    match failure {
        Some(failed) if leases.is_empty() => Err(failed),
        _ => Ok(leases),
    }
}

/// What has become of a leased event whose body was not in memory.
enum Warmed {
    Ready(Arc<Stored>, u16),
    Ended(Outcome),
}

fn warm_one(shared: &Shared, consumer: ConsumerId, placed: &Placed, taken: &Taken) -> Result<Warmed, Failed> {
    let read = shared.readers.with(|connection| log::read_one(connection, taken.seq))?;
    let missing = || Err(Damage { seq: taken.seq, what: MISSING.to_owned() });
    Ok(match read.unwrap_or_else(missing) {
        Ok(stored) => match placed.route(consumer, &stored) {
            Some(route) => Warmed::Ready(Arc::new(stored), route),
            None => Warmed::Ended(Outcome::Done),
        },
        Err(damage) => Warmed::Ended(Outcome::Dead { attempts: taken.attempts, failure: damage.failure() }),
    })
}

fn spawn_read_ahead(
    shared: &Arc<Shared>,
    consumer: &Arc<Consumer>,
    turn: OwnedMutexGuard<()>,
    now: Timestamp,
) -> tokio::task::JoinHandle<Result<(), QueueError>> {
    let (shared, consumer) = (Arc::clone(shared), Arc::clone(consumer));
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let wanted = {
            let mut state = consumer.state.lock();
            let wanted = state.wanted(shared.last(), false);
            state.reading = wanted == Some(Reading::Ahead);
            wanted
        };
        let _end = EndOfReading(&consumer);
        let read = match wanted {
            Some(Reading::Ahead) => read_ahead(&shared, &consumer, now),
            Some(wanted) => aside::read(&shared, &consumer, wanted, now),
            None => Ok(()),
        };
        read.map_err(|failed| shared.note(&failed))
    })
}

/// Lets the writer add events again, however the reading ended.
struct EndOfReading<'a>(&'a Consumer);

impl Drop for EndOfReading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().reading = false;
        self.0.changed.notify_one();
    }
}

fn read_ahead(shared: &Shared, consumer: &Consumer, now: Timestamp) -> Result<(), Failed> {
    let last = shared.last();
    let floor = shared.counts.floor.load(Ordering::Relaxed);
    let (wanted, placed) = {
        let mut state = consumer.state.lock();
        let Some(placed) = state.placed.clone() else {
            return Ok(());
        };
        if state.cursor.watermark() + 1 < floor {
            // Out of retention while this destination was not configured.
            state.cursor.settle_through(floor - 1);
        }
        (wanted(&state, last), placed)
    };
    let (events, mut damages) = read(shared, &wanted)?;
    let routes: Vec<_> = events.iter().map(|stored| placed.route(consumer.id, stored)).collect();
    let mut state = consumer.state.lock();
    if !state.placed.as_ref().is_some_and(|now| now.is_same(&placed)) {
        // Configured anew meanwhile, so the routes are void; whoever waits reads again.
        return Ok(());
    }
    for (stored, route) in events.into_iter().zip(routes) {
        state.place_event(&Arc::new(stored), route);
    }
    // Without an unsettled place up to the end, or behind a damaged one, the reading has still come this far.
    let read_to = if wanted.is_empty() { last } else { damages.last().map_or(0, |damage| damage.seq) };
    state.read_to = state.read_to.max(read_to);
    damages.retain(|damage| !state.is_dropped(damage.seq));
    drop(state);
    report(shared, consumer, damages, now);
    Ok(())
}

/// Has damaged places become dead letters.
fn report(shared: &Shared, consumer: &Consumer, damages: Vec<Damage>, now: Timestamp) {
    if !damages.is_empty() {
        for damage in &damages {
            tracing::error!(destination = %consumer.name, seq = damage.seq, what = damage.what, "an event is damaged on disk");
        }
        let _ = shared.inbox.submit(Op::Damaged { consumer: consumer.id, damages, now });
    }
}

/// The next places that are not settled, without redriven ones.
fn wanted(state: &ConsumerState, last: u64) -> Vec<u64> {
    let mut seq = state.cursor.next_unsettled(state.read_to);
    let mut wanted = Vec::with_capacity(READ_AHEAD_EVENTS);
    while seq <= last && wanted.len() < READ_AHEAD_EVENTS {
        if !state.known_redriven.contains(seq) {
            wanted.push(seq);
        }
        seq = state.cursor.next_unsettled(seq);
    }
    wanted
}

/// Reads the events at these places, as many as fit the limit of bytes, at least one.
fn read(shared: &Shared, wanted: &[u64]) -> Result<(Vec<Stored>, Vec<Damage>), Failed> {
    let (mut events, mut damages) = (Vec::with_capacity(wanted.len()), Vec::new());
    let mut bytes = 0;
    shared.readers.with(|connection| {
        for range in wanted.chunk_by(|one, next| next - one <= MAX_SKIPPED) {
            let (Some(&from), Some(&to)) = (range.first(), range.last()) else {
                continue;
            };
            let mut expected = range.iter().copied().peekable();
            let mut full = false;
            log::scan(connection, from, to, |seq, read| {
                while let Some(missing) = expected.next_if(|wanted| *wanted < seq) {
                    damages.push(Damage { seq: missing, what: MISSING.to_owned() });
                }
                if expected.next_if_eq(&seq).is_none() {
                    return true;
                }
                match read {
                    Ok(stored) => {
                        bytes += stored.event.body.len();
                        events.push(stored);
                    }
                    Err(damage) => damages.push(damage),
                }
                full = bytes >= READ_AHEAD_BYTES;
                !full
            })?;
            if full {
                break;
            }
            damages.extend(expected.map(|seq| Damage { seq, what: MISSING.to_owned() }));
        }
        Ok(())
    })?;
    Ok((events, damages))
}
