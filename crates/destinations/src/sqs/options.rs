//! What can be set on an `sqs` destination, and the limits of SQS.

use std::time::Duration;

use outbound::aws::Access;

use crate::OpenError;

/// Messages of one request; SQS takes no more.
pub(super) const MESSAGES_MAX: usize = 10;
/// Bytes of a message with its attributes, and of all messages of a request: 1 MiB since 2025.
pub(super) const BYTES_MAX: usize = 1024 * 1024;
/// Requests under way at once. Deliveries that come meanwhile gather, so more of them would only make smaller requests.
pub(super) const LANES: usize = 4;
/// Default time for one attempt; delivery's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// The queue's address.
    pub queue_url: String,
    /// Where it is and who asks. A region that is missing is taken from the queue's address, if it says one.
    pub access: Access,
    /// How long an attempt may take.
    pub timeout: Duration,
}

impl Options {
    /// The defaults, for a queue.
    pub fn new(queue_url: impl Into<String>) -> Self {
        Self { queue_url: queue_url.into(), access: Access::default(), timeout: DEFAULT_TIMEOUT }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let fits = url::Url::parse(&self.queue_url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.path().split('/').rfind(|part| !part.is_empty()).is_some()
        });
        match fits {
            true => Ok(()),
            false => Err(OpenError::option(
                "queue_url",
                format!(
                    "is `{}`, which is no address of a queue; write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
                    self.queue_url
                ),
            )),
        }
    }

    /// Whether the queue is a FIFO queue: SQS makes their names end so, and no others.
    pub(super) fn is_fifo(&self) -> bool {
        self.queue_url.trim_end_matches('/').ends_with(".fifo")
    }
}
