//! Counts and positions: those of the head, and those of each destination's shards.

use event::Timestamp;
use queue::{ConsumerStatus, QueueError, QueueStatus, Seq};

use crate::choose::held;
use crate::head::Head;
use crate::inner::{Destination, Inner};
use crate::shard::Phase;

impl Inner {
    pub(crate) async fn status(&self, now: Timestamp) -> Result<QueueStatus, QueueError> {
        let (head, _) = self.head().await?;
        let destinations = self.wired.read().destinations.clone();
        let mut consumers = Vec::with_capacity(destinations.len());
        for destination in destinations {
            consumers.push(self.consumer_status(&destination, &head, now).await?);
        }
        let retained = (head.last + 1).saturating_sub(head.begin);
        Ok(QueueStatus {
            accepted: head.last - head.redriven - head.replayed,
            redriven: head.redriven,
            replayed: head.replayed,
            duplicates: head.duplicates,
            conflicts: head.conflicts,
            unmatched: head.unmatched,
            retained,
            dead_letters: head.letters,
            // Claims are kept as long as events, and not counted: there is one for each that was accepted.
            identities: retained,
            disk_bytes: 0,
            poisoned: None,
            consumers,
        })
    }

    async fn consumer_status(
        &self,
        destination: &Destination,
        head: &Head,
        now: Timestamp,
    ) -> Result<ConsumerStatus, QueueError> {
        let state = self.state(destination).await?;
        let setting = *destination.setting.lock();
        let rules = self.rules(setting, now);
        let shards = || state.shards().map(|(_, shard)| shard);
        let deliveries = || shards().flat_map(|shard| &shard.deliveries);
        let count = |wanted: &dyn Fn(Phase) -> bool| deliveries().filter(|(_, of)| wanted(of.phase)).count() as u64;
        let (mut held_conversations, mut held_events) = (0, 0);
        for shard in shards() {
            let held = held(shard, rules);
            held_conversations += held.len() as u64;
            held_events += held.values().sum::<u64>();
        }
        let first = deliveries().map(|(place, of)| (*place, of.since)).min();
        let oldest_unsettled = match first {
            Some((_, received)) => Some(received),
            None if state.ahead(destination.id, head) == 0 => None,
            // Of what was not looked at yet the first may be for others; it is as old as what comes behind it, or older.
            None => self.at(Seq(state.at + 1)).await?.map(|stored| stored.event.received),
        };
        let put_aside: u64 = shards().map(|shard| shard.put_aside).sum();
        Ok(ConsumerStatus {
            name: destination.name.to_string(),
            configured: setting.place.is_some(),
            watermark: first.map_or(state.at, |(place, _)| (place - 1).min(state.at)),
            unsettled: deliveries().count() as u64 + state.ahead(destination.id, head),
            leased: count(&|phase| matches!(phase, Phase::Leased(_, until) if until > now)),
            retrying: count(&|phase| matches!(phase, Phase::Due(at) if at > now)),
            held_conversations,
            held: held_events,
            dead_letters: shards().map(|shard| shard.dead.len() as u64).sum(),
            oldest_unsettled,
            delivered: shards().map(|shard| shard.delivered).sum(),
            put_aside: put_aside.saturating_sub(head.passed(destination.id)),
        })
    }
}
