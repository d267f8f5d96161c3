//! The embedded queue: an append-only log with a cursor for each destination, in one SQLite file.
//!
//! One thread writes ([`writer`]); everyone whose work came while the last commit was being synced shares the next one.
//! The happy path of a delivery writes no row of its own: its place is set in the destination's cursor, which is stored
//! with the next commit. Known identities are kept as sorted runs behind Bloom filters ([`dedupe`]).
//!
//! What a crash leaves behind is the last commit: everything that was acknowledged, and every settlement that was
//! reported durable. Deliveries that were under way are made again.

mod audit_file;
mod backup;
mod check;
mod checked;
mod checkpoint;
mod consumer;
mod data_file;
mod dead_letters;
mod dedupe;
mod edits;
mod erase;
mod failure;
mod inbox;
mod late;
mod left;
mod lock;
mod log;
mod migrate;
mod notes;
mod open;
mod options;
mod put_aside;
mod reader;
mod repair;
mod replays;
mod reviews;
mod rows;
mod schema;
#[cfg(feature = "seed")]
mod seed;
mod shared;
mod trail;
mod trail_index;
mod unmatched;
mod wal;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use parking_lot::Mutex;
use queue::{
    AuditPage, BoxFuture, By, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Erased, Erasure,
    Fingerprint, Lease, LeftPage, LogPage, Maintained, Moved, Publication, Published, Queue, QueueError, QueueStatus,
    RedriveOutcome, Rejection, Replay, ReplayPiece, Review, ReviewState, Seq, Settle, Stored, TakenOver, Topology,
    UnmatchedGroups, UnmatchedPage, UnmatchedQuery, body_hash, check_note,
};
use tokio::sync::oneshot;

pub use self::audit_file::AuditFile;
pub use self::backup::backup;
pub use self::check::{Report, check};
pub use self::failure::Failed;
pub use self::options::Options;
pub use self::repair::repair;
#[cfg(feature = "seed")]
pub use self::seed::{seed_identities, seeded};

use self::checkpoint::Tell;
use self::inbox::{Inbox, Op, Prepared, Publish, Reply};
use self::lock::DirLock;
use self::log::Damage;
use self::shared::Shared;

/// The embedded queue. Closes itself when dropped, but [`Queue::close`] tells whether that went well.
#[derive(Debug)]
pub struct SqliteQueue {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: DirLock,
}

impl SqliteQueue {
    /// Hands work to the writer and waits for its answer.
    fn ask<'a, T: Send + 'a>(&self, op: impl FnOnce(Reply<T>) -> Op) -> BoxFuture<'a, Result<T, QueueError>> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.shared.inbox.submit(op(reply));
        Box::pin(async move {
            submitted?;
            // The writer answers everyone, unless it ended by a bug of its own.
            answer.await.unwrap_or_else(|_| Err(writer::ended()))
        })
    }
}

impl Drop for SqliteQueue {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        // Fails when it has been closed already.
        let _ = self.shared.inbox.submit(Op::Close { reply });
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

/// Lets the checkpointer reach the writer.
struct TellWriter(Arc<Shared>);

impl Tell for TellWriter {
    fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    fn sync(&self) -> std::io::Result<()> {
        self.0.file.sync()
    }
}

impl Queue for SqliteQueue {
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<Vec<Published>, QueueError>> {
        if let Some(error) = self.shared.poison() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let Publication { source, received, proof, events, content } = publication;
        let routing = self.shared.routing();
        let prepare = |new: queue::NewEvent| {
            let event = Event {
                id: new.id,
                source: Arc::clone(&source),
                topic: new.topic,
                conversation: new.conversation,
                received,
                conflict_of: None,
                body: new.body,
            };
            let routes = routing.as_ref().map(|routing| routing.router.route_new(&event)).unwrap_or_default();
            Prepared { body_hash: body_hash(&event.body), digest: audit::Digest::of(&event.body), event, routes }
        };
        let events = events.into_iter().map(prepare).collect();
        self.ask(|reply| Op::Publish(Publish { proof, events, content, routing, reply }))
    }

    fn reject(&self, rejection: Rejection) -> BoxFuture<'_, Result<DeadLetterId, QueueError>> {
        self.ask(|reply| Op::Reject { rejection, reply })
    }

    fn configure(&self, topology: Topology) -> Result<Vec<ConsumerId>, QueueError> {
        let (reply, answer) = std::sync::mpsc::channel();
        self.shared.inbox.submit(Op::Configure { topology, reply })?;
        answer.recv().unwrap_or_else(|_| Err(writer::ended()))
    }

    fn lease(&self, consumer: ConsumerId, max: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Lease>, QueueError>> {
        Box::pin(async move {
            if let Some(error) = self.shared.poison() {
                return Err(error);
            }
            let consumer = self.shared.consumer(consumer)?;
            reader::lease(&self.shared, &consumer, max, now).await
        })
    }

    fn changed(&self, consumer: ConsumerId) -> BoxFuture<'_, ()> {
        let consumer = self.shared.consumer(consumer);
        Box::pin(async move {
            match consumer {
                Ok(consumer) => consumer.changed.notified().await,
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn next_due(&self, consumer: ConsumerId) -> Option<Timestamp> {
        self.shared.consumer(consumer).ok()?.state.lock().window.next_due()
    }

    fn settle(&self, settlements: Vec<Settle>, now: Timestamp) -> BoxFuture<'_, Result<(), QueueError>> {
        self.ask(|reply| Op::Settle { settlements, now, reply })
    }

    fn dead_letters(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| {
            shared.readers.with(|connection| dead_letters::list(connection, &query))
        }))
    }

    fn dead_letter_groups(&self, query: DeadLetterQuery) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| {
            shared.readers.with(|connection| dead_letters::groups(connection, &query))
        }))
    }

    fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<RedriveOutcome>, QueueError>> {
        self.ask(|reply| Op::Redrive { ids, by, reply })
    }

    fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> BoxFuture<'_, Result<Vec<DeadLetter>, QueueError>> {
        self.ask(|reply| Op::Discard { ids, by, reply })
    }

    fn edit(&self, id: DeadLetterId, copy: Option<Bytes>, by: By) -> BoxFuture<'_, Result<bool, QueueError>> {
        self.ask(|reply| Op::Edit { id, copy, by, reply })
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Erased, QueueError>> {
        Box::pin(erase::erase(&self.shared, erasure))
    }

    fn set_review(&self, group: Fingerprint, state: ReviewState, by: By) -> BoxFuture<'_, Result<Review, QueueError>> {
        self.ask(|reply| Op::Review { review: Review { group, state, by, seen: DeadLetterId(0) }, reply })
    }

    fn reviews(&self) -> BoxFuture<'_, Result<Vec<Review>, QueueError>> {
        Box::pin(reader::blocking(&self.shared, |shared| shared.readers.with(reviews::all)))
    }

    fn dead_letter(&self, id: DeadLetterId) -> BoxFuture<'_, Result<Option<DeadLetter>, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| {
            let letter = shared.readers.with(|connection| dead_letters::get(connection, id))?;
            Ok(letter.map(|letter| shared.with_neighbours(letter)))
        }))
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, QueueError>> {
        let place = self.ask(|reply| Op::Find { id, reply });
        Box::pin(async move {
            let known = place.await?;
            let read = reader::blocking(&self.shared, move |shared| {
                shared.readers.with(|connection| {
                    let first = known.map(|seq| log::read_one(connection, seq)).transpose()?.flatten();
                    // Where it stood first it may have gone with its dead letter, and be in the log again.
                    first.map_or_else(|| trail_index::event(connection, id), |found| Ok(Some(found)))
                })
            });
            read.await?.transpose().map_err(Damage::into_error)
        })
    }

    fn note(&self, entries: Vec<audit::Entry>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.ask(|reply| Op::Note { entries, reply })
    }

    fn audit(&self, after: u64, max: usize) -> BoxFuture<'_, Result<AuditPage, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| {
            shared.readers.with(|connection| trail::page(connection, after, max))
        }))
    }

    fn trace(&self, subject: audit::Subject) -> BoxFuture<'_, Result<Vec<audit::Entry>, QueueError>> {
        let read = reader::blocking(&self.shared, move |shared| {
            shared.readers.with(|connection| trail_index::trace(connection, subject))
        });
        Box::pin(async move {
            read.await?.map_err(|unreadable| QueueError::Damaged {
                detail: format!("{unreadable}; run `aftercall audit verify`"),
            })
        })
    }

    fn unmatched(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedPage, QueueError>> {
        unmatched::list(&self.shared, query)
    }

    fn unmatched_groups(&self, query: UnmatchedQuery) -> BoxFuture<'_, Result<UnmatchedGroups, QueueError>> {
        unmatched::groups(&self.shared, query)
    }

    fn read_log(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LogPage, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| reader::read_page(shared, after, events, bytes)))
    }

    fn keep_from(&self, place: Option<Seq>) {
        self.shared.keep_from.store(place.map_or(u64::MAX, |place| place.0.max(1)), Ordering::Release);
    }

    fn erasures(&self) -> u64 {
        self.shared.erasures.load(Ordering::Acquire)
    }

    fn replay(&self, piece: ReplayPiece, now: Timestamp) -> BoxFuture<'_, Result<Replay, QueueError>> {
        self.ask(|reply| Op::Replay { piece: Box::new(piece), now, reply })
    }

    fn replays(&self, id: Option<String>) -> BoxFuture<'_, Result<Vec<Replay>, QueueError>> {
        Box::pin(async move {
            let read = reader::blocking(&self.shared, move |shared| {
                shared.readers.with(|connection| match &id {
                    Some(id) => Ok(replays::find(connection, id)?.transpose().map(|found| found.into_iter().collect())),
                    None => replays::list(connection).map(Ok),
                })
            });
            read.await?
        })
    }

    fn left(&self, after: Seq, events: usize, bytes: usize) -> BoxFuture<'_, Result<LeftPage, QueueError>> {
        Box::pin(reader::blocking(&self.shared, move |shared| left::page(shared, after, events, bytes)))
    }

    fn take_over(&self, moved: Vec<Moved>) -> BoxFuture<'_, Result<TakenOver, QueueError>> {
        self.ask(|reply| Op::TakeOver { moved, reply })
    }

    fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> BoxFuture<'_, Result<(), QueueError>> {
        let checked = check_note(note.as_deref()).and_then(|()| self.shared.check_noted(consumer));
        match checked {
            Ok(()) => self.ask(|reply| Op::Remember { consumer, note, reply }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn remembered(&self, consumer: ConsumerId) -> BoxFuture<'_, Result<Option<Bytes>, QueueError>> {
        Box::pin(async move {
            self.shared.check_noted(consumer)?;
            let read = reader::blocking(&self.shared, move |shared| {
                shared.readers.with(|connection| notes::find(connection, consumer))
            });
            read.await?.transpose()
        })
    }

    fn status(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueStatus, QueueError>> {
        let counts = &self.shared.counts;
        let number = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let last = self.shared.last();
        let (mut consumers, firsts): (Vec<_>, Vec<_>) =
            self.shared.consumers.read().iter().map(|consumer| consumer.status(last, now)).unzip();
        let status = QueueStatus {
            accepted: last.saturating_sub(number(&counts.redriven) + number(&counts.replayed)),
            redriven: number(&counts.redriven),
            replayed: number(&counts.replayed),
            duplicates: number(&counts.duplicates),
            conflicts: number(&counts.conflicts),
            unmatched: number(&counts.unmatched),
            retained: (last + 1).saturating_sub(number(&counts.floor)),
            dead_letters: number(&counts.dead_letters) + consumers.iter().map(|c| c.dead_letters).sum::<u64>(),
            identities: number(&counts.identities),
            disk_bytes: 0,
            poisoned: self.poisoned(),
            consumers: Vec::new(),
        };
        Box::pin(reader::blocking(&self.shared, move |shared| {
            for (consumer, first) in consumers.iter_mut().zip(firsts) {
                if first <= last {
                    let read = shared.readers.with(|connection| log::read_one(connection, first))?;
                    consumer.oldest_unsettled = read.and_then(Result::ok).map(|stored| stored.kept_since());
                }
            }
            Ok(QueueStatus { consumers, disk_bytes: backup::disk_bytes(&shared.dir), ..status })
        }))
    }

    fn maintain(&self, now: Timestamp) -> BoxFuture<'_, Result<Maintained, QueueError>> {
        Box::pin(async move {
            // Beside the writer, which only stores what comes of it.
            let built = reader::blocking(&self.shared, |shared| shared.readers.with(trail_index::build)).await;
            let index = built.unwrap_or_else(|error| {
                tracing::warn!(%error, "the index of the audit trail has to wait; more of the trail is read meanwhile");
                Vec::new()
            });
            self.ask(|reply| Op::Maintain { now, index, reply }).await
        })
    }

    fn poisoned(&self) -> Option<String> {
        self.shared.poison().map(|error| error.to_string())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.ask(|reply| Op::Close { reply })
    }
}
