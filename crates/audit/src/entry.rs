//! What an entry of the trail says.

use std::sync::Arc;

use event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Conversation, Digest};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened. Events are named by their place in the log (`seq`), dead letters by their number.
///
/// The text `T` is stored once for a whole block, as an entry names few different ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What<T = Arc<str>> {
    /// An event was accepted.
    Received {
        /// Its place.
        seq: u64,
        /// Its id.
        event: EventId,
        /// The source it came in by.
        source: T,
        /// Its topic.
        topic: T,
        /// Its conversation.
        conversation: Option<Conversation>,
        /// The SHA-256 of its bytes.
        body: Digest,
        /// What has proved that it is genuine.
        proof: T,
        /// The event of the same identity that was there before, with another content.
        conflict_of: Option<EventId>,
        /// The destinations that its routes led to.
        destinations: Vec<T>,
    },
    /// An event that is known came again, and was not stored.
    Duplicate {
        /// The event that is known.
        event: EventId,
        /// The source it came in by this time.
        source: T,
        /// What has proved that it is genuine.
        proof: T,
    },
    /// An authentic body was no event, and became a dead letter.
    Rejected {
        /// The dead letter.
        letter: u64,
        /// The source it came in by.
        source: T,
        /// The SHA-256 of its bytes.
        body: Digest,
        /// What has proved that it is genuine.
        proof: T,
    },
    /// A delivery was tried.
    Attempted {
        /// The event's place.
        seq: u64,
        /// The destination.
        destination: T,
        /// How it ended.
        outcome: Outcome<T>,
    },
    /// A delivery failed for good, and became a dead letter.
    Died {
        /// The dead letter.
        letter: u64,
        /// The event's place.
        seq: u64,
        /// The destination.
        destination: T,
        /// Why; the last attempt, if there was one, is in the entry before.
        reason: T,
    },
    /// The event of a dead letter is delivered again; the dead letter is gone.
    Redriven {
        /// The dead letter.
        letter: u64,
        /// The place of its event.
        seq: u64,
        /// The place at which it stands once more.
        again: u64,
        /// The destination.
        destination: T,
        /// Who had it redriven.
        by: T,
    },
    /// An event is delivered once more, to one destination.
    Replayed {
        /// Its id.
        event: EventId,
        /// Its conversation.
        conversation: Option<Conversation>,
        /// The place at which it stands once more.
        again: u64,
        /// The destination.
        destination: T,
        /// The replay.
        replay: T,
    },
    /// A dead letter got an edited copy of its body.
    Edited {
        /// The dead letter.
        letter: u64,
        /// The SHA-256 of the copy; none if it was taken away.
        body: Option<Digest>,
        /// Who edited it.
        by: T,
        /// Why.
        reason: T,
    },
    /// A dead letter was dropped for good.
    Discarded {
        /// The dead letter.
        letter: u64,
        /// The event's place, if it was of an event.
        seq: Option<u64>,
        /// The destination, if it was of an event.
        destination: Option<T>,
        /// Who dropped it.
        by: T,
        /// Why.
        reason: T,
    },
    /// Someone did something to the whole: a configuration, a token, a pause, a release.
    Done {
        /// Who: the name of a token, `local` for whoever needs none, or `aftercall` itself.
        by: T,
        /// What, in two or three words that a program can tell apart.
        action: T,
        /// To what.
        subject: T,
        /// What else is to be known.
        detail: T,
    },
    /// The bodies of a conversation's events were erased.
    Erased {
        /// The conversation.
        conversation: Conversation,
        /// Their places.
        places: Vec<u64>,
        /// The blocks of this trail of which texts were erased that their deliveries were answered, each with how many
        /// texts it lacks since then.
        blocks: Vec<(u64, u64)>,
        /// Who had them erased.
        by: T,
        /// Why.
        reason: T,
    },
    /// The oldest blocks were dropped at the end of their retention, and the trail begins behind them.
    Dropped {
        /// The number of the last one.
        block: u64,
        /// Its hash.
        hash: Digest,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T = Arc<str>> {
    /// The mapping had nothing to deliver.
    Skipped {
        /// Its version.
        mapping: Option<T>,
    },
    /// The destination took it.
    Delivered {
        /// Its answer, if it speaks HTTP.
        status: Option<u16>,
        /// How long the attempt took.
        latency_ms: u32,
        /// The version of the mapping that made the payload.
        mapping: Option<T>,
    },
    /// It failed.
    Failed {
        /// How.
        failure: Failure<T>,
        /// How often it has been tried.
        made: u32,
        /// How many of these were charged to its retry budget.
        charged: u32,
        /// When it is tried again; never if it is dead.
        again: Option<Timestamp>,
    },
    /// Nothing was tried, because the destination was down: its event was put aside in the archive. Since the third version
    /// of the format; before it, this was `Skipped` too.
    PutAside {
        /// The part of the archive that has it.
        part: T,
    },
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<T = Arc<str>> {
    /// Where on its way.
    pub stage: T,
    /// Whether trying again can help.
    pub class: T,
    /// The destination's answer, if it gave one and speaks HTTP.
    pub status: Option<u16>,
    /// What happened.
    pub message: T,
    /// The start of its body.
    pub excerpt: Option<T>,
    /// How long the attempt took.
    pub latency_ms: u32,
    /// The version of the mapping.
    pub mapping: Option<T>,
}

impl<T: Clone> What<T> {
    /// The texts that may repeat something of an event's body: what went wrong with it, and what was answered.
    pub(crate) fn answers(&self) -> Vec<T> {
        match self {
            Self::Attempted { outcome: Outcome::Failed { failure, .. }, .. } => {
                [&failure.message].into_iter().chain(&failure.excerpt).cloned().collect()
            }
            Self::Died { reason, .. } => vec![reason.clone()],
            _ => Vec::new(),
        }
    }
}

impl<T> What<T> {
    /// The same with other texts.
    pub(crate) fn try_map<U, E>(self, text: &mut impl FnMut(T) -> Result<U, E>) -> Result<What<U>, E> {
        Ok(match self {
            Self::Received { seq, event, source, topic, conversation, body, proof, conflict_of, destinations } => {
                let destinations = destinations.into_iter().map(&mut *text).collect::<Result<_, E>>()?;
                let (source, topic, proof) = (text(source)?, text(topic)?, text(proof)?);
                What::Received { seq, event, source, topic, conversation, body, proof, conflict_of, destinations }
            }
            Self::Duplicate { event, source, proof } => {
                What::Duplicate { event, source: text(source)?, proof: text(proof)? }
            }
            Self::Rejected { letter, source, body, proof } => {
                What::Rejected { letter, source: text(source)?, body, proof: text(proof)? }
            }
            Self::Attempted { seq, destination, outcome } => {
                What::Attempted { seq, destination: text(destination)?, outcome: outcome.try_map(text)? }
            }
            Self::Died { letter, seq, destination, reason } => {
                What::Died { letter, seq, destination: text(destination)?, reason: text(reason)? }
            }
            Self::Redriven { letter, seq, again, destination, by } => {
                What::Redriven { letter, seq, again, destination: text(destination)?, by: text(by)? }
            }
            Self::Replayed { event, conversation, again, destination, replay } => {
                What::Replayed { event, conversation, again, destination: text(destination)?, replay: text(replay)? }
            }
            Self::Edited { letter, body, by, reason } => {
                What::Edited { letter, body, by: text(by)?, reason: text(reason)? }
            }
            Self::Discarded { letter, seq, destination, by, reason } => {
                let destination = destination.map(&mut *text).transpose()?;
                What::Discarded { letter, seq, destination, by: text(by)?, reason: text(reason)? }
            }
            Self::Done { by, action, subject, detail } => {
                What::Done { by: text(by)?, action: text(action)?, subject: text(subject)?, detail: text(detail)? }
            }
            Self::Erased { conversation, places, blocks, by, reason } => {
                What::Erased { conversation, places, blocks, by: text(by)?, reason: text(reason)? }
            }
            Self::Dropped { block, hash } => What::Dropped { block, hash },
        })
    }
}

impl<T> Outcome<T> {
    fn try_map<U, E>(self, text: &mut impl FnMut(T) -> Result<U, E>) -> Result<Outcome<U>, E> {
        Ok(match self {
            Self::Skipped { mapping } => Outcome::Skipped { mapping: mapping.map(text).transpose()? },
            Self::Delivered { status, latency_ms, mapping } => {
                Outcome::Delivered { status, latency_ms, mapping: mapping.map(text).transpose()? }
            }
            Self::Failed { failure, made, charged, again } => {
                Outcome::Failed { failure: failure.try_map(text)?, made, charged, again }
            }
            Self::PutAside { part } => Outcome::PutAside { part: text(part)? },
        })
    }
}

impl<T> Failure<T> {
    fn try_map<U, E>(self, text: &mut impl FnMut(T) -> Result<U, E>) -> Result<Failure<U>, E> {
        let Self { stage, class, status, message, excerpt, latency_ms, mapping } = self;
        Ok(Failure {
            stage: text(stage)?,
            class: text(class)?,
            status,
            message: text(message)?,
            excerpt: excerpt.map(&mut *text).transpose()?,
            latency_ms,
            mapping: mapping.map(text).transpose()?,
        })
    }
}
