//! What can be set on a queue that is read, and the limits of SQS.

use std::time::Duration;

use outbound::aws::Access;

/// Messages of one answer; SQS gives no more.
pub const MESSAGES_MAX: usize = 10;
/// The longest poll.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// The shortest visibility timeout: a third of it is the time between extensions, and a request may take that long.
pub const VISIBILITY_MIN: Duration = Duration::from_secs(6);
/// The longest; SQS keeps no message invisible for longer.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Polls of one source at once. Each holds at most ten messages of 1 MiB.
pub const CONCURRENCY_MAX: usize = 16;
/// What a request may take besides the poll's wait.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries to delete a message. What is left comes again as a duplicate.
pub(super) const DELETE_TRIES: u32 = 4;
/// Pause before another try to delete, doubled each time.
pub(super) const DELETE_PAUSE: Duration = Duration::from_millis(200);
/// Pause before a poll after one that failed; doubled each time up to [`PAUSE_MAX`].
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause between polls that fail: an outage is noticed to be over within it.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest pause between tries to publish a message.
pub(super) const PUBLISH_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pause before pollers that ended by a fault are started again.
pub(super) const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A queue that is read.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    /// Its address.
    pub queue_url: String,
    /// Where it is and who asks. A region that is missing is taken from the queue's address, if it says one.
    pub access: Access,
    /// How long a poll waits for a message, at most [`WAIT_MAX`]. Default 20 s.
    pub wait: Duration,
    /// For how long a received message is kept from others; extended while it is held. Default 60 s.
    pub visibility: Duration,
    /// Polls at once. Default 2.
    pub concurrency: usize,
    /// Messages of one answer. Default 10.
    pub max_messages: usize,
}

impl SqsQueue {
    /// The defaults, for a queue.
    pub fn new(queue_url: impl Into<String>) -> Self {
        Self {
            queue_url: queue_url.into(),
            access: Access::default(),
            wait: WAIT_MAX,
            visibility: Duration::from_secs(60),
            concurrency: 2,
            max_messages: MESSAGES_MAX,
        }
    }
}
