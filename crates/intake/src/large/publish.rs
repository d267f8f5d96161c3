//! Publishes an accepted body when its turn has come, some events at a time and in their order, until all are durable.
//!
//! When the queue is full or busy it goes on trying. If nothing of the body is in the queue by then, the body is given up,
//! as a small one would be; if something is, the rest follows, and the sender is told to come again. A stop of the server
//! leaves the file for the next start.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{EventId, NewEvent, Outline, Portions, Splitter};
use queue::{Content, Publication, Published, QueueError};
use redaction::Redactor;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::accept::{Outcome, Tell, pending};
use super::pending::{Place, Turn};
use crate::counters::Counters;
use crate::options::{BATCH_PATIENCE, BATCH_PAUSE, SPOOL_PORTION, TURN_PATIENCE};
use crate::problem::Refusal;
use crate::receive::{internal, not_stored};
use crate::redact::{self, Events};
use crate::server::{Mode, Shared};
use crate::spool::{Head, InFile, Spooled};
use crate::traced::Storing;

/// The next events; `None` behind the last ones.
type Made = Result<Option<Events>, String>;

/// An accepted body that is being published.
pub(super) struct Publishing {
    spooled: Spooled,
    portions: Portions<InFile>,
    redactor: Option<Arc<Redactor>>,
    events: usize,
    work: Work,
}

struct Work {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    publication: Publication,
    ids: Vec<EventId>,
    duplicates: usize,
    /// Who waits for the outcome, until it is told.
    sender: Option<Tell>,
}

/// Why publishing has ended before the end.
enum Ended {
    /// Nothing is in the queue, and nothing will be.
    GivenUp,
    /// The rest is for the next start, and goes before what is newer.
    Left,
    /// The rest is for the next start, if it can be read then. Nobody waits for that.
    Unreadable,
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
        let events = outline.events();
        let portions = splitter.portions(spooled.stored(), outline, head.digest, SPOOL_PORTION);
        let counters = shared.counters_of(&source);
        // It may have got rules after the body was accepted.
        let redactor = shared.sources.load().get(&source).and_then(|served| served.source.redaction.clone());
        let publication = Publication {
            source,
            received: head.received,
            proof: Arc::from(head.proof.as_str()),
            events: Vec::new(),
            content: Content::Plain(event::content_hash),
        };
        let (shared, ids) = (Arc::clone(shared), Vec::new());
        let work = Work { shared, counters, publication, ids, duplicates: 0, sender: None };
        Self { spooled, portions, redactor, events, work }
    }

    /// Publishes for a sender, who is told how it went.
    pub(super) fn answering(mut self, tell: Tell) -> Self {
        self.work.sender = Some(tell);
        self
    }

    /// Waits for its turn, and publishes all.
    pub(super) async fn run(mut self, place: Place) {
        if let Some(_turn) = self.work.turn().await {
            self.in_turn(place).await;
        }
    }

    /// Publishes all; the turn is the caller's. Leaves its place when others may go on.
    pub(super) async fn in_turn(self, place: Place) {
        let Self { spooled, portions, redactor, events, mut work } = self;
        work.ids.reserve_exact(events);
        match work.all(made(portions, redactor)).await {
            Ok(()) => {
                // A file that stays for want of a sync is published again, as duplicates.
                let _ = spawn_blocking(move || spooled.remove()).await;
                place.leave();
                let outcome = Outcome::Published(work.ids, work.duplicates);
                if let Some(sender) = work.sender {
                    let _ = sender.send(Ok(outcome));
                }
            }
            Err(Ended::GivenUp) => {
                let _ = spawn_blocking(move || spooled.remove()).await;
                place.leave();
            }
            Err(Ended::Unreadable) => place.leave(),
            Err(Ended::Left) => {}
        }
    }
}

impl Work {
    /// The turn; `None` if the server stops before. A sender is not kept waiting for ever, since the body is accepted.
    async fn turn(&mut self) -> Option<Turn> {
        let shared = Arc::clone(&self.shared);
        let mut mode = shared.mode.subscribe();
        let mut turn = pin!(shared.pending.turn());
        let mut patience = pin!(sleep(TURN_PATIENCE));
        loop {
            let stops_at = self.stops_at();
            tokio::select! {
                biased;
                turn = &mut turn => return Some(turn),
                _ = mode.wait_for(|mode| *mode >= stops_at) => {
                    self.tell(pending().because("the server is being stopped".to_owned()));
                    return None;
                }
                () = &mut patience, if self.sender.is_some() => {
                    self.tell(pending().because("other large batches are being published before it".to_owned()));
                }
            }
        }
    }

    async fn all(&mut self, mut made: mpsc::Receiver<Made>) -> Result<(), Ended> {
        loop {
            match made.recv().await {
                Some(Ok(Some(events))) => self.publish(events).await?,
                Some(Ok(None)) => return Ok(()),
                Some(Err(error)) => return self.unreadable(&error),
                None => return self.unreadable("a fault in Aftercall"),
            }
            if *self.shared.mode.borrow() >= self.stops_at() {
                self.tell(pending().because("the server is being stopped".to_owned()));
                return Err(Ended::Left);
            }
        }
    }

    /// When it is left for the next start: one whose sender waits is finished like any request.
    fn stops_at(&self) -> Mode {
        if self.sender.is_some() { Mode::Cut } else { Mode::Draining }
    }

    fn unreadable(&mut self, why: &str) -> Result<(), Ended> {
        tracing::error!(
            source = &*self.publication.source,
            why,
            published = self.ids.len(),
            "an accepted batch cannot be read back from the spool; it is tried again at the next start"
        );
        self.tell(internal());
        Err(Ended::Unreadable)
    }

    /// Publishes some events, however long that takes.
    async fn publish(&mut self, Events { events, content }: Events) -> Result<(), Ended> {
        (self.publication.events, self.publication.content) = (events, content);
        let mut waited = Duration::ZERO;
        loop {
            let storing = Storing::begin(&self.publication);
            match self.shared.queue.publish(self.publication.clone()).await {
                Ok(published) => {
                    if let Some(storing) = storing {
                        storing.end(&published, None);
                    }
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
                        self.tell(pending().because(error.to_string()));
                    }
                }
                Err(error) => {
                    self.tell(not_stored(&error));
                    return Err(Ended::Left);
                }
            }
            if !self.pause().await {
                self.tell(pending().because("the server is being stopped".to_owned()));
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

/// Makes the events while others are being stored, one portion ahead. All on one thread: what is given back anywhere is used
/// again there, while on a thread that does nothing any more it would be kept.
fn made(mut portions: Portions<InFile>, redactor: Option<Arc<Redactor>>) -> mpsc::Receiver<Made> {
    let (hand_over, made) = mpsc::channel(1);
    let runtime = Handle::current();
    spawn_blocking(move || {
        // There is room for what is made before it is made, so that no third portion is held here.
        while let Ok(room) = runtime.block_on(hand_over.reserve()) {
            let next = match portions.next_events() {
                Ok(None) => Ok(None),
                Ok(Some(events)) => apart(events, redactor.as_ref()).map(Some).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let goes_on = matches!(next, Ok(Some(_)));
            room.send(next);
            if !goes_on {
                return;
            }
        }
    });
    made
}

/// Events as they are stored, with bodies of their own: a piece of the window would keep all of it.
fn apart(mut events: Vec<NewEvent>, redactor: Option<&Arc<Redactor>>) -> Result<Events, redaction::Error> {
    let bytes = events.iter().map(|event| event.body.len()).sum();
    if redactor.is_none() {
        events.iter_mut().for_each(|event| event.body = Bytes::copy_from_slice(&event.body));
    }
    redact::dressed(redactor, events, bytes)
}
