//! What can go wrong with an archive.

use queue::QueueError;

/// Something with the archive did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The object store does not answer, or refuses; what is to be exported is kept, and it is tried again.
    #[error("the archive cannot be used now: {0}")]
    Unreachable(String),
    /// An object is not what its manifest says.
    #[error("{part} of the archive is damaged: {what}; restore it from a copy, or leave its time out")]
    Damaged {
        /// The part's manifest.
        part: String,
        /// What is wrong with it.
        what: String,
    },
    /// What is in the archive was not exported from this queue.
    #[error("{0}")]
    OtherQueue(String),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something was erased since the events were read, and they may be of it: read them anew.
    #[error("something was erased meanwhile")]
    Erased,
    /// There is none.
    #[error("no archive is configured; name one with [archive] url in the configuration")]
    NotConfigured,
    /// The queue did not do it.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}
