//! The in-memory reference: what a queue means, in the plainest code. It keeps nothing across a restart.
//!
//! It is the oracle for the conformance suite and the queue of tests; a lease walks over everything unsettled.

mod consumer;
mod dead;
mod erase;
mod moved;
mod notes;
mod replays;
mod state;
mod trail;
mod unmatched;

use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::state::State;
use crate::{
    AuditPage, BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, LeftPage, LogPage, Maintained, Moved, Options, Publication, Published, Queue, QueueError,
    QueueStatus, RedriveOutcome, Rejection, Replay, ReplayPiece, Review, ReviewState, Seq, Settle, Stored, TakenOver,
    Topology, UnmatchedGroups, UnmatchedPage, UnmatchedQuery,
};

/// A queue in memory.
#[derive(Debug)]
pub struct MemoryQueue {
    state: Mutex<State>,
    notify: Mutex<Vec<Arc<Notify>>>,
    /// So many calls more, and one fails; none does if it is nothing.
    calls_left: Mutex<Option<u64>>,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(options: Options) -> Self {
        Self::of(State::new(options))
    }

    fn of(state: State) -> Self {
        Self { state: Mutex::new(state), notify: Mutex::default(), calls_left: Mutex::default() }
    }

    /// What a restart would find if this queue kept everything that it was told on a disk: leases have ended, and no
    /// destination is configured. This one is closed. For tests that need a queue which survives its process.
    pub fn restart(&self) -> Self {
        let mut state = self.state.lock();
        let options = state.options();
        let mut kept = std::mem::replace(&mut *state, State::new(options));
        state.closed = true;
        kept.restart();
        Self::of(kept)
    }

    /// After so many calls more, one fails in passing and does nothing. For tests of those who try again.
    pub fn fail_after(&self, calls: u64) {
        *self.calls_left.lock() = Some(calls);
    }

    /// Takes [`Self::fail_after`] back.
    pub fn fail_never(&self) {
        *self.calls_left.lock() = None;
    }

    fn fails(&self) -> bool {
        let mut left = self.calls_left.lock();
        let fails = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        fails
    }

    /// Runs `change` on the state unless the queue is closed.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> Result<T, QueueError>) -> Result<T, QueueError> {
        if self.fails() {
            return Err(QueueError::Transient { detail: "a test wants it".to_owned() });
        }
        let mut state = self.state.lock();
        if state.closed { Err(QueueError::Closed) } else { change(&mut state) }
    }

    /// Like [`Self::with`], and tells every waiting destination afterwards.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, QueueError>) -> Result<T, QueueError> {
        let done = self.with(change);
        self.notify.lock().iter().for_each(|notify| notify.notify_one());
        done
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// A future that is ready at once.
fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Queue for MemoryQueue {
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        ready(self.change(|state| Ok(state.publish(publication))))
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        ready(self.with(|state| Ok(state.reject(rejection))))
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        let ids = self.with(|state| Ok(state.configure(topology)))?;
        let mut notify = self.notify.lock();
        let known = ids.iter().map(|id| usize::from(id.0) + 1).max().unwrap_or(0);
        while notify.len() < known {
            notify.push(Arc::default());
        }
        notify.iter().for_each(|notify| notify.notify_one());
        Ok(ids)
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        ready(self.with(|state| state.lease(consumer, max, now)))
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        let notify = self.notify.lock().get(usize::from(consumer.0)).cloned();
        Box::pin(async move {
            match notify {
                Some(notify) => notify.notified().await,
                None => std::future::pending().await,
            }
        })
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.state.lock().next_due(consumer)
    }

    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        ready(self.change(|state| {
            settlements.into_iter().for_each(|settle| state.settle(settle, now));
            Ok(())
        }))
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        ready(self.with(|state| Ok(state.dead_letters(&query))))
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        ready(self.with(|state| Ok(state.dead_letter_groups(&query))))
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        ready(self.change(|state| Ok(state.redrive(&ids, &by))))
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        ready(self.change(|state| Ok(state.discard(&ids, &by))))
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        ready(self.with(|state| Ok(state.edit(id, copy, by))))
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        ready(self.change(|state| Ok(state.erase(&erasure))))
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        ready(self.with(|all| Ok(all.set_review(group, state, by))))
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        ready(self.with(|state| Ok(state.reviews())))
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        ready(self.with(|state| Ok(state.dead_letter(id, Timestamp::from_millis(i64::MAX)))))
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        ready(self.with(|state| Ok(state.event(id))))
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        ready(self.with(|state| {
            state.trail.extend(entries);
            Ok(())
        }))
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<AuditPage, QueueError>> {
        ready(self.with(|state| Ok(state.audit(after, max))))
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        ready(self.with(|state| Ok(state.trace(subject))))
    }

    fn unmatched(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedPage, QueueError>> {
        ready(self.with(|state| Ok(state.unmatched(&query))))
    }

    fn unmatched_groups(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedGroups, QueueError>> {
        ready(self.with(|state| Ok(state.unmatched_groups(&query))))
    }

    fn read_log(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LogPage, QueueError>> {
        ready(self.with(|state| Ok(state.read_log(after, events, bytes))))
    }

    fn keep_from(&self, place: Option<Seq>) {
        self.state.lock().keep_from = place;
    }

    fn erasures(&self) -> u64 {
        self.with(|state| Ok(state.erasures)).unwrap_or_default()
    }

    fn replay(&self, piece: ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<Replay, QueueError>> {
        ready(self.change(|state| state.replay(piece, now)))
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<Replay>, QueueError>> {
        ready(self.with(|state| Ok(state.replays(id.as_deref()))))
    }

    fn left(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LeftPage, QueueError>> {
        ready(self.with(|state| Ok(state.left(after, events, bytes))))
    }

    fn take_over(&self, moved: Vec<Moved>) -> BoxFuture<'_, Result<TakenOver, QueueError>> {
        ready(self.change(|state| state.take_over(moved)))
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        ready(self.with(|state| state.remember(consumer, note)))
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        ready(self.with(|state| state.remembered(consumer)))
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        ready(self.with(|state| Ok(state.status(now))))
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        ready(self.with(|state| Ok(state.maintain(now))))
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.state.lock().closed = true;
        ready(Ok(()))
    }
}
