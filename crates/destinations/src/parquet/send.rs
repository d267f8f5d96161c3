//! One attempt: hands the payload to the journal and waits until it is synced.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use event::Event;
use object_store::ObjectStore;
use tokio::sync::{mpsc, oneshot};

use super::erase::Ask;
use super::held::Held;
use super::journal::{Journal, Rules};
use super::lake::Lake;
use super::memory;
use super::options::Options;
use super::shared::{Kept, Shared, locked};
use super::take::{self, Line};
use super::upload::Uploader;
use super::work::Worker;
use crate::{
    BoxFuture, Destination, Erased, Erasure, OpenError, OutgoingDelivery, Receipt, SendError, Standing, TakesOutcomes,
    Took,
};
use storage::Location;

/// How long a file may take to be written to the store.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Outcomes as Parquet files in an object store. Its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct ParquetDestination {
    lines: mpsc::Sender<Line>,
    shared: Arc<Shared>,
    _work: Arc<Work>,
}

/// Ends the thread that goes to the store, when it is dropped.
struct Work(Arc<Shared>);

impl Drop for Work {
    fn drop(&mut self) {
        locked(&self.0.orders).stop = true;
        self.0.wake.notify_all();
    }
}

impl ParquetDestination {
    /// Opens the journal and the store, and starts what writes to both. A store that cannot be reached is no error.
    ///
    /// # Errors
    /// What is wrong with an option, or with the journal.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        options.check()?;
        Self::open_in(options, crate::store::open(&options.location, UPLOAD_TIMEOUT)?)
    }

    /// The same, in a store that is open.
    pub(super) fn open_in(options: &Options, objects: Arc<dyn ObjectStore>) -> Result<Self, OpenError> {
        let (rules, memory) = (options.check()?, memory::part());
        // A segment is read as a whole to be written, and becomes columns and files.
        let segment_bytes = rules.segment_bytes.min(memory);
        let rules = Rules { segment_bytes, ..rules };
        let journal = Journal::open(&options.journal, rules, || hex::encode(rand::random::<[u8; 8]>()))?;
        let directory = match &options.location {
            Location::Directory(path) => Some(path.clone()),
            _ => None,
        };
        let lake = Lake { objects, directory };
        let uploader = Uploader { lake, grain: options.partition, journal: journal.name().to_owned() };
        let shared = Arc::new(Shared {
            size: Mutex::new(journal.size()),
            kept: parking_lot::Mutex::new(Kept { journal, held: Held::new(memory) }),
            grain: options.partition,
            trouble: Mutex::new(None),
            unmerged: Mutex::new(None),
            orders: Mutex::default(),
            wake: Condvar::new(),
            shown: options.location.shown(),
        });
        let failed = |source| OpenError::File { path: options.journal.clone(), source };
        let (lines, queue) = mpsc::channel(take::WAITING);
        let theirs = Arc::clone(&shared);
        start("parquet-journal", move || take::take(&theirs, queue)).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let worker = Worker::new(Arc::clone(&shared), uploader, options.merging(memory), runtime);
        let work = Arc::new(Work(Arc::clone(&shared)));
        start("parquet-store", move || worker.run()).map_err(failed)?;
        Ok(Self { lines, shared, _work: work })
    }

    /// Whether the options make sense. Makes and locks nothing, so it can be asked while a server runs.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn check(options: &Options) -> Result<(), OpenError> {
        options.check().map(drop)
    }
}

/// Threads of their own: they do nothing but wait for a disk or a store.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn gone() -> SendError {
    SendError::transient("the journal's writer has stopped")
}

impl TakesOutcomes for ParquetDestination {
    fn take(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Result<Took, SendError>>> {
        Box::pin(async move {
            let count = events.len();
            if let Err(down) = self.shared.check() {
                return vec![Err(down); count];
            }
            let (synced, done) = oneshot::channel();
            if self.lines.send(Line::Many { events, synced }).await.is_err() {
                return vec![Err(gone()); count];
            }
            done.await.unwrap_or_else(|_| vec![Err(gone()); count])
        })
    }
}

impl Destination for ParquetDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            self.shared.check()?;
            let (synced, done) = oneshot::channel();
            let line = Line::One { event: delivery.event, payload: delivery.payload, synced };
            self.lines.send(line).await.map_err(|_| gone())?;
            done.await.unwrap_or_else(|_| Err(gone())).map(|()| Receipt::default())
        })
    }

    fn outcomes(&self) -> Option<&dyn TakesOutcomes> {
        Some(self)
    }

    fn erases(&self) -> bool {
        true
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Option<Erased>, SendError>> {
        Box::pin(async move {
            let (answer, done) = oneshot::channel();
            locked(&self.shared.orders).asks.push_back(Ask { erasure, answer });
            self.shared.wake.notify_all();
            let gone = || "the thread that goes to the store has stopped".to_owned();
            let shown = &self.shared.shown;
            let failed = |problem| SendError::transient(format!("erasing from {shown}: {problem}"));
            done.await.unwrap_or_else(|_| Err(gone())).map(Some).map_err(failed)
        })
    }

    fn standing(&self) -> Option<Standing> {
        let size = *locked(&self.shared.size);
        let problem = |problem: &Mutex<Option<String>>| locked(problem).clone();
        let problem = problem(&self.shared.trouble).or_else(|| problem(&self.shared.unmerged));
        Some(Standing { rows: size.rows, bytes: size.bytes, problem })
    }
}
