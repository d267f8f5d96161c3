//! An item with who waits for it, and a batch of them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::oneshot;

use super::Room;
use crate::{Receipt, SendError};

const WAITING: u8 = 0;
const SETTLED: u8 = 1;
const LEFT: u8 = 2;

/// What becomes of an item, as both sides see it.
#[derive(Debug, Default)]
pub(super) struct Mark(AtomicU8);

impl Mark {
    /// Nobody waits any more. Whether that was before there was a result.
    pub(super) fn leave(&self) -> bool {
        self.becomes(LEFT)
    }

    fn becomes(&self, state: u8) -> bool {
        self.0.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == LEFT
    }

    /// Whether some have left before there was a result, and nobody waits any more.
    pub(super) fn all_left(marks: &[Arc<Self>]) -> bool {
        let state = |mark: &Arc<Self>| mark.0.load(Ordering::Acquire);
        marks.iter().all(|mark| state(mark) != WAITING) && marks.iter().any(|mark| state(mark) == LEFT)
    }
}

/// What comes back.
pub(super) enum Answer {
    Ended(Result<Receipt, SendError>),
    /// The item alone makes the batch panic: so does whoever sent it.
    Panicked(Box<dyn Any + Send>),
}

/// An item on its way.
pub(super) struct Entry<T> {
    item: T,
    pub(super) bytes: usize,
    answer: Option<oneshot::Sender<Answer>>,
    mark: Arc<Mark>,
    _room: Room,
}

impl<T> Entry<T> {
    pub(super) fn new(item: T, bytes: usize, answer: oneshot::Sender<Answer>, mark: Arc<Mark>, room: Room) -> Self {
        Self { item, bytes, answer: Some(answer), mark, _room: room }
    }

    pub(super) fn is_left(&self) -> bool {
        self.mark.is_left()
    }

    fn settle(&mut self, answer: Answer) {
        if let Some(waits) = self.answer.take() {
            self.mark.becomes(SETTLED);
            // Whoever gave up waiting does not want to know.
            let _ = waits.send(answer);
        }
    }
}

/// Items that are dealt with together, in the order of their arrival.
pub(crate) struct Batch<T>(Vec<Entry<T>>);

impl<T> Batch<T> {
    pub(super) fn new(entries: Vec<Entry<T>>) -> Self {
        Self(entries)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The item at a place.
    pub(crate) fn item(&self, place: usize) -> &T {
        &self.0[place].item
    }

    /// Gives the item at a place its result; a second one changes nothing.
    pub(crate) fn settle(&mut self, place: usize, result: Result<Receipt, SendError>) {
        self.0[place].settle(Answer::Ended(result));
    }

    /// Gives the same failure to all that have no result yet.
    pub(crate) fn fail(&mut self, error: &SendError) {
        self.0.iter_mut().for_each(|entry| entry.settle(Answer::Ended(Err(error.clone()))));
    }

    pub(super) fn marks(&self) -> Vec<Arc<Mark>> {
        self.0.iter().map(|entry| Arc::clone(&entry.mark)).collect()
    }

    /// It panicked. Who is to be tried alone; a single one gets the panic.
    pub(super) fn panicked(mut self, panic: Box<dyn Any + Send>) -> Vec<Entry<T>> {
        let mut entries = std::mem::take(&mut self.0);
        if let [single] = &mut entries[..] {
            single.settle(Answer::Panicked(panic));
        }
        entries.retain(|entry| entry.answer.is_some());
        entries
    }
}

impl<T> Drop for Batch<T> {
    fn drop(&mut self) {
        if self.0.iter().any(|entry| entry.answer.is_some()) {
            self.fail(&super::given_up());
        }
    }
}
