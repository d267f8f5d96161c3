//! What backends write into the audit trail, and how they give it out.

use std::sync::Arc;

use audit::{Block, Conversation, Digest, Entry, Link, What};
use event::{Event, EventId, Timestamp};

use crate::{Answer, Attempts, By, DeadLetter, DeadLetterId, Failure, Outcome, Rejection, Review, Seq};

/// Some blocks of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The place before the oldest block that is kept.
    pub begins: Link,
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// An event was accepted; `body` is the hash of its body.
pub fn received(seq: Seq, event: &Event, body: Digest, proof: &Arc<str>, destinations: Vec<Arc<str>>) -> Entry {
    let what = What::Received {
        seq: seq.0,
        event: event.id,
        source: Arc::clone(&event.source),
        topic: Arc::clone(&event.topic),
        conversation: event.conversation.as_deref().map(Conversation::of),
        body,
        proof: Arc::clone(proof),
        conflict_of: event.conflict_of,
        destinations,
    };
    Entry { at: event.received, what }
}

/// A known event came again.
pub fn duplicate(event: EventId, source: &Arc<str>, proof: &Arc<str>, at: Timestamp) -> Entry {
    Entry { at, what: What::Duplicate { event, source: Arc::clone(source), proof: Arc::clone(proof) } }
}

/// A body became a dead letter.
pub fn rejected(letter: DeadLetterId, rejection: &Rejection) -> Entry {
    let what = What::Rejected {
        letter: letter.0,
        source: Arc::clone(&rejection.source),
        body: Digest::of(&rejection.body),
        proof: Arc::clone(&rejection.proof),
    };
    Entry { at: rejection.received, what }
}

/// An attempt has ended; `None` if nothing was tried.
pub fn attempted(seq: Seq, destination: &Arc<str>, outcome: &Outcome, at: Timestamp) -> Option<Entry> {
    let failed = |attempts: &Attempts, failure: &Failure, again: Option<Timestamp>| audit::Outcome::Failed {
        failure: audit_failure(failure),
        made: attempts.made,
        charged: attempts.charged,
        again,
    };
    let outcome = match outcome {
        Outcome::Delivered(Answer { status, latency_ms, mapping }) => {
            audit::Outcome::Delivered { status: *status, latency_ms: *latency_ms, mapping: mapping.clone() }
        }
        Outcome::Done => audit::Outcome::Skipped { mapping: None },
        Outcome::PutAside(part) => audit::Outcome::PutAside { part: Arc::clone(part) },
        Outcome::Retry { at, attempts, failure } => failed(attempts, failure, Some(*at)),
        Outcome::Dead { attempts, failure } => failed(attempts, failure, None),
        Outcome::Release => return None,
    };
    Some(Entry { at, what: What::Attempted { seq: seq.0, destination: Arc::clone(destination), outcome } })
}

fn audit_failure(failure: &Failure) -> audit::Failure {
    audit::Failure {
        stage: Arc::from(failure.stage.as_str()),
        class: Arc::from(failure.class.as_str()),
        status: failure.status,
        message: Arc::from(failure.message.as_str()),
        excerpt: failure.excerpt.as_deref().map(Arc::from),
        latency_ms: failure.latency_ms,
        mapping: failure.mapping.as_deref().map(Arc::from),
    }
}

/// A delivery became a dead letter.
pub fn died(letter: DeadLetterId, seq: Seq, destination: &Arc<str>, failure: &Failure, at: Timestamp) -> Entry {
    let reason = Arc::from(failure.message.as_str());
    Entry { at, what: What::Died { letter: letter.0, seq: seq.0, destination: Arc::clone(destination), reason } }
}

/// The event of a dead letter stands in the log once more.
pub fn redriven(letter: &DeadLetter, again: Seq, by: &By) -> Entry {
    let what = What::Redriven {
        letter: letter.id.0,
        seq: letter.seq.map_or(0, |seq| seq.0),
        again: again.0,
        destination: letter.destination.clone().unwrap_or_default(),
        by: Arc::clone(&by.name),
    };
    Entry { at: by.at, what }
}

/// An event stands in the log once more, for a destination.
pub fn replayed(again: Seq, event: &Event, destination: &Arc<str>, replay: &Arc<str>, at: Timestamp) -> Entry {
    let what = What::Replayed {
        event: event.id,
        conversation: event.conversation.as_deref().map(Conversation::of),
        again: again.0,
        destination: Arc::clone(destination),
        replay: Arc::clone(replay),
    };
    Entry { at, what }
}

/// A dead letter was dropped for good.
pub fn discarded(letter: &DeadLetter, by: &By) -> Entry {
    let what = What::Discarded {
        letter: letter.id.0,
        seq: letter.seq.map(|seq| seq.0),
        destination: letter.destination.clone(),
        by: Arc::clone(&by.name),
        reason: Arc::clone(&by.reason),
    };
    Entry { at: by.at, what }
}

/// A dead letter got an edited copy of its body, or lost it.
pub fn edited(letter: DeadLetterId, copy: Option<&[u8]>, by: &By) -> Entry {
    let (body, reason) = (copy.map(Digest::of), Arc::clone(&by.reason));
    Entry { at: by.at, what: What::Edited { letter: letter.0, body, by: Arc::clone(&by.name), reason } }
}

/// Somebody said how far people are with a group.
pub fn reviewed(review: &Review) -> Entry {
    let what = What::Done {
        by: Arc::clone(&review.by.name),
        action: Arc::from(format!("{} group", review.state.as_str())),
        subject: Arc::from(review.group.to_string()),
        detail: Arc::clone(&review.by.reason),
    };
    Entry { at: review.by.at, what }
}

/// The bodies of a conversation's events were erased, and texts in these blocks of the trail, which lack so many now.
pub fn erased(conversation: &str, places: &[Seq], blocks: Vec<(u64, u64)>, by: &By) -> Entry {
    let what = What::Erased {
        conversation: Conversation::of(conversation),
        places: places.iter().map(|seq| seq.0).collect(),
        blocks,
        by: Arc::clone(&by.name),
        reason: Arc::clone(&by.reason),
    };
    Entry { at: by.at, what }
}
