//! The oracle: what must be true whatever happens. It knows what was sent and answered, and sees every attempt and every
//! settlement from outside; it takes nothing from the queue but the places that the queue has given to events.
//!
//! 1. **Nothing is lost.** What was acknowledged is delivered to each destination that its topic leads to, or is a
//!    visible dead letter there, or somebody has discarded that. A body that was refused as unreadable is a visible dead
//!    letter.
//! 2. **Nothing is made up.** An attempt is of an event that was sent and not turned away, at a destination that its
//!    topic leads to, with the very bytes, topic and conversation.
//! 3. **Once.** The same event is accepted once in 48 hours. What is settled durably is not attempted again, and what a
//!    destination has taken not by the process that knows it: whatever becomes of its lease and of the disk meanwhile.
//! 4. **Order.** For a destination with `order = "conversation"` the places of the attempts that begin in a conversation
//!    never go back; and none begins while an event before it was neither settled nor is being settled. So a repetition,
//!    after a crash or the end of a lease, is always of the newest event. An attempt that began in time may still be
//!    under way when a later event's begins, if its lease has ended: the clock was set, and nobody can call it back.
//!    With `behind_dead = "hold"` that is so for redriven events too, each in its first place, and none begins while an
//!    event before it is a dead letter.
//! 5. **Places.** A place belongs to one event for ever, and what is acknowledged later has a later place.
//! 6. **Limits.** Never more attempts under way at a destination than its limit.
//! 7. **Deaths.** A delivery dies of a failure that trying again cannot help, of as many failed attempts as its budget
//!    allows, each with a success of the destination between it and the one before, or of the end of retention.
//! 8. **Erased** is what was in the log when the erasure was answered, dead letters too; and nothing else.
//! 9. **Replayed** is each event as often as somebody asked for it; and a dead letter with an edited copy is delivered as
//!    that.
//! 10. **An end.** When the faults are over, everything drains (the run checks that).

mod accepting;
mod attempts;
mod operating;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use event::{EventId, Timestamp};
use parking_lot::Mutex;
use queue::{DeadLetterId, Order};

use crate::clock::VirtualClock;
use crate::plan::Plan;
use crate::steps::Steps;

pub(crate) use self::attempts::{Asked, Attempt, Result};
use self::operating::Operated;

/// One delivery: the number of a destination, and a place in the log.
pub(crate) type Delivery = (usize, u64);

/// See the module.
pub(crate) struct Oracle {
    plan: Arc<Plan>,
    clock: Arc<VirtualClock>,
    known: Mutex<Known>,
}

struct Known {
    steps: Arc<Steps>,
    /// The first thing that was not as it must be.
    broken: Option<String>,
    /// Counts what happens; later means larger.
    step: u64,
    /// Whose bytes these are.
    bodies: HashMap<Bytes, usize>,
    /// Ids under which an event may have been stored.
    offered: HashMap<EventId, HashSet<usize>>,
    /// Those that may really be stored: answered, or never answered.
    believed: HashSet<(EventId, usize)>,
    /// Of ids: received when, and the clock's latest time at the answer.
    accepted: HashMap<EventId, Vec<Timestamp>>,
    places: BTreeMap<u64, EventId>,
    last_place: u64,
    /// What must have been delivered or be dead in the end.
    owed: BTreeSet<Delivery>,
    /// Acknowledged without a place: known already when the answer came.
    owed_somewhere: BTreeSet<(usize, EventId)>,
    unreadable: BTreeSet<DeadLetterId>,
    deliveries: BTreeMap<Delivery, Progress>,
    /// The latest place of which an attempt has begun, for each destination and conversation.
    latest_begun: HashMap<(usize, Arc<str>), u64>,
    /// Owed or begun, and not yet over, for each destination and conversation.
    open: HashMap<(usize, Arc<str>), BTreeSet<u64>>,
    destinations: Vec<DestinationKnown>,
    operated: Operated,
    /// The conversation of each event; of two with one identity, both.
    conversations: HashMap<EventId, BTreeSet<Arc<str>>>,
    /// Of places at which an event stands again: where it stood first.
    firsts: HashMap<u64, u64>,
    counts: Counts,
}

#[derive(Default)]
struct DestinationKnown {
    in_flight: usize,
    /// The step of the last success.
    succeeded: u64,
}

/// What is known of one delivery.
#[derive(Default)]
struct Progress {
    /// The destination has it, or there was nothing to deliver.
    taken: bool,
    /// The process that is up knows that.
    answered: bool,
    /// Settled durably as done or dead.
    settled: bool,
    /// A settlement as done or dead has been begun.
    settling: bool,
    expired: bool,
    redriven: bool,
    /// A redrive has been begun.
    redriving: bool,
    discarded: bool,
    last: Option<Result>,
    /// The step at which the last failure ended.
    failed: Option<u64>,
    charged: u32,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) attempts: u64,
    pub(crate) taken: u64,
    pub(crate) redriven: u64,
}

impl Oracle {
    pub(crate) fn new(plan: &Arc<Plan>, clock: &Arc<VirtualClock>, steps: &Arc<Steps>) -> Self {
        let known = Known::new(steps.clone(), plan.destinations.len());
        Self { plan: plan.clone(), clock: clock.clone(), known: Mutex::new(known) }
    }

    /// The first thing that was not as it must be.
    pub(crate) fn broken(&self) -> Option<String> {
        self.known.lock().broken.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.known.lock().counts
    }

    /// Something is not as it must be.
    pub(crate) fn object(&self, what: String) {
        self.known.lock().object(what);
    }

    fn conversation_at(&self, destination: usize, number: usize) -> Option<(usize, Arc<str>)> {
        let ordered = self.plan.destinations[destination].order == Order::Conversation;
        let conversation = self.plan.events[number].conversation.filter(|_| ordered)?;
        Some((destination, crate::body::conversation_id(conversation).into()))
    }

    /// The destinations that an event's topic leads to.
    fn destinations_of(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        let topic = self.plan.events[number].topic;
        (0..).zip(&self.plan.destinations).filter(move |(_, plan)| plan.topics.contains(&topic)).map(|(at, _)| at)
    }
}

impl Known {
    fn new(steps: Arc<Steps>, destinations: usize) -> Self {
        Self {
            steps,
            broken: None,
            step: 0,
            bodies: HashMap::new(),
            offered: HashMap::new(),
            believed: HashSet::new(),
            accepted: HashMap::new(),
            places: BTreeMap::new(),
            last_place: 0,
            owed: BTreeSet::new(),
            owed_somewhere: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            latest_begun: HashMap::new(),
            open: HashMap::new(),
            destinations: (0..destinations).map(|_| DestinationKnown::default()).collect(),
            operated: Operated::default(),
            conversations: HashMap::new(),
            firsts: HashMap::new(),
            counts: Counts::default(),
        }
    }

    fn object(&mut self, what: String) {
        self.steps.note(|| format!("WRONG: {what}"));
        self.broken.get_or_insert(what);
    }

    fn next_step(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Nothing of this delivery holds up the next one of its conversation.
    fn close(&mut self, (_, place): Delivery, conversation: Option<&(usize, Arc<str>)>) {
        if let Some(open) = conversation.and_then(|conversation| self.open.get_mut(conversation)) {
            open.remove(&place);
        }
    }
}
