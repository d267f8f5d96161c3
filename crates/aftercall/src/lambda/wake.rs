//! Wake-ups: messages that say which destination has something to do.
//!
//! They carry nothing else, so one that is late, lost or doubled does no harm: whoever is woken looks into the queue, and
//! `upkeep` sends another one within a minute.

use std::sync::Arc;
use std::time::Duration;

use outbound::aws::{Access, Refused, Service, Signed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OnceCell;

/// Messages of one request, at most; SQS takes no more.
const BATCH: usize = 10;
/// Time of a request with its tries. A sender waits meanwhile, and `upkeep` comes by anyway.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What a message says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WakeUp {
    pub(super) destination: String,
}

/// Sends them.
pub(super) struct Wake {
    url: String,
    service: OnceCell<Signed>,
}

impl Wake {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), service: OnceCell::new() }
    }

    /// Wakes these destinations. That it fails is logged, and is no failure of what was done before.
    pub(super) async fn send(&self, destinations: &[Arc<str>]) {
        for some in destinations.chunks(BATCH) {
            if let Err(problem) = self.try_send(some).await {
                let destinations = some.join(", ");
                tracing::warn!(destinations, %problem, "destinations cannot be woken; upkeep does it within a minute");
            }
        }
    }

    async fn try_send(&self, destinations: &[Arc<str>]) -> Result<(), Refused> {
        let access = Access::default().of_queue(&self.url);
        let service = self.service.get_or_try_init(|| Signed::new(Service::Queues, &access, REQUEST_TIMEOUT)).await?;
        let entry = |(place, destination): (usize, &Arc<str>)| {
            let said = json!({ "destination": **destination }).to_string();
            json!({ "Id": place.to_string(), "MessageBody": said })
        };
        let entries: Vec<_> = destinations.iter().enumerate().map(entry).collect();
        let answer = service.call("SendMessageBatch", &json!({ "QueueUrl": self.url, "Entries": entries })).await?;
        for failed in answer["Failed"].as_array().into_iter().flatten() {
            tracing::warn!(
                code = failed["Code"].as_str(),
                "a destination cannot be woken; upkeep does it within a minute"
            );
        }
        Ok(())
    }
}
