//! What waits for the next batch.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::entry::{Batch, Entry};

/// The items that wait, and whether somebody works on them.
pub(super) struct Gathering<T> {
    state: Mutex<State<T>>,
    items: usize,
    bytes: usize,
    /// Told when somebody gives up waiting.
    pub(super) left: Notify,
}

struct State<T> {
    waiting: VecDeque<Entry<T>>,
    working: bool,
}

impl<T> Gathering<T> {
    pub(super) fn new(items: usize, bytes: usize) -> Self {
        let state = State { waiting: VecDeque::new(), working: false };
        Self { state: Mutex::new(state), items, bytes, left: Notify::new() }
    }

    /// Adds an item. Whether nobody works, so that somebody has to begin.
    pub(super) fn push(&self, entry: Entry<T>) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(entry);
        !std::mem::replace(&mut state.working, true)
    }

    /// The next batch; without one, nobody works any more.
    pub(super) fn next(&self) -> Option<Batch<T>> {
        let mut state = self.lock();
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = state.waiting.front() {
            if entry.is_left() {
                state.waiting.pop_front();
                continue;
            }
            bytes += entry.bytes;
            if entries.len() == self.items || bytes > self.bytes && !entries.is_empty() {
                break;
            }
            entries.extend(state.waiting.pop_front());
        }
        state.working = !entries.is_empty();
        state.working.then(|| Batch::new(entries))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
