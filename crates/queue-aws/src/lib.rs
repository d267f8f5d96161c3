//! The queue on Amazon DynamoDB: the port of the crate `queue` for several servers side by side.
//!
//! Everything that is true stands in one table ([`keys`]). Bodies that are too large for it are
//! objects in a bucket. Nothing is kept on a server but caches, so servers come and go
//! and each can do everything. All decisions are made on what was read and hold only if nobody has written since: every
//! write is conditional, and what belongs together is one transaction ([`table`]). Clocks decide when something is due,
//! never what is true.
//!
//! - **Publishing** claims each identity with one conditional write ([`claim`]), and commits all events of a request, or
//!   none, in one transaction with the head that numbers them ([`publish`], [`commit`], [`head`], [`chunk`]).
//! - **Each destination** has its own state ([`state`]): how far the log was looked at for it, and what is not settled, in
//!   shards by conversation ([`shard`]). What can be leased is chosen by pure code ([`choose`]). A lease and a settlement
//!   write the shards that they concern ([`lease`], [`settle`]) and nothing else, so destinations and conversations do not
//!   wait for each other. One of the servers owns each destination, and delivers to it alone ([`owner`]).
//! - **Dead letters** are made in the transaction that ends their deliveries ([`burial`], [`letter`]), and go the other way
//!   in the one that redrives them ([`redrive`]).
//! - **The audit trail** is chained by whoever writes the head ([`trail`]).
//! - **Retention, replay, erasing** and what matched no route: [`upkeep`], [`replay`], [`erase`], [`unmatched`].
//!
//! The truth is not in SQS, though a queue there keeps the order of a group by itself: a message lives for 14 days at
//! most and is hidden for 12 hours at most, cannot be found, counted, held behind a dead letter, edited or erased, and its
//! deletion is no part of any transaction. All of that the port asks for. `docs/aws-queue.md` says what each call costs,
//! which limits there are, and what is weaker than in the embedded queue.

mod burial;
mod choose;
mod chunk;
mod claim;
mod codec;
mod commit;
mod configure;
mod erase;
mod head;
mod inner;
mod keys;
mod lease;
mod letter;
mod log;
mod moved;
mod note;
mod options;
mod owner;
mod publish;
mod redrive;
mod replay;
mod review;
mod settle;
mod shard;
mod state;
mod status;
mod table;
mod trail;
mod unmatched;
mod upkeep;
mod watch;
mod watched;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use bytes::Bytes;
use event::{EventId, Timestamp};
use queue::{
    AuditPage, BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, LeftPage, LogPage, Maintained, Moved, Publication, Published, Queue, QueueError, QueueStatus,
    RedriveOutcome, Rejection, Replay, ReplayPiece, Review, ReviewState, Seq, Settle, Stored, TakenOver, Topology,
    UnmatchedGroups, UnmatchedPage, UnmatchedQuery,
};
use tokio::runtime::{Builder, Runtime};

use crate::inner::Inner;
use crate::options::ATTEMPT_TIME;
use crate::table::{Objects, Table};

pub use options::{
    ATTEMPTS, BODY_BYTES_MAX, Bodies, INLINE_BYTES, OBJECT_BYTES_MAX, OPERATION_TIME, OWNERSHIP, Options, UNUSED_FOR,
};
pub use table::{Lack, back_up, check_table, create_table, expire};
pub use watched::{Seen, WATCHED_BYTES_MAX};

/// The queue in a table of DynamoDB.
#[derive(Debug)]
pub struct AwsQueue {
    inner: Arc<Inner>,
    /// Requests run here and not where they are asked for. So what was begun is finished when the one who asked goes
    /// away, and `configure`, which is not async, can wait for it.
    runtime: Option<Runtime>,
}

impl AwsQueue {
    /// Opens the queue in a table that is there; see [`create_table`]. Makes no request.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn open(client: &Client, options: Options) -> Result<Self, QueueError> {
        let retry = RetryConfig::adaptive().with_max_attempts(ATTEMPTS);
        let times = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT_TIME)
            .operation_attempt_timeout(ATTEMPT_TIME)
            .operation_timeout(OPERATION_TIME)
            .build();
        let config = client.config().to_builder().retry_config(retry).timeout_config(times);
        let client = Client::from_conf(config.build());
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("queue-aws").enable_all().build();
        let runtime =
            runtime.map_err(|error| QueueError::Transient { detail: format!("starting a thread: {error}") })?;
        let objects = options.bodies.as_ref().map(Objects::new);
        let inner = Arc::new(Inner::new(Table::new(client, &options.table, objects), options));
        runtime.spawn(watch::watch(Arc::downgrade(&inner)));
        if let Some(ownership) = inner.options.ownership {
            runtime.spawn(owner::tend(Arc::downgrade(&inner), ownership));
        }
        Ok(Self { inner, runtime: Some(runtime) })
    }

    /// Asks the table for something, whatever is in it.
    ///
    /// # Errors
    /// When there is no such table, it has other keys, or it cannot be asked.
    pub async fn probe(&self) -> Result<(), QueueError> {
        self.run(|inner| async move { inner.head().await.map(drop) }).await
    }

    /// Has something done, unless the queue is closed.
    fn run<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> BoxFuture<'_, Result<T, QueueError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send + 'static,
    {
        let (false, Some(runtime)) = (self.inner.closed.load(Ordering::SeqCst), &self.runtime) else {
            return Box::pin(std::future::ready(Err(QueueError::Closed)));
        };
        let task = runtime.spawn(work(Arc::clone(&self.inner)));
        Box::pin(async move {
            let failed = |error| QueueError::Transient { detail: format!("a request was broken off: {error}") };
            task.await.map_err(failed)?
        })
    }
}

impl Drop for AwsQueue {
    fn drop(&mut self) {
        // Waits for nothing: a queue may be dropped where nobody may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Queue for AwsQueue {
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        self.run(|inner| async move { inner.publish(publication).await })
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        self.run(|inner| async move { inner.reject(rejection).await })
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        let (false, Some(runtime)) = (self.inner.closed.load(Ordering::SeqCst), &self.runtime) else {
            return Err(QueueError::Closed);
        };
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let inner = Arc::clone(&self.inner);
        runtime.spawn(async move {
            // Nobody waits any more if it cannot be told.
            let _ = tell.send(inner.configure(topology).await);
        });
        let failed = |error| QueueError::Transient { detail: format!("setting the destinations: {error}") };
        told.recv().map_err(failed)?
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        self.run(move |inner| async move { inner.lease(consumer, max, now).await })
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        let destination = self.inner.destination(consumer);
        Box::pin(async move {
            match destination {
                Some(destination) => destination.changed.notified().await,
                None => std::future::pending().await,
            }
        })
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.inner.destination(consumer)?.next_due()
    }

    fn stands_by(&self, consumer: ConsumerId) -> bool {
        self.inner.destination(consumer).is_some_and(|destination| destination.stands_by.load(Ordering::SeqCst))
    }

    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        self.run(move |inner| async move { inner.settle(settlements, now).await })
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.run(|inner| async move { inner.dead_letters(query).await })
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        self.run(|inner| async move { inner.dead_letter_groups(query).await })
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        self.run(|inner| async move { inner.redrive(ids, by).await })
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.run(|inner| async move { inner.discard(ids, by).await })
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        self.run(move |inner| async move { inner.edit(id, copy, by).await })
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        self.run(|inner| async move { inner.erase(erasure).await })
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        self.run(move |inner| async move { inner.set_review(group, state, by).await })
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        self.run(|inner| async move { inner.reviews().await })
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        self.run(move |inner| async move { inner.dead_letter(id).await })
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        self.run(move |inner| async move { inner.event(id).await })
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.run(|inner| async move { inner.note(entries).await })
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<AuditPage, QueueError>> {
        self.run(move |inner| async move { inner.audit(after, max).await })
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        self.run(move |inner| async move { inner.trace(subject).await })
    }

    fn unmatched(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedPage, QueueError>> {
        self.run(|inner| async move { inner.unmatched(query).await })
    }

    fn unmatched_groups(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedGroups, QueueError>> {
        self.run(|inner| async move { inner.unmatched_groups(query).await })
    }

    fn read_log(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LogPage, QueueError>> {
        self.run(move |inner| async move { inner.read_log(after, events, bytes).await })
    }

    fn keep_from(&self, place: Option<Seq>) {
        *self.inner.keep_from.lock() = place;
    }

    fn erasures(&self) -> u64 {
        self.inner.erasures.load(Ordering::Acquire)
    }

    fn replay(&self, piece: ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<Replay, QueueError>> {
        self.run(move |inner| async move { inner.replay(piece, now).await })
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<Replay>, QueueError>> {
        self.run(|inner| async move { inner.replays(id).await })
    }

    fn left(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LeftPage, QueueError>> {
        self.run(move |inner| async move { inner.left(after, events, bytes).await })
    }

    fn take_over(&self, moved: Vec<Moved>) -> BoxFuture<'_, Result<TakenOver, QueueError>> {
        self.run(|inner| async move { inner.take_over(moved).await })
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.run(move |inner| async move { inner.remember(consumer, note).await })
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        self.run(move |inner| async move { inner.remembered(consumer).await })
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        self.run(move |inner| async move { inner.status(now).await })
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        self.run(move |inner| async move { inner.maintain(now).await })
    }

    fn poisoned(&self) -> Option<String> {
        None
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let inner = Arc::clone(&self.inner);
        let giving = self.runtime.as_ref().map(|runtime| runtime.spawn(async move { inner.give_back(true).await }));
        Box::pin(async move {
            if let Some(giving) = giving {
                // What was not given back ends by time.
                let _ = giving.await;
            }
            Ok(())
        })
    }
}
