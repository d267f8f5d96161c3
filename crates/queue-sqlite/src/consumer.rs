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
use queue::{Attempts, ConsumerId, ConsumerStatus, Order, Routes, Stored, Target};
use roaring::RoaringTreemap;
use tokio::sync::Notify;

pub(crate) use self::cursor::Cursor;
pub(crate) use self::window::{Advance, Taken, Window, conversation_key, lane_key};
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
    /// Redriven events that are not settled, and not in the window yet. They are read when nothing else is there.
    pub(crate) redriven: RoaringTreemap,
    /// Those too that are in the window, and some that are settled: whoever reads ahead passes over them.
    pub(crate) known_redriven: RoaringTreemap,
    /// Deliveries settled as done since the store was made.
    pub(crate) delivered: u64,
    pub(crate) delivered_dirty: bool,
    /// Deliveries that were put aside, less those that a replay has passed since.
    pub(crate) put_aside: u64,
    pub(crate) put_aside_dirty: bool,
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
        if !stored.is_for(consumer) || stored.event.is_erased() {
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
            redriven: RoaringTreemap::new(),
            known_redriven: RoaringTreemap::new(),
            delivered,
            delivered_dirty: false,
            put_aside: 0,
            put_aside_dirty: false,
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

    /// How it is doing, if `last` is the last place of the log; and the first place that is not settled.
    pub(crate) fn status(&self, last: u64, now: Timestamp) -> (ConsumerStatus, u64) {
        let state = self.state.lock();
        let (held_conversations, held) = state.window.held();
        let status = ConsumerStatus {
            name: self.name.to_string(),
            configured: state.placed.is_some(),
            watermark: state.cursor.watermark(),
            unsettled: state.cursor.unsettled(last),
            leased: state.window.leased(now) as u64,
            retrying: (state.window.retrying() + state.stored_retries.len()) as u64,
            held_conversations,
            held,
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            oldest_unsettled: None,
            delivered: state.delivered,
            put_aside: state.put_aside,
        };
        (status, state.cursor.next_unsettled(0))
    }

    pub(crate) fn count_dead(&self, by: u64) {
        self.dead_letters.fetch_add(by, Ordering::Relaxed);
    }
}

impl ConsumerState {
    /// Whether a delivery to this destination, which is configured, may still have to be made.
    pub(crate) fn is_unsettled(&self, seq: u64) -> bool {
        self.placed.is_some() && !self.cursor.is_settled(seq)
    }

    /// Whether reading on from the log would bring something, and there is little enough left that it is worth it.
    pub(crate) fn is_behind(&self, last: u64) -> bool {
        self.read_to < last && self.window.is_low()
    }

    /// Takes over events that were just committed, if this consumer has seen all before them and has room.
    /// Returns whether something may be leased now.
    pub(crate) fn append(&mut self, id: ConsumerId, committed: &[Committed]) -> bool {
        let mut redriven = false;
        for event in committed.iter().filter(|event| event.stored.again.is_some_and(|of| of.consumer == id)) {
            self.note_redriven(&event.stored);
            redriven = true;
        }
        let Some(placed) = self.placed.clone() else {
            return false;
        };
        let mut behind = false;
        for event in committed {
            let (seq, route) = (event.stored.seq.0, placed.find(&event.routes).map(|target| target.route));
            behind |= self.reading || self.read_to + 1 != seq || !self.window.has_room();
            match route {
                // It is read from the log later.
                Some(_) if behind => {}
                // What is not for this destination does not wait for it, also while that is far behind.
                None if behind => self.cursor.settle(seq),
                route => self.place_event(&event.stored, route),
            }
        }
        behind || redriven || self.window.is_ready()
    }

    /// Remembers where a redriven event stands, and that others of its conversation may wait for it.
    pub(crate) fn note_redriven(&mut self, stored: &Stored) {
        if !self.known_redriven.insert(stored.seq.0) || self.cursor.is_settled(stored.seq.0) {
            return;
        }
        self.redriven.insert(stored.seq.0);
        if let Some(conversation) = stored.event.conversation.as_ref().filter(|_| self.order == Order::Conversation) {
            self.window.mark(conversation_key(conversation), stored.seq.0, stored.first_seq().0, false);
        }
    }

    /// What should be read from the log now, after so much was taken of what was asked for.
    pub(crate) fn wanted(&self, last: u64, satisfied: bool) -> Option<Reading> {
        if self.is_behind(last) {
            Some(Reading::Ahead)
        } else if self.window.wants_overflow() {
            Some(Reading::Overflow)
        } else {
            (!satisfied && !self.redriven.is_empty() && self.window.wants_redriven()).then_some(Reading::Redriven)
        }
    }

    /// Puts a redriven event that was read into the window, or settles it when it is not for this destination any more.
    pub(crate) fn place_redriven(&mut self, stored: &Stored, route: Option<u16>) {
        let seq = stored.seq.0;
        if !self.redriven.remove(seq) {
            return;
        }
        let waiting = self.stored_retries.remove(&seq);
        if route.is_some() && !self.cursor.is_settled(seq) {
            self.window.add_redriven(stored, self.order, waiting);
        } else {
            self.cursor.settle(seq);
            self.window.forget_redriven(lane_key(stored, Order::Conversation), seq);
        }
    }

    /// Puts an event that was set aside while its conversation was held back where it belongs, if it may go on now.
    pub(crate) fn place_again(&mut self, stored: &Arc<Stored>, route: Option<u16>) {
        let seq = stored.seq.0;
        if !self.window.take_back(stored, self.order) {
            return;
        }
        if route.is_some() && !self.cursor.is_settled(seq) {
            self.window.enter(lane_key(stored, self.order), seq, stored.event.body.len(), None);
        } else {
            self.cursor.settle(seq);
        }
    }

    /// A damaged event has become a dead letter.
    pub(crate) fn forget_place(&mut self, seq: u64) {
        self.redriven.remove(seq);
        self.window.forget_place(seq);
    }

    /// Forgets everything up to `last`, which is no longer in the log.
    pub(crate) fn drop_through(&mut self, last: u64) {
        self.window.drop_through(last);
        self.cursor.settle_through(last);
        self.read_to = self.read_to.max(last);
        self.stored_retries.retain(|seq, _| *seq > last);
        self.redriven.remove_range(..=last);
        self.known_redriven.remove_range(..=last);
    }

    /// Whether an event that is missing from the log has gone with retention, or is just going.
    pub(crate) fn is_dropped(&self, seq: u64) -> bool {
        self.cursor.is_settled(seq) || self.window.is_closed(seq)
    }

    /// Puts the next event of the log into the window, or settles it when it is not for this destination.
    pub(crate) fn place_event(&mut self, stored: &Arc<Stored>, route: Option<u16>) {
        let seq = stored.seq.0;
        self.read_to = seq;
        if stored.again.is_some() && route.is_some() {
            return self.note_redriven(stored);
        }
        let waiting = self.stored_retries.remove(&seq);
        match route {
            Some(route) if !self.cursor.is_settled(seq) => {
                self.window.add(Arc::clone(stored), route, self.order, waiting);
            }
            _ => self.cursor.settle(seq),
        }
    }
}

/// What is read from the log for a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The next events that are not in the window.
    Ahead,
    /// Those of conversations that were held.
    Overflow,
    /// Redriven ones.
    Redriven,
}

/// An event that was just committed, with its routes.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) stored: Arc<Stored>,
    pub(crate) routes: Routes,
}
