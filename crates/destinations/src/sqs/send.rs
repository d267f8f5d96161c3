//! One attempt: a message, and the request that it shares with others.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Queue};
use super::message::Message;
use super::options::{BYTES_MAX, LANES, MESSAGES_MAX, Options};
use crate::batch::{Batcher, Limits};
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError, told};

/// Messages that wait or are under way on one lane: those that are sent, and twice as many that gather meanwhile.
const WAITING: usize = 3 * MESSAGES_MAX;

/// A queue of Amazon SQS. Cheap to clone.
#[derive(Clone)]
pub struct SqsDestination(Arc<Inner>);

struct Inner {
    fifo: bool,
    timeout: Duration,
    /// Each conversation has one.
    lanes: Vec<Batcher<Lane>>,
}

impl SqsDestination {
    /// Checks the options. The queue is asked nothing yet: one that cannot be reached is no error.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let (fifo, timeout) = (options.is_fifo(), options.timeout);
        let queue = Arc::new(Queue::new(options));
        let limits = Limits { items: MESSAGES_MAX, bytes: BYTES_MAX, waiting: WAITING };
        let lanes = (0..LANES).map(|_| Batcher::new(Lane(Arc::clone(&queue)), limits)).collect();
        Ok(Self(Arc::new(Inner { fifo, timeout, lanes })))
    }

    /// Whether [`Self::open`] would do it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(options: &Options) -> Result<(), OpenError> {
        options.check()
    }
}

impl Inner {
    async fn attempt(&self, delivery: &OutgoingDelivery) -> Result<Receipt, SendError> {
        let message = Message::new(delivery, self.fifo)?;
        let mut hasher = DefaultHasher::new();
        match &delivery.conversation {
            Some(conversation) => conversation.hash(&mut hasher),
            None => delivery.event.hash(&mut hasher),
        }
        // Fewer than there are lanes.
        let lane = (hasher.finish() % self.lanes.len().max(1) as u64) as usize;
        let bytes = message.bytes();
        self.lanes[lane].send(message, bytes).await
    }
}

impl Destination for SqsDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let within = self.0.timeout;
            let attempt = tokio::time::timeout(within, self.0.attempt(&delivery)).await;
            attempt.unwrap_or_else(|_| Err(told::no_answer("SQS", within)))
        })
    }
}
