//! One destination of the in-memory queue: everything that is not settled, in order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use event::{Event, Timestamp};

use crate::{Attempts, ConsumerId, ConsumerStatus, Lease, LeaseToken, Order, Seq, Stored};

#[derive(Debug)]
pub(super) struct ConsumerState {
    pub(super) name: Arc<str>,
    /// Place in the present topology; `None` if it is left out.
    pub(super) place: Option<u16>,
    pub(super) order: Order,
    pub(super) delivered: u64,
    unsettled: BTreeMap<u64, DeliveryState>,
    generation: u64,
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

impl ConsumerState {
    pub(super) fn new(name: &Arc<str>) -> Self {
        Self {
            name: Arc::clone(name),
            place: None,
            order: Order::default(),
            delivered: 0,
            unsettled: BTreeMap::new(),
            generation: 0,
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

    /// Another router is in force: what waits goes by its routes from now on.
    pub(super) fn route_anew(&mut self, route: impl Fn(&Event) -> Option<u16>) {
        for delivery in self.unsettled.values_mut() {
            delivery.route = route(&delivery.stored.event);
        }
    }

    pub(super) fn lease(&mut self, id: ConsumerId, max: usize, now: Timestamp, lease_time: Duration) -> Vec<Lease> {
        // What no route leads here any more is done with when its turn comes.
        let comes = |phase| matches!(phase, Phase::Due(at) | Phase::Leased(_, at) if at <= now);
        self.unsettled.retain(|_, delivery| delivery.route.is_some() || !comes(delivery.phase));
        let mut leases = Vec::new();
        let mut conversations = HashSet::new();
        for (&seq, delivery) in &mut self.unsettled {
            if leases.len() == max {
                break;
            }
            let conversation = delivery.stored.event.conversation.clone().filter(|_| self.order == Order::Conversation);
            let head = conversation.is_none_or(|conversation| conversations.insert(conversation));
            let (Phase::Due(at) | Phase::Leased(_, at)) = delivery.phase;
            let Some(route) = delivery.route.filter(|_| head && at <= now) else { continue };
            self.generation += 1;
            let until = now.plus(lease_time);
            delivery.phase = Phase::Leased(self.generation, until);
            leases.push(Lease {
                token: LeaseToken { consumer: id, seq: Seq(seq), generation: self.generation },
                stored: Arc::clone(&delivery.stored),
                route,
                attempts: delivery.attempts,
                until,
            });
        }
        leases
    }

    /// The delivery that this token leases, if the lease still holds.
    pub(super) fn leased(&mut self, token: LeaseToken, now: Timestamp) -> Option<&mut DeliveryState> {
        let delivery = self.unsettled.get_mut(&token.seq.0)?;
        let held =
            matches!(delivery.phase, Phase::Leased(generation, until) if generation == token.generation && until > now);
        held.then_some(delivery)
    }

    /// Whether an event is being delivered at `now`.
    pub(super) fn is_leased(&self, seq: u64, now: Timestamp) -> bool {
        self.unsettled
            .get(&seq)
            .is_some_and(|delivery| matches!(delivery.phase, Phase::Leased(_, until) if until > now))
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

    pub(super) fn status(&self, last: u64, dead_letters: u64, now: Timestamp) -> ConsumerStatus {
        let count = |wanted: &dyn Fn(Phase) -> bool| self.unsettled.values().filter(|d| wanted(d.phase)).count() as u64;
        ConsumerStatus {
            name: self.name.to_string(),
            configured: self.place.is_some(),
            watermark: self.unsettled.keys().next().map_or(last, |first| first - 1),
            unsettled: self.unsettled.len() as u64,
            leased: count(&|phase| matches!(phase, Phase::Leased(_, until) if until > now)),
            retrying: count(&|phase| matches!(phase, Phase::Due(at) if at > now)),
            dead_letters,
            oldest_unsettled: self.unsettled.values().next().map(|delivery| delivery.stored.event.received),
            delivered: self.delivered,
        }
    }
}
