//! One attempt to a file: hands the line to the writer and waits until it is synced.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Options;
use super::compact::push_line;
use super::writer::{Line, Writer};
use crate::{BoxFuture, Destination, OpenError, OutgoingDelivery, Receipt, SendError};

/// Lines that may wait for the writer. Senders beyond wait for room, so memory is bounded whatever the disk does;
/// delivery's concurrency limit is usually lower.
const WAITING_LINES: usize = 1_024;

/// A file that deliveries are appended to. Its writer ends when the last clone is dropped.
#[derive(Clone)]
pub struct FileDestination {
    lines: mpsc::Sender<Line>,
}

impl FileDestination {
    /// Opens the file, cuts off a torn last line, and starts the writer.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::start(Writer::open(&options.path, Arc::new(File::sync_data))?, options)
    }

    /// Whether [`Self::open`] would find what it needs. Makes and locks nothing, so it can be asked while a server writes
    /// the file.
    pub fn check(options: &Options) -> Result<(), OpenError> {
        Writer::check(&options.path)
    }

    pub(super) fn start(writer: Writer, options: Options) -> Result<Self, OpenError> {
        let (lines, queue) = mpsc::channel(WAITING_LINES);
        // A thread of its own: it does nothing but wait for the disk.
        std::thread::Builder::new()
            .name("file-destination".into())
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::File { path: options.path, source })?;
        Ok(Self { lines })
    }
}

impl Destination for FileDestination {
    fn send(&self, delivery: OutgoingDelivery) -> BoxFuture<'_, Result<Receipt, SendError>> {
        Box::pin(async move {
            let mut text = Vec::new();
            push_line(&mut text, &delivery.payload).map_err(SendError::permanent)?;
            let (synced, done) = oneshot::channel();
            let gone = || SendError::transient("the file's writer has stopped");
            self.lines.send(Line { text, synced }).await.map_err(|_| gone())?;
            match done.await {
                Ok(Ok(())) => Ok(Receipt::default()),
                Ok(Err(problem)) => Err(SendError::transient(problem.to_string())),
                Err(_) => Err(gone()),
            }
        })
    }
}
