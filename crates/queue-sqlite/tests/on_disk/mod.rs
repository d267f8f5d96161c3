//! The embedded queue in a directory of its own, for the suites.

use std::sync::Arc;

use queue::conformance::Harness;
use queue::{Options, Queue};
use queue_sqlite::SqliteQueue;
use tempfile::TempDir;

pub(crate) struct OnDisk {
    pub(crate) dir: TempDir,
    options: Options,
    queue: Option<Arc<SqliteQueue>>,
}

impl OnDisk {
    fn open(&self) -> Arc<SqliteQueue> {
        let options = queue_sqlite::Options { queue: self.options, ..queue_sqlite::Options::new(self.dir.path()) };
        Arc::new(SqliteQueue::open(&options).expect("opens"))
    }
}

impl Harness for OnDisk {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut harness = Self { dir, options, queue: None };
        harness.queue = Some(harness.open());
        harness
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(self.queue.as_ref().expect("open")) as Arc<dyn Queue>
    }

    /// Opens a copy of the files as they are while the queue is still open: what a kill would leave.
    fn crash(&mut self) {
        let copy = tempfile::tempdir().expect("a directory");
        // The shared memory of the log is rebuilt from the log itself.
        for name in ["queue.db", "queue.db-wal"].iter().filter(|name| self.dir.path().join(name).exists()) {
            std::fs::copy(self.dir.path().join(name), copy.path().join(name)).expect("copies");
        }
        self.queue = None;
        self.dir = copy;
        self.queue = Some(self.open());
    }
}
