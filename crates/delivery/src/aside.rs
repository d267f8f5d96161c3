//! Putting deliveries aside while their destination is down, instead of letting them wait.

use std::collections::HashSet;
use std::sync::Arc;

use event::Timestamp;
use queue::{BoxFuture, Seq, Stored};

/// Deliveries to a destination that are put aside together.
#[derive(Debug, Clone)]
pub struct Group {
    /// The destination.
    pub destination: Arc<str>,
    /// Their events.
    pub events: Vec<Arc<Stored>>,
    /// What [`queue::Queue::erasures`] was before they were leased.
    pub erasures: u64,
    /// When.
    pub now: Timestamp,
}

/// What was put aside last for a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Last {
    /// Where it is.
    pub part: Arc<str>,
    /// The places of its events.
    pub places: HashSet<Seq>,
}

/// Why nothing was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPutAside {
    /// Something was erased since the deliveries were leased: they may be of it, so they are leased anew.
    Erased,
    /// It cannot be done now, and why.
    Failed(String),
}

/// Keeps events somewhere else, to be replayed later.
pub trait PutAside: Send + Sync {
    /// Keeps the events of due deliveries to a destination. `Ok` says in which part, and means that they are durable there:
    /// they are settled then. After an error they are still to be delivered. What is erased meanwhile must not stay there.
    fn put_aside(&self, group: Group) -> BoxFuture<'static, Result<Arc<str>, NotPutAside>>;

    /// What was put aside last for a destination, if anything was. Of that a crash may have kept the settlements from being
    /// durable; of what was put aside before it, they are.
    fn last(&self, destination: Arc<str>) -> BoxFuture<'static, Result<Option<Last>, String>> {
        drop(destination);
        Box::pin(std::future::ready(Ok(None)))
    }
}
