//! What a sender is told when its request was not taken, and what it can do.

use queue::QueueError;

use crate::body::BodyFailure;
use crate::head;
use crate::options::{BUSY_RETRY, Limits, MIN_PROGRESS_BYTES, STOPPED_RETRY};
use crate::problem::{Reason, Refusal};
use crate::server::Shared;
use crate::source::Source;

pub(crate) fn unread(failure: &BodyFailure, max: usize, shared: &Shared) -> Refusal {
    let limits = &shared.options.limits;
    match failure {
        BodyFailure::TooLarge => head::too_large(max),
        BodyFailure::TooSlow => {
            let detail = format!(
                "a body must be there within {} s, and bring {MIN_PROGRESS_BYTES} bytes every {} s; this one did not",
                limits.body_timeout.as_secs_f32(),
                limits.body_stall.as_secs_f32()
            );
            Refusal::new(Reason::Timeout, detail)
        }
        BodyFailure::NoMemory => busy(),
        BodyFailure::Incomplete => {
            let detail = "the connection ended before the body did, or its chunks are malformed; send it again";
            Refusal::new(Reason::BodyIncomplete, detail)
        }
    }
}

pub(crate) fn busy() -> Refusal {
    let detail = "as much is being received as memory allows; send it again a little later";
    Refusal::new(Reason::Busy, detail).retry_after(BUSY_RETRY)
}

pub(crate) fn internal() -> Refusal {
    let detail = "reading the body failed because of a fault in Aftercall; send it again, and report it";
    Refusal::new(Reason::Internal, detail)
}

/// The refusal when the queue did not take the events. What exactly happened is for the log, not for the sender.
pub(crate) fn not_stored(error: &QueueError) -> Refusal {
    let (reason, happened, wait) = match error {
        QueueError::Full { retry_after, .. } => (Reason::QueueFull, "the disk is full", *retry_after),
        QueueError::Busy { retry_after } => (Reason::QueueBusy, "too much is waiting to be stored", *retry_after),
        QueueError::Transient { .. } => (Reason::QueueBusy, "storing failed for the moment", BUSY_RETRY),
        QueueError::Poisoned { .. } | QueueError::Damaged { .. } | QueueError::Closed => {
            (Reason::QueueStopped, "the queue has stopped and must be started anew", STOPPED_RETRY)
        }
        QueueError::Invalid(_) => return internal().because(error.to_string()),
    };
    let detail = format!("{happened}; nothing of this request was stored, send it again later");
    Refusal::new(reason, detail).retry_after(wait).because(error.to_string())
}

/// Says why a body of this source may not be as large as others.
pub(super) fn not_redacted(refusal: Refusal, source: &Source, limits: &Limits) -> Refusal {
    let allowed = source.max_body_bytes.unwrap_or(limits.body_bytes);
    if refusal.reason != Reason::BodyTooLarge || source.redaction.is_none() || allowed <= limits.spool_above {
        return refusal;
    }
    let detail = format!(
        "a body of a source with rules for redaction may have {} bytes, because a larger one would have to lie on the disk as          it came; send smaller batches",
        limits.spool_above
    );
    Refusal::new(Reason::BodyTooLarge, detail)
}
