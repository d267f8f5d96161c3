//! The state of a destination: how far the log was looked at for it, and the shards of what it has not settled.
//!
//! Looking on in the log is one transaction of the head and the shards that get something, so no event is passed over
//! and none comes twice, whoever looks and whenever it crashes.

use std::collections::{BTreeMap, BTreeSet};

use queue::{ConsumerId, QueueError};
use serde::{Deserialize, Serialize};

use crate::head::Head;
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::options::{PROJECTED_BYTES, PROJECTED_EVENTS, SHARDS, TRANSACTION_BYTES};
use crate::shard::{Delivery, Shard, shard_of};
use crate::table::{Committed, Direction, Expected, Write};

/// How far the log was looked at, as it is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Projection {
    /// The last place that was.
    pub(crate) at: u64,
    /// How many events for this destination there were up to there.
    pub(crate) taken: u64,
}

/// A shard, and what a write of it has to expect.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) shard: Shard,
    pub(crate) expected: Expected,
}

/// The state of a destination, as it was read.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) at: u64,
    taken: u64,
    expected: Expected,
    pub(crate) parts: BTreeMap<u8, Part>,
}

/// What came of looking on in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Further on.
    On,
    /// There is no room for the next event.
    Full,
    /// Somebody else has written in between; the state is to be read again.
    Stale,
}

impl State {
    pub(crate) fn shards(&self) -> impl Iterator<Item = (u8, &Shard)> {
        self.parts.iter().map(|(number, part)| (*number, &part.shard))
    }

    /// Events for this destination that were not looked at yet, as many as were accepted for it.
    pub(crate) fn ahead(&self, id: ConsumerId, head: &Head) -> u64 {
        if self.at >= head.last { 0 } else { head.routed(id).saturating_sub(self.taken) }
    }

    pub(crate) fn part(&mut self, number: u8) -> &mut Part {
        self.parts.entry(number).or_insert_with(|| Part { shard: Shard::default(), expected: Expected::Nothing })
    }
}

impl Inner {
    pub(crate) async fn state(&self, destination: &Destination) -> Result<State, QueueError> {
        let partition = keys::destination(destination.id);
        let items = self.table.range(&partition, "head", keys::SHARD_LAST, Direction::Up, usize::MAX).await?;
        let mut state = State { at: 0, taken: 0, expected: Expected::Nothing, parts: BTreeMap::new() };
        for item in items {
            let expected = Expected::Stamp(item.stamp);
            match keys::shard_of(&item.key.sort) {
                Some(number) => {
                    let part = Part { shard: item.read()?, expected };
                    destination.note_due(number, part.shard.next_due());
                    state.parts.insert(number, part);
                }
                None => {
                    let Projection { at, taken } = item.read()?;
                    (state.at, state.taken, state.expected) = (at, taken, expected);
                }
            }
        }
        Ok(state)
    }

    pub(crate) async fn part(&self, id: ConsumerId, number: u8) -> Result<Part, QueueError> {
        let item = self.table.get(&keys::shard(id, number)).await?;
        Ok(match item {
            Some(item) => Part { shard: item.read()?, expected: Expected::Stamp(item.stamp) },
            None => Part { shard: Shard::default(), expected: Expected::Nothing },
        })
    }

    /// Looks on in the log for what is for this destination by the present routes.
    pub(crate) async fn look_on(
        &self,
        destination: &Destination,
        place: u16,
        state: &mut State,
        head: &Head,
    ) -> Result<Looked, QueueError> {
        let chunks = self.log(head, state.at + 1, PROJECTED_EVENTS, PROJECTED_BYTES).await?;
        let (before, mut touched, mut bytes, mut wanted_ones) = (state.at, BTreeSet::new(), 0, 0);
        // Places that retention has dropped are passed over.
        let mut at = before.max(head.begin.saturating_sub(1));
        'looking: for chunk in &chunks {
            for stored in chunk.all().filter(|stored| stored.seq.0 > before) {
                let ahead = chunk.ahead(stored.seq.0, destination.id).filter(|_| {
                    stored.again.is_none()
                        && !stored.event.is_erased()
                        && self.wired.read().route(&stored.event, place).is_some()
                });
                if let Some((attempts, due)) = ahead {
                    let number = shard_of(stored.event.conversation.as_deref(), stored.seq.0);
                    let shard = &mut state.part(number).shard;
                    if !touched.contains(&number) {
                        // With what it gets now.
                        bytes += shard.bytes() + PROJECTED_EVENTS * 42 / usize::from(SHARDS);
                    }
                    let fits = touched.is_empty() || bytes <= TRANSACTION_BYTES;
                    if !shard.has_room() || !fits {
                        break 'looking;
                    }
                    touched.insert(number);
                    wanted_ones += 1;
                    shard
                        .deliveries
                        .insert(stored.seq.0, Delivery::new(&stored, chunk.first).tried_before(attempts, due));
                }
                at = stored.seq.0;
            }
        }
        if at == before {
            return Ok(Looked::Full);
        }
        // At the end of the log it is known, also if routes were others when some of it was accepted.
        let taken = if at == head.last { head.routed(destination.id) } else { state.taken + wanted_ones };
        let projection = Projection { at, taken };
        let mut writes = vec![Write::put(keys::projection(destination.id), state.expected, &projection)?];
        for number in &touched {
            let part = state.part(*number);
            writes.push(Write::put(keys::shard(destination.id, *number), part.expected, &part.shard)?);
        }
        let Committed::Done(stamp) = self.table.commit(writes).await? else { return Ok(Looked::Stale) };
        (state.at, state.taken, state.expected) = (at, taken, Expected::Stamp(stamp));
        for number in touched {
            state.part(number).expected = Expected::Stamp(stamp);
        }
        Ok(Looked::On)
    }
}
