//! What is being put aside: one group of leases at a time. One lease is held back to probe the destination with, so that
//! the end of an outage is found although nothing else waits.

use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use queue::{BoxFuture, Lease, LeaseToken, Outcome, Settle};

use crate::pause::Pause;
use crate::{Group, Last, NotPutAside, PutAside};

/// Deliveries that are put aside together: their bodies are in memory meanwhile.
const GROUP_MAX: usize = 100;
/// How long to wait after a failure. The events wait in the queue, as they would without this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How long deliveries gather after a group that was not full. Each group is a part of the archive, and one for nearly every
/// event would make erasing and replaying slow; meanwhile they wait in the queue, as they would without this.
const GATHER: Duration = Duration::from_secs(5);

/// Puts deliveries aside for one destination.
pub(super) struct Putting {
    aside: Arc<dyn PutAside>,
    destination: Arc<str>,
    under_way: Option<UnderWay>,
    /// To probe with.
    held: Option<Held>,
    /// How long before its end a lease is given back: an attempt must end within it.
    margin: Duration,
    paused: Option<Pause>,
    /// A failure has been logged and nothing has worked since.
    failing: bool,
    /// What was put aside before the service began: of what a lease is for that is in it, nothing is done once more.
    last: Last,
}

/// A lease that is held back.
pub(super) struct Held {
    pub(super) lease: Lease,
    /// What [`queue::Queue::erasures`] was before it was leased.
    pub(super) erasures: u64,
}

struct UnderWay {
    tokens: Vec<LeaseToken>,
    done: BoxFuture<'static, Result<Arc<str>, NotPutAside>>,
}

impl Putting {
    /// `timeout` is how long an attempt may take; `last` is what was put aside before.
    pub(super) fn new(aside: Arc<dyn PutAside>, destination: &str, timeout: Duration, last: Last) -> Self {
        let margin = timeout.saturating_add(Duration::from_secs(1));
        let destination = Arc::from(destination);
        Self { aside, destination, under_way: None, held: None, margin, paused: None, failing: false, last }
    }

    /// Those of the leases that were put aside before a crash kept that from being settled: they are settled now.
    pub(super) fn known(&self, leases: &mut Vec<Lease>) -> Vec<Settle> {
        let Last { part, places } = &self.last;
        if places.is_empty() {
            return Vec::new();
        }
        let known = leases.extract_if(.., |lease| places.contains(&lease.token.seq));
        known.map(|lease| Settle { token: lease.token, outcome: Outcome::PutAside(Arc::clone(part)) }).collect()
    }

    /// The lease to probe with.
    pub(super) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// The lease to probe with, if it must be given back because it is about to end.
    pub(super) fn expired(&mut self, now: Timestamp) -> Option<Settle> {
        let margin = self.margin;
        let held = self.held.take_if(|held| held.lease.until <= now.plus(margin))?;
        Some(Settle { token: held.lease.token, outcome: Outcome::Release })
    }

    /// When [`Self::expired`] has something.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.lease.until.minus(self.margin))
    }

    /// How many more can be put aside now.
    pub(super) fn room(&self, now: Timestamp) -> usize {
        let waits = self.under_way.is_some() || self.paused.is_some_and(|pause| !pause.is_over(now));
        if waits { 0 } else { GROUP_MAX }
    }

    /// When there will be room again after a failure.
    pub(super) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused.filter(|pause| !pause.is_over(now)).map(|pause| pause.until())
    }

    /// `erasures` is what [`queue::Queue::erasures`] was before they were leased.
    pub(super) fn begin(&mut self, mut leases: Vec<Lease>, erasures: u64, now: Timestamp) {
        if self.held.is_none() {
            self.held = leases.pop().map(|lease| Held { lease, erasures });
        }
        if leases.is_empty() {
            return;
        }
        let tokens = leases.iter().map(|lease| lease.token).collect();
        let events = leases.into_iter().map(|lease| lease.stored).collect();
        let destination = Arc::clone(&self.destination);
        let done = self.aside.put_aside(Group { destination, events, erasures, now });
        self.under_way = Some(UnderWay { tokens, done });
    }

    pub(super) fn under_way(&mut self) -> Option<&mut BoxFuture<'static, Result<Arc<str>, NotPutAside>>> {
        self.under_way.as_mut().map(|under_way| &mut under_way.done)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.held.is_none()
    }

    /// It has ended: how the leases are settled.
    pub(super) fn ended(&mut self, result: Result<Arc<str>, NotPutAside>, now: Timestamp) -> Vec<Settle> {
        let outcome = match result {
            Ok(part) => {
                self.failing = false;
                let is_full = self.under_way.as_ref().is_some_and(|group| group.tokens.len() + 1 >= GROUP_MAX);
                if !is_full {
                    self.paused = Some(Pause::new(now, GATHER));
                }
                Outcome::PutAside(part)
            }
            Err(NotPutAside::Erased) => Outcome::Release,
            Err(NotPutAside::Failed(error)) => {
                self.paused = Some(Pause::new(now, PAUSE_AFTER_FAILURE));
                if !std::mem::replace(&mut self.failing, true) {
                    let destination = &*self.destination;
                    tracing::error!(destination, error, "deliveries cannot be put aside; they wait in the queue");
                }
                Outcome::Release
            }
        };
        self.settle(&outcome)
    }

    /// Gives up what is under way.
    pub(super) fn give_up(&mut self) -> Vec<Settle> {
        let held = self.held.take().map(|held| Settle { token: held.lease.token, outcome: Outcome::Release });
        self.settle(&Outcome::Release).into_iter().chain(held).collect()
    }

    fn settle(&mut self, outcome: &Outcome) -> Vec<Settle> {
        let tokens = self.under_way.take().map(|under_way| under_way.tokens).unwrap_or_default();
        tokens.into_iter().map(|token| Settle { token, outcome: outcome.clone() }).collect()
    }
}
