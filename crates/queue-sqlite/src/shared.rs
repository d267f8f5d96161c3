//! What the writer thread, the readers and the callers share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use queue::{ConsumerId, DeadLetter, Order, QueueError, Router, Routes, Target, Times};

use crate::consumer::{Consumer, conversation_key};
use crate::data_file::DataFile;
use crate::failure::Failed;
use crate::inbox::Inbox;
use crate::reader::Readers;
use crate::schema;

/// Where the next queue that this process opens begins to count erasures: what was read of one that was open before is never
/// taken for what this one says.
static FIRST_ERASURE: AtomicU64 = AtomicU64::new(0);
/// Erasures that are counted without coming to the first of the next queue.
const ERASURES: u64 = 1 << 32;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) inbox: Inbox,
    pub(crate) readers: Readers,
    pub(crate) times: Times,
    /// Every consumer that the store knows, configured or not.
    pub(crate) consumers: RwLock<Vec<Arc<Consumer>>>,
    pub(crate) routing: RwLock<Option<Arc<Routing>>>,
    /// The last committed place.
    pub(crate) last: AtomicU64,
    pub(crate) counts: Counts,
    /// Retention drops nothing from here on.
    pub(crate) keep_from: AtomicU64,
    /// Pieces that were erased, counted from [`FIRST_ERASURE`] on.
    pub(crate) erasures: AtomicU64,
    /// Held by an erasure.
    pub(crate) erasing: tokio::sync::Mutex<()>,
    poisoned: OnceLock<QueueError>,
    /// The last field, because every connection has to be closed before it.
    pub(crate) file: DataFile,
}

/// The present router, as the writer and the readers use it.
pub(crate) struct Routing {
    pub(crate) router: Arc<dyn Router>,
    /// The destinations by the numbers that the router gives them.
    pub(crate) names: Vec<Arc<str>>,
}

impl std::fmt::Debug for Routing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routing").finish_non_exhaustive()
    }
}

/// Counters as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) duplicates: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) unmatched: AtomicU64,
    pub(crate) redriven: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) identities: AtomicU64,
    pub(crate) floor: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    /// Events that were found damaged since start.
    pub(crate) damaged: AtomicU64,
}

impl Shared {
    /// The state of a queue in a directory that holds a database already.
    pub(crate) fn new(
        dir: PathBuf,
        times: Times,
        readers: Readers,
        consumers: Vec<Arc<Consumer>>,
    ) -> Result<Self, Failed> {
        let path = dir.join(schema::FILE);
        let opened = DataFile::open(&path);
        let file = opened.map_err(|error| Failed::Disk(format!("opening {}: {error}", path.display())))?;
        Ok(Self {
            dir,
            inbox: Inbox::default(),
            readers,
            times,
            consumers: RwLock::new(consumers),
            routing: RwLock::new(None),
            last: AtomicU64::new(0),
            counts: Counts::default(),
            keep_from: AtomicU64::new(u64::MAX),
            erasures: AtomicU64::new(FIRST_ERASURE.fetch_add(ERASURES, Ordering::Relaxed)),
            erasing: tokio::sync::Mutex::default(),
            poisoned: OnceLock::new(),
            file,
        })
    }

    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    pub(crate) fn routing(&self) -> Option<Arc<Routing>> {
        self.routing.read().clone()
    }

    /// The names of the destinations of an event.
    pub(crate) fn names_of(&self, routes: &Routes) -> Vec<Arc<str>> {
        let routing = self.routing.read();
        let name = |target: &Target| routing.as_ref()?.names.get(usize::from(target.consumer)).cloned();
        routes.iter().filter_map(name).collect()
    }

    pub(crate) fn consumer(&self, id: ConsumerId) -> Result<Arc<Consumer>, QueueError> {
        let consumers = self.consumers.read();
        let found = consumers.iter().find(|consumer| consumer.id == id).cloned();
        found.ok_or_else(|| QueueError::Invalid(format!("no destination has id {}", id.0)))
    }

    /// Refuses notes of nobody.
    pub(crate) fn check_noted(&self, id: ConsumerId) -> Result<(), QueueError> {
        if id == ConsumerId::QUEUE { Ok(()) } else { self.consumer(id).map(drop) }
    }

    /// A dead letter is gone for good.
    pub(crate) fn forget_dead(&self, letter: &DeadLetter) {
        let consumers = self.consumers.read();
        let of = letter.destination.as_ref().and_then(|name| consumers.iter().find(|consumer| consumer.name == *name));
        let count = of.map_or(&self.counts.dead_letters, |consumer| &consumer.dead_letters);
        count.fetch_sub(1, Ordering::Relaxed);
        if let (Some(consumer), Some(seq), Some(conversation)) = (of, letter.seq, &letter.conversation) {
            // Those that waited for it may go on.
            consumer.state.lock().window.unmark_dead(conversation_key(conversation), seq.0);
            consumer.changed.notify_one();
        }
    }

    /// Adds what is known of the conversation of a dead letter.
    pub(crate) fn with_neighbours(&self, letter: DeadLetter) -> DeadLetter {
        let consumers = self.consumers.read();
        let of = letter.destination.as_ref().and_then(|name| consumers.iter().find(|consumer| consumer.name == *name));
        let (Some(consumer), Some(seq), Some(conversation)) = (of, letter.seq, &letter.conversation) else {
            return letter;
        };
        let state = consumer.state.lock();
        if state.order == Order::None {
            return letter;
        }
        let (behind_dead, held) = state.window.about(conversation_key(conversation), seq.0);
        DeadLetter { behind_dead, held, ..letter }
    }

    /// Refuses what comes after closing.
    pub(crate) fn check_open(&self) -> Result<(), QueueError> {
        if self.inbox.is_closed() { Err(QueueError::Closed) } else { Ok(()) }
    }

    /// Why the queue has stopped, if it has.
    pub(crate) fn poison(&self) -> Option<QueueError> {
        self.poisoned.get().cloned()
    }

    /// Stops the queue for good; only the first reason counts.
    pub(crate) fn set_poisoned(&self, failed: &Failed) -> QueueError {
        let error = match failed {
            Failed::Damaged(detail) => QueueError::Damaged { detail: detail.clone() },
            other => QueueError::Poisoned { reason: other.to_string() },
        };
        if self.poisoned.set(error.clone()).is_ok() {
            tracing::error!(%error, "the queue has stopped; nothing new is accepted until a restart");
            self.wake_all();
        }
        error
    }

    /// Lets every destination look again, for example to be told that the queue has stopped.
    pub(crate) fn wake_all(&self) {
        self.consumers.read().iter().for_each(|consumer| consumer.changed.notify_one());
    }

    /// Takes note of a failure: a fatal one stops the queue.
    pub(crate) fn note(&self, failed: &Failed) -> QueueError {
        if failed.is_fatal() { self.set_poisoned(failed) } else { failed.to_queue_error() }
    }
}
