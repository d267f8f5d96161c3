//! The hold that others have on a running service.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Error, Health};

/// Whether a service was told to stop, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// Attempts have the drain time.
    Drain,
    /// Attempts have as long as they may take.
    Finish,
}

/// A running service. Dropping it stops the service, without waiting for its end.
#[derive(Debug)]
pub struct Handle {
    pub(crate) destination: Arc<str>,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: watch::Sender<Stop>,
    pub(crate) pause: watch::Sender<bool>,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

impl Handle {
    /// The name of the destination.
    pub fn destination(&self) -> &Arc<str> {
        &self.destination
    }

    /// Its numbers.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Tells the service to stop: it leases nothing more, waits for the attempts under way up to its drain time, gives
    /// the others back, and settles. Does not wait for that.
    pub fn stop(&self) {
        self.stop.send_replace(Stop::Drain);
    }

    /// Tells the service to stop like [`Self::stop`], but lets every attempt under way end, however long it may take: for
    /// a service that another one follows, so that nothing is delivered twice.
    pub fn finish(&self) {
        self.stop.send_replace(Stop::Finish);
    }

    /// Whether it is paused by hand.
    pub fn is_paused(&self) -> bool {
        *self.pause.borrow()
    }

    /// Lets nothing more go out until [`Self::resume`]. What is under way ends as it would.
    pub fn pause(&self) {
        self.pause.send_replace(true);
    }

    /// Lets deliveries go out again.
    pub fn resume(&self) {
        self.pause.send_replace(false);
    }

    /// Pauses and resumes it, for those who may do nothing else to it.
    pub fn switch(&self) -> Switch {
        Switch { destination: Arc::clone(&self.destination), pause: self.pause.clone() }
    }

    /// Waits for the end of the service. Unless it was told to stop, it ends only with an error.
    pub async fn ended(&mut self) -> Result<(), Error> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(_) => Err(Error::Bug { destination: self.destination.to_string() }),
        }
    }
}

/// Pauses and resumes a service. All clones switch the same one; one whose service has ended does nothing.
#[derive(Debug, Clone)]
pub struct Switch {
    destination: Arc<str>,
    pause: watch::Sender<bool>,
}

impl Switch {
    /// The name of the destination.
    pub fn destination(&self) -> &Arc<str> {
        &self.destination
    }

    /// Lets nothing more go out while `paused`. What is under way ends as it would.
    pub fn set_paused(&self, paused: bool) {
        self.pause.send_replace(paused);
    }
}
