//! The whole state of the in-memory queue, changed by one caller at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event::{Event, EventId, Timestamp};

use super::consumer::{ConsumerState, Phase};
use crate::{
    Again, ConsumerId, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Failure, FailureClass, Grouping,
    Lease, Maintained, NewEvent, NotRedriven, Options, Outcome, Publication, Published, QueueError, QueueStatus,
    RedriveOutcome, Rejection, Replay, Seq, Settle, Stage, Stored, Topology, Why, body_hash, conflict_id,
};

#[derive(Debug)]
pub(super) struct State {
    options: Options,
    pub(super) log: BTreeMap<u64, Arc<Stored>>,
    pub(super) last: u64,
    identities: HashMap<EventId, Identity>,
    rejected: HashMap<u64, (Timestamp, DeadLetterId)>,
    pub(super) topology: Option<Topology>,
    pub(super) consumers: Vec<ConsumerState>,
    pub(super) dead: BTreeMap<DeadLetterId, DeadLetter>,
    last_dead: u64,
    pub(super) counts: Counts,
    pub(super) replays: BTreeMap<String, Replay>,
    /// Retention drops nothing from here on.
    pub(super) keep_from: Option<Seq>,
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Identity {
    received: Timestamp,
    seq: u64,
    body_hash: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    duplicates: u64,
    conflicts: u64,
    unmatched: u64,
    redriven: u64,
    pub(super) replayed: u64,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            log: BTreeMap::new(),
            last: 0,
            identities: HashMap::new(),
            rejected: HashMap::new(),
            topology: None,
            consumers: Vec::new(),
            dead: BTreeMap::new(),
            last_dead: 0,
            counts: Counts::default(),
            replays: BTreeMap::new(),
            keep_from: None,
            closed: false,
        }
    }

    pub(super) fn options(&self) -> Options {
        self.options
    }

    /// Forgets what only a running queue knows.
    pub(super) fn restart(&mut self) {
        self.topology = None;
        self.keep_from = None;
        self.closed = false;
        self.consumers.iter_mut().for_each(ConsumerState::restart);
    }

    pub(super) fn publish(&mut self, publication: Publication) -> Vec<Published> {
        let Publication { source, received, events, content } = publication;
        events.into_iter().map(|new| self.publish_one(&source, received, new, content)).collect()
    }

    fn publish_one(
        &mut self,
        source: &Arc<str>,
        received: Timestamp,
        new: NewEvent,
        content: fn(&[u8]) -> [u8; 16],
    ) -> Published {
        let Some(first) = self.known(new.id, received) else {
            let id = new.id;
            let seq = self.append(source, received, new, None);
            return Published::Accepted { id, seq };
        };
        let same_bytes = first.body_hash == body_hash(&new.body);
        let first_seq = first.seq;
        let new_content = content(&new.body);
        if same_bytes || self.log.get(&first_seq).is_none_or(|stored| content(&stored.event.body) == new_content) {
            self.counts.duplicates += 1;
            return Published::Duplicate { id: new.id };
        }
        let id = conflict_id(new.id, new_content);
        if self.known(id, received).is_some() {
            self.counts.duplicates += 1;
            return Published::Duplicate { id };
        }
        let of = new.id;
        let seq = self.append(source, received, NewEvent { id, ..new }, Some(of));
        self.counts.conflicts += 1;
        Published::Conflict { id, of, seq }
    }

    fn known(&self, id: EventId, now: Timestamp) -> Option<&Identity> {
        self.identities.get(&id).filter(|first| first.received.until(now) < self.options.dedupe_window)
    }

    fn append(&mut self, source: &Arc<str>, received: Timestamp, new: NewEvent, conflict_of: Option<EventId>) -> Seq {
        self.last += 1;
        let seq = Seq(self.last);
        self.identities.insert(new.id, Identity { received, seq: seq.0, body_hash: body_hash(&new.body) });
        let event = Event {
            id: new.id,
            source: Arc::clone(source),
            topic: new.topic,
            conversation: new.conversation,
            received,
            conflict_of,
            body: new.body,
        };
        let routes = self.topology.as_ref().map(|topology| topology.router.route(&event)).unwrap_or_default();
        if routes.is_empty() {
            self.counts.unmatched += 1;
        }
        let stored = Arc::new(Stored::new(seq, event));
        for target in routes {
            if let Some(consumer) = self.consumers.iter_mut().find(|c| c.place == Some(target.consumer)) {
                consumer.add(&stored, target.route);
            }
        }
        self.log.insert(seq.0, stored);
        seq
    }

    pub(super) fn reject(&mut self, rejection: Rejection) -> DeadLetterId {
        let hash = body_hash(&rejection.body);
        if let Some((at, id)) = self.rejected.get(&hash)
            && at.until(rejection.received) < self.options.dedupe_window
        {
            return *id;
        }
        let id = self.add_dead(DeadLetter {
            id: DeadLetterId(0),
            died: rejection.received,
            destination: None,
            seq: None,
            event: None,
            source: rejection.source,
            topic: Arc::from(""),
            conversation: None,
            attempts: crate::Attempts::default(),
            failure: rejection.failure,
            received: Some(rejection.received),
            body: Some(rejection.body),
        });
        self.rejected.insert(hash, (rejection.received, id));
        id
    }

    fn add_dead(&mut self, mut letter: DeadLetter) -> DeadLetterId {
        self.last_dead += 1;
        letter.id = DeadLetterId(self.last_dead);
        self.dead.insert(letter.id, letter);
        DeadLetterId(self.last_dead)
    }

    pub(super) fn configure(&mut self, topology: Topology) -> Vec<ConsumerId> {
        self.consumers.iter_mut().for_each(|consumer| consumer.place = None);
        let mut ids = Vec::with_capacity(topology.consumers.len());
        for (place, wanted) in (0u16..).zip(&topology.consumers) {
            let index = self.consumers.iter().position(|c| c.name == wanted.name).unwrap_or_else(|| {
                self.consumers.push(ConsumerState::new(&wanted.name));
                self.consumers.len() - 1
            });
            self.consumers[index].place = Some(place);
            self.consumers[index].order = wanted.order;
            ids.push(ConsumerId(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        self.topology = Some(topology);
        ids
    }

    pub(super) fn lease(&mut self, id: ConsumerId, max: usize, now: Timestamp) -> Result<Vec<Lease>, QueueError> {
        let lease_time = self.options.lease_time;
        let consumer = self.consumers.get_mut(usize::from(id.0));
        let consumer = consumer.ok_or_else(|| QueueError::Invalid(format!("no destination has id {}", id.0)))?;
        Ok(if consumer.place.is_some() { consumer.lease(id, max, now, lease_time) } else { Vec::new() })
    }

    pub(super) fn next_due(&self, id: ConsumerId) -> Option<Timestamp> {
        self.consumers.get(usize::from(id.0))?.next_due()
    }

    pub(super) fn settle(&mut self, settle: Settle, now: Timestamp) {
        let Some(consumer) = self.consumers.get_mut(usize::from(settle.token.consumer.0)) else {
            return;
        };
        let Some(delivery) = consumer.leased(settle.token, now) else {
            return;
        };
        match settle.outcome {
            Outcome::Done => {
                consumer.finish(settle.token.seq);
                consumer.delivered += 1;
            }
            Outcome::Release => delivery.phase = Phase::Due(Timestamp::default()),
            Outcome::Retry { at, attempts, .. } => {
                delivery.phase = Phase::Due(at);
                delivery.attempts = attempts;
            }
            Outcome::Dead { attempts, failure } => {
                let stored = Arc::clone(&delivery.stored);
                consumer.finish(settle.token.seq);
                let destination = Arc::clone(&consumer.name);
                self.bury(&stored, destination, attempts, failure, now);
            }
        }
    }

    fn bury(
        &mut self,
        stored: &Stored,
        destination: Arc<str>,
        attempts: crate::Attempts,
        failure: Failure,
        now: Timestamp,
    ) {
        let event = stored.event.clone();
        self.add_dead(DeadLetter {
            id: DeadLetterId(0),
            died: now,
            destination: Some(destination),
            seq: Some(stored.seq),
            event: Some(event.id),
            source: event.source,
            topic: event.topic,
            conversation: event.conversation,
            attempts,
            failure,
            received: Some(event.received),
            body: Some(event.body),
        });
    }

    pub(super) fn dead_letters(&self, query: &DeadLetterQuery) -> Vec<DeadLetter> {
        let after = query.after.unwrap_or(DeadLetterId(0));
        let selected = self.dead.values().filter(|letter| letter.id > after && query.selects(letter));
        selected.take(query.page()).map(|letter| DeadLetter { body: None, received: None, ..letter.clone() }).collect()
    }

    pub(super) fn redrive(&mut self, ids: &[DeadLetterId], now: Timestamp) -> Vec<RedriveOutcome> {
        ids.iter().map(|&id| RedriveOutcome { id, result: self.redrive_one(id, now) }).collect()
    }

    fn redrive_one(&mut self, id: DeadLetterId, now: Timestamp) -> Result<Seq, NotRedriven> {
        let letter = self.dead.get(&id).ok_or(NotRedriven::Missing)?;
        let (Some(destination), Some(event)) = (&letter.destination, letter.to_event()) else {
            return Err(NotRedriven::NoEvent);
        };
        let not_routed = || NotRedriven::NotRouted(destination.to_string());
        let place = self.consumers.iter().position(|consumer| consumer.name == *destination);
        let place = place.ok_or_else(not_routed)?;
        let routes = self.topology.as_ref().map(|topology| topology.router.route(&event)).unwrap_or_default();
        let target = routes.iter().find(|target| self.consumers[place].place == Some(target.consumer));
        let route = target.ok_or_else(not_routed)?.route;
        self.last += 1;
        self.counts.redriven += 1;
        let consumer = ConsumerId(u16::try_from(place).unwrap_or(u16::MAX));
        let again = Some(Again { consumer, at: now, why: Why::Redriven });
        let stored = Arc::new(Stored { again, ..Stored::new(Seq(self.last), event) });
        self.consumers[place].add(&stored, route);
        self.log.insert(self.last, stored);
        self.dead.remove(&id);
        Ok(Seq(self.last))
    }

    pub(super) fn dead_letter_groups(&self, query: &DeadLetterQuery) -> Vec<DeadLetterGroup> {
        let mut grouping = Grouping::default();
        self.dead.values().filter(|letter| query.selects(letter)).for_each(|letter| grouping.add(letter));
        grouping.groups()
    }

    pub(super) fn discard(&mut self, ids: &[DeadLetterId]) -> Vec<DeadLetter> {
        let gone = ids.iter().filter_map(|id| self.dead.remove(id));
        gone.map(|letter| DeadLetter { body: None, received: None, ..letter }).collect()
    }

    pub(super) fn event(&self, id: EventId) -> Option<Stored> {
        self.log.values().rev().find(|stored| stored.event.id == id).map(|stored| Stored::clone(stored))
    }

    pub(super) fn status(&self, now: Timestamp) -> QueueStatus {
        let consumers = self.consumers.iter().map(|consumer| {
            let dead = self.dead.values().filter(|letter| letter.destination.as_ref() == Some(&consumer.name)).count();
            consumer.status(self.last, dead as u64, now)
        });
        QueueStatus {
            accepted: self.last - self.counts.redriven - self.counts.replayed,
            redriven: self.counts.redriven,
            replayed: self.counts.replayed,
            duplicates: self.counts.duplicates,
            conflicts: self.counts.conflicts,
            unmatched: self.counts.unmatched,
            retained: self.log.len() as u64,
            dead_letters: self.dead.len() as u64,
            identities: self.identities.len() as u64,
            disk_bytes: 0,
            poisoned: None,
            consumers: consumers.collect(),
        }
    }

    pub(super) fn maintain(&mut self, now: Timestamp) -> Maintained {
        let window = self.options.dedupe_window;
        let before = self.identities.len();
        self.identities.retain(|_, first| first.received.until(now) < window);
        self.rejected.retain(|_, (at, _)| at.until(now) < window);
        let mut done =
            Maintained { identities_dropped: (before - self.identities.len()) as u64, ..Maintained::default() };
        let cutoff = now.minus(self.options.retention);
        let keep = self.keep_from.map_or(u64::MAX, |place| place.0);
        let is_old = |seq: u64, stored: &Stored| seq < keep && stored.kept_since() < cutoff;
        let old: Vec<u64> =
            self.log.iter().take_while(|(seq, stored)| is_old(**seq, stored)).map(|(&seq, _)| seq).collect();
        for seq in old {
            if self.consumers.iter().any(|consumer| consumer.is_leased(seq, now)) {
                break;
            }
            done.expired += self.expire(Seq(seq), now);
            self.log.remove(&seq);
            done.events_dropped += 1;
        }
        done
    }

    /// Turns what is still undelivered of an event into dead letters.
    fn expire(&mut self, seq: Seq, now: Timestamp) -> u64 {
        let mut expired = Vec::new();
        for consumer in &mut self.consumers {
            if let Some(delivery) = consumer.finish(seq) {
                expired.push((Arc::clone(&consumer.name), delivery));
            }
        }
        let count = expired.len() as u64;
        for (destination, delivery) in expired {
            self.bury(&delivery.stored, destination, delivery.attempts, Failure::expired(), now);
        }
        count
    }
}

impl Failure {
    /// The failure of a delivery that was still waiting when its event's retention ended.
    pub fn expired() -> Self {
        Self {
            stage: Stage::Queue,
            class: FailureClass::Permanent,
            status: None,
            message: "not delivered before the end of retention".to_owned(),
            excerpt: None,
            latency_ms: 0,
        }
    }
}
