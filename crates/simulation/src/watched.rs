//! The queue as the process sees it: the real one, watched by the oracle, with a disk that is slow or full for a time,
//! and with an end that comes at any step.
//!
//! Each step is waited for while virtual time stands still, and what the embedded queue does after its answer, on threads
//! of its own, is waited for too. So a seed always does the same, and there is one commit at a time; that many share
//! one, and that real disks and threads interleave, is for the stress test of the embedded queue and `cargo xtask torture`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{EventId, Timestamp};
use parking_lot::Mutex;
use queue::{
    BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, LeaseToken, Maintained, Outcome, Publication, Published, Queue, QueueError, QueueStatus,
    RedriveOutcome, Rejection, Review, ReviewState, Settle, Stored, Topology,
};

use crate::ends::{Ends, Moment};
use crate::oracle::{Asked, Delivery};
use crate::planted::Planted;
use crate::signal::Signal;
use crate::store::length;
use crate::waiting::block_on;
use crate::world::World;

/// When to try again, after the disk was full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(10);

/// See the module. It lives as long as one process.
pub(crate) struct Watched {
    inner: Arc<dyn Queue>,
    world: Arc<World>,
    ends: Arc<Ends>,
    log: Option<PathBuf>,
    /// Says that the process is gone; nothing is answered any more.
    gone: Arc<Signal>,
    consumers: Mutex<Vec<ConsumerId>>,
    /// The newest lease of each delivery, by its generation: its settlement counts.
    leases: Mutex<HashMap<Delivery, u64>>,
    /// How much of the log was there when the last caller was answered.
    synced: Mutex<u64>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Queue>, world: &Arc<World>, log: Option<PathBuf>) -> Self {
        let synced = Mutex::new(log.as_deref().map_or(0, length));
        Self {
            inner,
            world: world.clone(),
            ends: world.ends.clone(),
            log,
            gone: Arc::default(),
            consumers: Mutex::default(),
            leases: Mutex::default(),
            synced,
        }
    }

    /// Ready when the process is gone.
    pub(crate) fn is_gone(&self) -> BoxFuture<'static, ()> {
        self.gone.raised()
    }

    /// Ends the process now.
    pub(crate) fn end(&self) {
        self.gone.raise();
    }

    /// One step: what the queue does while nothing else happens, unless the process ends before, in the middle or before
    /// the answer.
    async fn step<T>(&self, what: &str, work: impl FnOnce(&dyn Queue) -> T, writes: bool) -> T
    where
        T: Sized,
    {
        let moment = if self.gone.is_raised() { Some(Moment::Before) } else { self.ends.step() };
        let Some(moment) = moment else {
            let result = work(&*self.inner);
            self.wait_for_threads(writes);
            *self.synced.lock() = self.log.as_deref().map_or(0, length);
            return result;
        };
        if !self.gone.is_raised() {
            self.world.steps.note(|| format!("the process ends: {moment:?} {what}"));
            self.fall(moment, work);
        }
        std::future::pending().await
    }

    /// The process ends in this step.
    fn fall<T>(&self, moment: Moment, work: impl FnOnce(&dyn Queue) -> T) {
        let before = *self.synced.lock();
        // In memory a commit is whole or not there at all.
        let in_part = moment == Moment::Within && (self.log.is_some() || self.ends.chance());
        if in_part || moment == Moment::After {
            drop(work(&*self.inner));
            self.wait_for_threads(true);
        }
        let after = self.log.as_deref().map_or(0, length);
        let planted = self.world.planted == Some(Planted::UnsyncedAnswer);
        self.ends.leave(match moment {
            _ if planted => self.ends.between(0, before),
            Moment::Within => self.ends.between(before, after),
            _ => after,
        });
        self.end();
    }

    /// The embedded queue tells destinations after it has answered the caller; asking it for nothing waits for that.
    fn wait_for_threads(&self, writes: bool) {
        if writes && self.log.is_some() {
            let _ = block_on(self.inner.discard(Vec::new(), By::new("nobody", Timestamp::default())));
        }
    }

    /// The time that the disk takes, and that it is full.
    async fn disk(&self) -> Result<(), QueueError> {
        let takes = self.ends.disk();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if self.world.disk_is_full() {
            self.world.steps.note(|| "the disk is full".to_owned());
            return Err(QueueError::Full { detail: "no space".to_owned(), retry_after: FULL_RETRY_AFTER });
        }
        Ok(())
    }

    /// The number of a destination.
    pub(crate) fn destination(&self, consumer: ConsumerId) -> Option<usize> {
        self.consumers.lock().iter().position(|id| *id == consumer)
    }

    fn delivery(&self, token: LeaseToken) -> Option<Delivery> {
        Some((self.destination(token.consumer)?, token.seq.0))
    }

    /// The deliveries whose settlement will count, and as what.
    fn counting(&self, settlements: &[Settle]) -> Vec<(Delivery, Asked)> {
        let leases = self.leases.lock();
        let counts = |settle: &Settle| {
            let at = self.delivery(settle.token)?;
            let generation = *leases.get(&at)?;
            let asked = match &settle.outcome {
                Outcome::Done | Outcome::Delivered(_) | Outcome::PutAside(_) => Asked::Done,
                Outcome::Dead { failure, .. } => Asked::Dead(failure.class),
                Outcome::Retry { .. } | Outcome::Release => Asked::Again,
            };
            (generation == settle.token.generation).then_some((at, asked))
        };
        settlements.iter().filter_map(counts).collect()
    }

    /// Shows the oracle the dead letters that nobody has settled.
    pub(crate) fn show_expired(&self) {
        let query = DeadLetterQuery { stage: Some(queue::Stage::Queue), limit: 100_000, ..Default::default() };
        match block_on(self.inner.dead_letters(query)) {
            Ok(letters) => self.world.oracle.sees(&letters),
            Err(error) => self.world.oracle.object(format!("dead letters cannot be listed: {error}")),
        }
    }
}

impl Queue for Watched {
    fn publish(&self, mut publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            let planted = self.world.planted == Some(Planted::LostPublication) && self.world.strikes();
            let lost = if planted { publication.events.pop() } else { None };
            let publish = |queue: &dyn Queue| block_on(queue.publish(publication));
            let mut answers = self.step("a publication", publish, true).await?;
            answers.extend(lost.map(|event| Published::Duplicate { id: event.id }));
            Ok(answers)
        })
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            self.step("a rejection", |queue| block_on(queue.reject(rejection)), true).await
        })
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        let consumers = self.inner.configure(topology)?;
        *self.consumers.lock() = consumers.clone();
        self.wait_for_threads(true);
        *self.synced.lock() = self.log.as_deref().map_or(0, length);
        Ok(consumers)
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        Box::pin(async move {
            let lease = |queue: &dyn Queue| block_on(queue.lease(consumer, max, now));
            let mut leases = self.step("a lease", lease, false).await?;
            let is_new = |lease: &Lease| Some((self.delivery(lease.token)?, lease.token.generation));
            self.leases.lock().extend(leases.iter().filter_map(is_new));
            if let Some(planted) = self.world.planted {
                planted.change(&mut leases, &self.world, |token| {
                    let settle = Settle { token, outcome: Outcome::Done };
                    drop(block_on(self.inner.settle(vec![settle], now)));
                    self.wait_for_threads(true);
                });
            }
            Ok(leases)
        })
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        self.inner.changed(consumer)
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.inner.next_due(consumer)
    }

    fn settle(&self, mut settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            let counting = self.counting(&settlements);
            counting.iter().for_each(|(at, asked)| self.world.oracle.settles(*at, *asked));
            if self.world.planted == Some(Planted::LostSettlement) && self.world.strikes() {
                settlements.pop();
            }
            self.step("a settlement", |queue| block_on(queue.settle(settlements, now)), true).await?;
            let over = counting.iter().filter(|(_, asked)| *asked != Asked::Again);
            over.for_each(|(at, _)| self.world.oracle.settled(*at));
            Ok(())
        })
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        Box::pin(async move { self.step("a list", |queue| block_on(queue.dead_letters(query)), false).await })
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        Box::pin(async move { self.step("a list", |queue| block_on(queue.dead_letter_groups(query)), false).await })
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            self.step("a redrive", |queue| block_on(queue.redrive(ids, by)), true).await
        })
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            self.step("a discard", |queue| block_on(queue.discard(ids, by)), true).await
        })
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            if self.world.planted == Some(Planted::LostEdit) {
                return Ok(true);
            }
            self.step("an edit", |queue| block_on(queue.edit(id, copy, by)), true).await
        })
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            if self.world.planted == Some(Planted::LostErasure) {
                return Ok(Erased::default());
            }
            self.step("an erasure", |queue| block_on(queue.erase(erasure)), true).await
        })
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            self.step("a review", |queue| block_on(queue.set_review(group, state, by)), true).await
        })
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        Box::pin(async move { self.step("a list", |queue| block_on(queue.reviews()), false).await })
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.dead_letter(id)), false).await })
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.event(id)), false).await })
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move { self.step("a note", |queue| block_on(queue.remember(consumer, note)), true).await })
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.remembered(consumer)), false).await })
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move { self.step("a note", |queue| block_on(queue.note(entries)), true).await })
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<queue::AuditPage, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.audit(after, max)), false).await })
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.trace(subject)), false).await })
    }

    fn unmatched(&self, query: queue::UnmatchedQuery) -> BoxFuture<'_, Result<queue::UnmatchedPage, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.unmatched(query)), false).await })
    }

    fn unmatched_groups(
        &self,
        query: queue::UnmatchedQuery,
    ) -> BoxFuture<'_, Result<queue::UnmatchedGroups, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.unmatched_groups(query)), false).await })
    }

    fn read_log(
        &self,
        after: queue::Seq,
        events: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<queue::LogPage, QueueError>> {
        Box::pin(
            async move { self.step("a look", |queue| block_on(queue.read_log(after, events, bytes)), false).await },
        )
    }

    fn erasures(&self) -> u64 {
        self.inner.erasures()
    }

    fn keep_from(&self, place: Option<queue::Seq>) {
        self.inner.keep_from(place);
    }

    fn replay(
        &self,
        mut piece: queue::ReplayPiece,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<queue::Replay, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            if self.world.planted == Some(Planted::LostReplay) {
                piece.events.pop();
            }
            self.step("a piece of a replay", |queue| block_on(queue.replay(piece, now)), true).await
        })
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<queue::Replay>, QueueError>> {
        Box::pin(async move { self.step("a look", |queue| block_on(queue.replays(id)), false).await })
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        Box::pin(async move { self.step("a status", |queue| block_on(queue.status(now)), false).await })
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        Box::pin(async move {
            self.disk().await?;
            let maintained = self.step("upkeep", |queue| block_on(queue.maintain(now)), true).await?;
            if maintained.expired > 0 {
                self.show_expired();
            }
            Ok(maintained)
        })
    }

    fn poisoned(&self) -> Option<String> {
        self.inner.poisoned()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        // Not waited for elsewhere: virtual time would go on.
        Box::pin(std::future::ready(block_on(self.inner.close())))
    }
}
