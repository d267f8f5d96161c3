//! The hand on a running intake: reload, read its counts, stop it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::counters::SourceCounts;
use crate::error::{Error, SpoolError};
use crate::keyring::{KeyStatus, Used};
use crate::large;
use crate::quarantine::{KeyUse, Quarantine, QuarantineError};
use crate::redact;
use crate::release::{self, NotReleased, Release, Released};
use crate::server::{Mode, Shared};
use crate::source::{ServedSource, Source};

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

    /// Whether [`Self::set_sources`] would take these.
    pub fn check_sources(&self, sources: &[Source]) -> Result<(), Error> {
        self.shared.check_sources(sources)
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
        let keys_of = |served: &Arc<ServedSource>| {
            let keyring = served.source.auth.keyring()?;
            Some((served.source.name.to_string(), keyring.status()))
        };
        let mut keys: Vec<_> = sources.values().filter_map(keys_of).collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        keys
    }

    /// Keeps refused requests in this quarantine from now on. Only the first call counts.
    pub fn keep_refused_in(&self, quarantine: Arc<dyn Quarantine>) {
        let _ = self.shared.quarantine.set(quarantine);
    }

    /// The quarantine, if there is one.
    pub fn quarantine(&self) -> Option<&Arc<dyn Quarantine>> {
        self.shared.quarantine.get()
    }

    /// Verifies refused requests again, with the keys of now and as of the time when they came, and publishes those that
    /// pass as if they came now; what is released is taken out of the quarantine. With `dry_run` nothing is changed.
    ///
    /// Of a crash in its middle the requests that were published and are still in the quarantine are left; releasing
    /// them again gives duplicates. At most [`crate::options::RELEASE_MAX`] are looked at, in the order given.
    pub async fn release(&self, ids: &[u64], dry_run: bool) -> Result<Vec<Release>, QuarantineError> {
        release::release(&self.shared, ids, dry_run).await
    }

    /// Publishes the mended copy of a body that was authentic and could not be read, as if it came now from its source;
    /// with `dry_run` only says whether that would be possible. The events are durable when it returns. Publishing the
    /// same copy again gives duplicates.
    pub async fn publish_mended(&self, source: &str, body: Bytes, dry_run: bool) -> Result<Released, NotReleased> {
        release::publish_mended(&self.shared, source, body, dry_run).await
    }

    /// Bytes of a body of this source that is handled in memory, at most.
    pub fn body_limit(&self, source: &str) -> usize {
        let limits = &self.shared.options.limits;
        let own = self.shared.sources.load().get(source).and_then(|served| served.source.max_body_bytes);
        own.unwrap_or(limits.body_bytes).min(limits.spool_above)
    }

    /// Opens what was sealed with these keys from now on.
    pub fn set_redaction_keys(&self, keys: Option<Arc<redaction::Keys>>) {
        self.shared.redaction_keys.store(keys);
    }

    /// What opens sealed bodies.
    pub fn redaction_keys(&self) -> Option<Arc<redaction::Keys>> {
        self.shared.redaction_keys.load_full()
    }

    /// A body as it came, if it was sealed because its source has rules for redaction; any other as it is.
    ///
    /// # Errors
    /// If the key is missing, or it is damaged.
    pub fn opened(&self, source: &str, body: Bytes) -> Result<Bytes, redaction::Error> {
        self.shared.opened(source, body)
    }

    /// A body as it may be stored if no rule was applied to it: sealed if its source has rules.
    ///
    /// # Errors
    /// Only if the cipher fails.
    pub fn sealed(&self, source: &str, body: Bytes) -> Result<Bytes, redaction::Error> {
        match self.shared.sources.load().get(source) {
            Some(served) => redact::unreadable(&served.source, body),
            None => Ok(body),
        }
    }

    /// Whether a body is sealed, can be opened, and mentions a conversation.
    pub fn sealed_mentions(&self, source: &str, body: Bytes, conversation: &queue::Mention) -> bool {
        self.shared.sealed_mentions(source, body, conversation)
    }

    /// Erases the refused requests whose bodies name a conversation, or only counts them; also those whose bodies are
    /// sealed with a key that is there. Returns how many there were.
    pub async fn erase_refused(&self, conversation: &str, dry_run: bool) -> Result<u64, QuarantineError> {
        redact::erase_refused(&self.shared, conversation, dry_run).await
    }

    /// Removes the large bodies that could not be read and name a conversation, or only counts them. Returns how many there
    /// were.
    ///
    /// # Errors
    /// While a batch with events of the conversation is accepted and not all in the queue, or if a file cannot be read.
    pub async fn erase_spooled(&self, conversation: &str, dry_run: bool) -> Result<u64, SpoolError> {
        large::erase(&self.shared, conversation, dry_run).await
    }

    /// The use of every key that was ever used, to be saved.
    pub fn key_uses(&self) -> Vec<KeyUse> {
        let sources = self.shared.sources.load();
        let of_source = |served: &Arc<ServedSource>| {
            let usage = served.source.auth.keyring().map(|keyring| keyring.usage()).unwrap_or_default();
            let source = Arc::clone(&served.source.name);
            usage.into_iter().map(move |(fingerprint, used)| KeyUse {
                source: Arc::clone(&source),
                fingerprint,
                last_used: used.last,
                uses: used.uses,
            })
        };
        sources.values().flat_map(of_source).collect()
    }

    /// Whether the use of keys before the start is known; else a key without a use may have been used then.
    pub fn knows_past_key_uses(&self) -> bool {
        self.shared.past_uses_known.load(Ordering::Relaxed)
    }

    /// Adds the use of keys that was saved before the start. To be called once.
    pub fn remember_key_uses(&self, uses: Vec<KeyUse>) {
        self.shared.past_uses_known.store(true, Ordering::Relaxed);
        let sources = self.shared.sources.load();
        for KeyUse { source, fingerprint, last_used, uses } in uses {
            if let Some(keyring) = sources.get(&source).and_then(|served| served.source.auth.keyring()) {
                keyring.remember([(fingerprint, Used { last: last_used, uses })]);
            }
        }
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
