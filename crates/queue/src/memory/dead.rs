//! Dead letters of the in-memory queue: how they go, and what is known of their conversations.

use event::Timestamp;

use super::state::State;
use crate::{DeadLetter, DeadLetterId, Order};

impl State {
    pub(super) fn remove_dead(&mut self, id: DeadLetterId) -> Option<DeadLetter> {
        let letter = self.dead.remove(&id)?;
        let first = self.firsts.remove(&id);
        let consumer = self.consumers.iter_mut().find(|consumer| Some(&consumer.name) == letter.destination.as_ref());
        if let Some((consumer, conversation)) = consumer.zip(letter.conversation.as_ref())
            && let Some(dead) = consumer.dead.get_mut(conversation)
            && let Some(place) = dead.iter().position(|other| Some(*other) == first)
        {
            dead.remove(place);
        }
        Some(letter)
    }

    /// One with everything that is known of it.
    pub(super) fn dead_letter(&self, id: DeadLetterId, now: Timestamp) -> Option<DeadLetter> {
        let letter = self.dead.get(&id)?.clone();
        let consumer = self.consumers.iter().find(|consumer| Some(&consumer.name) == letter.destination.as_ref());
        let Some((consumer, conversation)) = consumer.zip(letter.conversation.as_ref()) else {
            return Some(letter);
        };
        let first = self.firsts.get(&id);
        let others = consumer.dead.get(conversation).into_iter().flatten();
        let behind_dead = consumer.order == Order::Conversation && others.min() < first;
        Some(DeadLetter { behind_dead, held: consumer.held(conversation, now), ..letter })
    }
}
