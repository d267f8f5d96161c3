//! A destination that cannot be opened as things are when the server starts: a table with other columns, a directory that
//! is missing, a file that somebody else writes.
//!
//! Nobody else is concerned: intake and the other destinations run, and its own events wait as in an outage, which spends
//! nothing of their retry budgets. It is tried again with growing pauses, and whenever a delivery is attempted. Nothing
//! is kept, so a crash leaves nothing behind.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use destinations::{
    BoxFuture, Destination, Erased, Erasure, OutgoingDelivery, Receipt, SendError, Standing, TakesOutcomes,
};
use event::Timestamp;
use parking_lot::Mutex;
use queue::Queue;
use transcripts::Transcripts;

use super::super::ConfigError;
use crate::serve::now;

/// First pause between two tries, doubled up to [`LONGEST_PAUSE`]: what was just mended is found soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries; a try asks a database or a disk, and may take seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Shortest time between two tries that deliveries ask for: those that fail together are one try.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Opens a destination; blocks.
pub(super) type Open = dyn Fn() -> Result<Arc<dyn Destination>, ConfigError> + Send + Sync;

/// A destination as it was made: opened, or tried again until it is.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) destination: Arc<dyn Destination>,
    fetching: Option<Fetching>,
    unusable: Option<Arc<Unusable>>,
}

/// Why a destination cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Since when.
    pub(crate) since: Timestamp,
    /// The setting, and what is wrong with what it names.
    pub(crate) problem: String,
}

struct Unusable {
    name: String,
    open: Box<Open>,
    opened: OnceLock<Arc<dyn Destination>>,
    trouble: Mutex<Trouble>,
    /// When it was tried last; held while it is tried.
    tried: Mutex<Timestamp>,
    tended: AtomicBool,
}

impl Made {
    /// One that is open.
    pub(super) fn of(destination: Arc<dyn Destination>) -> Self {
        Self { destination, fetching: None, unusable: None }
    }

    /// The same, which fetches transcripts.
    pub(super) fn that_fetches(self, fetching: Option<Fetching>) -> Self {
        Self { fetching, ..self }
    }

    /// What fetches transcripts, if it does that.
    pub(crate) fn fetching(&self) -> Option<&Fetching> {
        self.fetching.as_ref()
    }

    /// One that cannot be opened now, for this `error`.
    pub(super) fn unusable(name: &str, error: &ConfigError, open: Box<Open>) -> Self {
        let unusable = Arc::new(Unusable {
            name: name.to_owned(),
            open,
            opened: OnceLock::new(),
            trouble: Mutex::new(Trouble { since: now(), problem: error.in_a_line() }),
            tried: Mutex::new(now()),
            tended: AtomicBool::new(false),
        });
        Self { destination: Arc::new(Waiting(Arc::clone(&unusable))), fetching: None, unusable: Some(unusable) }
    }

    /// Why it cannot be used, if so.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let unusable = self.unusable.as_ref().filter(|unusable| unusable.opened.get().is_none())?;
        Some(unusable.trouble.lock().clone())
    }

    /// Tries again until it can be used, or nobody wants it any more. Needs a runtime.
    pub(crate) fn tend(&self) {
        let Some(unusable) = &self.unusable else { return };
        if unusable.tended.swap(true, Relaxed) {
            return;
        }
        let Trouble { problem, .. } = unusable.trouble.lock().clone();
        tracing::error!(
            destination = unusable.name,
            problem,
            "a destination cannot be used; its events wait, all others are delivered; mend it, it is tried again by itself"
        );
        let (weak, mut pause) = (Arc::downgrade(unusable), FIRST_PAUSE);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                let Some(unusable) = weak.upgrade() else { return };
                if unusable.opened(Duration::ZERO).await.is_ok() {
                    return;
                }
            }
        });
    }
}

impl Unusable {
    /// The destination, which is tried if the last try is so long ago.
    async fn opened(self: &Arc<Self>, ago: Duration) -> Result<Arc<dyn Destination>, String> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let unusable = Arc::clone(self);
        // On a thread that goes on to its end although the attempt is given up, so that nothing is opened twice.
        let tried = tokio::task::spawn_blocking(move || unusable.try_now(ago)).await;
        tried.unwrap_or_else(|error| Err(format!("opening it ended early: {error}")))
    }

    fn try_now(&self, ago: Duration) -> Result<Arc<dyn Destination>, String> {
        // Whoever comes while it is tried does not wait for that.
        if let Some(mut tried) = self.tried.try_lock() {
            if let Some(opened) = self.opened.get() {
                return Ok(Arc::clone(opened));
            }
            // After the clock was set back it counts as long ago.
            if *tried > now() || tried.until(now()) >= ago {
                let opened = (self.open)();
                *tried = now();
                match opened {
                    Ok(destination) => {
                        tracing::info!(destination = self.name, "the destination can be used now, its events go out");
                        return Ok(Arc::clone(self.opened.get_or_init(|| destination)));
                    }
                    Err(error) => self.trouble.lock().problem = error.in_a_line(),
                }
            }
        }
        Err(self.trouble.lock().problem.clone())
    }
}

/// Sends as soon as it can be opened.
struct Waiting(Arc<Unusable>);

impl Destination for Waiting {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let opened = self.0.opened(TRY_EVERY).await;
            opened
                .map_err(|problem| SendError::transient(format!("it cannot be used: {problem}")))?
                .send(delivery)
                .await
        })
    }

    fn outcomes(&self) -> Option<&dyn TakesOutcomes> {
        self.0.opened.get()?.outcomes()
    }

    /// As long as it is not known what it is, something may be in it.
    fn erases(&self) -> bool {
        self.0.opened.get().is_none_or(|opened| opened.erases())
    }

    fn erase(&self, erasure: Erasure) -> BoxFuture<'_, Result<Option<Erased>, SendError>> {
        Box::pin(async move {
            let opened = self.0.opened(TRY_EVERY).await;
            opened
                .map_err(|problem| SendError::transient(format!("it cannot be used: {problem}")))?
                .erase(erasure)
                .await
        })
    }

    fn standing(&self) -> Option<Standing> {
        self.0.opened.get()?.standing()
    }
}

/// What of a destination fetches transcripts, as soon as it is open and there is a queue to tell.
#[derive(Clone)]
pub(crate) struct Fetching(Arc<Cells>);

struct Cells {
    give_up: Duration,
    transcripts: OnceLock<Transcripts>,
    queue: OnceLock<Arc<dyn Queue>>,
}

impl Fetching {
    pub(super) fn new(give_up: Duration) -> Self {
        Self(Arc::new(Cells { give_up, transcripts: OnceLock::new(), queue: OnceLock::new() }))
    }

    /// For how long it waits for a transcript.
    pub(crate) fn give_up(&self) -> Duration {
        self.0.give_up
    }

    /// It, if it is open.
    pub(crate) fn opened(&self) -> Option<Transcripts> {
        self.0.transcripts.get().cloned()
    }

    pub(super) fn is_open(&self, transcripts: Transcripts) {
        let _ = self.0.transcripts.set(transcripts);
        self.introduce();
    }

    /// Where it tells of transcripts.
    pub(crate) fn connect(&self, queue: Arc<dyn Queue>) {
        let _ = self.0.queue.set(queue);
        self.introduce();
    }

    /// Whoever comes second finds the other.
    fn introduce(&self) {
        if let (Some(transcripts), Some(queue)) = (self.0.transcripts.get(), self.0.queue.get()) {
            transcripts.connect(Arc::clone(queue));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;

    use super::*;

    struct Takes;

    impl Destination for Takes {
        fn send(&self, _: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
            Box::pin(async { Ok(Receipt::default()) })
        }
    }

    fn delivery() -> OutgoingDelivery {
        OutgoingDelivery {
            event: event::EventId::from_bytes([8; 16]),
            source: "genesys".into(),
            topic: "".into(),
            conversation: None,
            received: event::Timestamp::default(),
            behind_dead: false,
            payload: Bytes::from_static(b"{}"),
            replayed: false,
            trace: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_opened_is_tried_again_and_fails_in_passing_until_then() {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let error =
            || ConfigError::Unusable { key: "destinations.lake.table".to_owned(), problem: "is gone".to_owned() };
        let open = move || match counted.fetch_add(1, Relaxed) {
            0..3 => Err(error()),
            _ => Ok(Arc::new(Takes) as Arc<dyn Destination>),
        };
        let made = Made::unusable("lake", &error(), Box::new(open));
        let failed = made.destination.send(delivery()).await.unwrap_err();
        assert_eq!(failed.class, destinations::ErrorClass::Transient);
        assert_eq!(failed.message, "it cannot be used: destinations.lake.table: is gone");
        // The start has just tried it, so this was no try.
        assert_eq!(tries.load(Relaxed), 0);
        made.tend();
        made.tend();
        tokio::time::timeout(Duration::from_secs(3_600), async {
            while made.trouble().is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(tries.load(Relaxed), 4, "one task tries");
        assert!(made.destination.send(delivery()).await.is_ok());
    }
}
