//! Events as the log holds them: some in one item, in the order of their places.

use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use queue::{Again, Attempts, ConsumerId, Left, Seq, Stored, Why};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::options::{BUCKET, CHUNK_BYTES, LARGE_BYTES, LARGE_CHUNK_BYTES};

/// An item of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    /// The place of its first event; the others follow without gaps.
    pub(crate) first: u64,
    pub(crate) events: Vec<Kept>,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    id: EventId,
    source: Arc<str>,
    topic: Arc<str>,
    conversation: Option<Arc<str>>,
    received: Timestamp,
    conflict_of: Option<EventId>,
    /// Whether a route led it anywhere when it was accepted.
    pub(crate) matched: bool,
    mark: Mark,
    body: ByteBuf,
}

/// Whom an event in the log is for. Stored as `Option<KeptAgain>` was before there was a third.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    /// For all to whom routes lead it.
    Accepted,
    /// It stands there again, for one.
    Again(KeptAgain),
    /// It was moved here from another queue, and is left for these.
    Moved(Vec<KeptLeft>),
}

/// A destination that an event was left for when it was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLeft {
    pub(crate) consumer: u16,
    made: u32,
    charged: u32,
    tried: (Option<Timestamp>, Option<Timestamp>),
    pub(crate) due: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct KeptAgain {
    consumer: u16,
    at: Timestamp,
    replayed: bool,
    edited: bool,
    first: u64,
}

impl Kept {
    pub(crate) fn new(event: &Event, again: Option<Again>, matched: bool) -> Self {
        Self {
            id: event.id,
            source: Arc::clone(&event.source),
            topic: Arc::clone(&event.topic),
            conversation: event.conversation.clone(),
            received: event.received,
            conflict_of: event.conflict_of,
            matched,
            mark: again.map_or(Mark::Accepted, |again| {
                Mark::Again(KeptAgain {
                    consumer: again.consumer.0,
                    at: again.at,
                    replayed: again.why == Why::Replayed,
                    edited: again.edited,
                    first: again.first.0,
                })
            }),
            body: ByteBuf::from(event.body.to_vec()),
        }
    }

    /// One that was moved here, and is left for these.
    pub(crate) fn moved(event: &Event, left: Vec<KeptLeft>, matched: bool) -> Self {
        Self { mark: Mark::Moved(left), ..Self::new(event, None, matched) }
    }

    fn bytes(&self) -> usize {
        let texts = self.source.len() + self.topic.len() + self.conversation.as_ref().map_or(0, |text| text.len());
        self.body.len() + texts + 100
    }

    fn stored(&self, place: u64) -> Stored {
        let event = Event {
            id: self.id,
            source: Arc::clone(&self.source),
            topic: Arc::clone(&self.topic),
            conversation: self.conversation.clone(),
            received: self.received,
            conflict_of: self.conflict_of,
            body: Bytes::copy_from_slice(&self.body),
        };
        let again = match self.mark {
            Mark::Again(again) => Some(again),
            Mark::Accepted | Mark::Moved(_) => None,
        };
        let again = again.map(|again| Again {
            consumer: ConsumerId(again.consumer),
            at: again.at,
            why: if again.replayed { Why::Replayed } else { Why::Redriven },
            edited: again.edited,
            first: Seq(again.first),
        });
        Stored { again, ..Stored::new(Seq(place), event) }
    }
}

impl KeptLeft {
    pub(crate) fn new(consumer: ConsumerId, left: &Left) -> Self {
        let Attempts { made, charged, first, last } = left.attempts;
        Self { consumer: consumer.0, made, charged, tried: (first, last), due: left.due }
    }

    pub(crate) fn attempts(&self) -> Attempts {
        let (first, last) = self.tried;
        Attempts { made: self.made, charged: self.charged, first, last }
    }
}

impl Chunk {
    /// Puts events into items, from this place on: none too large, and none beyond the end of its partition.
    pub(crate) fn of(first: u64, events: Vec<Kept>) -> Vec<Self> {
        let total: usize = events.iter().map(Kept::bytes).sum();
        let most = if total > LARGE_BYTES { LARGE_CHUNK_BYTES } else { CHUNK_BYTES };
        let (mut chunks, mut bytes) = (Vec::<Self>::new(), 0);
        for (place, event) in (first..).zip(events) {
            let size = event.bytes();
            match chunks.last_mut() {
                Some(chunk) if bytes + size <= most && !place.is_multiple_of(BUCKET) => {
                    bytes += size;
                    chunk.events.push(event);
                }
                _ => {
                    bytes = size;
                    chunks.push(Self { first: place, events: vec![event] });
                }
            }
        }
        chunks
    }

    /// The last place that it has.
    pub(crate) fn last(&self) -> u64 {
        self.first + (self.events.len() as u64).saturating_sub(1)
    }

    /// What stands at a place.
    pub(crate) fn at(&self, place: u64) -> Option<Stored> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.events.get(at).map(|kept| kept.stored(place))
    }

    /// To whom an event was left that was moved here; nothing of one that came otherwise.
    pub(crate) fn left(&self, place: u64) -> Option<&[KeptLeft]> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        match &self.events.get(at)?.mark {
            Mark::Moved(left) => Some(left),
            Mark::Accepted | Mark::Again(_) => None,
        }
    }

    /// What was tried of an event that a destination has not looked at yet; nothing if it is not for it.
    pub(crate) fn ahead(&self, place: u64, consumer: ConsumerId) -> Option<(Attempts, Timestamp)> {
        match self.left(place) {
            None => Some((Attempts::default(), Timestamp::default())),
            Some(left) => left.iter().find(|left| left.consumer == consumer.0).map(|left| (left.attempts(), left.due)),
        }
    }

    /// Erases the body at a place. No event has an empty one otherwise.
    pub(crate) fn erase(&mut self, place: u64) {
        let at = place.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(kept) = at.and_then(|at| self.events.get_mut(at)) {
            kept.body = ByteBuf::new();
        }
    }

    /// Everything in it.
    pub(crate) fn all(&self) -> impl Iterator<Item = Stored> + '_ {
        (self.first..).zip(&self.events).map(|(place, kept)| kept.stored(place))
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.events.iter().map(Kept::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(size: usize) -> Kept {
        let event = Event {
            id: EventId::from_bytes([7; 16]),
            source: Arc::from("calls"),
            topic: Arc::from(""),
            conversation: None,
            received: Timestamp::from_millis(1),
            conflict_of: None,
            body: Bytes::from(vec![b'x'; size]),
        };
        Kept::new(&event, None, true)
    }

    proptest! {
        #[test]
        fn chunks_follow_one_another_and_none_crosses_a_bucket_or_is_too_large(
            first in 1u64..5_000, sizes in prop::collection::vec(0usize..40_000, 0..300)
        ) {
            let total: usize = sizes.iter().map(|size| kept(*size).bytes()).sum();
            let most = if total > LARGE_BYTES { LARGE_CHUNK_BYTES } else { CHUNK_BYTES };
            let chunks = Chunk::of(first, sizes.iter().map(|size| kept(*size)).collect());
            let mut next = first;
            for chunk in &chunks {
                prop_assert_eq!(chunk.first, next);
                prop_assert_eq!(chunk.first / BUCKET, chunk.last() / BUCKET);
                prop_assert!(chunk.events.len() == 1 || chunk.bytes() <= most);
                next = chunk.last() + 1;
            }
            prop_assert_eq!(next, first + sizes.len() as u64);
        }
    }
}
