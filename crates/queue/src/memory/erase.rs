//! Erasing a conversation from the in-memory queue.

use std::sync::Arc;

use bytes::Bytes;

use super::state::State;
use crate::{Content, Erased, Erasure, Mention, Outcome, Seq, Settle, Stored, trail};

impl State {
    /// What was answered to a delivery whose event was erased meanwhile is not kept, and it is not tried again.
    pub(super) fn unless_erased(&self, settle: Settle) -> Settle {
        let erased = self.log.get(&settle.token.seq.0).is_some_and(|stored| stored.event.is_erased());
        match settle.outcome {
            Outcome::Retry { .. } | Outcome::Dead { .. } if erased => Settle { outcome: Outcome::Done, ..settle },
            _ => settle,
        }
    }

    /// Whether a known event has this content. One that is erased or no longer in the log is taken to have it.
    pub(super) fn has_content(&self, first: u64, content: &Content, wanted: [u8; 16]) -> bool {
        let stored = self.log.get(&first).filter(|stored| !stored.event.is_erased());
        stored.is_none_or(|stored| content.of(&stored.event.body) == wanted)
    }

    pub(super) fn erase(&mut self, erasure: &Erasure) -> Erased {
        let Erasure { conversation, dry_run, by } = erasure;
        let mine = |stored: &Stored| stored.event.conversation.as_deref() == Some(conversation);
        let places: Vec<Seq> = self.log.values().filter(|stored| mine(stored)).map(|stored| stored.seq).collect();
        let mention = Mention::of(conversation);
        let letters = self.dead.values().filter(|letter| match &letter.conversation {
            Some(of) => **of == **conversation,
            None => letter.event.is_none() && letter.body.as_ref().is_some_and(|body| mention.is_in(body)),
        });
        let letters: Vec<_> = letters.map(|letter| letter.id).collect();
        let mut erased = Erased { dead_letters: letters.len() as u64, log_emptied: !dry_run, ..Erased::default() };
        if !dry_run {
            self.erasures += 1;
            self.discard(&letters, by);
        }
        let mut gone = Vec::new();
        for seq in places {
            let Some(stored) = self.log.get_mut(&seq.0).filter(|stored| !stored.event.is_erased()) else { continue };
            erased.events += 1;
            erased.bytes += stored.event.body.len() as u64;
            let undelivered = self.consumers.iter().filter(|consumer| consumer.is_unsettled(seq)).count();
            erased.undelivered += undelivered as u64;
            if !dry_run {
                Arc::make_mut(stored).event.body = Bytes::new();
                self.consumers.iter_mut().for_each(|consumer| consumer.erase(seq));
                gone.push(seq);
            }
        }
        if !gone.is_empty() {
            self.trail.push(trail::erased(conversation, &gone, Vec::new(), by));
        }
        erased
    }
}
