//! The way of one request to `/in/{source}`: address, source, head, credential, body, signature, rate, events, redaction,
//! queue.
//!
//! It is answered 200 only after the queue has said that every event of it is durable. If the sender is gone by then,
//! or this process dies, the events may be stored without an answer; the sender will send them again, and they will be
//! recognised. An unauthenticated request never reaches the queue; it may be kept in the quarantine, which waits for
//! nothing.

mod refusals;

use std::sync::Arc;

use bytes::Bytes;
use event::Timestamp;
use http::request::Parts;
use http::{HeaderMap, Version};
use hyper::body::Body;
use queue::{DeadLetterId, Failure, FailureClass, Publication, Published, Rejection, Stage};
use smallvec::SmallVec;

use crate::auth::{self, Proof};
use crate::body::{self, BodyFailure, Read};
use crate::head;
use crate::large::{Large, Taken};
use crate::options::{BUSY_RETRY, LARGE_BODY_BYTES, ORDER_PATIENCE, SMALL_BODY_BYTES, SPOOL_UNANNOUNCED_BYTES};
use crate::problem::{Answer, Reason, Refusal};
use crate::quarantine::{self, CUT_FROM, Quarantine, Quarantined};
use crate::redact::{self, Events, Unusable};
use crate::respond;
use crate::server::{Peer, Shared};
use crate::signature::{Claim, SignatureFailure};
use crate::source::{Auth, ServedSource, Source};
use crate::traced::{Storing, Traced};
use refusals::not_redacted;

pub(crate) use refusals::{busy, internal, not_stored, unread};

/// Answers a request to the source `name`. What seldom happens is boxed, here and below: the state of each request under
/// way has room for all that it may wait for, and with hundreds of them it is the cache that counts.
pub(crate) async fn receive<B>(peer: &Peer, name: &str, head: &Parts, body: &mut B) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let shared = &*peer.shared;
    let Some(served) = shared.sources.load().get(name).cloned() else {
        let detail =
            format!("no source is called `{}`; compare the URL with the configured sources", head::short(name));
        let refusal = Refusal::new(Reason::UnknownSource, detail);
        shared.unnamed.request();
        shared.unnamed.refused(&refusal, "", peer.address, (shared.clock)());
        return Box::pin(refuse(peer, &refusal, head, body)).await;
    };
    served.counters.request();
    let traced = Traced::request(&head.headers);
    let (answer, refusal) = match accept(peer, &served, head, body, traced.as_ref()).await {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            served.counters.refused(&refusal, name, peer.address, (shared.clock)());
            (Box::pin(refuse_and_keep(peer, &served, &refusal, head, body)).await, Some(refusal))
        }
    };
    if let Some(traced) = traced {
        traced.answered(name, &answer, refusal.as_ref());
    }
    answer
}

/// Answers a refusal. What is left of a small body is read first, so that the connection can go on; otherwise the
/// connection is closed, as it is not known where the next request begins.
pub(crate) async fn refuse<B>(peer: &Peer, refusal: &Refusal, head: &Parts, body: &mut B) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = peer.activity.reads();
    let read = body.is_end_stream()
        || may_read_on(head) && body::discard(body, SMALL_BODY_BYTES, &peer.shared.options.limits).await;
    drop(reading);
    if !read {
        peer.activity.linger();
    }
    refusal.answer(!read && head.version < Version::HTTP_2)
}

/// Refuses, and puts the request into the quarantine if its body is one that is read to its end anyway.
async fn refuse_and_keep<B: Body<Data = Bytes> + Unpin>(
    peer: &Peer,
    served: &ServedSource,
    refusal: &Refusal,
    head: &Parts,
    body: &mut B,
) -> Answer {
    // A wrong signature was found behind the body, and has been offered there.
    let offered = refusal.reason == Reason::AuthMismatch && matches!(served.source.auth, Auth::Signature { .. });
    let wanted = refusal.reason.is_unproved() && !offered && !body.is_end_stream();
    let quarantine = peer.shared.quarantine.get().filter(|_| wanted);
    if let Some(quarantine) = quarantine {
        match into_quarantine(peer, &**quarantine, served, refusal, head, body).await {
            Ok(()) | Err(BodyFailure::NoMemory) => {}
            Err(_) => {
                peer.activity.linger();
                return refusal.answer(head.version < Version::HTTP_2);
            }
        }
    }
    refuse(peer, refusal, head, body).await
}

/// Reads a body that was refused at its head, if it is small, and offers the request to the quarantine. The memory for
/// it is apart from that of the bodies that may be genuine.
async fn into_quarantine<B: Body<Data = Bytes> + Unpin>(
    peer: &Peer,
    quarantine: &dyn Quarantine,
    served: &ServedSource,
    refusal: &Refusal,
    head: &Parts,
    body: &mut B,
) -> Result<(), BodyFailure> {
    let shared = &*peer.shared;
    let source = &served.source;
    let announced = head::announced(&head.headers).and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = announced.filter(|_| may_read_on(head)) else {
        quarantine.too_large(&source.name);
        return Ok(());
    };
    if !quarantine.admits(&source.name, bytes, (shared.clock)()) {
        return Ok(());
    }
    let limits = &shared.options.limits;
    let _reading = peer.activity.reads();
    let (read, _reserved) = body::read(body, SMALL_BODY_BYTES, limits, &shared.refused_memory).await?;
    if let Some(request) = quarantined(source, peer, refusal, &head.headers, &read, (shared.clock)()) {
        quarantine.keep(request);
    }
    Ok(())
}

/// Offers a request with a wrong signature to the quarantine.
fn offer(peer: &Peer, source: &Source, refusal: &Refusal, headers: &HeaderMap, body: &Bytes, received: Timestamp) {
    let Some(quarantine) = peer.shared.quarantine.get().filter(|_| refusal.reason.is_unproved()) else { return };
    if quarantine.admits(&source.name, body.len(), received)
        && let Some(request) = quarantined(source, peer, refusal, headers, body, received)
    {
        quarantine.keep(request);
    }
}

/// Offers the beginning of a large body of so many bytes: to be looked at, never to be released.
pub(crate) fn offer_beginning(
    peer: &Peer,
    source: &Source,
    refusal: &Refusal,
    headers: &HeaderMap,
    (begins, bytes): (&Bytes, u64),
    received: Timestamp,
) {
    let Some(quarantine) = peer.shared.quarantine.get() else { return };
    if quarantine.admits(&source.name, begins.len(), received)
        && let Some(mut request) = quarantined(source, peer, refusal, headers, begins, received)
    {
        request.headers.insert(CUT_FROM, bytes.into());
        quarantine.keep(request);
    }
}

/// The request as it is kept; `None` if its body would have to be sealed and cannot be.
fn quarantined(
    source: &Source,
    peer: &Peer,
    refusal: &Refusal,
    headers: &HeaderMap,
    body: &Bytes,
    received: Timestamp,
) -> Option<Quarantined> {
    Some(Quarantined {
        source: Arc::clone(&source.name),
        received,
        sender: peer.address,
        reason: refusal.reason,
        headers: quarantine::headers(&source.auth, headers),
        credential: quarantine::credential(&source.auth, headers),
        body: redact::kept(source, body)?,
    })
}

/// Whether what is left of a refused body is small, and comes without being asked for.
fn may_read_on(head: &Parts) -> bool {
    let small = head::announced(&head.headers).is_some_and(|bytes| bytes <= SMALL_BODY_BYTES as u64);
    small && !head.headers.contains_key(http::header::EXPECT)
}

async fn accept<B: Body<Data = Bytes> + Unpin>(
    peer: &Peer,
    served: &Arc<ServedSource>,
    head: &Parts,
    body: &mut B,
    traced: Option<&Traced>,
) -> Result<Answer, Refusal> {
    let shared = &*peer.shared;
    let source = &served.source;
    if !source.allows(peer.address) {
        let detail = format!("{} is not in the `allow` list of this source; add it if it is a sender", peer.address);
        return Err(Refusal::new(Reason::AddressNotAllowed, detail));
    }
    let _in_flight = shared.admit().ok_or_else(busy)?;
    let limits = &shared.options.limits;
    let max = shared.max_body(source);
    head::check(head, max, limits.header_bytes).map_err(|refusal| not_redacted(refusal, source, limits))?;
    let proof = auth::check_headers(&source.auth, &head.headers, (shared.clock)()).await?;
    let reading = peer.activity.reads();
    let in_memory = match &shared.spool {
        // No body of a source with rules may lie on the disk as it came.
        None => max,
        Some(_) if source.redaction.is_some() => max,
        Some(_) if body.size_hint().exact().is_none() => max.min(limits.spool_above).min(SPOOL_UNANNOUNCED_BYTES),
        Some(_) => max.min(limits.spool_above),
    };
    let read = body::read_up_to(body, in_memory, limits, &shared.memory).await;
    let (proof, body, mut reserved) = match read.map_err(|failure| unread(&failure, max, shared))? {
        Read::Whole(body, reserved) => {
            drop(reading);
            (proof, body, reserved)
        }
        Read::Longer(longer) => {
            let Some(spool) = shared.spool.as_ref().filter(|_| max > in_memory) else {
                return Err(not_redacted(head::too_large(max), source, limits));
            };
            let large = Large { peer, served, headers: &head.headers, max, spool };
            match Box::pin(large.take(proof, longer, body, reading)).await? {
                Taken::Answered(answer) => return Ok(answer),
                Taken::Small(proof, body, reserved) => (proof, body, reserved),
            }
        }
    };
    let received = (shared.clock)();
    let size = body.len();
    let (events, proof) = match examine(served, proof, &head.headers, &body, received).await {
        Ok(examined) => examined,
        Err(refusal) => {
            offer(peer, source, &refusal, &head.headers, &body, received);
            return Err(refusal);
        }
    };
    served.counters.authentic(size);
    if !matches!(source.auth, Auth::Open) {
        peer.activity.prove();
    }
    if source.redaction.is_some() {
        // The redacted events stand in memory beside the body that they were made of.
        let redacted = events.as_ref().map_or(size, Events::bytes);
        reserved.grow_to(size + redacted).map_err(|_| busy())?;
    }
    match events {
        Ok(events) => Ok(respond::accepted(&publish(shared, served, proof, events, received, traced).await?)),
        Err(error) => Ok(respond::dead_lettered(reject(shared, served, proof, &error, body, received).await?, &error)),
    }
}

/// Verifies the signature, charges the rate limit and makes events; what is large on a thread of its own. Returns also
/// what has proved that the request is genuine.
async fn examine(
    served: &Arc<ServedSource>,
    proof: Proof,
    headers: &HeaderMap,
    body: &Bytes,
    now: Timestamp,
) -> Result<(Result<Events, Unusable>, Arc<str>), Refusal> {
    let proof = match proof {
        Proof::Complete(proof) => proof,
        Proof::Claimed(claim) => signer(served, &claim, headers, body, now).await?,
    };
    charge(served, now)?;
    Ok((split_apart(served, body).await?, proof))
}

/// Charges the source's rate limit for an authentic request.
pub(crate) fn charge(served: &ServedSource, now: Timestamp) -> Result<(), Refusal> {
    let Some(rate) = &served.rate else { return Ok(()) };
    rate.admit(now).map_err(|wait| {
        let detail =
            "this source sends more requests than its `max_requests_per_second`; send more slowly, or raise it";
        Refusal::new(Reason::RateLimited, detail).retry_after(wait)
    })
}

/// The key that has made a signature.
async fn signer(
    served: &Arc<ServedSource>,
    claim: &Claim,
    headers: &HeaderMap,
    body: &Bytes,
    now: Timestamp,
) -> Result<Arc<str>, Refusal> {
    let Auth::Signature { scheme, keyring } = &served.source.auth else { return Ok(auth::open()) };
    let checked = match verify(served, claim, headers, body, Some(now)).await {
        Err(SignatureFailure::Mismatch) if auth::keys_changed(keyring, now).await => {
            verify(served, claim, headers, body, Some(now)).await
        }
        checked => checked,
    };
    checked.map_err(|failure| auth::unsigned(scheme, &failure))
}

/// Makes events and redacts them; of a large body on a thread of its own.
pub(crate) async fn split_apart(served: &Arc<ServedSource>, body: &Bytes) -> Result<Result<Events, Unusable>, Refusal> {
    if body.len() < LARGE_BODY_BYTES {
        return Ok(redact::events(served, body));
    }
    let (served, body) = (Arc::clone(served), body.clone());
    tokio::task::spawn_blocking(move || redact::events(&served, &body)).await.map_err(|_| internal())
}

/// Compares a claim with the body; of a large one on a thread of its own. A use of the key if it has a time.
pub(crate) async fn verify(
    served: &Arc<ServedSource>,
    claim: &Claim,
    headers: &HeaderMap,
    body: &Bytes,
    used: Option<Timestamp>,
) -> Result<Arc<str>, SignatureFailure> {
    let Auth::Signature { scheme, keyring } = &served.source.auth else { return Err(SignatureFailure::Mismatch) };
    if body.len() < LARGE_BODY_BYTES {
        return scheme.check(claim, headers, body, keyring, used);
    }
    let (scheme, keyring) = (scheme.clone(), Arc::clone(keyring));
    let (claim, headers, body) = (claim.clone(), headers.clone(), body.clone());
    let checked = tokio::task::spawn_blocking(move || scheme.check(&claim, &headers, &body, &keyring, used));
    checked.await.unwrap_or(Err(SignatureFailure::Mismatch))
}

/// Publishes the events of one body. They are durable when this returns.
pub(crate) async fn publish(
    shared: &Shared,
    served: &ServedSource,
    proof: Arc<str>,
    Events { events, content }: Events,
    received: Timestamp,
    traced: Option<&Traced>,
) -> Result<Vec<Published>, Refusal> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let source = Arc::clone(&served.source.name);
    let conversations = events.iter().filter_map(|event| event.conversation.as_deref());
    if shared.pending.any() && !Box::pin(shared.pending.behind(&source, conversations, ORDER_PATIENCE)).await {
        let detail = "an earlier batch of this source, with events of the same conversation, is still being published; \
                      nothing of this request was stored, send it again later";
        return Err(Refusal::new(Reason::BatchPending, detail).retry_after(BUSY_RETRY));
    }
    let topics: SmallVec<[_; 1]> = events.iter().map(|event| Arc::clone(&event.topic)).collect();
    let publication = Publication { source, received, proof, events, content };
    let storing = Storing::begin(&publication);
    let published = shared.queue.publish(publication).await.map_err(|error| not_stored(&error))?;
    if let Some(storing) = storing {
        storing.end(&published, traced);
    }
    let duplicates = published.iter().filter(|one| Published::is_duplicate(one)).count() as u64;
    served.counters.published(published.len() as u64 - duplicates, duplicates);
    let accepted = topics.iter().zip(&published).filter(|(_, one)| !one.is_duplicate());
    served.counters.topics.accepted(accepted.map(|(topic, _)| topic), received);
    Ok(published)
}

/// An authentic body that is no event: sending it again would not help, so it is kept as a dead letter and answered 200.
pub(crate) async fn reject(
    shared: &Shared,
    served: &ServedSource,
    proof: Arc<str>,
    error: &Unusable,
    body: Bytes,
    received: Timestamp,
) -> Result<DeadLetterId, Refusal> {
    let failure = Failure::new(Stage::Intake, FailureClass::Permanent, error.to_string());
    let body = redact::unreadable(&served.source, body).map_err(|error| internal().because(error.to_string()))?;
    let source = Arc::clone(&served.source.name);
    let rejection = Rejection { source, received, proof, failure, body };
    let id = shared.queue.reject(rejection).await.map_err(|error| not_stored(&error))?;
    served.counters.unreadable();
    Ok(id)
}
