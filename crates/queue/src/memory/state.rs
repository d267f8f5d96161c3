//! The whole state of the in-memory queue, changed by one caller at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event::{Event, EventId, Timestamp};

use super::consumer::{ConsumerState, Phase};
use crate::{
    ConsumerId, Content, DeadLetter, DeadLetterGroup, DeadLetterId, DeadLetterQuery, Edit, Failure, FailureClass,
    Grouping, Lease, Maintained, NewEvent, Options, Outcome, Publication, Published, QueueError, QueueStatus,
    Rejection, Replay, Review, Seq, Settle, Stage, Stored, Topology, body_hash, conflict_id, trail,
};

#[derive(Debug, Default)]
pub(super) struct State {
    options: Options,
    pub(super) log: BTreeMap<u64, Arc<Stored>>,
    pub(super) last: u64,
    pub(super) erasures: u64,
    pub(super) identities: HashMap<EventId, Identity>,
    rejected: HashMap<u64, (Timestamp, DeadLetterId)>,
    pub(super) reviews: Vec<Review>,
    /// Where the events of dead letters stood first.
    pub(super) firsts: HashMap<DeadLetterId, Seq>,
    /// The audit trail; block `n` is the entry `n - 1` alone.
    pub(super) trail: Vec<audit::Entry>,
    pub(super) topology: Option<Topology>,
    pub(super) consumers: Vec<ConsumerState>,
    pub(super) dead: BTreeMap<DeadLetterId, DeadLetter>,
    pub(super) last_dead: u64,
    pub(super) counts: Counts,
    pub(super) replays: BTreeMap<String, Replay>,
    pub(super) notes: HashMap<ConsumerId, bytes::Bytes>,
    /// Retention drops nothing from here on.
    pub(super) keep_from: Option<Seq>,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Identity {
    pub(super) received: Timestamp,
    pub(super) seq: u64,
    pub(super) body_hash: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    duplicates: u64,
    conflicts: u64,
    pub(super) unmatched: u64,
    pub(super) redriven: u64,
    pub(super) replayed: u64,
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
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
        let Publication { source, received, proof, events, content } = publication;
        let one = |new: NewEvent| {
            let published = self.publish_one(&source, received, &proof, new, &content);
            if let Published::Duplicate { id } = published {
                self.trail.push(trail::duplicate(id, &source, &proof, received));
            }
            published
        };
        events.into_iter().map(one).collect()
    }

    fn publish_one(
        &mut self,
        source: &Arc<str>,
        received: Timestamp,
        proof: &Arc<str>,
        new: NewEvent,
        content: &Content,
    ) -> Published {
        let Some(first) = self.known(new.id, received) else {
            let id = new.id;
            let seq = self.append(source, received, proof, new, None);
            return Published::Accepted { id, seq };
        };
        let same_bytes = first.body_hash == body_hash(&new.body);
        let first_seq = first.seq;
        let new_content = content.of(&new.body);
        if same_bytes || self.has_content(first_seq, content, new_content) {
            self.counts.duplicates += 1;
            return Published::Duplicate { id: new.id };
        }
        let id = conflict_id(new.id, new_content);
        if self.known(id, received).is_some() {
            self.counts.duplicates += 1;
            return Published::Duplicate { id };
        }
        let of = new.id;
        let seq = self.append(source, received, proof, NewEvent { id, ..new }, Some(of));
        self.counts.conflicts += 1;
        Published::Conflict { id, of, seq }
    }

    pub(super) fn known(&self, id: EventId, now: Timestamp) -> Option<&Identity> {
        self.identities.get(&id).filter(|first| first.received.until(now) < self.options.dedupe_window)
    }

    fn append(
        &mut self,
        source: &Arc<str>,
        received: Timestamp,
        proof: &Arc<str>,
        new: NewEvent,
        conflict_of: Option<EventId>,
    ) -> Seq {
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
        let routes = self.topology.as_ref().map(|topology| topology.router.route_new(&event)).unwrap_or_default();
        if routes.is_empty() {
            self.counts.unmatched += 1;
        }
        let name =
            |consumer: u16| self.consumers.iter().find(|c| c.place == Some(consumer)).map(|c| Arc::clone(&c.name));
        let destinations = routes.iter().filter_map(|target| name(target.consumer)).collect();
        self.trail.push(trail::received(seq, &event, audit::Digest::of(&event.body), proof, destinations));
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
        self.trail.push(trail::rejected(DeadLetterId(self.last_dead + 1), &rejection));
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
            behind_dead: false,
            held: 0,
            received: Some(rejection.received),
            body: Some(rejection.body),
            edit: None,
            altered: false,
        });
        self.rejected.insert(hash, (rejection.received, id));
        id
    }

    pub(super) fn add_dead(&mut self, mut letter: DeadLetter) -> DeadLetterId {
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
                self.consumers.push(ConsumerState::new(&wanted.name, self.options.times));
                self.consumers.len() - 1
            });
            self.consumers[index].place = Some(place);
            self.consumers[index].order = wanted.order;
            self.consumers[index].behind_dead = wanted.behind_dead;
            ids.push(ConsumerId(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        for consumer in &mut self.consumers {
            let Some(place) = consumer.place else { continue };
            let here = |event: &Event| topology.router.route(event).into_iter().find(|target| target.consumer == place);
            consumer.route_anew(|event| here(event).map(|target| target.route));
        }
        self.topology = Some(topology);
        ids
    }

    pub(super) fn lease(&mut self, id: ConsumerId, max: usize, now: Timestamp) -> Result<Vec<Lease>, QueueError> {
        let consumer = self.consumers.get_mut(usize::from(id.0));
        let consumer = consumer.ok_or_else(|| QueueError::Invalid(format!("no destination has id {}", id.0)))?;
        Ok(if consumer.place.is_some() { consumer.lease(id, max, now) } else { Vec::new() })
    }

    pub(super) fn next_due(&self, id: ConsumerId) -> Option<Timestamp> {
        self.consumers.get(usize::from(id.0))?.next_due()
    }

    pub(super) fn settle(&mut self, settle: Settle, now: Timestamp) {
        let settle = self.unless_erased(settle);
        let Some(consumer) = self.consumers.get_mut(usize::from(settle.token.consumer.0)) else {
            return;
        };
        let name = Arc::clone(&consumer.name);
        let Some(delivery) = consumer.leased(settle.token) else {
            return;
        };
        self.trail.extend(trail::attempted(settle.token.seq, &name, &settle.outcome, now));
        match settle.outcome {
            Outcome::Done | Outcome::Delivered(_) => {
                consumer.finish(settle.token.seq);
                consumer.delivered += 1;
            }
            Outcome::PutAside(_) => {
                consumer.finish(settle.token.seq);
                consumer.put_aside += 1;
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
        self.trail.push(trail::died(DeadLetterId(self.last_dead + 1), stored.seq, &destination, &failure, now));
        let first = stored.first_seq();
        let consumer = self.consumers.iter_mut().find(|consumer| consumer.name == destination);
        if let Some((consumer, conversation)) = consumer.zip(event.conversation.clone()) {
            consumer.dead.entry(conversation).or_default().push(first);
        }
        let id = self.add_dead(DeadLetter {
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
            behind_dead: false,
            held: 0,
            received: Some(event.received),
            body: Some(event.body),
            edit: None,
            altered: stored.again.is_some_and(|again| again.edited),
        });
        self.firsts.insert(id, first);
    }

    pub(super) fn dead_letters(&self, query: &DeadLetterQuery) -> Vec<DeadLetter> {
        let after = query.after.unwrap_or(DeadLetterId(0));
        let selected = self.dead.values().filter(|letter| letter.id > after && query.selects(letter));
        selected.take(query.page()).map(listed).collect()
    }

    pub(super) fn dead_letter_groups(&self, query: &DeadLetterQuery) -> Vec<DeadLetterGroup> {
        let mut grouping = Grouping::new(self.reviews.clone());
        for letter in self.dead.values() {
            if query.selects(letter) { grouping.add(letter) } else { grouping.pass_over(letter) }
        }
        grouping.groups()
    }

    pub(super) fn event(&self, id: EventId) -> Option<Stored> {
        let of = |stored: &&Arc<Stored>| stored.event.id == id;
        let accepted = self.log.values().rev().filter(of).find(|stored| stored.again.is_none());
        accepted.or_else(|| self.log.values().rev().find(of)).map(|stored| Stored::clone(stored))
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

/// A letter as a list has it.
pub(super) fn listed(letter: &DeadLetter) -> DeadLetter {
    let edit = letter.edit.as_ref().map(|edit| Edit { body: None, ..edit.clone() });
    DeadLetter { body: None, received: None, edit, altered: false, ..letter.clone() }
}

impl Failure {
    /// The failure of a delivery that was still waiting when its event's retention ended.
    pub fn expired() -> Self {
        Self::new(Stage::Queue, FailureClass::Permanent, "not delivered before the end of retention")
    }
}
