//! What all operations share: the table, the settings, and the destinations of the present configuration.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use event::{Event, Timestamp};
use parking_lot::{Mutex, RwLock};
use queue::{BehindDead, ConsumerId, Order, QueueError, Router, Routes, Seq};
use rand::RngExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::choose::Rules;
use crate::commit::Ready;
use crate::log::Chunks;
use crate::options::Options;
use crate::owner::Tenure;
use crate::table::{Stamp, Table};

pub(crate) struct Inner {
    pub(crate) table: Table,
    pub(crate) options: Options,
    pub(crate) wired: RwLock<Wired>,
    pub(crate) chunks: Mutex<Chunks>,
    /// Publications that are ready to be committed, in their order.
    pub(crate) ready: Mutex<VecDeque<Ready>>,
    /// Who commits them: publications of one process would only get into each other's way at the head.
    pub(crate) publishing: tokio::sync::Mutex<()>,
    pub(crate) keep_from: Mutex<Option<Seq>>,
    /// How often something was erased, as far as this server has seen. If that is not the newest, a replay is refused
    /// once more than it must be.
    pub(crate) erasures: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// A replay was finished here, and old ones may be too many. So it may be at the start.
    pub(crate) replays_done: AtomicBool,
    /// Before this time nothing of the audit trail is old.
    pub(crate) trail_due: Mutex<Timestamp>,
    /// Tells this process from all others.
    pub(crate) id: Stamp,
}

/// The destinations, by their ids, and who says what is for which.
#[derive(Default)]
pub(crate) struct Wired {
    pub(crate) destinations: Vec<Arc<Destination>>,
    pub(crate) router: Option<Arc<dyn Router>>,
}

/// A destination, as this process knows it.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) id: ConsumerId,
    pub(crate) name: Arc<str>,
    pub(crate) setting: Mutex<Setting>,
    pub(crate) changed: Notify,
    /// Whose turn it is: of what has failed before, or of what was not tried yet.
    pub(crate) again_is_next: AtomicBool,
    /// When something of each shard falls due, as far as this process has seen.
    due: Mutex<HashMap<u8, Timestamp>>,
    /// Who owns it.
    pub(crate) tenure: tokio::sync::Mutex<Tenure>,
    /// Another process owns it.
    pub(crate) stands_by: AtomicBool,
    /// The time of whoever leases here, and when that was; nobody does without it.
    seen: Mutex<Option<(Timestamp, Instant)>>,
}

/// What the present configuration says of a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its place in the topology; `None` if that leaves it out.
    pub(crate) place: Option<u16>,
    pub(crate) order: Order,
    pub(crate) behind_dead: BehindDead,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Wired {
    pub(crate) fn tell_all(&self) {
        self.destinations.iter().for_each(|destination| destination.changed.notify_one());
    }

    /// Where an event goes by the present routes.
    pub(crate) fn routes(&self, event: &Event) -> Routes {
        self.router.as_ref().map(|router| router.route(event)).unwrap_or_default()
    }

    /// Where an event goes that is being published.
    pub(crate) fn routes_of_new(&self, event: &Event) -> Routes {
        self.router.as_ref().map(|router| router.route_new(event)).unwrap_or_default()
    }

    /// The route by which an event goes to the destination with this place in the topology.
    pub(crate) fn route(&self, event: &Event, place: u16) -> Option<u16> {
        self.routes(event).iter().find(|target| target.consumer == place).map(|target| target.route)
    }

    /// The destination with this place in the topology.
    pub(crate) fn placed(&self, place: u16) -> Option<&Arc<Destination>> {
        self.destinations.iter().find(|destination| destination.setting.lock().place == Some(place))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Destination>> {
        self.destinations.iter().find(|destination| &*destination.name == name).cloned()
    }
}

impl Destination {
    pub(crate) fn new(id: ConsumerId, name: &Arc<str>) -> Self {
        Self {
            id,
            name: Arc::clone(name),
            setting: Mutex::default(),
            changed: Notify::new(),
            again_is_next: AtomicBool::new(false),
            due: Mutex::default(),
            tenure: tokio::sync::Mutex::default(),
            stands_by: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// Takes note that somebody here wants to deliver to it.
    pub(crate) fn note_wanted(&self, now: Timestamp) {
        *self.seen.lock() = Some((now, Instant::now()));
    }

    /// Whether the present configuration has it.
    pub(crate) fn is_configured(&self) -> bool {
        self.setting.lock().place.is_some()
    }

    /// Whether somebody here wants to deliver to it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_configured() && self.seen.lock().is_some()
    }

    /// The time by the clock of whoever leases here.
    pub(crate) fn clock(&self) -> Timestamp {
        self.seen.lock().map_or_else(Timestamp::default, |(now, at)| now.plus(at.elapsed()))
    }

    /// Takes note of when the next of a shard falls due.
    pub(crate) fn note_due(&self, shard: u8, due: Option<Timestamp>) {
        let mut all = self.due.lock();
        match due {
            Some(due) => all.insert(shard, due),
            None => all.remove(&shard),
        };
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        // What falls due concerns the one who owns it.
        if self.stands_by.load(Ordering::SeqCst) { None } else { self.due.lock().values().min().copied() }
    }
}

impl Inner {
    pub(crate) fn new(table: Table, options: Options) -> Self {
        Self {
            table,
            options,
            wired: RwLock::default(),
            chunks: Mutex::default(),
            ready: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            keep_from: Mutex::default(),
            erasures: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            replays_done: AtomicBool::new(true),
            trail_due: Mutex::default(),
            id: rand::rng().random(),
        }
    }

    pub(crate) fn destination(&self, id: ConsumerId) -> Option<Arc<Destination>> {
        self.wired.read().destinations.get(usize::from(id.0)).cloned()
    }

    pub(crate) fn expect_destination(&self, id: ConsumerId) -> Result<Arc<Destination>, QueueError> {
        self.destination(id).ok_or_else(|| QueueError::Invalid(format!("no destination has id {}", id.0)))
    }

    pub(crate) fn rules(&self, setting: Setting, now: Timestamp) -> Rules {
        let Setting { order, behind_dead, .. } = setting;
        Rules { order, behind_dead, times: self.options.queue.times, now }
    }
}
