//! The export at work: looks again and again whether an hour is closed, and goes on whatever the object store does.

use std::future::Future;
use std::time::Duration;

use event::Timestamp;
use queue::{Queue, QueueError};

use crate::{Archive, Error, Manifest};

/// How often to look whether there is something to export.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How soon to try again after a failure at first, and at last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);
/// How often to look whether parts are missing: that reads the manifests of as long as the queue keeps events.
const MEND_EVERY: Duration = Duration::from_secs(6 * 3_600);

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
            let mut mended = None;
            loop {
                let pause = match self.work(queue, now(), &mut mended).await {
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

    /// Exports one part; when there is nothing to export, looks now and then whether one is missing.
    async fn work(
        &self,
        queue: &dyn Queue,
        now: Timestamp,
        mended: &mut Option<Timestamp>,
    ) -> Result<Option<Manifest>, Error> {
        let exported = self.export_part(queue, now, false).await?;
        let is_time = mended.is_none_or(|at| now < at || at.until(now) >= MEND_EVERY);
        if exported.is_none() && is_time {
            *mended = Some(now);
            match self.mend(queue).await {
                // Whoever verifies is told.
                Err(error @ Error::Damaged { .. }) => {
                    tracing::error!(%error, "whether parts of the archive are missing cannot be seen")
                }
                looked => drop(looked?),
            }
        }
        Ok(exported)
    }

    /// Has it look at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What became of putting deliveries aside, for the status.
    pub fn put_aside_ended(&self, failure: Option<&Error>, now: Timestamp) {
        let mut told = self.told.lock();
        told.aside_failure = failure.map(|error| {
            let since = told.aside_failure.as_ref().map_or(now, |(since, _)| *since);
            (since, format!("deliveries cannot be put aside and wait in the queue: {error}"))
        });
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
