//! Several deliveries in one request: for destinations that take many at once more cheaply than one by one.
//!
//! [`Destination::send`](crate::Destination::send) is called for single deliveries. While one batch is under way, those
//! that come gather; they are the next one. That is group commit without a timer: nothing waits for company, and the
//! busier a destination is the larger its batches are. Each delivery gets a result of its own, as soon as it is known.
//!
//! What it guarantees: one batch at a time, in the order of arrival; never more than [`Limits`] in memory; whoever gives
//! up waiting leaves the batch, and a batch that all have left is dropped, which cancels what it does. A panic in a batch
//! is caught. Its items are run again alone, so that it comes to light at the one that causes it, where it goes on.
//!
//! Nothing is stored: a crash loses the results of the batch under way, and its deliveries come again.

mod entry;
mod gathering;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub(crate) use self::entry::Batch;
use self::entry::{Answer, Entry, Mark};
use self::gathering::Gathering;
use crate::{BoxFuture, Receipt, SendError};

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Items of a batch.
    pub(crate) items: usize,
    /// Bytes of a batch; a single item may have more.
    pub(crate) bytes: usize,
    /// Items that wait or are under way. Senders beyond wait for room, so memory is bounded whatever the destination
    /// does.
    pub(crate) waiting: usize,
}

/// What does the work of a batch.
pub(crate) trait Batched: Send + Sync + 'static {
    /// What a delivery has become.
    type Item: Send + Sync + 'static;

    /// Does it, and settles the items of the batch one by one. One that it does not settle fails in passing.
    ///
    /// The future is dropped when nobody waits for a result any more.
    fn run<'a>(&'a self, batch: &'a mut Batch<Self::Item>) -> BoxFuture<'a, ()>;
}

/// Gathers items while a batch is under way.
pub(crate) struct Batcher<B: Batched>(Arc<Shared<B>>);

struct Shared<B: Batched> {
    work: B,
    gathering: Gathering<B::Item>,
    room: Arc<Semaphore>,
}

impl<B: Batched> Batcher<B> {
    /// Needs a runtime only when something is sent.
    pub(crate) fn new(work: B, limits: Limits) -> Self {
        let room = Arc::new(Semaphore::new(limits.waiting));
        Self(Arc::new(Shared { work, gathering: Gathering::new(limits.items, limits.bytes), room }))
    }

    /// Puts an item of a size in bytes into the next batch, and waits for its result.
    pub(crate) async fn send(&self, item: B::Item, bytes: usize) -> Result<Receipt, SendError> {
        let shared = &self.0;
        let room = Arc::clone(&shared.room).acquire_owned().await.map_err(|_| given_up())?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { mark: Arc::default(), shared };
        let entry = Entry::new(item, bytes, answer, Arc::clone(&waiting.mark), room);
        if shared.gathering.push(entry) {
            tokio::spawn(work(Arc::clone(shared)));
        }
        let answer = answered.await;
        drop(waiting);
        match answer {
            Ok(Answer::Ended(result)) => result,
            Ok(Answer::Panicked(panic)) => resume_unwind(panic),
            Err(_) => Err(given_up()),
        }
    }
}

fn given_up() -> SendError {
    SendError::transient("the attempt was given up before it had a result")
}

/// Somebody waits for a result; when it is dropped, nobody does.
struct Waiting<'a, B: Batched> {
    mark: Arc<Mark>,
    shared: &'a Shared<B>,
}

impl<B: Batched> Drop for Waiting<'_, B> {
    fn drop(&mut self) {
        if self.mark.leave() {
            self.shared.gathering.left.notify_one();
        }
    }
}

/// Runs batches until nothing is left to do.
async fn work<B: Batched>(shared: Arc<Shared<B>>) {
    // Those who send in the same turn of the runtime come along.
    tokio::task::yield_now().await;
    while let Some(batch) = shared.gathering.next() {
        let panicked = run(&shared, batch).await;
        for entry in panicked.into_iter().filter(|entry| !entry.is_left()) {
            // One that panics again has got its panic.
            let _ = run(&shared, Batch::new(vec![entry])).await;
        }
    }
}

/// Runs a batch. If it panics: who has no result yet; of a batch of one that has got the panic.
async fn run<B: Batched>(shared: &Shared<B>, mut batch: Batch<B::Item>) -> Vec<Entry<B::Item>> {
    let marks = batch.marks();
    let ended = {
        let mut running = AssertUnwindSafe(shared.work.run(&mut batch)).catch_unwind();
        loop {
            tokio::select! {
                biased;
                ended = &mut running => break ended,
                () = shared.gathering.left.notified() => {
                    if Mark::all_left(&marks) {
                        break Ok(());
                    }
                }
            }
        }
    };
    match ended {
        Ok(()) => Vec::new(),
        Err(panic) => batch.panicked(panic),
    }
}

/// Room for one item; held until it is gone.
type Room = OwnedSemaphorePermit;
