//! The embedded queue passes the conformance suite, with its cases about crashes.

use std::sync::Arc;

use queue::conformance::Harness;
use queue::{Options, Queue};
use queue_sqlite::SqliteQueue;
use tempfile::TempDir;

struct OnDisk {
    dir: TempDir,
    options: Options,
    queue: Option<Arc<SqliteQueue>>,
}

impl OnDisk {
    fn open(&self) -> Arc<SqliteQueue> {
        let options = queue_sqlite::Options { dir: self.dir.path().to_owned(), queue: self.options };
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
        for entry in std::fs::read_dir(self.dir.path()).expect("lists") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            // The shared memory of the log is rebuilt from the log itself.
            if name == "queue.db" || name == "queue.db-wal" {
                std::fs::copy(&path, copy.path().join(&name)).expect("copies");
            }
        }
        self.queue = None;
        self.dir = copy;
        self.queue = Some(self.open());
    }
}

queue::conformance_tests!(durable OnDisk);
