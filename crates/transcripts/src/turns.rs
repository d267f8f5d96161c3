//! One delivery of a conversation at a time: two events of it would fetch the same, and write over each other.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The conversations that somebody is at. Bounded by the attempts under way.
#[derive(Debug, Default, Clone)]
pub(crate) struct Turns(Arc<Mutex<HashSet<String>>>);

/// Somebody is at a conversation until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    conversation: String,
}

impl Turns {
    /// None if somebody is at it.
    pub(crate) fn take(&self, conversation: &str) -> Option<Turn> {
        let free = self.0.lock().insert(conversation.to_owned());
        free.then(|| Turn { turns: self.clone(), conversation: conversation.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().remove(&self.conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_free_again_when_its_delivery_is_over() {
        let turns = Turns::default();
        let turn = turns.take("c-1").unwrap();
        assert!(turns.take("c-1").is_none() && turns.take("c-2").is_some());
        drop(turn);
        assert!(turns.take("c-1").is_some());
    }
}
