//! The quarantine in an SQLite file: `quarantine.db` in the data directory, with one thread that alone uses it.
//!
//! It stands beside the way of the events and shares nothing with it. Requests are handed over by a bounded channel
//! that nobody waits for, and written in batches. Nothing is synced for a request: a process that is killed loses what
//! was in the channel, a machine that loses its power some seconds more, and both leave a file that can be read. That
//! is enough, since the sender was told 401 and nothing was promised.
//!
//! Whatever is wrong with the file, events are not concerned: it is logged, the quarantine is closed, and what is
//! refused meanwhile is counted.

mod allowance;
mod counts;
mod failure;
mod keeper;
pub mod options;
mod row;
mod schema;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event::Timestamp;
use intake::{
    KeyUse, Quarantine, QuarantineEntry, QuarantineError, QuarantineQuery, QuarantineSelection, QuarantineStatus,
    Quarantined,
};
use queue::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::counts::{Counts, Left};
use crate::failure::Failed;
use crate::keeper::Op;
use crate::options::{CHANNEL_REQUESTS, WAITING_BYTES_MAX};
use crate::store::Store;

pub use options::Options;

/// The quarantine. One that could not be opened is closed and says why.
pub struct SqliteQuarantine {
    ops: mpsc::Sender<Op>,
    shared: Arc<Shared>,
}

/// What the thread and those who ask it share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) counts: Counts,
    /// Bytes of requests on their way to the thread.
    pub(crate) waiting: AtomicUsize,
}

impl SqliteQuarantine {
    /// Opens the file, or makes it, and starts its thread. Blocks for a moment. The data directory must exist and be
    /// locked by the caller.
    pub fn open(options: Options) -> Self {
        let store = Store::open(&options);
        Self::start(options, store)
    }

    fn start(options: Options, store: Result<Store, Failed>) -> Self {
        let shared = Arc::new(Shared { counts: Counts::new(&options), options, waiting: AtomicUsize::new(0) });
        let (ops, asked) = mpsc::channel(CHANNEL_REQUESTS);
        match store {
            Ok(store) => {
                store.kept().for_each(|(source, kept)| shared.counts.begin(source, kept));
                let theirs = Arc::clone(&shared);
                let started = std::thread::Builder::new()
                    .name("quarantine".to_owned())
                    .spawn(move || keeper::run(store, asked, &theirs));
                if let Err(error) = started {
                    shared.counts.close(format!("its thread cannot be started: {error}"));
                }
            }
            Err(failed) => shared.counts.close(failed.to_string()),
        }
        Self { ops, shared }
    }

    async fn ask<T>(
        &self,
        op: impl FnOnce(oneshot::Sender<Result<T, QuarantineError>>) -> Op,
    ) -> Result<T, QuarantineError> {
        let (reply, answer) = oneshot::channel();
        let gone = || QuarantineError::Closed(self.shared.counts.closed().unwrap_or_else(|| "it has ended".to_owned()));
        self.ops.send(op(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Quarantine for SqliteQuarantine {
    fn admits(&self, source: &Arc<str>, bytes: usize, now: Timestamp) -> bool {
        self.shared.options.enabled && self.shared.counts.admits(source, row::size_with(bytes), now)
    }

    fn too_large(&self, source: &Arc<str>) {
        if self.shared.options.enabled {
            self.shared.counts.left_out(source, Left::TooLarge);
        }
    }

    fn keep(&self, request: Quarantined) {
        let (source, bytes) = (Arc::clone(&request.source), row::size(&request));
        let waiting = &self.shared.waiting;
        let fits = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= WAITING_BYTES_MAX);
        if waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return self.shared.counts.left_out(&source, Left::Busy);
        }
        if let Err(refused) = self.ops.try_send(Op::Keep(Box::new(request))) {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            let left = match refused {
                mpsc::error::TrySendError::Full(_) => Left::Busy,
                mpsc::error::TrySendError::Closed(_) => {
                    self.shared.counts.close_once("it has ended");
                    Left::Failed
                }
            };
            self.shared.counts.left_out(&source, left);
        }
    }

    fn list(&self, query: QuarantineQuery) -> BoxFuture<'_, Result<Vec<QuarantineEntry>, QuarantineError>> {
        Box::pin(self.ask(|reply| Op::List { query, reply }))
    }

    fn read(&self, id: u64) -> BoxFuture<'_, Result<Option<Quarantined>, QuarantineError>> {
        Box::pin(self.ask(move |reply| Op::Read { id, reply }))
    }

    fn remove(&self, which: QuarantineSelection) -> BoxFuture<'_, Result<u64, QuarantineError>> {
        Box::pin(self.ask(|reply| Op::Remove { which, reply }))
    }

    fn erase(&self, conversation: String, dry_run: bool) -> BoxFuture<'_, Result<u64, QuarantineError>> {
        Box::pin(self.ask(move |reply| Op::Erase { conversation, dry_run, reply }))
    }

    fn status(&self) -> QuarantineStatus {
        self.shared.counts.status(self.shared.options.enabled)
    }

    fn key_uses(&self) -> BoxFuture<'_, Result<Vec<KeyUse>, QuarantineError>> {
        Box::pin(self.ask(|reply| Op::KeyUses { reply }))
    }

    fn maintain(&self, uses: Vec<KeyUse>, now: Timestamp) -> BoxFuture<'_, Result<(), QuarantineError>> {
        Box::pin(self.ask(move |reply| Op::Maintain { uses, now, reply }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Closed already is as good.
            let _ = self.ask(|reply| Op::Close { reply }).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use intake::{QuarantineCounts, Reason};

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_counted_and_the_quarantine_goes_on_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().to_owned());
        let store = Store::open(&options).unwrap();
        store.limit_pages(40);
        let quarantine = SqliteQuarantine::start(options, Ok(store));
        let keep = || {
            quarantine.keep(Quarantined {
                source: Arc::from("genesys"),
                received: Timestamp::default(),
                sender: [127, 0, 0, 1].into(),
                reason: Reason::AuthMismatch,
                headers: HeaderMap::new(),
                credential: None,
                body: Bytes::from(vec![b'x'; 8_000]),
            });
        };
        let counts = || -> QuarantineCounts { quarantine.status().sources.into_iter().next().unwrap() };
        let all = || quarantine.list(QuarantineQuery { source: None, after: None, limit: 1_000 });
        for _ in 0..60 {
            keep();
            // Waits for the thread; what was asked together with a write that fails, fails too.
            let _ = all().await;
        }
        let (kept, full) = (all().await.unwrap().len() as u64, counts());
        assert!(kept > 0 && full.failed > 0, "{full:?}");
        assert_eq!((full.requests, full.kept, full.kept + full.failed), (kept, kept, 60));
        assert_eq!((quarantine.status().closed, quarantine.shared.waiting.load(Ordering::Relaxed)), (None, 0));
        quarantine.remove(QuarantineSelection::All).await.unwrap();
        keep();
        assert_eq!((all().await.unwrap().len(), counts().failed), (1, full.failed));
    }
}
