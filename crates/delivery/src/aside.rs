//! Putting deliveries aside while their destination is down, instead of letting them wait.

use std::sync::Arc;

use event::Timestamp;
use queue::{BoxFuture, Stored};

/// Keeps events somewhere else, to be replayed later.
pub trait PutAside: Send + Sync {
    /// Keeps the events of due deliveries to a destination. `Ok` means that they are durable there: they are settled as
    /// done then. After an error they are still to be delivered.
    fn put_aside(
        &self,
        destination: Arc<str>,
        events: Vec<Arc<Stored>>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), String>>;
}
