//! The hand on a running intake: reload, read its counts, stop it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::counters::SourceCounts;
use crate::error::Error;
use crate::keyring::KeyStatus;
use crate::server::{Mode, Shared};
use crate::source::Source;

/// Steers a running [`crate::Intake`]. All clones steer the same one.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, address: SocketAddr) -> Self {
        Self { shared, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves these sources from now on, instead of the ones before. Requests on their way end under the old ones.
    pub fn set_sources(&self, sources: Vec<Source>) -> Result<(), Error> {
        self.shared.set_sources(sources)
    }

    /// Reads the certificate and changed secrets now. Blocks on files. A faulty certificate leaves the old one in force.
    pub fn reload(&self) -> Result<(), Error> {
        self.shared.refresh_files();
        self.shared.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// What each source has sent since start, and last, without a name, what named none.
    pub fn counts(&self) -> Vec<SourceCounts> {
        self.shared.counts()
    }

    /// The keys of each source by its name, with their last use; without the sources that have none.
    pub fn keys(&self) -> Vec<(String, Vec<KeyStatus>)> {
        let sources = self.shared.sources.load();
        let keys_of = |served: &Arc<crate::source::ServedSource>| {
            let keyring = served.source.auth.keyring()?;
            Some((served.source.name.to_string(), keyring.status()))
        };
        let mut keys: Vec<_> = sources.values().filter_map(keys_of).collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        keys
    }

    /// Why no requests can be accepted now, if so; what `/health/ready` says.
    pub fn not_ready(&self) -> Option<String> {
        self.shared.not_ready()
    }

    /// Stops listening, lets the requests that are being served end, and returns when [`crate::Intake::run`] is done.
    /// Takes at most a little longer than [`crate::Options::drain`]. Waits for ever if it was never run.
    pub async fn shutdown(&self) {
        let mut mode = self.shared.mode.subscribe();
        self.shared.mode.send_if_modified(|mode| {
            let changes = *mode < Mode::Draining;
            if changes {
                *mode = Mode::Draining;
            }
            changes
        });
        // An error would mean that the sender is gone, but this handle holds it.
        let _ = mode.wait_for(|mode| *mode == Mode::Stopped).await;
    }
}
