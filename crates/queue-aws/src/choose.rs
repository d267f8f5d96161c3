//! Which deliveries of a shard can be leased, and in which order those of all shards go. Pure.
//!
//! The rules are those of the port: [`queue::Queue::lease`].

use std::collections::{HashMap, HashSet, VecDeque};

use event::Timestamp;
use queue::{BehindDead, Order, Times};

use crate::shard::{Conversation, Delivery, Shard};

/// What a destination's configuration says of order, and the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) order: Order,
    pub(crate) behind_dead: BehindDead,
    pub(crate) times: Times,
    pub(crate) now: Timestamp,
}

/// A delivery that can be leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) shard: u8,
    pub(crate) place: u64,
    pub(crate) chunk: u64,
    pub(crate) tried: bool,
}

/// What can be leased.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Of what was accepted, in the order of the log.
    pub(crate) live: Vec<Ready>,
    /// Of what stands in the log again, in the order of the log.
    pub(crate) again: Vec<Ready>,
}

fn least(map: &mut HashMap<Conversation, u64>, conversation: Conversation, first: u64) {
    map.entry(conversation).and_modify(|least| *least = first.min(*least)).or_insert(first);
}

/// What a shard's conversations wait for.
struct View<'a> {
    rules: Rules,
    shard: &'a Shard,
    /// The first place of each conversation's dead letters.
    dead: HashMap<Conversation, u64>,
    /// The first place of what stands in the log again, of each conversation.
    again: HashMap<Conversation, u64>,
    /// The conversations of which something that stands there again is out.
    out: HashSet<Conversation>,
}

impl<'a> View<'a> {
    fn new(rules: Rules, shard: &'a Shard) -> Self {
        let mut view = Self { rules, shard, dead: HashMap::new(), again: HashMap::new(), out: HashSet::new() };
        if rules.order == Order::None {
            return view;
        }
        for dead in &shard.dead {
            dead.conversation.into_iter().for_each(|conversation| least(&mut view.dead, conversation, dead.first));
        }
        for (place, delivery) in shard.deliveries.iter().filter(|(_, delivery)| !delivery.is_live()) {
            let Some(conversation) = delivery.conversation else { continue };
            least(&mut view.again, conversation, delivery.first(*place));
            if delivery.is_leased(rules.now) {
                view.out.insert(conversation);
            }
        }
        view
    }

    /// The conversation by which a delivery waits for others, if it does.
    fn conversation(&self, delivery: &Delivery) -> Option<Conversation> {
        delivery.conversation.filter(|_| self.rules.order == Order::Conversation)
    }

    fn is_behind(map: &HashMap<Conversation, u64>, conversation: Conversation, first: u64) -> bool {
        map.get(&conversation).is_some_and(|least| *least < first)
    }

    /// Whether a delivery waits for a dead letter of its conversation, or for one that is redriven.
    fn is_held(&self, place: u64, delivery: &Delivery) -> bool {
        let first = delivery.first(place);
        self.rules.behind_dead == BehindDead::Hold
            && self
                .conversation(delivery)
                .is_some_and(|of| Self::is_behind(&self.dead, of, first) || Self::is_behind(&self.again, of, first))
    }

    /// The first live delivery of each conversation; and each that has none.
    fn heads(&self) -> Vec<(u64, &'a Delivery)> {
        let mut conversations = HashSet::new();
        let live = self.shard.deliveries.iter().filter(|(_, delivery)| delivery.is_live());
        live.filter(|(_, delivery)| self.conversation(delivery).is_none_or(|of| conversations.insert(of)))
            .map(|(place, delivery)| (*place, delivery))
            .collect()
    }

    fn is_due(&self, delivery: &Delivery) -> bool {
        delivery.is_due(self.rules.now, self.rules.times)
    }

    /// Whether a head waits for a dead letter, and for nothing else.
    fn is_held_head(&self, place: u64, head: &Delivery) -> bool {
        !head.is_leased(self.rules.now) && self.is_due(head) && self.is_held(place, head)
    }

    fn choose(&self, number: u8, choice: &mut Choice) {
        let ready = |place: u64, delivery: &Delivery| {
            let tried = delivery.attempts().made > 0;
            Ready { shard: number, place, chunk: delivery.chunk, tried }
        };
        let heads = self.heads();
        for (place, head) in &heads {
            let free = self.conversation(head).is_none_or(|of| !self.out.contains(&of));
            if free && self.is_due(head) && !self.is_held(*place, head) {
                choice.live.push(ready(*place, head));
            }
        }
        let mut busy = self.out.clone();
        let before = heads.iter().filter(|(place, head)| !self.is_held_head(*place, head));
        busy.extend(before.filter_map(|(_, head)| self.conversation(head)));
        let again = self.shard.deliveries.iter().filter(|(_, delivery)| !delivery.is_live());
        let mut again: Vec<_> = again.map(|(place, delivery)| (delivery.first(*place), *place, delivery)).collect();
        again.sort_unstable_by_key(|(first, place, _)| (*first, *place));
        for (first, place, delivery) in again {
            let of = self.conversation(delivery);
            let is_first = of.is_none_or(|of| busy.insert(of));
            let waits = self.rules.behind_dead == BehindDead::Hold
                && of.is_some_and(|of| Self::is_behind(&self.dead, of, first));
            if is_first && !waits && self.is_due(delivery) {
                choice.again.push(ready(place, delivery));
            }
        }
    }
}

/// What can be leased of all shards.
pub(crate) fn choose<'a>(shards: impl Iterator<Item = (u8, &'a Shard)>, rules: Rules) -> Choice {
    let mut choice = Choice::default();
    for (number, shard) in shards {
        View::new(rules, shard).choose(number, &mut choice);
    }
    choice.live.sort_unstable_by_key(|ready| ready.place);
    choice.again.sort_unstable_by_key(|ready| ready.place);
    choice
}

/// The first of these, at most so many: what was not tried yet and what has failed before in turn. `again_is_next` says
/// whose turn it is.
pub(crate) fn in_turn(live: Vec<Ready>, max: usize, again_is_next: bool) -> Vec<Ready> {
    let (again, fresh): (VecDeque<Ready>, VecDeque<Ready>) = live.into_iter().partition(|ready| ready.tried);
    let (mut next, mut other) = if again_is_next { (again, fresh) } else { (fresh, again) };
    let mut chosen = Vec::new();
    while chosen.len() < max
        && let Some(ready) = next.pop_front().or_else(|| other.pop_front())
    {
        chosen.push(ready);
        std::mem::swap(&mut next, &mut other);
    }
    chosen
}

/// The conversations of a shard that wait for a dead letter and for nothing else, and how many live deliveries each has.
pub(crate) fn held(shard: &Shard, rules: Rules) -> HashMap<Conversation, u64> {
    let view = View::new(rules, shard);
    let heads = view.heads().into_iter().filter(|(place, head)| view.is_held_head(*place, head));
    let mut held: HashMap<Conversation, u64> =
        heads.filter_map(|(_, head)| Some((view.conversation(head)?, 0))).collect();
    for delivery in shard.deliveries.values().filter(|delivery| delivery.is_live()) {
        if let Some(count) = delivery.conversation.and_then(|of| held.get_mut(&of)) {
            *count += 1;
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use event::{Event, EventId};
    use proptest::prelude::*;
    use queue::{Again, ConsumerId, Seq, Stored, Why};

    use super::*;
    use crate::shard::{Dead, Phase, conversation_named};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn delivery(place: u64, conversation: Option<u8>, again: Option<u64>, phase: Phase) -> Delivery {
        let event = Event {
            id: EventId::from_bytes([1; 16]),
            source: Arc::from("calls"),
            topic: Arc::from(""),
            conversation: conversation.map(|number| Arc::from(format!("c{number}"))),
            received: NOW,
            conflict_of: None,
            body: Bytes::from_static(b"{}"),
        };
        let mark =
            |first| Again { consumer: ConsumerId(0), at: NOW, why: Why::Redriven, edited: false, first: Seq(first) };
        let stored = Stored { again: again.map(mark), ..Stored::new(Seq(place), event) };
        let mut delivery = Delivery::new(&stored, place);
        delivery.phase = phase;
        delivery
    }

    prop_compose! {
        fn shard()(
            deliveries in prop::collection::btree_map(
                1u64..60, (prop::option::of(0u8..4), prop::option::weighted(0.3, 1u64..60), 0u8..4), 0..40,
            ),
            dead in prop::collection::vec((0u8..4, 1u64..60), 0..3),
        ) -> Shard {
            let phase = |kind: u8| match kind {
                0 => Phase::Leased(1, NOW.plus(std::time::Duration::from_secs(9))),
                1 => Phase::Leased(1, NOW),
                2 => Phase::Due(NOW.plus(std::time::Duration::from_secs(9))),
                _ => Phase::Due(Timestamp::default()),
            };
            let one = |(place, (conversation, again, kind)): (u64, (Option<u8>, Option<u64>, u8))| {
                (place, delivery(place, conversation, again.map(|first| first.min(place)), phase(kind)))
            };
            let name = |number: u8| Some(conversation_named(&format!("c{number}")).0);
            let mut shard = Shard::default();
            shard.deliveries = deliveries.into_iter().map(one).collect();
            shard.dead = dead.into_iter().map(|(of, first)| Dead { letter: 1, conversation: name(of), first }).collect();
            shard
        }
    }

    proptest! {
        #[test]
        fn one_of_a_conversation_is_offered_and_none_that_is_out_or_waits(shard in shard(), hold in any::<bool>()) {
            let behind_dead = if hold { BehindDead::Hold } else { BehindDead::Continue };
            let rules = Rules { order: Order::Conversation, behind_dead, times: Times::default(), now: NOW };
            let choice = choose([(3, &shard)].into_iter(), rules);
            let of = |ready: &Ready| &shard.deliveries[&ready.place];
            let offered: Vec<_> = choice.live.iter().chain(&choice.again).collect();
            let mut conversations = HashSet::new();
            for ready in &offered {
                let delivery = of(ready);
                prop_assert!(delivery.is_due(NOW, rules.times) && !delivery.is_leased(NOW));
                let Some(conversation) = delivery.conversation else { continue };
                prop_assert!(conversations.insert(conversation), "two of one conversation");
                let out = shard.deliveries.iter().filter(|(_, other)| {
                    other.conversation == Some(conversation) && !other.is_live() && other.is_leased(NOW)
                });
                prop_assert_eq!(out.count(), 0, "a redriven one of it is out");
                let waits = hold && shard.is_behind_dead(Some(conversation), delivery.first(ready.place));
                prop_assert!(!waits, "behind a dead letter");
            }
            for ready in &choice.live {
                let earlier = shard.deliveries.range(..ready.place).filter(|(_, other)| {
                    other.is_live() && other.conversation.is_some() && other.conversation == of(ready).conversation
                });
                prop_assert_eq!(earlier.count(), 0, "an earlier one of its conversation is not settled");
            }
        }

        #[test]
        fn what_was_tried_and_what_was_not_take_turns(tried in prop::collection::vec(any::<bool>(), 0..30), max in 0usize..40) {
            let live: Vec<_> =
                (0..).zip(&tried).map(|(place, tried)| Ready { shard: 0, place, chunk: 0, tried: *tried }).collect();
            let chosen = in_turn(live, max, false);
            prop_assert_eq!(chosen.len(), max.min(tried.len()));
            let (again, fresh): (Vec<Ready>, Vec<Ready>) = chosen.iter().partition(|ready| ready.tried);
            prop_assert!(again.is_sorted_by_key(|ready| ready.place) && fresh.is_sorted_by_key(|ready| ready.place));
            let all = |wanted: bool| tried.iter().filter(|tried| **tried == wanted).count();
            prop_assert!(again.len().abs_diff(fresh.len()) <= 1 || again.len() == all(true) || fresh.len() == all(false));
        }
    }
}
