//! A CRM: an HTTP server that upserts one row per `Idempotency-Key`, keeps a ledger of every request, and fails on
//! command.
//!
//! Any `PUT`, `POST` or `PATCH` to any path is an upsert of the row that the `Idempotency-Key` names, or the path if
//! there is none; it is answered 201 the first time and 200 afterwards. It runs on a thread of its own, so that it
//! neither slows down its neighbours in the process nor waits for them. Rows live in memory only.

mod fault;
mod ledger;
mod serve;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::loopback;
use crate::{SimulatorError, Tag};
use fault::Active;
pub use fault::Fault;
pub use ledger::{Entry, Report};
use serve::Shared;

/// Settings of a [`Crm`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where to listen; loopback only. Default 127.0.0.1 with a port of the system's choice.
    pub listen: SocketAddr,
    /// How many of the latest requests [`Crm::entries`] can show, at 36 bytes each. Default 100,000; counts cover all.
    pub entries_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), entries_max: 100_000 }
    }
}

/// A CRM that is running. It stops when this is dropped.
#[derive(Debug)]
pub struct Crm {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Crm {
    /// Starts a CRM; it accepts connections when this returns.
    ///
    /// # Errors
    /// If the address is not a loopback address or is taken, or no thread can be started.
    pub fn start(options: Options) -> Result<Self, SimulatorError> {
        let listen = loopback(options.listen)?;
        let listener = TcpListener::bind(listen).map_err(SimulatorError::io(format!("listening on {listen}")))?;
        let address = listener.local_addr().map_err(SimulatorError::io("asking for the CRM's address"))?;
        listener.set_nonblocking(true).map_err(SimulatorError::io("preparing the CRM's socket"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SimulatorError::io("starting the CRM's runtime"))?;
        let shared = Arc::new(Shared::new(options.entries_max));
        let (stop, stopped) = watch::channel(false);
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("crm".to_owned())
            .spawn(move || runtime.block_on(serve::serve(listener, serving, stopped)))
            .map_err(SimulatorError::io("starting the CRM's thread"))?;
        Ok(Self { address, shared, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails in this way until [`Crm::clear`] or the next fault.
    pub fn fail(&self, fault: Fault) {
        self.shared.set_fault(Some(Active { fault, until: None }));
    }

    /// Fails in this way for so long from now.
    pub fn fail_for(&self, fault: Fault, duration: Duration) {
        self.shared.set_fault(Some(Active { fault, until: Instant::now().checked_add(duration) }));
    }

    /// Works again. Requests that were held are closed without an answer.
    pub fn clear(&self) {
        self.shared.set_fault(None);
    }

    /// The fault that is on.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.fault(Instant::now()).map(|active| active.fault)
    }

    /// The numbers so far.
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// When an event was last written for the first time; what came later were repeats.
    pub fn last_first_write(&self) -> Option<Instant> {
        self.shared.books.lock().last_first_write()
    }

    /// Whether the event has a row.
    pub fn has(&self, tag: Tag) -> bool {
        self.shared.books.lock().has(tag)
    }

    /// Which of these events have no row.
    pub fn missing(&self, tags: impl IntoIterator<Item = Tag>) -> Vec<Tag> {
        let books = self.shared.books.lock();
        tags.into_iter().filter(|tag| !books.has(*tag)).collect()
    }

    /// The latest requests, in the order in which they were answered.
    pub fn entries(&self) -> Vec<Entry> {
        self.shared.books.lock().entries().copied().collect()
    }

    /// Stops listening and closes all connections.
    pub fn stop(mut self) -> Report {
        self.halt();
        self.report()
    }

    fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

impl Drop for Crm {
    fn drop(&mut self) {
        self.halt();
    }
}

#[cfg(test)]
mod tests;
