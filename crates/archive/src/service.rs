//! The export at work: looks again and again whether an hour is closed, and goes on whatever the object store does.

use std::future::Future;
use std::time::Duration;

use event::Timestamp;
use queue::{Queue, QueueError};

use crate::{Archive, Error};

/// How often to look whether there is something to export.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How soon to try again after a failure at first, and at last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

impl Archive {
    /// Has retention keep what is not exported. Comes before the first upkeep.
    pub fn guard(&self, queue: &dyn Queue) {
        let after = self.told.lock().exported_through;
        queue.keep_from(Some(queue::Seq(after + 1)));
    }

    /// Exports closed hours until `stop` is ready.
    pub async fn run(&self, queue: &dyn Queue, now: impl Fn() -> Timestamp + Send, stop: impl Future<Output = ()>) {
        let work = async {
            let mut retry = RETRY_FIRST;
            loop {
                let pause = match self.export_part(queue, now(), false).await {
                    Ok(exported) => {
                        self.worked();
                        retry = RETRY_FIRST;
                        if exported.is_some() {
                            continue;
                        }
                        LOOK_EVERY
                    }
                    Err(Error::Queue(QueueError::Closed)) => return,
                    Err(error) => {
                        self.failed(&error, now());
                        retry = (retry * 2).min(RETRY_LAST);
                        retry
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.wake.notified() => {}
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
    }

    /// Has it look at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The archive could be used.
    pub fn worked(&self) {
        if let Some((since, _)) = self.told.lock().failure.take() {
            tracing::info!(since = since.as_millis(), "the archive can be used again");
        }
    }

    /// The archive could not be used; the same failure is logged once.
    pub fn failed(&self, error: &Error, now: Timestamp) {
        let text = error.to_string();
        let mut told = self.told.lock();
        let since = told.failure.as_ref().map_or(now, |(since, _)| *since);
        let before = told.failure.replace((since, text));
        drop(told);
        if before.is_none() {
            tracing::error!(%error, "the archive fails; events stay in the queue beyond retention until they are exported");
        }
    }
}
