//! Where time comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event::Timestamp;
use queue::BoxFuture;

/// Tells the time, and waits for it.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Waits until `at`. May return earlier; whoever waits looks at the time again.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Longest sleep. The machine's clock can be set forward while we sleep; we notice no later than this.
const NAP: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since)
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(self.now().until(at).min(NAP)))
    }
}
