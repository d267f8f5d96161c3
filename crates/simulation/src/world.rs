//! What all parts of one run share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use delivery::MapError;
use event::Event;
use parking_lot::Mutex;
use queue::{Lease, Router, Routes, Stored, Target};
use tokio::sync::Notify;

use crate::clock::VirtualClock;
use crate::dice::Dice;
use crate::ends::Ends;
use crate::oracle::{Attempt, Oracle, Result};
use crate::plan::{Plan, Poison, TOPICS};
use crate::planted::Planted;
use crate::steps::Steps;
use crate::watched::Watched;

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) steps: Arc<Steps>,
    pub(crate) ends: Arc<Ends>,
    pub(crate) planted: Option<Planted>,
    /// The queue of the process that is up, if one is.
    up: Mutex<Option<Arc<Watched>>>,
    /// Tells that one is.
    comes_up: Notify,
    /// All faults are over.
    pub(crate) calm: AtomicBool,
    /// What was mended: destinations and numbers of events that they will take from now on.
    mended: Mutex<Vec<(usize, usize)>>,
    /// For a bug that needs an old lease.
    pub(crate) first_lease: Mutex<Option<Lease>>,
    /// Times that the planted bug could have struck.
    chances: AtomicU64,
}

/// The planted bug strikes every so many times that it could.
const STRIKES_EVERY: u64 = 7;

impl World {
    pub(crate) fn new(plan: Plan, planted: Option<Planted>) -> Arc<Self> {
        let plan = Arc::new(plan);
        let clock = VirtualClock::new();
        let steps = Steps::new(&clock);
        Arc::new(Self {
            oracle: Arc::new(Oracle::new(&plan, &clock, &steps)),
            ends: Arc::new(Ends::new(&plan)),
            plan,
            clock,
            steps,
            planted,
            up: Mutex::default(),
            comes_up: Notify::new(),
            calm: AtomicBool::new(false),
            mended: Mutex::default(),
            first_lease: Mutex::default(),
            chances: AtomicU64::new(0),
        })
    }

    /// Waits for a process that is up, and asks it; `None` if it ended before it answered.
    pub(crate) async fn ask<T>(&self, ask: impl AsyncFnOnce(Arc<Watched>) -> T) -> Option<T> {
        let watched = self.wait_until_up().await;
        let gone = watched.is_gone();
        let answer = Box::pin(ask(watched));
        match futures::future::select(answer, gone).await {
            futures::future::Either::Left((answer, _)) => Some(answer),
            futures::future::Either::Right(_) => None,
        }
    }

    async fn wait_until_up(&self) -> Arc<Watched> {
        loop {
            let comes_up = self.comes_up.notified();
            let up = self.up.lock().clone();
            match up {
                Some(watched) => return watched,
                None => comes_up.await,
            }
        }
    }

    /// A process is up, or none.
    pub(crate) fn set_up(&self, watched: Option<Arc<Watched>>) {
        *self.up.lock() = watched;
        self.comes_up.notify_waiters();
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(crate) fn disk_is_full(&self) -> bool {
        let now = self.clock.elapsed();
        !self.is_calm() && self.plan.full.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// Why a destination will not take an event, if so.
    pub(crate) fn poison(&self, destination: usize, number: usize) -> Option<Poison> {
        let plan = &self.plan.destinations[destination];
        let poison = plan.poison.iter().find(|(event, _)| *event == number).map(|(_, poison)| *poison)?;
        // Alone, such an event would wait for a success of its destination until the end of retention.
        let over = poison == Poison::Failing && self.is_calm();
        (!over && !self.mended.lock().contains(&(destination, number))).then_some(poison)
    }

    /// Somebody mends what was wrong with an event.
    pub(crate) fn mend(&self, destination: usize, number: usize) {
        self.mended.lock().push((destination, number));
    }

    /// Whether the planted bug strikes this time.
    pub(crate) fn strikes(&self) -> bool {
        self.chances.fetch_add(1, Ordering::Relaxed) % STRIKES_EVERY == STRIKES_EVERY - 1
    }

    /// Dice for one part of the run.
    pub(crate) fn dice(&self, part: u64) -> Dice {
        Dice::new(self.plan.seed, part)
    }

    /// Makes the payload for a destination: the place, and the body as it is.
    pub(crate) fn map(&self, destination: usize, stored: &Stored) -> std::result::Result<Option<Bytes>, MapError> {
        let at = (destination, stored.seq.0);
        let number = self.oracle.begins(&Attempt { destination, stored });
        self.steps.note(|| {
            let (place, charged) = (stored.seq.0, stored.again.is_some());
            format!("destination {destination}: an attempt of event {number:?} at place {place}, redriven: {charged}")
        });
        match number.and_then(|number| self.poison(destination, number)) {
            Some(Poison::Unmappable) => {
                self.oracle.ended(at, Result::Refused);
                Err(MapError::new("the mapping cannot make anything of it"))
            }
            Some(Poison::Nothing) => {
                self.oracle.ended(at, Result::Nothing);
                Ok(None)
            }
            _ => {
                let place = stored.seq.0.to_be_bytes();
                Ok(Some([place.as_slice(), &stored.event.body].concat().into()))
            }
        }
    }
}

/// Leads events where their topics say.
pub(crate) struct ByTopic(pub(crate) Arc<Plan>);

impl Router for ByTopic {
    fn route(&self, event: &Event) -> Routes {
        let topic = TOPICS.iter().position(|topic| **topic == *event.topic);
        let wants = |topics: &[usize]| topic.is_some_and(|topic| topics.contains(&topic));
        let places = (0u16..).zip(&self.0.destinations).filter(|(_, plan)| wants(&plan.topics));
        places.map(|(consumer, _)| Target { consumer, route: 0 }).collect()
    }
}
