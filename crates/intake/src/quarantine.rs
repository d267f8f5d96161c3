//! The quarantine port: requests that were refused for want of authenticity, kept raw, so that those which turn out to
//! be genuine (a secret was mis-configured) can be released later.
//!
//! Nothing in it has been proved, so nothing in it is promised: a request may be left out, or lost in a crash, and what
//! is new pushes out what is old. In return it costs next to nothing to offer one, and a quarantine that is broken
//! changes no answer to anybody. Releasing is [`crate::Handle::release`].

mod kept;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use event::Timestamp;
use http::{HeaderMap, HeaderName};
use queue::BoxFuture;
use serde::Serialize;

use crate::problem::Reason;

pub(crate) use kept::{credential, headers};

/// Beside the headers that are kept: how many bytes a body had of which only the beginning is kept, as it was too large.
/// No sender can set it.
pub(crate) const CUT_FROM: HeaderName = HeaderName::from_static("aftercall-cut-from");

/// Keeps refused requests, within bounds of count and bytes for each source; the oldest go first.
///
/// Also remembers how keys were used, since that has to survive a restart too.
pub trait Quarantine: Send + Sync + 'static {
    /// Whether a request of the source with so many bytes is to be kept; if so, [`Quarantine::keep`] follows. Counts
    /// the refusal if not. Never waits, and is cheap: a flood asks this for each request.
    fn admits(&self, source: &Arc<str>, bytes: usize, now: Timestamp) -> bool;

    /// Counts a request that is too large to be kept.
    fn too_large(&self, source: &Arc<str>);

    /// Keeps a request, or counts that it could not. Never waits.
    fn keep(&self, request: Quarantined);

    /// Requests in the order in which they came.
    fn list(&self, query: QuarantineQuery) -> BoxFuture<'_, Result<Vec<QuarantineEntry>, QuarantineError>>;

    /// One request; `None` if it is not there (any more).
    fn read(&self, id: u64) -> BoxFuture<'_, Result<Option<Quarantined>, QuarantineError>>;

    /// Takes requests out. Returns how many there were.
    fn remove(&self, which: QuarantineSelection) -> BoxFuture<'_, Result<u64, QuarantineError>>;

    /// Erases the requests whose bodies name a conversation, also from the disk; or only counts them. Returns how many
    /// there were.
    fn erase(&self, conversation: String, dry_run: bool) -> BoxFuture<'_, Result<u64, QuarantineError>>;

    /// What it holds and what it left out.
    fn status(&self) -> QuarantineStatus;

    /// The use of keys that was saved.
    fn key_uses(&self) -> BoxFuture<'_, Result<Vec<KeyUse>, QuarantineError>>;

    /// Saves the use of keys, and drops requests that are too old.
    fn maintain(&self, uses: Vec<KeyUse>, now: Timestamp) -> BoxFuture<'_, Result<(), QuarantineError>>;

    /// Writes what is on its way, and ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A refused request, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The source that it was sent to.
    pub source: Arc<str>,
    /// When its body had been read. A signed time is judged by this.
    pub received: Timestamp,
    /// Where it came from.
    pub sender: IpAddr,
    /// Why it was refused.
    pub reason: Reason,
    /// The headers that verification needs, and those that tell a person what kind of request it is. Never a credential.
    pub headers: HeaderMap,
    /// What is kept in place of a credential in a header.
    pub credential: Option<Credential>,
    /// The body's raw bytes.
    pub body: Bytes,
}

/// What is kept of a credential: whether it is one of the source's secrets can be told from it, but not what it is.
/// A wrong key may be the right key of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The header and the way in which it was given, such as `authorization bearer`.
    pub place: String,
    /// Random bytes.
    pub salt: [u8; 16],
    /// The HMAC-SHA256, with the salt as the key, of the credential's SHA-256.
    pub proof: [u8; 32],
}

/// Selects requests of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineQuery {
    /// Only of this source.
    pub source: Option<String>,
    /// Only those after this one.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Selects requests to take out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineSelection {
    /// These.
    Ids(Vec<u64>),
    /// All of a source.
    Source(String),
    /// All.
    All,
}

/// A request in a list, without its headers and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuarantineEntry {
    /// Its number; never given again.
    pub id: u64,
    /// The source that it was sent to.
    pub source: Arc<str>,
    /// When it came.
    pub received: Timestamp,
    /// Where it came from.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub sender: IpAddr,
    /// The code of the reason for which it was refused.
    pub reason: &'static str,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// Bytes that count towards the source's limit.
    pub bytes: u64,
}

/// How a key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The source whose requests it verified.
    pub source: Arc<str>,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it last verified one.
    pub last_used: Timestamp,
    /// How many it verified.
    pub uses: u64,
}

/// The state of a quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuarantineStatus {
    /// Whether refused requests are kept, by the configuration.
    pub enabled: bool,
    /// Why it is out of order, if it is.
    pub closed: Option<String>,
    /// Each source that was ever refused something.
    pub sources: Vec<QuarantineCounts>,
}

/// What is kept of one source, and what was left out since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuarantineCounts {
    /// The source.
    pub source: String,
    /// Requests that are kept now.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests that were kept, since start.
    pub kept: u64,
    /// Those that newer ones pushed out, or that grew too old.
    pub pushed_out: u64,
    /// Requests that were left out because too many came.
    pub sampled_out: u64,
    /// Those that were too large.
    pub too_large: u64,
    /// Those for which the quarantine had no time.
    pub busy: u64,
    /// Those that it could not store.
    pub failed: u64,
}

/// The quarantine could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineError {
    /// It is out of order until a person acts and the server is started again. Events are not concerned.
    #[error("the quarantine is closed: {0}")]
    Closed(String),
    /// It failed this time; nothing was changed.
    #[error("the quarantine: {0}")]
    Failed(String),
}
