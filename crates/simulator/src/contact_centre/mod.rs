//! A contact centre: whole life-cycles of conversations as the request bodies that Genesys Cloud would send.
//!
//! [`ContactCentre`] is an iterator over [`Request`]s. It reads no clock and no randomness from outside: the same
//! [`Knobs`] give the same requests, byte for byte. It holds the conversations that are going on and no others, so it
//! can run for as long as one likes.
//!
//! A conversation's events are emitted in the order of their ordinals (see [`Tag`]) unless the knob `reordered` says
//! otherwise. Detail events come as EventBridge envelopes, the post-call analysis comes as a webhook.

mod analysis;
mod body;
mod conversation;
mod knobs;
mod schedule;
mod wording;

use std::collections::HashSet;

use bytes::Bytes;

use crate::dice::Dice;
use crate::{SimulatorError, Tag, Uuid};
use body::Publication;
use conversation::Happening;
pub use knobs::Knobs;
use schedule::{Emission, Resend, Schedule};

/// The way by which an event leaves the contact centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A signed webhook.
    Genesys,
    /// EventBridge envelopes, posted with a bearer token.
    EventBridge,
}

impl Source {
    /// Every way there is.
    pub const ALL: [Self; 2] = [Self::Genesys, Self::EventBridge];

    /// The name that a server knows it by: the last part of `/in/{source}`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genesys => "genesys",
            Self::EventBridge => "eventbridge",
        }
    }
}

/// One request body, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its place among all requests, counted from 0.
    pub number: u64,
    /// Where to send it.
    pub source: Source,
    /// JSON text.
    pub body: Bytes,
    /// The events in the body, in their order there.
    pub events: Vec<Tag>,
    /// Set when all its events were in an earlier request: that request's number.
    pub duplicate_of: Option<u64>,
}

/// How far ahead a batch looks for events to take in, per event that it wants.
const BATCH_LOOKAHEAD: usize = 4;
/// A request comes again after 1 s to 5 min of simulated time.
const RESEND_AFTER_MS: (u64, u64) = (1_000, 300_000);
/// The next conversation begins within this time after another one has ended.
const NEXT_CONVERSATION_MS: u64 = 5_000;

/// Emits [`Request`]s; see the module's description.
#[derive(Debug)]
pub struct ContactCentre {
    knobs: Knobs,
    dice: Dice,
    schedule: Schedule,
    organization: Uuid,
    /// Simulated time: when the latest emission was due, in milliseconds of Unix time.
    now: i64,
    /// How many conversations are going on.
    going_on: usize,
    /// How many more events may be planned.
    unplanned: u64,
    requests: u64,
}

impl ContactCentre {
    /// A contact centre that has just opened.
    ///
    /// # Errors
    /// If a knob is out of its range.
    pub fn new(knobs: Knobs) -> Result<Self, SimulatorError> {
        knobs.check()?;
        let mut dice = Dice::new(knobs.seed);
        Ok(Self {
            organization: dice.uuid(),
            dice,
            schedule: Schedule::default(),
            now: knobs.start_ms,
            going_on: 0,
            unplanned: knobs.events,
            requests: 0,
            knobs,
        })
    }

    fn open_conversations(&mut self) {
        while self.going_on < self.knobs.conversations_at_once && self.unplanned > 0 {
            let start = self.now + self.dice.below(NEXT_CONVERSATION_MS) as i64;
            let mut happenings = conversation::plan(&mut self.dice, &self.knobs, start);
            happenings.truncate(usize::try_from(self.unplanned).unwrap_or(usize::MAX));
            if let Some(last) = happenings.last_mut() {
                last.ends_conversation = true;
            }
            self.unplanned -= happenings.len() as u64;
            self.going_on += 1;
            for happening in happenings {
                self.schedule.add(happening.emit_ms, Emission::Fresh(happening));
            }
        }
    }

    /// `first` alone or, by chance, with others that leave by the same way, in an order that keeps the conversations'.
    fn gather(&mut self, first: Happening) -> Vec<Happening> {
        let mut gathered = vec![first];
        if self.knobs.batch_max < 2 || !self.dice.chance(self.knobs.batched) {
            return gathered;
        }
        let want = self.dice.between(2, self.knobs.batch_max as u64) as usize;
        let mut passed_over = Vec::new();
        let mut held_up = HashSet::new();
        while gathered.len() < want && passed_over.len() < want * BATCH_LOOKAHEAD {
            let Some((place, emission)) = self.schedule.take() else {
                break;
            };
            match emission {
                Emission::Fresh(next)
                    if next.source == gathered[0].source && !held_up.contains(&next.tag.conversation()) =>
                {
                    gathered.push(next);
                }
                Emission::Fresh(other) => {
                    held_up.insert(other.tag.conversation());
                    passed_over.push((place, Emission::Fresh(other)));
                }
                again @ Emission::Again(_) => passed_over.push((place, again)),
            }
        }
        for (place, emission) in passed_over {
            self.schedule.put_back(place, emission);
        }
        gathered
    }

    fn publish(&mut self, happenings: Vec<Happening>) -> Request {
        let publication = Publication::choose(&mut self.dice, &self.knobs, happenings[0].source);
        let body = self.write(&publication, &happenings);
        let request = Request {
            number: self.requests,
            source: happenings[0].source,
            body,
            events: happenings.iter().map(|happening| happening.tag).collect(),
            duplicate_of: None,
        };
        if self.dice.chance(self.knobs.duplicated) {
            self.plan_resend(&request, publication, happenings);
        }
        request
    }

    /// The same events again, later: the same bytes, or published anew with other EventBridge ids and times.
    fn plan_resend(&mut self, request: &Request, publication: Publication, happenings: Vec<Happening>) {
        let due = self.now + self.dice.between(RESEND_AFTER_MS.0, RESEND_AFTER_MS.1) as i64;
        let republished = request.source == Source::EventBridge && self.dice.chance(self.knobs.republished);
        let again = republished.then_some((publication, happenings));
        self.schedule.add(due, Emission::Again(Box::new(Resend { request: request.clone(), again })));
    }

    fn repeat(&mut self, resend: Resend) -> Request {
        let mut request = resend.request;
        if let Some((publication, happenings)) = resend.again {
            request.body = self.write(&publication, &happenings);
        }
        Request { duplicate_of: Some(request.number), number: self.requests, ..request }
    }

    fn write(&mut self, publication: &Publication, happenings: &[Happening]) -> Bytes {
        body::write(&mut self.dice, publication, self.organization, self.now, happenings).into()
    }
}

impl Iterator for ContactCentre {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        self.open_conversations();
        let ((due, _), emission) = self.schedule.take()?;
        self.now = self.now.max(due);
        let request = match emission {
            Emission::Fresh(happening) => {
                let happenings = self.gather(happening);
                self.going_on -= happenings.iter().filter(|happening| happening.ends_conversation).count();
                self.publish(happenings)
            }
            Emission::Again(resend) => self.repeat(*resend),
        };
        self.requests += 1;
        Some(request)
    }
}

#[cfg(test)]
mod tests;
