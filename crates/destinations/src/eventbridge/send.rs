//! One attempt: an entry, and the request that it shares with others.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::lane::{Bus, Lane};
use super::options::{BYTES_MAX, ENTRIES_MAX, Form, LANES, Options};
use crate::batch::{Batcher, Limits};
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError, told};

/// Entries that wait or are under way on one lane: those that are put, and twice as many that gather meanwhile.
const WAITING: usize = 3 * ENTRIES_MAX;

/// A bus of Amazon EventBridge. Cheap to clone.
#[derive(Clone)]
pub struct EventBridgeDestination(Arc<Inner>);

struct Inner {
    form: Form,
    timeout: Duration,
    /// Each event has one.
    lanes: Vec<Batcher<Lane>>,
}

impl EventBridgeDestination {
    /// Checks the options. The bus is asked nothing yet: one that cannot be reached is no error.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (form, timeout) = (options.form()?, options.timeout);
        let bus = Arc::new(Bus::new(options));
        let limits = Limits { items: ENTRIES_MAX, bytes: BYTES_MAX, waiting: WAITING };
        let lanes = (0..LANES).map(|_| Batcher::new(Lane(Arc::clone(&bus)), limits)).collect();
        Ok(Self(Arc::new(Inner { form, timeout, lanes })))
    }

    /// Whether [`Self::open`] would do it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(options: &Options) -> Result<(), OpenError> {
        options.form().map(drop)
    }
}

impl Inner {
    async fn attempt(&self, delivery: &OutgoingDelivery) -> Result<Receipt, SendError> {
        let entry = Entry::new(delivery, &self.form)?;
        let mut hasher = DefaultHasher::new();
        delivery.event.hash(&mut hasher);
        // Fewer than there are lanes.
        let lane = (hasher.finish() % self.lanes.len().max(1) as u64) as usize;
        let bytes = entry.bytes();
        self.lanes[lane].send(entry, bytes).await
    }
}

impl Destination for EventBridgeDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let within = self.0.timeout;
            let attempt = tokio::time::timeout(within, self.0.attempt(&delivery)).await;
            attempt.unwrap_or_else(|_| Err(told::no_answer("EventBridge", within)))
        })
    }
}
