//! Something that happens once and is waited for by many. Those who wait are woken in the order in which they came;
//! tokio's `watch` wakes them in a random one, which no seed would repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use queue::BoxFuture;
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    notify: Notify,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Relaxed);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Ready once it is raised.
    pub(crate) fn raised(self: &Arc<Self>) -> BoxFuture<'static, ()> {
        let signal = self.clone();
        Box::pin(async move {
            let notified = signal.notify.notified();
            if !signal.is_raised() {
                notified.await;
            }
        })
    }
}
