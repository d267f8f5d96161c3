//! Batches that were accepted and are not all in the queue yet: whose turn it is, and who waits for them.
//!
//! One is published at a time, in the order in which they were accepted: several at once would be no faster, since one
//! thread writes, and would cost memory each. From its acceptance on a batch goes before what comes later: newer events of
//! its conversations, from the same source, wait until it is published, and are refused for the moment if that takes long.
//! So a conversation keeps its order although a sender has given up waiting for the answer to its batch, and although the
//! server has ended in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use event::conversation_key;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::options::SPOOL_LOOKERS;

/// All of them.
pub(crate) struct Pending {
    turn: Arc<tokio::sync::Mutex<()>>,
    lookers: Semaphore,
    batches: Mutex<Vec<Arc<Batch>>>,
    /// How many there are, for those who look whether there are any.
    count: AtomicUsize,
}

struct Batch {
    source: Arc<str>,
    /// The conversations of its events, in ascending order; not known yet while there are none here.
    conversations: Mutex<Option<Box<[u64]>>>,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Publishing,
    /// It is for the next start, and still goes before what is newer.
    Kept,
    /// Nobody has to wait for it.
    Over,
}

/// The place of one batch among those that are pending. It is kept when this is dropped, until the server ends.
pub(crate) struct Place {
    pending: Arc<Pending>,
    batch: Arc<Batch>,
}

/// The turn of one batch; the next has it when this is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Pending {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            turn: Arc::default(),
            lookers: Semaphore::new(SPOOL_LOOKERS),
            batches: Mutex::default(),
            count: AtomicUsize::new(0),
        })
    }

    /// The turn, after all who asked for it before.
    pub(crate) async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The turn, at a time at which nobody can have it.
    pub(crate) fn first_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    /// Leave to look through a body, which costs memory.
    pub(crate) async fn look(&self) -> Option<SemaphorePermit<'_>> {
        self.lookers.acquire().await.ok()
    }

    /// A batch of this source is accepted. While its conversations are not known, all of the source wait for it.
    pub(crate) fn enter(self: &Arc<Self>, source: &Arc<str>, conversations: Option<Box<[u64]>>) -> Place {
        let batch = Arc::new(Batch {
            source: Arc::clone(source),
            conversations: Mutex::new(conversations),
            state: watch::Sender::new(State::Publishing),
        });
        let mut batches = self.batches.lock();
        batches.push(Arc::clone(&batch));
        self.count.store(batches.len(), Ordering::Release);
        drop(batches);
        Place { pending: Arc::clone(self), batch }
    }

    /// Whether any batch is not all in the queue.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Waits for the batches of a source that go before events of these conversations. False if that takes too long.
    pub(crate) async fn behind<'a>(
        &self,
        source: &str,
        conversations: impl Iterator<Item = &'a str>,
        patience: Duration,
    ) -> bool {
        let ahead = self.ahead(source, conversations);
        let end = Instant::now() + patience;
        for batch in ahead {
            let mut state = batch.state.subscribe();
            let ended = timeout_at(end, state.wait_for(|state| *state != State::Publishing)).await;
            if !ended.is_ok_and(|ended| ended.is_ok_and(|state| *state == State::Over)) {
                return false;
            }
        }
        true
    }

    /// Whether a batch that is not all in the queue has, or may have, events of a conversation.
    pub(crate) fn holds(&self, conversation: &str) -> bool {
        let key = conversation_key(conversation);
        self.batches.lock().iter().any(|batch| batch.has(key))
    }

    fn ahead<'a>(&self, source: &str, conversations: impl Iterator<Item = &'a str>) -> Vec<Arc<Batch>> {
        let batches = self.batches.lock();
        let mut of_source: Vec<_> =
            batches.iter().filter(|batch| &*batch.source == source).map(|batch| (batch, false)).collect();
        for key in conversations.map(conversation_key) {
            for (batch, goes_before) in &mut of_source {
                *goes_before |= batch.has(key);
            }
        }
        of_source.into_iter().filter(|(_, goes_before)| *goes_before).map(|(batch, _)| Arc::clone(batch)).collect()
    }
}

impl Batch {
    fn has(&self, key: u64) -> bool {
        self.conversations.lock().as_ref().is_none_or(|keys| keys.binary_search(&key).is_ok())
    }
}

impl Place {
    /// Only these conversations have to wait for it.
    pub(crate) fn narrow(&self, conversations: Box<[u64]>) {
        *self.batch.conversations.lock() = Some(conversations);
    }

    /// Nobody has to wait for it any more.
    pub(crate) fn leave(self) {
        let mut batches = self.pending.batches.lock();
        batches.retain(|batch| !Arc::ptr_eq(batch, &self.batch));
        self.pending.count.store(batches.len(), Ordering::Release);
        drop(batches);
        self.batch.state.send_replace(State::Over);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.batch.state.send_if_modified(|state| {
            let kept = *state == State::Publishing;
            if kept {
                *state = State::Kept;
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn newer_events_wait_for_the_batches_of_their_conversations_only() {
        let pending = Pending::new();
        let source = Arc::from("a");
        let place = pending.enter(&source, None);
        assert!(!pending.behind("a", ["x"].into_iter(), LONG).await, "its conversations are not known");
        place.narrow(Box::from([conversation_key("c")]));
        assert!(pending.behind("a", ["x", "y"].into_iter(), LONG).await);
        assert!(pending.behind("b", ["c"].into_iter(), LONG).await, "another source");
        assert!(pending.behind("a", std::iter::empty(), LONG).await);
        assert!(!pending.behind("a", ["x", "c"].into_iter(), LONG).await);
        let waiting = Arc::clone(&pending);
        let waits = tokio::spawn(async move { waiting.behind("a", ["c"].into_iter(), LONG).await });
        tokio::task::yield_now().await;
        place.leave();
        assert!(waits.await.unwrap(), "it goes on when the batch is published");
        assert!(pending.behind("a", ["c"].into_iter(), LONG).await);
        drop(pending.enter(&source, Some(Box::from([conversation_key("c")]))));
        let begun = Instant::now();
        assert!(!pending.behind("a", ["c"].into_iter(), LONG).await, "it is for the next start");
        assert_eq!(begun.elapsed(), Duration::ZERO, "which nobody waits for");
        assert!(pending.behind("a", ["x"].into_iter(), LONG).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_batch_at_a_time_in_the_order_of_asking() {
        let pending = Pending::new();
        let first = pending.first_turn().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..4 {
            let (pending, order) = (Arc::clone(&pending), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = pending.turn().await;
                order.lock().push(number);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3]);
    }
}
