//! Picking out of the trail what became of one conversation or one event.

use std::collections::{BTreeSet, HashSet};

use event::EventId;

use crate::{Conversation, Key, What, key};

/// Whose story is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// All events of a conversation.
    Conversation(Conversation),
    /// One event, and those that conflict with it.
    Event(EventId),
}

/// Tells which entries belong to the story, when it is shown all entries in their order.
#[derive(Debug)]
pub struct Story {
    subject: Subject,
    events: HashSet<EventId>,
    places: HashSet<u64>,
    letters: HashSet<u64>,
}

impl Story {
    /// Of this subject.
    pub fn of(subject: Subject) -> Self {
        Self { subject, events: HashSet::new(), places: HashSet::new(), letters: HashSet::new() }
    }

    /// Whether an entry belongs to it.
    pub fn has<T>(&mut self, what: &What<T>) -> bool {
        match what {
            What::Received { seq, event, conversation, conflict_of, .. } => {
                let mine = match self.subject {
                    Subject::Conversation(wanted) => *conversation == Some(wanted),
                    Subject::Event(wanted) => *event == wanted || *conflict_of == Some(wanted),
                };
                if mine {
                    self.events.insert(*event);
                    self.places.insert(*seq);
                }
                mine
            }
            What::Duplicate { event, .. } => self.events.contains(event) || self.subject == Subject::Event(*event),
            What::Attempted { seq, .. } => self.places.contains(seq),
            What::Died { letter, seq, .. } => {
                let mine = self.places.contains(seq);
                if mine {
                    self.letters.insert(*letter);
                }
                mine
            }
            What::Redriven { letter, seq, again, .. } => {
                let mine = self.letters.contains(letter) || self.places.contains(seq);
                if mine {
                    self.places.insert(*again);
                }
                mine
            }
            What::Replayed { event, conversation, again, .. } => {
                let mine = self.events.contains(event)
                    || self.subject == Subject::Event(*event)
                    || conversation.is_some_and(|of| self.subject == Subject::Conversation(of));
                if mine {
                    self.places.insert(*again);
                }
                mine
            }
            What::Edited { letter, .. } => self.letters.contains(letter),
            What::Discarded { letter, seq, .. } => {
                self.letters.contains(letter) || seq.is_some_and(|seq| self.places.contains(&seq))
            }
            What::Erased { conversation, places, .. } => {
                self.subject == Subject::Conversation(*conversation)
                    || places.iter().any(|place| self.places.contains(place))
            }
            What::Rejected { .. } | What::Done { .. } | What::Dropped { .. } => false,
        }
    }

    /// The keys of everything that it goes by now. An entry that belongs to it, by what it has been shown so far, has one of
    /// them among its own.
    pub fn keys(&self) -> BTreeSet<Key> {
        let subject = match self.subject {
            Subject::Conversation(conversation) => key::conversation(conversation),
            Subject::Event(event) => key::event(event),
        };
        let events = self.events.iter().map(|id| key::event(*id));
        let places = self.places.iter().map(|seq| key::place(*seq));
        let letters = self.letters.iter().map(|letter| key::letter(*letter));
        [subject].into_iter().chain(events).chain(places).chain(letters).collect()
    }

    /// The places in the log that its events have had.
    pub fn places(&self) -> &HashSet<u64> {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn received(seq: u64, conversation: &str) -> What<u32> {
        What::Received {
            seq,
            event: EventId::from_hash([u8::try_from(seq).unwrap(); 16]),
            source: 0,
            topic: 0,
            conversation: Some(Conversation::of(conversation)),
            body: Digest::default(),
            proof: 0,
            conflict_of: None,
            destinations: vec![],
        }
    }

    #[test]
    fn follows_an_event_through_its_dead_letter() {
        let id = EventId::from_hash([1; 16]);
        let trail = [
            (received(1, "a"), true),
            (received(2, "b"), false),
            (What::Duplicate { event: id, source: 0, proof: 0 }, true),
            (What::Died { letter: 7, seq: 1, destination: 0, reason: 0 }, true),
            (What::Died { letter: 8, seq: 2, destination: 0, reason: 0 }, false),
            (What::Redriven { letter: 7, seq: 1, again: 3, destination: 0, by: 0 }, true),
            (What::Died { letter: 9, seq: 3, destination: 0, reason: 0 }, true),
            (What::Discarded { letter: 9, seq: Some(3), destination: None, by: 0, reason: 0 }, true),
            (What::Discarded { letter: 8, seq: Some(2), destination: None, by: 0, reason: 0 }, false),
        ];
        for subject in [Subject::Conversation(Conversation::of("a")), Subject::Event(id)] {
            let mut story = Story::of(subject);
            for (what, belongs) in &trail {
                let known = story.keys();
                assert_eq!(story.has(what), *belongs, "{subject:?}: {what:?}");
                let mut found = false;
                what.keys(|key| found |= known.contains(&key));
                assert_eq!(found, *belongs, "by its keys: {what:?}");
            }
        }
    }
}
