//! Moving everything from one queue into another one, while events keep arriving in the first.
//!
//! The order of things is what makes it safe:
//!
//! 1. Both queues note that a move is under way ([`Standing`]). From then on no server starts on either, so nothing is
//!    delivered from the first, and nothing arrives in the second.
//! 2. The log of the first is read in its order, and the second takes over each event with what is left to do with it
//!    ([`crate::Moved`]). Events that arrive meanwhile go to the end of the first one's log, and are come to. So what a
//!    conversation has in the second queue is in its order, and a duplicate is one wherever it arrives.
//! 3. When nothing arrives any more, the rest is moved: bodies that became no event, how far people are with groups of dead
//!    letters, notes of destinations ([`rest`]). Then the first queue notes that it has moved, and after that the second
//!    that it is an ordinary one.
//!
//! Nothing is taken away from the first queue. A crash leaves a part in the second; the move is begun anew with the same
//! queues, and what is known there is passed over. Until the first queue says that it has moved, the move can be given up.

mod rest;
mod standing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event::{EventId, Timestamp};
use serde::Serialize;

use crate::{
    ConsumerId, DeadLetter, DeadLetterId, DeadLetterQuery, Left, Moved, MovedAgain, Queue, QueueError, Seq, Stored, Why,
};

pub use standing::{Move, Standing, abandon};

/// Events that are read in one go: as many as are taken over in one.
const PAGE_EVENTS: usize = Moved::EVENTS_MAX;
/// Bytes of bodies that are read in one go. They are in memory until they are taken over.
const PAGE_BYTES: usize = 4 << 20;
/// Dead letters that are listed in one go.
const LETTERS_OF_A_PAGE: usize = 1_000;

/// A destination of both queues.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its name.
    pub name: Arc<str>,
    /// Its id in the queue that is moved.
    pub from: ConsumerId,
    /// Its id in the one that takes over.
    pub to: ConsumerId,
}

/// What was moved since the move was begun, or begun anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Places of the log that were looked at.
    pub looked_at: u64,
    /// Events that the other queue has now and did not have before.
    pub events: u64,
    /// Deliveries of all events that are still to be made.
    pub deliveries: u64,
    /// Dead letters, with bodies that became no event.
    pub dead_letters: u64,
    /// Events that are settled and older than the dedupe window: they stay where they are.
    pub stay: u64,
    /// What is damaged, and cannot be moved.
    pub damaged: u64,
}

/// A move that is under way.
pub struct Moving {
    from: Arc<dyn Queue>,
    to: Arc<dyn Queue>,
    shared: Vec<Shared>,
    the_move: Move,
    /// The dedupe window: what is settled and older stays.
    window: Duration,
    /// Dead letters that were not come to, by the places of their events.
    letters: BTreeMap<u64, Vec<DeadLetterId>>,
    /// Everything up to here was looked at.
    at: Seq,
    /// Was read, and is not taken over.
    pending: VecDeque<Moved>,
    /// The last place of the other queue, when it last said so.
    last: Option<Seq>,
    tally: Tally,
}

impl Moving {
    /// Begins a move, or goes on with one; both queues are configured with the same destinations and routes.
    ///
    /// # Errors
    /// When one of the queues is in the way, and what to do about it.
    pub async fn begin(
        (from, to): (Arc<dyn Queue>, Arc<dyn Queue>),
        shared: Vec<Shared>,
        the_move: Move,
        window: Duration,
    ) -> Result<Self, QueueError> {
        standing::fits(&*from, the_move.began).await?;
        let letters = letters(&*from, &shared).await?;
        let now = the_move.began;
        let the_move = standing::note_begin(&*from, &*to, the_move).await?;
        let there = to.status(now).await?;
        Ok(Self {
            from,
            to,
            shared,
            the_move,
            window,
            letters,
            at: Seq(0),
            pending: VecDeque::new(),
            last: Some(Seq(there.accepted + there.redriven + there.replayed)),
            tally: Tally::default(),
        })
    }

    /// What was moved so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Moves some more; whether the end of the log was reached. After an error that passes it is asked again.
    ///
    /// # Errors
    /// Those of the queues; and when somebody else publishes to the one that takes over.
    pub async fn step(&mut self, now: Timestamp) -> Result<bool, QueueError> {
        self.hand_over().await?;
        let page = self.from.left(self.at, PAGE_EVENTS, PAGE_BYTES).await?;
        let (left, page) = (page.left, page.page);
        for (stored, left) in page.events.into_iter().zip(left) {
            self.letters_before(stored.seq.0).await?;
            let dead = self.letters_at(stored.seq.0).await?;
            let place = stored.seq;
            self.take(stored, left, dead, now).await?;
            // Only now: if that fails it is asked again, and must find them again.
            self.letters.remove(&place.0);
            self.tally.looked_at += 1;
            self.looked_until(place, &page.damaged);
        }
        if page.end {
            self.letters_before(u64::MAX).await?;
        }
        self.looked_until(page.through, &page.damaged);
        self.hand_over().await?;
        Ok(page.end)
    }

    /// Moves the rest and ends the move. Nothing may arrive any more, and [`Moving::step`] has said that it is at the end.
    ///
    /// # Errors
    /// Those of the queues; it is asked again after one that passes.
    pub async fn finish(&mut self, now: Timestamp) -> Result<Tally, QueueError> {
        while !self.step(now).await? {}
        let rest = rest::Rest { from: &*self.from, to: &*self.to, the_move: &self.the_move };
        let (moved, damaged) = rest.rejected().await?;
        rest.reviews().await?;
        rest.notes(&self.shared).await?;
        let tally = Tally {
            dead_letters: self.tally.dead_letters + moved,
            damaged: self.tally.damaged + damaged,
            ..self.tally
        };
        standing::note_end(&*self.from, &*self.to, &self.the_move, &tally, now).await?;
        Ok(tally)
    }

    /// What a move would move. Changes nothing; events that arrive meanwhile may be counted or not.
    ///
    /// # Errors
    /// Those of the queue, and when it is in the way of a move.
    pub async fn count(
        from: &dyn Queue,
        shared: &[Shared],
        window: Duration,
        now: Timestamp,
    ) -> Result<Tally, QueueError> {
        standing::fits(from, now).await?;
        let letters = letters(from, shared).await?;
        let mut tally = Tally { dead_letters: letters.values().map(|ids| ids.len() as u64).sum(), ..Tally::default() };
        let mut at = Seq(0);
        loop {
            let page = from.left(at, PAGE_EVENTS, PAGE_BYTES).await?;
            let (left, page) = (page.left, page.page);
            tally.damaged += page.damaged.len() as u64;
            for (stored, left) in page.events.iter().zip(left) {
                tally.looked_at += 1;
                tally.deliveries += left.len() as u64;
                match stays(stored, &left, letters.contains_key(&stored.seq.0), window, now) {
                    true => tally.stay += u64::from(stored.again.is_none()),
                    false => tally.events += 1,
                }
            }
            at = page.through;
            if page.end {
                tally.dead_letters += rest::count_rejected(from).await?;
                return Ok(tally);
            }
        }
    }

    /// Everything up to a place was looked at; of these places the damaged ones are counted, each once.
    fn looked_until(&mut self, place: Seq, damaged: &[Seq]) {
        let is_new = |damaged: &&Seq| self.at < **damaged && **damaged <= place;
        self.tally.damaged += damaged.iter().filter(is_new).count() as u64;
        self.at = self.at.max(place);
    }

    /// Has what was read taken over.
    async fn hand_over(&mut self) -> Result<(), QueueError> {
        while !self.pending.is_empty() {
            let some: Vec<_> = self.pending.iter().take(Moved::EVENTS_MAX).cloned().collect();
            // If it fails nobody knows where the log ends, until it says so again.
            let before = self.last.take();
            let taken = self.to.take_over(some).await?;
            if before.is_some_and(|before| before.0 + taken.new != taken.last.0) {
                return Err(QueueError::Invalid(format!(
                    "somebody else writes to {}; stop all servers on it. What has arrived there is out of order: begin \
                     again with an empty one",
                    self.the_move.to
                )));
            }
            self.last = Some(taken.last);
            self.tally.events += taken.new;
            for moved in self.pending.drain(..taken.looked_at) {
                self.tally.deliveries += moved.left.len() as u64;
                self.tally.dead_letters += moved.dead.len() as u64;
            }
        }
        Ok(())
    }

    /// Puts an event on its way, if it does not stay.
    async fn take(
        &mut self,
        stored: Stored,
        left: Vec<Left>,
        dead: Vec<DeadLetter>,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        if stays(&stored, &left, !dead.is_empty(), self.window, now) {
            self.tally.stay += u64::from(stored.again.is_none());
            return Ok(());
        }
        let Stored { seq, event, again } = stored;
        // By the time when the move was begun, so that it has the same name whenever the move goes on. The identity of one that
        // is there for its dead letters only may be forgotten before then.
        let is_old = left.is_empty() && event.received.until(self.the_move.began) >= self.window;
        let (known_by, known_since) = match again {
            None if !is_old => (event.id, event.received),
            _ => (self.name("place", seq.0), self.the_move.began),
        };
        let again = match again {
            Some(again) => {
                // Where it stands first there, if that was moved.
                self.hand_over().await?;
                let first = self.to.event(event.id).await?.filter(|_| again.first != seq);
                let first = first.map(|stored| stored.first_seq());
                Some(MovedAgain { at: again.at, why: again.why, edited: again.edited, first })
            }
            None => None,
        };
        let proof = self.proof();
        self.pending.push_back(Moved { known_by, known_since, event, again, left, dead, proof });
        Ok(())
    }

    /// Puts the dead letters of events on their way whose places come before this one, and are not in the log any more.
    async fn letters_before(&mut self, place: u64) -> Result<(), QueueError> {
        while let Some((&at, _)) = self.letters.first_key_value()
            && at < place
        {
            for letter in self.letters_at(at).await? {
                let Some(event) = letter.to_event().filter(|event| !event.body.is_empty()) else {
                    self.tally.damaged += 1;
                    continue;
                };
                let original = letter.body.clone().unwrap_or_default();
                // So that it stays known that its bytes were edited.
                let again = letter.altered.then_some(MovedAgain {
                    at: letter.died,
                    why: Why::Redriven,
                    edited: true,
                    first: None,
                });
                self.pending.push_back(Moved {
                    known_by: self.name("letter", letter.id.0),
                    known_since: self.the_move.began,
                    event: event::Event { body: original, ..event },
                    again,
                    left: Vec::new(),
                    dead: vec![letter],
                    proof: self.proof(),
                });
            }
            self.letters.remove(&at);
        }
        Ok(())
    }

    /// The dead letters of the event at a place, with their bodies.
    async fn letters_at(&self, place: u64) -> Result<Vec<DeadLetter>, QueueError> {
        let Some(ids) = self.letters.get(&place) else { return Ok(Vec::new()) };
        let mut letters = Vec::new();
        for id in ids {
            letters.extend(self.from.dead_letter(*id).await?);
        }
        Ok(letters)
    }

    /// A name for what has no identity of its own.
    fn name(&self, kind: &str, number: u64) -> EventId {
        let began = self.the_move.began.as_millis().to_be_bytes();
        EventId::from_identity("moved", [&began[..], kind.as_bytes(), &number.to_be_bytes()])
    }

    fn proof(&self) -> Arc<str> {
        self.the_move.proof()
    }
}

/// Whether an event is not moved: it is settled, and no duplicate of it has to be known any more.
fn stays(stored: &Stored, left: &[Left], has_letters: bool, window: Duration, now: Timestamp) -> bool {
    let is_old = stored.again.is_some() || stored.event.received.until(now) >= window;
    left.is_empty() && !has_letters && is_old
}

/// The dead letters of events, by the places of those.
async fn letters(from: &dyn Queue, shared: &[Shared]) -> Result<BTreeMap<u64, Vec<DeadLetterId>>, QueueError> {
    let mut letters = BTreeMap::<u64, Vec<DeadLetterId>>::new();
    let mut after = None;
    loop {
        let query = DeadLetterQuery { after, limit: LETTERS_OF_A_PAGE, ..DeadLetterQuery::default() };
        let page = from.dead_letters(query).await?;
        let Some(last) = page.last() else { return Ok(letters) };
        after = Some(last.id);
        for letter in &page {
            let (Some(place), Some(destination)) = (letter.seq, &letter.destination) else { continue };
            if !shared.iter().any(|shared| shared.name == *destination) {
                return Err(QueueError::Invalid(format!(
                    "dead letter {} is of the destination `{destination}`, which the configuration does not have: add it, \
                     or discard its dead letters first",
                    letter.id.0
                )));
            }
            letters.entry(place.0).or_default().push(letter.id);
        }
    }
}
