//! Copying the write-ahead log into the database, off the commit path.
//!
//! A thread of its own copies while the writer goes on committing. It can never quite catch up with a busy writer, so
//! once little is left the writer copies the rest itself between two commits; then the log starts again from its
//! beginning. Readers never block this; they only put it off.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use crate::failure::{Failed, Place};
use crate::inbox::{Inbox, Op};
use crate::options::{CHECKPOINT_HARD_PAGES, CHECKPOINT_PAGES, CHECKPOINT_REST_PAGES};
use crate::schema;

/// Rounds after which the thread leaves the rest to the next time.
const MAX_ROUNDS: usize = 8;

/// The writer's side of checkpointing.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    shared: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
    rest_is_small: bool,
    /// After a failure: the length of the log at which the next attempt is made.
    not_before: u32,
}

#[derive(Debug, Default)]
struct Signal {
    /// Pages in the write-ahead log after the last commit.
    pages: Arc<AtomicU32>,
    working: AtomicBool,
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Wanted {
    #[default]
    Nothing,
    Checkpoint,
    Stop,
}

/// Somewhere to tell the writer; the inbox, behind whatever owns it.
pub(crate) trait Tell: Send + 'static {
    fn inbox(&self) -> &Inbox;

    /// Syncs the database file.
    fn sync(&self) -> std::io::Result<()>;
}

impl Checkpointer {
    /// Opens a connection to the database and starts the thread.
    pub(crate) fn start(dir: &Path, tell: impl Tell) -> Result<Self, Failed> {
        let connection = Connection::open(dir.join(schema::FILE)).place("opening the checkpointer's connection")?;
        connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA wal_autocheckpoint = 0;")
            .place("setting up the checkpointer")?;
        let shared = Arc::new(Signal::default());
        let signal = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("queue-checkpoint".to_owned())
            .spawn(move || work(&connection, &signal, &tell))
            .map_err(|error| Failed::Transient(format!("starting the checkpointer: {error}")))?;
        Ok(Self { shared, thread: Some(thread), rest_is_small: false, not_before: 0 })
    }

    /// Where the writer notes the length of the write-ahead log.
    pub(crate) fn pages(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.shared.pages)
    }

    /// Starts a checkpoint if the log is long enough. Returns whether the writer should copy what is left now: because
    /// it is little, or because the log has grown too long.
    pub(crate) fn poll(&mut self) -> bool {
        let pages = self.shared.pages.load(Ordering::Relaxed);
        let rest_is_small = std::mem::take(&mut self.rest_is_small);
        if pages < self.not_before {
            return rest_is_small;
        }
        if pages >= CHECKPOINT_PAGES && !self.shared.working.swap(true, Ordering::AcqRel) {
            *self.shared.wanted.lock() = Wanted::Checkpoint;
            self.shared.changed.notify_one();
        }
        rest_is_small || pages >= CHECKPOINT_HARD_PAGES
    }

    /// The thread has left little enough for the writer.
    pub(crate) fn rest_is_small(&mut self) {
        self.rest_is_small = true;
    }

    /// The writer has copied the log up to `copied` pages; if that was all, the next commit starts it anew.
    pub(crate) fn finished(&mut self, copied: i32) {
        self.not_before = 0;
        if copied.unsigned_abs() >= self.shared.pages.load(Ordering::Relaxed) {
            self.shared.pages.store(0, Ordering::Relaxed);
        }
        self.shared.working.store(false, Ordering::Release);
    }

    /// The writer could not copy; the next attempt is made when the log has grown by a fair piece.
    pub(crate) fn put_off(&mut self) {
        self.not_before = self.shared.pages.load(Ordering::Relaxed).saturating_add(CHECKPOINT_REST_PAGES);
        self.shared.working.store(false, Ordering::Release);
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        *self.shared.wanted.lock() = Wanted::Stop;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(connection: &Connection, signal: &Signal, tell: &impl Tell) {
    loop {
        let mut wanted = signal.wanted.lock();
        signal.changed.wait_while(&mut wanted, |wanted| *wanted == Wanted::Nothing);
        if *wanted == Wanted::Stop {
            return;
        }
        *wanted = Wanted::Nothing;
        drop(wanted);
        let message = match copy(connection, tell) {
            Ok(()) => Op::FinishCheckpoint,
            Err(failed) if failed.is_fatal() => Op::Poison(failed.to_string()),
            Err(failed) => {
                tracing::warn!(error = %failed, "a checkpoint has to wait");
                Op::FinishCheckpoint
            }
        };
        if tell.inbox().submit(message).is_err() {
            return;
        }
    }
}

/// Copies until little is left, and makes it durable.
///
/// SQLite syncs the database only at the end of the whole log, which the writer reaches. Without the sync here it would
/// be the writer who waits for everything that was copied.
fn copy(connection: &Connection, tell: &impl Tell) -> Result<(), Failed> {
    copy_rounds(connection, MAX_ROUNDS)?;
    tell.sync().map_err(|error| Failed::Disk(format!("syncing the database: {error}")))?;
    // Meanwhile the writer has gone on. Each round leaves what came while it copied, so the last ones are short.
    copy_rounds(connection, MAX_ROUNDS)
}

fn copy_rounds(connection: &Connection, rounds: usize) -> Result<(), Failed> {
    for _ in 0..rounds {
        let (pages, copied) =
            connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE).place("checkpointing")?;
        if (pages - copied).unsigned_abs() <= CHECKPOINT_REST_PAGES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_failed_is_tried_again_later() {
        let shared = Arc::new(Signal::default());
        let mut checkpointer = Checkpointer { shared, thread: None, rest_is_small: false, not_before: 0 };
        let wanted = |checkpointer: &Checkpointer| std::mem::take(&mut *checkpointer.shared.wanted.lock());
        checkpointer.pages().store(CHECKPOINT_PAGES, Ordering::Relaxed);
        assert!(!checkpointer.poll());
        assert_eq!(wanted(&checkpointer), Wanted::Checkpoint);
        checkpointer.rest_is_small();
        assert!(checkpointer.poll());
        checkpointer.put_off();
        assert!(!checkpointer.poll());
        assert_eq!(wanted(&checkpointer), Wanted::Nothing, "not at once");
        checkpointer.pages().fetch_add(CHECKPOINT_REST_PAGES, Ordering::Relaxed);
        assert!(!checkpointer.poll());
        assert_eq!(wanted(&checkpointer), Wanted::Checkpoint);
    }
}
