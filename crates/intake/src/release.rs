//! Releasing refused requests: verified again, they go the way that they would have gone.
//!
//! The keys are those of now; the time by which a signed time is judged is that of the request's arrival, so a request
//! that was too old then stays so. None of it counts as use of a key, or an old one would seem to be in use. Their events have the same identities as if the request had been accepted, so what
//! the sender has sent again meanwhile is a duplicate, and so is a release that a crash has cut off and that is repeated.

use std::sync::Arc;

use bytes::Bytes;
use event::EventId;
use queue::{DeadLetterId, Published};

use crate::auth;
use crate::keyring::Keyring;
use crate::options::RELEASE_MAX;
use crate::problem::{Reason, Refusal};
use crate::quarantine::{CUT_FROM, Credential, Quarantine, QuarantineError, QuarantineSelection, Quarantined};
use crate::receive;
use crate::server::Shared;
use crate::source::{Auth, ServedSource};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its number in the quarantine.
    pub id: u64,
    /// Where it went, or why it stays.
    pub result: Result<Released, NotReleased>,
}

/// A request that is authentic after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// It would be released; nothing was changed.
    Would,
    /// Its events are durable, or were already.
    Published {
        /// How many were new.
        accepted: usize,
        /// How many were known.
        duplicates: usize,
        /// Their ids.
        events: Vec<EventId>,
    },
    /// Its body is no event, so it is a dead letter now.
    DeadLetter {
        /// Which one.
        id: DeadLetterId,
        /// What is wrong with the body.
        error: String,
    },
}

/// Why a request was not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// Released or dropped meanwhile, or pushed out.
    #[error("it is not in the quarantine any more")]
    Missing,
    /// Its source is not configured.
    #[error("there is no source `{0}` any more; configure it again, or drop the request")]
    NoSource(String),
    /// It still fails.
    #[error("{0}")]
    Refused(String),
}

/// Releases these, one after the other, so that the order in which they came is the order of their events.
pub(crate) async fn release(shared: &Arc<Shared>, ids: &[u64], dry_run: bool) -> Result<Vec<Release>, QuarantineError> {
    let closed = || QuarantineError::Closed("this server has none".to_owned());
    let quarantine = shared.quarantine.get().ok_or_else(closed)?;
    let refreshed = Arc::clone(shared);
    // It fails only by a panic, which is reported; then the keys are those that were read last.
    let _ = tokio::task::spawn_blocking(move || refreshed.refresh_files()).await;
    let mut releases = Vec::with_capacity(ids.len().min(RELEASE_MAX));
    let mut released = Vec::new();
    let mut failure = None;
    for &id in ids.iter().take(RELEASE_MAX) {
        let result = match quarantine.read(id).await {
            Ok(Some(request)) => release_one(shared, request, dry_run).await,
            Ok(None) => Err(NotReleased::Missing),
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        if matches!(result, Ok(Released::Published { .. } | Released::DeadLetter { .. })) {
            released.push(id);
        }
        releases.push(Release { id, result });
    }
    take_out(&**quarantine, released).await?;
    match failure {
        Some(error) if releases.is_empty() => Err(error),
        _ => Ok(releases),
    }
}

async fn take_out(quarantine: &dyn Quarantine, released: Vec<u64>) -> Result<(), QuarantineError> {
    if released.is_empty() {
        return Ok(());
    }
    quarantine.remove(QuarantineSelection::Ids(released)).await.map(drop)
}

async fn release_one(shared: &Shared, mut request: Quarantined, dry_run: bool) -> Result<Released, NotReleased> {
    let sources = shared.sources.load();
    let Some(served) = sources.get(&request.source) else {
        return Err(NotReleased::NoSource(request.source.to_string()));
    };
    let opened = shared.opened(&request.source, request.body);
    request.body = opened.map_err(|error| NotReleased::Refused(format!("its body {error}")))?;
    if let Some(bytes) = request.headers.get(CUT_FROM).and_then(|bytes| bytes.to_str().ok()) {
        let kept = request.body.len();
        let why = format!("only the first {kept} of the {bytes} bytes of its body were kept; have it sent again");
        return Err(NotReleased::Refused(why));
    }
    let refused = |refusal: Refusal| NotReleased::Refused(refusal.detail.into_owned());
    let proof = prove(shared, served, &request).await.map_err(refused)?;
    let proof = Arc::from(format!("{proof}, released from the quarantine"));
    if dry_run {
        return Ok(Released::Would);
    }
    let now = (shared.clock)();
    match receive::split_apart(served, &request.body).await.map_err(refused)? {
        Ok(events) => Ok(told(&receive::publish(shared, served, proof, events, now, None).await.map_err(refused)?)),
        Err(error) => {
            let id = receive::reject(shared, served, proof, &error, request.body, now).await.map_err(refused)?;
            Ok(Released::DeadLetter { id, error: error.to_string() })
        }
    }
}

/// Publishes the mended copy of an authentic body that could not be read; see [`crate::Handle::publish_mended`].
pub(crate) async fn publish_mended(
    shared: &Shared,
    source: &str,
    body: Bytes,
    dry_run: bool,
) -> Result<Released, NotReleased> {
    let sources = shared.sources.load();
    let Some(served) = sources.get(source) else {
        return Err(NotReleased::NoSource(source.to_owned()));
    };
    let refused = |refusal: Refusal| NotReleased::Refused(refusal.detail.into_owned());
    let events = receive::split_apart(served, &body).await.map_err(refused)?;
    let events = events.map_err(|error| NotReleased::Refused(error.to_string()))?;
    if events.events.is_empty() {
        return Err(NotReleased::Refused("it holds no events; discard the dead letter instead".to_owned()));
    }
    if dry_run {
        return Ok(Released::Would);
    }
    let proof = Arc::from("mended by hand, of a body that was authentic");
    let published = receive::publish(shared, served, proof, events, (shared.clock)(), None).await.map_err(refused)?;
    Ok(told(&published))
}

fn told(published: &[Published]) -> Released {
    let duplicates = published.iter().filter(|one| one.is_duplicate()).count();
    let events = published.iter().map(Published::id).collect();
    Released::Published { accepted: published.len() - duplicates, duplicates, events }
}

/// Checks what intake would check, as of the time when the request came.
async fn prove(shared: &Shared, served: &Arc<ServedSource>, request: &Quarantined) -> Result<Arc<str>, Refusal> {
    let source = &served.source;
    if !source.allows(request.sender) {
        let detail = format!("{} is not in the `allow` list of this source", request.sender);
        return Err(Refusal::new(Reason::AddressNotAllowed, detail));
    }
    if request.body.len() > source.max_body_bytes.unwrap_or(shared.options.limits.body_bytes) {
        return Err(Refusal::new(Reason::BodyTooLarge, "its body is larger than this source allows now"));
    }
    match &source.auth {
        Auth::Open => Ok(auth::open()),
        #[cfg(feature = "aws")]
        Auth::Queue(_) => Err(auth::from_a_queue()),
        Auth::Signature { scheme, .. } => {
            let unsigned = |failure| auth::unsigned(scheme, &failure);
            let claim = scheme.claim(&request.headers, request.received).map_err(unsigned)?;
            receive::verify(served, &claim, &request.headers, &request.body, None).await.map_err(unsigned)
        }
        Auth::ApiKey { keyring, .. } | Auth::Bearer { keyring } | Auth::Basic { keyring } => {
            let kept =
                request.credential.as_ref().filter(|kept| Some(&kept.place) == auth::place(&source.auth).as_ref());
            let kept = kept.ok_or_else(|| auth::no_credential(Reason::AuthMissing, &source.auth))?;
            known(kept, keyring).ok_or_else(|| auth::no_credential(Reason::AuthMismatch, &source.auth))
        }
    }
}

fn known(kept: &Credential, keyring: &Keyring) -> Option<Arc<str>> {
    keyring.has_salted(&kept.salt, &kept.proof)
}
