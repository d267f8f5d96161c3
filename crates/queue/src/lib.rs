//! The queue port: the one place that owns durability, dedupe, leases, retry times and dead letters.
//!
//! An event is *published* once and then delivered to each *destination* whose routes match it. A destination
//! *leases* events, tries to deliver them, and *settles* each lease: done, retry at a time, or dead. What a backend
//! promises is written at each method of [`Queue`] and checked by the one conformance suite (`conformance`, behind
//! the feature of that name), which the in-memory reference and every durable backend pass.
//!
//! The port reads no clock: `now` is an argument.

mod again;
mod by;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod edit;
mod erase;
mod error;
mod fingerprint;
mod masking;
mod memory;
mod mention;
mod moved;
pub mod moving;
mod note;
mod options;
mod publish;
mod redrive;
mod replay;
mod review;
mod status;
mod told;
mod topology;
pub mod trail;
mod unmatched;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use event::{EventId, Timestamp};

pub use again::{Again, Why};
pub use by::By;
pub use delivery::{
    Answer, Attempts, DeadLetter, DeadLetterId, DeadLetterQuery, Failure, FailureClass, Lease, LeaseToken, Outcome,
    Seq, Settle, Stage, Stored,
};
pub use edit::Edit;
pub use erase::{Erased, Erasure};
pub use error::QueueError;
pub use event::NewEvent;
pub use fingerprint::{DeadLetterGroup, Fingerprint, Grouping, NoFingerprint};
pub use masking::{normalise, shown_masked};
pub use memory::MemoryQueue;
pub use mention::Mention;
pub use moved::{Left, LeftPage, Moved, MovedAgain, TakenOver};
pub use note::{NOTE_BYTES_MAX, check_note};
pub use options::{Options, Times};
pub use publish::{Content, ContentName, Publication, Published, Rejection, body_hash, conflict_id};
pub use redrive::{NotRedriven, RedriveOutcome};
pub use replay::{LogPage, Replay, ReplayPiece};
pub use review::{GroupReview, REVIEWS_MAX, Review, ReviewState, apply_reviews};
pub use status::{ConsumerStatus, Maintained, QueueStatus};
pub use told::told;
pub use topology::{BehindDead, Consumer, ConsumerId, Order, Router, Routes, Target, Topology};
pub use trail::AuditPage;
pub use unmatched::{
    FoundUnmatched, Unmatched, UnmatchedGroup, UnmatchedGrouping, UnmatchedGroups, UnmatchedListing, UnmatchedPage,
    UnmatchedQuery,
};

/// A future that can be sent between threads; the port's methods return it so that backends can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A queue of events with one cursor for each destination.
///
/// All methods may be called from any number of tasks at once.
pub trait Queue: Send + Sync {
    /// Accepts the events of one request, all or none.
    ///
    /// When it returns `Ok`, every event that is [`Published::Accepted`] or [`Published::Conflict`] is durable: it
    /// survives kill -9 and power loss. Events keep the order of the publication, and publications that returned keep
    /// their order before later ones. An event whose identity was accepted within the dedupe window is
    /// [`Published::Duplicate`] when its content is the same, and is kept as a [`Published::Conflict`] when not; that
    /// holds inside one publication too.
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>>;

    /// Keeps an authentic body that could not be read as a dead letter of stage `intake`; durable on return.
    /// The same body refused again within the dedupe window is kept once; the id says which.
    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>>;

    /// Sets the destinations and the router, at start and whenever the configuration changes.
    ///
    /// A destination seen for the first time gets the events that are accepted from now on. One that is left out
    /// keeps its cursor and gets its backlog when it comes back. Returns an id for each destination, in their order.
    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError>;

    /// Leases up to `max` events that are due at `now`. Leases nothing rather than wait; see [`Queue::changed`].
    ///
    /// With [`Order::Conversation`], at most one event of a conversation is out on lease or waiting for its retry,
    /// and they are leased in the order in which they were published. The next one is not leased before the
    /// settlement of the one ahead of it is durable, so after a crash only the newest delivery of a conversation can
    /// be repeated. A lease that is not settled within the lease time can be leased again.
    ///
    /// Redriven events ([`Stored::redriven`]) come behind all others: they are leased when nothing else of the destination
    /// can be, and not while another event of their conversation is there that does not wait for them. One that waits for
    /// its retry lets the others of its conversation pass. Among themselves they keep the order in which they stood in
    /// the log first. With [`BehindDead::Hold`] the later events of a conversation wait for its dead letters, and for
    /// those of them that are redriven; with [`BehindDead::Continue`] their leases say that there is one.
    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>>;

    /// Waits until [`Queue::lease`] may have something new for this destination, other than by time going on.
    /// A change that came since the last time this returned makes it return at once; so no change is missed.
    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()>;

    /// The earliest time at which a waiting retry of this destination, or the end of a lease, falls due.
    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp>;

    /// Whether another process delivers to this destination, as far as is known since the last lease: then nothing is leased
    /// here, however much there is, and whoever takes over goes by what was [remembered](Queue::remembered) meanwhile. Never
    /// so where a queue has one server.
    fn stands_by(&self, _consumer: ConsumerId) -> bool {
        false
    }

    /// Settles leases; durable on return. A settlement counts, also behind the end of its lease, as long as
    /// nobody has leased the event again; otherwise it is ignored.
    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The dead letters that the query selects, oldest first, at most `limit`; without their bodies.
    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>>;

    /// The dead letters that the query selects, in groups of those that failed alike, the largest first; its limit and
    /// `after` mean nothing here.
    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>>;

    /// Delivers the events of dead letters again, each to its destination only; durable on return. The event is appended
    /// to the log once more, under the same id, and its dead letter is gone: it is delivered, or becomes another dead
    /// letter. All that is not redriven goes before it, but for what waits for it. Of many large ones only the first may fit one commit:
    /// there are outcomes for those, at least for one, and the others are to be asked for again. A dead letter that is not there, is of no event, or
    /// whose event no route leads to its destination now, stays as it is, and its outcome says why. Of one with an edited
    /// copy the copy is delivered, and the event is marked as edited.
    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>>;

    /// Drops dead letters for good; durable on return. Returns those that were there, without their bodies. Their events
    /// stay in the log for as long as retention keeps them.
    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>>;

    /// Keeps an edited copy of a dead letter's body beside it, in place of an earlier one, or with `None` drops that;
    /// durable on return. The original stays as it is. Returns whether there is such a dead letter. Whether the copy is
    /// any good is for the caller to find out.
    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>>;

    /// Erases what was said in a conversation: the bodies of its events, whether they were delivered or not, its dead
    /// letters with their copies, and what was answered to its deliveries; durable on return. The events keep their places
    /// and identities, so the same event sent again is still a duplicate, and the audit trail keeps the hashes. What is
    /// under way at the time may still arrive. Asked again, it goes on where it was broken off.
    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>>;

    /// Sets how far people are with a group, whether it has any letters or not; durable on return. It holds for the
    /// letters that there are: a later one opens the group again. Only the newest [`REVIEWS_MAX`] are kept.
    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>>;

    /// What was set by [`Queue::set_review`].
    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>>;

    /// One dead letter with its body, and its edited copy.
    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>>;

    /// The newest event with this id, if it is still retained: as it was accepted, or else as it was redriven.
    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>>;

    /// Adds to the audit trail what someone has done to the whole; durable on return. What becomes of events and dead
    /// letters is added by itself, in the commit that does it.
    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The blocks of the audit trail behind this number, at most so many, and the place before the first one that is kept.
    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<AuditPage, QueueError>>;

    /// The entries of the audit trail about a conversation or an event, in their order.
    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>>;

    /// A page of the retained events that no route led to any destination when they were accepted, the newest first;
    /// without their bodies. It is bounded in what it looks at, so it may have few or none although there are more:
    /// [`UnmatchedPage::next`] says so.
    fn unmatched(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedPage, QueueError>>;

    /// The same events, counted by source and topic: those that the page has looked at. What all pages count adds up.
    fn unmatched_groups(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedGroups, QueueError>>;

    /// Reads the log behind a place: at most so many events, and no more once they have so many bytes.
    fn read_log(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LogPage, QueueError>>;

    /// From now on retention drops nothing from this place on; without a place it drops what is old.
    fn keep_from(&self, place: Option<Seq>);

    /// How often something was erased, counted from anywhere. Whoever reads events to replay them asks before.
    fn erasures(&self) -> u64;

    /// Delivers a piece of a replay, all or none; durable on return. Its events are appended to the log once more, for the
    /// one destination, and in the same commit it is noted how far the replay has come. An event that no route leads to
    /// the destination now is counted and left out. Fails when the replay is not where the piece goes on, and when something
    /// was erased since its events were read: they may be what was erased.
    fn replay(&self, piece: ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<Replay, QueueError>>;

    /// What is known of replays, of one or of all; the newest first.
    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<Replay>, QueueError>>;

    /// Reads the log as [`Queue::read_log`] does, and tells to which of the configured destinations each event is still to be
    /// delivered. What is out on lease is left too.
    fn left(&self, _after: Seq, _events: usize, _bytes: usize) -> BoxFuture<'_, Result<LeftPage, QueueError>> {
        Box::pin(std::future::ready(Err(moved::cannot())))
    }

    /// Takes over events of another queue, in their order, each with what is left to do with it, whole or not at all;
    /// durable on return. It is for a queue that nobody publishes to meanwhile. One whose name is known is passed over. Of
    /// many only the first may be looked at, at least one; the others are to be given again. A delivery that no route leads
    /// to its destination now is not made. Dead letters get numbers of this queue.
    fn take_over(&self, _moved: Vec<Moved>) -> BoxFuture<'_, Result<TakenOver, QueueError>> {
        Box::pin(std::future::ready(Err(moved::cannot())))
    }

    /// Keeps a small note of a destination in place of an earlier one, or with `None` drops it; durable on return. It is of
    /// whoever delivers there, and means nothing to the queue. Of servers that share a queue, the last to write counts.
    /// Under [`ConsumerId::QUEUE`] it is about the whole queue. Fails for a note of more than [`NOTE_BYTES_MAX`].
    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The note of a destination that [`Queue::remember`] has kept. Fails for one that is damaged, which concerns nothing else.
    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>>;

    /// Counts and positions, for `status` and the health check.
    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>>;

    /// Does one bounded piece of upkeep: drops events beyond retention and identities beyond the dedupe window.
    /// Undelivered events beyond retention become dead letters first; it stops before one that is being delivered. Call again soon while `more` is set.
    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>>;

    /// Why the queue no longer accepts anything, if so: a failed sync or damage. `None` while it works.
    fn poisoned(&self) -> Option<String>;

    /// Finishes what was begun and closes the store; every later call fails with [`QueueError::Closed`].
    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>>;
}
