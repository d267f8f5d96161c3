//! The machine's clock: it follows tokio's, which is paused and leaps from one thing to the next, and it is set forward
//! and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use delivery::Clock;
use event::Timestamp;
use futures::FutureExt as _;
use futures::future::select;
use queue::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When every simulation begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_773_957_888_000);
/// A sleeper notices within this time that the clock was set, like one of the machine's clock does.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// A clock in virtual time.
#[derive(Debug)]
pub struct VirtualClock {
    start: Instant,
    /// Milliseconds by which it was set forward, less those by which it was set back.
    set_by: AtomicI64,
    /// The latest time that it has ever shown, in milliseconds of Unix time, as far as it was looked at.
    latest: AtomicI64,
    /// Wakes sleepers in their order.
    set: Arc<Notify>,
}

impl VirtualClock {
    /// A clock that begins now, by tokio's clock.
    pub fn new() -> Arc<Self> {
        let latest = AtomicI64::new(BEGIN.as_millis());
        Arc::new(Self { start: Instant::now(), set_by: AtomicI64::new(0), latest, set: Arc::default() })
    }

    /// Time that has really gone by since the begin, however the clock was set.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The latest time that it has shown.
    pub(crate) fn latest(&self) -> Timestamp {
        self.now();
        Timestamp::from_millis(self.latest.load(Ordering::Relaxed))
    }

    /// Sets it forward or, with a negative number, back.
    pub(crate) fn set_by(&self, millis: i64) {
        self.now();
        self.set_by.fetch_add(millis, Ordering::Relaxed);
        self.now();
        self.set.notify_waiters();
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let set_by = self.set_by.load(Ordering::Relaxed);
        let real = BEGIN.plus(self.elapsed());
        let now = Timestamp::from_millis(real.as_millis().saturating_add(set_by));
        self.latest.fetch_max(now.as_millis(), Ordering::Relaxed);
        now
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let until = tokio::time::sleep(self.now().until(at));
        let set = self.set.clone().notified_owned();
        let noticed = async move {
            set.await;
            tokio::time::sleep(NOTICED_WITHIN).await;
        };
        Box::pin(async move { select(Box::pin(until), noticed.boxed()).map(drop).await })
    }
}
