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
use queue::{Attempts, ConsumerId, Order, Routes, Stored, Target};
use tokio::sync::Notify;

pub(crate) use self::cursor::Cursor;
pub(crate) use self::window::{Advance, Taken, Window};
use crate::shared::Routing;

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
    pub(crate) placed: Option<Placed>,
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

/// A place in a topology, with the router that means this destination by it. The two change together: a place with
/// another topology's router would settle the events of this destination as those of another.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) number: u16,
    pub(crate) routing: Arc<Routing>,
}

impl Placed {
    /// The route by which this destination gets an event, if it does.
    pub(crate) fn route(&self, consumer: ConsumerId, stored: &Stored) -> Option<u16> {
        if !stored.is_for(consumer) {
            return None;
        }
        self.find(&self.routing.router.route(&stored.event)).map(|target| target.route)
    }

    /// This destination among those of an event.
    pub(crate) fn find(&self, routes: &Routes) -> Option<Target> {
        routes.iter().find(|target| target.consumer == self.number).copied()
    }

    /// Whether both are of the same configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.routing, &other.routing) && self.number == other.number
    }
}

impl Consumer {
    pub(crate) fn new(id: ConsumerId, name: Arc<str>, cursor: Cursor, delivered: u64) -> Self {
        let state = ConsumerState {
            read_to: cursor.watermark(),
            cursor,
            window: Window::default(),
            order: Order::default(),
            placed: None,
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
        let Some(placed) = self.placed.clone() else {
            return false;
        };
        for event in committed {
            let seq = event.stored.seq.0;
            if self.reading || self.read_to + 1 != seq || !self.window.has_room() {
                return true;
            }
            self.place_event(&event.stored, placed.find(&event.routes).map(|target| target.route));
        }
        self.window.is_ready()
    }

    /// Forgets everything up to `last`, which is no longer in the log.
    pub(crate) fn drop_through(&mut self, last: u64) {
        self.window.drop_through(last);
        self.cursor.settle_through(last);
        self.read_to = self.read_to.max(last);
        self.stored_retries.retain(|seq, _| *seq > last);
    }

    /// Whether an event that is missing from the log has gone with retention, or is just going.
    pub(crate) fn is_dropped(&self, seq: u64) -> bool {
        self.cursor.is_settled(seq) || self.window.is_closed(seq)
    }

    /// Puts the next event of the log into the window, or settles it when it is not for this destination.
    pub(crate) fn place_event(&mut self, stored: &Arc<Stored>, route: Option<u16>) {
        let seq = stored.seq.0;
        self.read_to = seq;
        let waiting = self.stored_retries.remove(&seq);
        match route {
            Some(route) if !self.cursor.is_settled(seq) => {
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
    pub(crate) routes: Routes,
}
