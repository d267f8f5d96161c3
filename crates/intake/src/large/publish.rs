//! Publishes an accepted body, some events at a time and in their order, until all are durable.
//!
//! It runs as a task of its own, which does not end with the request: a sender that goes away in the middle changes
//! nothing. When the queue is full or busy it goes on trying. If nothing of the body is in the queue by then, the body is
//! given up, as a small one would be; if something is, the rest follows, and the sender is told to come again. A stop of
//! the server leaves the file for the next start.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{EventId, LargeError, LargeLimits, Outline, Portions, Splitter};
use queue::{Publication, Published, QueueError};
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::counters::Counters;
use crate::options::{BATCH_PATIENCE, BATCH_PAUSE};
use crate::problem::Refusal;
use crate::receive::{internal, not_stored};
use crate::server::{Mode, Shared};
use crate::spool::{Head, InFile, Spooled};

/// The ids of all events, and how many were known.
pub(super) type Outcome = (Vec<EventId>, usize);

type Next = JoinHandle<(Result<Option<Vec<queue::NewEvent>>, LargeError>, Portions<InFile>)>;

/// An accepted body that is being published.
pub(super) struct Publishing {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    spooled: Spooled,
    portions: Portions<InFile>,
    publication: Publication,
    ids: Vec<EventId>,
    duplicates: usize,
    /// Who waits for the outcome, until it is told.
    sender: Option<oneshot::Sender<Result<Outcome, Refusal>>>,
}

/// Why publishing has ended before the end.
enum Ended {
    /// Nothing is in the queue, and nothing will be.
    GivenUp,
    /// The rest is for the next start.
    Left,
}

impl Publishing {
    pub(super) fn new(
        shared: &Arc<Shared>,
        spooled: Spooled,
        head: &Head,
        splitter: Splitter,
        outline: Outline,
    ) -> Self {
        let source: Arc<str> = Arc::from(head.source.as_str());
        let ids = Vec::with_capacity(outline.events());
        let portions = splitter.portions(spooled.stored(), outline, head.digest, LargeLimits::default());
        let counters = shared.counters_of(&source);
        let publication = Publication {
            source,
            received: head.received,
            proof: Arc::from(head.proof.as_str()),
            events: Vec::new(),
            content: queue::Content::Plain(event::content_hash),
        };
        Self { shared: Arc::clone(shared), counters, spooled, portions, publication, ids, duplicates: 0, sender: None }
    }

    /// Publishes for a sender, who is told how it went.
    pub(super) async fn answered(mut self) -> Result<Outcome, Refusal> {
        let (sender, outcome) = oneshot::channel();
        self.sender = Some(sender);
        tokio::spawn(self.run());
        outcome.await.unwrap_or_else(|_| Err(internal()))
    }

    /// Publishes all that is left.
    pub(super) async fn run(self) {
        let Self { shared, counters, spooled, portions, publication, ids, duplicates, sender } = self;
        let mut work = Work { shared, counters, publication, ids, duplicates, sender };
        match work.all(portions).await {
            Ok(()) => {
                // A file that stays for want of a sync is published again, as duplicates.
                let _ = spawn_blocking(move || spooled.remove()).await;
                let Work { ids, duplicates, sender, .. } = work;
                if let Some(sender) = sender {
                    let _ = sender.send(Ok((ids, duplicates)));
                }
            }
            Err(Ended::GivenUp) => {
                let _ = spawn_blocking(move || spooled.remove()).await;
            }
            Err(Ended::Left) => {}
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    publication: Publication,
    ids: Vec<EventId>,
    duplicates: usize,
    sender: Option<oneshot::Sender<Result<Outcome, Refusal>>>,
}

impl Work {
    async fn all(&mut self, portions: Portions<InFile>) -> Result<(), Ended> {
        let mut next = read(portions);
        loop {
            let Ok((events, portions)) = next.await else { return self.unreadable("a fault in Aftercall") };
            match events {
                Ok(Some(events)) => {
                    // The next ones are made while these are being stored.
                    next = read(portions);
                    self.publish(events).await?;
                }
                Ok(None) => return Ok(()),
                Err(error) => return self.unreadable(&error.to_string()),
            }
        }
    }

    fn unreadable(&mut self, why: &str) -> Result<(), Ended> {
        tracing::error!(
            source = &*self.publication.source,
            why,
            published = self.ids.len(),
            "an accepted batch cannot be read back from the spool; it is tried again at the next start"
        );
        self.tell(internal());
        Err(Ended::Left)
    }

    /// Publishes some events, however long that takes.
    async fn publish(&mut self, events: Vec<queue::NewEvent>) -> Result<(), Ended> {
        self.publication.events = events;
        let mut waited = Duration::ZERO;
        loop {
            match self.shared.queue.publish(self.publication.clone()).await {
                Ok(published) => {
                    self.count(&published);
                    return Ok(());
                }
                Err(error @ (QueueError::Full { .. } | QueueError::Busy { .. } | QueueError::Transient { .. })) => {
                    let full = matches!(error, QueueError::Full { .. });
                    if self.sender.is_some() && (full || waited >= BATCH_PATIENCE) {
                        if self.ids.is_empty() {
                            self.tell(not_stored(&error));
                            return Err(Ended::GivenUp);
                        }
                        tracing::warn!(
                            source = &*self.publication.source, published = self.ids.len(), %error,
                            "the queue does not take the rest of an accepted batch; it is tried again until it does"
                        );
                        self.tell(super::pending().because(error.to_string()));
                    }
                }
                Err(error) => {
                    self.tell(not_stored(&error));
                    return Err(Ended::Left);
                }
            }
            if !self.pause().await {
                self.tell(super::pending().because("the server is being stopped".to_owned()));
                return Err(Ended::Left);
            }
            waited += BATCH_PAUSE;
        }
    }

    fn count(&mut self, published: &[Published]) {
        let duplicates = published.iter().filter(|one| one.is_duplicate()).count();
        self.counters.published((published.len() - duplicates) as u64, duplicates as u64);
        let topics: SmallVec<[_; 1]> = self.publication.events.iter().map(|event| Arc::clone(&event.topic)).collect();
        let accepted = topics.iter().zip(published).filter(|(_, one)| !one.is_duplicate());
        self.counters.topics.accepted(accepted.map(|(topic, _)| topic), self.publication.received);
        self.duplicates += duplicates;
        self.ids.extend(published.iter().map(Published::id));
        self.publication.events = Vec::new();
    }

    fn tell(&mut self, refusal: Refusal) {
        if let Some(sender) = self.sender.take() {
            // A sender that has gone will send again.
            let _ = sender.send(Err(refusal));
        }
    }

    /// Waits a little. False if the server is to stop.
    async fn pause(&self) -> bool {
        let mut mode = self.shared.mode.subscribe();
        tokio::select! {
            () = sleep(BATCH_PAUSE) => true,
            _ = mode.wait_for(|mode| *mode >= Mode::Draining) => false,
        }
    }
}

/// Makes the next events, on a thread of their own.
fn read(mut portions: Portions<InFile>) -> Next {
    spawn_blocking(move || {
        let publishable = |event: event::NewEvent| queue::NewEvent {
            id: event.id,
            topic: event.topic,
            conversation: event.conversation,
            // A piece of the window would keep all of it.
            body: Bytes::copy_from_slice(&event.body),
        };
        let events = portions.next_events();
        (events.map(|events| events.map(|events| events.into_iter().map(publishable).collect())), portions)
    })
}
