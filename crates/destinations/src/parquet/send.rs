//! One attempt: checks that the payload is a row, hands it to the journal and waits until it is synced.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use event::EventId;
use tokio::sync::{mpsc, oneshot};

use super::frame::Record;
use super::journal::{Journal, Refused};
use super::options::Options;
use super::row::Row;
use super::upload::Uploader;
use crate::clock;
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError};
use storage::Location;

/// Deliveries that may wait for the journal. Senders beyond wait for room, so memory is bounded whatever the disk does;
/// delivery's concurrency limit is usually lower.
const WAITING: usize = 1_024;
/// Most bytes of payloads that share a sync; beyond it a sync is no longer cheaper for each.
const GROUP_BYTES: usize = 1024 * 1024;
/// How often it is looked whether a segment is old enough.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a file may take to be written to the store.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed upload, doubled up to [`MAX_PAUSE`]: a store that is back is found soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Outcomes as Parquet files in an object store. Its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct ParquetDestination {
    lines: mpsc::Sender<Line>,
    shared: Arc<Shared>,
    _uploads: Arc<Uploads>,
}

/// A delivery on its way into the journal.
struct Line {
    event: EventId,
    time: i64,
    payload: Bytes,
    synced: oneshot::Sender<Result<(), SendError>>,
}

struct Shared {
    journal: Mutex<Journal>,
    /// Why the last upload failed; none if it did not.
    trouble: Mutex<Option<String>>,
    stopped: Mutex<bool>,
    wake: Condvar,
    shown: String,
}

/// Ends the thread that uploads, when it is dropped.
struct Uploads(Arc<Shared>);

impl Drop for Uploads {
    fn drop(&mut self) {
        *locked(&self.0.stopped) = true;
        self.0.wake.notify_all();
    }
}

/// What a panic left behind is whole: nothing is half done while a lock is held but what is written anew.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ParquetDestination {
    /// Opens the journal and the store, and starts what writes to both. A store that cannot be reached is no error.
    ///
    /// # Errors
    /// What is wrong with an option, or with the journal.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let rules = options.check()?;
        let objects = crate::store::open(&options.location, UPLOAD_TIMEOUT)?;
        let journal = Journal::open(&options.journal, rules, || hex::encode(rand::random::<[u8; 8]>()))?;
        let directory = match &options.location {
            Location::Directory(path) => Some(path.clone()),
            Location::S3(_) => None,
        };
        let uploader = Uploader { objects, grain: options.partition, journal: journal.name().to_owned(), directory };
        let shared = Arc::new(Shared {
            journal: Mutex::new(journal),
            trouble: Mutex::new(None),
            stopped: Mutex::new(false),
            wake: Condvar::new(),
            shown: options.location.shown(),
        });
        let failed = |source| OpenError::File { path: options.journal.clone(), source };
        let uploads = Arc::new(Uploads(Arc::clone(&shared)));
        let (lines, queue) = mpsc::channel(WAITING);
        let theirs = Arc::clone(&shared);
        start("parquet-journal", move || write(&theirs, queue)).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let theirs = Arc::clone(&shared);
        start("parquet-upload", move || upload(&theirs, &uploader, &runtime)).map_err(failed)?;
        Ok(Self { lines, shared, _uploads: uploads })
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

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = clock::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Serves lines until nobody can send any more.
fn write(shared: &Shared, mut lines: mpsc::Receiver<Line>) {
    while let Some(first) = lines.blocking_recv() {
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(line) = next {
            bytes += line.payload.len();
            group.push(line);
            next = if bytes < GROUP_BYTES { lines.try_recv().ok() } else { None };
        }
        let record = |line| {
            let Line { event, time, payload, .. }: &Line = line;
            Record { event: *event, time: *time, payload }
        };
        let records: Vec<_> = group.iter().map(record).collect();
        let result = locked(&shared.journal).append(&records, now()).map_err(|refused| shared.explain(&refused));
        for line in group {
            // Whoever gave up waiting does not want to know.
            let _ = line.synced.send(result.clone());
        }
    }
}

/// Closes segments that are old enough, and writes closed ones, until it is told to stop.
fn upload(shared: &Shared, uploader: &Uploader, runtime: &tokio::runtime::Runtime) {
    let mut pause = FIRST_PAUSE;
    let mut wait = Duration::ZERO;
    loop {
        let stopped = locked(&shared.stopped);
        let pausing = |stopped: &mut bool| !*stopped && !wait.is_zero();
        let (stopped, _) =
            shared.wake.wait_timeout_while(stopped, wait, pausing).unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return;
        }
        drop(stopped);
        match shared.write_oldest(uploader, runtime) {
            Ok(is_more) => {
                *locked(&shared.trouble) = None;
                pause = FIRST_PAUSE;
                wait = if is_more { Duration::ZERO } else { LOOK_EVERY };
            }
            Err(problem) => {
                *locked(&shared.trouble) = Some(problem);
                wait = pause;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

impl Shared {
    /// Writes the oldest closed segment, if there is one; whether there was.
    fn write_oldest(&self, uploader: &Uploader, runtime: &tokio::runtime::Runtime) -> Result<bool, String> {
        let oldest = {
            let mut journal = locked(&self.journal);
            journal.close_if_due(now()).map_err(|error| format!("closing a segment of the journal: {error}"))?;
            journal.oldest_closed()
        };
        let Some((number, path)) = oldest else { return Ok(false) };
        let ids = runtime.block_on(uploader.write(number, &path)).map_err(|failed| failed.to_string())?;
        let dropped = locked(&self.journal).drop_segment(number, &ids);
        dropped.map_err(|error| format!("dropping a segment of the journal: {error}"))?;
        Ok(true)
    }

    fn explain(&self, refused: &Refused) -> SendError {
        match refused {
            Refused::Full => SendError::transient(format!(
                "the journal is full, and what is in it is not in {} yet; deliveries wait until it is, or raise \
                 `journal_bytes`",
                self.shown
            )),
            Refused::Disk(error) => SendError::transient(format!("cannot write the journal: {error}")),
        }
    }

    /// While files cannot be written, nothing more is taken over: that the store is down is seen here then, and not only
    /// when the journal is full.
    fn check(&self) -> Result<(), SendError> {
        match &*locked(&self.trouble) {
            Some(problem) => Err(SendError::transient(format!("cannot write to {}: {problem}", self.shown))),
            None => Ok(()),
        }
    }
}

impl Destination for ParquetDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let time = Row::parse(&delivery.payload)
                .map_err(|misfit| SendError::permanent(misfit.to_string()))?
                .time()
                .unwrap_or_else(now);
            self.shared.check()?;
            let gone = || SendError::transient("the journal's writer has stopped");
            let (synced, done) = oneshot::channel();
            let line = Line { event: delivery.event, time, payload: delivery.payload, synced };
            self.lines.send(line).await.map_err(|_| gone())?;
            done.await.unwrap_or_else(|_| Err(gone())).map(|()| Receipt::default())
        })
    }
}
