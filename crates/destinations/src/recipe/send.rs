//! One attempt: makes a record of the payload, and waits for the result of the call that it is in.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::lane::{Desk, Lane};
use super::options::Options;
use super::record::Record;
use super::refusal;
use crate::batch::{Batcher, Limits};
use crate::http::call::Caller;
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError};

/// Bytes of payloads in a call: far below what the services refuse, and 200 records of 20 KiB. A single one may have more.
const CALL_BYTES: usize = 4 * 1024 * 1024;
/// Records that wait or are under way on one lane, for each record of a call: those that are written, and those that
/// gather meanwhile.
const WAITING_CALLS: usize = 2;

/// Records of a service that has a recipe. Cheap to clone.
#[derive(Clone)]
pub struct RecipeDestination(Arc<Inner>);

struct Inner {
    desk: Arc<Desk>,
    key: Vec<String>,
    /// None where each record has a call of its own.
    lanes: Vec<Batcher<Lane>>,
}

impl RecipeDestination {
    /// Checks the options and makes the client; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub fn open(mut options: Options) -> Result<Self, OpenError> {
        let service = options.service()?;
        // A call is of many events; what is repeated is recognised by its key.
        options.http.idempotency_header = None;
        let desk = Arc::new(Desk { service, caller: Caller::new(options.http)? });
        let items = options.max_records;
        let limits = Limits { items, bytes: CALL_BYTES, waiting: items * WAITING_CALLS };
        let lanes = if items > 1 { options.connections } else { 0 };
        let lanes = (0..lanes).map(|_| Batcher::new(Lane(Arc::clone(&desk)), limits)).collect();
        Ok(Self(Arc::new(Inner { desk, key: options.key, lanes })))
    }
}

impl Inner {
    async fn attempt(&self, delivery: OutgoingDelivery) -> Result<Receipt, SendError> {
        let record = Record::new(delivery.event, &delivery.payload, &self.key)?;
        self.desk.service.check(&record)?;
        let mut hasher = DefaultHasher::new();
        record.identity.hash(&mut hasher);
        // Fewer than there are lanes.
        let lane = (hasher.finish() % self.lanes.len().max(1) as u64) as usize;
        match self.lanes.get(lane) {
            Some(lane) => lane.send(record, delivery.payload.len()).await,
            None => self.desk.write_one(&record).await,
        }
    }
}

impl Destination for RecipeDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let desk = &self.0.desk;
            let attempt = tokio::time::timeout_at(desk.caller.deadline(), self.0.attempt(delivery)).await;
            attempt.unwrap_or_else(|_| Err(refusal::no_answer(desk.service.name())))
        })
    }
}
