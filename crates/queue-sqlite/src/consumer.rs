//! One destination's view of the log: its cursor, and the window of events that it works on.
//!
//! The writer thread adds events as they are committed while the consumer keeps up; one that fell behind, or starts
//! anew, reads from the log instead ([`crate::reader`]). Everything here is in memory; the cursor and the retries are
//! stored with each commit that changes them.

mod cursor;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::Timestamp;
use parking_lot::Mutex;
use queue::{Attempts, ConsumerId, Order, Stored};
use tokio::sync::Notify;

pub(crate) use self::cursor::Cursor;
pub(crate) use self::window::{Advance, Taken, Window};

/// One destination.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) name: Arc<str>,
    pub(crate) state: Mutex<ConsumerState>,
    pub(crate) changed: Notify,
    /// Held by whoever reads ahead from the log.
    pub(crate) read_turn: Arc<tokio::sync::Mutex<()>>,
    /// Dead letters of this destination now.
    pub(crate) dead_letters: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(crate) cursor: Cursor,
    pub(crate) window: Window,
    pub(crate) order: Order,
    /// Place in the present topology; `None` while it is not configured.
    pub(crate) place: Option<u16>,
    /// Every event up to here is settled or in the window.
    pub(crate) read_to: u64,
    /// Someone is reading ahead from the log; the writer adds nothing meanwhile.
    pub(crate) reading: bool,
    /// Waiting retries that are not in the window yet: place → when, attempts.
    pub(crate) stored_retries: HashMap<u64, (Timestamp, Attempts)>,
    /// Deliveries settled as done since the store was made.
    pub(crate) delivered: u64,
    pub(crate) delivered_dirty: bool,
}

impl Consumer {
    pub(crate) fn new(id: ConsumerId, name: Arc<str>, cursor: Cursor, delivered: u64) -> Self {
        let state = ConsumerState {
            read_to: cursor.watermark(),
            cursor,
            window: Window::default(),
            order: Order::default(),
            place: None,
            reading: false,
            stored_retries: HashMap::new(),
            delivered,
            delivered_dirty: false,
        };
        Self {
            id,
            name,
            state: Mutex::new(state),
            changed: Notify::new(),
            read_turn: Arc::default(),
            dead_letters: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_dead(&self, by: u64) {
        self.dead_letters.fetch_add(by, Ordering::Relaxed);
    }
}

impl ConsumerState {
    /// Whether reading on from the log would bring something, and there is little enough left that it is worth it.
    pub(crate) fn is_behind(&self, last: u64) -> bool {
        self.read_to < last && self.window.is_low()
    }

    /// Takes over events that were just committed, if this consumer has seen all before them and has room.
    /// Returns whether something may be leased now.
    pub(crate) fn append(&mut self, committed: &[Committed]) -> bool {
        let Some(place) = self.place else {
            return false;
        };
        for event in committed {
            let seq = event.stored.seq.0;
            if self.reading || self.read_to + 1 != seq || !self.window.has_room() {
                return true;
            }
            let route = event.routes.iter().find(|target| target.consumer == place).map(|target| target.route);
            self.place_event(&event.stored, route);
        }
        self.window.is_ready()
    }

    /// Puts the next event of the log into the window, or settles it when it is not for this destination.
    pub(crate) fn place_event(&mut self, stored: &Arc<Stored>, route: Option<u16>) {
        let seq = stored.seq.0;
        self.read_to = seq;
        match route {
            Some(route) if !self.cursor.is_settled(seq) => {
                let waiting = self.stored_retries.remove(&seq);
                self.window.add(Arc::clone(stored), route, self.order, waiting);
            }
            _ => self.cursor.settle(seq),
        }
    }
}

/// An event that was just committed, with its routes.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) stored: Arc<Stored>,
    pub(crate) routes: queue::Routes,
}
