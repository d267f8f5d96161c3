//! One destination of the in-memory queue: everything that is not settled, in order.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use event::{Event, Timestamp};

use crate::{Attempts, BehindDead, ConsumerId, ConsumerStatus, Lease, LeaseToken, Left, Order, Seq, Stored, Times};

#[derive(Debug)]
pub(super) struct ConsumerState {
    pub(super) name: Arc<str>,
    /// Place in the present topology; `None` if it is left out.
    pub(super) place: Option<u16>,
    pub(super) order: Order,
    pub(super) behind_dead: BehindDead,
    pub(super) delivered: u64,
    pub(super) put_aside: u64,
    /// The dead letters of each conversation: where their events stood first.
    pub(super) dead: HashMap<Arc<str>, Vec<Seq>>,
    times: Times,
    unsettled: BTreeMap<u64, DeliveryState>,
    generation: u64,
    /// Whose turn it is: of what has failed before, or of what was not tried yet.
    again_is_next: bool,
}

#[derive(Debug)]
pub(super) struct DeliveryState {
    pub(super) stored: Arc<Stored>,
    pub(super) attempts: Attempts,
    pub(super) phase: Phase,
    /// The route by which this destination gets it; none if a router of later has none.
    route: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Can be leased from this time on.
    Due(Timestamp),
    /// Out on the lease of this generation until this time.
    Leased(u64, Timestamp),
}

impl DeliveryState {
    fn is_leased(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Leased(_, until) if until > now)
    }

    fn is_due(&self, now: Timestamp, times: Times) -> bool {
        match self.phase {
            Phase::Due(at) => times.is_due(at, now),
            Phase::Leased(_, until) => until <= now,
        }
    }

    fn is_live(&self) -> bool {
        self.stored.again.is_none()
    }
}

impl ConsumerState {
    pub(super) fn new(name: &Arc<str>, times: Times) -> Self {
        Self {
            name: Arc::clone(name),
            place: None,
            order: Order::default(),
            behind_dead: BehindDead::default(),
            delivered: 0,
            put_aside: 0,
            dead: HashMap::new(),
            times,
            unsettled: BTreeMap::new(),
            generation: 0,
            again_is_next: false,
        }
    }

    /// Ends all leases, and leaves the topology.
    pub(super) fn restart(&mut self) {
        self.place = None;
        self.delivered = 0;
        for delivery in self.unsettled.values_mut().filter(|delivery| matches!(delivery.phase, Phase::Leased(..))) {
            delivery.phase = Phase::Due(Timestamp::default());
        }
    }

    pub(super) fn add(&mut self, stored: &Arc<Stored>, route: u16) {
        let phase = Phase::Due(Timestamp::default());
        let delivery =
            DeliveryState { stored: Arc::clone(stored), attempts: Attempts::default(), phase, route: Some(route) };
        self.unsettled.insert(stored.seq.0, delivery);
    }

    /// What was tried of a delivery that was added, and when it is due.
    pub(super) fn tried(&mut self, seq: Seq, attempts: Attempts, phase: Phase) {
        if let Some(delivery) = self.unsettled.get_mut(&seq.0) {
            (delivery.attempts, delivery.phase) = (attempts, phase);
        }
    }

    /// The delivery of an event, if it is still to be made.
    pub(super) fn left(&self, seq: Seq) -> Option<Left> {
        let delivery = self.unsettled.get(&seq.0).filter(|delivery| delivery.route.is_some())?;
        let due = match delivery.phase {
            Phase::Due(at) => at,
            Phase::Leased(..) => Timestamp::default(),
        };
        Some(Left { destination: Arc::clone(&self.name), attempts: delivery.attempts, due })
    }

    /// Another router is in force: what waits goes by its routes from now on.
    pub(super) fn route_anew(&mut self, route: impl Fn(&Event) -> Option<u16>) {
        for delivery in self.unsettled.values_mut() {
            delivery.route = route(&delivery.stored.event);
        }
    }

    pub(super) fn lease(&mut self, id: ConsumerId, max: usize, now: Timestamp) -> Vec<Lease> {
        // What no route leads here any more is done with when its turn comes.
        let times = self.times;
        self.unsettled.retain(|_, delivery| delivery.route.is_some() || !delivery.is_due(now, times));
        let mut chosen = self.in_turn(self.ready_live(now), max);
        self.again_is_next ^= chosen.len() % 2 == 1;
        let left = max - chosen.len();
        chosen.extend(self.ready_redriven(now).into_iter().take(left));
        chosen.into_iter().filter_map(|seq| self.lease_one(id, seq, now.plus(times.lease))).collect()
    }

    /// The first of these places: what was not tried yet and what has failed before in turn.
    fn in_turn(&self, ready: Vec<u64>, max: usize) -> Vec<u64> {
        let tried = |seq: &u64| self.unsettled.get(seq).is_some_and(|delivery| delivery.attempts.made > 0);
        let (again, fresh): (VecDeque<u64>, VecDeque<u64>) = ready.into_iter().partition(tried);
        let (mut next, mut other) = if self.again_is_next { (again, fresh) } else { (fresh, again) };
        let mut chosen = Vec::new();
        while chosen.len() < max
            && let Some(seq) = next.pop_front().or_else(|| other.pop_front())
        {
            chosen.push(seq);
            std::mem::swap(&mut next, &mut other);
        }
        chosen
    }

    fn lease_one(&mut self, id: ConsumerId, seq: u64, until: Timestamp) -> Option<Lease> {
        let behind_dead = self.is_behind_dead(&self.unsettled.get(&seq)?.stored);
        let delivery = self.unsettled.get_mut(&seq)?;
        let route = delivery.route?;
        self.generation += 1;
        delivery.phase = Phase::Leased(self.generation, until);
        Some(Lease {
            token: LeaseToken { consumer: id, seq: Seq(seq), generation: self.generation },
            stored: Arc::clone(&delivery.stored),
            route,
            attempts: delivery.attempts,
            behind_dead,
            until,
        })
    }

    /// The conversation by which an event waits for others, if it does.
    fn conversation<'a>(&self, stored: &'a Stored) -> Option<&'a Arc<str>> {
        stored.event.conversation.as_ref().filter(|_| self.order == Order::Conversation)
    }

    /// Whether an earlier event of its conversation is a dead letter.
    pub(super) fn is_behind_dead(&self, stored: &Stored) -> bool {
        let dead = self.conversation(stored).and_then(|conversation| self.dead.get(conversation));
        dead.is_some_and(|dead| dead.iter().any(|first| *first < stored.first_seq()))
    }

    /// Whether an event waits for a dead letter of its conversation, or for one that is redriven.
    fn is_held(&self, stored: &Stored) -> bool {
        let earlier = |conversation: &Arc<str>| {
            self.unsettled.values().any(|other| {
                !other.is_live()
                    && other.stored.event.conversation.as_ref() == Some(conversation)
                    && other.stored.first_seq() < stored.first_seq()
            })
        };
        self.behind_dead == BehindDead::Hold
            && self.conversation(stored).is_some_and(|of| self.is_behind_dead(stored) || earlier(of))
    }

    /// The first live event of each conversation; and each that has none.
    fn live_heads(&self) -> Vec<&DeliveryState> {
        let mut conversations = HashSet::new();
        let live = self.unsettled.values().filter(|delivery| delivery.is_live());
        live.filter(|delivery| {
            self.conversation(&delivery.stored).is_none_or(|of| conversations.insert(Arc::clone(of)))
        })
        .collect()
    }

    /// Whether a head waits for a dead letter, and for nothing else.
    fn is_held_head(&self, head: &DeliveryState, now: Timestamp) -> bool {
        !head.is_leased(now) && head.is_due(now, self.times) && self.is_held(&head.stored)
    }

    /// The conversations of which a redriven event is out on lease.
    fn redriven_out(&self, now: Timestamp) -> HashSet<Arc<str>> {
        let redriven = self.unsettled.values().filter(|other| !other.is_live() && other.is_leased(now));
        redriven.filter_map(|other| self.conversation(&other.stored).cloned()).collect()
    }

    fn ready_live(&self, now: Timestamp) -> Vec<u64> {
        let out = self.redriven_out(now);
        let ready = self.live_heads().into_iter().filter(|head| {
            let free = self.conversation(&head.stored).is_none_or(|conversation| !out.contains(conversation));
            free && head.is_due(now, self.times) && !self.is_held(&head.stored)
        });
        ready.map(|head| head.stored.seq.0).collect()
    }

    /// The first redriven event of each conversation in which nothing else is before it.
    fn ready_redriven(&self, now: Timestamp) -> Vec<u64> {
        let before = self.live_heads().into_iter().filter(|head| !self.is_held_head(head, now));
        let mut busy = self.redriven_out(now);
        busy.extend(before.filter_map(|head| self.conversation(&head.stored).cloned()));
        let mut redriven: Vec<_> = self.unsettled.values().filter(|delivery| !delivery.is_live()).collect();
        redriven.sort_by_key(|delivery| (delivery.stored.first_seq(), delivery.stored.seq));
        let ready = redriven.into_iter().filter(|delivery| {
            let conversation = self.conversation(&delivery.stored);
            let first = conversation.is_none_or(|conversation| busy.insert(Arc::clone(conversation)));
            let waits = self.behind_dead == BehindDead::Hold && self.is_behind_dead(&delivery.stored);
            first && !waits && delivery.is_due(now, self.times)
        });
        let mut ready: Vec<u64> = ready.map(|delivery| delivery.stored.seq.0).collect();
        ready.sort_unstable();
        ready
    }

    /// The delivery that this token leases, if nobody has leased it since.
    pub(super) fn leased(&mut self, token: LeaseToken) -> Option<&mut DeliveryState> {
        let delivery = self.unsettled.get_mut(&token.seq.0)?;
        let held = matches!(delivery.phase, Phase::Leased(generation, _) if generation == token.generation);
        held.then_some(delivery)
    }

    /// Whether an event is being delivered at `now`.
    pub(super) fn is_leased(&self, seq: u64, now: Timestamp) -> bool {
        self.unsettled.get(&seq).is_some_and(|delivery| delivery.is_leased(now))
    }

    pub(super) fn is_unsettled(&self, seq: Seq) -> bool {
        self.unsettled.contains_key(&seq.0)
    }

    /// Drops the delivery of an event that was erased, unless it is under way.
    pub(super) fn erase(&mut self, seq: Seq) {
        if self.unsettled.get(&seq.0).is_some_and(|delivery| matches!(delivery.phase, Phase::Due(_))) {
            self.finish(seq);
        }
    }

    pub(super) fn finish(&mut self, seq: Seq) -> Option<DeliveryState> {
        self.unsettled.remove(&seq.0)
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let due = |delivery: &DeliveryState| match delivery.phase {
            Phase::Due(at) => (at > Timestamp::default()).then_some(at),
            Phase::Leased(_, until) => Some(until),
        };
        self.unsettled.values().filter_map(due).min()
    }

    /// Live events of a conversation, if it waits for a dead letter.
    pub(super) fn held(&self, conversation: &Arc<str>, now: Timestamp) -> u64 {
        let of = |delivery: &&DeliveryState| self.conversation(&delivery.stored) == Some(conversation);
        let waits = self.live_heads().into_iter().filter(of).any(|head| self.is_held_head(head, now));
        let live = self.unsettled.values().filter(|delivery| delivery.is_live()).filter(of);
        if waits { live.count() as u64 } else { 0 }
    }

    pub(super) fn status(&self, last: u64, dead_letters: u64, now: Timestamp) -> ConsumerStatus {
        let count = |wanted: &dyn Fn(Phase) -> bool| self.unsettled.values().filter(|d| wanted(d.phase)).count() as u64;
        let heads = self.live_heads();
        let held = heads.iter().filter(|head| self.is_held_head(head, now));
        let held: Vec<_> = held.filter_map(|head| self.conversation(&head.stored)).collect();
        ConsumerStatus {
            name: self.name.to_string(),
            configured: self.place.is_some(),
            watermark: self.unsettled.keys().next().map_or(last, |first| first - 1),
            unsettled: self.unsettled.len() as u64,
            leased: count(&|phase| matches!(phase, Phase::Leased(_, until) if until > now)),
            retrying: count(&|phase| matches!(phase, Phase::Due(at) if at > now)),
            held_conversations: held.len() as u64,
            held: held.iter().map(|conversation| self.held(conversation, now)).sum(),
            dead_letters,
            oldest_unsettled: self.unsettled.values().next().map(|delivery| delivery.stored.kept_since()),
            delivered: self.delivered,
            put_aside: self.put_aside,
        }
    }
}
