//! Events of the in-memory queue that matched no route: those whose entry in the trail names no destination.

use audit::What;

use super::state::State;
use crate::{
    FoundUnmatched, Seq, Unmatched, UnmatchedGrouping, UnmatchedGroups, UnmatchedListing, UnmatchedPage, UnmatchedQuery,
};

impl State {
    pub(super) fn unmatched(&self, query: &UnmatchedQuery) -> UnmatchedPage {
        let mut listing = UnmatchedListing::new(query);
        let _ = self.unmatched_before(query.before).all(|found| listing.add(found));
        listing.finish()
    }

    pub(super) fn unmatched_groups(&self, query: &UnmatchedQuery) -> UnmatchedGroups {
        let mut grouping = UnmatchedGrouping::new(query);
        let _ = self.unmatched_before(query.before).all(|found| grouping.add(found));
        grouping.finish()
    }

    /// Those that are still in the log, the newest first.
    fn unmatched_before(&self, before: Option<Seq>) -> impl Iterator<Item = FoundUnmatched> {
        let place = |entry: &audit::Entry| match &entry.what {
            What::Received { seq, destinations, .. } if destinations.is_empty() => Some(*seq),
            _ => None,
        };
        let places = self.trail.iter().rev().filter_map(place);
        let places = places.filter(move |seq| before.is_none_or(|before| *seq < before.0));
        places.filter_map(|seq| self.log.get(&seq)).map(|stored| {
            let event = &stored.event;
            Ok(Unmatched {
                event: event.id,
                seq: stored.seq,
                received: event.received,
                source: event.source.clone(),
                topic: event.topic.clone(),
                conversation: event.conversation.clone(),
                conflict_of: event.conflict_of,
                body_bytes: event.body.len() as u64,
            })
        })
    }
}
