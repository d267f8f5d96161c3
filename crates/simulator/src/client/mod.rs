//! Sends a contact centre's requests to a server, again and again until each is acknowledged.
//!
//! By default a request is sent only when every earlier request with an event of the same conversation has its answer,
//! so that the order in which the server publishes is the order of the ordinals. The server may be killed and started
//! again during the run, also at another address ([`Client::retarget`]). It runs on a thread of its own and ends by
//! itself: when all requests have their answer, or at the deadline.

mod options;
mod order;
mod report;
mod run;
mod send;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::SimulatorError;
use crate::contact_centre::Request;
use crate::error::loopback;
pub use options::{Auth, Options};
pub use report::{Progress, Report, Retried};
use run::Run;

/// A run that is going on. It is broken off when this is dropped.
#[derive(Debug)]
pub struct Client {
    report: Arc<Mutex<Report>>,
    answered: Arc<Mutex<u64>>,
    target: watch::Sender<SocketAddr>,
    stop: watch::Sender<bool>,
    ended: Arc<Ended>,
    thread: Option<JoinHandle<()>>,
}

/// Says that a run's thread is at its end.
#[derive(Debug, Default)]
struct Ended {
    yes: Mutex<bool>,
    told: Condvar,
}

impl Client {
    /// Starts to send `requests`.
    ///
    /// # Errors
    /// If a setting is out of its range, or no thread can be started.
    pub fn start(
        options: Options,
        requests: impl Iterator<Item = Request> + Send + 'static,
    ) -> Result<Self, SimulatorError> {
        options.check()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SimulatorError::io("starting the client's runtime"))?;
        let (target, target_now) = watch::channel(options.target);
        let (stop, stopped) = watch::channel(false);
        let run = Arc::new(Run::new(options, requests, target_now));
        let (report, answered) = (Arc::clone(&run.report), Arc::clone(&run.answered));
        let ended = Arc::new(Ended::default());
        let tell = TellEnd(Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name("contact-centre".to_owned())
            .spawn(move || {
                let _tell = tell;
                runtime.block_on(run.all(stopped));
            })
            .map_err(SimulatorError::io("starting the client's thread"))?;
        Ok(Self { report, answered, target, stop, ended, thread: Some(thread) })
    }

    /// Sends to another address from now on, when the server was started again elsewhere.
    ///
    /// # Errors
    /// If it is not a loopback address.
    pub fn retarget(&self, target: SocketAddr) -> Result<(), SimulatorError> {
        self.target.send_replace(loopback(target)?);
        Ok(())
    }

    /// How far the run is; cheap enough to ask many times a second.
    pub fn progress(&self) -> Progress {
        let answered = *self.answered.lock();
        let report = self.report.lock();
        Progress {
            sent: report.sent,
            answered,
            accepted: report.accepted,
            duplicates: report.duplicates,
            retried: report.retried.total(),
            finished: *self.ended.yes.lock(),
        }
    }

    /// Waits for the end of the run, and calls `on_progress` about every `every` until then.
    pub fn wait(mut self, every: Duration, mut on_progress: impl FnMut(Progress)) -> Report {
        let ended = Arc::clone(&self.ended);
        loop {
            on_progress(self.progress());
            let mut yes = ended.yes.lock();
            if *yes || !ended.told.wait_for(&mut yes, every).timed_out() {
                break;
            }
        }
        self.join();
        on_progress(self.progress());
        std::mem::take(&mut *self.report.lock())
    }

    /// Breaks the run off. Requests in flight count as not acknowledged.
    pub fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        self.join();
        std::mem::take(&mut *self.report.lock())
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; what it had no answer for counts as not acknowledged.
            let _ = thread.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.join();
    }
}

/// Tells when it is dropped, so also when the thread panics.
struct TellEnd(Arc<Ended>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        *self.0.yes.lock() = true;
        self.0.told.notify_all();
    }
}

#[cfg(test)]
mod tests;
