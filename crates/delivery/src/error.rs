//! Why a service cannot start, or has ended.

use queue::QueueError;

/// A service cannot start, or has ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong; nothing was started.
    #[error("`{key}` {problem}")]
    Option {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// The queue refuses to go on. What was under way is delivered again once it works: at least once.
    #[error("delivery to `{destination}` has ended, because {source}")]
    Queue {
        /// The destination.
        destination: String,
        /// What the queue said.
        source: QueueError,
    },
    /// The service was stopped, and the queue did not take its last settlements in time. Their deliveries are made again.
    #[error("delivery to `{destination}` has ended with {count} settlements that the queue did not take")]
    Unsettled {
        /// The destination.
        destination: String,
        /// How many.
        count: usize,
    },
    /// A bug of ours ended the service; the log has its text.
    #[error("delivery to `{destination}` has ended by a bug")]
    Bug {
        /// The destination.
        destination: String,
    },
}
