//! Looks through a large body that is authentic, and accepts it, or makes a dead letter of it.
//!
//! This is a task of its own, which does not end with the request: a sender that goes away in the middle changes nothing.
//!
//! A body that cannot become events is a dead letter, as a small one is. It is too large for one, so only its beginning is
//! in there, and the file stays in the spool under the name of its digest, until a person removes it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use event::{BodyError, EventId, LargeError, LargeLimits, Outline};
use queue::DeadLetterId;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::pending::Place;
use super::publish::Publishing;
use crate::options::{BUSY_RETRY, SPOOL_RETRY, UNREADABLE_HEAD_BYTES};
use crate::problem::{Answer, Reason, Refusal};
use crate::receive::{internal, reject};
use crate::redact::Unusable;
use crate::respond;
use crate::server::Shared;
use crate::source::ServedSource;
use crate::spool::{Head, SpoolFailure, Spooled};

/// What became of the body.
pub(super) enum Outcome {
    /// The ids of all events, and how many were known.
    Published(Vec<EventId>, usize),
    /// It cannot become events.
    DeadLetter(DeadLetterId, Unusable),
}

/// Tells the sender, if it is still there.
pub(super) type Tell = oneshot::Sender<Result<Outcome, Refusal>>;

/// Goes on by itself; returns when the sender can be answered.
pub(super) async fn answered(
    shared: &Arc<Shared>,
    served: &Arc<ServedSource>,
    spooled: Spooled,
    head: Head,
) -> Result<Answer, Refusal> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(run(Arc::clone(shared), Arc::clone(served), spooled, head, tell));
    Ok(match told.await.unwrap_or_else(|_| Err(internal()))? {
        Outcome::Published(ids, duplicates) => respond::accepted_batch(ids, duplicates),
        Outcome::DeadLetter(id, error) => respond::dead_lettered(id, &error),
    })
}

async fn run(shared: Arc<Shared>, served: Arc<ServedSource>, spooled: Spooled, head: Head, tell: Tell) {
    match look(&shared, &served, spooled, &head).await {
        Ok((spooled, Ok((outline, place)))) => {
            let publishing = Publishing::new(&shared, spooled, &head, served.splitter.clone(), outline);
            publishing.answering(tell).run(place).await;
        }
        Ok((spooled, Err(error))) => {
            let _ = tell.send(unreadable(&shared, &served, spooled, &head, error).await);
        }
        Err(refusal) => drop(tell.send(Err(refusal))),
    }
}

type Looked = (Spooled, Result<(Outline, Place), BodyError>);

/// Looks through the body, and makes sure that its file outlives the server if it can be published.
async fn look(shared: &Shared, served: &ServedSource, mut spooled: Spooled, head: &Head) -> Result<Looked, Refusal> {
    let _leave = shared.pending.look().await;
    let (splitter, head) = (served.splitter.clone(), head.clone());
    let (pending, source) = (Arc::clone(&shared.pending), Arc::clone(&served.source.name));
    let look = move || match splitter.outline(spooled.stored(), LargeLimits::default()) {
        Ok(mut outline) => {
            // Before anybody can know that it is accepted.
            let place = pending.enter(&source, Some(outline.take_conversations()));
            match spooled.accept(&head) {
                Ok(()) => Ok((spooled, Ok((outline, place)))),
                Err(failure) => {
                    place.leave();
                    Err(refusal(failure))
                }
            }
        }
        Err(LargeError::Body(error)) if error.is_size() => {
            Err(Refusal::new(Reason::BodyTooLarge, format!("{error}. Nothing of it was stored")))
        }
        Err(LargeError::Body(error)) => Ok((spooled, Err(error))),
        Err(LargeError::Read(error)) => Err(refusal(SpoolFailure::Disk(error))),
    };
    spawn_blocking(look).await.map_err(|_| internal())?
}

/// Makes a dead letter of a body that cannot become events. Sent again, it is the same one.
async fn unreadable(
    shared: &Shared,
    served: &ServedSource,
    spooled: Spooled,
    head: &Head,
    error: BodyError,
) -> Result<Outcome, Refusal> {
    let digest = head.digest;
    let keep = move || -> Result<_, SpoolFailure> {
        let begins = spooled.stored().first(UNREADABLE_HEAD_BYTES)?;
        Ok((begins, spooled.keep_unreadable(&digest)?))
    };
    let (mut begins, file) = spawn_blocking(keep).await.map_err(|_| internal())?.map_err(refusal)?;
    let note = format!(
        "\n… only the beginning of a body of {} bytes is here. All of it is in {}: mend it, have it sent again, and \
         remove the file.\n",
        head.bytes,
        file.display()
    );
    begins.extend_from_slice(note.as_bytes());
    let error = Unusable::Body(error);
    let id = reject(shared, served, Arc::from(&*head.proof), &error, Bytes::from(begins), head.received).await?;
    tracing::warn!(
        source = &*served.source.name, dead_letter = id.0, file = %file.display(), %error,
        "a large body cannot become events; it is a dead letter, and its file stays in the spool until it is removed"
    );
    Ok(Outcome::DeadLetter(id, error))
}

/// The refusal of a body that was not spooled. What exactly happened is for the log.
pub(crate) fn refusal(failure: SpoolFailure) -> Refusal {
    match failure {
        SpoolFailure::NoRoom => {
            let detail = "as much is being received in large bodies as `spool` allows; send it again later";
            Refusal::new(Reason::SpoolFull, detail).retry_after(SPOOL_RETRY)
        }
        SpoolFailure::Twice => pending().because("the same body was sent again while it is being published".to_owned()),
        SpoolFailure::Disk(error) => {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            let full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
            let (reason, happened) = match full {
                true => (Reason::QueueFull, "the disk is full"),
                false => (Reason::QueueBusy, "storing failed for the moment"),
            };
            let detail = format!("{happened}; nothing of this request was stored, send it again later");
            let wait = if full { SPOOL_RETRY } else { BUSY_RETRY };
            Refusal::new(reason, detail).retry_after(wait).because(format!("writing to the spool: {error}"))
        }
    }
}

/// The refusal of a body that was accepted and is not in the queue yet.
pub(super) fn pending() -> Refusal {
    let detail = "this batch was accepted, and its events are still being published; none is lost. Send it again later to \
                  learn their ids, they will be duplicates";
    Refusal::new(Reason::BatchPending, detail).retry_after(SPOOL_RETRY)
}
