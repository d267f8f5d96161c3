//! What the cases share: events, a router by topic, and shorthand for leasing and settling.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};

use super::Harness;
use crate::{
    BehindDead, By, Consumer, ConsumerId, Failure, FailureClass, Lease, NewEvent, Options, Order, Outcome, Publication,
    Published, Queue, Router, Routes, Settle, Stage, Target, Times, Topology,
};

/// A queue with the destinations `crm` and `lake`, both in order of conversation, and a time of its own.
///
/// Topics say who gets an event: `crm`, `lake`, `both`, anything else nobody.
pub struct Fixture<H: Harness> {
    /// The backend.
    pub harness: H,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The destination `crm`.
    pub crm: ConsumerId,
    /// The destination `lake`.
    pub lake: ConsumerId,
    /// The time.
    pub now: Timestamp,
}

/// Options of the suite: short, so that cases can wait for the ends of things.
pub const OPTIONS: Options = Options {
    dedupe_window: Duration::from_secs(3_600),
    retention: Duration::from_secs(7_200),
    times: Times { lease: Times::LEASE, longest_wait: Times::LONGEST_WAIT },
};

/// Sends an event where its topic says.
#[derive(Debug)]
pub struct ByTopic {
    destinations: Vec<&'static str>,
}

impl Router for ByTopic {
    fn route(&self, event: &Event) -> Routes {
        let wanted = |name: &str| &*event.topic == name || &*event.topic == "both";
        let targets = (0u16..).zip(&self.destinations).filter(|(_, name)| wanted(name));
        targets.map(|(consumer, name)| Target { consumer, route: if *name == "lake" { 7 } else { 3 } }).collect()
    }
}

/// The topology with these destinations.
pub fn topology(destinations: &[&'static str], order: Order) -> Topology {
    holding(destinations, order, BehindDead::Continue)
}

/// The topology with these destinations, and what waits behind a dead letter.
pub fn holding(destinations: &[&'static str], order: Order, behind_dead: BehindDead) -> Topology {
    let consumer = |name: &&'static str| Consumer { name: Arc::from(*name), order, behind_dead };
    Topology {
        consumers: destinations.iter().map(consumer).collect(),
        router: Arc::new(ByTopic { destinations: destinations.to_vec() }),
    }
}

impl<H: Harness> Fixture<H> {
    /// A new queue with both destinations in order of conversation.
    pub fn new() -> Self {
        Self::ordered(Order::Conversation)
    }

    /// A new queue with both destinations in this order.
    pub fn ordered(order: Order) -> Self {
        let harness = H::new(OPTIONS);
        let queue = harness.queue();
        let ids = queue.configure(topology(&["crm", "lake"], order)).expect("configures");
        Self { harness, queue, crm: ids[0], lake: ids[1], now: Timestamp::from_millis(1_773_957_888_000) }
    }

    /// Has the events behind dead letters wait, or go on.
    pub fn set_behind_dead(&self, behind_dead: BehindDead) {
        let topology = holding(&["crm", "lake"], Order::Conversation, behind_dead);
        self.queue.configure(topology).expect("configures");
    }

    /// Crashes and opens the queue again, with the same destinations.
    pub fn crash(&mut self) {
        self.queue = Arc::new(crate::MemoryQueue::default());
        self.harness.crash();
        self.queue = self.harness.queue();
        let ids = self.queue.configure(topology(&["crm", "lake"], Order::Conversation)).expect("configures");
        (self.crm, self.lake) = (ids[0], ids[1]);
        if H::LEASES_OUTLIVE_A_CRASH {
            self.now = self.now.plus(OPTIONS.times.lease);
        }
    }

    /// Somebody who does something now.
    pub fn by(&self) -> By {
        By::new("ann", self.now).because("because")
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    /// Lets the clock be set back.
    pub fn wait_back(&mut self, seconds: u64) {
        self.now = self.now.minus(Duration::from_secs(seconds));
    }

    /// Publishes events in one publication.
    pub async fn publish(&self, events: Vec<NewEvent>) -> Vec<Published> {
        let content = |body: &[u8]| {
            // Blanks do not count, as in JSON.
            let text: Vec<u8> = body.iter().copied().filter(|byte| *byte != b' ').collect();
            *EventId::from_identity("content", [text.as_slice()]).as_bytes()
        };
        let publication = Publication {
            proof: Arc::from("key 1"),
            source: Arc::from("test"),
            received: self.now,
            events,
            content: crate::Content::Plain(content),
        };
        self.queue.publish(publication).await.expect("publishes")
    }

    /// Leases up to `max` events of the destination, in as many goes as it takes, in their order.
    pub async fn lease(&self, consumer: ConsumerId, max: usize) -> Vec<Lease> {
        let mut leases = Vec::new();
        loop {
            let more = self.queue.lease(consumer, max - leases.len(), self.now).await.expect("leases");
            if more.is_empty() {
                break;
            }
            leases.extend(more);
        }
        leases.sort_by_key(|lease| lease.token.seq);
        leases
    }

    /// Leases everything of the destination; the bodies as text.
    pub async fn bodies(&self, consumer: ConsumerId) -> Vec<String> {
        self.lease(consumer, 1_000).await.iter().map(body).collect()
    }

    /// Settles leases with the same outcome.
    pub async fn settle(&self, leases: &[Lease], outcome: Outcome) {
        let settle = |lease: &Lease| Settle { token: lease.token, outcome: outcome.clone() };
        self.queue.settle(leases.iter().map(settle).collect(), self.now).await.expect("settles");
    }

    /// Leases and settles as done until nothing is left; the bodies in the order of delivery.
    pub async fn drain(&self, consumer: ConsumerId) -> Vec<String> {
        let mut delivered = Vec::new();
        loop {
            let leases = self.lease(consumer, 1_000).await;
            if leases.is_empty() {
                return delivered;
            }
            delivered.extend(leases.iter().map(body));
            self.settle(&leases, Outcome::Done).await;
        }
    }
}

impl<H: Harness> Default for Fixture<H> {
    fn default() -> Self {
        Self::new()
    }
}

/// A leased event's body.
pub fn body(lease: &Lease) -> String {
    String::from_utf8_lossy(&lease.stored.event.body).into_owned()
}

/// An event for `topic` in a conversation, identified by its body.
pub fn event(topic: &str, conversation: &str, body: &str) -> NewEvent {
    identified(body, topic, conversation, body)
}

/// An event with an identity of its own.
pub fn identified(identity: &str, topic: &str, conversation: &str, body: &str) -> NewEvent {
    NewEvent {
        id: EventId::from_identity("test", [identity.as_bytes()]),
        topic: Arc::from(topic),
        conversation: (!conversation.is_empty()).then(|| Arc::from(conversation)),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A failure of a delivery.
pub fn failure(message: &str) -> Failure {
    Failure {
        status: Some(503),
        excerpt: Some("busy".to_owned()),
        latency_ms: 12,
        ..Failure::new(Stage::Deliver, FailureClass::Transient, message)
    }
}
