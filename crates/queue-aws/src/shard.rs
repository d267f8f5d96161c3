//! A part of a destination's deliveries that are not settled: those of some conversations. Pure.
//!
//! A conversation is in one shard, so its order is decided in one item, and whoever delivers another conversation
//! seldom writes to the same. Events without a conversation are spread by their places.

use std::collections::BTreeMap;

use event::Timestamp;
use queue::{Attempts, Outcome, Stored, Times};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::options::{SHARD_BYTES, SHARDS};
use crate::trail::Notes;

/// Names a conversation among those of one destination. Two with the same name would wait for each other, no more.
pub(crate) type Conversation = u64;

/// A shard, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    /// Counts leases.
    generation: u64,
    /// Deliveries that were settled as done.
    pub(crate) delivered: u64,
    /// What is not settled, by place.
    pub(crate) deliveries: BTreeMap<u64, Delivery>,
    /// The dead letters of the destination that belong here.
    pub(crate) dead: Vec<Dead>,
    /// What was done and is not in the audit trail's chain yet.
    pub(crate) notes: Notes,
    /// Deliveries that were put aside.
    pub(crate) put_aside: u64,
}

/// An event that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Where the item of the log that has it begins.
    pub(crate) chunk: u64,
    pub(crate) conversation: Option<Conversation>,
    /// Where it stood first, if it stands there again.
    pub(crate) again: Option<u64>,
    /// Since when it waits: since its event was received, redriven or replayed.
    pub(crate) since: Timestamp,
    /// Its event was erased while it was out: nothing that is said of it is kept.
    pub(crate) erased: bool,
    attempts: Tried,
    pub(crate) phase: Phase,
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Can be leased from this time on.
    Due(Timestamp),
    /// Out on the lease of this generation until this time.
    Leased(u64, Timestamp),
}

/// [`Attempts`], as they are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    made: u32,
    charged: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// A dead letter, as far as the order of its conversation is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead {
    pub(crate) letter: u64,
    pub(crate) conversation: Option<Conversation>,
    /// Where its event stood first.
    pub(crate) first: u64,
}

/// The name of a conversation, and its shard.
pub(crate) fn conversation_named(name: &str) -> (Conversation, u8) {
    let conversation = xxh3_64(name.as_bytes());
    (conversation, spread(conversation))
}

fn spread(number: u64) -> u8 {
    u8::try_from(number % u64::from(SHARDS)).unwrap_or(0)
}

/// The shard of an event of this conversation, which stood at this place first.
pub(crate) fn shard_of(conversation: Option<&str>, first: u64) -> u8 {
    conversation.map_or_else(|| spread(first), |name| conversation_named(name).1)
}

/// The number of a lease and its shard, as a token holds them.
pub(crate) fn generation(shard: u8, number: u64) -> u64 {
    number << 8 | u64::from(shard)
}

/// The shard and the number of a lease.
pub(crate) fn of_generation(generation: u64) -> (u8, u64) {
    (u8::try_from(generation & 0xff).unwrap_or(0), generation >> 8)
}

impl Delivery {
    pub(crate) fn new(stored: &Stored, chunk: u64) -> Self {
        Self {
            chunk,
            conversation: stored.event.conversation.as_deref().map(|name| conversation_named(name).0),
            again: stored.again.map(|again| again.first.0),
            since: stored.kept_since(),
            erased: false,
            attempts: Tried::default(),
            phase: Phase::Due(Timestamp::default()),
        }
    }

    /// One that was tried elsewhere, before it was moved here.
    pub(crate) fn tried_before(mut self, attempts: Attempts, due: Timestamp) -> Self {
        self.tried(attempts);
        self.phase = Phase::Due(due);
        self
    }

    /// When it may be leased; long ago if it is out on a lease.
    pub(crate) fn due(&self) -> Timestamp {
        match self.phase {
            Phase::Due(at) => at,
            Phase::Leased(..) => Timestamp::default(),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.again.is_none()
    }

    /// Bytes that it takes in an item, at most, where places have 35 bits and times 41.
    fn bytes(&self) -> usize {
        let tried = self.attempts != Tried::default();
        if tried { 66 } else { 42 }
    }

    /// Its place in the order of its conversation; it stands at `place`.
    pub(crate) fn first(&self, place: u64) -> u64 {
        self.again.unwrap_or(place)
    }

    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Leased(_, until) if until > now)
    }

    pub(crate) fn is_due(&self, now: Timestamp, times: Times) -> bool {
        match self.phase {
            Phase::Due(at) => times.is_due(at, now),
            Phase::Leased(_, until) => until <= now,
        }
    }

    pub(crate) fn attempts(&self) -> Attempts {
        let Tried { made, charged, first, last } = self.attempts;
        Attempts { made, charged, first, last }
    }

    fn tried(&mut self, attempts: Attempts) {
        let Attempts { made, charged, first, last } = attempts;
        self.attempts = Tried { made, charged, first, last };
    }
}

impl Shard {
    /// Leases a delivery; the number of the lease.
    pub(crate) fn lease(&mut self, place: u64, until: Timestamp) -> Option<u64> {
        let delivery = self.deliveries.get_mut(&place)?;
        self.generation += 1;
        delivery.phase = Phase::Leased(self.generation, until);
        Some(self.generation)
    }

    /// The delivery that is out on this lease, if nobody has leased it since.
    pub(crate) fn leased(&self, place: u64, number: u64) -> Option<&Delivery> {
        let delivery = self.deliveries.get(&place)?;
        matches!(delivery.phase, Phase::Leased(held, _) if held == number).then_some(delivery)
    }

    /// Settles a lease that is out. What has died stays: a burial takes it.
    pub(crate) fn settle(&mut self, place: u64, outcome: &Outcome) {
        let Some(delivery) = self.deliveries.get_mut(&place) else { return };
        match outcome {
            Outcome::Done | Outcome::Delivered(_) => {
                self.delivered += 1;
                self.deliveries.remove(&place);
            }
            Outcome::PutAside(_) => {
                self.put_aside += 1;
                self.deliveries.remove(&place);
            }
            Outcome::Dead { .. } => {}
            Outcome::Release => delivery.phase = Phase::Due(Timestamp::default()),
            Outcome::Retry { at, attempts, .. } => {
                delivery.phase = Phase::Due(*at);
                delivery.tried(*attempts);
            }
        }
    }

    /// Bytes that it takes as an item, at most.
    pub(crate) fn bytes(&self) -> usize {
        /// Of a dead letter: three numbers.
        const DEAD_BYTES: usize = 24;
        self.deliveries.values().map(Delivery::bytes).sum::<usize>() + self.dead.len() * DEAD_BYTES + self.notes.bytes()
    }

    /// Whether there is room for one more delivery. Dead letters take none of it, so however many there are, live events
    /// go on.
    pub(crate) fn has_room(&self) -> bool {
        self.deliveries.values().map(Delivery::bytes).sum::<usize>() <= SHARD_BYTES
    }

    /// When the next delivery falls due that waits for a time.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let due = |delivery: &Delivery| match delivery.phase {
            Phase::Due(at) => (at > Timestamp::default()).then_some(at),
            Phase::Leased(_, until) => Some(until),
        };
        self.deliveries.values().filter_map(due).min()
    }

    /// Whether an earlier event of this conversation is a dead letter.
    pub(crate) fn is_behind_dead(&self, conversation: Option<Conversation>, first: u64) -> bool {
        conversation.is_some() && self.dead.iter().any(|dead| dead.conversation == conversation && dead.first < first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use queue::{FailureClass, Stage};

    use super::*;
    use crate::codec;

    fn time() -> impl Strategy<Value = Timestamp> {
        (0i64..1 << 41).prop_map(Timestamp::from_millis)
    }

    prop_compose! {
        fn delivery()(
            chunk in 1u64..1 << 35, conversation in any::<Option<u64>>(), again in prop::option::of(1u64..1 << 35),
            since in time(), erased in any::<bool>(), tried in prop::option::of((1u32..1_000, 0u32..1_000, time(), time())),
            due in time(), lease in prop::option::of(1u64..1 << 35),
        ) -> Delivery {
            let attempts = tried.map_or_else(Tried::default, |(made, charged, first, last)| {
                Tried { made, charged, first: Some(first), last: Some(last) }
            });
            let phase = lease.map_or(Phase::Due(due), |number| Phase::Leased(number, due));
            Delivery { chunk, conversation, again, since, erased, attempts, phase }
        }
    }

    proptest! {
        #[test]
        fn a_shard_takes_no_more_bytes_than_it_says(
            deliveries in prop::collection::btree_map(1u64..1 << 35, delivery(), 0..60),
            dead in prop::collection::vec((1u64..1 << 35, any::<Option<u64>>(), 1u64..1 << 35), 0..60),
        ) {
            let dead = dead.into_iter().map(|(letter, conversation, first)| Dead { letter, conversation, first });
            let shard = Shard { deliveries, dead: dead.collect(), ..Shard::default() };
            let packed = codec::pack(&shard).unwrap();
            prop_assert!(packed.len() <= shard.bytes() + 64, "{} and {}", packed.len(), shard.bytes());
        }

        #[test]
        fn a_lease_counts_until_it_is_settled_or_leased_again(seq in 1u64..100, outcome in 0u8..4) {
            let mut shard = Shard::default();
            let due = Phase::Due(Timestamp::default());
            let delivery = Delivery {
                chunk: 1, conversation: Some(7), again: None, since: Timestamp::default(), erased: false,
                attempts: Tried::default(), phase: due,
            };
            shard.deliveries.insert(seq, delivery);
            let first = shard.lease(seq, Timestamp::from_millis(60)).unwrap();
            let second = shard.lease(seq, Timestamp::from_millis(120)).unwrap();
            prop_assert!(shard.leased(seq, first).is_none() && shard.leased(seq, second).is_some());
            let failure = queue::Failure::new(Stage::Deliver, FailureClass::Transient, "busy");
            let attempts = Attempts { made: 1, ..Attempts::default() };
            let outcome = match outcome {
                0 => Outcome::Done,
                1 => Outcome::Release,
                2 => Outcome::Delivered(queue::Answer::default()),
                _ => Outcome::Retry { at: Timestamp::from_millis(99), attempts, failure },
            };
            shard.settle(seq, &outcome);
            prop_assert!(shard.leased(seq, second).is_none());
            let is_over = matches!(outcome, Outcome::Done | Outcome::Delivered(_));
            prop_assert_eq!((shard.delivered, shard.deliveries.len()), (u64::from(is_over), usize::from(!is_over)));
        }
    }
}
