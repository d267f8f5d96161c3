//! What outlives the process: the files of the embedded queue, or what the in-memory reference stands for.
//!
//! A crash of the embedded queue is a copy of its files as they are. The log of the copy is cut off somewhere behind
//! the end of what had been synced when the last caller was answered: a kill leaves all of it, a loss of power any part.
//! The runs are so short that the log is only ever appended to between two openings, so its length tells what was synced.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use queue::{MemoryQueue, Options, Queue};
use queue_sqlite::SqliteQueue;
use tempfile::TempDir;

use crate::plan::Backend;

const DATABASE: &str = "queue.db";
const LOG: &str = "queue.db-wal";
/// A file system in memory, where there is one: syncs cost nothing there, and what a crash leaves is cut off by hand.
const IN_MEMORY: &str = "/dev/shm";
/// Identities that are sealed together in a short run: few, so that it sees several runs of them.
const SEAL_AT: usize = 32;

/// See the module.
pub(crate) enum Store {
    /// Between two processes there is no queue.
    Sqlite {
        dir: TempDir,
        options: Options,
        /// As many as the product seals, unless a number is given.
        seal_at: Option<usize>,
        queue: Option<Arc<SqliteQueue>>,
    },
    /// The queue, as it was left.
    Memory { queue: Arc<MemoryQueue> },
}

impl Store {
    /// An empty store.
    pub(crate) fn new(backend: Backend, options: Options) -> Result<Self> {
        Ok(match backend {
            Backend::Sqlite => Self::Sqlite { dir: directory()?, options, seal_at: Some(SEAL_AT), queue: None },
            Backend::Memory => Self::Memory { queue: Arc::new(MemoryQueue::new(options)) },
        })
    }

    /// An empty store of the embedded queue for millions of events.
    pub(crate) fn large(options: Options) -> Result<Self> {
        Ok(Self::Sqlite { dir: directory()?, options, seal_at: None, queue: None })
    }

    /// Opens it, as a process does that starts.
    pub(crate) fn open(&mut self) -> Result<Arc<dyn Queue>> {
        Ok(match self {
            Self::Sqlite { dir, options, seal_at, queue } => {
                let options = queue_sqlite::Options { queue: *options, ..queue_sqlite::Options::new(dir.path()) };
                let opened = match *seal_at {
                    Some(seal_at) => SqliteQueue::open_sealing_at(&options, seal_at),
                    None => SqliteQueue::open(&options),
                };
                queue.insert(Arc::new(opened.context("opening the queue")?)).clone()
            }
            Self::Memory { queue } => {
                *queue = Arc::new(queue.restart());
                queue.clone()
            }
        })
    }

    /// The file that grows with each commit.
    pub(crate) fn log(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite { dir, .. } => Some(dir.path().join(LOG)),
            Self::Memory { .. } => None,
        }
    }

    /// The process has ended. Of the log so many bytes are left, or all. Nobody else may hold the queue any more.
    pub(crate) fn crash(&mut self, left: Option<u64>) -> Result<()> {
        let Self::Sqlite { dir, queue, .. } = self else { return Ok(()) };
        let copy = directory()?;
        for name in [DATABASE, LOG].iter().filter(|name| dir.path().join(name).exists()) {
            fs::copy(dir.path().join(name), copy.path().join(name)).context("copying the queue's files")?;
        }
        if let Some(left) = left {
            cut(&copy.path().join(LOG), left)?;
        }
        // What its end still writes goes to files that nobody reads.
        *queue = None;
        *dir = copy;
        Ok(())
    }

    /// The process has closed its queue in good order; whether nobody holds it any more.
    pub(crate) fn release(&mut self) -> bool {
        let Self::Sqlite { queue, .. } = self else { return true };
        let free = queue.as_ref().is_none_or(|queue| Arc::strong_count(queue) == 1);
        if free {
            *queue = None;
        }
        free
    }
}

/// The length of a file; 0 if it is not there.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn cut(path: &Path, left: u64) -> Result<()> {
    if length(path) > left {
        let file = OpenOptions::new().write(true).open(path).context("opening the log to cut it off")?;
        file.set_len(left).context("cutting the log off")?;
    }
    Ok(())
}

fn directory() -> Result<TempDir> {
    let in_memory = Path::new(IN_MEMORY);
    let made = if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
    made.context("making a directory for the queue's files")
}
