//! A queue that is waited for while virtual time stands still. The embedded queue works on threads of its own, of which
//! tokio's paused clock knows nothing: it would leap to the next timer while a commit is under way.

use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};
use queue::{
    BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, Maintained, Publication, Published, Queue, QueueError, QueueStatus, RedriveOutcome, Rejection,
    Review, ReviewState, Settle, Stored, Topology,
};

use crate::waiting::block_on;

/// See the module.
pub(crate) struct Still(pub(crate) Arc<dyn Queue>);

impl Still {
    /// Waits for an answer, and for what the queue tells destinations after it: asking it for nothing comes behind that.
    fn wait<'a, T: Send + 'a>(&'a self, answer: BoxFuture<'a, T>, writes: bool) -> BoxFuture<'a, T> {
        Box::pin(async move {
            let answer = block_on(answer);
            if writes {
                let _ = block_on(self.0.discard(Vec::new(), By::new("nobody", Timestamp::default())));
            }
            answer
        })
    }
}

impl Queue for Still {
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        self.wait(self.0.publish(publication), true)
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        self.wait(self.0.reject(rejection), true)
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        self.0.configure(topology)
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        self.wait(self.0.lease(consumer, max, now), false)
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        self.0.changed(consumer)
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.0.next_due(consumer)
    }

    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        self.wait(self.0.settle(settlements, now), true)
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.wait(self.0.dead_letters(query), false)
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        self.wait(self.0.dead_letter_groups(query), false)
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        self.wait(self.0.redrive(ids, by), true)
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.wait(self.0.discard(ids, by), true)
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        self.wait(self.0.edit(id, copy, by), true)
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        self.wait(self.0.erase(erasure), true)
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        self.wait(self.0.set_review(group, state, by), true)
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        self.wait(self.0.reviews(), false)
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.wait(self.0.dead_letter(id), false)
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        self.wait(self.0.event(id), false)
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.wait(self.0.remember(consumer, note), true)
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        self.wait(self.0.remembered(consumer), false)
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.wait(self.0.note(entries), true)
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<queue::AuditPage, QueueError>> {
        self.wait(self.0.audit(after, max), false)
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        self.wait(self.0.trace(subject), false)
    }

    fn unmatched(&self, query: queue::UnmatchedQuery) -> BoxFuture<'_, Result<queue::UnmatchedPage, QueueError>> {
        self.wait(self.0.unmatched(query), false)
    }

    fn unmatched_groups(
        &self,
        query: queue::UnmatchedQuery,
    ) -> BoxFuture<'_, Result<queue::UnmatchedGroups, QueueError>> {
        self.wait(self.0.unmatched_groups(query), false)
    }

    fn read_log(
        &self,
        after: queue::Seq,
        events: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<queue::LogPage, QueueError>> {
        self.wait(self.0.read_log(after, events, bytes), false)
    }

    fn erasures(&self) -> u64 {
        self.0.erasures()
    }

    fn keep_from(&self, place: Option<queue::Seq>) {
        self.0.keep_from(place);
    }

    fn replay(&self, piece: queue::ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<queue::Replay, QueueError>> {
        self.wait(self.0.replay(piece, now), true)
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<queue::Replay>, QueueError>> {
        self.wait(self.0.replays(id), false)
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        self.wait(self.0.status(now), false)
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        self.wait(self.0.maintain(now), true)
    }

    fn poisoned(&self) -> Option<String> {
        self.0.poisoned()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.wait(self.0.close(), false)
    }
}
